//! Nodes of one shard in this process, over real sockets, under orders that a control log of the test gives.
//!
//! The test is the control group and the pulse: it applies what nodes propose to a [`Cluster`], lays orders into their
//! letterboxes, grants leases and has them promise.

mod primaries;
mod replicas;
mod rig;

use std::time::Duration;

use slotway_cluster::{
    Epoch, Incarnation, Member,
    control::{Durability, Entry},
    pulse::{
        Order, Orders,
        wire::{Part, UpstreamState},
    },
};

use rig::{PATIENCE, Rig, SHARD, until};

#[test]
fn a_shard_opens_takes_its_replicas_in_and_a_write_is_answered_when_a_majority_holds_it() {
    let mut rig = Rig::new(3, Durability::Quorum);
    rig.open();
    let rule = &rig.state().rule;
    assert_eq!((rule.sync.len(), rule.acks_needed), (2, 1));
    let mut client = rig.client(0);
    assert_eq!(client.ask("SET k v"), "+OK\r\n");
    assert_eq!(client.ask("GET k"), "$1\r\nv\r\n");
    assert_eq!(client.ask("WAIT 2 0"), ":2\r\n");
    let end = rig.nodes[0].vitals.position();
    assert_eq!(end.epoch, Epoch(1));
    rig.until("all hold the same position", |rig| rig.nodes.iter().all(|node| node.vitals.position() == end));
    assert_eq!(rig.nodes[0].vitals.told().part, Part::Serving { epoch: Epoch(1) });
    assert_eq!(rig.nodes[1].vitals.told().part, Part::Replica { epoch: Epoch(1) });
}

#[test]
fn without_a_lease_nothing_is_executed_and_no_reply_leaves_and_with_one_again_everything_goes_on() {
    let mut rig = Rig::new(3, Durability::Quorum);
    rig.open();
    let (mut client, mut other) = (rig.client(0), rig.client(0));
    assert_eq!(client.ask("SET k 1"), "+OK\r\n");
    rig.grants = false;
    rig.lease(0, Duration::ZERO);
    client.send("INCR k");
    other.send("GET k");
    assert_eq!(rig.client(0).ask("PING"), "+PONG\r\n", "what tells of no data passes");
    assert!(rig.client(0).ask("INFO replication").contains("role:master"));
    let mut counter = rig.client(0);
    counter.send("CLUSTER COUNTKEYSINSLOT 7629");
    assert!(client.is_silent() && other.is_silent() && counter.is_silent());
    let held = rig.nodes[0].vitals.position();
    rig.grants = true;
    rig.lease(0, Duration::MAX);
    assert_eq!(client.read(), ":2\r\n");
    assert!(["$1\r\n1\r\n", "$1\r\n2\r\n"].contains(&&*other.read()));
    assert!(rig.nodes[0].vitals.position() > held, "it was not executed before");
}

#[test]
fn a_write_that_nobody_holds_is_not_answered_nor_what_tells_of_it() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    rig.log_is_reachable = false;
    rig.nodes[1].stop();
    let (mut writer, mut reader) = (rig.client(0), rig.client(0));
    writer.send("SET k v");
    until("it is executed", || rig.client(0).ask("INFO stats").contains("total_commands_processed:"));
    reader.send("GET k");
    assert!(writer.is_silent() && reader.is_silent());
    // The log takes the proposal to go on without the replica, which is dead.
    rig.log_is_reachable = true;
    rig.until("the replica has left S", |rig| rig.state().rule.sync.is_empty());
    assert_eq!(writer.read(), "+OK\r\n");
    assert_eq!(reader.read(), "$1\r\nv\r\n");
}

#[test]
fn with_durability_async_a_reply_waits_for_nobody_but_for_a_lease() {
    let mut rig = Rig::new(2, Durability::Async);
    rig.open();
    rig.log_is_reachable = false;
    rig.nodes[1].stop();
    let mut client = rig.client(0);
    assert_eq!(client.ask("SET k v"), "+OK\r\n");
    rig.grants = false;
    rig.lease(0, Duration::ZERO);
    client.send("GET k");
    assert!(client.is_silent());
}

