//! Sessions: what makes a write whose connection broke run exactly once.
//!
//! The problem: a proxy has sent `INCR`, and the primary dies. Whether it ran is not to be known from outside; sent again it may count
//! twice, not sent again it may be lost. The idea: a proxy numbers what it writes, and a node keeps, as part of its data, which
//! numbers are *settled* and how each was answered. Whoever serves next is asked, delivers what is there, and is sent the rest.
//!
//! A **session** is a link place of one life of a proxy ([`SessionId`]); it outlives connections and primaries. Numbers begin at 1 and
//! are counted on both ends, so that in the usual case none travels ([`link`]). Every row with the write flag, every EXEC and every script is
//! one number, whatever comes of it; only what was refused as `-STALE` keeps its number for the next attempt, since it did not run. The **floor** is
//! the lowest number whose reply the proxy does not have; below it nothing is kept. Above it stands a *set*, not a last number, because requests
//! do not settle in order: one waits for its slot, the next one runs.
//!
//! Who does what:
//! - [`table`]: the sessions of a node, a function of the stream up to a unit's end and of nothing else, so primary, replica, file and snapshot
//!   that stand at the same offset have the same. The primary feeds its own table with what it writes.
//! - [`marker`]: how that stands in the stream: `PING slotway:s:...`, which a Redis replica executes as nothing.
//! - [`primary`]: what only a primary knows: floors it was told, and settled writes without effect, which the stream need not tell before the
//!   next effect of their session. It refuses to run a number twice and says what stands before each unit. Begun empty with each epoch.
//! - [`link`]: what is said on a proxy's link: `SLOTWAY SESSION`, its answer, `SLOTWAY NEXT`; how the node counts.
//! - [`sender`]: the proxy's side: numbers, floor, what becomes of each request when the answer to SESSION is here.
//!
//! How a node uses it. *Link*: `SLOTWAY SESSION` runs like a request on keys (lease, not before I7, in its turn). It first closes the session's
//! older link, unread bytes and withheld replies included; then [`Primary::greet`]; the answer waits at the gate for the end of the
//! stream as it is then. A [`link::Counter`] counts the link's writes as they are read; `SLOTWAY NEXT` is no request: it has no reply, and belongs to
//! the write behind it. *Write*: [`Primary::judge`]; if it is to run, and changed something, [`Primary::unit`] behind the command and before its unit ends, and the marker
//! goes before the unit's bytes; if it changed nothing, [`Primary::changed_nothing`]. The node's own units (keys that expire or are evicted outside of a
//! request) pass through [`Primary::unit`] as nobody's. *Replica, file*: [`Table::hear`] for a marker, [`Table::unit`] behind every other unit but
//! EPOCH, there [`Table::begin_epoch`]. *Snapshot*: [`Table::markers`], into an empty table.
//!
//! What differs from the protocol's page, and why: a marker stands *before* its unit instead of within, and counts only when that unit comes, which is as
//! atomic and spares MULTI and EXEC around every write. A session goes on after an `-INDETERMINATE` write: its number is never sent again,
//! the floor passes it, and what may still lie in a socket is behind the next link's closing or in front of the floor on the same one. What the
//! answer to SESSION does not name has not run and cannot run any more; so if it may not be sent a third time it ends as `-TRYAGAIN`, which is the truth.
//!
//! What this does not do yet: slots that move take their entries along (each knows its slot). Nothing here is wired into node and proxy.

use std::fmt;

use crate::{shard::Incarnation, slot::Slot};

pub mod reply;

pub mod marker;

pub mod table;

pub mod primary;

pub mod link;

pub mod sender;

#[cfg(test)]
mod tests;

pub use link::{Counter, Greeting, Known, Next};
pub use marker::Marker;
pub use primary::{Author, Judged, Primary, Rebuilt};
pub use reply::Reply;
pub use sender::{Reason, Sender};
pub use table::Table;

/// So many numbers may lie above the floor that the node was told: the proxy waits then.
pub const NUMBERS_MAX: u64 = 8192;

/// So much of replies is kept for a session above the floor.
pub const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// So many sessions a node knows; a proxy that comes with one more is refused.
pub const SESSIONS_MAX: usize = 16 * 1024;

/// A link place of one life of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// Drawn when the proxy's process started.
    pub proxy: Incarnation,
    /// Drawn for the link place.
    pub link: u64,
}

/// A session in the stream, where its name would be long: from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u32);

/// A write of a session: from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(pub u64);

/// A settled write: what it was about, and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// None: about no key, or about all.
    pub slot: Option<Slot>,
    pub reply: Reply,
}

impl Number {
    pub const FIRST: Number = Number(1);

    pub fn next(self) -> Number {
        self.plus(1)
    }

    pub fn plus(self, count: u64) -> Number {
        Number(self.0.saturating_add(count))
    }

    /// How far this lies above another one; 0 if it does not.
    pub fn above(self, other: Number) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
