//! Keeping up with a Redis or Valkey Cluster: asks its nodes what they know, and lets [`decide`] make a topology of it.
//!
//! The seeds of `--cluster` are asked first, then every node that anybody names, each over a connection of its own
//! ([`asker`]), in rounds: once a second while all agree and nothing moves, ten times as often while something does, and at once
//! when the data path was redirected or lost a link. A round waits for nobody: each answer is weighed when it comes, so
//! that a dead or stopped node delays nothing that the others say. What is decided from their answers is not decided here.
//!
//! Until a first node has answered, the topology has no shards; the proxy listens meanwhile.

mod asker;

mod reply;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use slotway_cluster::{
    Topology,
    discovery::{Known, View, decide},
    ids::cluster_id,
    slot::Placement,
};
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use self::asker::{Report, Silence};
use crate::shared::Shared;

/// Between two rounds while all is well.
const INTERVAL: Duration = Duration::from_secs(1);

/// Between two rounds while the nodes disagree, one is silent or slots move.
const INTERVAL_UNSETTLED: Duration = Duration::from_millis(100);

/// Between two rounds at least, however often the data path asks.
const INTERVAL_MIN: Duration = Duration::from_millis(20);

/// After so long without any change the unsettled is the ordinary: a primary that nobody replaces.
const UNSETTLED_MAX: Duration = Duration::from_secs(60);

/// Nodes asked at most: a cluster is said to have no more.
const NODES_MAX: usize = 1000;

/// Reports that may wait to be weighed; whoever has one more waits with it.
const REPORTS_MAX: usize = 64;

/// The topology before any node has answered.
pub(crate) fn unknown(seeds: &[String]) -> Topology {
    Topology {
        version: 1,
        cluster_id: cluster_id(seeds.iter().map(String::as_str)),
        placement: Placement::default(),
        shards: Vec::new(),
        nodes: Vec::new(),
        proxies: Vec::new(),
    }
}

/// Keeps the topology true. Ends only by being dropped, and its askers with it.
pub(crate) async fn run(shared: Arc<Shared>, seeds: Vec<String>) {
    let (report, mut reports) = mpsc::channel(REPORTS_MAX);
    let stale = shared.stale();
    let mut watch = Watch::new(shared, seeds, report);
    watch.ask_whom_it_concerns();
    loop {
        tokio::select! {
            biased;
            report = reports.recv() => {
                let first = report.expect("the watch itself holds a sender");
                let more = std::iter::from_fn(|| reports.try_recv().ok());
                let news = std::iter::once(first).chain(more).filter_map(|report| watch.hear(report).then_some(()));
                if news.count() > 0 {
                    watch.weigh();
                }
            }
            () = tokio::time::sleep_until(watch.next_round) => watch.start_round(),
            () = stale.notified(), if !watch.is_hurried() => watch.hurry(),
        }
    }
}

struct Watch {
    shared: Arc<Shared>,
    seeds: Vec<String>,
    known: Option<Known>,
    /// What each node that answers said last.
    views: Vec<View>,
    /// Why the others do not, as it was logged.
    silent: BTreeMap<String, String>,
    askers: JoinSet<()>,
    running: HashMap<String, AbortHandle>,
    /// Counts the rounds; askers wait for the next.
    rounds: watch::Sender<u64>,
    report: mpsc::Sender<Report>,
    last_round: Instant,
    next_round: Instant,
    /// When a node last said something new.
    changed: Instant,
}

impl Watch {
    fn new(shared: Arc<Shared>, seeds: Vec<String>, report: mpsc::Sender<Report>) -> Watch {
        let now = Instant::now();
        Watch {
            shared,
            seeds,
            known: None,
            views: Vec::new(),
            silent: BTreeMap::new(),
            askers: JoinSet::new(),
            running: HashMap::new(),
            rounds: watch::Sender::new(0),
            report,
            last_round: now,
            next_round: now + INTERVAL_UNSETTLED,
            changed: now,
        }
    }