#[test]
fn a_fenced_primary_answers_nothing_the_promoted_one_serves_and_the_old_one_comes_back_as_a_replica() {
    let mut rig = Rig::new(3, Durability::Quorum);
    rig.open();
    let mut client = rig.client(0);
    assert_eq!(client.ask("SET before 1"), "+OK\r\n");
    // Fenced while a write is under way: it may be executed or not, but nobody is told.
    for node in [0, 1, 2] {
        rig.nodes[node].vitals.see(Epoch(2));
    }
    let (mut waiting, mut pinging) = (rig.client(0), rig.client(0));
    waiting.send("SET during 1");
    client.send("GET before");
    assert_eq!(pinging.ask("PING"), "+PONG\r\n");
    assert!(waiting.is_silent() && client.is_silent());
    let best = if rig.position(1) >= rig.position(2) { 1 } else { 2 };
    rig.fail_over(0, best, &[0, 1, 2]);
    let moved = format!("-MOVED 0 127.0.0.1:{}\r\n", rig.nodes[best].port());
    for client in [&mut waiting, &mut client] {
        // What was not executed is referred; nothing else is told.
        let told = client.read_or_end();
        assert!(told.is_none_or(|told| told.starts_with("-MOVED ") && told.len() <= moved.len() + 5));
    }
    let mut fresh = rig.client(best);
    assert_eq!(fresh.ask("GET before"), "$1\r\n1\r\n");
    assert_eq!(fresh.ask("SET after 1"), "+OK\r\n");
    rig.until("the old primary is a replica of S", |rig| rig.state().rule.sync.len() == 2);
    rig.until("it holds everything", |rig| rig.position(0) == rig.position(best));
    assert_eq!(rig.nodes[0].vitals.told().part, Part::Replica { epoch: Epoch(2) });
}

#[test]
fn a_write_that_only_the_old_primary_held_is_gone_when_it_is_a_replica_again() {
    let mut rig = Rig::new(3, Durability::Quorum);
    rig.open();
    let mut client = rig.client(0);
    assert_eq!(client.ask("SET k old"), "+OK\r\n");
    // Else writes would wait before they are executed.
    rig.decide(&Entry::SetMinCopies { shard: rig::SHARD, copies: Some(1) });
    rig.until("both hold it", |rig| (1..3).all(|node| rig.position(node) == rig.position(0)));
    let before = rig.position(1);
    rig.log_is_reachable = false;
    rig.nodes[1].vitals.see(Epoch(2));
    rig.nodes[2].vitals.see(Epoch(2));
    rig.until("the links are closed", |rig| {
        rig.client(0).ask("INFO replication").contains("connected_slaves:0")
    });
    client.send("SET k lost");
    rig.until("it is executed", |rig| rig.position(0).offset > before.offset);
    assert!(client.is_silent());
    rig.log_is_reachable = true;
    rig.fail_over(0, 1, &[1, 2]);
    assert_eq!(rig.client(1).ask("GET k"), "$3\r\nold\r\n");
    assert_eq!(client.read_or_end(), None, "its connection is closed");
    rig.take_back(0);
    let mut reader = rig.client(0);
    reader.ask("READONLY");
    assert_eq!(reader.ask("GET k"), "$3\r\nold\r\n");
}

#[test]
fn survivors_of_a_failover_go_on_where_they_stopped() {
    let mut rig = Rig::new(3, Durability::Quorum);
    rig.open();
    let mut client = rig.client(0);
    for n in 0..100 {
        assert_eq!(client.ask(&format!("SET k{n} v")), "+OK\r\n");
    }
    rig.until("all hold everything", |rig| (1..3).all(|node| rig.position(node) == rig.position(0)));
    let syncs = |rig: &Rig| rig.info(1, "sync_full:");
    let before = syncs(&rig);
    rig.nodes[0].stop();
    for node in [1, 2] {
        rig.nodes[node].vitals.see(Epoch(2));
    }
    rig.fail_over(0, 1, &[1, 2]);
    assert_eq!(rig.client(1).ask("SET k0 w"), "+OK\r\n");
    rig.until("the other one follows", |rig| rig.position(2) == rig.position(1));
    assert_eq!(syncs(&rig), before, "without a full synchronisation");
}

