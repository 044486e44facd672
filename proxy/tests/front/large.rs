//! Large replies pass through as they arrive, and harm nobody: not who waits behind them, not whose reader is slow.

use std::{
    io::{Read, Write},
    time::Duration,
};

use crate::{
    backend::{Conn, Fake, bulk},
    front::Front,
    keys::key_of,
    peer::{Peer, until},
    scripts::Gate,
};

pub(crate) const MIB: usize = 1024 * 1024;

/// Bytes that wait in the proxy for clients to read them or for earlier replies.
pub(crate) fn buffered(front: &Front) -> f64 {
    front.metric("slotway_proxy_client_buffer_bytes", &[("direction", "out")])
}

pub(crate) fn torn(front: &Front) -> f64 {
    front.metric("slotway_proxy_replies_torn_total", &[])
}

pub(crate) fn cut(front: &Front) -> f64 {
    front.metric("slotway_proxy_clients_cut_total", &[("limit", "client-output-buffer-limit")])
}

/// Waits until exactly so many bytes have come.
pub(crate) fn take(client: &mut Peer, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    client.stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Sends a bulk of `len` bytes without ever having it in memory.
fn reply_bulk(conn: &mut Conn, len: usize) {
    let chunk = "v".repeat(64 * 1024);
    conn.reply(&format!("${len}\r\n"));
    let mut left = len;
    while left > 0 {
        let count = left.min(chunk.len());
        conn.reply(&chunk[..count]);
        left -= count;
    }
    conn.reply("\r\n");
}

/// `GET <bytes>mb` is answered with a bulk of this size, the rest with its own words.
fn sized() -> Fake {
    Fake::start(|conn| {
        while let Some(line) = conn.next() {
            let size =
                line.strip_prefix("GET ").and_then(|name| name.strip_suffix("mb")?.parse::<usize>().ok());
            match size {
                Some(size) => reply_bulk(conn, size * MIB),
                None => conn.reply(&bulk(&line)),
            }
        }
    })
}

/// The first half of an answer to the first request, the other behind the gate; then echoes.
pub(crate) fn in_halves(first: &'static str, times: usize, second: &'static str, gate: &Gate) -> Fake {
    let gate = gate.clone();
    Fake::start(move |conn| {
        if conn.number == 0 {
            conn.next();
            (0..times).for_each(|_| conn.reply(first));
            gate.wait();
            conn.reply(second);
        }
        if !second.is_empty() || conn.number > 0 {
            conn.echo();
        }
    })
}

pub(crate) const K: &str = "0123456789abcde\n0123456789abcde\n0123456789abcde\n0123456789abcde\n";

#[test]
fn a_large_reply_is_passed_on_before_its_end_has_come() {
    let gate = Gate::default();
    let behind = gate.clone();
    let fake = Fake::start(move |conn| {
        conn.next();
        conn.reply(&format!("${MIB}\r\n{}", "a".repeat(MIB / 2)));
        behind.wait();
        conn.reply(&format!("{}\r\n", "b".repeat(MIB / 2)));
        conn.echo();
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let (mut client, mut other) = (front.client(), front.client());
    client.send(&["GET big", "GET next"]);
    let head = format!("${MIB}\r\n");
    let half = take(&mut client, head.len() + MIB / 2);
    assert!(half.starts_with(head.as_bytes()) && half.ends_with(b"aaa"));
    other.send(&["GET other"]);
    gate.open();
    let half = take(&mut client, MIB / 2 + 2);
    assert!(half.starts_with(b"bbb") && half.ends_with(b"b\r\n"));
    assert_eq!((client.read().as_str(), other.read().as_str()), ("GET next", "GET other"));
    until("nothing waits", || buffered(&front) == 0.0);
}

#[test]
fn a_large_array_is_passed_on_before_its_end_has_come() {
    let gate = Gate::default();
    // 3000 elements of 64 bytes are beyond the limit long before the last.
    let behind = gate.clone();
    let fake = Fake::start(move |conn| {
        conn.next();
        conn.reply("*3001\r\n");
        (0..3000).for_each(|_| conn.reply(&format!("$64\r\n{K}\r\n")));
        behind.wait();
        conn.reply("*1\r\n:1\r\n");
        conn.echo();
    });
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    client.send(&["SMEMBERS s", "GET next"]);
    take(&mut client, 7 + 2000 * 71);
    gate.open();
    let rest = take(&mut client, 1000 * 71 + 8);
    assert!(rest.ends_with(b"\r\n*1\r\n:1\r\n"));
    assert_eq!(client.read(), "GET next");
}

#[test]
fn when_the_rest_is_lost_whoever_has_the_beginning_is_closed() {
    for line in ["GET big", "GETDEL big"] {
        let gate = Gate::default();
        let fake = in_halves("$1000000\r\n", 1, "", &gate);
        let front = Front::with(&[fake.port], &[("threads", "1")]);
        let (mut client, mut other) = (front.client(), front.client());
        client.send(&[line, "GET next"]);
        assert_eq!(take(&mut client, 10), b"$1000000\r\n");
        other.send(&["GET other"]);
        gate.open();
        client.check_closed();
        assert_eq!(other.read(), "GET other");
        assert_eq!((torn(&front), fake.count(line)), (1.0, 1));
        until("it has left", || front.clients() == 1);
    }
}

#[test]
fn a_reply_that_waited_for_an_earlier_one_is_asked_for_again() {
    let (first, second) = (Gate::default(), Gate::default());
    let slow = in_halves("", 0, "+slow\r\n", &first);
    let fast = in_halves("$1000000\r\n", 1, "", &second);
    let front = Front::with(&[slow.port, fast.port], &[("threads", "1")]);
    let (there, here) = (key_of(0, 2, 0), key_of(1, 2, 0));
    let mut client = front.client();
    let here = format!("GET {here}");
    client.send(&[&format!("GET {there}"), &here]);
    until("the beginning waits", || buffered(&front) == 10.0);
    second.open();
    until("it was asked again", || fast.count(&here) == 2);
    until("and answered", || buffered(&front) == f64::from(u32::try_from(bulk(&here).len()).unwrap()));
    first.open();
    assert_eq!([client.read(), client.read()], ["+slow", &here]);
    assert_eq!(torn(&front), 0.0);
}

#[test]
fn a_reply_that_stops_in_the_middle_ends_by_the_deadline_one_that_goes_on_does_not() {
    let fake = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            match line.as_str() {
                "GET stops" => {
                    conn.reply("$1000000\r\nabc");
                    conn.stay_silent();
                }
                "GET goes" => {
                    conn.reply("$100000\r\n");
                    for _ in 0..20 {
                        std::thread::park_timeout(Duration::from_millis(50));
                        conn.reply(&"v".repeat(5000));
                    }
                    conn.reply("\r\n");
                }
                _ => conn.reply(&bulk(&line)),
            }
        }
    });
    let front = Front::with(&[fake.port], &[("threads", "1"), ("request-timeout-ms", "300")]);
    let (mut one, mut two) = (front.client(), front.client());
    one.send(&["GET goes", "GET a"]);
    assert_eq!(one.read().len(), 100_000);
    // Who waits behind it is told when its own time is up.
    assert!(["GET a", "-TIMEOUT no reply from shard 1 within 300 ms"].contains(&one.read().as_str()));
    assert_eq!(fake.connections(), 1, "the connection was alive all the time");
    two.send(&["GET stops"]);
    take(&mut two, 13);
    two.check_closed();
    assert_eq!(torn(&front), 1.0);
    until("a new connection serves", || one.ask("GET b") == "GET b");
}

