//! Who is down: what one proxy sees of the nodes, and what the leader concludes from what several see.
//!
//! The problem: silence is all that a dead node, a cut cable and a long pause have in common, and a single observer may be the one that
//! is cut off. The idea is Sentinel's: every voter has an [`Opinion`] of its own (*subjectively down*, [`Watch`]), and only a majority
//! of them makes a node *objectively down* ([`Jury`]). A refused or reset connection, seen by a majority and by the node's replicas, is
//! death at once; silence takes [`SILENCE`]. Busy is not down: a node whose pulse answers is down only when its keyspace has made no
//! progress for `busy_down_after`.
//!
//! An observer suspects itself first: it has no opinion before it has watched for a whole [`SILENCE`], and whoever was paused
//! counts silence anew, because the answers may lie unread in its sockets.

mod watch;

mod jury;

mod backoff;

mod at_work;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use at_work::{AtWork, works_in};
pub use backoff::Backoff;
pub use jury::{Jury, RENEW_EVERY, STALE_AFTER};
pub use watch::{Sight, Watch};

/// How often each node is pinged, and how often a [`Watch`] wants its tick.
pub const PING_EVERY: Duration = Duration::from_millis(100);

/// A node that was not heard for so long is suspected. After its own start an observer has no opinion before it has watched for as long.
pub const SILENCE: Duration = Duration::from_millis(600);

/// A node whose pulse answers and whose keyspace makes no progress for so long is down.
pub const BUSY_DOWN_AFTER: Duration = Duration::from_secs(15);

/// What one observer thinks of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opinion {
    /// Not watched for long enough.
    Unknown,
    Up,
    /// It answers, and its keyspace is at one task for a while.
    Busy,
    /// It loads its data.
    Loading,
    /// Not heard for [`SILENCE`].
    Silent,
    /// Its connection was refused or reset, and nothing was heard since.
    Gone,
    /// It answers, and has been at one task for longer than it may.
    Stuck,
    /// It answers in another life than the log knows.
    Restarted,
}

/// What is concluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Up,
    Suspected,
    Down(Down),
}

/// Why a node is down: the kind of death decides what may follow, the words are for the log and the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    pub cause: Cause,
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Refused or reset, for all who looked.
    Gone,
    Silent,
    /// Its pulse answers; its keyspace does not.
    Stuck,
    /// Certain: the life that was the primary is over.
    Restarted,
}

impl Cause {
    /// Whether the node may turn out to be alive after all.
    pub fn is_a_suspicion(self) -> bool {
        matches!(self, Cause::Gone | Cause::Silent)
    }
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        pulse::wire::{Part, Status},
        shard::{Incarnation, Position},
    };

    /// Of a node that does nothing, in this life.
    pub(super) fn status(incarnation: u64) -> Status {
        Status {
            cluster_id: None,
            node: None,
            incarnation: Incarnation(incarnation),
            index: 0,
            seen: crate::Epoch(0),
            position: Position::default(),
            part: Part::None,
            proposal: None,
            busy: None,
            upstream: None,
            keys: None,
            memory_bytes: None,
            software: String::new(),
        }
    }
}
