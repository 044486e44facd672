//! Learning the topology of an existing Redis or Valkey Cluster from what its nodes say.
//!
//! The nodes of such a cluster decide themselves who owns which slots, and tell each other by gossip: at any moment some of
//! them know less than others, and one that is cut off goes on saying what was true when it lost touch. So no single
//! answer is the truth. The way from answers to a topology:
//!
//! 1. [`nodes`], [`layout`] and [`state`] read the replies of CLUSTER NODES, SHARDS or SLOTS, and INFO;
//! 2. [`view`] puts those of one node together: a [`View`] is what one node says;
//! 3. [`decide`] weighs the views against what is held to be true, a [`Known`], and makes the next one of it;
//! 4. [`numbering`] gives shards and nodes numbers that stay, and makes a [`crate::Topology`].
//!
//! Who asks whom and when is the business of the control group's `cluster_watch`; here is neither a clock nor a socket.
//! Facts from the Redis Cluster specification and the documentation of the CLUSTER commands.

pub mod value;

pub mod nodes;

pub mod layout;

pub mod state;

pub mod view;

pub mod decide;

mod numbering;

#[cfg(test)]
mod tests;

use std::fmt;

pub use decide::{Known, decide};
pub use value::Value;
pub use view::View;

use crate::{ids::Epoch, ranges::SlotRange};

/// How a cluster names a node: 40 hexadecimal digits, drawn anew at CLUSTER RESET HARD. Not our [`crate::NodeId`], which
/// is short and goes with an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub String);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A node of the cluster as one of them describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: MemberId,
    /// `host:port` for clients; None when the describing node does not know it.
    pub address: Option<String>,
    /// The primary it replicates; None for a primary.
    pub follows: Option<MemberId>,
    /// The config epoch under which it holds its slots; 0 where the reply does not tell.
    pub epoch: Epoch,
    pub slots: Vec<SlotRange>,
}

/// A reply that cannot be read. It disqualifies the view it would have been part of, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadReply(pub String);

impl BadReply {
    fn new(what: impl fmt::Display) -> BadReply {
        BadReply(what.to_string())
    }
}

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BadReply {}

/// `host:port`, an IPv6 host in brackets.
fn join(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// The host of `host:port`, without brackets: what an endpoint that a node does not know stands for.
pub fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}