#[test]
fn who_never_reads_is_cut_at_its_limit_and_delays_nobody_on_the_same_link() {
    let fake = sized();
    let limit = [("client-output-buffer-limit", "normal 8mb 0 0"), ("threads", "1")];
    let front = Front::with(&[fake.port], &limit);
    let (mut lazy, mut other) = (front.client(), front.client());
    lazy.send(&["GET 100mb"]);
    for number in 0..20 {
        other.check(&format!("GET {number}"), &format!("GET {number}"));
    }
    until("it was cut", || cut(&front) == 1.0);
    until("it has left", || front.clients() == 1);
    other.check("GET again", "GET again");
    until("nothing is kept of it", || buffered(&front) == 0.0);
    // One more, on which others pass a long reply.
    assert!(fake.connections() <= 2 && torn(&front) == 0.0, "{}", fake.connections());
}

#[test]
fn who_goes_away_in_the_middle_harms_nobody() {
    let fake = sized();
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut other = front.client();
    for _ in 0..5 {
        let mut gone = front.client();
        gone.send(&["GET 20mb"]);
        take(&mut gone, MIB);
        drop(gone);
        other.check("GET a", "GET a");
    }
    until("they have left", || front.clients() == 1);
    // One more, on which others pass a long reply.
    assert!(fake.connections() <= 2 && torn(&front) == 0.0, "{}", fake.connections());
    until("nothing is kept of them", || buffered(&front) == 0.0);
}

