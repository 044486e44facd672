//! Who holds which slots: the value that the control group decides and everybody else follows.
//!
//! A topology is immutable; a change is a new one with a higher version. It is what `SLOTWAY TOPOLOGY` carries to the
//! nodes, what the proxy's data threads route by, and what the admin API shows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Epoch, NodeId, ProxyId, ShardId},
    ranges::SlotRange,
    slot::{Placement, SLOTS, Slot},
};

/// What kind of server a shard's nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Slotway,
    Redis,
    Cluster,
}

/// A storage node as clients and proxies reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// `host:port` of its client port.
    pub addr: String,
    /// `host:port` of its HTTP port; None when it has none.
    pub admin_addr: Option<String>,
}

/// One shard: one primary and its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub id: ShardId,
    pub kind: Kind,
    pub epoch: Epoch,
    pub primary: NodeId,
    pub replicas: Vec<NodeId>,
    pub slots: Vec<SlotRange>,
}

/// A proxy as clients reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    pub id: ProxyId,
    pub addr: String,
    pub admin_addr: Option<String>,
    pub sentinel_addr: Option<String>,
}

/// The whole cluster at one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Index of the control log entry that made it.
    pub version: u64,
    /// 40 hexadecimal digits.
    pub cluster_id: String,
    pub placement: Placement,
    pub shards: Vec<Shard>,
    pub nodes: Vec<Node>,
    pub proxies: Vec<Proxy>,
}

/// Why a topology is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadTopology {
    UnknownNode { shard: ShardId, node: NodeId },
    SlotTwice { slot: Slot, shards: (ShardId, ShardId) },
    ShardTwice(ShardId),
    NodeTwice(NodeId),
}

impl std::fmt::Display for BadTopology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadTopology::UnknownNode { shard, node } => {
                write!(f, "shard {shard} names node {node}, which is not listed")
            }
            BadTopology::SlotTwice { slot, shards: (a, b) } => {
                write!(f, "slot {slot} is held by shards {a} and {b}")
            }
            BadTopology::ShardTwice(id) => write!(f, "shard {id} is listed twice"),
            BadTopology::NodeTwice(id) => write!(f, "node {id} is listed twice"),
        }
    }
}

impl std::error::Error for BadTopology {}

impl Topology {
    pub fn shard(&self, id: ShardId) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.id == id)
    }

    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| &node.id == id)
    }

    /// The shard a node belongs to.
    pub fn shard_of(&self, node: &NodeId) -> Option<&Shard> {
        self.shards.iter().find(|shard| &shard.primary == node || shard.replicas.contains(node))
    }

    /// How many slots have an owner.
    pub fn slots_assigned(&self) -> usize {
        self.shards.iter().flat_map(|shard| &shard.slots).map(|range| range.count()).sum()
    }

    /// Checks what no topology may break: every node named is listed, no slot, shard or node twice.
    pub fn validate(&self) -> Result<(), BadTopology> {
        for (i, node) in self.nodes.iter().enumerate() {
            if self.nodes[..i].iter().any(|other| other.id == node.id) {
                return Err(BadTopology::NodeTwice(node.id.clone()));
            }
        }
        let mut owner: Vec<Option<ShardId>> = vec![None; usize::from(SLOTS)];
        for (i, shard) in self.shards.iter().enumerate() {
            if self.shards[..i].iter().any(|other| other.id == shard.id) {
                return Err(BadTopology::ShardTwice(shard.id));
            }
            for node in shard.replicas.iter().chain([&shard.primary]) {
                if self.node(node).is_none() {
                    return Err(BadTopology::UnknownNode { shard: shard.id, node: node.clone() });
                }
            }
            for slot in shard.slots.iter().flat_map(|range| range.slots()) {
                if let Some(other) = owner[slot.index()].replace(shard.id) {
                    return Err(BadTopology::SlotTwice { slot, shards: (other, shard.id) });
                }
            }
        }
        Ok(())
    }

    /// Slot by slot the index of the owning shard in `shards`.
    pub fn slot_map(&self) -> SlotMap {
        let mut owners = vec![NOBODY; usize::from(SLOTS)];
        for (index, shard) in self.shards.iter().enumerate() {
            let index = u16::try_from(index).expect("at most 16384 shards hold a slot");
            for slot in shard.slots.iter().flat_map(|range| range.slots()) {
                owners[slot.index()] = index;
            }
        }
        SlotMap { owners: owners.into() }
    }
}

/// Marks a slot without an owner.
const NOBODY: u16 = u16::MAX;

/// Slot to shard by one array access; cheap to clone.
#[derive(Debug, Clone)]
pub struct SlotMap {
    owners: Arc<[u16]>,
}

impl SlotMap {
    /// Index into [`Topology::shards`]; None when nobody owns the slot.
    pub fn owner(&self, slot: Slot) -> Option<usize> {
        match self.owners[slot.index()] {
            NOBODY => None,
            index => Some(usize::from(index)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(ranges: &[&[&str]]) -> Topology {
        let node = |i: usize| Node { id: NodeId(format!("n{i}")), addr: format!("h:{i}"), admin_addr: None };
        let shards = ranges.iter().enumerate().map(|(i, texts)| Shard {
            id: ShardId(u32::try_from(i + 1).unwrap()),
            kind: Kind::Slotway,
            epoch: Epoch(1),
            primary: node(i + 1).id,
            replicas: vec![],
            slots: texts.iter().map(|text| text.parse().unwrap()).collect(),
        });
        Topology {
            version: 1,
            cluster_id: "c".repeat(40),
            placement: Placement::default(),
            shards: shards.collect(),
            nodes: (1..=ranges.len()).map(node).collect(),
            proxies: vec![],
        }
    }

    #[test]
    fn a_slot_map_names_the_owner_of_every_slot() {
        let map = topology(&[&["0-99", "200"], &["100-199"]]).slot_map();
        let owner = |number| map.owner(Slot::new(number).unwrap());
        assert_eq!(
            [owner(0), owner(99), owner(100), owner(200), owner(201)],
            [Some(0), Some(0), Some(1), Some(0), None]
        );
    }

    #[test]
    fn a_topology_that_contradicts_itself_is_refused() {
        assert_eq!(topology(&[&["0-99"], &["100"]]).validate(), Ok(()));
        let error = topology(&[&["0-99"], &["99"]]).validate().unwrap_err();
        assert_eq!(error.to_string(), "slot 99 is held by shards 1 and 2");
        let mut unlisted = topology(&[&["0"]]);
        unlisted.shards[0].replicas.push(NodeId("n9".into()));
        assert!(unlisted.validate().is_err());
    }

    #[test]
    fn a_topology_reads_back_from_its_json() {
        let topology = topology(&[&["0-99"], &["100"]]);
        let text = serde_json::to_string(&topology).unwrap();
        assert_eq!(serde_json::from_str::<Topology>(&text).unwrap(), topology);
    }
}
