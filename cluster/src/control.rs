//! The control log: what the control group has decided, entry by entry, and the state that follows.
//!
//! The problem: several proxies, of which each may die or be cut off, decide together who is a shard's primary. The idea: a
//! consensus group keeps one log of typed [`Entry`]s; each proxy applies them in order to its own [`Cluster`], and an entry is
//! judged *when it is applied*, by all in the same way: what no longer fits (another epoch, another rule version) is refused
//! then and changes no rule ([`Outcome`]). So a proposer may be late, may repeat itself, and may lead no longer; the first in the
//! log wins. An entry applied twice is as good as once.
//!
//! What is not in the log: pings, offsets, suspicion, lag, leases, progress.

pub mod entry;

pub mod state;

mod apply;

mod validate;

pub use validate::Contradiction;

pub use entry::{Entry, How, Outcome, Refused};
pub use state::{Cluster, Durability, NodeFact, ProxyFact, ShardState};
