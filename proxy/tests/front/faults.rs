//! Nodes that misbehave, and what their clients see of it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{
    backend::{Fake, bulk},
    front::Front,
    keys::key_of,
    peer::until,
    scripts::{Gate, INDETERMINATE, at_first},
};

#[test]
fn garbage_ends_the_link_and_a_read_is_asked_again() {
    for garbage in ["?!\r\n", "$5\r\nabcdefgh\r\n", ":12x\r\n", "*2\r\n$1\r\n", "$-7\r\n", "\r\n\r\n"] {
        let fake = at_first(move |conn| {
            conn.next();
            conn.reply(garbage);
        });
        let front = Front::of(&[fake.port]);
        front.client().check("GET a", "GET a");
        assert_eq!(fake.count("GET a"), 2, "{garbage:?}");
    }
}

#[test]
fn a_write_whose_reply_is_lost_is_indeterminate_and_not_sent_again() {
    for garbage in ["", "?!\r\n", "$10\r\nabc", "+O"] {
        let fake = at_first(move |conn| {
            conn.next();
            conn.reply(garbage);
        });
        let front = Front::of(&[fake.port]);
        let mut client = front.client();
        client.check_all(&[("SET a 1", INDETERMINATE), ("GET a", "GET a")]);
        assert_eq!(fake.count("SET a 1"), 1, "{garbage:?}");
        assert_eq!(front.metric("slotway_proxy_errors_total", &[("kind", "indeterminate")]), 1.0);
    }
}

#[test]
fn a_reply_too_many_ends_the_link() {
    let fake = at_first(|conn| {
        conn.next();
        conn.reply(&format!("{}{}", bulk("first"), bulk("nobody asked for this")));
        conn.stay_silent();
    });
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    client.check("GET a", "first");
    until("a new link was opened for the next request", || {
        client.send(&["GET b"]);
        assert_eq!(client.read(), "GET b");
        fake.connections() == 2
    });
}

#[test]
fn a_missing_reply_is_a_timeout_and_the_connection_goes_on() {
    let gate = Gate::default();
    let fake = at_first({
        let gate = gate.clone();
        move |conn| {
            for _ in 0..3 {
                conn.next();
            }
            gate.wait();
            conn.reply(&format!("{}+OK\r\n{}", bulk("late"), bulk("too late")));
            conn.echo();
        }
    });
    let front = Front::with(&[fake.port], &[("request-timeout-ms", "400"), ("threads", "1")]);
    let mut client = front.client();
    let timeout = "-TIMEOUT no reply from shard 1 within 400 ms";
    client.check_all(&[
        ("GET a", timeout),
        ("SET a 1", INDETERMINATE),
        ("MGET a", timeout),
        ("PING", "+PONG"),
    ]);
    client.send(&["GET b"]);
    gate.open();
    // The late replies belong to nobody; the next one is this request's.
    assert_eq!(client.read(), "GET b");
    assert_eq!(fake.connections(), 1);
    assert!(front.metric("slotway_proxy_errors_total", &[("kind", "timeout")]) >= 2.0);
}

#[test]
fn a_link_that_stays_silent_is_replaced() {
    let fake = at_first(|conn| conn.stay_silent());
    let front = Front::with(&[fake.port], &[("request-timeout-ms", "100")]);
    let mut client = front.client();
    client.check("GET a", "-TIMEOUT no reply from shard 1 within 100 ms");
    until("the next link answers", || client.ask("GET b") == "GET b");
    assert_eq!(fake.count("GET a"), 1, "it was answered already");
}

#[test]
fn a_slow_node_is_waited_for() {
    let fake = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            std::thread::park_timeout(Duration::from_millis(100));
            let reply = bulk(&line);
            let (head, tail) = reply.split_at(reply.len() / 2);
            conn.reply(head);
            std::thread::park_timeout(Duration::from_millis(20));
            conn.reply(tail);
        }
    });
    let front = Front::of(&[fake.port]);
    front.client().check_all(&[("GET a", "GET a"), ("SET a 1", "SET a 1"), ("GET b", "GET b")]);
}

