//! How much of the shard's stream this node holds, and who is told of it: the pulse, for promises, and the machine.
//!
//! What counts is what is held here, but where the log syncs before it is relied upon, a replica holds only what is on the disk. The
//! log counts by the feed: [`super::stretches`] translates.

use slotway_cluster::{
    Position,
    member::Event,
    replication::{EpochRecord, Offset},
};

use crate::{node::Node, persistence::aof};

impl Node {
    /// The stream has come further, at a unit's end: executed here, applied from the primary, or synced to the disk, where
    /// that is what counts.
    pub(crate) fn stream_has_grown(&mut self) {
        let position = self.keyspace.feed.taken();
        let end = self.replication.offset;
        let Some(seat) = &mut self.seat else { return };
        seat.stretches.jump(end, position);
        self.tell_growth();
        // It may have been called committed before it was here.
        self.heed_committed();
    }

    /// How much of the stream this node answers for.
    pub(crate) fn held(&self) -> Position {
        let offset = self.durable_offset().unwrap_or_default();
        Position { epoch: self.replication.lineage.epoch_at(offset), offset }
    }

    /// A replica whose log syncs before it is relied upon holds only what is synced. None: nothing of it yet.
    fn durable_offset(&self) -> Option<Offset> {
        let end = self.replication.offset;
        let leads = self.seat.as_ref().is_some_and(|seat| seat.leads().is_some());
        match aof::synced(self) {
            Some(synced) if !leads => {
                let known = self.seat.as_ref().and_then(|seat| seat.stretches.offset_at(synced));
                known.map(|offset| offset.min(end))
            }
            Some(_) | None => Some(end),
        }
    }

    /// Tells how much is held.
    pub(crate) fn tell_growth(&mut self) {
        let Some(end) = self.durable_offset() else { return };
        let epoch = self.replication.lineage.epoch_at(end);
        let held = Position { epoch, offset: end };
        // Before anything leaves that relies on it (I4).
        self.vitals.publish(held);
        let Some(seat) = &mut self.seat else { return };
        if std::mem::take(&mut seat.is_replaced) {
            self.tell_seat(Event::Replaced { position: held });
        }
        let Some(seat) = &mut self.seat else { return };
        if !seat.records.is_empty() {
            let (told, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut seat.records).into_iter().partition(|record| record.end() <= end);
            seat.records = later;
            for EpochRecord { epoch, start, history } in told {
                let end = EpochRecord { epoch, start, history }.end();
                self.tell_seat(Event::EpochApplied { epoch, end });
            }
        }
        self.tell_seat(Event::Grew { end });
    }

    /// All data are those of a full synchronisation: told when they are as durable as they have to be.
    pub(crate) fn seat_was_replaced(&mut self) {
        let (end, position) = (self.replication.offset, self.keyspace.feed.taken());
        let Some(seat) = &mut self.seat else { return };
        seat.is_replaced = true;
        seat.records.clear();
        seat.stretches.begin_anew(end, position);
        self.tell_growth();
        self.heed_committed();
    }
}
