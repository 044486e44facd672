//! What the log's entries add up to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Placement, SlotRange,
    ids::{Epoch, NodeId, ProxyId, ShardId},
    shard::{Incarnation, Position, Rule},
    topology::{self, Kind, Topology},
};

/// Everything that the control group has decided.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cluster {
    /// The last entry that changed anything; the version of the topology that follows.
    pub index: u64,
    /// Empty until `Create`.
    pub cluster_id: String,
    pub placement: Placement,
    pub durability: Durability,
    pub nodes: BTreeMap<NodeId, NodeFact>,
    pub shards: BTreeMap<ShardId, ShardState>,
    pub proxies: BTreeMap<ProxyId, ProxyFact>,
    /// Nodes that go once no rule of their shard names them.
    #[serde(default)]
    pub leaving: BTreeSet<NodeId>,
    /// Nodes that were added to a shard that runs and have not been in its rule since: they hold nothing that counts yet.
    #[serde(default)]
    pub newcomers: BTreeSet<NodeId>,
    /// Names of nodes that are gone, the latest last: what still tells of them comes late. At most [`REMOVED_KEPT`].
    #[serde(default)]
    pub removed: Vec<NodeId>,
    /// Promotions that may have lost acknowledged writes.
    pub losses_accepted: u64,
}

/// More names of nodes that are gone are forgotten, the oldest first.
pub const REMOVED_KEPT: usize = 1024;

/// When a reply that tells of a write may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Once k of S hold it.
    #[default]
    Quorum,
    /// At once. All the rest is the same.
    Async,
}

/// A storage node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFact {
    pub shard: ShardId,
    /// `host:port` of its client port.
    pub addr: String,
    /// `host:port` of its pulse port; None: not known yet, asked by SLOTWAY STATE.
    pub pulse_addr: Option<String>,
    pub admin_addr: Option<String>,
    /// The life it was last seen in.
    pub incarnation: Option<Incarnation>,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyFact {
    pub addr: String,
    pub control_addr: String,
    pub admin_addr: Option<String>,
    pub sentinel_addr: Option<String>,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardState {
    /// e.
    pub epoch: Epoch,
    /// v: raised by everything that changes the rule or decides about a stopped primary; never goes back, also over epochs.
    pub version: u64,
    /// (p, S, k) of this epoch.
    pub rule: Rule,
    /// Rules that were replaced by promotions since the last `Activated`: a fence must satisfy them, too (I4).
    pub kept: Vec<Rule>,
    pub activated: bool,
    /// e + 1, while a failover is pending.
    pub pending: Option<Epoch>,
    pub slots: Vec<SlotRange>,
    pub min_copies: Option<usize>,
    /// The last clean stop of all, if nothing began since.
    pub clean_stop: Option<Position>,
}

impl ShardState {
    /// How many copies, the primary's included, a write needs in a shard of so many nodes.
    pub fn copies_needed(&self, nodes: usize) -> usize {
        self.min_copies.unwrap_or(if nodes <= 2 { 1 } else { 2 })
    }
}

impl Cluster {
    /// How many nodes a shard has, whether they are members of its rule or not. Who is leaving does not count, and neither does who
    /// still copies: as long as a new node holds nothing it must not make a write need one copy more.
    pub fn nodes_of(&self, shard: ShardId) -> usize {
        let counts = |id: &NodeId| !self.leaving.contains(id) && !self.newcomers.contains(id);
        self.nodes.iter().filter(|(id, fact)| fact.shard == shard && counts(id)).count()
    }

    /// The name of the next node: a number above all that were ever given, here and in `also`.
    pub fn next_node_name<'n>(&'n self, also: impl IntoIterator<Item = &'n NodeId>) -> NodeId {
        let number = |id: &NodeId| id.0.strip_prefix('n').and_then(|digits| digits.parse::<u64>().ok());
        let known = self.nodes.keys().chain(&self.removed).chain(also);
        let last = known.filter_map(number).max().unwrap_or(0);
        NodeId(format!("n{}", last.saturating_add(1)))
    }

    /// What proxies route by and the admin API shows. A node that is no member of S is a replica there, too.
    pub fn topology(&self) -> Topology {
        let replicas = |id: &ShardId, shard: &ShardState| {
            let of_shard = self
                .nodes
                .iter()
                .filter(|(node, fact)| fact.shard == *id && **node != shard.rule.primary.node);
            of_shard.map(|(node, _)| node.clone()).collect()
        };
        let shards = self.shards.iter().map(|(id, shard)| topology::Shard {
            id: *id,
            kind: Kind::Slotway,
            epoch: shard.epoch,
            primary: shard.rule.primary.node.clone(),
            replicas: replicas(id, shard),
            slots: shard.slots.clone(),
        });
        let nodes = self.nodes.iter().map(|(id, fact)| topology::Node {
            id: id.clone(),
            addr: fact.addr.clone(),
            admin_addr: fact.admin_addr.clone(),
        });
        let proxies = self.proxies.iter().map(|(id, fact)| topology::Proxy {
            id: id.clone(),
            addr: fact.addr.clone(),
            admin_addr: fact.admin_addr.clone(),
            sentinel_addr: fact.sentinel_addr.clone(),
        });
        Topology {
            version: self.index,
            cluster_id: self.cluster_id.clone(),
            placement: self.placement.clone(),
            shards: shards.collect(),
            nodes: nodes.collect(),
            proxies: proxies.collect(),
        }
    }
}
