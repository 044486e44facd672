//! The proxy's side: what is sent again, delivered, and given up.

use super::*;

const ONE: Epoch = Epoch(1);

fn asked(client: u64, about: u16, kind: Kind) -> Asked {
    Asked { client, slot: slot(about), kind }
}

fn sender() -> Sender<&'static str> {
    let mut sender = Sender::new(session(1));
    assert_eq!(sender.greeting(), greeting(1, 1));
    assert_eq!(sender.resume(&known(1, &[]), ONE), []);
    sender
}

fn known(floor: u64, settled: &[(u64, i64)]) -> Known {
    let settled = settled.iter().map(|(number, reply)| (Number(*number), Reply::Integer(*reply)));
    Known { floor: Number(floor), settled: settled.collect() }
}

fn again(request: &'static str) -> Step<&'static str> {
    Step::Send { request, next: None }
}

fn next(number: u64, floor: u64) -> Option<Next> {
    Some(Next { number: Number(number), floor: Number(floor) })
}

#[test]
fn what_follows_from_order_is_not_said() {
    let mut sender = sender();
    for request in ["a", "b", "c"] {
        assert_eq!(sender.send(request, asked(1, 1, Kind::Write), ONE), None);
    }
    assert_eq!(sender.send("read", asked(1, 1, Kind::Read), ONE), None);
    assert_eq!([sender.replied(), sender.replied()], [Some("a"), Some("b")]);
    assert_eq!(sender.greeting(), greeting(1, 3));
}

#[test]
fn the_settled_are_delivered_and_the_others_sent_in_their_old_order_under_their_old_numbers() {
    let mut sender = sender();
    for request in ["a", "b", "c", "d"] {
        sender.send(request, asked(1, 1, Kind::Write), ONE);
    }
    sender.replied();
    assert_eq!(sender.greeting(), greeting(1, 2));
    let steps = sender.resume(&known(2, &[(3, 33)]), Epoch(2));
    let delivered = Step::Deliver { request: "c", reply: Reply::Integer(33) };
    assert_eq!(steps, [again("b"), delivered, Step::Send { request: "d", next: next(4, 2) }]);
    assert_eq!(sender.send("e", asked(1, 1, Kind::Write), Epoch(2)), None);
    assert_eq!([sender.replied(), sender.replied(), sender.replied()], [Some("b"), Some("d"), Some("e")]);
    assert_eq!(sender.greeting(), greeting(1, 6));
}

#[test]
fn a_read_is_sent_again_unless_a_later_write_of_its_client_on_its_slot_ran() {
    let check = |client: u64, about: Option<Slot>, is_sent: bool| {
        let mut sender = sender();
        sender.send("read", asked(1, 1, Kind::Read), ONE);
        sender.send("write", Asked { client, slot: about, kind: Kind::Write }, ONE);
        sender.send("late read", asked(1, 1, Kind::Read), ONE);
        sender.greeting();
        let first = sender.resume(&known(1, &[(1, 5)]), ONE).swap_remove(0);
        let lost = Step::Indeterminate { request: "read", reason: Reason::ReadBehindWrite };
        assert_eq!(first, if is_sent { again("read") } else { lost }, "{client} {about:?}");
    };
    check(1, slot(1), false);
    check(1, None, false);
    check(1, slot(2), true);
    check(2, slot(1), true);
}

#[test]
fn a_read_behind_a_write_that_did_not_run_is_sent_behind_it() {
    let mut sender = sender();
    sender.send("read", asked(1, 1, Kind::Read), ONE);
    sender.send("write", asked(1, 1, Kind::Write), ONE);
    sender.send("late read", asked(1, 1, Kind::Read), ONE);
    sender.greeting();
    let steps = sender.resume(&known(1, &[]), ONE);
    assert_eq!(steps, [again("read"), again("write"), again("late read")]);
}

#[test]
fn what_two_failovers_have_met_is_not_sent_a_third_time_and_has_not_run() {
    let mut sender = sender();
    sender.send("a", asked(1, 1, Kind::Write), ONE);
    sender.send("b", asked(1, 1, Kind::Write), ONE);
    // Broken links to one primary do not count.
    for epoch in [1, 1, 1, 2] {
        sender.greeting();
        assert_eq!(sender.resume(&known(1, &[]), Epoch(epoch)).len(), 2);
    }
    sender.send("c", asked(1, 1, Kind::Write), Epoch(2));
    sender.greeting();
    let steps = sender.resume(&known(1, &[(1, 11)]), Epoch(3));
    let delivered = Step::Deliver { request: "a", reply: Reply::Integer(11) };
    assert_eq!(
        steps,
        [delivered, Step::NotRun { request: "b" }, Step::Send { request: "c", next: next(3, 3) }]
    );
    assert_eq!(sender.greeting(), greeting(1, 3));
}

#[test]
fn a_reply_that_was_not_kept_is_nobodys_to_give() {
    let mut sender = sender();
    sender.send("range", asked(1, 1, Kind::LongWrite), ONE);
    sender.greeting();
    let known = Known { floor: Number(1), settled: vec![(Number(1), Reply::NotKept)] };
    let lost = Step::Indeterminate { request: "range", reason: Reason::ReplyTooLong };
    assert_eq!(sender.resume(&known, ONE), [lost]);
    assert!(sender.is_idle());
}

#[test]
fn what_was_refused_as_stale_keeps_its_number_and_holds_the_floor() {
    let mut sender = sender();
    for request in ["a", "b", "c"] {
        sender.send(request, asked(1, 1, Kind::Write), ONE);
    }
    sender.refused();
    sender.replied();
    assert_eq!(sender.greeting(), greeting(1, 1));
    let steps = sender.resume(&known(1, &[(2, 2)]), Epoch(2));
    assert_eq!(steps, [again("a"), Step::Send { request: "c", next: next(3, 1) }]);
}

#[test]
fn who_lost_patience_is_answered_once_and_its_write_is_never_sent_again() {
    let mut sender = sender();
    for request in ["a", "b", "c"] {
        sender.send(request, asked(1, 1, Kind::Write), ONE);
    }
    sender.send("read", asked(1, 1, Kind::Read), ONE);
    assert_eq!(sender.give_up(&"b"), Some(GivenUp::MayHaveRun));
    assert_eq!(sender.give_up(&"b"), None);
    assert_eq!(sender.give_up(&"read"), Some(GivenUp::HadNoEffect));
    assert_eq!(sender.give_up(&"never sent"), None);
    // Its reply still comes on a link that lives.
    assert_eq!([sender.replied(), sender.replied()], [Some("a"), None]);
    assert_eq!(sender.give_up(&"c"), Some(GivenUp::MayHaveRun));
    sender.greeting();
    assert_eq!(sender.resume(&known(3, &[]), ONE), []);
    assert_eq!(sender.greeting(), greeting(1, 4));
    sender.send("d", asked(1, 1, Kind::Write), ONE);
    sender.refused();
    assert_eq!(sender.give_up(&"d"), Some(GivenUp::HadNoEffect));
    assert!(sender.is_idle());
}

#[test]
fn the_node_counts_what_the_proxy_numbers_whatever_was_lost_before() {
    let mut sender = sender();
    let (table, mut primary) = (Table::default(), Primary::default());
    let (mut counter, _) = primary.greet(&table, &greeting(1, 1)).unwrap();
    let mut told = Vec::new();
    let mut say = |counter: &mut Counter, request: &'static str, next: Option<Next>| {
        if let Some(next) = next {
            counter.jump(next);
        }
        told.push((request, counter.count().number));
    };
    for request in ["a", "b", "c", "d"] {
        let next = sender.send(request, asked(1, 1, Kind::Write), ONE);
        say(&mut counter, request, next);
    }
    let hello = sender.greeting();
    let (mut counter, _) = primary.greet(&table, &hello).unwrap();
    for step in sender.resume(&known(1, &[(1, 1), (3, 3)]), ONE) {
        if let Step::Send { request, next } = step {
            say(&mut counter, request, next);
        }
    }
    let next = sender.send("e", asked(1, 1, Kind::Write), ONE);
    say(&mut counter, "e", next);
    let wanted = [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("b", 2), ("d", 4), ("e", 5)];
    assert_eq!(told, wanted.map(|(request, number)| (request, Number(number))));
}

#[test]
fn the_floor_is_told_now_and_then() {
    let mut sender = sender();
    let mut told = Vec::new();
    for _ in 0..1000 {
        told.extend(sender.send("write", asked(1, 1, Kind::Write), ONE).map(|next| next.floor.0));
        sender.replied();
    }
    assert_eq!(told, [257, 513, 769]);
}

#[test]
fn every_reason_is_counted_under_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
}
