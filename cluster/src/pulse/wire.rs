//! What is said on pulse links: `SLOTWAY PULSE 1 json` to a node, a bulk of JSON from it.
//!
//! Two kinds of links lead to a node's pulse port: one from every voting proxy (pings, fences, orders), one from the primary of its
//! shard (heartbeats). A node may say something unasked on a proxy's link, so that nobody waits for the next ping: a proposal.
//! Unknown fields are ignored, and a field that a later version adds is optional.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    control::{Entry, ShardState},
    ids::{Epoch, NodeId, ProxyId, ShardId},
    replication::Offset,
    shard::{Incarnation, Member, Position},
    topology::Topology,
};

/// To a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToNode {
    /// How are you? Each proxy, every 100 ms.
    Ping { seq: u64, proxy: ProxyId },
    /// Take nothing of an epoch below `epoch` any more (the leader, behind a committed BeginFailover).
    Fence { shard: ShardId, epoch: Epoch },
    /// What the log says.
    Orders(Box<Orders>),
    /// You are the primary of `epoch`: serve once `wait_ms` have passed since you received this, and the rest of I7 holds.
    Activate { shard: ShardId, epoch: Epoch, wait_ms: u64 },
    /// Stop for good and say where (a planned switchover). Counts only in this epoch and rule version.
    Stop { shard: ShardId, epoch: Epoch, version: u64 },
    /// Grant me a lease.
    Heartbeat(Heartbeat),
}

/// A primary asks a sync member for a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub cluster_id: String,
    pub shard: ShardId,
    pub epoch: Epoch,
    pub primary: Member,
    /// Counts up; the grant repeats it, so that the primary knows when it was sent.
    pub seq: u64,
    /// What the primary calls committed: a replica shows no more (I8).
    pub committed: Offset,
}

/// What a node must know of the log: all that concerns its shard, and where everybody is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    pub topology: Topology,
    pub me: NodeId,
    pub shard: ShardId,
    /// As of `topology.version`, the log's index.
    pub state: ShardState,
    /// What of the cluster a primary acts by.
    pub durability: crate::control::Durability,
    /// Of the shard's nodes, those with a known pulse port.
    pub pulse_addrs: Vec<(NodeId, String)>,
    /// Of the shard's nodes, those that are to leave it: the primary takes them out of S.
    #[serde(default)]
    pub leaving: Vec<NodeId>,
}

/// From a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromNode {
    /// To a ping, and unasked when `proposal` or `stopped` changes.
    Pong {
        seq: Option<u64>,
        status: Box<Status>,
    },
    Promise {
        shard: ShardId,
        epoch: Epoch,
        member: Member,
        position: Position,
        grant_left_ms: u64,
    },
    Grant {
        epoch: Epoch,
        seq: u64,
        member: Member,
    },
    /// To a fence or heartbeat of an epoch below what the node has seen; or for another shard or cluster, of whose epochs it tells
    /// nothing: `seen` is 0 then.
    Refused {
        shard: ShardId,
        epoch: Epoch,
        seen: Epoch,
        why: String,
    },
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub cluster_id: Option<String>,
    pub node: Option<NodeId>,
    pub incarnation: Incarnation,
    /// Index of the log that it follows.
    pub index: u64,
    pub seen: Epoch,
    pub position: Position,
    pub part: Part,
    /// What it proposes to the log, until it sees it there.
    pub proposal: Option<Entry>,
    /// As a primary: since when its keyspace thread is at one task, and at which command.
    pub busy: Option<Busy>,
    /// As a replica: the link to the primary that it follows.
    pub upstream: Option<Upstream>,
    pub keys: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub software: String,
}

/// What a node does in its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Nothing: not adopted, or fenced and waiting for orders.
    None,
    Loading,
    Learner {
        epoch: Epoch,
    },
    Replica {
        epoch: Epoch,
    },
    /// Promoted, and not serving yet.
    Opening {
        epoch: Epoch,
    },
    Serving {
        epoch: Epoch,
    },
    /// It was the primary of `epoch` before its process was started again in the same incarnation: it never resumes. A new epoch must be begun,
    /// for which its own promise suffices.
    Returned {
        epoch: Epoch,
    },
    /// It has no lease, or has seen a higher epoch: it executes nothing and answers nothing.
    Parked {
        epoch: Epoch,
    },
    /// Stopped for a switchover at this position, which nothing will follow in this epoch.
    Stopped {
        epoch: Epoch,
        version: u64,
        position: Position,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    pub for_ms: u64,
    pub command: String,
    /// It serves under a lease as it says this: what it is at will be answered.
    #[serde(default)]
    pub under_lease: bool,
}

/// How a replica sees its primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    pub node: NodeId,
    pub state: UpstreamState,
    /// Since this state began, or since the primary was last heard.
    pub for_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    Up,
    Syncing,
    /// Closed or refused, by the primary or its machine.
    Refused,
    /// Nothing was heard for `for_ms`.
    Silent,
}

impl Part {
    pub fn is_primary(self) -> bool {
        matches!(
            self,
            Part::Opening { .. } | Part::Serving { .. } | Part::Parked { .. } | Part::Stopped { .. }
        )
    }
}

/// Milliseconds on the wire.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
