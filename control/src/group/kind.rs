//! The types of our consensus group, as openraft wants to know them.

use serde::{Deserialize, Serialize};
use slotway_cluster::{Cluster, Entry, ProxyId, control::Outcome};

openraft::declare_raft_types!(
    /// What is decided: [`Entry`]. What becomes of it: its [`Outcome`] (None: openraft's own entries). A snapshot is the state itself.
    pub(crate) Kind:
        D = Entry,
        R = Option<Outcome>,
        NodeId = SeatId,
        Node = Seat,
        SnapshotData = Cluster,
);

/// One life of a proxy's log: drawn when its files are made. A proxy that lost its disk has another, so that nobody takes its empty
/// log for the one that has voted and acknowledged.
pub(crate) type SeatId = u64;

/// Who sits there, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seat {
    pub(crate) proxy: ProxyId,
    /// `host:port`
    pub(crate) control_addr: String,
}

pub(crate) type Raft = openraft::Raft<Kind>;
pub(crate) type Vote = openraft::Vote<SeatId>;
pub(crate) type LogId = openraft::LogId<SeatId>;
pub(crate) type LogEntry = openraft::Entry<Kind>;
pub(crate) type StorageError = openraft::StorageError<SeatId>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<SeatId, Seat>;
pub(crate) type Membership = openraft::StoredMembership<SeatId, Seat>;

impl Default for Seat {
    /// Asked for by openraft for nodes that are added without one; we add none.
    fn default() -> Seat {
        Seat { proxy: ProxyId(String::new()), control_addr: String::new() }
    }
}
