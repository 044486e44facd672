//! FAILOVER: a primary and its replica change places, whichever of them is a real redis-server.

use std::net::TcpStream;

use slotway_resp::Frame;

use crate::{
    dump::{info, wait_for, wait_until_same},
    fake::{Fake, HISTORY},
    redis::RedisServer,
    support::{Client, TestNode, bulk, error, ok, text, wait_until},
};

const READONLY: &str = "READONLY You can't write against a read only replica.";

fn follow(client: &mut Client<TcpStream>, port: u16) {
    client.say(&format!("REPLICAOF 127.0.0.1 {port}"));
    wait_for(client, "master_link_status", "up");
}

fn state(client: &mut Client<TcpStream>) -> String {
    info(client, "master_failover_state").unwrap()
}

fn wait_until_online(primary: &mut Client<TcpStream>) {
    wait_until("the replica is online", || text(&primary.say("INFO replication")).contains("state=online"));
}

/// The first leads and the second follows it; they change places, and what is written later comes to both.
fn check_change_of_places(first: &mut Client<TcpStream>, second: &mut Client<TcpStream>, line: &str) {
    first.say("SELECT 3");
    for number in 0..1000 {
        first.say(&format!("SET key:{number} {number}"));
    }
    let before = info(first, "master_replid");
    wait_until_online(first);
    assert_eq!(first.say(line), ok());
    wait_for(first, "role", "slave");
    wait_for(first, "master_link_status", "up");
    wait_for(second, "role", "master");
    wait_for(second, "connected_slaves", "1");
    assert_eq!((state(first), state(second)), ("no-failover".into(), "no-failover".into()));
    assert_eq!(first.say("SET k v"), error(READONLY));
    assert_eq!(second.say("SET behind it"), ok());
    wait_until_same(second, first);
    assert_eq!(info(second, "master_replid2"), before);
    assert_eq!(info(second, "sync_full").as_deref(), Some("0"), "what both hold is not sent anew");
    assert_eq!(info(second, "sync_partial_ok").as_deref(), Some("1"));
}

