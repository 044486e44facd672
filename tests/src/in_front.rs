//! What may happen to servers while a crowd of plain clients works through a proxy in front of them.
//!
//! Each row of [`SCENARIOS`] is a story: servers, a proxy, a crowd, a disturbance, and what the crowd may have noticed of it.
//! The tests run each and hold it to its row; `slotway-bench redirects` runs them longer and prints what was counted.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::crowd::{Crowd, Outcome, Walks};
use crate::front::Front;
use crate::real_cluster::server::RedisServer;
use crate::real_cluster::{Failover, RealCluster};

/// How long the disturbance of a scenario goes on, in whole seconds; without it, it happens once.
pub const SECONDS_VARIABLE: &str = "SLOTWAY_IN_FRONT_SECONDS";

/// How many answers the crowd gets between two acts.
const BETWEEN: u64 = 2000;

/// Slots that move at once.
const SLOTS: usize = 300;

/// Longer than a cluster takes to replace a dead master, also on a machine that does other things besides.
const PATIENT: [&str; 4] = ["--hold-ms-max", "20000", "--request-timeout-ms", "40000"];

/// What a disturbance excuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excuse {
    /// Nothing: no error, no lost write.
    None,
    /// A server took answers with it: writes in flight are of unknown outcome. Nothing acknowledged is lost.
    InFlight,
    /// The same, and a master may take acknowledged writes with it that no replica had yet.
    Unreplicated,
    /// There is no proxy, so that the crowd must see what a proxy would have hidden.
    NoProxy,
}

/// One story.
#[derive(Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// For the table of the documentation.
    pub what: &'static str,
    pub excuse: Excuse,
    run: fn(Duration) -> Outcome,
}

/// All of them, in the order of the documentation.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "reshard",
        what: "300 slots there and back (`redis-cli --cluster reshard`)",
        excuse: Excuse::None,
        run: |length| with_a_cluster(length, reshard),
    },
    Scenario {
        name: "failover",
        what: "`CLUSTER FAILOVER`, twice",
        excuse: Excuse::None,
        run: |length| with_a_cluster(length, failover),
    },
    Scenario {
        name: "grow",
        what: "a master added, 300 slots there and back, the master removed",
        excuse: Excuse::None,
        run: |length| with_a_cluster(length, grow),
    },
    Scenario {
        name: "old-view",
        what: "a node is stopped while slots move, and comes back with its old view",
        excuse: Excuse::None,
        run: |length| with_a_cluster(length, old_view),
    },
    Scenario {
        name: "kill",
        what: "`kill -9` of a master, its replica takes over, it comes back as a replica",
        excuse: Excuse::Unreplicated,
        run: |length| with_a_cluster(length, kill),
    },
    Scenario {
        name: "stop",
        what: "a master is stopped (SIGSTOP), its replica takes over, it comes back",
        excuse: Excuse::Unreplicated,
        run: |length| with_a_cluster(length, stop),
    },
    Scenario {
        name: "servers",
        what: "three plain servers: `kill -9` of one, started again",
        excuse: Excuse::InFlight,
        run: with_plain_servers,
    },
    Scenario {
        name: "no-proxy",
        what: "the same clients straight at one node of a cluster",
        excuse: Excuse::NoProxy,
        run: without_a_proxy,
    },
];

impl Scenario {
    #[must_use]
    pub fn named(name: &str) -> &'static Scenario {
        SCENARIOS
            .iter()
            .find(|scenario| scenario.name == name)
            .unwrap_or_else(|| panic!("no scenario {name}"))
    }

    /// Disturbs for as long (at least once), and returns what the crowd says.
    #[must_use]
    pub fn run(&self, length: Duration) -> Outcome {
        (self.run)(length)
    }

    /// Holds an outcome to what is excused.
    pub fn judge(&self, outcome: &Outcome) {
        match self.excuse {
            Excuse::None => outcome.must_be_clean(),
            Excuse::InFlight => {
                outcome.must_be_clean_but_for_the_killed();
                assert!(outcome.lost.is_empty(), "acknowledged writes are gone: {outcome}");
            }
            Excuse::Unreplicated => outcome.must_be_clean_but_for_the_killed(),
            Excuse::NoProxy => {
                assert!(outcome.errors_with("MOVED") > 0, "no redirection was seen: {outcome}")
            }
        }
    }
}

