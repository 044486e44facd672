//! Transactions that are too large to collect: their commands are sent on as they come, on a link of the client's own.

use crate::{
    commands::Three,
    front::Front,
    peer::{Peer, until},
    scripts::{ABORTED, INDETERMINATE, answer, at_first},
};

/// Commands that a transaction of this front collects: four.
fn small_steps() -> [(&'static str, &'static str); 2] {
    [("transaction-commands-max", "4"), ("threads", "1")]
}

#[test]
fn a_large_transaction_is_sent_on_as_it_comes() {
    let three = Three::with(&small_steps());
    let mut client = three.client();
    for round in 1..4 {
        let mut lines = vec!["SET {t}n 0", "GET {t}other", "MULTI", "PING"];
        lines.extend(["INCR {t}n"; 100]);
        lines.extend(["PING", "EXEC", "GET {t}n"]);
        client.send(&lines);
        let replies: Vec<String> = lines.iter().map(|_| client.read()).collect();
        assert_eq!(replies[..3], ["+OK", "nil", "+OK"]);
        assert!(replies[3..105].iter().all(|reply| reply == "+QUEUED"), "{replies:?}");
        let numbers: Vec<String> = (1..=100).map(|number| format!(":{number}")).collect();
        assert_eq!(replies[105], format!("[+PONG {} +PONG]", numbers.join(" ")), "round {round}");
        assert_eq!(replies[106], "100");
        assert_eq!(three.front.metric("slotway_proxy_leases_refused_total", &[]), 0.0);
    }
    until("one link served all rounds", || {
        three.front.metric("slotway_proxy_leased_links", &[("state", "free")]) == 1.0
    });
}

#[test]
fn a_large_value_makes_a_transaction_large() {
    let three = Three::start();
    let mut client = three.client();
    let value = "v".repeat(1_000_000);
    client.check_all(&[
        ("MULTI", "+OK"),
        ("SET {t}a 1", "+QUEUED"),
        (&format!("SET {{t}}b {value}"), "+QUEUED"),
        ("STRLEN {t}b", "+QUEUED"),
        ("EXEC", "[+OK +OK :1000000]"),
    ]);
}

#[test]
fn a_large_transaction_is_discarded_or_aborted_as_any_other() {
    let three = Three::with(&small_steps());
    let mut client = three.client();
    let fill = |client: &mut Peer| {
        client.check("MULTI", "+OK");
        (0..10).for_each(|_| client.check("INCR {t}n", "+QUEUED"));
    };
    fill(&mut client);
    client.check_all(&[("DISCARD", "+OK"), ("GET {t}n", "nil")]);
    fill(&mut client);
    client.check_all(&[
        ("SET {t}n 1 NOSUCH", "+QUEUED"),
        ("INCR", "-ERR wrong number of arguments for 'incr' command"),
    ]);
    client.check_all(&[("INCR {t}n", "+QUEUED"), ("EXEC", ABORTED), ("GET {t}n", "nil")]);
    fill(&mut client);
    client.check("SET {t}n 1 NOSUCH", "+QUEUED");
    assert!(client.ask("EXEC").ends_with(":10 -ERR syntax error]"));
    client.check("GET {t}n", "10");
    fill(&mut client);
    client.check("INCR other", "+QUEUED");
    assert!(client.ask("EXEC").starts_with("-CROSSSLOT "));
    client.check("GET {t}n", "10");
    fill(&mut client);
    client.check_all(&[("RESET", "+RESET"), ("GET {t}n", "10")]);
    fill(&mut client);
    drop(client);
    until("it has left", || three.front.clients() == 0);
    three.client().check("GET {t}n", "10");
}

#[test]
fn a_large_transaction_whose_connection_breaks_before_exec_is_aborted() {
    let fake = at_first(|conn| {
        // MULTI and two commands, then the next one; and then it is gone.
        answer(conn, &["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n"]);
    });
    let front = Front::with(&[fake.port], &[("transaction-commands-max", "2"), ("threads", "1")]);
    let mut client = front.client();
    client.check("MULTI", "+OK");
    (0..3).for_each(|_| client.check("INCR n", "+QUEUED"));
    until("the proxy has noticed", || fake.connections() == 2);
    client.check_all(&[("INCR n", "+QUEUED"), ("EXEC", ABORTED), ("GET n", "GET n")]);
    assert_eq!(fake.log(), ["MULTI", "INCR n", "INCR n", "INCR n", "GET n"]);
}

#[test]
fn a_large_transaction_whose_exec_is_lost_is_of_unknown_outcome() {
    let fake = at_first(|conn| {
        answer(conn, &["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", ""]);
    });
    let front = Front::with(&[fake.port], &[("transaction-commands-max", "2"), ("threads", "1")]);
    let mut client = front.client();
    client.check("MULTI", "+OK");
    (0..3).for_each(|_| client.check("INCR n", "+QUEUED"));
    client.check_all(&[("EXEC", INDETERMINATE), ("GET n", "GET n")]);
    assert_eq!(fake.count("EXEC"), 1);
}

#[test]
fn steps_of_a_node_that_does_not_queue_are_of_unknown_outcome() {
    let fake = at_first(|conn| {
        answer(conn, &["-ERR no MULTI\r\n", ":1\r\n", ":2\r\n", ":3\r\n"]);
        conn.stay_silent();
    });
    let front = Front::with(&[fake.port], &[("transaction-commands-max", "2"), ("threads", "1")]);
    let mut client = front.client();
    client.check_all(&[("MULTI", "+OK"), ("INCR n", "+QUEUED"), ("INCR n", "+QUEUED")]);
    let step = client.ask("INCR n");
    assert!(step == INDETERMINATE || step.starts_with("-TRYAGAIN "), "{step}");
    client.check_all(&[("EXEC", ABORTED), ("GET n", "GET n")]);
}

#[test]
fn what_the_proxy_keeps_of_a_transaction_is_bounded() {
    let three = Three::with(&small_steps());
    let mut client = three.client();
    client.check("MULTI", "+OK");
    (0..4).for_each(|_| client.check("PING", "+QUEUED"));
    client.check_all(&[
        ("PING", "-BUSY proxy limit transaction-commands-max reached"),
        ("EXEC", ABORTED),
        ("PING", "+PONG"),
    ]);
}