#[test]
fn that_a_replica_has_lost_its_primary_is_told_at_once() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    let upstream = |rig: &Rig| rig.nodes[1].vitals.told().upstream.map(|upstream| upstream.state);
    let mut heard = 0;
    for _ in 0..10 {
        rig.until("the replica follows", |rig| upstream(rig) == Some(UpstreamState::Up));
        assert_eq!(rig.member(0).ask("CLIENT KILL TYPE replica"), ":1\r\n");
        // It is back after a few milliseconds: long before it looks what time has changed.
        let since = std::time::Instant::now();
        let mut is_told = false;
        while !is_told && since.elapsed() < Duration::from_millis(20) {
            is_told = upstream(&rig) == Some(UpstreamState::Refused);
        }
        heard += u32::from(is_told);
    }
    assert!(heard >= 5, "only {heard} of 10 losses were told before they were over");
}

#[test]
fn a_replica_shows_nothing_that_its_primary_does_not_call_committed() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    let mut writer = rig.client(0);
    assert_eq!(writer.ask("SET k 1"), "+OK\r\n");
    let mut reader = rig.client(1);
    reader.ask("READONLY");
    rig.commits = false;
    assert_eq!(writer.ask("SET k 2"), "+OK\r\n");
    rig.until("the replica holds it", |rig| rig.position(1) == rig.position(0));
    reader.send("GET k");
    assert!(reader.is_silent());
    rig.commits = true;
    rig.step();
    assert_eq!(reader.read(), "$1\r\n2\r\n");
}

#[test]
fn a_link_is_told_when_it_is_behind_waits_when_it_is_ahead_and_must_be_of_the_shard() {
    let mut rig = Rig::new(1, Durability::Quorum);
    rig.open();
    let id = rig.cluster.cluster_id.clone();
    let mut link = rig.member(0);
    let version = rig.cluster.index;
    assert_eq!(link.ask(&format!("SLOTWAY LINK {id} 1 1 {version}")), "+OK\r\n");
    assert_eq!(link.ask("SET k v"), "+OK\r\n");
    assert!(link.ask("SLOTWAY LINK other 1 1 1").starts_with("-ERR this node belongs to cluster "));
    assert_eq!(link.ask(&format!("SLOTWAY LINK {id} 2 1 1")), format!("-STALE 1 {version}\r\n"));
    assert_eq!(link.ask(&format!("SLOTWAY LINK {id} 1 0 1")), format!("-STALE 1 {version}\r\n"));
    let mut ahead = rig.member(0);
    assert_eq!(ahead.ask(&format!("SLOTWAY LINK {id} 1 1 {}", version + 1)), "+OK\r\n");
    ahead.send("GET k");
    assert!(ahead.is_silent());
    assert_eq!(link.ask("GET k"), "$1\r\nv\r\n", "others do not wait for it");
    rig.decide(&Entry::SetMinCopies { shard: rig::SHARD, copies: Some(1) });
    assert_eq!(ahead.read(), "$1\r\nv\r\n");
    assert!(rig.client(0).ask("SLOTWAY LINK x 1 1 1").starts_with("-NOPERM"));
}

