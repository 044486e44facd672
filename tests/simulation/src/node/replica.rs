//! The replica's end of a replication link: to whom it connects, how it takes up the stream, what it applies.

use std::rc::Rc;

use slotway_cluster::{
    Epoch, Member,
    member::Event,
    mutants::{Mutant, left_out},
    replication::{HistoryId, Offset},
};

use super::pulse_thread::PulseIn;
use crate::{
    group::SHARD,
    net::{ConnId, End, Side, Word},
    stream::{Stream, Unit, What},
    tell,
    world::World,
};

/// The connection to the primary.
#[derive(Debug)]
pub struct Upstream {
    pub conn: ConnId,
    pub epoch: Epoch,
    /// It goes on; no full synchronisation is under way.
    pub is_live: bool,
}

impl World {
    pub(super) fn follow(&mut self, node: usize, primary: Member, epoch: Epoch) {
        self.close_upstream(node);
        let now = self.now;
        let Some(process) = self.process(node) else { return };
        process.following = Some((primary, epoch));
        process.leading = None;
        process.primary_heard = now;
        self.connect_upstream(node);
    }

    pub(super) fn halt(&mut self, node: usize) {
        self.close_upstream(node);
        if let Some(process) = self.process(node) {
            process.following = None;
        }
    }

    pub(super) fn close_upstream(&mut self, node: usize) {
        let Some(process) = self.process(node) else { return };
        process.ack_waits = None;
        if let Some(upstream) = process.upstream.take() {
            self.close(upstream.conn, Side::Caller);
        }
    }

    /// Again and again while it follows somebody and has no connection.
    pub(super) fn connect_upstream(&mut self, node: usize) {
        let me = self.nodes[node].member();
        let Some(process) = self.process(node) else { return };
        let (Some((primary, epoch)), None, Some(me)) = (process.following.clone(), &process.upstream, me)
        else {
            return;
        };
        let held = process.position();
        let history = process.stream.lineage.present();
        let Some(other) = self.nodes.iter().position(|other| other.id == primary.node) else { return };
        if other == node || self.nodes[other].process.is_none() {
            return;
        }
        let life = self.nodes[other].life;
        self.witness.holds(&me, held);
        let conn = self.net.open(End::Node(node), other, life);
        let word = Word::Sync { shard: SHARD, epoch, member: me, held, history };
        self.send(conn, Side::Callee, word);
        if let Some(process) = self.process(node) {
            process.upstream = Some(Upstream { conn, epoch, is_live: false });
        }
    }

    /// From the primary, into the keyspace thread's line.
    pub fn caller_hears(&mut self, node: usize, conn: ConnId, word: Word) {
        self.tell_keys(node, super::KeysIn::Upstream(conn, word));
    }

    pub(super) fn read_upstream(&mut self, node: usize, conn: ConnId, word: Word) {
        let now = self.now;
        let Some(process) = self.process(node) else { return };
        let Some(upstream) = process.upstream.as_mut().filter(|upstream| upstream.conn == conn) else {
            return;
        };
        process.primary_heard = now;
        match word {
            Word::Continue { epoch, .. } => {
                upstream.is_live = true;
                if left_out(Mutant::EpochByHandshake) {
                    process.handshake_epoch = epoch;
                    self.publish_position(node);
                }
            }
            Word::SnapshotBegun => {
                // F5: a member of S that empties itself first forgets what it acknowledged.
                if left_out(Mutant::LoadInPlace) {
                    process.stream = Stream::empty(HistoryId::NONE);
                    process.synced = Offset(0);
                    process.told = Offset(0);
                    self.publish_position(node);
                }
            }
            Word::Snapshot(stream) => self.swap_in(node, &stream),
            Word::Units(units) => self.apply(node, &units),
            Word::Torn(half) => {
                if left_out(Mutant::SplitUnits) {
                    self.apply(node, &[half]);
                }
            }
            Word::NotNow { seen } => {
                self.close_upstream(node);
                self.tell_pulse(node, PulseIn::Seen(seen));
            }
            Word::End => {
                tell!(self, "n{} lost its primary's link", node + 1);
                self.close_upstream(node);
            }
            Word::Sync { .. }
            | Word::Ack(_)
            | Word::Link { .. }
            | Word::Linked
            | Word::Session(_)
            | Word::Request(..)
            | Word::Reply(..)
            | Word::Stale { .. } => {}
        }
    }

    /// A full synchronisation has been loaded beside the old data, and takes its place in one step.
    fn swap_in(&mut self, node: usize, stream: &Rc<Stream>) {
        let Some(process) = self.process(node) else { return };
        process.stream = stream.carried();
        process.stream.backlog_first = process.stream.end();
        process.synced = process.stream.end();
        process.told = process.stream.end();
        if let Some(upstream) = &mut process.upstream {
            upstream.is_live = true;
        }
        let position = process.stream.position();
        self.publish_position(node);
        tell!(self, "n{} holds {position}, all anew", node + 1);
        self.feed(node, Some(Event::Replaced { position }));
    }

    fn apply(&mut self, node: usize, units: &[Rc<Unit>]) {
        let Some(process) = self.process(node) else { return };
        let mut begun = Vec::new();
        for unit in units {
            if unit.start != process.stream.end() {
                tell!(self, "n{} sees a hole in the stream", node + 1);
                self.close_upstream(node);
                return;
            }
            process.stream.apply(unit);
            if let What::Epoch { epoch, .. } = unit.what {
                begun.push((epoch, unit.end));
            }
        }
        self.publish_position(node);
        for (epoch, end) in begun {
            self.feed(node, Some(Event::EpochApplied { epoch, end }));
        }
    }
}
