//! A connection's replies come in the order of its requests, whatever the shards and the other clients do.

use std::fmt::Write;

use slotway_resp::write;

use crate::commands::Three;

/// A small generator: tests that fail must fail again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn a_hundred_thousand_pipelined_requests_are_answered_in_order() {
    let three = Three::start();
    let mut client = three.client();
    let reader = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for number in 0..20_000 {
            let text = number.to_string();
            write::request(&mut bytes, &["SET", &format!("k{}", number % 1000), &text]);
            write::request(&mut bytes, &["GET", &format!("k{}", number % 1000)]);
            write::request(&mut bytes, &["ECHO", &text]);
            write::request(&mut bytes, &["MGET", &format!("k{}", number % 1000), "none"]);
            write::request(&mut bytes, &["NOSUCH"]);
        }
        std::io::Write::write_all(&mut &reader, &bytes).unwrap();
    });
    for number in 0..20_000 {
        assert_eq!(client.read(), "+OK");
        assert_eq!(client.read(), number.to_string());
        assert_eq!(client.read(), number.to_string());
        assert_eq!(client.read(), format!("[{number} nil]"));
        assert!(client.read().starts_with("-ERR unknown command 'NOSUCH'"));
    }
    sending.join().unwrap();
}

#[test]
fn fifty_clients_at_once_each_get_their_own_replies() {
    let three = Three::start();
    let run = |id: usize| {
        let mut client = three.client();
        let mut random = Random::new(id as u64 + 1);
        if id % 2 == 1 {
            client.ask("HELLO 3");
        }
        let nil = if id % 2 == 1 { "_" } else { "nil" };
        for round in 0..40 {
            let mut exchanges: Vec<(String, String)> = Vec::new();
            for number in 0..=random.below(100) {
                let key = format!("c{id}-{}", random.below(10_000));
                let value = format!("{id}.{round}.{number}");
                match random.below(5) {
                    0 => exchanges.push((format!("ECHO {value}"), value)),
                    1 => {
                        let other = format!("d{id}-{number}");
                        exchanges.push((format!("MSET {key} {value} {other} x"), "+OK".to_owned()));
                        exchanges.push((format!("MGET {key} none {other}"), format!("[{value} {nil} x]")));
                    }
                    2 => {
                        exchanges.push((format!("SELECT {}", number % 16), "+OK".to_owned()));
                        exchanges.push((format!("SET {key} {value}"), "+OK".to_owned()));
                        exchanges.push((format!("GET {key}"), value));
                    }
                    _ => {
                        exchanges.push((format!("SET {key} {value}"), "+OK".to_owned()));
                        exchanges.push((format!("GETDEL {key}"), value));
                        exchanges.push((format!("GET {key}"), nil.to_owned()));
                    }
                }
            }
            let exchanges: Vec<(&str, &str)> =
                exchanges.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            client.check_all(&exchanges);
        }
    };
    std::thread::scope(|scope| (0..50).for_each(|id| drop(scope.spawn(move || run(id)))));
}

#[test]
fn hello_between_pipelined_requests_changes_the_version_in_its_place() {
    let three = Three::start();
    let mut client = three.client();
    client.check("HSET h f v", ":1");
    for _ in 0..50 {
        client.send(&[
            "HGETALL h",
            "GET none",
            "HELLO 3",
            "HGETALL h",
            "GET none",
            "HELLO 2",
            "HGETALL h",
            "MGET none h2",
        ]);
        assert_eq!(client.read(), "[f v]");
        assert_eq!(client.read(), "nil");
        assert!(client.read().contains("proto=:3"));
        assert_eq!(client.read(), "{f=v}");
        assert_eq!(client.read(), "_");
        assert!(client.read().contains("proto :2"));
        assert_eq!(client.read(), "[f v]");
        assert_eq!(client.read(), "[nil nil]");
    }
}

#[test]
fn replies_that_nobody_wants_are_dropped_in_their_place() {
    let three = Three::start();
    let mut client = three.client();
    let mut expected = String::new();
    let mut got = String::new();
    for round in 0..100 {
        client.send(&[
            &format!("SET a {round}"),
            "CLIENT REPLY OFF",
            "INCR counter",
            "MSET x 1 y 2 z 3",
            "PING",
            "NOSUCH",
            "CLIENT REPLY SKIP",
            "GET a",
            "CLIENT REPLY ON",
            "GET a",
            "CLIENT REPLY SKIP",
            "INCR counter",
            "GET counter",
            "CLIENT REPLY SKIP",
            "MGET x y z",
            "ECHO end",
        ]);
        writeln!(expected, "+OK +OK {round} {} end", 2 * (round + 1)).unwrap();
        let replies: Vec<String> = (0..5).map(|_| client.read()).collect();
        writeln!(got, "{}", replies.join(" ")).unwrap();
    }
    assert_eq!(got, expected);
}

#[test]
fn quit_amid_a_pipeline_answers_what_came_before_and_nothing_after() {
    let three = Three::start();
    let mut client = three.client();
    client.send(&["SET a 1", "GET a", "MGET a b", "QUIT", "SET a 2", "GET a"]);
    for reply in ["+OK", "1", "[1 nil]", "+OK"] {
        assert_eq!(client.read(), reply);
    }
    client.check_closed();
    three.client().check("GET a", "1");
}

#[test]
fn a_client_that_has_finished_sending_still_gets_its_replies() {
    let three = Three::start();
    let mut client = three.client();
    let lines: Vec<String> = (0..5000).map(|number| format!("SET k{number} v")).collect();
    client.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    client.finish_sending();
    (0..5000).for_each(|_| assert_eq!(client.read(), "+OK"));
    client.check_closed();
}

#[test]
fn valid_requests_before_a_broken_one_are_answered_first() {
    let three = Three::start();
    let mut client = three.client();
    let mut bytes = Vec::new();
    (0..100).for_each(|number| write::request(&mut bytes, &["SET", &format!("k{number}"), "v"]));
    bytes.extend_from_slice(b"*2\r\n!3\r\n");
    client.send_bytes(&bytes);
    (0..100).for_each(|_| assert_eq!(client.read(), "+OK"));
    assert_eq!(client.read(), "-ERR Protocol error: expected '$', got '!'");
    client.check_closed();
}
