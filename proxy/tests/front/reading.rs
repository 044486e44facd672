//! Reads from replicas, where `read-from` asks for them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use slotway_cluster::{
    NodeId, Topology,
    topology::{Kind, Node},
};

use crate::{
    backend::{Closed, Conn, Fake, Redis, bulk},
    front::{Front, topology},
    peer::until,
};

/// Answers every request with its own words behind a name.
fn named(name: &'static str) -> Fake {
    Fake::start(move |conn| answer_as(conn, name))
}

fn answer_as(conn: &mut Conn, name: &str) {
    while let Some(line) = conn.next() {
        conn.reply(&bulk(&format!("{name}: {line}")));
    }
}

/// One shard: the first port its primary, the others its replicas.
fn shard_of(version: u64, kind: Kind, ports: &[u16]) -> Topology {
    let address = |port: &u16| format!("127.0.0.1:{port}");
    let mut one = topology(version, &[address(&ports[0])]);
    for (number, port) in (2..).zip(&ports[1..]) {
        let id = NodeId(format!("n{number}"));
        one.nodes.push(Node { id: id.clone(), addr: address(port), admin_addr: None });
        one.shards[0].replicas.push(id);
    }
    one.shards[0].kind = kind;
    one
}

fn front(read_from: &str, kind: Kind, ports: &[u16]) -> Front {
    let settings = [("read-from", read_from), ("hold-ms-max", "300"), ("threads", "1")];
    let front = Front::with(&ports[..1], &settings);
    front.topology.store(Arc::new(shard_of(2, kind, ports)));
    front
}

fn reads_at(front: &Front, name: &str) {
    let mut client = front.client();
    until(&format!("reads are answered by {name}"), || client.ask("GET a") == format!("{name}: GET a"));
}

#[test]
fn what_only_reads_goes_to_a_replica_and_everything_else_to_the_primary() {
    for read_from in ["prefer-replica", "replica"] {
        let (primary, replica) = (named("primary"), named("replica"));
        let front = front(read_from, Kind::Redis, &[primary.port, replica.port]);
        reads_at(&front, "replica");
        front.client().check_all(&[
            ("GET a", "replica: GET a"),
            ("SET a 1", "primary: SET a 1"),
            ("STRLEN a", "replica: STRLEN a"),
            ("GETDEL a", "primary: GETDEL a"),
            ("PFCOUNT a", "primary: PFCOUNT a"),
            ("HSCAN a 0", "primary: HSCAN a 0"),
            ("LRANGE a 0 -1", "replica: LRANGE a 0 -1"),
        ]);
        let plan = |line: &str| front.client().ask(&format!("PROXY EXPLAIN {line}"));
        assert!(plan("GET a").contains("shared, to a replica"), "{}", plan("GET a"));
        assert!(!plan("SET a 1").contains("replica"), "{}", plan("SET a 1"));
    }
}

#[test]
fn reads_are_not_for_replicas_unless_that_is_asked_for() {
    let (primary, replica) = (named("primary"), named("replica"));
    let front = front("primary", Kind::Redis, &[primary.port, replica.port]);
    front.client().check_all(&[("GET a", "primary: GET a"), ("STRLEN a", "primary: STRLEN a")]);
    assert_eq!(replica.connections(), 0);
}

#[test]
fn a_client_in_a_transaction_reads_from_the_primary() {
    let (primary, replica) = (Redis::start(), named("replica"));
    let front = front("prefer-replica", Kind::Redis, &[primary.port, replica.port]);
    reads_at(&front, "replica");
    front.client().check_all(&[
        ("SET a 1", "+OK"),
        ("MULTI", "+OK"),
        ("GET a", "+QUEUED"),
        ("EXEC", "[1]"),
        ("WATCH a", "+OK"),
        ("GET a", "1"),
        ("UNWATCH", "+OK"),
    ]);
    until("after UNWATCH it reads from replicas again", || front.client().ask("GET a") == "replica: GET a");
}

#[test]
fn reads_are_spread_over_the_replicas_that_are_up() {
    let (primary, one, other, down) = (named("primary"), named("one"), named("other"), Closed::new());
    let front = front("replica", Kind::Redis, &[primary.port, one.port, other.port, down.port]);
    let mut client = front.client();
    let mut seen = [0; 2];
    until("both have answered often", || {
        match client.ask("GET a").as_str() {
            "one: GET a" => seen[0] += 1,
            "other: GET a" => seen[1] += 1,
            // While nobody knows which replicas are there the third may be tried.
            reply => assert!(reply.starts_with("-TRYAGAIN"), "{reply}"),
        }
        seen.iter().all(|&count| count > 20)
    });
    assert_eq!(primary.count("GET a"), 0);
}

