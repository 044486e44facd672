//! What being a replica means to clients, and how a node becomes one and stops being one.

use slotway_resp::Frame;

use crate::{
    dump::{info, wait_for},
    fake::{Fake, HISTORY, MARK, request},
    redis::RedisServer,
    support::{TestNode, bulk, error, ok, text, wait_until},
};

const READONLY: &str = "READONLY You can't write against a read only replica.";
const MASTERDOWN: &str = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";

#[test]
fn replicaof_answers_as_redis_does() {
    let (node, redis) = (TestNode::start(&[]), RedisServer::start(&[]));
    let (mut here, mut there) = (node.client(), redis.client());
    for line in [
        "REPLICAOF NO ONE",
        "ROLE",
        "REPLICAOF 127.0.0.1 x",
        "REPLICAOF 127.0.0.1 65536",
        "REPLICAOF 127.0.0.1 -1",
        "REPLICAOF a b c",
        "REPLICAOF 127.0.0.1 1",
        "REPLICAOF 127.0.0.1 1",
        "CONFIG GET replicaof",
        "SLAVEOF 127.0.0.1 1",
        "SET k v",
        "GET k",
        "CONFIG SET replica-serve-stale-data no",
        "GET k",
        "SET k v",
        "PING",
        "MULTI",
        "GET k",
        "EXEC",
        "INFO nosuch",
        "CONFIG SET replica-serve-stale-data yes",
        "MULTI",
        "SET k v",
        "EXEC",
        "CONFIG SET replica-read-only no",
        "SET k v",
        "CONFIG SET replica-read-only yes",
        "SET k v",
        "replicaof no one",
        "SLAVEOF no one",
        "CONFIG GET replicaof",
        "GET k",
        "SET k v",
    ] {
        assert_eq!(here.say(line), there.say(line), "{line}");
    }
}

