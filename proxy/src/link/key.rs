//! What tells one link from another.

use std::sync::Arc;

use slotway_cluster::{Database, Epoch};
use slotway_resp::Version;

use crate::lane::Lane;

/// What a link is for: requests with the same key may share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LinkKey {
    /// `host:port` of the node.
    pub(crate) address: Arc<str>,
    /// The reign of its shard that the node is held to: in the next one nothing is sent on this link. 0: its shard has none.
    pub(crate) epoch: Epoch,
    pub(crate) version: Version,
    pub(crate) database: Database,
    pub(crate) trace: Trace,
    pub(crate) reach: Reach,
    pub(crate) lane: Lane,
}

/// What the node is to its shard, as far as this link is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    Primary,
    /// Asked for reads only ([`crate::read_from`]).
    Replica,
}

/// Whether commands count as uses of their keys: eviction and OBJECT IDLETIME ask (CLIENT NO-TOUCH).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trace {
    Left,
    None,
}

/// Who uses a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenancy {
    /// Every client of the thread.
    Shared,
    /// One client at a time ([`crate::lease`]).
    Leased,
}
