//! A shard without a connection: requests are held, within bounds, and sent when it is back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    backend::{Closed, Fake},
    front::{Front, topology},
    keys::key_of,
    peer::{Peer, until},
};

#[test]
fn what_is_asked_before_a_node_is_there_is_answered_once_it_is() {
    let node = Closed::new();
    // A request's deadline counts from when it could be sent, not from when it was held.
    let front = Front::with(&[node.port], &[("request-timeout-ms", "300"), ("hold-ms-max", "20000")]);
    let mut client = front.client();
    client.send(&["SET a 1", "GET a", "INCR b", "MGET a b"]);
    let mut other = front.client();
    other.send(&["GET c"]);
    until("the proxy has looked for the node for longer than a request's deadline", {
        let since = Instant::now();
        move || since.elapsed() > Duration::from_millis(600)
    });
    let fake = node.open(|conn| conn.echo());
    for line in ["SET a 1", "GET a", "INCR b", "MGET a b"] {
        assert_eq!(client.read(), line);
    }
    assert_eq!(other.read(), "GET c");
    let log = fake.log();
    assert_eq!(
        log.iter().filter(|line| *line != "GET c").collect::<Vec<_>>(),
        ["SET a 1", "GET a", "INCR b", "MGET a b"]
    );
}

#[track_caller]
pub(crate) fn check_no_primary(reply: &str, at_least_ms: u64) {
    let held = reply
        .strip_prefix("-TRYAGAIN shard 1 has no primary, held ")
        .and_then(|rest| rest.strip_suffix(" ms"));
    let held: u64 = held.unwrap_or_else(|| panic!("{reply}")).parse().unwrap();
    assert!(held >= at_least_ms, "{reply}");
}

#[test]
fn past_its_time_a_held_request_is_given_back() {
    let node = Closed::new();
    let front = Front::with(&[node.port], &[("hold-ms-max", "300"), ("connect-timeout-ms", "100")]);
    let mut client = front.client();
    let since = Instant::now();
    client.send(&["SET a 1", "GET a", "PING"]);
    check_no_primary(&client.read(), 300);
    check_no_primary(&client.read(), 300);
    assert_eq!(client.read(), "+PONG");
    assert!(since.elapsed() >= Duration::from_millis(300));
    until("nothing is held for a shard that has been down for longer", || {
        let since = Instant::now();
        check_no_primary(&client.ask("GET a"), 300);
        since.elapsed() < Duration::from_millis(100)
    });
}

#[test]
fn no_more_bytes_are_held_than_allowed() {
    let settings = [
        ("hold-bytes-max", "10000"),
        ("threads", "1"),
        ("hold-ms-max", "20000"),
        ("reconnect-backoff-ms-max", "50"),
    ];
    let node = Closed::new();
    let front = Front::with(&[node.port], &settings);
    let mut first = front.client();
    let value = "v".repeat(6000);
    first.send(&[&format!("SET a {value}")]);
    until("the proxy knows that the node is down", || {
        front.metric("slotway_proxy_links", &[("state", "down")]) == 1.0
    });
    assert_eq!(front.metric("slotway_proxy_held_requests", &[("shard", "1")]), 1.0);
    let refused = |reply: String| check_no_primary(&reply, 0);
    refused(front.client().ask(&format!("SET b {value}")));
    // All links of the shard count together.
    let mut modern = front.client();
    modern.ask("HELLO 3");
    modern.send(&["GET small"]);
    let mut elsewhere = front.client();
    elsewhere.check("SELECT 5", "+OK");
    elsewhere.send(&["GET small"]);
    until("these links are down, too", || front.metric("slotway_proxy_links", &[("state", "down")]) == 3.0);
    refused(front.client().ask(&format!("SET b {value}")));
    modern.send(&[&format!("SET b {value}")]);
    elsewhere.send(&[&format!("SET b {value}")]);
    let _fake = node.open(|conn| conn.echo());
    assert_eq!(first.read().len(), "SET a ".len() + 6000);
    for client in [&mut modern, &mut elsewhere] {
        assert_eq!(client.read(), "GET small");
        refused(client.read());
    }
}

#[test]
fn writes_that_were_not_sent_survive_a_break() {
    let back = Arc::new(AtomicBool::new(false));
    let fake = Fake::start_raw({
        let back = Arc::clone(&back);
        move |conn| {
            if conn.number == 0 && conn.welcome() {
                conn.next();
                return conn.reply("+OK\r\n");
            }
            until("the node is back", || back.load(Ordering::SeqCst));
            if conn.welcome() {
                conn.echo();
            }
        }
    });
    let front = Front::with(&[fake.port], &[("threads", "1"), ("hold-ms-max", "20000")]);
    let mut client = front.client();
    client.check("SET a 1", "+OK");
    until("the link is down", || front.metric("slotway_proxy_links", &[("state", "down")]) == 1.0);
    client.send(&["INCR a", "INCR a", "GET a"]);
    until("they are held", || front.metric("slotway_proxy_held_requests", &[]) == 3.0);
    back.store(true, Ordering::SeqCst);
    assert_eq!([client.read(), client.read(), client.read()], ["INCR a", "INCR a", "GET a"]);
    assert_eq!(fake.log(), ["SET a 1", "INCR a", "INCR a", "GET a"]);
}