#[test]
fn without_a_replica_that_is_up_reads_prefer_the_primary_or_wait_for_one() {
    let (primary, down) = (named("primary"), Closed::new());
    let preferring = front("prefer-replica", Kind::Redis, &[primary.port, down.port]);
    preferring.client().check_all(&[("GET a", "primary: GET a"), ("GET b", "primary: GET b")]);

    let strict = front("replica", Kind::Redis, &[primary.port, down.port]);
    let mut client = strict.client();
    client.send(&["GET a", "SET a 1"]);
    let reply = client.read();
    assert!(reply.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{reply}");
    assert_eq!(client.read(), "primary: SET a 1");
    let _up = down.open(|conn| answer_as(conn, "replica"));
    reads_at(&strict, "replica");
}

#[test]
fn a_shard_without_replicas_answers_no_reads_if_only_replicas_may() {
    let (primary, replica) = (named("primary"), named("replica"));
    let front = front("replica", Kind::Redis, &[primary.port]);
    let mut client = front.client();
    let reply = client.ask("GET a");
    assert!(reply.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{reply}");
    client.check("SET a 1", "primary: SET a 1");
    front.topology.store(Arc::new(shard_of(3, Kind::Redis, &[primary.port, replica.port])));
    reads_at(&front, "replica");
    assert_eq!(primary.count("GET a"), 0);
}

#[test]
fn a_read_whose_replica_breaks_is_answered_by_another_node() {
    let primary = named("primary");
    // It answers until it is asked for b, and is gone then.
    let replica = Fake::start(|conn| {
        while conn.number == 0
            && let Some(line) = conn.next()
            && line != "GET b"
        {
            conn.reply(&bulk(&format!("replica: {line}")));
        }
    });
    let front = front("prefer-replica", Kind::Redis, &[primary.port, replica.port]);
    reads_at(&front, "replica");
    front.client().check("GET b", "primary: GET b");
}

#[test]
fn a_replica_that_is_promoted_is_no_replica_any_more() {
    let (primary, replica) = (named("first"), named("second"));
    let front = front("prefer-replica", Kind::Redis, &[primary.port, replica.port]);
    reads_at(&front, "second");
    front.topology.store(Arc::new(shard_of(3, Kind::Redis, &[replica.port, primary.port])));
    reads_at(&front, "first");
    front.client().check("SET a 1", "second: SET a 1");
}

#[test]
fn a_node_of_a_redis_cluster_is_told_that_it_may_answer_reads() {
    let greeting = |conn: &mut Conn| {
        while let Some(line) = conn.next() {
            match line.as_str() {
                "PING" => conn.reply("+PONG\r\n"),
                "READONLY" => conn.reply("+OK\r\n"),
                _ => conn.reply(&bulk(&format!("told: {line}"))),
            }
        }
    };
    for (kind, told) in [(Kind::Cluster, 1), (Kind::Redis, 0)] {
        let (primary, replica) = (named("primary"), Fake::start_raw(greeting));
        let front = front("prefer-replica", kind, &[primary.port, replica.port]);
        reads_at(&front, "told");
        assert_eq!(replica.count("READONLY"), told, "{kind:?}");
        front.client().check("SET a 1", "primary: SET a 1");
    }
}

#[test]
fn a_real_replica_answers_reads_of_what_the_primary_was_told() {
    let primary = Redis::start();
    let replica = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    let mut past = replica.client();
    until("it has copied everything", || past.ask("INFO replication").contains("master_link_status:up"));
    let front = front("replica", Kind::Redis, &[primary.port, replica.port]);
    let mut client = front.client();
    client.check("SET a 1", "+OK");
    until("the replica knows it", || client.ask("GET a") == "1");
    client.check_all(&[("MGET a b", "[1 nil]"), ("DBSIZE", ":1"), ("SET a 2", "+OK")]);
    let calls = |peer: &mut crate::peer::Peer| peer.ask("INFO commandstats").contains("cmdstat_get:");
    assert!(calls(&mut past));
    assert!(!calls(&mut primary.client()));
}

/// A primary that knows one value, and a replica that sends the second read of it back once a write had time to overtake it.
fn slow_to_refuse(lines: &[&str], replies: &[&str]) {
    let (value, written) = (Mutex::new("old".to_owned()), Arc::new(AtomicUsize::new(0)));
    let writes = Arc::clone(&written);
    let primary = Fake::start(move |conn| {
        let mut queues = false;
        while let Some(line) = conn.next() {
            let words: Vec<&str> = line.split(' ').collect();
            queues |= words[0] == "MULTI";
            match words[0] {
                "SET" if queues => conn.reply("+QUEUED\r\n"),
                "GET" => conn.reply(&bulk(&value.lock().unwrap())),
                "SET" => {
                    words[2].clone_into(&mut value.lock().unwrap());
                    writes.fetch_add(1, Ordering::SeqCst);
                    conn.reply("+OK\r\n");
                }
                "EXEC" => {
                    "new".clone_into(&mut value.lock().unwrap());
                    writes.fetch_add(1, Ordering::SeqCst);
                    conn.reply("*1\r\n+OK\r\n");
                }
                _ => conn.reply("+OK\r\n"),
            }
        }
    });
    let replica = Fake::start(move |conn| {
        while let Some(line) = conn.next() {
            if line == "GET k" {
                let began = Instant::now();
                while written.load(Ordering::SeqCst) == 0 && began.elapsed() < Duration::from_millis(200) {
                    std::thread::yield_now();
                }
                conn.reply("-LOADING x\r\n");
            } else {
                conn.reply(&bulk(&format!("replica: {line}")));
            }
        }
    });
    let front = front("prefer-replica", Kind::Redis, &[primary.port, replica.port]);
    reads_at(&front, "replica");
    let mut client = front.client();
    client.send(lines);
    let told: Vec<String> = replies.iter().map(|_| client.read()).collect();
    assert_eq!(told, replies);
}

#[test]
fn a_read_that_a_replica_sends_back_does_not_see_what_its_client_wrote_behind_it() {
    slow_to_refuse(&["GET k", "SET k new", "STRLEN k"], &["old", "+OK", "replica: STRLEN k"]);
    slow_to_refuse(
        &["GET other", "GET k", "PING", "SET k new"],
        &["replica: GET other", "old", "+PONG", "+OK"],
    );
    slow_to_refuse(&["GET k", "MULTI", "SET k new", "EXEC"], &["old", "+OK", "+QUEUED", "[+OK]"]);
}
