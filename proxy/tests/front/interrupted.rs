//! Transactions that a limit, a stalled node or a change of the topology interrupts: none runs in part or at the wrong
//! place, and no link keeps the rest of one.

use std::sync::Arc;

use crate::{
    backend::{Closed, Fake},
    commands::Three,
    front::{Front, topology},
    keys::key_of,
    peer::until,
    scripts::{ABORTED, Gate, answer, answer_together, attend, read_all},
};

/// A large transaction of four commands runs whole, on a link that remembers nothing.
#[track_caller]
fn check_a_large_one_runs(front: &Front) {
    let mut client = front.client();
    client.check("MULTI", "+OK");
    (0..4).for_each(|_| client.check("INCR other", "+QUEUED"));
    client.check("EXEC", "[:1 :1 :1 :1]");
}

/// A node that leaves its first connection unread until the gate opens.
fn slow_at_first(gate: &Gate) -> Fake {
    let gate = gate.clone();
    Fake::start(move |conn| {
        if conn.number == 0 {
            gate.wait();
        }
        attend(conn);
    })
}

#[test]
fn a_command_that_is_refused_on_its_way_aborts_the_transaction() {
    let settings = [
        ("transaction-commands-max", "2"),
        ("hold-bytes-max", "10000"),
        ("hold-ms-max", "20000"),
        ("reconnect-backoff-ms-max", "50"),
        ("threads", "1"),
    ];
    let node = Closed::new();
    let front = Front::with(&[node.port], &settings);
    let mut client = front.client();
    client.check_all(&[("MULTI", "+OK"), ("INCR n", "+QUEUED"), ("INCR n", "+QUEUED")]);
    client.send(&["INCR n"]);
    until("its link is down", || front.metric("slotway_proxy_links", &[("state", "down")]) == 1.0);
    client.send(&[&format!("SET n {}", "v".repeat(10_000)), "INCR n", "EXEC"]);
    until("it was refused", || front.metric("slotway_proxy_errors_total", &[("kind", "busy")]) == 1.0);
    let fake = node.open(attend);
    assert_eq!(client.read(), "+QUEUED");
    let told = client.read();
    assert!(told.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{told}");
    assert_eq!([client.read(), client.read()], ["+QUEUED", ABORTED]);
    until("the link is in order", || fake.count("discard") == 1);
    assert_eq!(fake.count("EXEC"), 0);
    check_a_large_one_runs(&front);
}

#[test]
fn a_refused_exec_leaves_no_open_transaction_to_the_next_client() {
    let gate = Gate::default();
    let fake = Fake::start({
        let gate = gate.clone();
        move |conn| {
            gate.wait();
            attend(conn);
        }
    });
    let settings =
        [("transaction-commands-max", "2"), ("requests-in-flight-per-link", "3"), ("threads", "1")];
    let front = Front::with(&[fake.port], &settings);
    let mut client = front.client();
    // A head and two steps are three.
    client.send(&["MULTI", "INCR n", "INCR n", "INCR n", "INCR n", "EXEC"]);
    until("EXEC was refused", || front.metric("slotway_proxy_errors_total", &[("kind", "busy")]) >= 1.0);
    gate.open();
    assert_eq!(
        read_all(&mut client, 6),
        "+OK +QUEUED +QUEUED +QUEUED +QUEUED -BUSY proxy limit requests-in-flight-per-link reached"
    );
    assert_eq!(fake.count("EXEC"), 0);
    check_a_large_one_runs(&front);
}

#[test]
fn a_refused_exec_leaves_nothing_watched_to_the_next_client() {
    let fake = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            if line.starts_with("GET") {
                // Answered late: behind it the link is full.
                conn.next();
                conn.reply("$1\r\nv\r\n");
            }
            conn.reply("+OK\r\n");
        }
    });
    let settings = [("bytes-in-flight-max", "1mb"), ("transaction-bytes-max", "4mb"), ("threads", "1")];
    let front = Front::with(&[fake.port], &settings);
    let mut client = front.client();
    client.check("WATCH a", "+OK");
    client.send(&["GET a", "MULTI", &format!("SET a {}", "v".repeat(2_000_000)), "EXEC"]);
    assert_eq!([client.read(), client.read(), client.read()], ["v", "+OK", "+QUEUED"]);
    assert_eq!(client.read(), "-BUSY proxy limit bytes-in-flight-max reached");
    assert_eq!(fake.log(), ["WATCH a", "GET a", "unwatch"]);
}

