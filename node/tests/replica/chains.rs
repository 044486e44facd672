//! Replicas of replicas, and what promotions leave of a stream: nodes and real redis-servers, in any mixture.

use std::net::TcpStream;

use crate::{
    dump::{info, wait_for, wait_until_same},
    redis::RedisServer,
    support::{Client, TestNode, wait_until},
};

fn follow(client: &mut Client<TcpStream>, port: u16) {
    client.say(&format!("REPLICAOF 127.0.0.1 {port}"));
}

fn is_up(client: &mut Client<TcpStream>) {
    wait_for(client, "master_link_status", "up");
}

/// Changes keys in two databases, and stays in the second.
fn write(client: &mut Client<TcpStream>, round: usize) {
    for line in [
        format!("SELECT {}", round % 3),
        format!("SET first:{round} {round}"),
        "SELECT 9".to_owned(),
        format!("RPUSH list {round}"),
        "MULTI".to_owned(),
        format!("SADD set {round}"),
        format!("HSET hash {round} {round}"),
        "EXEC".to_owned(),
    ] {
        client.say(&line);
    }
}

#[test]
fn a_stream_passes_through_a_node_to_a_redis_and_to_another_node_as_it_is() {
    let (redis, last) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let (middle, node) = (TestNode::start(&[]), TestNode::start(&[]));
    let (mut top, mut here) = (redis.client(), middle.client());
    write(&mut top, 0);
    follow(&mut here, redis.port);
    is_up(&mut here);
    // The stream has selected database 9 and will not say so again.
    write(&mut top, 1);
    wait_until_same(&mut top, &mut here);
    for mut below in [last.client(), node.client()] {
        follow(&mut below, middle.port);
        is_up(&mut below);
        top.say("SET behind x");
        wait_until_same(&mut top, &mut below);
        below.say("CLIENT KILL TYPE master");
        write(&mut top, 2);
        wait_until_same(&mut top, &mut below);
        assert_eq!(info(&mut below, "master_replid"), info(&mut top, "master_replid"));
    }
    assert_eq!(info(&mut here, "sync_full").as_deref(), Some("2"));
    assert_eq!(info(&mut here, "sync_partial_ok").as_deref(), Some("2"));
    assert_eq!(info(&mut here, "unexpected_error_replies").as_deref(), Some("0"));
}

#[test]
fn siblings_continue_with_a_promoted_node_and_so_does_the_old_primary() {
    let (primary, sibling) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let (promoted, other) = (TestNode::start(&[]), TestNode::start(&[]));
    let (mut old, mut new) = (primary.client(), promoted.client());
    let (mut redis, mut node) = (sibling.client(), other.client());
    write(&mut old, 0);
    for replica in [&mut new, &mut redis, &mut node] {
        follow(replica, primary.port);
        is_up(replica);
    }
    write(&mut old, 1);
    for replica in [&mut new, &mut redis, &mut node] {
        wait_until_same(&mut old, replica);
    }
    new.say("REPLICAOF NO ONE");
    write(&mut new, 2);
    for replica in [&mut redis, &mut node, &mut old] {
        follow(replica, promoted.port);
        is_up(replica);
        wait_until_same(&mut new, replica);
    }
    write(&mut new, 3);
    for replica in [&mut redis, &mut node, &mut old] {
        wait_until_same(&mut new, replica);
    }
    assert_eq!(info(&mut new, "sync_full").as_deref(), Some("0"));
    assert_eq!(info(&mut new, "sync_partial_ok").as_deref(), Some("3"));
}

#[test]
fn a_node_continues_with_a_promoted_redis_and_tells_its_own_replicas_the_new_name() {
    let (primary, promoted) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let (middle, last) = (TestNode::start(&[]), TestNode::start(&[]));
    let (mut old, mut new) = (primary.client(), promoted.client());
    let (mut here, mut below) = (middle.client(), last.client());
    for (replica, port) in [(&mut new, primary.port), (&mut here, primary.port), (&mut below, middle.port)] {
        follow(replica, port);
        is_up(replica);
    }
    write(&mut old, 0);
    for replica in [&mut new, &mut here, &mut below] {
        wait_until_same(&mut old, replica);
    }
    drop(primary);
    new.say("REPLICAOF NO ONE");
    write(&mut new, 1);
    follow(&mut here, promoted.port);
    is_up(&mut here);
    wait_until_same(&mut new, &mut here);
    wait_until("the new name has come through", || {
        info(&mut below, "master_replid") == info(&mut new, "master_replid")
    });
    write(&mut new, 2);
    wait_until_same(&mut new, &mut below);
    assert_eq!(info(&mut new, "sync_full").as_deref(), Some("0"));
    assert_eq!(info(&mut here, "sync_full").as_deref(), Some("1"));
    assert_eq!(info(&mut here, "sync_partial_ok").as_deref(), Some("1"));
}

#[test]
fn what_a_primary_wrote_alone_is_replaced_by_what_the_promoted_one_has() {
    let (first, second) = (TestNode::start(&[]), TestNode::start(&[]));
    let (mut old, mut new) = (first.client(), second.client());
    write(&mut old, 0);
    follow(&mut new, first.port);
    is_up(&mut new);
    new.say("REPLICAOF NO ONE");
    old.say("SET alone x");
    write(&mut new, 1);
    follow(&mut old, second.port);
    is_up(&mut old);
    wait_until_same(&mut new, &mut old);
    assert_eq!(info(&mut new, "sync_full").as_deref(), Some("1"));
    assert_eq!(info(&mut new, "sync_partial_err").as_deref(), Some("1"));
}

