//! What a primary withholds, refuses and leaves alone.

use std::time::{Duration, Instant};

use slotway_cluster::{
    control::{Durability, Entry},
    pulse::{Order, wire::Part},
};

use super::rig::{self, Rig, TestNode};

/// A shard in which a write is executed and nobody but the primary holds it.
fn with_an_uncommitted_write() -> (Rig, rig::Client) {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    // Else writes would wait before they are executed.
    rig.decide(&Entry::SetMinCopies { shard: rig::SHARD, copies: Some(1) });
    rig.until("the primary knows", |rig| rig.nodes[0].vitals.told().index == rig.cluster.index);
    rig.log_is_reachable = false;
    rig.nodes[1].stop();
    let before = rig.position(0);
    let mut writer = rig.client(0);
    writer.send("SET k v");
    rig.until("it is executed", |rig| rig.position(0) > before);
    (rig, writer)
}

#[test]
fn who_waits_for_a_reply_that_nobody_can_make_certain_is_closed_after_a_while() {
    let (mut rig, mut writer) = with_an_uncommitted_write();
    rig.grants = false;
    rig.lease(0, Duration::ZERO);
    assert_eq!(writer.read_or_end(), None);
}

#[test]
fn what_was_committed_while_there_was_no_lease_is_told_with_the_next_one_though_requests_wait() {
    let (mut rig, mut writer) = with_an_uncommitted_write();
    let id = rig.cluster.cluster_id.clone();
    let ahead = rig.cluster.index + 1000;
    let mut link = rig.member(0);
    assert_eq!(link.ask(&format!("SLOTWAY LINK {id} 1 1 {ahead}")), "+OK\r\n");
    link.send("GET k");
    rig.grants = false;
    rig.lease(0, Duration::ZERO);
    rig.empty_sync();
    rig.until("it is committed", |rig| rig.nodes[0].vitals.committed() == rig.position(0).offset);
    assert!(writer.is_silent() && link.is_silent());
    rig.lease(0, Duration::MAX);
    assert_eq!(writer.read(), "+OK\r\n");
    assert!(link.is_silent(), "it waits for the topology that its proxy knows");
}

#[test]
fn what_tells_of_keys_in_other_words_waits_like_a_reader() {
    let (mut rig, _writer) = with_an_uncommitted_write();
    // Not told while what it tells of is not committed ...
    let asks = ["CLUSTER COUNTKEYSINSLOT 7629", "CLUSTER GETKEYSINSLOT 7629 10", "DEBUG OBJECT k"];
    let mut clients: Vec<rig::Client> = asks.iter().map(|_| rig.client(0)).collect();
    for (client, ask) in clients.iter_mut().zip(asks) {
        client.send(ask);
        assert!(client.is_silent(), "{ask}");
    }
    rig.empty_sync();
    for client in &mut clients {
        assert!(!client.read().starts_with('-'));
    }
    // ... nor while another node may serve.
    rig.grants = false;
    rig.lease(0, Duration::ZERO);
    for (client, ask) in clients.iter_mut().zip(asks) {
        client.send(ask);
        assert!(client.is_silent(), "{ask}");
    }
}

#[test]
fn writes_of_a_proxy_that_lack_copies_are_refused_at_once_and_its_reads_go_on() {
    let mut rig = Rig::new(3, Durability::Quorum);
    rig.open();
    assert_eq!(rig.client(0).ask("SET k v"), "+OK\r\n");
    for node in [1, 2] {
        rig.nodes[node].stop();
    }
    let (id, version) = (rig.cluster.cluster_id.clone(), rig.cluster.index);
    let mut link = rig.member(0);
    assert_eq!(link.ask(&format!("SLOTWAY LINK {id} 1 1 {version}")), "+OK\r\n");
    rig.until("the links are closed", |rig| {
        rig.client(0).ask("INFO replication").contains("connected_slaves:0")
    });
    let began = Instant::now();
    assert!(link.ask("SET k w").starts_with("-NOREPLICAS "));
    assert!(began.elapsed() < super::super::COPIES_WAIT_MAX / 2);
    assert_eq!(link.ask("GET k"), "$1\r\nv\r\n");
    assert_eq!(link.ask("MULTI"), "+OK\r\n");
    assert!(link.ask("SET k w").starts_with("-NOREPLICAS "));
    assert!(link.ask("EXEC").starts_with("-EXECABORT "));
    rig.decide(&Entry::SetMinCopies { shard: rig::SHARD, copies: Some(1) });
    rig.until("nobody is left in S", |rig| rig.state().rule.sync.is_empty());
    assert_eq!(rig.ask(&mut link, "SET k w"), "+OK\r\n");
}

#[test]
fn a_stopped_primary_adds_nothing_to_its_stream() {
    let mut rig = Rig::new(1, Durability::Quorum);
    rig.open();
    let plain = TestNode::start("plain", &[]);
    let replicaof = format!("REPLICAOF 127.0.0.1 {}", rig.nodes[0].port());
    assert_eq!(plain.client().ask(&replicaof), "+OK\r\n");
    assert_eq!(rig.client(0).ask("CONFIG SET repl-ping-replica-period 1"), "+OK\r\n");
    let before = rig.position(0);
    rig.until("replicas are pinged in the stream", |rig| rig.position(0) > before);
    let (epoch, version) = (rig.state().epoch, rig.state().version);
    rig.nodes[0].order(Order::Stop { epoch, version });
    rig.until("it has stopped", |rig| matches!(rig.nodes[0].vitals.told().part, Part::Stopped { .. }));
    let end = rig.position(0);
    let stopped = Instant::now();
    rig.until("two pings are due", |_| stopped.elapsed() > Duration::from_millis(2500));
    assert_eq!(rig.position(0), end);
}

#[test]
fn a_log_goes_on_syncing_while_node_json_cannot_say_that_it_does_not() {
    let flags = [("save", ""), ("appendonly", "yes"), ("appendfsync", "always")];
    let mut rig = Rig::with_flags(1, Durability::Quorum, &flags);
    rig.open();
    let mut client = rig.client(0);
    assert_eq!(client.ask("SET k v"), "+OK\r\n");
    // A directory stands where the new file would be written.
    let fresh = rig.nodes[0].dir().join("node.json.new");
    std::fs::create_dir(&fresh).unwrap();
    for (setting, before) in [("appendfsync everysec", "always"), ("appendonly no", "yes")] {
        let refused = client.ask(&format!("CONFIG SET {setting}"));
        assert!(refused.contains("node.json cannot be written"), "{refused}");
        let name = setting.split(' ').next().unwrap();
        assert!(client.ask(&format!("CONFIG GET {name}")).contains(before));
    }
    std::fs::remove_dir(&fresh).unwrap();
    let kept = || {
        let text = std::fs::read_to_string(rig.nodes[0].dir().join("node.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["incarnation"].is_string()
    };
    assert!(kept());
    assert_eq!(client.ask("CONFIG SET appendfsync everysec"), "+OK\r\n");
    assert!(!kept(), "the next start is another life");
}
