//! The replies of a shard's member: what lets them leave, and when nobody can.
//!
//! A primary's wait until what they tell of is committed, a replica's until its primary called that committed (I8). Who is told of
//! neither is not read from, and what was withheld there is cut.

use slotway_cluster::{control::Durability, pulse::wire::Part, replication::Offset};

use crate::{
    client::Fate,
    gate::{BEGINNING, Holder},
    membership::Shows,
    node::Node,
};

impl Node {
    /// Replies wait for the quorum, or, with `durability async`, for nothing.
    pub(super) fn hold_gate_for_quorum(&mut self) {
        match self.seat.as_ref().map(|seat| seat.durability) {
            Some(Durability::Quorum) => self.gate.hold_from(Holder::Quorum, self.keyspace.feed.position()),
            Some(Durability::Async) | None => self.gate.open(Holder::Quorum),
        }
    }

    /// As a replica: what the primary last called committed may be shown (I8), as far as this node holds its epoch.
    pub(super) fn heed_committed(&mut self) {
        if self.seat.as_ref().is_none_or(|seat| seat.leads().is_some()) {
            return;
        }
        let (epoch, committed) = self.vitals.told_committed();
        if epoch == self.replication.lineage.epoch_at(self.replication.offset) {
            self.release_committed(committed);
        }
    }

    pub(super) fn release_committed(&mut self, committed: Offset) {
        let held = self.replication.offset;
        let Some(seat) = &mut self.seat else { return };
        if let Some(position) = seat.stretches.told_by(committed, held) {
            seat.stretches.forget_before(committed.min(held));
            self.gate.release(Holder::Quorum, position.max(BEGINNING));
        }
    }

    /// A replica is read from while it is told what is committed, and so while it is in S.
    pub(super) fn open_to_readers(&mut self, part: Part) {
        let shows = match part {
            Part::Replica { .. } => Shows::Copy,
            Part::Learner { .. } | Part::Loading | Part::Returned { .. } => Shows::Nothing,
            // What it may show it may still show until it knows whom to follow; whoever leads is read from in any case.
            Part::None
            | Part::Opening { .. }
            | Part::Serving { .. }
            | Part::Parked { .. }
            | Part::Stopped { .. } => return,
        };
        if self.membership.show(shows) == Some(Shows::Copy) && shows == Shows::Nothing {
            // Nobody can say when these would be told.
            self.cut_withheld();
        }
    }

    /// What was withheld is never told, and who waits for it is closed.
    pub(super) fn cut_withheld(&mut self) {
        self.gate.cut();
        for client in self.clients.iter().filter(|client| client.output_bytes.get() > 0) {
            client.decide(Fate::CloseNow);
        }
    }

    /// Whoever was about to send a reply when the lease had run out looks again.
    pub(super) fn wake_withheld(&mut self) {
        self.gate.wake();
        for client in self.clients.iter().filter(|client| client.output_bytes.get() > 0) {
            client.wake();
        }
    }
}
