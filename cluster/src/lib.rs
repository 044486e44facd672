//! Slots, slot map, topology and, as they are built, the protocol's state machines.
//!
//! Pure: no clock, no sockets, no threads; time and randomness are arguments. Node, proxy, control group, admin API
//! and tests share these types, so that they cannot disagree about where a key lives.

pub mod control;
mod crc;
pub mod cursor;
pub mod discovery;
pub mod events;
pub mod failover;
pub mod health;
pub mod ids;
pub mod jobs;
pub mod member;
pub mod mutants;
pub mod pulse;
pub mod ranges;
pub mod replication;
pub mod session;
pub mod shard;
pub mod slot;
pub mod topology;
pub mod view;
mod watch;

pub use control::{Cluster, Entry};
pub use ids::{Epoch, NodeId, ProxyId, ShardId};
pub use ranges::SlotRange;
pub use shard::{Incarnation, Member, Position, Rule};
pub use slot::{Database, Placement, Slot, slot_of};
pub use topology::Topology;
