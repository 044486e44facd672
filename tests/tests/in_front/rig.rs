//! The real cluster by itself: what a test asks of it happens.

use slotway_resp::Frame;
use slotway_tests::cluster::wait_until;
use slotway_tests::real_cluster::{Failover, RealCluster};

/// A slot that the key `{b}` and its neighbours have.
fn slot_of(cluster: &RealCluster, key: &str) -> u16 {
    let slot = cluster.server(0).must(&format!("CLUSTER KEYSLOT {key}")).as_integer();
    slot.and_then(|slot| u16::try_from(slot).ok()).unwrap()
}

#[test]
fn masters_die_change_places_and_come_back() {
    let mut cluster = RealCluster::start(3);
    assert_eq!(cluster.masters(), [0, 1, 2]);
    let replica = cluster.replica_of(0);
    cluster.kill(0);
    cluster.wait_for_promotion(replica);
    cluster.restart(0);
    assert!(!cluster.is_master(0) && cluster.masters().contains(&replica));
    for how in [Failover::Agreed, Failover::Force, Failover::Takeover] {
        let (before, after) = (cluster.masters()[0], cluster.replica_of(cluster.masters()[0]));
        cluster.failover(after, how);
        assert!(cluster.is_master(after) && !cluster.is_master(before), "{how:?}");
    }
}

#[test]
fn a_master_that_was_stopped_comes_back_as_a_replica() {
    let mut cluster = RealCluster::start(3);
    // redis-cli deals the replicas out at random.
    let replica = cluster.replica_of(1);
    cluster.pause(1);
    assert!(!cluster.server(1).is_up());
    cluster.wait_for_promotion(replica);
    cluster.resume(1);
    wait_until("the master that was stopped hears that it is none any more", || !cluster.is_master(1));
}

#[test]
fn a_master_and_its_replica_change_places_again_and_again() {
    let cluster = RealCluster::start(3);
    let (one, other) = (0, cluster.replica_of(0));
    for (after, before) in [(other, one), (one, other), (other, one)] {
        cluster.failover(after, Failover::Agreed);
        assert!(cluster.is_master(after) && !cluster.is_master(before));
    }
}

#[test]
fn slots_move_whole_and_half() {
    let mut cluster = RealCluster::start(3);
    let added = cluster.add_master();
    cluster.reshard(0, added, 50);
    assert_eq!(cluster.masters().len(), 4);
    cluster.reshard(added, 0, 50);
    cluster.remove(added);
    assert_eq!(cluster.masters(), [0, 1, 2]);

    let slot = slot_of(&cluster, "{b}1");
    let (from, to) = (cluster.owner_of(slot), (cluster.owner_of(slot) + 1) % 3);
    cluster.server(from).must("MSET {b}1 one {b}2 two {b}3 three");
    cluster.begin_move(slot, to);
    cluster.move_keys(slot, to, &["{b}2"]);
    assert_eq!(cluster.owner_of(slot), from);
    assert_eq!(cluster.server(from).ask("GET {b}1"), Frame::bulk("one"));
    let here_and_there = [("GET {b}2", "ASK"), ("MGET {b}1 {b}2", "TRYAGAIN")];
    for (request, code) in here_and_there {
        let reply = cluster.server(from).ask(request);
        assert!(reply.as_error().unwrap().starts_with(code.as_bytes()), "{request}: {reply:?}");
    }
    cluster.end_move(slot, to);
    assert_eq!(cluster.owner_of(slot), to);
    let all = ["one", "two", "three"].map(Frame::bulk);
    assert_eq!(cluster.server(to).ask("MGET {b}1 {b}2 {b}3"), Frame::Array(all.to_vec()));
}
