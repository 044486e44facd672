//! The leader's part in a failover and in a planned switchover, shard by shard.
//!
//! Everything that must survive a change of the leader stands in the log, so this machine can begin anywhere: a shard with a
//! pending failover is fenced until the promises are complete, a promoted shard is told so until it is activated. A step may be
//! repeated; what comes late is refused when the log is applied.
//!
//! Failover: `BeginFailover` -> FENCE to S, to p and to those of kept rules, until complete for all of them (I4) -> the greatest position wins
//! -> `Promote` -> ACTIVATE with the time that is left of the grants (I7b) until `Activated`.
//!
//! Switchover: STOP -> the primary's final position -> the target holds it -> `Promote` with S' = S - target + old primary; if that takes too
//! long `SwitchAbort`. Whichever is first in the log wins.

use std::time::Duration;

use crate::{
    control::Entry,
    ids::{Epoch, NodeId, ShardId},
    pulse::wire::{Orders, ToNode},
    shard::Member,
};

/// A fence, an order or an activation that was not answered is sent again after this.
pub const AGAIN: Duration = Duration::from_millis(100);

/// A switchover that has not come to its end after this is called off.
pub const SWITCH_PATIENCE: Duration = Duration::from_secs(2);

/// What the leader is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Into the log.
    Propose(Entry),
    /// On the pulse link to the node.
    Send { node: NodeId, word: ToNode },
    /// What happened, for events, metrics and logs.
    Note(Note),
}

/// A step worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    Started {
        shard: ShardId,
        epoch: Epoch,
        why: String,
    },
    Promised {
        shard: ShardId,
        epoch: Epoch,
        member: Member,
        position: crate::Position,
    },
    Fenced {
        shard: ShardId,
        epoch: Epoch,
        after: Duration,
    },
    Promoted {
        shard: ShardId,
        epoch: Epoch,
        winner: Member,
        after: Duration,
    },
    /// It serves.
    Ended {
        shard: ShardId,
        epoch: Epoch,
        after: Duration,
    },
    /// No complete fence set can be had; says who is missing.
    Refused {
        shard: ShardId,
        epoch: Epoch,
        missing: Vec<Member>,
    },
    SwitchStarted {
        shard: ShardId,
        to: NodeId,
    },
    SwitchStopped {
        shard: ShardId,
        position: crate::Position,
    },
    SwitchAborted {
        shard: ShardId,
        why: String,
    },
}

/// What orders are made of, for one node.
pub fn orders(cluster: &crate::Cluster, me: &NodeId) -> Option<Orders> {
    let fact = cluster.nodes.get(me)?;
    let state = cluster.shards.get(&fact.shard)?.clone();
    let mates = cluster.nodes.iter().filter(|(_, other)| other.shard == fact.shard);
    let pulse_addrs = mates.filter_map(|(id, other)| Some((id.clone(), other.pulse_addr.clone()?))).collect();
    Some(Orders {
        topology: cluster.topology(),
        me: me.clone(),
        shard: fact.shard,
        state,
        durability: cluster.durability,
        pulse_addrs,
    })
}
