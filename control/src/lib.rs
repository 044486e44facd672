//! The control group inside a proxy process: it knows the topology, watches the nodes, and tells both.
//!
//! With a control port the proxies of a cluster decide together: a replicated log ([`group`]) that begins from the plan `slotway up` wrote
//! ([`topology_file`], `founding`), links to every node's pulse (`pulse_links`), opinions of who is down (`health`), and the leader's machines
//! that replace primaries (`failover`); one task connects them (`conduct`).
//!
//! Without one the topology is read from a file, put together from the addresses of `--backends` and what the servers there say of themselves
//! (`discover`), or learned from the nodes of an existing Redis Cluster, which decide it themselves (`cluster_watch`). Every node is then asked
//! once a second how it is (`watch`, which reads answers by `info`), and nobody is promoted by us.
//!
//! Nothing here is on the data path: data threads read the topology through an `ArcSwap` and never wait for anybody.

mod control;

mod membership;

pub mod group;

mod founding;

mod conduct;

mod pulse_links;

mod health;

mod failover;

mod operations;

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
