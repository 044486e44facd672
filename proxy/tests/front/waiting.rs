//! WAIT: asked of every shard on links of its own, behind what its client wrote, beside everybody else.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use slotway_cluster::topology::Kind;

use crate::{
    backend::{Closed, Fake},
    front::{Front, topology},
    keys::key_of,
    peer::{Peer, until},
};

/// A node that answers OK, and WAIT with this number.
fn node(holders: usize) -> Fake {
    Fake::start(move |conn| {
        while let Some(line) = conn.next() {
            match line.split(' ').next() {
                Some("WAIT") => conn.reply(&format!(":{holders}\r\n")),
                Some("WAITAOF") => conn.reply(&format!("*2\r\n:1\r\n:{holders}\r\n")),
                _ => conn.reply("+OK\r\n"),
            }
        }
    })
}

/// A node that answers a request that begins with `held` only when it may.
fn holding(held: &'static str) -> (Fake, Arc<AtomicBool>) {
    let may = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&may);
    let fake = Fake::start(move |conn| {
        while let Some(line) = conn.next() {
            if line.starts_with(held) {
                until("it may answer", || seen.load(Ordering::SeqCst));
            }
            match line.starts_with("WAIT") {
                true => conn.reply(":1\r\n"),
                false => conn.reply("+OK\r\n"),
            }
        }
    });
    (fake, may)
}

/// In front of Slotway nodes.
fn front(ports: &[u16], settings: &[(&str, &str)]) -> Front {
    let front = Front::with(ports, &[settings, &[("threads", "1")]].concat());
    let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let mut of_nodes = topology(2, &addresses);
    of_nodes.shards.iter_mut().for_each(|shard| shard.kind = Kind::Slotway);
    front.topology.store(Arc::new(of_nodes));
    until("the proxy knows", || front.client().ask("PROXY EXPLAIN WAIT 0 0").contains("leased"));
    front
}

fn leased(front: &Front) -> f64 {
    front.metric("slotway_proxy_leased_links", &[("state", "leased")])
}

fn waits(fake: &Fake) -> usize {
    fake.log().iter().filter(|line| line.starts_with("WAIT")).count()
}

#[test]
fn of_disks_each_number_is_the_smallest_of_all_shards() {
    let nodes = [node(3), node(1)];
    let front = front(&nodes.each_ref().map(|node| node.port), &[]);
    let mut client = front.client();
    client.check_all(&[("SET k v", "+OK"), ("WAITAOF 1 2 1000", "[:1 :1]"), ("PING", "+PONG")]);
    let waited = |fake: &Fake| fake.log().iter().filter(|line| *line == "WAITAOF 1 2 1000").count();
    assert!(nodes.iter().all(|node| waited(node) == 1));
    client.check_all(&[("WAITAOF x 0 0", "-ERR value is not an integer or out of range")]);
}

#[test]
fn the_answer_is_the_smallest_of_all_shards() {
    let nodes = [node(3), node(1), node(2)];
    let front = front(&nodes.each_ref().map(|node| node.port), &[]);
    let mut client = front.client();
    client.check_all(&[("WAIT 2 1000", ":1"), ("WAIT 0 0", ":1"), ("PING", "+PONG"), ("WAIT 1 0", ":1")]);
    for node in &nodes {
        assert_eq!(node.log(), ["WAIT 2 1000", "WAIT 0 0", "WAIT 1 0"]);
        assert!(node.connections() <= 2, "links are taken again");
    }
    client.ask("HELLO 3");
    client.check_all(&[("SELECT 3", "+OK"), ("WAIT 1 5", ":1"), ("MULTI", "+OK"), ("DISCARD", "+OK")]);
}

#[test]
fn it_is_asked_when_what_its_client_wrote_is_answered() {
    let (first, may) = holding("SET");
    let second = node(1);
    let front = front(&[first.port, second.port], &[]);
    let (mut client, mut other) = (front.client(), front.client());
    let (here, there) = (key_of(0, 2, 0), key_of(1, 2, 0));
    client.send(&[&format!("SET {here} 1"), "WAIT 1 1000", &format!("SET {there} 2")]);
    until("the write has come", || first.log().len() == 1);
    other.check(&format!("GET {there}"), "+OK");
    assert_eq!((waits(&first), waits(&second)), (0, 0));
    may.store(true, Ordering::SeqCst);
    assert_eq!([client.read(), client.read(), client.read()], ["+OK", ":1", "+OK"]);
    assert_eq!(second.log()[1..], ["WAIT 1 1000".to_owned(), format!("SET {there} 2")]);
}