#[test]
fn two_nodes_change_places_and_back_again() {
    let (one, other) = (TestNode::start(&[]), TestNode::start(&[]));
    let (mut first, mut second) = (one.client(), other.client());
    follow(&mut second, one.port);
    check_change_of_places(&mut first, &mut second, "FAILOVER");
    assert_eq!(second.say(&format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 20000", one.port)), ok());
    wait_for(&mut second, "role", "slave");
    wait_for(&mut second, "master_link_status", "up");
    assert_eq!(first.say("SET again 1"), ok());
    wait_until_same(&mut first, &mut second);
}

#[test]
fn a_node_and_its_redis_replica_change_places() {
    let (node, redis) = (TestNode::start(&[]), RedisServer::start(&[]));
    let (mut here, mut there) = (node.client(), redis.client());
    follow(&mut there, node.port);
    check_change_of_places(&mut here, &mut there, "FAILOVER");
}

#[test]
fn a_redis_primary_and_its_node_change_places() {
    let (node, redis) = (TestNode::start(&[]), RedisServer::start(&[]));
    let (mut here, mut there) = (node.client(), redis.client());
    follow(&mut here, redis.port);
    let line = format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 20000", node.port);
    check_change_of_places(&mut there, &mut here, &line);
}

#[test]
fn the_other_replicas_of_a_primary_that_changes_places_go_on_behind_it() {
    let (one, other, third) = (TestNode::start(&[]), TestNode::start(&[]), RedisServer::start(&[]));
    let (mut first, mut second, mut last) = (one.client(), other.client(), third.client());
    follow(&mut second, one.port);
    follow(&mut last, one.port);
    assert_eq!(first.say(&format!("FAILOVER TO 127.0.0.1 {}", other.port)), ok());
    wait_for(&mut first, "role", "slave");
    wait_for(&mut first, "master_link_status", "up");
    assert_eq!(second.say("SET k v"), ok());
    wait_until("it came through", || last.say("GET k") == bulk("v"));
    assert_eq!(info(&mut first, "sync_full").as_deref(), Some("2"), "nobody was sent everything anew");
}

#[test]
fn failover_is_refused_as_redis_refuses_it() {
    let (node, redis) = (TestNode::start(&[]), RedisServer::start(&[]));
    let (mut here, mut there) = (node.client(), redis.client());
    let mut compare = |lines: &[&str]| {
        for line in lines {
            assert_eq!(here.say(line), there.say(line), "{line}");
        }
    };
    let lines = [
        "FAILOVER",
        "FAILOVER ABORT",
        "FAILOVER FORCE",
        "FAILOVER TIMEOUT 0",
        "FAILOVER TIMEOUT x",
        "FAILOVER TIMEOUT",
        "FAILOVER TO a",
        "FAILOVER TO a b",
        "FAILOVER ABORT ABORT",
        "FAILOVER ABORT TIMEOUT 5",
        "FAILOVER FORCE TIMEOUT 5",
        "FAILOVER nonsense",
        "PSYNC ? -1 FAILOVER",
    ];
    compare(&lines);
    // With a replica that never says what it holds.
    let replicas = [RedisServer::start(&[]), RedisServer::start(&[])];
    for (replica, (port, mut primary)) in
        replicas.iter().zip([(node.port, node.client()), (redis.port, redis.client())])
    {
        follow(&mut replica.client(), port);
        wait_until_online(&mut primary);
        replica.signal("STOP");
    }
    compare(&lines[1..]);
    let (mut here, mut there) = (node.client(), redis.client());
    for client in [&mut here, &mut there] {
        client.say("SET k v");
    }
    let mut compare = |lines: &[&str]| {
        for line in lines {
            let [ours, theirs] = [(&mut here, &replicas[0]), (&mut there, &replicas[1])]
                .map(|(client, replica)| client.say(&line.replace("PORT", &replica.port.to_string())));
            assert_eq!(ours, theirs, "{line}");
        }
        (state(&mut here), state(&mut there))
    };
    let waiting = || ("waiting-for-sync".to_owned(), "waiting-for-sync".to_owned());
    let lines = [
        "FAILOVER TO 127.0.0.1 1",
        "FAILOVER TO 127.0.0.1 -1",
        "FAILOVER FORCE TO 127.0.0.1 PORT",
        "FAILOVER TO 127.0.0.1 PORT TIMEOUT 100000",
        "FAILOVER",
        "REPLICAOF NO ONE",
        "REPLICAOF 127.0.0.1 1",
        "FAILOVER ABORT TIMEOUT 5",
        "PSYNC ? -1",
        "GET k",
    ];
    assert_eq!(compare(&lines), waiting());
    assert_eq!(compare(&["FAILOVER ABORT", "SET k w"]), ("no-failover".into(), "no-failover".into()));
    replicas.iter().for_each(|replica| replica.signal("CONT"));
    let mut replica = replicas[0].client();
    for line in ["FAILOVER", "FAILOVER ABORT", "FAILOVER FORCE"] {
        let ours = TestNode::start(&[("replicaof", "127.0.0.1 1")]).client().say(line);
        assert_eq!(ours, replica.say(line), "{line}");
    }
}

#[test]
fn writes_wait_while_places_are_changed_and_run_if_nothing_comes_of_it() {
    let (node, redis) = (TestNode::start(&[]), RedisServer::start(&[]));
    let (mut here, mut writer) = (node.client(), node.client());
    follow(&mut redis.client(), node.port);
    wait_until_online(&mut here);
    redis.signal("STOP");
    assert_eq!(here.say("SET before 1"), ok());
    assert_eq!(here.say("FAILOVER TIMEOUT 300"), ok());
    writer.send("SET meanwhile 1\r\n");
    assert_eq!(here.say("EXISTS meanwhile"), Frame::Integer(0));
    assert_eq!(state(&mut here), "waiting-for-sync");
    assert_eq!(writer.reply(), ok(), "the time is over");
    assert_eq!(
        (state(&mut here), info(&mut here, "role").as_deref()),
        ("no-failover".into(), Some("master"))
    );
    redis.signal("CONT");
    wait_until("the replica goes on", || redis.client().say("GET meanwhile") == bulk("1"));
}

#[test]
fn by_force_a_node_follows_a_replica_that_lags_and_what_that_lacked_is_gone() {
    let (node, redis) = (TestNode::start(&[]), RedisServer::start(&[]));
    let (mut here, mut writer) = (node.client(), node.client());
    follow(&mut redis.client(), node.port);
    here.say("SET kept 1");
    assert_eq!(here.say("WAIT 1 0"), Frame::Integer(1));
    redis.signal("STOP");
    here.say(&format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 50 FORCE", redis.port));
    wait_for(&mut here, "master_failover_state", "failover-in-progress");
    assert_eq!(info(&mut here, "role").as_deref(), Some("slave"));
    writer.send("SET meanwhile 1\r\n");
    assert_eq!(here.say("FAILOVER"), error("ERR FAILOVER already in progress."));
    redis.signal("CONT");
    wait_for(&mut here, "master_link_status", "up");
    assert_eq!(writer.reply(), error(READONLY));
    let mut there = redis.client();
    assert_eq!(info(&mut there, "role").as_deref(), Some("master"));
    wait_until_same(&mut there, &mut here);
}

/// A primary with a replica that holds everything, and listens on the port of the fake.
fn with_fake_replica(fake: &Fake, flags: &[(&str, &str)]) -> (TestNode, Client<TcpStream>) {
    let node = TestNode::start(flags);
    let (mut here, mut replica) = (node.client(), node.client());
    replica.send(format!("REPLCONF listening-port {} capa eof capa psync2\r\nPSYNC ? -1\r\n", fake.port()));
    wait_for(&mut here, "connected_slaves", "1");
    wait_until("its snapshot is sent", || {
        replica.send("REPLCONF ACK 0\r\n");
        text(&here.say("INFO replication")).contains("state=online")
    });
    let offset = info(&mut here, "master_repl_offset").unwrap();
    replica.send(format!("REPLCONF ACK {offset}\r\n"));
    (node, replica)
}

#[test]
fn a_replica_that_does_not_take_over_leaves_everything_as_it_was() {
    // It was told to follow somebody else meanwhile, so that it holds another history, or none.
    let fake = Fake::new();
    let (node, _replica) = with_fake_replica(&fake, &[]);
    let (mut here, mut writer) = (node.client(), node.client());
    assert_eq!(here.say("FAILOVER TIMEOUT 20000"), ok());
    writer.send("SET meanwhile 1\r\n");
    let history = info(&mut here, "master_replid").unwrap();
    let mut link = fake.accept();
    link.wait_for("FAILOVER");
    link.send("-ERR PSYNC FAILOVER replid must match my replid.\r\n");
    assert_eq!(writer.reply(), ok());
    assert_eq!(info(&mut here, "role").as_deref(), Some("master"));
    assert_eq!(state(&mut here), "no-failover");
    assert_eq!(info(&mut here, "master_replid2"), Some(history), "what others hold of it goes on");
}

#[test]
fn a_replica_that_is_gone_before_it_is_asked_keeps_nobody_waiting_for_ever() {
    let fake = Fake::new();
    let (node, _replica) = with_fake_replica(&fake, &[]);
    let (mut here, mut writer) = (node.client(), node.client());
    drop(fake);
    assert_eq!(here.say("FAILOVER"), ok());
    wait_for(&mut here, "master_failover_state", "failover-in-progress");
    writer.send("SET meanwhile 1\r\n");
    assert_eq!(here.say("CONFIG SET repl-timeout 1"), ok());
    assert_eq!(writer.reply(), ok());
    assert_eq!(info(&mut here, "role").as_deref(), Some("master"));
    assert_eq!(state(&mut here), "no-failover");
}

#[test]
fn a_primary_that_asks_a_node_to_lead_which_holds_another_history_is_refused() {
    let (node, fake) = (TestNode::start(&[]), Fake::new());
    let mut here = node.client();
    here.say(&format!("REPLICAOF 127.0.0.1 {}", fake.port()));
    fake.accept().full_sync(42);
    let other = HISTORY.replace('0', "1");
    let refused = error("ERR PSYNC FAILOVER replid must match my replid.");
    assert_eq!(here.say(&format!("PSYNC {other} 43 FAILOVER")), refused);
    assert_eq!(info(&mut here, "role").as_deref(), Some("slave"));
    here.send(format!("PSYNC {} 43 FAILOVER\r\n", HISTORY.to_uppercase()));
    assert!(text(&here.reply()).starts_with("CONTINUE"));
    assert_eq!(info(&mut node.client(), "role").as_deref(), Some("master"));
}

#[test]
fn the_log_is_not_read_while_places_are_changed() {
    let fake = Fake::new();
    let (node, _replica) =
        with_fake_replica(&fake, &[("appendonly", "yes"), ("enable-debug-command", "yes")]);
    let mut here = node.client();
    assert_eq!(here.say("SET k v"), ok());
    assert_eq!(here.say("FAILOVER"), ok());
    assert_eq!(state(&mut here), "waiting-for-sync");
    let refused = error("ERR DEBUG LOADAOF not allowed while failing over.");
    assert_eq!(here.say("DEBUG LOADAOF"), refused);
    assert_eq!(here.say("GET k"), bulk("v"));
}