    /// Takes a report. True: it says something new.
    fn hear(&mut self, report: Report) -> bool {
        let Report { address, said } = report;
        let place = self.views.iter().position(|view| view.asked() == address);
        let new = match (said, place) {
            (Ok(view), Some(at)) => std::mem::replace(&mut self.views[at], view.clone()) != view,
            (Ok(view), None) => {
                self.views.push(view);
                true
            }
            (Err(silence), place) => {
                self.complain(&address, &silence);
                place.map(|at| self.views.swap_remove(at)).is_some()
            }
        };
        if self.views.iter().any(|view| view.asked() == address) {
            self.silent.remove(&address);
        }
        if new {
            self.changed = Instant::now();
        }
        new
    }

    /// Makes the next topology of what was heard, and asks nodes that were named for the first time.
    fn weigh(&mut self) {
        let Some(known) = decide(self.known.as_ref(), &self.views) else {
            tracing::warn!(
                "no node of the cluster believes it to be whole (cluster_state): waiting for one that does"
            );
            return self.ask_whom_it_concerns();
        };
        self.shared.change(|present| {
            let next = known.topology(present.version + 1, present.proxies.clone());
            let same = next.shards == present.shards
                && next.nodes == present.nodes
                && next.cluster_id == present.cluster_id;
            if same {
                return None;
            }
            let (version, shards, slots) = (next.version, next.shards.len(), next.slots_assigned());
            tracing::info!(version, shards, slots, "the cluster's topology changed");
            Some(next)
        });
        self.known = Some(known);
        self.ask_whom_it_concerns();
        self.next_round = self.next_round.min(self.last_round + self.interval());
    }

    /// One asker for each seed, each member and each node that a view names.
    fn ask_whom_it_concerns(&mut self) {
        let members = self.known.iter().flat_map(Known::addresses);
        let named = self.views.iter().flat_map(View::addresses);
        let seeds = self.seeds.iter().map(String::as_str);
        let mut wanted = BTreeSet::new();
        for address in members.chain(seeds).chain(named) {
            if wanted.len() < NODES_MAX {
                wanted.insert(address.to_owned());
            }
        }
        self.running.retain(|address, asker| {
            let stays = wanted.contains(address);
            if !stays {
                asker.abort();
            }
            stays
        });
        self.views.retain(|view| wanted.contains(view.asked()));
        self.silent.retain(|address, _| wanted.contains(address));
        while self.askers.try_join_next().is_some() {}
        for address in wanted {
            let (rounds, report, shared) = (self.rounds.subscribe(), self.report.clone(), &self.shared);
            let askers = &mut self.askers;
            self.running.entry(address).or_insert_with_key(|address| {
                askers.spawn(asker::run(Arc::clone(shared), address.clone(), rounds, report))
            });
        }
    }

    fn start_round(&mut self) {
        self.rounds.send_modify(|round| *round += 1);
        self.last_round = Instant::now();
        self.next_round = self.last_round + self.interval();
    }

    fn interval(&self) -> Duration {
        let settled = self.known.as_ref().is_some_and(|known| known.is_settled(&self.views));
        match settled || self.changed.elapsed() > UNSETTLED_MAX {
            true => INTERVAL,
            false => INTERVAL_UNSETTLED,
        }
    }

    fn is_hurried(&self) -> bool {
        self.next_round <= self.last_round + INTERVAL_MIN
    }

    /// The topology may be out of date.
    fn hurry(&mut self) {
        self.next_round = self.last_round + INTERVAL_MIN;
    }

    /// Says why a node does not answer, once for each reason.
    fn complain(&mut self, address: &str, silence: &Silence) {
        let reason = silence.to_string();
        if self.silent.get(address) == Some(&reason) {
            return;
        }
        match silence {
            Silence::NoCluster => {
                tracing::error!(%address, "this server is not in cluster mode: --cluster takes nodes of a \
                Redis or Valkey Cluster, servers outside a cluster are named with --backends")
            }
            Silence::Unreachable(_) | Silence::BadReply(_) => {
                tracing::warn!(%address, %reason, "a node of the cluster does not tell its topology");
            }
        }
        self.silent.insert(address.to_owned(), reason);
    }
}
