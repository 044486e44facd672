//! Stopping, idle links, and a topology that changes under way.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    backend::Fake,
    commands::Three,
    front::{Front, topology},
    peer::{Peer, until},
};

#[test]
fn stopping_answers_what_is_in_flight_and_closes() {
    let open = Arc::new(AtomicBool::new(false));
    let fake = Fake::start({
        let open = Arc::clone(&open);
        move |conn| {
            while let Some(line) = conn.next() {
                until("the test lets the node answer", || open.load(Ordering::SeqCst));
                conn.reply(&crate::backend::bulk(&line));
            }
        }
    });
    let mut front = Front::of(&[fake.port]);
    let (mut busy, mut idle) = (front.client(), front.client());
    idle.check("PING", "+PONG");
    busy.send(&["GET a", "SET a 1"]);
    until("the node has the requests", || !fake.log().is_empty());
    let (port, id) = (front.port, idle.ask("CLUSTER MYID"));
    std::thread::scope(|scope| {
        scope.spawn(|| front.stop(Duration::from_secs(20)));
        idle.check_closed();
        // Somebody else may have got the port by now.
        until("this proxy accepts nobody any more", || {
            let stream = TcpStream::connect(("127.0.0.1", port));
            stream.map_or(true, |stream| Peer::of(stream).try_ask("CLUSTER MYID").as_ref() != Some(&id))
        });
        open.store(true, Ordering::SeqCst);
        assert_eq!([busy.read(), busy.read()], ["GET a", "SET a 1"]);
        busy.check_closed();
    });
}

#[test]
fn stopping_does_not_wait_for_ever_for_a_client_that_does_not_read() {
    let mut three = Three::start();
    let mut lazy = three.client();
    lazy.check(&format!("SET big {}", "v".repeat(1_000_000)), "+OK");
    lazy.send(&["GET big"; 50]);
    until("its replies wait", || {
        three.front.metric("slotway_proxy_bytes_total", &[("direction", "to_clients")]) > 1e6
    });
    let since = Instant::now();
    three.front.stop(Duration::from_millis(300));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[test]
fn a_link_that_nobody_uses_is_closed_and_opened_again_when_needed() {
    let closed = Arc::new(AtomicBool::new(false));
    let fake = Fake::start({
        let closed = Arc::clone(&closed);
        move |conn| {
            conn.echo();
            closed.store(true, Ordering::SeqCst);
        }
    });
    let front = Front::with(&[fake.port], &[("link-idle-close-s", "1"), ("threads", "1")]);
    let mut client = front.client();
    client.check("GET a", "GET a");
    until("the idle link is closed", || closed.load(Ordering::SeqCst));
    until("and forgotten", || front.metric("slotway_proxy_links", &[]) == 0.0);
    client.check("GET b", "GET b");
    assert_eq!(fake.connections(), 2);
}

#[test]
fn requests_for_one_key_never_travel_on_two_links_at_a_time() {
    let open = Arc::new(AtomicBool::new(false));
    let old = Fake::start({
        let open = Arc::clone(&open);
        move |conn| {
            while let Some(line) = conn.next() {
                until("the test lets the node answer", || open.load(Ordering::SeqCst));
                conn.reply(&crate::backend::bulk(&line));
            }
        }
    });
    let new = Fake::start(|conn| conn.echo());
    let front = Front::with(&[old.port], &[("threads", "1")]);
    let mut client = front.client();
    client.send(&["SET k 1"]);
    until("the old node has it", || old.log().len() == 1);
    front.topology.store(Arc::new(topology(2, &[format!("127.0.0.1:{}", new.port)])));
    // Another client shows that the thread knows the new topology.
    front.client().check("GET other", "GET other");
    client.send(&["SET k 2", "GET k"]);
    let mut other = front.client();
    (0..100).for_each(|_| other.check("GET other", "GET other"));
    assert_eq!(new.count("SET k 2"), 0, "sent while the old node had not answered");
    open.store(true, Ordering::SeqCst);
    assert_eq!([client.read(), client.read(), client.read()], ["SET k 1", "SET k 2", "GET k"]);
    assert_eq!((old.log().len(), new.count("SET k 2")), (1, 1));
}

#[test]
fn a_topology_that_leads_to_the_same_places_keeps_the_links() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let mut client = front.client();
    for version in 2..20 {
        client.check("GET a", "GET a");
        front.topology.store(Arc::new(topology(version, &[format!("127.0.0.1:{}", fake.port)])));
    }
    assert_eq!(fake.connections(), 1);
    assert_eq!(front.metric("slotway_proxy_topology_version", &[]), 19.0);
}

#[test]
fn without_shards_nobody_waits_for_ever() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::of(&[fake.port]);
    front.topology.store(Arc::new(topology(2, &[])));
    let mut client = front.client();
    let none = "-CLUSTERDOWN Hash slot not served";
    client.check_all(&[
        ("GET a", none),
        ("MGET a b", none),
        ("DBSIZE", none),
        ("RANDOMKEY", none),
        ("CONFIG SET maxmemory-policy noeviction", none),
        ("CONFIG GET maxclients", "[maxclients 10000]"),
        ("SCAN 0", "[0 []]"),
        ("PING", "+PONG"),
    ]);
    assert!(client.ask("INFO").starts_with("-CLUSTERDOWN"));
}

#[test]
fn clients_that_break_off_leave_nothing_behind() {
    let three = Three::start();
    for round in 0..50 {
        let mut client = three.client();
        client.send(&["GET a", "MGET a b c", "SCAN 0", "CLIENT LIST", "INFO"]);
        if round % 2 == 0 {
            // Unread replies make this a reset.
            client.check("PING", "nil");
        }
    }
    until("all have left", || three.front.clients() == 0);
    three.client().check("GET a", "nil");
}
