//! Who is down: what one proxy sees of the nodes, and what the leader concludes from what several see.
//!
//! The problem: silence is all that a dead node, a cut cable and a long pause have in common, and a single observer may be the one that
//! is cut off. The idea is Sentinel's: every voter has an [`Opinion`] of its own (*subjectively down*), and only a majority of them
//! makes a node *objectively down*. A refused or reset connection, seen by a majority and by the node's replicas, is death at once; silence
//! takes [`SILENCE`]. Busy is not down: a node whose pulse answers is down only when its keyspace has made no progress for
//! `busy_down_after`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often each node is pinged.
pub const PING_EVERY: Duration = Duration::from_millis(100);

/// A node that was not heard for so long is suspected. After its own start an observer has no opinion before it has watched for as long.
pub const SILENCE: Duration = Duration::from_millis(600);

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
    /// Says why, for the log and the event.
    Down(String),
}
