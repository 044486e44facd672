//! Large requests in front of a Redis Cluster: before a byte leaves it is known who would run them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use slotway_cluster::topology::Kind;
use slotway_resp::write;

use crate::{
    backend::{Closed, Fake},
    front::{Front, topology},
    peer::{Peer, until},
};

const GONE: &str = "-TRYAGAIN shard 1 has no primary, held 0 ms";

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write::request(&mut bytes, words);
    bytes
}

fn set(key: &str) -> Vec<u8> {
    request(&[b"SET", key.as_bytes(), &[b'v'; 300_000]])
}

/// A proxy in front of a Redis Cluster whose masters listen on these ports, as far as it knows.
fn cluster(ports: &[u16], settings: &[(&str, &str)]) -> Front {
    let front = Front::with(ports, &[&[("threads", "1")], settings].concat());
    let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let mut known = topology(2, &addresses);
    known.shards.iter_mut().for_each(|shard| shard.kind = Kind::Cluster);
    front.topology.store(Arc::new(known));
    front
}

/// A node that says `OK` to what changes something, and `:0` to questions, unless `reply` knows better.
fn node(reply: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Fake {
    Fake::start(move |conn| {
        while let Some(line) = conn.next() {
            let usual = if line.starts_with("exists") { ":0\r\n" } else { "+OK\r\n" };
            let reply = reply(&line);
            conn.reply(reply.as_deref().unwrap_or(usual));
        }
    })
}

fn plain() -> Fake {
    node(|_| None)
}

/// What a node was asked, the words of large ones cut off.
fn asked(node: &Fake) -> Vec<String> {
    let short =
        |line: &String| line.split(' ').take(3).filter(|word| word.len() < 100).collect::<Vec<_>>().join(" ");
    node.log().iter().map(short).collect()
}

fn say(client: &mut Peer, bytes: &[u8]) -> String {
    client.send_bytes(bytes);
    client.read()
}

fn streamed(front: &Front) -> f64 {
    front.metric("slotway_proxy_requests_streamed_total", &[])
}

#[test]
fn one_round_trip_tells_who_would_run_it() {
    let node = plain();
    let front = cluster(&[node.port], &[]);
    let mut client = front.client();
    for version in ["2", "3"] {
        client.ask(&format!("HELLO {version}"));
        assert_eq!(say(&mut client, &set("a")), "+OK");
    }
    assert_eq!(asked(&node), ["exists a", "SET a", "exists a", "SET a"]);
    assert_eq!(streamed(&front), 2.0);
}

#[test]
fn servers_that_redirect_nobody_are_not_asked() {
    let node = plain();
    let front = Front::of(&[node.port]);
    assert_eq!(say(&mut front.client(), &set("a")), "+OK");
    assert_eq!(asked(&node), ["SET a"]);
}

#[test]
fn it_streams_to_where_its_slot_has_moved() {
    let there = plain();
    let port = there.port;
    let here = node(move |_| Some(format!("-MOVED 7 127.0.0.1:{port}\r\n")));
    let front = cluster(&[here.port], &[]);
    let mut client = front.client();
    assert_eq!(say(&mut client, &set("a")), "+OK");
    assert_eq!(
        (asked(&here), asked(&there)),
        (vec!["exists a".to_owned()], vec!["exists a".into(), "SET a".into()])
    );
}

#[test]
fn asking_goes_in_front_of_the_stream_on_its_own_connection() {
    let there = plain();
    let port = there.port;
    let here = node(move |line| line.contains("away").then(|| format!("-ASK 7 127.0.0.1:{port}\r\n")));
    let front = cluster(&[here.port], &[]);
    let mut client = front.client();
    assert_eq!(say(&mut client, &[set("away"), request(&[b"GET", b"a"])].concat()), "+OK");
    assert_eq!(client.read(), "+OK");
    assert_eq!(asked(&there), ["ASKING", "exists away", "ASKING", "SET away"]);
    assert_eq!(asked(&here), ["exists away", "GET a"]);
    assert_eq!(there.connections(), 2, "the question on the shared link, the stream on a leased one");
}

#[test]
fn a_cluster_that_is_not_ready_is_waited_for() {
    for error in ["TRYAGAIN x", "CLUSTERDOWN x", "LOADING x", "ASK 7 x"] {
        let times = AtomicUsize::new(0);
        let node = node(move |line| {
            let refused = line.starts_with("exists") && times.fetch_add(1, Ordering::SeqCst) < 3;
            refused.then(|| format!("-{error}\r\n"))
        });
        let front = cluster(&[node.port], &[]);
        let union =
            request(&[b"ZUNIONSTORE", b"{t}a", b"2", b"{t}b", b"{t}c", b"WEIGHTS", b"1", &[b'1'; 300_000]]);
        assert_eq!(say(&mut front.client(), &union), "+OK", "{error}");
        let question = "exists {t}a {t}b {t}c";
        assert_eq!(node.count(question), 4, "{error}: asked as a whole");
        assert_eq!(node.log().len(), 5);
    }
}

#[test]
fn what_no_node_would_run_is_given_up_with_the_hold() {
    let node = node(|line| line.starts_with("exists").then(|| "-CLUSTERDOWN x\r\n".to_owned()));
    let front = cluster(&[node.port], &[("hold-ms-max", "300")]);
    let mut client = front.client();
    let told = say(&mut client, &set("a"));
    assert!(told.starts_with("-TRYAGAIN shard 1 has no primary, held 30"), "{told}");
    client.check("PING", "+PONG");
    assert_eq!(streamed(&front), 0.0);
    assert_eq!(front.metric("slotway_proxy_leased_links", &[]), 0.0, "no link was taken for it");
}

#[test]
fn a_slot_without_an_owner_is_waited_for() {
    let node = plain();
    let front = cluster(&[node.port], &[("client-query-buffer-limit", "1mb"), ("hold-ms-max", "60000")]);
    let whole = front.topology.load_full();
    let mut nobodys = (*whole).clone();
    nobodys.version += 1;
    nobodys.shards[0].slots.clear();
    front.topology.store(Arc::new(nobodys));
    let mut client = front.client();
    let large = request(&[b"SET", b"a", &[b'v'; 5_000_000]]);
    let stream = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut &stream, &large).unwrap());
    let read = || front.metric("slotway_proxy_bytes_total", &[("direction", "from_clients")]);
    until("it has begun", || read() > 1000.0);
    let mut back = (*whole).clone();
    back.version += 2;
    front.topology.store(Arc::new(back));
    assert_eq!(client.read(), "+OK");
    sending.join().unwrap();
    assert_eq!(asked(&node), ["exists a", "SET a"]);
}

