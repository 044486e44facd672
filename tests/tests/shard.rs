//! Three nodes as processes of their own, and a control log that this test keeps: it speaks on their pulse ports as a leading proxy
//! does. Leases, heartbeats, promises and streams are the nodes' own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use slotway_cluster::{Member, control::Entry, pulse::GRANT};
use slotway_tests::replicas::{Server, assert_same, contents};

#[path = "shard/control.rs"]
mod control;

use control::{Control, Node, send};

#[test]
fn a_replica_that_is_stopped_is_dropped_by_a_proposal_and_writes_go_on_without_it() {
    let mut control = Control::new(2);
    assert_eq!(control.ask(0, "SET k 1").as_str(), Some("OK"));
    assert_eq!(control.ask(0, "WAIT 1 0").as_integer(), Some(1));
    let replica = control.nodes[1].member();
    control.nodes[1].signal("-STOP");
    let mut held = control.nodes[0].server.client();
    send(&mut held, "SET k 2");
    assert!(held.is_silent_for(Duration::from_millis(50)), "nobody but the primary holds it");
    control.until("the write is answered", |_| !held.is_silent_for(Duration::from_millis(2)));
    assert_eq!(held.reply().as_str(), Some("OK"));
    assert!(!control.state().rule.sync.contains(&replica));
    let is_change = |entry: &Entry| matches!(entry, Entry::ChangeSync { sync, .. } if sync.is_empty());
    assert!(control.proposed.iter().any(is_change), "{:?}", control.proposed);
    control.nodes[1].signal("-CONT");
    control.until("it is taken back", |control| control.state().rule.sync.contains(&replica));
    assert_eq!(control.ask(0, "SET k 3").as_str(), Some("OK"));
}

#[test]
fn a_primary_that_stood_still_and_was_replaced_tells_nothing_and_comes_back_as_a_replica() {
    let mut control = Control::new(3);
    let old = control.nodes[0].member();
    let mut client = control.nodes[0].server.client();
    assert_eq!(control.ask(0, "SET before 1").as_str(), Some("OK"));
    control.nodes[0].signal("-STOP");
    send(&mut client, "GET before");
    let winner = control.fail_over(&[1, 2], GRANT);
    assert_eq!(control.ask(winner, "GET before").as_str(), Some("1"));
    assert_eq!(control.ask(winner, "SET after 1").as_str(), Some("OK"));

    // It wakes, and tells nothing that it knew.
    control.nodes[0].signal("-CONT");
    let mut told = None;
    control.until("it is referred, or closed", |_| {
        if client.is_silent_for(Duration::from_millis(2)) {
            return false;
        }
        told = Some(client.reply());
        true
    });
    let told = format!("{:?}", told.unwrap());
    assert!(told.contains("MOVED"), "{told}");
    control.until("it is a replica of S again", |control| control.state().rule.sync.contains(&old));
    control.until("it holds what came after", |control| {
        let mut reader = control.nodes[0].server.client();
        reader.ask("READONLY");
        send(&mut reader, "GET after");
        control.step();
        !reader.is_silent_for(Duration::from_millis(100)) && reader.reply().as_str() == Some("1")
    });
}

#[test]
fn a_primary_that_starts_again_at_once_and_empty_wipes_nobody() {
    let mut control = Control::new(3);
    for n in 0..10 {
        assert_eq!(control.ask(0, &format!("SET k{n} v")).as_str(), Some("OK"));
    }
    let holds_all = |node: &Node| node.server.info_text().contains("db0:keys=10,");
    control.until("all hold everything", |control| control.nodes.iter().all(holds_all));
    let before = control.nodes[0].incarnation;
    control.nodes[0].crash();
    assert_ne!(control.nodes[0].incarnation, before, "nobody is to take it for who it was");
    // It has no orders at first, then those of a primary that it is not.
    for round in [1, 2] {
        let knocks = |control: &Control| {
            let text = control.nodes[0].server.ask("INFO commandstats");
            let calls = text.as_str().unwrap().split("cmdstat_replconf:calls=").nth(1);
            calls.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0_u64)
        };
        let known = knocks(&control);
        control.until("both replicas have asked it for its stream", |control| knocks(control) >= known + 4);
        assert!(control.nodes[1..].iter().all(holds_all), "round {round}");
        control.order_all();
    }
    let winner = control.fail_over(&[1, 2], GRANT);
    assert_eq!(control.ask(winner, "GET k7").as_str(), Some("v"));
    let returned = control.nodes[0].member();
    let Member { node, incarnation } = returned.clone();
    control.log(&Entry::NodeStarted { node, before: Some(before), incarnation });
    control.order_all();
    control.until("it is a replica", |control| control.state().rule.sync.contains(&returned));
    assert!(control.nodes.iter().all(holds_all));
}

#[test]
fn redis_servers_follow_a_shard_through_its_epochs_and_count_for_nobody() {
    let mut control = Control::new(2);
    let (of_primary, of_replica) = (Server::redis(&[]), Server::redis(&[]));
    of_primary.follow(&control.nodes[0].server);
    of_replica.follow(&control.nodes[1].server);
    for request in ["SET k 0", "RPUSH list a b", "HSET hash f v", "SET gone v PX 1"] {
        assert!(control.ask(0, request).as_error().is_none(), "{request}");
    }
    let follows = |redis: &Server, node: &Node| {
        let text = redis.info_text();
        let offset = node.server.info("master_repl_offset");
        text.contains("master_link_status:up") && text.contains(&format!("slave_repl_offset:{offset}\r\n"))
    };
    control.until("both follow", |control| {
        follows(&of_primary, &control.nodes[0]) && follows(&of_replica, &control.nodes[1])
    });
    assert_eq!(control.ask(0, "WAIT 2 300").as_integer(), Some(1), "the member of S");

    // Only the redis-server takes a write: it is not acknowledged. (Unless the lease was over before it was executed.)
    control.log_is_reachable = false;
    let mut attempts = 0;
    let mut held = loop {
        attempts += 1;
        let mut held = control.nodes[0].server.client();
        control.nodes[1].signal("-STOP");
        send(&mut held, &format!("SET k {attempts}"));
        let sent = Instant::now();
        let has_it = || of_primary.ask("GET k").as_str() == Some(&attempts.to_string());
        while !has_it() && sent.elapsed() < GRANT {}
        if has_it() {
            break held;
        }
        assert!(attempts < 20, "it is never executed");
        control.nodes[1].signal("-CONT");
        control.until("it is answered", |_| !held.is_silent_for(Duration::from_millis(2)));
    };
    assert!(held.is_silent_for(Duration::from_millis(200)));
    control.nodes[1].signal("-CONT");
    control.until("the member holds it, too", |_| !held.is_silent_for(Duration::from_millis(2)));
    assert_eq!(held.reply().as_str(), Some("OK"));
    control.log_is_reachable = true;

    // The next epoch begins with a record in the stream of the replica, and to a redis-server that is nothing.
    let syncs = control.nodes[1].server.info("sync_full");
    control.nodes[0].signal("-KILL");
    assert_eq!(control.fail_over(&[1], GRANT), 1);
    assert_eq!(control.ask(1, "SET after 1").as_str(), Some("OK"));
    control.until("it follows", |control| follows(&of_replica, &control.nodes[1]));
    assert_eq!(of_replica.ask("GET after").as_str(), Some("1"));
    assert_eq!(control.nodes[1].server.info("sync_full"), syncs, "it went on where it was");
    assert_same(&contents(&control.nodes[1].server), &contents(&of_replica));
    assert!(!of_replica.info_text().contains("errorstat_"), "{}", of_replica.info_text());
}
