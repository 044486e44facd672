//! Large requests that have to wait: for a link of their own, for the end of a pause, for their node.

use std::io::Write;

use crate::{
    backend::{Closed, Redis},
    front::Front,
    large_requests::{MB, leased, request, set, streamed},
    peer::{Peer, until},
};

#[test]
fn more_clients_than_links_take_turns() {
    let redis = Redis::start();
    // Streams of others take as long as the machine has other things to do.
    let settings = [("leased-links-per-node-max", "4"), ("threads", "1"), ("hold-ms-max", "60000")];
    let front = Front::with(&[redis.port], &settings);
    let mut clients: Vec<Peer> = (0..20).map(|_| front.client()).collect();
    let senders: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(number, client)| {
            let stream = client.stream.try_clone().unwrap();
            std::thread::spawn(move || {
                (&mut &stream).write_all(&set(&format!("k{number}"), 5 * MB, 0)).unwrap()
            })
        })
        .collect();
    for client in &mut clients {
        assert_eq!(client.read(), "+OK");
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    for number in 0..20 {
        clients[0].check(&format!("STRLEN k{number}"), ":5000000");
    }
    until("all links are free", || leased(&front, "leased") == 0.0 && leased(&front, "free") <= 4.0);
    assert_eq!(front.metric("slotway_proxy_leases_refused_total", &[]), 0.0);
}

#[test]
fn who_waits_for_links_that_others_watch_with_is_refused_in_the_end() {
    let redis = Redis::start();
    let settings = [("leased-links-per-node-max", "1"), ("threads", "1"), ("hold-ms-max", "200")];
    let front = Front::with(&[redis.port], &settings);
    let mut watching = front.client();
    watching.check("WATCH a", "+OK");
    let mut client = front.client();
    client.send_bytes(&[set("k", MB, 0), request(&[b"GET", b"k"])].concat());
    assert_eq!(client.read(), "-BUSY proxy limit leased-links-per-node-max reached");
    assert_eq!(client.read(), "nil");
    watching.check("UNWATCH", "+OK");
    client.send_bytes(&set("k", MB, 0));
    assert_eq!(client.read(), "+OK");
}

#[test]
fn a_pause_holds_large_writes_back() {
    let redis = Redis::start();
    let front = Front::with(&[redis.port], &[("threads", "1")]);
    let (mut pausing, mut client) = (front.client(), front.client());
    pausing.check("CLIENT PAUSE 60000 WRITE", "+OK");
    let stream = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || (&mut &stream).write_all(&set("k", 20 * MB, 0)).unwrap());
    let read = || front.metric("slotway_proxy_bytes_total", &[("direction", "from_clients")]);
    until("some of it was read", || read() > 1000.0);
    assert_eq!((streamed(&front), redis.client().ask("EXISTS k")), (0.0, ":0".to_owned()));
    pausing.check("CLIENT UNPAUSE", "+OK");
    assert_eq!(client.read(), "+OK");
    sending.join().unwrap();
}

/// Everything that clients have sent so far and was read.
fn read_bytes(front: &Front) -> f64 {
    front.metric("slotway_proxy_bytes_total", &[("direction", "from_clients")])
}

/// An operator sees in CLIENT LIST that a client of this name waits for the end of a pause.
fn is_paused(operator: &mut Peer, name: &str) -> bool {
    let list = operator.ask("CLIENT LIST");
    list.lines().any(|line| line.contains(&format!("name={name} ")) && line.contains(" flags=b "))
}

#[test]
fn a_request_that_was_given_up_before_its_link_was_up_leaves_nothing_behind() {
    let closed = Closed::new();
    let settings = [("leased-links-per-node-max", "1"), ("threads", "1"), ("hold-ms-max", "60000")];
    let front = Front::with(&[closed.port], &settings);
    let (mut operator, mut client) = (front.client(), front.client());
    let id = client.ask("CLIENT ID");
    client.send_bytes(&set("k", MB, MB - 100_000));
    until("it has begun", || leased(&front, "leased") == 1.0);
    operator.check(&format!("CLIENT KILL ID {}", &id[1..]), ":1");
    client.check_closed();
    let node = closed.open(|conn| conn.echo());
    until("its link is gone", || leased(&front, "leased") == 0.0 && leased(&front, "leaving") == 0.0);
    operator.send_bytes(&set("other", 100_000, 0));
    assert!(operator.read().starts_with("SET other v"));
    assert!(node.log().iter().all(|line| line.starts_with("SET other v")), "half a request left");
}

