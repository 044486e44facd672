//! The control group learns the topology of a real Redis Cluster and keeps up with what happens to it, on its own: nobody
//! tells it here that something might have changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::Registry;
use slotway_cluster::{Topology, topology::Kind};
use slotway_config::ProxyConfig;
use slotway_control::Control;
use slotway_tests::real_cluster::{Failover, RealCluster};

/// A change that the cluster has made is to be known in this time: a second of the timer, and the time to ask.
const NOTICED_WITHIN: Duration = Duration::from_millis(1500);

struct Learner {
    control: Control,
    runtime: tokio::runtime::Runtime,
}

impl Learner {
    fn start(seeds: &[String]) -> Learner {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let flags = vec![("cluster".to_owned(), seeds.join(","))];
        let config = ProxyConfig::load(None, std::iter::empty(), flags).unwrap();
        let control = runtime.block_on(async { Control::start(&config, &Registry::new()).unwrap() });
        Learner { control, runtime }
    }

    fn topology(&self) -> Arc<Topology> {
        self.control.view().topology()
    }

    /// The address of the slot's owner.
    fn owner(&self, slot: u16) -> Option<String> {
        let topology = self.topology();
        let slot = slotway_cluster::Slot::new(slot).unwrap();
        let shard = &topology.shards[topology.slot_map().owner(slot)?];
        topology.node(&shard.primary).map(|node| node.addr.clone())
    }

    /// Waits until `true_now` holds; fails past `within`.
    fn knows(&self, what: &str, within: Duration, true_now: impl Fn(&Learner) -> bool) {
        let since = Instant::now();
        while !true_now(self) {
            assert!(
                since.elapsed() < within,
                "{what} is not known after {within:?}: {:#?}",
                self.topology().shards
            );
            std::thread::yield_now();
        }
        println!("{what}: known after {:?}", since.elapsed());
    }

    fn stop(self) {
        self.runtime.block_on(self.control.stop());
    }
}

#[test]
fn what_happens_to_a_real_cluster_is_known_a_second_later() {
    let mut cluster = RealCluster::start(3);
    let learner = Learner::start(&[cluster.address(cluster.replica_of(cluster.owner_of(0)))]);
    learner
        .knows("every slot", Duration::from_secs(5), |learner| learner.topology().slots_assigned() == 16384);
    let first = learner.topology();
    assert_eq!((first.shards.len(), first.nodes.len()), (3, 6));
    assert!(first.shards.iter().all(|shard| shard.kind == Kind::Cluster && shard.replicas.len() == 1));
    assert_eq!(learner.owner(0), Some(cluster.address(cluster.owner_of(0))));
    let shard_of_0 = first.shards[0].id;

    let (former, new) = (cluster.owner_of(0), cluster.replica_of(cluster.owner_of(0)));
    cluster.server(new).must("CLUSTER FAILOVER");
    cluster.wait_for_promotion(new);
    let is_owner = |index: usize, slot: u16| {
        let address = cluster.address(index);
        move |learner: &Learner| learner.owner(slot).as_ref() == Some(&address)
    };
    learner.knows("a failover on request", NOTICED_WITHIN, is_owner(new, 0));
    assert_eq!(learner.topology().shards[0].id, shard_of_0, "the shard stays the same");
    cluster.wait_until_settled();
    learner.knows("the former primary as a replica", Duration::from_secs(5), |learner| {
        learner.topology().shards[0].replicas.len() == 1
    });
    assert_eq!(learner.topology().nodes, first.nodes, "nodes keep their names");

    let to = cluster.owner_of(16383);
    cluster.begin_move(7, to);
    cluster.end_move(7, to);
    learner.knows("a slot that moved", NOTICED_WITHIN, is_owner(to, 7));
    assert_eq!(learner.owner(8), Some(cluster.address(new)));

    // A node that hangs delays nothing that the others say.
    let hanging = cluster.replica_of(to);
    cluster.pause(hanging);
    cluster.server(former).must("CLUSTER FAILOVER TAKEOVER");
    cluster.wait_for_promotion(former);
    let address = cluster.address(former);
    learner.knows("a takeover while a node hangs", NOTICED_WITHIN, |learner| {
        learner.owner(0).as_ref() == Some(&address)
    });
    cluster.resume(hanging);
    cluster.wait_until_settled();

    cluster.kill(former);
    cluster.wait_for_promotion(new);
    let address = cluster.address(new);
    learner.knows("a promotion by the cluster", NOTICED_WITHIN, |learner| {
        learner.owner(0).as_ref() == Some(&address)
    });
    assert_eq!(learner.topology().shards[0].id, shard_of_0);
    learner.stop();
}

#[test]
fn shards_come_and_go_with_the_masters_that_hold_slots() {
    let mut cluster = RealCluster::start(3);
    let learner = Learner::start(&[cluster.address(0)]);
    learner
        .knows("every slot", Duration::from_secs(5), |learner| learner.topology().slots_assigned() == 16384);
    let (first, from) = (learner.topology(), cluster.owner_of(0));

    let added = cluster.add_master();
    assert_eq!(learner.topology().shards.len(), 3, "without slots it is no shard");
    cluster.reshard(from, added, 100);
    learner.knows("the new shard", NOTICED_WITHIN, |learner| {
        learner
            .topology()
            .shards
            .get(3)
            .is_some_and(|shard| shard.slots.iter().map(|range| range.count()).sum::<usize>() == 100)
    });
    assert_eq!(learner.topology().shards[3].id.0, 4);
    cluster.reshard(added, from, 100);
    learner.knows("that it is empty", NOTICED_WITHIN, |learner| learner.topology().shards.len() == 3);
    cluster.remove(added);
    cluster.failover(cluster.replica_of(from), Failover::Force);
    learner.knows("another failover", NOTICED_WITHIN, |learner| {
        learner.owner(0) == Some(cluster.address(cluster.owner_of(0)))
    });
    let ids = |topology: &Topology| topology.shards.iter().map(|shard| shard.id).collect::<Vec<_>>();
    assert_eq!(ids(&learner.topology()), ids(&first));
    assert_eq!(learner.topology().slots_assigned(), 16384);
    learner.stop();
}
