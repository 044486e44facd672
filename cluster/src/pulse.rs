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

pub mod wire;

use std::time::Duration;

use crate::{ids::Epoch, shard::Member};

pub use wire::{FromNode, Orders, Status, ToNode};

/// How often a primary asks its sync members for a grant.
pub const HEARTBEAT: Duration = Duration::from_millis(75);

/// How long a primary counts on a grant, from the moment it *sent* the heartbeat.
pub const LEASE: Duration = Duration::from_millis(300);

/// How long a member keeps its word, from the moment it *received* the heartbeat: longer than [`LEASE`] by a margin for clocks that
/// run at different rates (I6).
pub const GRANT: Duration = Duration::from_millis(350);

const _: () = assert!(HEARTBEAT.as_millis() < LEASE.as_millis() && LEASE.as_millis() < GRANT.as_millis());

/// Whom to say something to: the connection on which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(pub u64);

/// What the shell is to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// To disk before anything else, if this incarnation may outlive the process.
    Persist {
        promised: Epoch,
    },
    /// Where the keyspace thread reads it, and have it woken: it parks if its own epoch is lower.
    Publish {
        promised: Epoch,
    },
    /// The promise. Its position is read by the shell now, not before.
    Promise {
        to: Peer,
        epoch: Epoch,
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
    /// Until then this node may execute and answer as the primary of `epoch`. ZERO: not at all. `Duration::MAX`: no lease is needed (k = 0).
    Lease {
        epoch: Epoch,
        until: Duration,
    },
    /// To the keyspace thread.
    Obey(Order),
}

/// What the pulse passes to the keyspace thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Follow(Box<Orders>),
    Activate { epoch: Epoch, wait: Duration },
    Stop { epoch: Epoch, version: u64 },
}
