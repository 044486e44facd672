//! The control group inside a proxy process: it knows the topology, watches the nodes, and tells both.
//!
//! The topology is read from a file that `slotway up` wrote ([`topology_file`]), put together from the addresses of
//! `--backends` and what the servers there say of themselves (`discover`), or learned from the nodes of an existing Redis
//! Cluster, which decide it themselves (`cluster_watch`). Every node is asked once a
//! second how it is (`watch`, which reads answers by `info`); the nodes of a managed cluster (Slotway nodes that share
//! our secret) are handed the topology whenever they are new, restarted or behind.
//!
//! Nothing here is on the data path: data threads read the topology through an `ArcSwap` and never wait for anybody.
//! [`group`] is the replicated log by which proxies decide together.

mod control;

pub mod group;

mod shared;

mod watch;

mod count;

mod discover;

mod cluster_watch;

mod info;

mod metrics;

pub mod topology_file;

pub use control::{Control, StartError};
pub use shared::{OwnAddresses, View};

#[cfg(test)]
mod tests;
