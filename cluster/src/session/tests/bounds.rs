//! Limits, and those who go past them.

use super::*;
use crate::session::{
    KEPT_BYTES_MAX, NUMBERS_MAX, SESSIONS_MAX, reply::REPLY_BYTES_MAX, table::Contradiction,
};

fn greeted() -> (Table, Primary, Counter) {
    let (table, mut primary) = (Table::default(), Primary::default());
    let counter = greet(&mut primary, &table, 1);
    (table, primary, counter)
}

#[test]
fn a_proxy_waits_at_so_many_numbers_and_a_node_refuses_more() {
    let mut sender = Sender::new(session(1));
    let write = Asked { client: 1, slot: None, kind: Kind::Write };
    for number in 0..NUMBERS_MAX {
        assert!(sender.may_send(Kind::Write), "{number}");
        sender.send(number, write, Epoch(1));
    }
    assert!(!sender.may_send(Kind::Write));
    assert!(sender.may_send(Kind::Read));
    let (table, primary, counter) = greeted();
    assert_eq!(primary.judge(&table, author(&counter, NUMBERS_MAX)), Judged::Run);
    let refused = Judged::Refused(Refusal::TooFarAbove);
    assert_eq!(primary.judge(&table, author(&counter, NUMBERS_MAX + 1)), refused);
    assert_eq!(primary.judge(&table, author(&counter, u64::MAX)), refused);
    sender.replied();
    assert!(sender.may_send(Kind::Write));
    // With the floor that this tells the node takes it.
    let next = sender.send(NUMBERS_MAX, write, Epoch(1));
    assert_eq!(next, Some(Next { number: Number(NUMBERS_MAX + 1), floor: Number(2) }));
}

#[test]
fn so_many_long_replies_are_under_way_at_once() {
    let mut sender = Sender::new(session(1));
    for number in 0..LONG_MAX {
        assert!(sender.may_send(Kind::LongWrite));
        sender.send(number, Asked { client: 1, slot: None, kind: Kind::LongWrite }, Epoch(1));
    }
    assert!(!sender.may_send(Kind::LongWrite));
    assert!(sender.may_send(Kind::Write));
    sender.replied();
    assert!(sender.may_send(Kind::LongWrite));
}

#[test]
fn beyond_so_many_bytes_only_numbers_are_kept() {
    let (mut table, mut primary, counter) = greeted();
    let long = || Reply::Bytes(vec![b'x'; REPLY_BYTES_MAX].into());
    for number in 0..u64::try_from(LONG_MAX).unwrap() + 5 {
        let author = author(&counter, number + 1);
        match number % 2 {
            0 => primary.changed_nothing(&table, author, None, long()),
            _ => drop(primary.unit(&mut table, Some(author), None, (long(), Rebuilt::Not))),
        }
    }
    let (_, known) = primary.greet(&table, &greeting(1, 1)).unwrap();
    let kept: usize = known.settled.iter().map(|(_, reply)| reply.kept_bytes()).sum();
    assert_eq!(known.settled.len(), LONG_MAX + 5);
    assert_eq!(kept, KEPT_BYTES_MAX);
    assert_eq!(Known::parse(&known.bulk()), Some(known));
    // All of that is told in one marker of a snapshot.
    assert!(table.markers().all(|marker| Marker::parse(&marker.word()).is_some()));
}

#[test]
fn a_floor_that_rose_lets_everybody_forget() {
    let (mut table, mut primary, counter) = greeted();
    for number in 1..=20_000 {
        let told =
            primary.unit(&mut table, Some(author(&counter, number)), None, (Reply::Ok, Rebuilt::ByReplay));
        let says_floor =
            told.is_some_and(|marker| marker.word().windows(2).any(|at| at == b",f" || at == b":f"));
        assert_eq!(says_floor, number > 2 && number % 1024 == 2, "{number}");
        primary.raise_floor(session(1), Number(number));
    }
    assert!(table.session(session(1)).unwrap().settled().count() < 1100);
}

#[test]
fn no_number_below_the_floor_runs() {
    let (table, mut primary, counter) = greeted();
    primary.raise_floor(session(1), Number(5));
    assert_eq!(primary.judge(&table, author(&counter, 4)), Judged::Refused(Refusal::BelowFloor));
    assert_eq!(primary.judge(&table, author(&counter, 5)), Judged::Run);
    primary.raise_floor(session(1), Number(3));
    assert_eq!(
        primary.judge(&table, author(&counter, 4)),
        Judged::Refused(Refusal::BelowFloor),
        "never back"
    );
    // Of another primary.
    assert_eq!(Primary::default().judge(&table, author(&counter, 5)), Judged::Refused(Refusal::NoSession));
}

#[test]
fn there_are_only_so_many_sessions() {
    let (mut table, mut primary) = (Table::default(), Primary::default());
    for link in 0..u64::try_from(SESSIONS_MAX).unwrap() / 2 {
        let counter = greet(&mut primary, &table, link);
        primary.unit(&mut table, Some(author(&counter, 1)), None, (Reply::Ok, Rebuilt::ByReplay));
    }
    let unopened = u64::try_from(SESSIONS_MAX).unwrap();
    // Those that never wrote count, too, as long as this node leads.
    for link in unopened..unopened + 3 {
        primary.greet(&table, &greeting(link, 1)).unwrap();
    }
    let mut full = Table::default();
    let opens = (1..=u32::try_from(SESSIONS_MAX).unwrap()).map(|at| format!("o{at}.{:016x}.{at:016x}", 1));
    let word = format!("slotway:s:{}", opens.collect::<Vec<_>>().join(","));
    full.hear(&Marker::parse(word.as_bytes()).unwrap()).unwrap();
    assert!(primary.greet(&full, &greeting(unopened * 2, 1)).is_err());
    let one_more = Marker::parse(format!("slotway:s:o16385.{0:016x}.{0:016x}", 7).as_bytes()).unwrap();
    assert_eq!(full.hear(&one_more), Err(Contradiction("too many sessions")));
}

#[test]
fn a_stream_that_contradicts_itself_is_refused() {
    let open = "o1.000000000000000a.0000000000000001";
    let check = |items: &str| {
        let marker = Marker::parse(format!("slotway:s:{items}").as_bytes()).unwrap();
        assert!(Table::default().hear(&marker).is_err(), "{items}");
    };
    check("t1");
    check("n1");
    check("f1");
    check("e1..k");
    check("rk");
    check(&format!("{open},{open}"));
    check(&format!("{open},o2.000000000000000a.0000000000000001"));
    check(&format!("{open},t1,f5,n4"));
    check(&format!("{open},t1,f5,e4..k"));
    check(&format!("{open},t1,n16385"));
    check(&format!("{open},t1,e18446744073709551614..k"));
    check(&format!("{open},t1,x000000000000000a,n2"));
}

#[test]
fn a_floor_beyond_everything_leaves_nothing() {
    let items = "o1.000000000000000a.0000000000000001,t1,e3..k,f18446744073709551614";
    let mut table = Table::default();
    table.hear(&Marker::parse(format!("slotway:s:{items}").as_bytes()).unwrap()).unwrap();
    assert_eq!(table.session(session(1)).unwrap().settled().count(), 0);
    // And nothing more can be settled behind it without an end.
    table.unit(None, Reply::Ok).unwrap();
    table.unit(None, Reply::Ok).unwrap();
}
