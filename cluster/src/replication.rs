//! Replication: the decisions of both ends, without sockets, clocks or keys.
//!
//! A primary's changes are one stream of bytes with an offset, Redis's PSYNC2. [`history`] says whose stream a node holds and
//! whether another node's place in it is a place in this one;
//! [`primary`] is the sending end, [`replica`] the receiving one.
//!
//! Time is a [`std::time::Duration`] since any fixed moment, by a clock that never goes back.

pub mod history;
pub mod primary;
pub mod record;
pub mod replica;

pub use history::{HistoryId, Lineage, Offset, Range, Refusal};
pub use record::EpochRecord;

/// What a Slotway node says in `REPLCONF capa`, and a Slotway primary repeats in its `+OK`: the replica acknowledges what
/// it has applied after every read, in one piece, instead of once per second.
pub const ACKS_EVERY_READ: &str = "slotway-acks-every-read";
