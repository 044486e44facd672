//! What the parts of the control group share, and the handle by which others look at it.
//!
//! The topology is replaced as a whole, under one lock that only writers take; readers load it. Observations are written
//! once a second per node and copied out for each admin call: a lock is cheap enough.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use slotway_cluster::{
    NodeId, ProxyId, ShardId, Slot, Topology,
    health::AtWork,
    topology::Proxy,
    view::{
        Durability, NodeObservation, Observations, Policy, ProxyObservation, RaftRole, ShardObservation,
        SlotCount,
    },
};
use slotway_config::Secret;
use slotway_link::{Credentials, Target};
use slotway_resp::Version;
use tokio::sync::{Notify, mpsc, watch};

use crate::{conduct::Wish, control::WishError, count, metrics::Metrics, operations::Operations};

/// Where others reach this proxy, `host:port` each.
#[derive(Debug, Clone)]
pub struct OwnAddresses {
    /// The client port.
    pub addr: String,
    pub admin_addr: Option<String>,
    pub sentinel_addr: Option<String>,
}

/// How many clients this proxy has now.
pub(crate) type ClientCount = Arc<dyn Fn() -> usize + Send + Sync>;

pub(crate) struct Shared {
    topology: Arc<ArcSwap<Topology>>,
    /// Held while the next topology is made from the present one.
    changing: Mutex<()>,
    version: watch::Sender<u64>,
    stale: Arc<Notify>,
    at_work: Arc<ArcSwap<AtWork>>,
    nodes: Mutex<BTreeMap<NodeId, NodeObservation>>,
    group: Mutex<GroupObservation>,
    own: Mutex<Option<(ProxyId, ClientCount)>>,
    /// To the group's leader; None: there is no group.
    wishes: Option<mpsc::Sender<Wish>>,
    pub(crate) access: Access,
    metrics: Metrics,
    operations: Operations,
}

/// What there is to see of a control group, if there is one.
#[derive(Debug, Clone, Default)]
struct GroupObservation {
    durability: Option<Durability>,
    policy: Policy,
    leader: Option<ProxyId>,
    shards: BTreeMap<ShardId, ShardObservation>,
    seats: BTreeMap<ProxyId, RaftRole>,
}

/// What the log says, for whoever routes by it.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) topology: Topology,
    pub(crate) durability: Durability,
    pub(crate) policy: Policy,
}

/// As whom nodes are spoken to.
#[derive(Debug)]
pub(crate) struct Access {
    /// The members' secret: with it the cluster's Slotway nodes are managed.
    pub(crate) secret: Option<Secret>,
    /// For nodes that are not.
    pub(crate) credentials: Option<Credentials>,
}

/// Name of the user under which members of a cluster speak to its nodes.
const MEMBER: &str = "slotway";

impl Access {
    pub(crate) fn target(&self, address: &str, managed: Managed) -> Target {
        let member =
            |secret: &Secret| Credentials { user: Some(MEMBER.into()), password: secret.reveal().into() };
        let credentials = match managed {
            Managed::Yes => self.secret.as_ref().map(member),
            Managed::No => self.credentials.clone(),
        };
        Target { address: address.to_owned(), credentials, version: Version::Resp2 }
    }
}

/// Whether a node takes its topology from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Managed {
    Yes,
    No,
}

impl Shared {
    pub(crate) fn new(topology: Topology, access: Access, metrics: Metrics) -> Shared {
        let (version, _) = watch::channel(topology.version);
        Shared {
            topology: Arc::new(ArcSwap::from_pointee(topology)),
            changing: Mutex::default(),
            version,
            stale: Arc::default(),
            at_work: Arc::default(),
            nodes: Mutex::default(),
            group: Mutex::default(),
            own: Mutex::default(),
            wishes: None,
            access,
            metrics,
            operations: Operations::default(),
        }
    }

    pub(crate) fn with_group(self, wishes: mpsc::Sender<Wish>) -> Shared {
        Shared { wishes: Some(wishes), ..self }
    }

    pub(crate) fn wish(&self, wish: Wish) -> Result<(), WishError> {
        self.may_wish()?;
        let wishes = self.wishes.as_ref().ok_or(WishError::NoGroup)?;
        wishes.try_send(wish).map_err(|_| WishError::TooMany)
    }

    /// Wishes are the leader's to fulfil.
    pub(crate) fn may_wish(&self) -> Result<(), WishError> {
        if self.wishes.is_none() {
            return Err(WishError::NoGroup);
        }
        let leader = lock(&self.group).leader.clone();
        let own = lock(&self.own).as_ref().map(|(id, _)| id.clone());
        match leader.is_none() || leader != own {
            true => Err(WishError::NotLeader(leader.map(|leader| leader.0))),
            false => Ok(()),
        }
    }

    pub(crate) fn topology(&self) -> Arc<Topology> {
        self.topology.load_full()
    }

    pub(crate) fn cell(&self) -> Arc<ArcSwap<Topology>> {
        Arc::clone(&self.topology)
    }

    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Told by the data path when a node's behaviour says that the topology may be out of date.
    pub(crate) fn stale(&self) -> Arc<Notify> {
        Arc::clone(&self.stale)
    }