#[test]
fn a_link_of_an_earlier_epoch_is_stale_and_a_plain_client_is_moved() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    let id = rig.cluster.cluster_id.clone();
    let (mut link, mut client) = (rig.member(0), rig.client(0));
    let version = rig.cluster.index;
    assert_eq!(link.ask(&format!("SLOTWAY LINK {id} 1 1 {version}")), "+OK\r\n");
    rig.until("the replica holds it", |rig| rig.position(1) == rig.position(0));
    for node in [0, 1] {
        rig.nodes[node].vitals.see(Epoch(2));
    }
    rig.fail_over(0, 1, &[0, 1]);
    rig.until("the old primary knows", |rig| {
        rig.nodes[0].vitals.told().part == Part::Replica { epoch: Epoch(2) }
    });
    let stale = link.ask("GET k");
    assert!(stale.starts_with("-STALE 2 "), "{stale}");
    let moved = client.ask("GET k");
    assert!(moved.starts_with("-MOVED "), "{moved}");
    assert!(link.ask("DBSIZE").starts_with("-STALE 2 "), "also without keys");
}

#[test]
fn a_switchover_stops_the_primary_for_good_and_an_abort_lets_it_go_on() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    let mut client = rig.client(0);
    assert_eq!(client.ask("SET k v"), "+OK\r\n");
    let (epoch, version) = (rig.state().epoch, rig.state().version);
    rig.nodes[0].order(slotway_cluster::pulse::Order::Stop { epoch, version });
    rig.until("it has stopped", |rig| matches!(rig.nodes[0].vitals.told().part, Part::Stopped { .. }));
    client.send("GET k");
    assert!(client.is_silent());
    rig.decide(&Entry::SwitchAbort { shard: rig::SHARD, epoch, version });
    assert_eq!(client.read(), "$1\r\nv\r\n");
}

#[test]
fn a_key_past_its_deadline_is_deleted_in_the_stream_before_its_absence_is_told() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    let mut client = rig.client(0);
    assert_eq!(client.ask("DEBUG SET-ACTIVE-EXPIRE 0"), "+OK\r\n");
    assert_eq!(client.ask("SET k v PX 1"), "+OK\r\n");
    let before = rig.position(0);
    rig.until("it is past its deadline", |rig| rig.client(0).ask("GET k") == "$-1\r\n");
    assert!(rig.position(0).offset > before.offset, "the DEL");
    // And a replica that is asked by itself deletes nothing.
    rig.until("the replica holds it", |rig| rig.position(1) == rig.position(0));
    assert_eq!(client.ask("SET k v PX 1"), "+OK\r\n");
    rig.grants = false;
    rig.lease(0, Duration::ZERO);
    let mut waiting = rig.client(0);
    waiting.send("GET k");
    assert!(waiting.is_silent());
}

#[test]
fn a_foreign_or_outdated_member_is_refused_and_one_of_a_later_epoch_fences() {
    let mut rig = Rig::new(1, Durability::Quorum);
    rig.open();
    let id = rig.cluster.cluster_id.clone();
    let ask = |rig: &Rig, words: &str| rig.member(0).ask(&format!("REPLCONF slotway {words}"));
    let life = "00000000000000aa";
    assert!(ask(&rig, &format!("other 1 1 n9 {life} 0")).starts_with("-ERR this node is of shard 1"));
    assert!(ask(&rig, &format!("{id} 2 1 n9 {life} 0")).starts_with("-ERR this node is of shard 1"));
    assert!(ask(&rig, &format!("{id} 1 x n9 {life} 0")).starts_with("-ERR invalid"));
    assert!(ask(&rig, &format!("{id} 1 1 n9 life 0")).starts_with("-ERR invalid"));
    assert!(ask(&rig, &format!("{id} 1 1 n9")).starts_with("-ERR syntax"));
    assert_eq!(ask(&rig, &format!("{id} 1 0 n9 {life} 0")), "-STALE 1\r\n");
    assert_eq!(ask(&rig, &format!("{id} 1 1 n9 {life} 0")), "+OK\r\n");
    assert!(ask(&rig, &format!("{id} 1 7 n9 {life} 0")).starts_with("-NOMASTERLINK"));
    rig.until("it parks", |rig| rig.nodes[0].vitals.told().part == Part::Parked { epoch: Epoch(1) });
    assert_eq!(rig.nodes[0].vitals.seen(), Epoch(7));
}