#[test]
fn info_and_role_name_the_primary_and_how_far_the_link_is() {
    let fake = Fake::new();
    let node = TestNode::start(&[("replica-priority", "7"), ("replica-announced", "no")]);
    let mut here = node.client();
    let port = fake.port().to_string();
    here.say(&format!("REPLICAOF 127.0.0.1 {port}"));
    let mut link = fake.accept();
    let role = |here: &mut crate::support::Client<std::net::TcpStream>| match here.say("ROLE") {
        Frame::Array(items) => format!(
            "{:?}",
            items
                .iter()
                .map(|item| match item {
                    Frame::Integer(number) => number.to_string(),
                    other => text(other),
                })
                .collect::<Vec<_>>()
                .join(" ")
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(role(&mut here), format!("\"slave 127.0.0.1 {port} handshake -1\""));
    link.send(format!("+FULLRESYNC {HISTORY} 42\r\n$1000\r\nREDIS0010"));
    wait_for(&mut here, "master_sync_read_bytes", "9");
    for (field, value) in [
        ("master_sync_in_progress", "1"),
        ("master_sync_total_bytes", "1000"),
        ("master_sync_left_bytes", "991"),
        ("master_sync_perc", "0.90"),
        ("master_link_status", "down"),
        ("master_link_down_since_seconds", "-1"),
        ("master_last_io_seconds_ago", "-1"),
    ] {
        assert_eq!(info(&mut here, field).as_deref(), Some(value), "{field}");
    }
    assert_eq!(role(&mut here), format!("\"slave 127.0.0.1 {port} sync -1\""));
    drop(link);
    let mut link = fake.accept();
    link.full_sync(42);
    for (field, value) in [
        ("role", "slave"),
        ("master_host", "127.0.0.1"),
        ("master_port", &port),
        ("master_link_status", "up"),
        ("master_last_io_seconds_ago", "0"),
        ("master_sync_in_progress", "0"),
        ("slave_read_repl_offset", "42"),
        ("slave_repl_offset", "42"),
        ("slave_priority", "7"),
        ("slave_read_only", "1"),
        ("replica_announced", "0"),
        ("master_replid", HISTORY),
        ("master_repl_offset", "42"),
        ("second_repl_offset", "-1"),
    ] {
        assert_eq!(info(&mut here, field).as_deref(), Some(value), "{field}");
    }
    assert_eq!(info(&mut here, "master_sync_total_bytes"), None);
    assert_eq!(info(&mut here, "master_link_down_since_seconds"), None);
    assert_eq!(role(&mut here), format!("\"slave 127.0.0.1 {port} connected 42\""));
    let list = text(&here.say("CLIENT LIST TYPE master"));
    assert!(list.contains("flags=M ") && list.contains("user=(superuser)"), "{list}");
    wait_until("the metric", || node.metric("redis_master_link_up") > 0.0);
}

#[test]
fn a_promoted_node_gives_its_stream_a_new_name_and_remembers_the_old_one() {
    let fake = Fake::new();
    let node = TestNode::start(&[]);
    let mut here = node.client();
    here.say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    let mut link = fake.accept();
    link.full_sync(42);
    assert_eq!(here.say("REPLICAOF NO ONE"), ok());
    assert_eq!(info(&mut here, "role").as_deref(), Some("master"));
    assert_ne!(info(&mut here, "master_replid").as_deref(), Some(HISTORY));
    assert_eq!(info(&mut here, "master_replid2").as_deref(), Some(HISTORY));
    assert_eq!(info(&mut here, "second_repl_offset").as_deref(), Some("43"));
    assert_eq!(here.say("SET k v"), ok());
    assert_eq!(info(&mut here, "master_host"), None);
}

#[test]
fn who_watches_a_key_while_the_data_set_is_replaced_is_told() {
    let fake = Fake::new();
    let node = TestNode::start(&[]);
    let (mut here, mut watcher) = (node.client(), node.client());
    here.say("SET k v");
    here.say("CONFIG SET replica-read-only no");
    here.say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    let mut link = fake.accept();
    watcher.say("WATCH k");
    watcher.say("MULTI");
    watcher.say("GET k");
    link.full_sync(0);
    assert_eq!(watcher.say("EXEC"), Frame::NullArray);
}

#[test]
fn transactions_that_were_queued_before_the_role_changed_are_judged_by_the_new_one() {
    let fake = Fake::new();
    let node = TestNode::start(&[]);
    let (mut here, mut other) = (node.client(), node.client());
    for line in ["MULTI", "SET k v"] {
        other.say(line);
    }
    here.say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    let refusal = format!("EXECABORT Transaction discarded because of: {READONLY}");
    assert_eq!(other.say("EXEC"), error(&refusal));
    for line in ["MULTI", "GET k"] {
        other.say(line);
    }
    here.say("CONFIG SET replica-serve-stale-data no");
    let refusal = format!("EXECABORT Transaction discarded because of: {MASTERDOWN}");
    assert_eq!(other.say("EXEC"), error(&refusal));
    // A transaction may change the role itself.
    here.say("REPLICAOF NO ONE");
    let replicaof = format!("REPLICAOF 127.0.0.1 {}", fake.port());
    for line in ["MULTI", "SET j v", &replicaof, "SET k v", "REPLICAOF NO ONE", "GET k"] {
        other.say(line);
    }
    assert_eq!(other.say("EXEC"), Frame::Array(vec![ok(), ok(), ok(), ok(), bulk("v")]));
}

#[test]
fn a_node_told_so_at_its_start_follows_and_a_full_one_takes_what_its_primary_has() {
    let redis = RedisServer::start(&[]);
    let mut there = redis.client();
    for number in 0..300 {
        there.say(&format!("SET key:{number} {}", "x".repeat(1000)));
    }
    let replicaof = format!("127.0.0.1 {}", redis.port);
    let flags = [("replicaof", replicaof.as_str()), ("maxmemory", "1"), ("maxmemory-policy", "allkeys-lru")];
    let node = TestNode::start(&flags);
    let mut here = node.client();
    wait_for(&mut here, "master_link_status", "up");
    there.say("SET one more");
    wait_until("the last key", || here.say("GET one") == bulk("more"));
    assert_eq!(here.say("DBSIZE"), Frame::Integer(301));
    assert_eq!(here.say("SET k v"), error(READONLY));
}

#[test]
fn who_waits_while_the_node_becomes_a_replica_is_told_and_closed() {
    let (node, redis) = (TestNode::start(&[]), RedisServer::start(&[]));
    let said = [node.client(), redis.client()].map(|mut waiting| {
        let mut other = match waiting.stream.peer_addr().unwrap().port() {
            port if port == node.port => node.client(),
            _ => redis.client(),
        };
        waiting.say("SET k v");
        waiting.send("WAIT 1 0\r\nPING\r\n");
        wait_for(&mut other, "blocked_clients", "1");
        assert_eq!(other.say("REPLICAOF 127.0.0.1 1"), ok());
        wait_for(&mut other, "blocked_clients", "0");
        String::from_utf8(waiting.until_closed()).unwrap()
    });
    assert!(said[0].starts_with("-UNBLOCKED "), "{said:?}");
    assert_eq!(said[0], said[1]);
    assert_eq!(info(&mut node.client(), "errorstat_UNBLOCKED").as_deref(), Some("count=1"));
}

#[test]
fn a_snapshot_that_a_flush_begins_says_where_the_flush_stands_in_the_stream() {
    let fake = Fake::new();
    let node = TestNode::start(&[("save", "3600 1")]);
    node.client().say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    let mut link = fake.accept();
    // Too long for a number in a file: it stands there as text.
    let before = 50_000_000_000;
    link.full_sync(before);
    let units = [request("SELECT 9"), request("SET key value"), request("FLUSHALL")].concat();
    link.send(&units);
    let behind = (before + u64::try_from(units.len()).unwrap()).to_string();
    wait_until("the snapshot is written", || {
        let file = std::fs::read(node.dir.join("dump.rdb")).unwrap_or_default();
        file.windows(behind.len()).any(|bytes| bytes == behind.as_bytes())
    });
}

#[test]
fn a_node_that_is_told_to_follow_another_lets_go_of_the_first() {
    let (first, second) = (Fake::new(), Fake::new());
    let node = TestNode::start(&[]);
    let mut here = node.client();
    here.say(&format!("REPLICAOF 127.0.0.1 {}", first.port()));
    let mut link = first.accept();
    link.send(format!("+FULLRESYNC {HISTORY} 42\r\n$EOF:{MARK}\r\nREDIS"));
    assert_eq!(here.say(&format!("REPLICAOF 127.0.0.1 {}", second.port())), ok());
    second.accept().full_sync(7);
    assert_eq!(info(&mut here, "master_repl_offset").as_deref(), Some("7"));
}

#[test]
fn a_replica_that_is_started_again_continues_from_its_snapshot() {
    let redis = RedisServer::start(&[]);
    let mut there = redis.client();
    let replicaof = format!("127.0.0.1 {}", redis.port);
    let flags = [("replicaof", replicaof.as_str())];
    let mut node = TestNode::start(&flags);
    let dir = node.dir.clone();
    let mut here = node.client();
    wait_for(&mut here, "master_link_status", "up");
    there.say("SELECT 9");
    there.say("SET first 1");
    wait_until("the first key", || text(&here.say("INFO keyspace")).contains("db9:keys=1"));
    assert_eq!(here.say("SAVE"), ok());
    // In the snapshot is none of what follows, and the stream does not select again.
    there.say("SET second 2");
    drop(here);
    node.stop();
    there.say("SET third 3");

    let node = TestNode::start_in(&dir, &flags);
    let mut here = node.client();
    wait_for(&mut here, "master_link_status", "up");
    crate::dump::wait_until_same(&mut there, &mut here);
    assert_eq!(info(&mut there, "sync_full").as_deref(), Some("1"));
    assert_eq!(info(&mut there, "sync_partial_ok").as_deref(), Some("1"));
}
