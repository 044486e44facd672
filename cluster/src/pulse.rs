//! The pulse: pings, heartbeats, grants and promises, apart from the keyspace.
//!
//! The problem: a node that runs one long command looks dead, and a node that is dead looks like one that runs a long command. The
//! idea: a small thread of its own in each node answers on a port of its own whatever the keyspace does, and it alone keeps what must be
//! quick and certain: the highest epoch promised, the grants given, the lease held. It shares a few numbers with the keyspace thread
//! and nothing else.
//!
//! The order that makes a promise true (I4): the pulse *publishes* the promised epoch, then *reads* the position; the keyspace thread
//! publishes a position, then reads the promised epoch, and lets no acknowledgement and no reply leave once it sees a higher one than
//! its own. So a promise covers every acknowledgement sent before it. [`Effect`]s therefore come in the order in which they are performed.
//!
//! Durations come from a clock that runs while the machine is suspended (`CLOCK_BOOTTIME`); no two machines' clocks are compared.

mod lease;
mod machine;
pub mod wire;

use std::time::Duration;

use crate::{
    ids::{Epoch, NodeId, ShardId},
    mutants::{self, Mutant},
    replication::Offset,
    shard::{Incarnation, Member, Rule},
};

pub use machine::Pulse;
pub use wire::{FromNode, Orders, Status, ToNode};

/// How often a primary asks its sync members for a grant.
pub const HEARTBEAT: Duration = Duration::from_millis(75);

/// How long a primary counts on a grant, from the moment it *sent* the heartbeat.
pub const LEASE: Duration = Duration::from_millis(300);

/// How long a member keeps its word, from the moment it *received* the heartbeat: longer than [`LEASE`] by a margin for clocks that
/// run at different rates (I6).
pub const GRANT: Duration = Duration::from_millis(350);

const _: () = assert!(HEARTBEAT.as_millis() < LEASE.as_millis() && LEASE.as_millis() < GRANT.as_millis());

/// What a node is when its process starts: input of both of its machines, [`crate::member::Shard`] being the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    pub incarnation: Incarnation,
    /// None: not adopted yet.
    pub identity: Option<Identity>,
    pub life: Life,
}

/// Which node of which cluster this is. Comes with the first [`Orders`], and stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub cluster_id: String,
    pub shard: ShardId,
    pub node: NodeId,
}

/// Whether this process goes on with the life of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// With a new incarnation: nobody counts on anything.
    New,
    /// With the incarnation of an earlier process, whose files hold all that it acknowledged: it may have given grants until
    /// its last instant, and what it led it never leads again by itself.
    Kept { promised: Epoch },
}

/// Whom to say something to: the connection on which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(pub u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'e> {
    /// A proxy or a primary said this. A Ping is the shell's to answer: with a [`Status`] made of this machine's numbers and the node's.
    Said { by: Peer, word: &'e ToNode },
    /// A sync member answered a heartbeat.
    Answered(&'e FromNode),
    /// From the keyspace thread: [`crate::member::Effect::LeaseBy`]. The rule in force first.
    LeaseBy { epoch: Epoch, rules: &'e [Rule] },
    /// From the keyspace thread: what it calls committed, for the heartbeats that follow.
    Committed(Offset),
    /// An epoch was seen elsewhere: in a replication handshake, on a data link.
    Seen(Epoch),
}

/// What the shell is to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// To disk before anything else, if this incarnation may outlive the process; then [`Pulse::persisted`]. If that fails, nothing of
    /// what follows is done.
    Persist {
        identity: Identity,
        promised: Epoch,
    },
    /// Where the keyspace thread reads it, and have it woken: it parks if its own epoch is lower.
    Publish {
        promised: Epoch,
    },
    /// The promise. Its position is read by the shell now, not before.
    Promise {
        to: Peer,
        shard: ShardId,
        epoch: Epoch,
        member: Member,
        grant_left: Duration,
    },
    Say {
        to: Peer,
        word: FromNode,
    },
    /// To a sync member, on the link that the shell keeps to it.
    Beat {
        to: Member,
        beat: wire::Heartbeat,
    },
    /// Where the keyspace thread reads it.
    Lease(Lease),
    /// To the keyspace thread.
    Obey(Order),
}

/// What the pulse passes to the keyspace thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Follow(Box<Orders>),
    /// Not to be served before this moment.
    Activate {
        epoch: Epoch,
        not_before: Duration,
    },
    Stop {
        epoch: Epoch,
        version: u64,
    },
    /// These grant nothing any more and the lease is about to run out for it; empty: it is well again.
    Unheard {
        epoch: Epoch,
        members: Vec<Member>,
    },
}

/// Until when this node may execute and answer as the primary of `epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lease {
    pub epoch: Epoch,
    /// ZERO: not at all. [`Duration::MAX`]: no lease is needed (k = 0).
    pub until: Duration,
}

impl Lease {
    /// Whether the primary of `epoch` may execute a request, and let a reply go. `now` is read after the request was read from its socket,
    /// `promised` after that (I2, I6).
    #[inline]
    pub fn allows(self, epoch: Epoch, promised: Epoch, now: Duration) -> bool {
        let is_held = self.epoch == epoch && now < self.until;
        promised <= epoch && (is_held || mutants::left_out(Mutant::NoLease))
    }
}

#[cfg(test)]
mod tests;
