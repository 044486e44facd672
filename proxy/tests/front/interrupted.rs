//! Transactions that a limit, a stalled node or a change of the topology interrupts: none runs in part or at the wrong
//! place, and no link keeps the rest of one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    backend::{Closed, Conn, Fake},
    commands::Three,
    front::{Front, topology},
    keys::key_of,
    peer::until,
};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";

/// A node that knows what it was told on this connection: every command changes something and answers `:1`.
fn attend(conn: &mut Conn) {
    let mut queued: Option<usize> = None;
    while let Some(line) = conn.next() {
        let word = line.split(' ').next().unwrap_or_default().to_uppercase();
        match (word.as_str(), queued) {
            ("MULTI", None) => {
                queued = Some(0);
                conn.reply("+OK\r\n");
            }
            ("MULTI", Some(_)) => conn.reply("-ERR MULTI calls can not be nested\r\n"),
            ("DISCARD", Some(_)) => {
                queued = None;
                conn.reply("+OK\r\n");
            }
            ("EXEC", Some(count)) => {
                queued = None;
                conn.reply(&format!("*{count}\r\n{}", ":1\r\n".repeat(count)));
            }
            (_, Some(count)) => {
                queued = Some(count + 1);
                conn.reply("+QUEUED\r\n");
            }
            ("WATCH" | "UNWATCH", None) => conn.reply("+OK\r\n"),
            (_, None) => conn.reply(":1\r\n"),
        }
    }
}

/// A large transaction of four commands runs whole, on a link that remembers nothing.
#[track_caller]
fn check_a_large_one_runs(front: &Front) {
    let mut client = front.client();
    client.check("MULTI", "+OK");
    (0..4).for_each(|_| client.check("INCR other", "+QUEUED"));
    client.check("EXEC", "[:1 :1 :1 :1]");
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
    assert_eq!(client.read(), "-BUSY proxy limit hold-bytes-max reached");
    assert_eq!([client.read(), client.read()], ["+QUEUED", ABORTED]);
    until("the link is in order", || fake.count("discard") == 1);
    assert_eq!(fake.count("EXEC"), 0);
    check_a_large_one_runs(&front);
}

#[test]
fn a_refused_exec_leaves_no_open_transaction_to_the_next_client() {
    let awake = Arc::new(AtomicBool::new(false));
    let fake = Fake::start({
        let awake = Arc::clone(&awake);
        move |conn| {
            until("it may answer", || awake.load(Ordering::SeqCst));
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
    awake.store(true, Ordering::SeqCst);
    let replies: Vec<String> = (0..6).map(|_| client.read()).collect();
    assert_eq!(
        replies.join(" "),
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
        conn.next();
        conn.reply("+OK\r\n");
        (0..3).for_each(|_| _ = conn.next());
        conn.reply("-ERR no MULTI\r\n-ERR x\r\n-ERR EXEC without MULTI\r\n");
        conn.stay_silent();
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut client = front.client();
    client.check_all(&[("WATCH a", "+OK"), ("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
    client.check_all(&[("EXEC", "-ERR no MULTI"), ("WATCH a", "+OK"), ("UNWATCH", "+OK")]);
}

#[test]
fn half_a_transaction_that_stood_still_for_too_long_goes_with_its_connection() {
    let awake = Arc::new(AtomicBool::new(false));
    let fake = Fake::start({
        let awake = Arc::clone(&awake);
        move |conn| {
            // The first connection is not read: its socket fills up.
            until("it may answer", || conn.number > 0 || awake.load(Ordering::SeqCst));
            attend(conn);
        }
    });
    let settings = [("transaction-commands-max", "2"), ("hold-ms-max", "500"), ("threads", "1")];
    let front = Front::with(&[fake.port], &settings);
    let mut client = front.client();
    client.check_all(&[("MULTI", "+OK"), ("INCR n", "+QUEUED"), ("INCR n", "+QUEUED")]);
    client.send(&[&format!("SET n {}", "v".repeat(16_000_000)), "INCR n", "EXEC"]);
    let steps = [client.read(), client.read()];
    assert!(steps.iter().all(|reply| reply.starts_with("-TRYAGAIN ")), "{steps:?}");
    let exec = client.read();
    assert!(exec == ABORTED || exec.starts_with("-TRYAGAIN "), "{exec}");
    awake.store(true, Ordering::SeqCst);
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
        let awake = Arc::new(AtomicBool::new(false));
        let fake = Fake::start({
            let awake = Arc::clone(&awake);
            move |conn| {
                // The link of database 0 is slow.
                until("it may answer", || conn.number > 0 || awake.load(Ordering::SeqCst));
                attend(conn);
            }
        });
        let front = Front::with(&[fake.port], &[("threads", "1")]);
        let mut client = front.client();
        client.send(pipeline);
        until("it was taken on", || front.metric("slotway_proxy_in_flight_requests", &[]) >= 1.0);
        // Behind whatever has been sent to database 1.
        front.client().check_all(&[("SELECT 1", "+OK"), ("INCR y", ":1")]);
        assert_eq!(fake.log(), ["INCR y"], "{pipeline:?}");
        awake.store(true, Ordering::SeqCst);
        pipeline.iter().for_each(|_| _ = client.read());
        assert_eq!(fake.count("SET x 1"), 1, "{pipeline:?}");
    }
}
