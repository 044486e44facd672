//! Stopping, idle links, and a topology that changes under way.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use slotway_cluster::Topology;

use crate::{
    backend::{Fake, Redis},
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

/// The answer when nobody owned the slot for as long as requests are held.
fn is_given_up(reply: &str) -> bool {
    reply.starts_with("-TRYAGAIN no shard serves this request, held ")
}

#[test]
fn without_shards_nobody_waits_for_ever() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::with(&[fake.port], &[("hold-ms-max", "20")]);
    front.topology.store(Arc::new(topology(2, &[])));
    let mut client = front.client();
    for request in [
        "GET a",
        "MGET a b",
        "DBSIZE",
        "RANDOMKEY",
        "SCAN 0",
        "WATCH a",
        "INFO",
        "CONFIG SET maxmemory-policy noeviction",
    ] {
        let reply = client.ask(request);
        assert!(is_given_up(&reply), "{request}: {reply}");
    }
    client.check_all(&[("CONFIG GET maxclients", "[maxclients 10000]"), ("PING", "+PONG")]);
    client.check_all(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED")]);
    assert!(is_given_up(&client.ask("EXEC")));
    client.check("EXEC", "-ERR EXEC without MULTI");
    assert_eq!(fake.log(), [""; 0]);
}

#[test]
fn requests_whose_slot_nobody_owns_wait_for_its_owner_in_order() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("threads", "2")]);
    let owned = front.topology.load_full();
    front.topology.store(Arc::new(topology(2, &[])));
    let sent = [
        "SET a 1",
        "INCR a",
        "MGET a b",
        "CLIENT REPLY SKIP",
        "SET b 2",
        "DBSIZE",
        "MULTI",
        "GET b",
        "EXEC",
        "SCAN 0",
    ];
    let mut clients: Vec<Peer> = (0..4).map(|_| front.client()).collect();
    clients.iter_mut().for_each(|client| client.send(&sent[..1]));
    clients[0].send(&sent[1..]);
    front.client().check("PING", "+PONG");
    assert_eq!(redis.client().ask("DBSIZE"), ":0");
    front.topology.store(Arc::new(Topology { version: 3, ..(*owned).clone() }));
    assert_eq!(clients[3].read(), "+OK");
    let replies: Vec<String> = (0..8).map(|_| clients[0].read()).collect();
    assert_eq!(replies[0], "+OK");
    assert_eq!(replies[3..7], [":2", "+OK", "+QUEUED", "[2]"]);
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