#[test]
fn a_node_that_stops_adds_nothing_to_the_stream_it_passes_on() {
    let (first, mut middle) = (TestNode::start(&[]), TestNode::start(&[]));
    let (last, redis) = (TestNode::start(&[]), RedisServer::start(&[]));
    let mut top = first.client();
    write(&mut top, 0);
    follow(&mut middle.client(), first.port);
    is_up(&mut middle.client());
    let mut below = [last.client(), redis.client()];
    for replica in &mut below {
        follow(replica, middle.port);
        is_up(replica);
    }
    write(&mut top, 1);
    for replica in &mut below {
        wait_until_same(&mut top, replica);
    }
    middle.stop();
    for replica in &mut below {
        wait_for(replica, "master_link_status", "down");
        assert_eq!(info(replica, "slave_repl_offset"), info(&mut top, "master_repl_offset"));
    }
    // A stream that is longer there than here would be continued in the midst of these.
    write(&mut top, 2);
    for replica in &mut below {
        follow(replica, first.port);
        is_up(replica);
        wait_until_same(&mut top, replica);
    }
    assert_eq!(info(&mut top, "sync_full").as_deref(), Some("1"));
    assert_eq!(info(&mut top, "sync_partial_ok").as_deref(), Some("2"));
}

#[test]
fn a_node_that_was_promoted_before_it_saw_its_primary_again_feeds_who_continues_with_it() {
    let redis = RedisServer::start(&["--repl-ping-replica-period", "3600"]);
    let mut there = redis.client();
    let replicaof = format!("127.0.0.1 {}", redis.port);
    let flags = [("replicaof", replicaof.as_str())];
    let (mut node, sibling) = (TestNode::start(&flags), TestNode::start(&flags));
    let (mut here, mut beside) = (node.client(), sibling.client());
    is_up(&mut here);
    is_up(&mut beside);
    write(&mut there, 0);
    wait_until_same(&mut there, &mut here);
    wait_until_same(&mut there, &mut beside);
    here.say("SAVE");
    let dir = node.dir.clone();
    drop((here, there));
    node.stop();
    drop(redis);

    let node = TestNode::start_in(&dir, &flags);
    let mut here = node.client();
    wait_for(&mut here, "loading", "0");
    here.say("REPLICAOF NO ONE");
    follow(&mut beside, node.port);
    is_up(&mut beside);
    write(&mut here, 1);
    assert_eq!(here.say("WAIT 1 5000"), slotway_resp::Frame::Integer(1));
    wait_until_same(&mut here, &mut beside);
    assert_eq!(beside.say("EXISTS first:1"), slotway_resp::Frame::Integer(0));
    assert_eq!(info(&mut here, "sync_full").as_deref(), Some("0"));
    assert_eq!(info(&mut here, "sync_partial_ok").as_deref(), Some("1"));
}

#[test]
fn nodes_that_are_told_to_follow_each_other_do_not_believe_that_all_is_well() {
    let (first, second) = (TestNode::start(&[]), TestNode::start(&[]));
    let (mut one, mut other) = (first.client(), second.client());
    write(&mut one, 0);
    follow(&mut other, first.port);
    is_up(&mut other);
    follow(&mut one, second.port);
    for replica in [&mut one, &mut other] {
        wait_until("each refuses the other", || info(replica, "errorstat_NOMASTERLINK").is_some());
    }
    for replica in [&mut one, &mut other] {
        assert_eq!(info(replica, "master_link_status").as_deref(), Some("down"));
    }
    one.say("REPLICAOF NO ONE");
    write(&mut one, 1);
    is_up(&mut other);
    wait_until_same(&mut one, &mut other);
    assert_eq!(info(&mut one, "sync_full").as_deref(), Some("1"), "what they had was still good");
}

#[test]
fn what_was_written_before_there_was_a_replica_is_in_its_snapshot_to_wait_as_well() {
    let first = TestNode::start(&[("appendonly", "yes"), ("appendfsync", "no")]);
    let second = TestNode::start(&[]);
    let (mut here, mut there) = (first.client(), second.client());
    // The log is fed already, and the stream of replicas has no bytes yet.
    here.say(&format!("SET key {}", "x".repeat(1000)));
    follow(&mut there, first.port);
    is_up(&mut there);
    assert_eq!(here.say("WAIT 1 5000"), slotway_resp::Frame::Integer(1));
}

#[test]
fn a_node_hears_from_another_after_every_read() {
    let (first, second) = (TestNode::start(&[]), TestNode::start(&[]));
    let (mut there, mut here) = (first.client(), second.client());
    follow(&mut here, first.port);
    is_up(&mut here);
    // Far more often than once per second.
    for round in 0..300 {
        write(&mut there, round);
        assert_eq!(there.say("WAIT 1 20000"), slotway_resp::Frame::Integer(1));
    }
    wait_until_same(&mut there, &mut here);
    // Told to follow itself a node goes on asking, and keeps what it has.
    let refused = || info(&mut first.client(), "errorstat_NOMASTERLINK").is_some();
    follow(&mut there, first.port);
    wait_until("it refuses itself", refused);
    wait_for(&mut there, "master_link_status", "down");
    assert_eq!(there.say("EXISTS first:0"), slotway_resp::Frame::Integer(1));
    there.say("REPLICAOF NO ONE");
    is_up(&mut here);
    wait_until_same(&mut there, &mut here);
}