#[test]
fn a_slot_that_stays_without_an_owner_is_given_up_with_the_hold() {
    let node = plain();
    let front = cluster(&[node.port], &[("hold-ms-max", "300")]);
    let mut nobodys = (*front.topology.load_full()).clone();
    nobodys.version += 1;
    nobodys.shards[0].slots.clear();
    front.topology.store(Arc::new(nobodys));
    let mut client = front.client();
    let told = say(&mut client, &set("a"));
    let held = told.strip_prefix("-TRYAGAIN no shard serves this request, held ");
    let held = held.and_then(|rest| rest.strip_suffix(" ms")).unwrap_or_else(|| panic!("{told}"));
    assert!((300..5000).contains(&held.parse::<u64>().unwrap()), "{told}");
    client.check("PING", "+PONG");
}

#[test]
fn a_slot_that_moves_after_the_answer_is_the_race_that_is_left() {
    let node = node(|line| line.starts_with("SET").then(|| "-MOVED 7 127.0.0.1:1\r\n".to_owned()));
    let front = cluster(&[node.port], &[]);
    let mut client = front.client();
    assert_eq!(say(&mut client, &set("a")), GONE);
    client.check("GET b", "+OK");
}

#[test]
fn a_question_whose_connection_breaks_is_asked_again() {
    let node = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            match line.as_str() {
                "exists a" if conn.number == 0 => return,
                "exists a" => conn.reply(":0\r\n"),
                _ => conn.reply("+OK\r\n"),
            }
        }
    });
    let front = cluster(&[node.port], &[]);
    assert_eq!(say(&mut front.client(), &set("a")), "+OK");
    assert_eq!(asked(&node), ["exists a", "exists a", "SET a"]);
}