#[test]
fn requests_that_nobody_lets_it_serve_are_refused_after_a_while_and_have_not_run() {
    let mut rig = Rig::new(1, Durability::Quorum);
    rig.open();
    rig.grants = false;
    rig.lease(0, Duration::ZERO);
    let mut client = rig.client(0);
    let before = rig.position(0);
    client.send("SET k v");
    let refused = client.read_within(super::PARKED_MAX + PATIENCE);
    assert!(refused.starts_with("-TRYAGAIN "), "{refused}");
    assert_eq!(rig.position(0), before);
    rig.lease(0, Duration::MAX);
    rig.until("it serves again", |rig| rig.client(0).ask("GET k") == "$-1\r\n");
}

#[test]
fn a_replica_that_is_no_member_gets_the_stream_and_counts_for_nothing() {
    let mut rig = Rig::new(1, Durability::Quorum);
    rig.open();
    let plain = rig::TestNode::start("plain", &[]);
    let mut client = plain.client();
    assert_eq!(client.ask(&format!("REPLICAOF 127.0.0.1 {}", rig.nodes[0].port())), "+OK\r\n");
    assert_eq!(rig.client(0).ask("SET k v"), "+OK\r\n");
    until("it has the key", || client.ask("GET k") == "$1\r\nv\r\n");
    assert_eq!(rig.client(0).ask("WAIT 1 1"), ":0\r\n");
    assert!(rig.state().rule.sync.is_empty());
    // The EPOCH record was nothing to it but bytes of the stream.
    until("it holds everything", || {
        client.ask("INFO replication").contains(&format!("slave_repl_offset:{}", rig.position(0).offset))
    });
}

#[test]
fn writes_wait_while_there_are_too_few_copies() {
    let mut rig = Rig::new(3, Durability::Quorum);
    rig.open();
    for node in [1, 2] {
        rig.nodes[node].stop();
    }
    let mut client = rig.client(0);
    rig.until("writes wait", |rig| {
        let mut probe = rig.client(0);
        probe.send("SET k v");
        probe.is_silent()
    });
    assert_eq!(client.ask("GET k").len(), 5, "readers do not");
    client.send("SET k w");
    let refused = client.read_within(super::COPIES_WAIT_MAX + PATIENCE);
    assert!(refused.starts_with("-NOREPLICAS"), "{refused}");
    rig.decide(&Entry::SetMinCopies { shard: rig::SHARD, copies: Some(1) });
    rig.until("nobody is left in S", |rig| rig.state().rule.sync.is_empty());
    assert_eq!(client.ask("SET k x"), "+OK\r\n");
}

/// Of a process that was started anew within milliseconds the log still knows the life before.
#[test]
fn a_node_whose_dead_life_the_log_calls_the_primary_executes_nothing() {
    let mut rig = Rig::new(2, Durability::Quorum);
    rig.open();
    let mut state = rig.state().clone();
    state.epoch = Epoch(state.epoch.0 + 1);
    state.rule.primary = Member::new(&rig.nodes[1].name, Incarnation(!rig.nodes[1].incarnation.0));
    let mut topology = rig.cluster.topology();
    topology.version += 1;
    let shard = &mut topology.shards[0];
    shard.epoch = state.epoch;
    shard.replicas = vec![std::mem::replace(&mut shard.primary, rig.nodes[1].name.clone())];
    let version = topology.version;
    rig.nodes[1].order(Order::Follow(Box::new(Orders {
        topology,
        me: rig.nodes[1].name.clone(),
        shard: SHARD,
        state,
        durability: Durability::Quorum,
        pulse_addrs: Vec::new(),
        leaving: Vec::new(),
    })));
    until("the orders came", || rig.nodes[1].vitals.told().index == version);
    let mut client = rig.client(1);
    client.send("SET a 1");
    assert!(client.is_silent());
}