#[test]
fn a_node_that_loads_its_data_is_waited_for() {
    let fake = Fake::start_raw(|conn| {
        if conn.number < 3 {
            conn.next();
            return conn.reply("-LOADING Redis is loading the dataset in memory\r\n");
        }
        if conn.welcome() {
            conn.echo();
        }
    });
    let front = Front::of(&[fake.port]);
    front.client().check_all(&[("SET a 1", "SET a 1"), ("GET a", "GET a")]);
    assert_eq!(fake.count("SET a 1"), 1);
}

#[test]
fn a_node_that_drops_its_connections_is_tried_less_and_less_often() {
    let fake = Fake::start_raw(|_| {});
    let front = Front::with(
        &[fake.port],
        &[("threads", "1"), ("hold-ms-max", "1500"), ("reconnect-backoff-ms-min", "50")],
    );
    check_no_primary(&front.client().ask("GET a"), 1500);
    // 50, 100, 200, 400, 800 ms, each at least half of it.
    assert!((3..=7).contains(&fake.connections()), "{}", fake.connections());
    // One that says hello first, too.
    let fake = Fake::start(|_| {});
    let front = Front::with(
        &[fake.port],
        &[("threads", "1"), ("hold-ms-max", "1500"), ("reconnect-backoff-ms-min", "50")],
    );
    check_no_primary(&front.client().ask("GET a"), 1500);
    assert!((3..=7).contains(&fake.connections()), "{}", fake.connections());
}

#[test]
fn a_client_that_left_is_not_waited_for() {
    let node = Closed::new();
    let front = Front::with(&[node.port], &[("hold-ms-max", "20000")]);
    let clients: Vec<Peer> = (0..10)
        .map(|_| {
            let mut client = front.client();
            client.send(&["GET a", "SET b 1"]);
            client
        })
        .collect();
    until("all are connected", || front.clients() == 10);
    drop(clients);
    // A client that closed only its sending side could still want its replies; a reset or a write tells.
    front.client().check("PING", "+PONG");
}

/// A proxy in front of a cluster that it knows nothing of yet.
fn before_its_cluster(hold_ms_max: &str) -> Front {
    let settings = [("backends", ""), ("cluster", "127.0.0.1:1"), ("hold-ms-max", hold_ms_max)];
    Front::with(&[], &settings)
}

#[test]
fn until_a_topology_is_known_what_needs_a_node_waits_for_it() {
    let front = before_its_cluster("20000");
    let mut waiting: Vec<Peer> = ["GET a", "MGET a b", "MULTI", "SCAN 0", "DBSIZE", "WATCH a"]
        .iter()
        .map(|line| {
            let mut client = front.client();
            client.check("PING", "+PONG");
            client.send(&[line]);
            client
        })
        .collect();
    front.client().check_all(&[("PING", "+PONG"), ("SELECT 0", "+OK")]);
    let node = Fake::start(|conn| conn.echo());
    front.topology.store(Arc::new(topology(2, &[format!("127.0.0.1:{}", node.port)])));
    let first: Vec<String> = waiting.iter_mut().take(3).map(Peer::read).collect();
    assert_eq!(first, ["GET a", "MGET a b", "+OK"]);
    until("the others were asked, too", || {
        ["SCAN 0", "DBSIZE", "WATCH a"].iter().all(|line| node.log().iter().any(|asked| asked == line))
    });
}

#[test]
fn what_was_taken_on_first_is_given_up_first_wherever_it_stands() {
    let nobody = Closed::new();
    let here = Fake::start(|conn| {
        while conn.next().is_some() {
            conn.reply("-LOADING x\r\n");
        }
    });
    let settings = [("hold-ms-max", "2000"), ("connect-timeout-ms", "100"), ("threads", "1")];
    let front = Front::with(&[here.port, nobody.port], &settings);
    let (mut first, mut second) = (front.client(), front.client());
    let began = Instant::now();
    first.send(&[&format!("GET {}", key_of(0, 2, 0))]);
    until("most of its time is over", || began.elapsed() > Duration::from_millis(1300));
    second.send(&[&format!("GET {}", key_of(1, 2, 0))]);
    until("both are held", || front.metric("slotway_proxy_held_requests", &[]) == 2.0);
    // Now it stands behind the other one.
    front.topology.store(Arc::new(topology(2, &[format!("127.0.0.1:{}", nobody.port)])));
    let told = first.read();
    let held = told.split(' ').nth_back(1).and_then(|word| word.parse::<u64>().ok());
    assert!(held.is_some_and(|ms| (2000..3000).contains(&ms)), "{told}");
    let told = second.read();
    assert!(told.starts_with("-TRYAGAIN shard "), "{told}");
}
