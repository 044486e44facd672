//! The storage node: a Redis server for the slots it owns.
//!
//! One thread runs the keyspace and its clients on a tokio runtime of its own. The way of a request, in reading order:
//! `server` accepts, `connection` reads a batch and writes its replies, `execute` finds the handler of each
//! request, `handlers` act on the `keyspace` or on the `node` itself.

mod server;

mod thread;

mod connection;
mod desk;
mod gate;
mod output;
mod splices;

mod condition;
mod dispatch;
mod effects;
mod eviction;
mod execute;
mod feed;
mod pause;
mod timing;

pub(crate) mod call;
mod server_call;

pub(crate) mod handlers;
mod hyperloglog;

pub(crate) mod keyspace;
mod rdb;

mod bounds;
mod client;
mod histogram;
mod identity;
mod latency;
mod membership;
mod memory;
mod migrate;
mod node;
mod replication;
mod shard;
mod slow_log;
mod statistics;
mod transaction;

#[allow(
    dead_code,
    unused_imports,
    reason = "the pulse thread and the keyspace's side of it are built on this next"
)]
mod life;
mod pulse;
mod vitals;

mod persistence;
mod shutdown;
mod snapshot;

mod advice;
mod housekeeping;
mod metrics;

pub use server::{EndError, Running, StartError, start};
pub use shutdown::Cause;

#[cfg(any(test, feature = "measure"))]
pub mod measure;