#[test]
fn reads_are_asked_again_unless_a_later_write_of_the_same_client_was_sent() {
    let fake = at_first(|conn| {
        for _ in 0..4 {
            conn.next();
        }
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let (mut writer, mut reader) = (front.client(), front.client());
    reader.send(&["GET a"]);
    until("it was sent", || fake.log().len() == 1);
    writer.send(&["GET a", "SET b 1", "GET c"]);
    assert_eq!(writer.read(), INDETERMINATE);
    assert_eq!(writer.read(), INDETERMINATE);
    assert_eq!(writer.read(), "GET c");
    assert_eq!(reader.read(), "GET a");
    assert_eq!((fake.count("SET b 1"), fake.count("GET c"), fake.count("GET a")), (1, 2, 3));
}

#[test]
fn no_write_is_applied_twice_whatever_the_node_does() {
    // Every connection breaks after a few requests, each in another way.
    let fake = Fake::start(|conn| {
        for number in 0..5 + conn.number % 7 {
            let Some(_) = conn.next() else { return };
            match (conn.number + number) % 11 {
                10 => return conn.reply("$9\r\nhal"),
                9 => return conn.reply("nonsense\r\n"),
                _ => conn.reply(":1\r\n"),
            }
        }
    });
    let front =
        Front::with(&[fake.port], &[("reconnect-backoff-ms-min", "1"), ("reconnect-backoff-ms-max", "5")]);
    let run = |id: usize| {
        let mut client = front.client();
        let mut answered = Vec::new();
        for round in 0..15 {
            let lines: Vec<String> = (0..8).map(|number| format!("INCR c{id}-{round}-{number}")).collect();
            client.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            for line in lines {
                match client.read().as_str() {
                    ":1" => answered.push(line),
                    INDETERMINATE => {}
                    other => panic!("{line}: {other}"),
                }
            }
        }
        answered
    };
    let answered: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|id| scope.spawn(move || run(id))).collect();
        running.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    let log = fake.log();
    let applied: BTreeSet<&String> = log.iter().collect();
    assert_eq!(applied.len(), log.len(), "applied twice");
    assert!(answered.iter().all(|line| applied.contains(line)), "answered, but never applied");
    assert!(answered.len() > 100, "only {} were answered", answered.len());
}

#[test]
fn a_dead_shard_delays_only_who_asks_it() {
    let (dead, live) = (Fake::start(|conn| conn.stay_silent()), Fake::start(|conn| conn.echo()));
    let front = Front::with(&[dead.port, live.port], &[("request-timeout-ms", "1500"), ("threads", "1")]);
    let (there, here) = (key_of(0, 2, 0), key_of(1, 2, 0));
    let (mut waiting, mut other) = (front.client(), front.client());
    let since = Instant::now();
    waiting.send(&[&format!("GET {there}"), &format!("GET {here}"), &format!("MGET {here} {there}")]);
    until("it waits", || dead.log().len() == 2);
    for _ in 0..200 {
        other.check(&format!("GET {here}"), &format!("GET {here}"));
    }
    assert!(since.elapsed() < Duration::from_millis(1500), "the live shard was delayed");
    let timeout = "-TIMEOUT no reply from shard 1 within 1500 ms";
    assert_eq!([waiting.read(), waiting.read(), waiting.read()], [timeout, &format!("GET {here}"), timeout]);
}

#[test]
fn parts_that_make_no_sense_together_are_an_error_not_a_broken_stream() {
    let nodes = [Fake::start(|conn| conn.echo()), Fake::start(|conn| conn.echo())];
    let front = Front::of(&nodes.each_ref().map(|node| node.port));
    let (one, two) = (key_of(0, 2, 0), key_of(1, 2, 0));
    let malformed = "-ERR a node answered with something that is no reply to this command";
    front.client().check_all(&[
        (&format!("MGET {one} {two}"), malformed),
        (&format!("DEL {one} {two}"), malformed),
        ("DBSIZE", malformed),
        ("KEYS *", malformed),
        ("INFO", malformed_info()),
        ("PING", "+PONG"),
    ]);
}

/// INFO takes what it can read: bulks without a section have nothing to merge.
fn malformed_info() -> &'static str {
    ""
}