#[test]
fn who_reads_slowly_gets_everything_and_the_others_are_served_meanwhile() {
    let fake = sized();
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let (mut slow, mut other) = (front.client(), front.client());
    slow.send(&["GET 40mb", "GET after"]);
    take(&mut slow, format!("${}\r\n", 40 * MIB).len());
    for number in 0..40 {
        assert!(take(&mut slow, MIB).iter().all(|&byte| byte == b'v'), "MiB {number}");
        other.check("GET a", "GET a");
    }
    assert_eq!(take(&mut slow, 2), b"\r\n");
    assert_eq!(slow.read(), "GET after");
}

#[test]
fn what_waits_for_an_earlier_reply_or_for_other_parts_counts_against_the_limit() {
    for line in ["GET 4mb", "KEYS x", "MGET"] {
        let gate = Gate::default();
        let behind = gate.clone();
        let slow = Fake::start(move |conn| {
            conn.next();
            behind.wait();
            conn.echo();
        });
        let fast = Fake::start(|conn| {
            while let Some(line) = conn.next() {
                if line != "GET a" {
                    conn.reply("*1\r\n");
                    reply_bulk(conn, 4 * MIB);
                }
            }
        });
        let limit = [("client-output-buffer-limit", "normal 3mb 0 0"), ("threads", "1")];
        let front = Front::with(&[slow.port, fast.port], &limit);
        let (there, here) = (key_of(0, 2, 0), key_of(1, 2, 0));
        let mut client = front.client();
        match line {
            "GET 4mb" => client.send(&[&format!("GET {there}"), &format!("GET {here}")]),
            "MGET" => client.send(&[&format!("MGET {there} {here}")]),
            keys => client.send(&[keys]),
        }
        until("it was cut", || cut(&front) == 1.0);
        client.check_closed();
        gate.open();
    }
}

#[test]
fn the_large_reply_of_a_transaction_is_passed_on_as_it_comes() {
    let gate = Gate::default();
    let behind = gate.clone();
    let fake = Fake::start(move |conn| {
        for reply in ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n+OK\r\n$1000000\r\n"] {
            conn.next();
            conn.reply(reply);
        }
        conn.reply(&"v".repeat(500_000));
        behind.wait();
        conn.reply(&format!("{}\r\n", "v".repeat(500_000)));
        conn.echo();
    });
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    client.send(&["MULTI", "SET a 1", "GET a", "EXEC", "GET next"]);
    let head = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1000000\r\n";
    let begun = take(&mut client, head.len() + 500_000);
    assert!(begun.starts_with(head.as_bytes()));
    gate.open();
    assert!(take(&mut client, 500_002).ends_with(b"v\r\n"));
    assert_eq!(client.read(), "GET next");
}

#[test]
fn a_large_reply_where_a_short_one_must_stand_ends_the_link_and_reaches_nobody() {
    // The node runs the commands although it has refused MULTI.
    let fake = Fake::start(|conn| {
        for reply in ["-ERR no MULTI\r\n", "$1000000\r\n", "-ERR no EXEC\r\n"] {
            conn.next();
            conn.reply(reply);
            if reply.starts_with('$') {
                conn.reply(&format!("{}\r\n", "v".repeat(1_000_000)));
            }
        }
        conn.echo();
    });
    let front = Front::of(&[fake.port]);
    front.client().check_all(&[
        ("MULTI", "+OK"),
        ("GET a", "+QUEUED"),
        ("EXEC", "-INDETERMINATE the write may or may not have been applied"),
        ("GET b", "GET b"),
    ]);
}

