//! Requests of several keys, and transactions, that nodes send back: cut key by key, or followed as one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    backend::{Conn, Fake, bulk},
    following::{check_given_up, echo, lines, saying},
    front::{Front, topology},
    keys::key_of,
    peer::until,
};

#[test]
fn requests_with_several_keys_go_key_by_key_while_their_slot_moves() {
    let there = saying(|line| (line == "MGET {t}b").then(|| "*1\r\n$1\r\nB\r\n".to_owned()));
    let port = there.port;
    let here = saying(move |line| {
        Some(match line {
            "MGET {t}a {t}a" => "*2\r\n$1\r\nA\r\n$1\r\nA\r\n".to_owned(),
            "MGET {t}b" => format!("-ASK 7 127.0.0.1:{port}\r\n"),
            "DEL {t}a" | "DEL {t}b" => ":1\r\n".to_owned(),
            "MSET {t}a 1" | "MSET {t}b 2" => "+OK\r\n".to_owned(),
            _ => "-TRYAGAIN Multiple keys request during rehashing of slot\r\n".to_owned(),
        })
    });
    let front = Front::of(&[here.port]);
    let mut client = front.client();
    client.check("MGET {t}a {t}b {t}a", "[A B A]");
    client.check("DEL {t}a {t}b", ":2");
    client.check("MSET {t}a 1 {t}b 2", "+OK");
    assert_eq!(lines(&there), ["ASKING", "MGET {t}b"]);
}

/// A node that takes only what has one key, and `refused` once more with "not now".
fn taking_one_key(refused: &'static str) -> Fake {
    let down = AtomicBool::new(true);
    saying(move |line| {
        let words: Vec<&str> = line.split(' ').collect();
        let step = if words[0] == "MSET" { 2 } else { 1 };
        let mut keys = words[1..].iter().step_by(step);
        let first = keys.next();
        if keys.any(|key| Some(key) != first) {
            return Some("-TRYAGAIN Multiple keys request during rehashing of slot\r\n".to_owned());
        }
        if line.starts_with(refused) && down.swap(false, Ordering::SeqCst) {
            return Some("-CLUSTERDOWN x\r\n".to_owned());
        }
        Some(if words[0] == "MSET" { "+OK\r\n".to_owned() } else { ":1\r\n".to_owned() })
    })
}

#[test]
fn of_the_values_of_one_key_the_last_wins_however_the_request_is_cut() {
    let here = taking_one_key("MSET {t}a");
    Front::of(&[here.port]).client().check("MSET {t}a 1 {t}b 2 {t}a 3", "+OK");
    let log = lines(&here);
    assert_eq!(log.last().unwrap(), "MSET {t}a 1 {t}a 3");
    assert_eq!(here.count("MSET {t}a 3"), 0, "alone it might run first");
}

#[test]
fn twenty_thousand_keys_go_key_by_key_in_the_time_of_so_many_requests() {
    let here = taking_one_key("nothing");
    let front = Front::with(&[here.port], &[("threads", "1"), ("hold-ms-max", "60000")]);
    let keys: Vec<String> = (0..20_000).map(|n| format!("{{t}}{n}")).collect();
    let since = Instant::now();
    front.client().check(&format!("DEL {}", keys.join(" ")), ":20000");
    assert!(since.elapsed() < Duration::from_secs(50), "{:?}", since.elapsed());
}

#[test]
fn a_request_whose_parts_are_more_than_may_be_held_is_not_begun() {
    let here = taking_one_key("nothing");
    let front = Front::with(&[here.port], &[("threads", "1"), ("hold-bytes-max", "10000")]);
    let keys: Vec<String> = (0..100).map(|n| format!("{{t}}{n}")).collect();
    let mut client = front.client();
    check_given_up(&client.ask(&format!("DEL {}", keys.join(" "))), 0);
    assert_eq!(here.log().len(), 1);
    client.check("DEL {t}1 {t}2", ":2");
}