#[test]
fn who_waits_for_a_link_and_then_for_a_pause_stands_in_nobodys_way() {
    let redis = Redis::start();
    let settings = [("leased-links-per-node-max", "1"), ("threads", "1"), ("hold-ms-max", "500")];
    let front = Front::with(&[redis.port], &settings);
    let (mut operator, mut watching, mut client, mut other) =
        (front.client(), front.client(), front.client(), front.client());
    client.check("CLIENT SETNAME client", "+OK");
    watching.check("WATCH a", "+OK");
    let before = read_bytes(&front);
    client.send_bytes(&set("k", 70_000, 0));
    until("it waits for a link", || read_bytes(&front) > before);
    operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    watching.check("UNWATCH", "+OK");
    until("it waits for the pause", || is_paused(&mut operator, "client"));
    let read = request(&[b"GETRANGE", b"k", b"0", &[b'9'; 100_000]]);
    for _ in 0..3 {
        other.send_bytes(&read);
        assert_eq!(other.read(), "-ERR value is not an integer or out of range");
    }
    operator.check("CLIENT UNPAUSE", "+OK");
    assert_eq!(client.read(), "+OK");
}

#[test]
fn a_pause_holds_back_the_rest_of_a_write_that_has_begun() {
    let redis = Redis::start();
    let settings = [("threads", "1"), ("request-timeout-ms", "1000")];
    let front = Front::with(&[redis.port], &settings);
    let (mut operator, mut client) = (front.client(), front.client());
    client.check("CLIENT SETNAME client", "+OK");
    let bytes = set("k", MB, 0);
    client.send_bytes(&bytes[..MB]);
    until("it has begun", || leased(&front, "leased") == 1.0);
    operator.check("CLIENT PAUSE 60000 WRITE", "+OK");
    client.send_bytes(&bytes[MB..]);
    until("it waits for the pause", || is_paused(&mut operator, "client"));
    let began = std::time::Instant::now();
    until("a silent client would have been cut", || began.elapsed().as_millis() > 2500);
    assert_eq!(redis.client().ask("EXISTS k"), ":0");
    operator.check("CLIENT UNPAUSE", "+OK");
    assert_eq!(client.read(), "+OK");
    client.check("STRLEN k", ":1000000");
}

#[test]
fn a_client_that_the_proxy_makes_wait_for_a_link_is_not_idle() {
    let redis = Redis::start();
    let settings =
        [("leased-links-per-node-max", "1"), ("threads", "1"), ("hold-ms-max", "60000"), ("timeout", "1")];
    let front = Front::with(&[redis.port], &settings);
    let (mut watching, mut first, mut second) = (front.client(), front.client(), front.client());
    watching.check("WATCH a", "+OK");
    for client in [&mut first, &mut second] {
        let before = read_bytes(&front);
        client.send_bytes(&set("k", MB, 0)[..70_000]);
        until("it stands in the line", || read_bytes(&front) > before);
    }
    let began = std::time::Instant::now();
    until("an idle client would have been closed", || {
        watching.check("PING", "+PONG");
        began.elapsed().as_millis() > 3500
    });
    watching.check("UNWATCH", "+OK");
    for client in [&mut first, &mut second] {
        client.send_bytes(&set("k", MB, 0)[70_000..]);
        assert_eq!(client.read(), "+OK");
    }
}

#[test]
fn while_a_node_is_away_large_requests_leave_room_for_small_ones() {
    let closed = Closed::new();
    let settings = [("threads", "1"), ("hold-ms-max", "60000"), ("hold-bytes-max", "1048576")];
    let front = Front::with(&[closed.port], &settings);
    let mut clients: Vec<Peer> = (0..8).map(|_| front.client()).collect();
    let bytes = set("k", 300_000, 0);
    for (number, client) in (1..).zip(&mut clients) {
        client.send_bytes(&bytes);
        until("it has begun", || streamed(&front) == f64::from(number));
    }
    let mut small = front.client();
    small.send(&["GET a"]);
    let _node = closed.open(|conn| conn.echo());
    assert_eq!(small.read(), "GET a");
    for client in &mut clients {
        assert!(client.read().starts_with("SET k v"));
    }
}
