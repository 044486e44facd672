//! Transactions that are sent as one piece, and nodes that are down, slow, or do not do what they should with them.

use std::time::Duration;

use crate::{
    backend::{Closed, Fake},
    front::Front,
    peer::until,
    scripts::{ABORTED, INDETERMINATE, answer_together, at_first, read_all},
};

/// A node whose first connection gets a piece of one command and answers this.
fn answering(replies: &'static str) -> Fake {
    at_first(move |conn| {
        answer_together(conn, 3, replies);
        conn.echo();
    })
}

#[test]
fn the_piece_is_sent_whole_and_only_execs_reply_is_passed_on() {
    let fake = answering("+OK\r\n+QUEUED\r\n*1\r\n+ran\r\n");
    let front = Front::of(&[fake.port]);
    front.client().check_all(&[
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("EXEC", "[+ran]"),
        ("GET a", "GET a"),
    ]);
    assert_eq!(fake.log(), ["MULTI", "SET a 1", "EXEC", "GET a"]);
}

#[test]
fn what_a_faulty_node_says_to_a_transaction_is_told_honestly() {
    let unknown = "-ERR unknown command 'MULTI', with args beginning with: ";
    for (replies, told) in [
        ("+OK\r\n-ERR x\r\n-EXECABORT y\r\n", ABORTED),
        ("+OK\r\n-OOM x\r\n-EXECABORT y\r\n", ABORTED),
        ("+OK\r\n+QUEUED\r\n-EXECABORT because\r\n", "-EXECABORT because"),
        ("+OK\r\n+QUEUED\r\n*-1\r\n", "nil"),
        ("-ERR unknown command 'MULTI', with args beginning with: \r\n-ERR x\r\n-ERR y\r\n", unknown),
        ("-ERR no MULTI\r\n+OK\r\n-ERR EXEC without MULTI\r\n", INDETERMINATE),
    ] {
        let fake = answering(replies);
        let front = Front::of(&[fake.port]);
        let mut client = front.client();
        client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", told), ("GET a", "GET a")]);
        assert_eq!((fake.connections(), fake.count("SET a 1")), (1, 1), "{replies:?}");
    }
}

#[test]
fn a_piece_whose_connection_breaks_is_of_unknown_outcome_and_never_sent_again() {
    for replies in [
        "",
        "+OK\r\n",
        "+OK\r\n+QUEUED\r\n",
        "+OK\r\n+QUEUED\r\n*1\r\n$5\r\nab",
        "?!\r\n",
        "+OK\r\n?",
        "+OK\r\n+OK\r\n*1\r\n+OK\r\n",
        "$1\r\na\r\n",
    ] {
        let fake = at_first(move |conn| answer_together(conn, 3, replies));
        let front = Front::of(&[fake.port]);
        let mut client = front.client();
        client.check_all(&[
            ("MULTI", "+OK"),
            ("GET a", "+QUEUED"),
            ("EXEC", INDETERMINATE),
            ("GET b", "GET b"),
        ]);
        assert_eq!((fake.count("MULTI"), fake.count("GET a"), fake.count("EXEC")), (1, 1, 1), "{replies:?}");
        assert_eq!(front.metric("slotway_proxy_errors_total", &[("kind", "indeterminate")]), 1.0);
    }
}

#[test]
fn a_piece_that_is_not_answered_in_time_is_of_unknown_outcome() {
    for replies in ["", "+OK\r\n", "+OK\r\n+QUEUED\r\n"] {
        let fake = at_first(move |conn| {
            answer_together(conn, 3, replies);
            conn.stay_silent();
        });
        let front = Front::with(&[fake.port], &[("request-timeout-ms", "200"), ("threads", "1")]);
        let mut client = front.client();
        client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("EXEC", INDETERMINATE)]);
        until("the next link answers", || client.ask("GET b") == "GET b");
        assert_eq!(fake.count("SET a 1"), 1);
    }
}

#[test]
fn a_slow_node_is_waited_for_and_what_is_behind_comes_behind() {
    let fake = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            let reply = match line.as_str() {
                "MULTI" => "+OK\r\n",
                "EXEC" => "*1\r\n+ran\r\n",
                "GET b" => "$1\r\nb\r\n",
                _ => "+QUEUED\r\n",
            };
            std::thread::park_timeout(Duration::from_millis(30));
            for byte in reply.chars() {
                conn.reply(&byte.to_string());
            }
        }
    });
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    client.send(&["MULTI", "SET a 1", "EXEC", "GET b", "MULTI", "GET a", "EXEC"]);
    assert_eq!(read_all(&mut client, 7), "+OK +QUEUED [+ran] b +OK +QUEUED [+ran]");
}

#[test]
fn a_transaction_for_a_shard_that_is_down_is_held_and_given_back() {
    let node = Closed::new();
    let front = Front::with(&[node.port], &[("hold-ms-max", "300"), ("connect-timeout-ms", "100")]);
    let mut client = front.client();
    client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
    assert!(client.ask("EXEC").starts_with("-TRYAGAIN shard 1 has no primary, held "));
    client.check_all(&[("MULTI", "+OK"), ("EXEC", "[]")]);
}

#[test]
fn a_held_transaction_runs_once_its_shard_is_back() {
    let node = Closed::new();
    let front = Front::with(&[node.port], &[("hold-ms-max", "20000")]);
    let mut client = front.client();
    client.send(&["MULTI", "SET a 1", "EXEC"]);
    assert_eq!([client.read(), client.read()], ["+OK", "+QUEUED"]);
    let fake = node.open(|conn| {
        answer_together(conn, 3, "+OK\r\n+QUEUED\r\n*1\r\n+ran\r\n");
        conn.stay_silent();
    });
    assert_eq!(client.read(), "[+ran]");
    assert_eq!(fake.log(), ["MULTI", "SET a 1", "EXEC"]);
}
