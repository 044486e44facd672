//! What a replica takes, keeps and shows.

use slotway_cluster::{
    Epoch,
    control::{Durability, Entry},
    pulse::{Order, wire::Part},
    replication::Offset,
};

use super::rig::{self, Rig, TestNode, until};
use crate::persistence::aof::simulated::Simulated;

#[test]
fn a_replica_lets_nobody_but_its_primary_change_its_keys_whatever_its_settings_say() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    assert_eq!(rig.client(0).ask("SET k v"), "+OK\r\n");
    rig.until("the replica holds it", |rig| rig.position(1) == rig.position(0));
    let mut client = rig.client(1);
    for setting in [
        "replica-read-only no",
        "replica-ignore-maxmemory no",
        "maxmemory-policy allkeys-random",
        "maxmemory 1",
    ] {
        assert_eq!(client.ask(&format!("CONFIG SET {setting}")), "+OK\r\n");
    }
    let refuses = |client: &mut rig::Client| {
        for request in ["FLUSHALL", "FLUSHDB"] {
            let refused = client.ask(request);
            assert!(refused.starts_with("-READONLY"), "{refused}");
        }
    };
    refuses(&mut client);
    client.ask("READONLY");
    assert_eq!(rig.ask(&mut client, "GET k"), "$1\r\nv\r\n");
    // Nor while it follows nobody: it has promised that this epoch is over.
    rig.nodes[1].vitals.see(Epoch(2));
    rig.until("it follows nobody", |rig| rig.nodes[1].vitals.told().part == Part::None);
    refuses(&mut client);
    assert_eq!(client.ask("GET k"), "$1\r\nv\r\n");
}

#[test]
fn what_was_called_committed_before_it_was_here_is_shown_as_soon_as_it_is() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    let mut writer = rig.client(0);
    assert_eq!(writer.ask("SET k 1"), "+OK\r\n");
    rig.commits = false;
    let Offset(end) = rig.position(0).offset;
    rig.nodes[1].vitals.heard_committed(Epoch(1), Offset(end + 1_000_000));
    assert_eq!(writer.ask("SET k 2"), "+OK\r\n");
    rig.until("the replica holds it", |rig| rig.position(1) == rig.position(0));
    let mut reader = rig.client(1);
    reader.ask("READONLY");
    assert_eq!(reader.ask("GET k"), "$1\r\n2\r\n");
}

#[test]
fn a_snapshot_is_shown_when_its_end_is_committed_and_not_what_was_held_before_it() {
    let mut rig = Rig::new(3, Durability::Quorum);
    rig.open();
    let mut client = rig.client(0);
    assert_eq!(client.ask("SET k old"), "+OK\r\n");
    rig.decide(&Entry::SetMinCopies { shard: rig::SHARD, copies: Some(1) });
    rig.until("all hold it", |rig| (1..3).all(|node| rig.position(node) == rig.position(0)));
    let before = rig.position(0).offset;
    // A write that nobody else holds has the old primary come back by a full synchronisation.
    rig.log_is_reachable = false;
    rig.nodes[1].vitals.see(Epoch(2));
    rig.nodes[2].vitals.see(Epoch(2));
    rig.until("the links are closed", |rig| {
        rig.client(0).ask("INFO replication").contains("connected_slaves:0")
    });
    client.send("SET k lost");
    rig.until("it is executed", |rig| rig.position(0).offset > before);
    let lost = rig.position(0).offset;
    rig.log_is_reachable = true;
    rig.commits = false;
    // So much and no more of the new epoch is committed, as far as the old primary knows: more than it held itself, less than the
    // snapshot is going to.
    let told = Offset(lost.0 + 1);
    rig.nodes[0].vitals.heard_committed(Epoch(2), told);
    rig.fail_over(0, 1, &[1, 2]);
    rig.take_back(0);
    rig.until("it holds the new epoch", |rig| {
        rig.position(0) == rig.position(1)
            && rig.nodes[0].vitals.told().part == Part::Replica { epoch: Epoch(2) }
    });
    assert!(rig.position(0).offset > told, "a snapshot of a later end");
    let mut reader = rig.client(0);
    reader.ask("READONLY");
    reader.send("GET k");
    assert!(reader.is_silent());
    rig.commits = true;
    rig.step();
    assert_eq!(reader.read(), "$3\r\nold\r\n");
}

