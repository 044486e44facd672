//! Replication: what both ends share.
//!
//! A node's changes are one stream with a name and an offset. Whether this node makes the stream or takes it from a
//! primary, it goes into the same [`backlog`], with the same offsets, from which this node's own replicas are fed. So a
//! replica can be promoted, or have replicas itself, without anything being copied or counted anew.

use slotway_cluster::{
    Epoch,
    replication::{HistoryId, Lineage, Offset},
};
use slotway_config::Settings;

use self::{backlog::Backlog, primary::Primary};

mod backlog;
pub(crate) mod replica;

pub(crate) mod handing;
mod introduction;
pub(crate) mod link;
pub(crate) mod primary;
pub(crate) mod report;

pub(crate) use introduction::{Asked, Introduction};
pub(crate) use link::Handed;
pub(crate) use primary::{waiter, write_disks};

/// The stream that this node makes or follows.
#[derive(Debug)]
pub(crate) struct Replication {
    /// The stream's names.
    pub(crate) lineage: Lineage,
    /// How far it has come: `master_repl_offset`. Counts only while there is a backlog, as in Redis: a stream that
    /// nobody ever listened to has no bytes.
    pub(crate) offset: Offset,
    /// How far what was executed here, or by its primary, reaches: [`Replication::offset`] without the pings and questions
    /// behind it, which nobody waits for.
    pub(crate) written: Offset,
    /// Its last bytes; there are none until somebody wants them ([`Node::keep_backlog`](crate::node::Node::keep_backlog)).
    pub(crate) backlog: Option<Backlog>,
    /// The end that sends it to replicas.
    pub(crate) primary: Primary,
}

impl Replication {
    /// Of a node that begins a stream of its own.
    pub(crate) fn new(history: HistoryId, settings: &Settings) -> Replication {
        Replication {
            lineage: Lineage::new(history, Epoch::default(), Offset::default()),
            offset: Offset::default(),
            written: Offset::default(),
            backlog: None,
            primary: Primary::new(settings),
        }
    }

    /// Gives the stream a name that nobody knows: whoever holds a part of it needs everything anew. (DEBUG
    /// CHANGE-REPL-ID; a stream whose backlog was freed; a full synchronisation from a primary.)
    pub(crate) fn begin_anew(&mut self, history: HistoryId) {
        self.lineage = Lineage::new(history, self.lineage.epoch(), self.offset);
    }

    /// The stream goes on by these bytes: this node's own, or its primary's.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if let Some(backlog) = &mut self.backlog {
            backlog.append(bytes);
            self.offset = backlog.range().end;
        }
    }
}