#[test]
fn large_replies_that_a_client_does_not_want_are_dropped_as_they_come() {
    let fake = sized();
    let limit = [("client-output-buffer-limit", "normal 1mb 0 0"), ("threads", "1")];
    let front = Front::with(&[fake.port], &limit);
    let mut client = front.client();
    client.send(&["CLIENT REPLY SKIP", "GET 10mb", "GET a"]);
    assert_eq!(client.read(), "GET a");
    client.send(&["CLIENT REPLY OFF", "GET 10mb", "CLIENT REPLY ON", "GET b"]);
    assert_eq!((client.read().as_str(), client.read().as_str()), ("+OK", "GET b"));
    assert_eq!(cut(&front), 0.0);
}

#[test]
fn a_large_error_is_passed_on_whole() {
    let gate = Gate::default();
    let fake = in_halves("!200004\r\nERR ", 1, "", &gate);
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    client.send(&["GET a"]);
    until("it was asked", || fake.count("GET a") == 1);
    gate.open();
    assert_eq!(client.read(), "GET a", "what came of the error was not passed on");
    let fake = Fake::start(|conn| {
        while conn.next().is_some() {
            conn.reply(&format!("!200004\r\nERR {}\r\n", "x".repeat(200_000)));
        }
    });
    assert_eq!(Front::of(&[fake.port]).client().ask("GET a").len(), 200_005);
}

#[test]
fn a_setting_says_from_where_on_a_reply_is_large() {
    let gate = Gate::default();
    let fake = in_halves("$2000\r\nabc", 1, "", &gate);
    let front = Front::with(&[fake.port], &[("shared-reply-bytes-max", "1024")]);
    let mut client = front.client();
    client.send(&["GET a"]);
    assert_eq!(take(&mut client, 10), b"$2000\r\nabc");
    gate.open();
    // By default that is a small one: it was not passed on, and is asked for again.
    let fake = in_halves("$2000\r\nabc", 1, "", &gate);
    let front = Front::of(&[fake.port]);
    front.client().check("GET a", "GET a");
}

#[test]
fn a_client_that_sends_on_while_its_large_replies_come_is_answered_in_order() {
    let fake = sized();
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    let mut request = Vec::new();
    for round in 0..20 {
        slotway_resp::write::request(&mut request, &["GET", "1mb"]);
        slotway_resp::write::request(&mut request, &["GET", &round.to_string()]);
    }
    client.stream.write_all(&request).unwrap();
    for round in 0..20 {
        assert_eq!((client.read().len(), client.read()), (MIB, format!("GET {round}")));
    }
}

#[test]
fn a_large_reply_to_a_request_that_has_not_left_whole_is_followed_by_no_other() {
    let fake = Fake::start(|conn| {
        if conn.number == 0 {
            conn.stream().read_exact(&mut [0; 1000]).unwrap();
            reply_bulk(conn, MIB);
        }
        conn.stay_silent();
    });
    let settings = [("threads", "1"), ("shared-request-bytes-max", "1073741824")];
    let front = Front::with(&[fake.port], &settings);
    let mut client = front.client();
    let request =
        [b"*3\r\n$6\r\nGETSET\r\n$1\r\nk\r\n$30000000\r\n", &vec![b'v'; 30_000_000][..], b"\r\n"].concat();
    client.send_bytes(&request);
    client.check_closed();
    assert_eq!(torn(&front), 1.0);
}

#[test]
fn a_node_that_closes_after_each_large_reply_is_reached_again_at_once() {
    let fake = Fake::start(|conn| {
        conn.next();
        reply_bulk(conn, MIB);
    });
    let settings =
        [("threads", "1"), ("reconnect-backoff-ms-min", "1"), ("reconnect-backoff-ms-max", "600000")];
    let front = Front::with(&[fake.port], &settings);
    let mut client = front.client();
    for _ in 0..20 {
        assert_eq!(client.ask("GET a").len(), MIB);
    }
}