#[test]
fn who_is_in_no_sync_set_is_not_read_from_and_keeps_nobody_waiting() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    let id = rig.cluster.cluster_id.clone();
    let mut writer = rig.client(0);
    assert_eq!(writer.ask("SET k 1"), "+OK\r\n");
    let (mut reader, mut link, mut withheld) = (rig.client(1), rig.member(1), rig.client(1));
    for client in [&mut reader, &mut link, &mut withheld] {
        assert_eq!(client.ask("READONLY"), "+OK\r\n");
        assert_eq!(rig.ask(client, "GET k"), "$1\r\n1\r\n");
    }
    rig.commits = false;
    assert_eq!(writer.ask("SET k 2"), "+OK\r\n");
    rig.until("the replica holds it", |rig| rig.position(1) == rig.position(0));
    withheld.send("GET k");
    assert!(withheld.is_silent());
    rig.log_is_reachable = false;
    rig.empty_sync();
    assert_eq!(withheld.read_or_end(), None, "nobody will tell whether it may be told");
    rig.until("it learns", |rig| rig.nodes[1].vitals.told().part == Part::Learner { epoch: Epoch(1) });
    assert!(reader.ask("GET k").starts_with("-MOVED "));
    assert!(reader.ask("DBSIZE").starts_with("-TRYAGAIN "));
    assert_eq!(reader.ask("PING"), "+PONG\r\n");
    let version = rig.cluster.index;
    assert_eq!(link.ask(&format!("SLOTWAY LINK {id} 1 1 {version}")), "+OK\r\n");
    for request in ["GET k", "DBSIZE"] {
        assert_eq!(link.ask(request), format!("-STALE 1 {version}\r\n"));
    }
    (rig.log_is_reachable, rig.commits) = (true, true);
    rig.take_back(1);
    rig.until("it knows", |rig| rig.nodes[1].vitals.told().part == Part::Replica { epoch: Epoch(1) });
    assert_eq!(rig.ask(&mut reader, "GET k"), "$1\r\n2\r\n");
    assert_eq!(rig.ask(&mut reader, "DBSIZE"), ":1\r\n");
}

#[test]
fn a_primary_that_a_later_topology_finds_elsewhere_is_followed_there() {
    let mut rig = Rig::new(2, Durability::Quorum);
    let mut orders = rig.orders(&rig.nodes[1]);
    // Nobody listens where it is said to be.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let primary = rig.nodes[0].name.clone();
    let listed = orders.topology.nodes.iter_mut().find(|node| node.id == primary).unwrap();
    listed.addr = free.to_string();
    rig.nodes[1].order(Order::Follow(Box::new(orders)));
    rig.until("it learns", |rig| rig.nodes[1].vitals.told().part == Part::Learner { epoch: Epoch(1) });
    rig.open();
    assert_eq!(rig.state().epoch, Epoch(1));
}

#[test]
fn a_member_that_starts_again_keeps_keys_past_their_deadline_until_its_primary_deletes_them() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    assert_eq!(rig.client(0).ask("DEBUG SET-ACTIVE-EXPIRE 0"), "+OK\r\n");
    assert_eq!(rig.client(0).ask("SET k v PX 1"), "+OK\r\n");
    rig.until("the replica holds it", |rig| rig.position(1) == rig.position(0));
    let mut reader = rig.client(1);
    reader.ask("READONLY");
    while rig.ask(&mut reader, "GET k") != "$-1\r\n" {}
    let replica = rig.nodes.pop().unwrap();
    let again = replica.shut_down_and_start_again("SAVE", &[]);
    until("its data are loaded", || again.client().ask("INFO persistence").contains("\r\nloading:0"));
    let keyspace = again.client().ask("INFO keyspace");
    assert!(keyspace.contains("db0:keys=1,expires=1"), "{keyspace}");
}

#[test]
fn a_replica_that_syncs_before_it_acknowledges_holds_nothing_before_its_disk_does() {
    let disk = Simulated::new();
    let nodes = vec![TestNode::start("n1", &[("save", "")]), TestNode::start_on(&disk, "n2")];
    let mut rig = Rig::of(nodes, Durability::Quorum);
    rig.open();
    let mut writer = rig.client(0);
    assert_eq!(writer.ask("SET k 1"), "+OK\r\n");
    rig.until("the replica holds it", |rig| rig.position(1) == rig.position(0));
    let before = rig.position(1);
    // Nobody may drop it for being slow.
    rig.log_is_reachable = false;
    disk.stall(true);
    writer.send("SET k 2");
    rig.until("it is executed there", |rig| {
        rig.client(1)
            .ask("INFO replication")
            .contains(&format!("slave_repl_offset:{}", rig.position(0).offset))
            && rig.position(0) > before
    });
    assert!(writer.is_silent());
    assert_eq!(rig.position(1), before, "nor would a promise tell of it");
    disk.stall(false);
    assert_eq!(writer.read(), "+OK\r\n");
    rig.until("it holds it", |rig| rig.position(1) == rig.position(0));
}