#[test]
fn errors_of_a_node_that_speak_of_the_cluster_never_reach_a_client() {
    let errors = [
        "MOVED 1 127.0.0.1:1",
        "ASK 1 127.0.0.1:1",
        "STALE 3 4",
        "TRYAGAIN Multiple keys",
        "CLUSTERDOWN The cluster is down",
        "MASTERDOWN Link with MASTER is down",
        "LOADING Redis is loading",
        "READONLY You can't write",
        "NOAUTH Authentication required.",
    ];
    for error in errors {
        let fake = Fake::start(move |conn| {
            while conn.next().is_some() {
                conn.reply(&format!("-{error}\r\n"));
            }
        });
        let front = Front::with(&[fake.port], &[("hold-ms-max", "200")]);
        let reply = front.client().ask("SET a 1");
        assert!(reply.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{reply}");
        let kind = error.split(' ').next().unwrap().to_lowercase();
        assert!(front.metric("slotway_proxy_redirects_total", &[("kind", &kind)]) >= 1.0);
    }
}

#[test]
fn other_errors_of_a_node_are_passed_on_as_they_are() {
    for error in
        ["WRONGTYPE Operation", "OOM command not allowed", "BUSY Redis is busy running a script", "ERR x"]
    {
        let fake = Fake::start(move |conn| {
            while conn.next().is_some() {
                conn.reply(&format!("-{error}\r\n"));
            }
        });
        Front::of(&[fake.port]).client().check("SET a 1", &format!("-{error}"));
    }
}

#[test]
fn every_type_of_resp3_reaches_a_client_that_speaks_it() {
    let fake = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            conn.reply(match line.as_str() {
                "GET map" => "%1\r\n+a\r\n*1\r\n:1\r\n",
                "GET set" => "~2\r\n+a\r\n_\r\n",
                "GET double" => ",1.5\r\n",
                "GET bool" => "#t\r\n",
                "GET big" => "(123456789012345678901234567890\r\n",
                "GET text" => "=7\r\ntxt:abc\r\n",
                "GET error" => "!5\r\nERR x\r\n",
                "GET attribute" => "|1\r\n+ttl\r\n:9\r\n+value\r\n",
                "GET push" => ">2\r\n+invalidate\r\n*0\r\n+after\r\n",
                _ => "_\r\n",
            });
        }
    });
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    client.ask("HELLO 3");
    client.check_all(&[
        ("GET map", "{+a=[:1]}"),
        ("GET set", "~[+a _]"),
        ("GET double", ",1.5"),
        ("GET bool", "#true"),
        ("GET big", "(123456789012345678901234567890"),
        ("GET text", "abc"),
        ("GET error", "-ERR x"),
        ("GET attribute", "+value"),
        ("GET push", "+after"),
        ("GET null", "_"),
    ]);
}

#[test]
fn a_huge_reply_passes_whole_and_delays_nobody_for_long() {
    let huge = "h".repeat(30_000_000);
    let fake = Fake::start(move |conn| {
        while let Some(line) = conn.next() {
            conn.reply(&bulk(if line == "GET huge" { &huge } else { &line }));
        }
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let (mut one, mut two) = (front.client(), front.client());
    one.send(&["GET a", "GET huge", "GET b"]);
    two.send(&["GET c"]);
    assert_eq!((one.read().as_str(), one.read().len(), one.read().as_str()), ("GET a", 30_000_000, "GET b"));
    assert_eq!(two.read(), "GET c");
}
