//! What the control group may decide.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::state::{Durability, NodeFact, ProxyFact};
use crate::{
    Placement, SlotRange,
    ids::{Epoch, NodeId, ProxyId, ShardId},
    shard::{Incarnation, Member, Position},
};

/// One decision. Those of a shard name the epoch and the rule version (e, v) that their proposer saw: compare and set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The first of a log: the cluster's name and how keys lie. Only once.
    Create {
        cluster_id: String,
        placement: Placement,
        durability: Durability,
    },
    /// A node that belongs to a shard from now on, as a learner until the shard's primary takes it into S. Again with other
    /// addresses: it has moved.
    AddNode {
        node: NodeId,
        fact: NodeFact,
    },
    /// For good: its name is not given again. A member of S, or of a kept rule, is *leaving* from here on: its primary takes it out of S,
    /// and once no rule names it it is gone. Refused for a primary, and while the others would be fewer copies than are needed.
    RemoveNode {
        node: NodeId,
    },
    /// A node was seen in this life, and the log had it in `before`, which is over. Refused when the log has another one by now: who
    /// proposed it was late, and may have seen a life that is over itself.
    NodeStarted {
        node: NodeId,
        before: Option<Incarnation>,
        incarnation: Incarnation,
    },
    /// A shard begins with epoch 1, an empty S (its primary takes the others in), and these slots, which nobody may hold.
    AddShard {
        shard: ShardId,
        primary: Member,
        slots: Vec<SlotRange>,
    },
    /// Only one that holds no slots. Its nodes go with it.
    RemoveShard {
        shard: ShardId,
    },
    AddProxy {
        proxy: ProxyId,
        fact: ProxyFact,
    },
    RemoveProxy {
        proxy: ProxyId,
    },
    /// `epoch` ends: from here on members are fenced, and nobody but a Promote of `epoch + 1` begins the next one.
    BeginFailover {
        shard: ShardId,
        epoch: Epoch,
        why: String,
    },
    /// `epoch`, the one after the shard's, begins under `winner`: behind a failover with a complete fence set (I4), behind a switchover
    /// with the stop of the old primary. `version` is that of the rule that was judged; `sync` is S'. Keeps the replaced rule until
    /// `Activated`.
    Promote {
        shard: ShardId,
        epoch: Epoch,
        version: u64,
        winner: Member,
        sync: Vec<Member>,
        how: How,
    },
    /// k' of S' hold the start of `epoch`: the rules that were kept are no longer needed (proposed by its primary).
    Activated {
        shard: ShardId,
        epoch: Epoch,
    },
    /// Another S (proposed by the primary of `epoch`, which has seen that k of the new S hold all that is committed, I5). With the right
    /// (e, v) but a member that lives in another life by now, S stays and v moves all the same: only so does the primary, which may
    /// propose nothing else before, see that this one is over.
    ChangeSync {
        shard: ShardId,
        epoch: Epoch,
        version: u64,
        sync: Vec<Member>,
    },
    /// A planned switchover is off: the stopped primary may go on. First of this and Promote wins.
    SwitchAbort {
        shard: ShardId,
        epoch: Epoch,
        version: u64,
    },
    /// A wish of the operator; a primary closes its gate before it counts as changed.
    SetDurability {
        durability: Durability,
    },
    /// How many copies, the primary's included, a write needs. None: 1 with two nodes, 2 from three on.
    SetMinCopies {
        shard: ShardId,
        copies: Option<usize>,
    },
    /// The primary has stopped for the end of the whole cluster, with this position, which all of S hold.
    CleanStop {
        shard: ShardId,
        epoch: Epoch,
        version: u64,
        position: Position,
    },
    /// `epoch`, the one after the shard's, begins under `winner` with an empty S and no fence set: an operator, or `on_total_loss`,
    /// accepts that acknowledged writes may be lost. Counted, unless `position` reaches that of a clean stop since which nothing began.
    /// `version` is that of the rule whose members were asked, and a failover must be pending.
    AcceptLoss {
        shard: ShardId,
        epoch: Epoch,
        version: u64,
        winner: Member,
        position: Position,
        by: String,
    },
}

/// By which way a primary came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Failover,
    Switchover,
}

/// What became of an entry when it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// It was done before; nothing changed.
    Again,
    Refused(Refused),
}

/// Why an entry does not fit (any more).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// The shard has moved on: its epoch and rule version.
    Moved {
        epoch: Epoch,
        version: u64,
    },
    /// A failover is pending.
    Pending,
    /// None is pending.
    NotPending,
    UnknownShard(ShardId),
    UnknownNode(NodeId),
    UnknownProxy(ProxyId),
    /// Not in the life that was named.
    OtherLife(Member),
    /// What it says contradicts the state; says how.
    Invalid(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Moved { epoch, version } => {
                write!(f, "the shard has moved on to epoch {epoch}, rule version {version}")
            }
            Refused::Pending => f.write_str("a failover is pending"),
            Refused::NotPending => f.write_str("no failover is pending"),
            Refused::UnknownShard(shard) => write!(f, "there is no shard {shard}"),
            Refused::UnknownNode(node) => write!(f, "there is no node {node}"),
            Refused::UnknownProxy(proxy) => write!(f, "there is no proxy {proxy}"),
            Refused::OtherLife(member) => {
                write!(f, "node {} was started anew since {}", member.node, member.incarnation)
            }
            Refused::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}