#[test]
fn a_part_of_a_split_request_is_split_again_by_the_new_topology() {
    // Shards of the topology that the client's request meets: two; then the first one's keys lie apart.
    let elements = |number: u32, line: &str| {
        let count = line.split(' ').count() - 1;
        format!("*{count}\r\n{}", format!(":{number}\r\n").repeat(count))
    };
    let third = saying(move |line| Some(elements(3, line)));
    let second = saying(move |line| Some(elements(2, line)));
    let refused = Arc::new(AtomicBool::new(true));
    let first = saying({
        let refused = Arc::clone(&refused);
        move |line| match refused.load(Ordering::SeqCst) {
            true => Some("-STALE 1 2\r\n".to_owned()),
            false => Some(elements(1, line)),
        }
    });
    let front = Front::with(&[first.port, second.port], &[("hold-ms-max", "20000")]);
    // Of three equal ranges the first two shards of two have: one in the first third, two in the second.
    let a = key_of(0, 3, 0);
    let b = (0..).map(|n| key_of(1, 3, n)).find(|key| is_of(key, 0, 2)).unwrap();
    let c = key_of(2, 3, 0);
    let mut client = front.client();
    client.send(&[&format!("MGET {a} {b} {c} {a}")]);
    until("it was refused", || !first.log().is_empty());
    let addresses: Vec<String> =
        [first.port, third.port, second.port].iter().map(|port| format!("127.0.0.1:{port}")).collect();
    // In this order: the next look finds another topology, whenever it comes.
    front.topology.store(Arc::new(topology(2, &addresses)));
    refused.store(false, Ordering::SeqCst);
    assert_eq!(client.read(), "[:1 :3 :2 :1]");
    assert_eq!(third.count(&format!("MGET {b}")), 1);
}

fn is_of(key: &str, shard: usize, shards: usize) -> bool {
    let range = slotway_cluster::SlotRange::equal(shards)[shard];
    range.slots().any(|slot| slot == slotway_cluster::slot::spread_slot(key.as_bytes()))
}

/// A node to which a transaction's commands are queued, and EXEC answers how many there were.
fn queueing(conn: &mut Conn) {
    let mut queued = None;
    while let Some(line) = conn.next() {
        match (line.as_str(), queued) {
            ("MULTI", _) => {
                queued = Some(0);
                conn.reply("+OK\r\n");
            }
            ("EXEC", Some(count)) => {
                queued = None;
                conn.reply(&format!("*1\r\n:{count}\r\n"));
            }
            (_, Some(count)) => {
                queued = Some(count + 1);
                conn.reply("+QUEUED\r\n");
            }
            (line, None) => conn.reply(&echo(line)),
        }
    }
}

#[test]
fn a_transaction_is_followed_as_a_whole() {
    for code in ["MOVED", "ASK"] {
        let there = Fake::start(queueing);
        let port = there.port;
        let here = saying(move |line| {
            Some(match line {
                "MULTI" => "+OK\r\n".to_owned(),
                "EXEC" => "-EXECABORT Transaction discarded because of previous errors.\r\n".to_owned(),
                _ => format!("-{code} 7 127.0.0.1:{port}\r\n"),
            })
        });
        let front = Front::of(&[here.port]);
        front.client().check_all(&[
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            ("INCR a", "+QUEUED"),
            ("EXEC", "[:2]"),
        ]);
        let asking: &[&str] = if code == "ASK" { &["ASKING"] } else { &[] };
        assert_eq!(lines(&there), [asking, &["MULTI", "SET a 1", "INCR a", "EXEC"]].concat(), "{code}");
    }
}

#[test]
fn a_transaction_that_is_not_taken_yet_is_tried_again() {
    for replies in [
        ["-LOADING x", "-LOADING x", "-LOADING x"],
        ["+OK", "+QUEUED", "-READONLY x"],
        ["+OK", "-TRYAGAIN x", "-EXECABORT y"],
        ["+OK", "+QUEUED", "-CLUSTERDOWN x"],
    ] {
        let here = Fake::start(move |conn| {
            for reply in replies {
                conn.next();
                conn.reply(&format!("{reply}\r\n"));
            }
            queueing(conn);
        });
        let front = Front::of(&[here.port]);
        front.client().check_all(&[
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            ("EXEC", "[:1]"),
            ("GET b", "GET b"),
        ]);
    }
}

#[test]
fn a_watch_that_is_redirected_makes_exec_answer_null() {
    for error in ["MOVED 7 127.0.0.1:1", "ASK 7 127.0.0.1:1", "CLUSTERDOWN x", "TRYAGAIN x"] {
        let here = saying(move |line| line.starts_with("WATCH").then(|| format!("-{error}\r\n")));
        let front = Front::of(&[here.port]);
        let mut client = front.client();
        client.check("WATCH a", "+OK");
        client.check("GET a", "GET a");
        client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", "nil"), ("GET b", "GET b")]);
        assert_eq!(here.count("SET a 1"), 0);
    }
}

#[test]
fn an_exec_on_a_watched_link_that_is_redirected_answers_null() {
    let here = saying(|line| {
        Some(match line {
            "WATCH a" | "MULTI" => "+OK\r\n".to_owned(),
            "SET a 1" => "-MOVED 7 127.0.0.1:1\r\n".to_owned(),
            "EXEC" => "-EXECABORT x\r\n".to_owned(),
            line => bulk(line),
        })
    });
    let front = Front::of(&[here.port]);
    front.client().check_all(&[
        ("WATCH a", "+OK"),
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("EXEC", "nil"),
        ("GET b", "GET b"),
    ]);
}