#[test]
fn nobody_else_waits_and_no_deadline_cuts_it_short() {
    let (fake, may) = holding("WAIT");
    let (silent, _) = holding("GET");
    let front = front(&[fake.port, silent.port], &[("request-timeout-ms", "100")]);
    let (mut for_ever, mut for_long, mut other) = (front.client(), front.client(), front.client());
    for_ever.send(&["WAIT 1 0", "PING"]);
    for_long.send(&["WAIT 1 60000"]);
    until("they wait", || waits(&fake) == 2 && waits(&silent) == 2);
    let (here, there) = (key_of(0, 2, 0), key_of(1, 2, 0));
    for _ in 0..3 {
        other.check(&format!("SET {here} 1"), "+OK");
        // This takes longer than a request may.
        let reply = other.ask(&format!("GET {there}"));
        assert!(reply.starts_with('-'), "{reply}");
    }
    may.store(true, Ordering::SeqCst);
    assert_eq!([for_ever.read(), for_ever.read()], [":1", "+PONG"]);
    assert_eq!(for_long.read(), ":1");
    until("the links are given back", || leased(&front) == 0.0);
}

#[test]
fn a_node_that_does_not_answer_in_time_is_given_up() {
    let (fake, may) = holding("WAIT");
    let front = front(&[fake.port], &[("request-timeout-ms", "100")]);
    let mut client = front.client();
    let reply = client.ask("WAIT 1 100");
    assert!(reply.starts_with("-TIMEOUT"), "{reply}");
    may.store(true, Ordering::SeqCst);
    client.check("WAIT 1 100", ":1");
    assert_eq!(fake.count("WAIT 1 100"), 2);
}

#[test]
fn a_client_that_leaves_gives_its_links_back() {
    let left = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&left);
    let fake = Fake::start(move |conn| {
        while let Some(line) = conn.next() {
            if line.starts_with("WAIT") {
                conn.stay_silent();
                seen.fetch_add(1, Ordering::SeqCst);
            } else {
                conn.reply("+OK\r\n");
            }
        }
    });
    let front = front(&[fake.port], &[("leased-links-per-node-max", "1")]);
    for round in 1..=3 {
        let mut client = front.client();
        client.send(&["SET a 1", "WAIT 1 0", "SET b 2"]);
        assert_eq!(client.read(), "+OK");
        until("it waits", || waits(&fake) == round);
        front.client().check("WAIT 1 0", "-BUSY proxy limit leased-links-per-node-max reached");
        until("its link is counted", || leased(&front) == 1.0);
        drop(client);
        until("the node is left", || left.load(Ordering::SeqCst) == round);
        until("nothing is leased", || front.metric("slotway_proxy_leased_links", &[]) == 0.0);
    }
    assert_eq!(fake.count("SET b 2"), 0);
}

#[test]
fn a_shard_without_a_primary_is_an_error() {
    let works = node(1);
    let away = Closed::new();
    let breaks = Fake::start(|conn| {
        conn.next();
    });
    let settings = [("hold-ms-max", "200"), ("connect-timeout-ms", "100")];
    let refused = |reply: String| assert!(reply.starts_with("-TRYAGAIN shard 2 has no primary"), "{reply}");
    refused(front(&[works.port, away.port], &settings).client().ask("WAIT 1 0"));
    refused(front(&[works.port, breaks.port], &settings).client().ask("WAIT 1 0"));
    assert_eq!(breaks.count("WAIT 1 0"), 1, "it is not asked again");
    let loads = Fake::start(|conn| {
        while conn.next().is_some() {
            conn.reply("-LOADING dataset\r\n");
        }
    });
    refused(front(&[works.port, loads.port], &settings).client().ask("WAIT 1 0"));
}

#[test]
fn what_cannot_be_asked_is_refused_before_anything_is_sent() {
    let fake = node(1);
    let front = front(&[fake.port], &[]);
    front.client().check_all(&[
        ("WAIT x 0", "-ERR value is not an integer or out of range"),
        ("WAIT 1 x", "-ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "-ERR timeout is negative"),
        ("WAIT 1", "-ERR wrong number of arguments for 'wait' command"),
        ("MULTI", "+OK"),
        ("WAIT 1 0", "-ERR Command not allowed inside a transaction"),
        ("DISCARD", "+OK"),
    ]);
    assert_eq!(waits(&fake), 0);
    let of_redis = Front::of(&[fake.port]);
    let mut client: Peer = of_redis.client();
    let refused = "-ERR WAIT through a proxy needs Slotway nodes behind it; ask the server itself";
    client.check("WAIT 0 0", refused);
    assert_eq!(waits(&fake), 0);
}