/// How long a disturbance goes on, as the environment says.
#[must_use]
pub fn length() -> Duration {
    let seconds = std::env::var(SECONDS_VARIABLE).ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

/// Does something again and again for as long, at least once.
fn again(length: Duration, mut act: impl FnMut()) {
    let began = Instant::now();
    act();
    while began.elapsed() < length {
        act();
    }
}

fn with_a_cluster(length: Duration, disturb: fn(&mut RealCluster, &Crowd)) -> Outcome {
    let mut cluster = RealCluster::start(3);
    // One seed is enough, and it is the one that `old_view` stops.
    let front = Front::of_cluster(&cluster.address(5), &PATIENT);
    let crowd = Crowd::start(front.port(), Walks::Disturbed);
    crowd.wait_for(BETWEEN);
    again(length, || {
        disturb(&mut cluster, &crowd);
        crowd.wait_for(BETWEEN);
    });
    crowd.stop()
}

fn reshard(cluster: &mut RealCluster, crowd: &Crowd) {
    let masters = cluster.masters();
    cluster.reshard(masters[0], masters[1], SLOTS);
    crowd.wait_for(BETWEEN);
    cluster.reshard(masters[1], masters[0], SLOTS);
}

fn failover(cluster: &mut RealCluster, crowd: &Crowd) {
    let master = cluster.masters()[0];
    let replica = cluster.replica_of(master);
    cluster.failover(replica, Failover::Agreed);
    crowd.wait_for(BETWEEN);
    cluster.failover(master, Failover::Agreed);
}

fn grow(cluster: &mut RealCluster, crowd: &Crowd) {
    let first = cluster.masters()[0];
    let added = cluster.add_master();
    cluster.reshard(first, added, SLOTS);
    crowd.wait_for(BETWEEN);
    cluster.reshard(added, first, SLOTS);
    cluster.remove(added);
}

/// The node is a replica and the proxy's only seed: nothing stops being served, and it is asked again when it is back.
fn old_view(cluster: &mut RealCluster, crowd: &Crowd) {
    let (stopped, masters) = (5, cluster.masters());
    cluster.pause(stopped);
    let moved: Vec<u16> = (0..8).filter(|slot| cluster.owner_of(*slot) == masters[0]).collect();
    for slot in &moved {
        cluster.begin_move(*slot, masters[1]);
        cluster.end_move(*slot, masters[1]);
    }
    crowd.wait_for(BETWEEN);
    cluster.resume(stopped);
    crowd.wait_for(BETWEEN);
    cluster.wait_until_settled();
    for slot in moved {
        cluster.begin_move(slot, masters[0]);
        cluster.end_move(slot, masters[0]);
    }
}

fn kill(cluster: &mut RealCluster, crowd: &Crowd) {
    let master = cluster.masters()[0];
    let replica = cluster.replica_of(master);
    cluster.kill(master);
    cluster.wait_for_promotion(replica);
    crowd.wait_for(BETWEEN);
    cluster.restart(master);
}

fn stop(cluster: &mut RealCluster, crowd: &Crowd) {
    let master = cluster.masters()[0];
    let replica = cluster.replica_of(master);
    cluster.pause(master);
    cluster.wait_for_promotion(replica);
    crowd.wait_for(BETWEEN);
    cluster.resume(master);
    cluster.wait_until_settled();
}

fn with_plain_servers(length: Duration) -> Outcome {
    let mut servers = PlainServers::start(3);
    let front = Front::of_servers(&servers.addresses(), &PATIENT);
    let crowd = Crowd::start(front.port(), Walks::Disturbed);
    crowd.wait_for(BETWEEN);
    let mut turn = 0;
    again(length, || {
        let server = &mut servers.servers[turn % 3];
        server.kill();
        server.restart();
        crowd.wait_for(BETWEEN);
        turn += 1;
    });
    crowd.stop()
}

fn without_a_proxy(length: Duration) -> Outcome {
    let cluster = RealCluster::start(3);
    let crowd = Crowd::start(cluster.server(0).port(), Walks::Disturbed);
    again(length, || crowd.wait_for(BETWEEN));
    crowd.stop()
}

/// Plain servers that know nothing of each other. Dropping them kills them.
#[derive(Debug)]
pub struct PlainServers {
    pub servers: Vec<RedisServer>,
    _dir: TempDir,
}

impl PlainServers {
    #[must_use]
    pub fn start(count: usize) -> PlainServers {
        let dir = tempfile::tempdir().expect("a directory for the servers");
        PlainServers { servers: (0..count).map(|_| RedisServer::plain(dir.path())).collect(), _dir: dir }
    }

    /// As `--backends` takes them.
    #[must_use]
    pub fn addresses(&self) -> String {
        self.servers.iter().map(RedisServer::address).collect::<Vec<_>>().join(",")
    }
}