#[test]
fn a_connection_on_which_multi_was_refused_is_not_used_again() {
    let fake = Fake::start(|conn| {
        if conn.number > 0 {
            return attend(conn);
        }
        answer(conn, &["+OK\r\n"]);
        answer_together(conn, 3, "-ERR no MULTI\r\n-ERR x\r\n-ERR EXEC without MULTI\r\n");
        conn.stay_silent();
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut client = front.client();
    client.check_all(&[("WATCH a", "+OK"), ("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
    client.check_all(&[("EXEC", "-ERR no MULTI"), ("WATCH a", "+OK"), ("UNWATCH", "+OK")]);
}

#[test]
fn half_a_transaction_that_stood_still_for_too_long_goes_with_its_connection() {
    // The first connection is not read: its socket fills up.
    let gate = Gate::default();
    let fake = slow_at_first(&gate);
    let settings = [("transaction-commands-max", "2"), ("hold-ms-max", "500"), ("threads", "1")];
    let front = Front::with(&[fake.port], &settings);
    let mut client = front.client();
    client.check_all(&[("MULTI", "+OK"), ("INCR n", "+QUEUED"), ("INCR n", "+QUEUED")]);
    client.send(&[&format!("SET n {}", "v".repeat(16_000_000)), "INCR n", "EXEC"]);
    let steps = [client.read(), client.read()];
    assert!(steps.iter().all(|reply| reply.starts_with("-TRYAGAIN ")), "{steps:?}");
    let exec = client.read();
    assert!(exec == ABORTED || exec.starts_with("-TRYAGAIN "), "{exec}");
    gate.open();
    check_a_large_one_runs(&front);
    assert_eq!(fake.count("EXEC"), 1);
}

#[test]
fn a_large_transaction_does_not_run_at_a_former_owner_of_its_slot() {
    let three = Three::with(&[("transaction-commands-max", "2"), ("threads", "1")]);
    let key = key_of(0, 3, 0);
    let mut client = three.client();
    client.check("MULTI", "+OK");
    (0..5).for_each(|_| client.check(&format!("INCR {key}"), "+QUEUED"));
    let ports: Vec<String> =
        three.servers.iter().rev().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    three.front.topology.store(Arc::new(topology(2, &ports)));
    client.check("EXEC", ABORTED);
    for server in &three.servers {
        server.client().check(&format!("EXISTS {key}"), ":0");
    }
}

#[test]
fn select_in_a_transaction_waits_for_what_is_under_way_in_the_database_before() {
    let pipelines: [&[&str]; 2] = [
        &["FLUSHALL", "MULTI", "SELECT 1", "SET x 1", "EXEC"],
        &["FLUSHALL", "MULTI", "SELECT 1", "EXEC", "SET x 1"],
    ];
    for pipeline in pipelines {
        // The link of database 0 is slow.
        let gate = Gate::default();
        let fake = slow_at_first(&gate);
        let front = Front::with(&[fake.port], &[("threads", "1")]);
        let mut client = front.client();
        client.send(pipeline);
        until("it was taken on", || front.metric("slotway_proxy_in_flight_requests", &[]) >= 1.0);
        // Behind whatever has been sent to database 1.
        front.client().check_all(&[("SELECT 1", "+OK"), ("INCR y", ":1")]);
        assert_eq!(fake.log(), ["INCR y"], "{pipeline:?}");
        gate.open();
        pipeline.iter().for_each(|_| _ = client.read());
        assert_eq!(fake.count("SET x 1"), 1, "{pipeline:?}");
    }
}