#[test]
fn a_question_that_is_not_answered_ends_with_its_time() {
    let node = Fake::start(|conn| conn.stay_silent());
    let front = cluster(&[node.port], &[("request-timeout-ms", "300")]);
    let mut client = front.client();
    assert_eq!(say(&mut client, &set("a")), "-TIMEOUT no reply from shard 1 within 300 ms");
    client.check("PING", "+PONG");
    let nobody = Closed::new();
    let front = cluster(&[nobody.port], &[("hold-ms-max", "300"), ("connect-timeout-ms", "100")]);
    let mut client = front.client();
    let told = say(&mut client, &set("a"));
    assert!(told.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{told}");
    client.check("PING", "+PONG");
}

#[test]
fn a_reply_that_is_none_to_the_question_counts_as_one() {
    let text = format!("${}\r\n{}\r\n", 200_000, "x".repeat(200_000));
    for reply in [text, "-ERR no permission\r\n".to_owned(), "*-1\r\n".to_owned()] {
        let node = node(move |line| line.starts_with("exists").then(|| reply.clone()));
        let front = cluster(&[node.port], &[]);
        let mut client = front.client();
        assert_eq!(say(&mut client, &set("a")), "+OK");
        client.check("GET a", "+OK");
    }
}

#[test]
fn who_waited_for_a_link_asks_again() {
    let node = plain();
    let front = cluster(&[node.port], &[("leased-links-per-node-max", "1")]);
    let (mut watching, mut client, mut other) = (front.client(), front.client(), front.client());
    watching.check("WATCH w", "+OK");
    client.send_bytes(&set("a"));
    until("its question was answered", || node.count("exists a") == 1);
    let began = Instant::now();
    until("the answer is old", || began.elapsed().as_millis() > 50);
    watching.check("UNWATCH", "+OK");
    assert_eq!(client.read(), "+OK");
    assert_eq!(asked(&node).iter().filter(|line| *line == "exists a").count(), 2);
    assert_eq!(say(&mut other, &set("b")), "+OK", "nobody stands in the line any more");
}

#[test]
fn whoever_waits_for_a_link_and_then_for_its_way_stands_in_nobodys_way() {
    let times = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&times);
    let node = node(move |line| {
        let again = line == "exists lost" && count.fetch_add(1, Ordering::SeqCst) > 0;
        again.then(|| "-TRYAGAIN x\r\n".to_owned())
    });
    let front = cluster(&[node.port], &[("leased-links-per-node-max", "1"), ("hold-ms-max", "60000")]);
    let (mut watching, mut lost, mut other) = (front.client(), front.client(), front.client());
    watching.check("WATCH w", "+OK");
    lost.send_bytes(&set("lost"));
    until("it waits for a link", || node.count("exists lost") == 1);
    let began = Instant::now();
    until("the answer is old", || began.elapsed().as_millis() > 50);
    watching.check("UNWATCH", "+OK");
    until("it looks for its way", || times.load(Ordering::SeqCst) > 1);
    assert_eq!(say(&mut other, &set("b")), "+OK");
}

#[test]
fn a_client_that_leaves_while_it_is_asked_leaves_nothing_behind() {
    let node = node(|line| line.starts_with("exists").then(|| "-TRYAGAIN x\r\n".to_owned()));
    let front = cluster(&[node.port], &[("hold-ms-max", "60000")]);
    let (mut operator, mut client) = (front.client(), front.client());
    let id = client.ask("CLIENT ID");
    client.send_bytes(&set("a"));
    until("it is asked for", || node.count("exists a") > 1);
    operator.check(&format!("CLIENT KILL ID {}", &id[1..]), ":1");
    client.check_closed();
    until("nothing is held", || front.metric("slotway_proxy_held_requests", &[]) == 0.0);
    let asked = node.log().len();
    operator.check("GET b", "+OK");
    assert!(node.log().len() <= asked + 2, "it is asked for still");
}
