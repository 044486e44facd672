//! WAITAOF: what is on the disk here, and on those of replicas.

use std::net::TcpStream;

use slotway_resp::Frame;

use crate::{
    dump::wait_for,
    redis::RedisServer,
    support::{Client, TestNode, bulk, error, ok, wait_until},
};

const LOGGED: &[(&str, &str)] = &[("appendonly", "yes")];
const UNSYNCED: &[(&str, &str)] = &[("appendonly", "yes"), ("appendfsync", "no")];

fn disks(own: i64, replicas: i64) -> Frame {
    Frame::Array(vec![Frame::Integer(own), Frame::Integer(replicas)])
}

fn follow(client: &mut Client<TcpStream>, port: u16) {
    client.say(&format!("REPLICAOF 127.0.0.1 {port}"));
    wait_for(client, "master_link_status", "up");
}

#[test]
fn a_write_is_waited_for_until_it_is_on_the_disks_that_were_asked_for() {
    let (primary, replica, unsynced) =
        (TestNode::start(LOGGED), TestNode::start(LOGGED), TestNode::start(UNSYNCED));
    let redis = RedisServer::start(&[]);
    for mut client in [replica.client(), unsynced.client(), redis.client()] {
        follow(&mut client, primary.port);
    }
    let mut client = primary.client();
    for number in 0..3 {
        assert_eq!(client.say(&format!("SET key {number}")), ok());
        assert_eq!(client.say("WAITAOF 1 1 20000"), disks(1, 1));
    }
    // A replica without a log of its own, and one that leaves syncing to the system, have applied it at most.
    assert_eq!(client.say("SET key last"), ok());
    assert_eq!(client.say("WAIT 3 20000"), Frame::Integer(3));
    assert_eq!(client.say("WAITAOF 1 2 1500"), disks(1, 1));
    assert_eq!(client.say("MULTI"), ok());
    client.say("WAITAOF 1 3 0");
    assert_eq!(client.say("EXEC"), Frame::Array(vec![disks(1, 1)]), "a transaction waits for nobody");
    let refused = "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local \
                   and are not propagated.";
    assert_eq!(replica.client().say("WAITAOF 0 0 0"), error(refused));
}

#[test]
fn without_a_log_there_is_nothing_to_wait_for_here() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    let refused = error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
    assert_eq!(client.say("SET k v"), ok());
    assert_eq!(client.say("WAITAOF 1 0 0"), refused);
    assert_eq!(client.say("WAITAOF 0 0 0"), disks(0, 0));
    assert_eq!(client.say("WAITAOF 0 1 20"), disks(0, 0));
    for (line, text) in [
        ("WAITAOF x 0 0", "ERR value is not an integer or out of range"),
        ("WAITAOF 2 0 0", "ERR value is out of range, value must between 0 and 1"),
        ("WAITAOF 0 -1 0", "ERR value is out of range, must be positive"),
        ("WAITAOF 0 0 x", "ERR timeout is not an integer or out of range"),
        ("WAITAOF 0 0 -1", "ERR timeout is negative"),
    ] {
        assert_eq!(client.say(line), error(text), "{line}");
    }
    let logged = TestNode::start(UNSYNCED);
    let (mut waits, mut other) = (logged.client(), logged.client());
    assert_eq!(waits.say("SET k v"), ok());
    assert_eq!(waits.say("WAITAOF 1 0 20"), disks(0, 0), "the system syncs when it likes");
    waits.send("WAITAOF 1 0 0\r\n");
    wait_until("it waits", || {
        crate::support::text(&other.say("INFO clients")).contains("blocked_clients:1\r\n")
    });
    assert_eq!(other.say("CONFIG SET appendonly no"), ok());
    assert_eq!(waits.reply(), refused);
    assert_eq!(waits.say("GET k"), bulk("v"));
}
