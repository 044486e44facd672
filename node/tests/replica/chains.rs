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