    /// The primaries that are at one long command: always the newest.
    pub(crate) fn at_work(&self) -> Arc<ArcSwap<AtWork>> {
        Arc::clone(&self.at_work)
    }

    pub(crate) fn are_at_work(&self, nodes: AtWork) {
        if **self.at_work.load() != nodes {
            self.at_work.store(Arc::new(nodes));
        }
    }

    /// Replaces the topology by what `next` makes of it; None changes nothing.
    pub(crate) fn change(&self, next: impl FnOnce(&Topology) -> Option<Topology>) {
        let _alone = lock(&self.changing);
        if let Some(topology) = next(&self.topology.load()) {
            let version = topology.version;
            self.topology.store(Arc::new(topology));
            self.version.send_replace(version);
        }
    }

    /// Notes what was seen of a node; returns what was seen before.
    pub(crate) fn observe(&self, node: &NodeId, seen: NodeObservation) -> Option<NodeObservation> {
        self.metrics.observe(node, seen.health);
        lock(&self.nodes).insert(node.clone(), seen)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The control group has decided this. Nothing of what is known here only is kept.
    pub(crate) fn decided(&self, decided: Decided) {
        let Decided { topology, durability, policy } = decided;
        let mut group = lock(&self.group);
        (group.durability, group.policy) = (Some(durability), policy);
        drop(group);
        let gone: Vec<NodeId> =
            lock(&self.nodes).keys().filter(|node| topology.node(node).is_none()).cloned().collect();
        for node in &gone {
            self.forget(node);
        }
        self.change(|present| {
            // A log that is just being begun says less than the plan.
            let says_less =
                present.version == 0 && topology.slots_assigned() < present.slots_assigned().max(1);
            (!says_less && *present != topology).then_some(topology)
        });
    }

    /// Returns whether that is news.
    pub(crate) fn led_by(&self, leader: Option<ProxyId>, am_i: bool) -> bool {
        self.metrics.set_leads(am_i);
        let before = std::mem::replace(&mut lock(&self.group).leader, leader.clone());
        before != leader
    }

    pub(crate) fn observe_shards(
        &self,
        shards: BTreeMap<ShardId, ShardObservation>,
        seats: BTreeMap<ProxyId, RaftRole>,
    ) {
        let mut group = lock(&self.group);
        (group.shards, group.seats) = (shards, seats);
    }

    /// In a control group a proxy has the name that the group gave it.
    pub(crate) fn introduce_as(&self, id: ProxyId, clients: ClientCount) {
        *lock(&self.own) = Some((id, clients));
    }

    pub(crate) fn seen(&self, node: &NodeId) -> Option<NodeObservation> {
        lock(&self.nodes).get(node).cloned()
    }

    /// A node left the topology.
    pub(crate) fn forget(&self, node: &NodeId) {
        self.metrics.forget(node);
        lock(&self.nodes).remove(node);
    }

    /// Lists this proxy in the topology, unless it is there, and remembers which one it is. The version stays: this is
    /// known here only, and the next version is whoever's that decides for all.
    pub(crate) fn introduce(&self, own: OwnAddresses, clients: ClientCount) {
        self.change(|topology| {
            if let Some(listed) = topology.proxies.iter().find(|proxy| proxy.addr == own.addr) {
                *lock(&self.own) = Some((listed.id.clone(), clients));
                return None;
            }
            let numbers =
                topology.proxies.iter().filter_map(|proxy| proxy.id.0.strip_prefix('p')?.parse::<u64>().ok());
            let id = ProxyId(format!("p{}", numbers.max().unwrap_or(0) + 1));
            *lock(&self.own) = Some((id.clone(), clients));
            let OwnAddresses { addr, admin_addr, sentinel_addr } = own;
            let mut next = topology.clone();
            next.proxies.push(Proxy { id, addr, admin_addr, sentinel_addr });
            Some(next)
        });
    }

    fn observations(&self) -> Observations {
        let GroupObservation { durability, policy, leader, shards, seats } = lock(&self.group).clone();
        let seat =
            |(proxy, raft)| (proxy, ProxyObservation { raft: Some(raft), ..ProxyObservation::default() });
        let mut seen = Observations {
            nodes: lock(&self.nodes).clone(),
            proxies: seats.into_iter().map(seat).collect(),
            shards,
            durability,
            policy,
            leader,
            software: format!("slotway {}", env!("CARGO_PKG_VERSION")),
        };
        if let Some((id, clients)) = lock(&self.own).clone() {
            let own = seen.proxies.entry(id).or_default();
            own.version = Some(self.topology().version);
            own.clients = u64::try_from(clients()).ok();
        }
        seen
    }
}

/// What this proxy knows of its cluster: a cheap handle for the admin API.
#[derive(Clone)]
pub struct View(pub(crate) Arc<Shared>);

impl View {
    pub fn topology(&self) -> Arc<Topology> {
        self.0.topology()
    }

    pub fn observations(&self) -> Observations {
        self.0.observations()
    }

    /// Asks the node that holds `slot` for its keys there. None: it did not answer, or cannot count.
    pub async fn count_slot(&self, slot: Slot) -> Option<SlotCount> {
        count::keys_of(&self.0, slot).await
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

/// A panic while a lock was held leaves maps that are whole: each insert is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
