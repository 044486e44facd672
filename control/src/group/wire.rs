//! What proxies of a group say to each other: `SLOTWAY RAFT 1 json` on the control port, answered by a bulk of JSON.
//!
//! Each message names the group it is meant for and the seat it is addressed to: an address may have passed to another proxy since, and a
//! member of another group, or of this one before it was made anew, must not be listened to.

use openraft::raft::{AppendEntriesRequest, VoteRequest};
use serde::{Deserialize, Serialize};
use slotway_cluster::{Cluster, Entry, ProxyId, control::ProxyFact};

use super::{
    identity::GroupName,
    kind::{Kind, Seat, SeatId, SnapshotMeta, Vote},
};

/// Of this protocol, in each message.
pub(super) const VERSION: &str = "1";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    /// None: not known yet (only to join).
    pub(super) group: Option<GroupName>,
    /// None: whoever is reached at this address.
    pub(super) to: Option<SeatId>,
    /// Empty: not named yet (only to join).
    pub(super) from: ProxyId,
    pub(super) ask: Ask,
}

/// Tagged from outside: inside of a value with an inner tag serde reads no maps with numbers as keys, as memberships have.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Append {
        request: AppendEntriesRequest<Kind>,
    },
    Vote {
        request: VoteRequest<SeatId>,
    },
    Snapshot {
        vote: Vote,
        meta: SnapshotMeta,
        cluster: Box<Cluster>,
    },
    /// Into the log, please (to the leader).
    Propose {
        entry: Entry,
    },
    /// For whoever drives the leader (to the leader).
    Tell {
        text: String,
    },
    /// A proxy with an empty directory wants a name (passed on to the leader).
    Join {
        fact: ProxyFact,
        /// The name that it would like best.
        #[serde(default)]
        wish: Option<ProxyId>,
    },
    /// A proxy that has its name wants its seat, or says where it is reached now (passed on to the leader).
    Enter {
        proxy: ProxyId,
        seat: SeatId,
        fact: ProxyFact,
    },
    /// Out of the group with it (passed on to the leader).
    Leave {
        proxy: ProxyId,
    },
}

/// What a joiner is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) group: GroupName,
    pub(super) proxy: ProxyId,
}

/// Why something is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "sorry", rename_all = "snake_case")]
pub(super) enum Sorry {
    /// Somebody else leads; who, if it is known.
    #[error("another proxy leads")]
    NotLeader { leader: Option<Seat> },
    /// Asked of somebody it was not meant for.
    #[error("{why}")]
    Stranger { why: String },
    /// Not now: the disk, the queue, or a majority does not take it.
    #[error("{why}")]
    Unavailable { why: String },
    /// Never.
    #[error("{why}")]
    Refused { why: String },
}

impl Sorry {
    pub(super) fn unavailable(why: impl std::fmt::Display) -> Sorry {
        Sorry::Unavailable { why: why.to_string() }
    }
}
