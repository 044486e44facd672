//! A node's part in its shard: whom it follows, what it acknowledges, when it leads, what it answers.
//!
//! The machine of the keyspace thread. It is told what the log says ([`Event::Ordered`]), what the pulse has promised, how far the
//! stream has come and who holds how much of it; it answers with what to do. As a replica it follows the primary of the latest epoch
//! and acknowledges what it holds, unless it promised not to. As a primary it opens its epoch with an EPOCH record, serves once I7
//! holds, counts what is committed (I3), and keeps its sync set as the living are, by proposals to the log (I5).
//!
//! Not here: the lease and the promises ([`crate::pulse`]), the bytes, and how a replica takes a stream up ([`crate::replication`]).

mod change;
mod leading;
mod machine;
mod replicas;

use std::time::Duration;

pub use machine::Shard;

use crate::{
    control::Entry,
    ids::Epoch,
    mutants::{self, Mutant},
    pulse::wire::Orders,
    replication::Offset,
    shard::{Member, Position},
};

/// A sync member that acknowledges nothing while something is to be acknowledged, and whose link is not closed, leaves S after this.
pub const SILENT_MEMBER: Duration = Duration::from_millis(200);

/// One that has not come to a new primary leaves S after this, if the others are enough meanwhile.
pub const UNSEEN_MEMBER: Duration = Duration::from_secs(1);

/// One that left S comes back no sooner than this, and only if it was heard since.
pub const RETURN_AFTER: Duration = Duration::from_secs(1);

/// How often somebody who is missed, or late, is looked at; what counts as watched between two looks.
pub const LOOK: Duration = Duration::from_millis(25);

/// One that is behind by so much leaves S, and comes back by itself.
pub const LAG_BYTES_MAX: u64 = 64 << 20;
pub const LAG_MAX: Duration = Duration::from_secs(5);

/// A proposal that was not seen in the log is sent again after this: the same one, nothing else (I5).
pub const PROPOSE_AGAIN: Duration = Duration::from_millis(100);

/// Whether a replica of `epoch` may acknowledge, and whether its primary may take a link: not once it has promised a higher one. Read after the
/// position that is acknowledged was published (I2).
#[inline]
pub fn may_acknowledge(epoch: Epoch, promised: Epoch) -> bool {
    promised <= epoch || mutants::left_out(Mutant::AckAfterPromise)
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'e> {
    /// The log says this. Older than what is known: nothing follows.
    Ordered(&'e Orders),
    /// The leader lets this node serve in `epoch`, but not before this moment.
    Activate {
        epoch: Epoch,
        not_before: Duration,
    },
    /// The leader wants it to stop for good.
    Stop {
        epoch: Epoch,
        version: u64,
    },
    /// The pulse has promised, or seen, this epoch.
    Seen(Epoch),
    /// The pulse gets no grants from these, and the lease is about to run out for it. Empty: it does again.
    Unheard {
        epoch: Epoch,
        members: &'e [Member],
    },
    /// As a primary: the EPOCH record stands in the stream, which goes on behind `start`.
    EpochBegun {
        epoch: Epoch,
        start: Offset,
    },
    /// The own stream has come so far, at a unit's end: executed here, or applied from the primary.
    Grew {
        end: Offset,
    },
    /// As a replica: an EPOCH record was applied; it ends at `end`.
    EpochApplied {
        epoch: Epoch,
        end: Offset,
    },
    /// As a replica: everything was replaced by a full synchronisation, in one step.
    Replaced {
        position: Position,
    },
    /// As a primary: a replica is attached and holds so much. A node that comes with another incarnation is another member.
    Attached {
        member: Member,
        held: Position,
    },
    Acked {
        member: Member,
        held: Position,
    },
    /// Its connection ended.
    Detached {
        member: Member,
    },
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Take the stream of this primary, and none of an epoch below. Requests are referred to it.
    Follow { primary: Member, epoch: Epoch },
    /// Follow nobody.
    Halt,
    /// Write the EPOCH record, call the history by a new name, tell [`Event::EpochBegun`].
    BeginEpoch { epoch: Epoch },
    /// As a replica: say to the primary what is held. Only if the promised epoch, read after this position was published, allows.
    Acknowledge { epoch: Epoch, held: Position },
    /// Replies that tell of the stream up to here may leave, while there is a lease.
    Release { committed: Offset },
    /// Requests are executed from now on, while there is a lease.
    Serve { epoch: Epoch },
    /// They wait.
    Park(Parked),
    /// This node is not (any longer) the primary: replies that were withheld never leave, their connections are closed, and requests are
    /// referred to whoever is.
    Depose,
    /// The rules by which the lease counts from now on (both, while a proposal is open) ...
    LeaseBy { epoch: Epoch, rules: Vec<crate::Rule> },
    /// ... and only then this may be sent. Again and again until it is seen in the log.
    Propose(Entry),
    /// Nothing is proposed any more.
    ProposalEnded,
    /// Whether writes have enough copies: if not they are held, then refused with `-NOREPLICAS`.
    TooFewCopies(bool),
    /// A line for the log of the node, which tells the story.
    Note(String),
}

/// Why requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parked {
    /// Its epoch is not open yet.
    Opening,
    /// A higher epoch was seen or promised.
    Fenced,
    /// Stopped for a switchover at this position.
    Stopped { position: Position },
}

#[cfg(test)]
mod tests;
