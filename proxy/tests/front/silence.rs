//! A node that keeps its connections and answers nothing: who does not need it does not wait for it, and who does is told
//! at once after a while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    backend::{Fake, bulk},
    front::{Front, topology},
    keys::key_of,
    peer::until,
};

/// Hangs on every connection until it is told to go on; a connection that was made meanwhile is not welcomed either.
fn hanging(awake: &Arc<AtomicBool>) -> Fake {
    let awake = Arc::clone(awake);
    Fake::start_raw(move |conn| {
        if conn.number > 0 {
            until("the node goes on", || awake.load(Ordering::SeqCst));
        }
        if !conn.welcome() {
            return;
        }
        while let Some(line) = conn.next() {
            until("the node goes on", || awake.load(Ordering::SeqCst));
            conn.reply(&bulk(&line));
        }
    })
}

const SETTINGS: [(&str, &str); 3] =
    [("threads", "1"), ("hold-ms-max", "1000"), ("connect-timeout-ms", "200")];

#[test]
fn what_needs_a_silent_node_is_told_so_at_once_and_nothing_else_waits() {
    let awake = Arc::new(AtomicBool::new(false));
    let hangs = hanging(&awake);
    let works = Fake::start(|conn| conn.echo());
    let front = Front::with(&[hangs.port, works.port], &SETTINGS);
    let (there, elsewhere) = (key_of(0, 2, 0), key_of(1, 2, 0));
    let mut first = front.client();
    first.send(&[&format!("GET {there}")]);
    let mut other = front.client();
    until("the proxy knows that the node is silent", || {
        let since = Instant::now();
        other.check(&format!("GET {elsewhere}"), &format!("GET {elsewhere}"));
        assert!(since.elapsed() < Duration::from_millis(500), "the other shard answers meanwhile");
        front.metric("slotway_proxy_links", &[("state", "silent")]) == 1.0
    });
    let since = Instant::now();
    let reply = other.ask(&format!("SET {there} 1"));
    assert!(reply.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{reply}");
    assert!(since.elapsed() < Duration::from_millis(500));
    // It answers again: on the same connection.
    awake.store(true, Ordering::SeqCst);
    let reply = first.read();
    let given_back = reply.starts_with("-TRYAGAIN shard 1 has no primary, held ");
    assert!(
        given_back || reply == format!("GET {there}"),
        "held for as long as may be, or answered: {reply}"
    );
    until("the link is up", || front.metric("slotway_proxy_links", &[("state", "silent")]) == 0.0);
    other.check(&format!("SET {there} 2"), &format!("SET {there} 2"));
}

#[test]
fn a_silent_node_that_is_replaced_is_not_waited_for() {
    let awake = Arc::new(AtomicBool::new(false));
    let hangs = hanging(&awake);
    let front = Front::with(&[hangs.port], &SETTINGS);
    let (mut reader, mut writer) = (front.client(), front.client());
    reader.send(&["GET a"]);
    writer.send(&["SET b 1"]);
    until("the proxy knows that the node is silent", || {
        front.metric("slotway_proxy_links", &[("state", "silent")]) == 1.0
    });
    let there = Fake::start(|conn| conn.echo());
    front.topology.store(Arc::new(topology(2, &[format!("127.0.0.1:{}", there.port)])));
    // Past its time to be held nothing is sent again.
    let read = reader.read();
    assert!(read == "GET a" || read.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{read}");
    assert_eq!(writer.read(), "-INDETERMINATE the write may or may not have been applied");
    reader.check("GET c", "GET c");
    awake.store(true, Ordering::SeqCst);
}

#[test]
fn what_a_node_that_hung_says_once_it_was_replaced_is_not_believed() {
    let awake = Arc::new(AtomicBool::new(false));
    let hangs = hanging(&awake);
    let front = Front::with(&[hangs.port], &[("threads", "1"), ("hold-ms-max", "20000")]);
    let (mut reader, mut writer) = (front.client(), front.client());
    reader.send(&["GET a"]);
    writer.send(&["SET b 1"]);
    let since = Instant::now();
    until("it has owed them replies for a while", || {
        front.client().check("PING", "+PONG");
        since.elapsed() > Duration::from_millis(800)
    });
    let there = Fake::start(|conn| conn.echo());
    front.topology.store(Arc::new(topology(2, &[format!("127.0.0.1:{}", there.port)])));
    assert_eq!(reader.read(), "GET a", "from the new one");
    assert_eq!(writer.read(), "-INDETERMINATE the write may or may not have been applied");
    assert_eq!((there.count("GET a"), there.count("SET b 1")), (1, 0));
    awake.store(true, Ordering::SeqCst);
}

#[test]
fn a_node_that_answers_on_a_new_connection_gets_one() {
    let fake = Fake::start(|conn| if conn.number == 0 { conn.stay_silent() } else { conn.echo() });
    let front = Front::with(&[fake.port], &SETTINGS);
    // Long before a reply's deadline; what waited for longer than it may be held is given back.
    let since = Instant::now();
    let reply = front.client().ask("GET a");
    assert!(reply == "GET a" || reply.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{reply}");
    until("the node answers on its new connection", || front.client().ask("GET b") == "GET b");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}
