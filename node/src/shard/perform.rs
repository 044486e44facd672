//! What the machine of the seat wants done.

use std::sync::Arc;

use slotway_cluster::{
    Epoch, Member, Position,
    member::{Effect, Event, may_acknowledge},
    pulse::Orders,
    replication::{EpochRecord, HistoryId},
};

use super::Duty;
use crate::{
    condition::Trouble, gate::Lease, identity, membership::LedBy, node::Node, pause::Congested,
    replication::replica::Primary,
};

impl Node {
    pub(super) fn perform_all(&mut self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        // These come with every turn, and change nothing that the pulse tells.
        let is_usual =
            |effect: &Effect| matches!(effect, Effect::Acknowledge { .. } | Effect::Release { .. });
        let changes = !effects.iter().all(is_usual);
        for effect in effects {
            self.perform_one(effect);
        }
        if changes {
            self.tell_pulse();
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Follow { primary, epoch } => self.follow_member(primary, epoch),
            Effect::Halt => self.halt(),
            Effect::BeginEpoch { epoch } => self.begin_epoch(epoch),
            Effect::Acknowledge { epoch, held } => self.acknowledge(epoch, held),
            Effect::Release { committed } => {
                self.vitals.publish_committed(committed);
                self.release_committed(committed);
            }
            Effect::Serve { epoch } => self.serve(epoch),
            Effect::Park(why) => {
                tracing::info!(?why, "requests wait");
                self.do_with_requests(Duty::Wait);
            }
            Effect::Depose => self.depose(),
            Effect::LeaseBy { epoch, rules } => self.vitals.tell(|told| told.rules = (epoch, rules)),
            Effect::Propose(entry) => {
                tracing::info!(?entry, "proposing to the control log");
                self.vitals.tell(|told| told.proposal = Some(entry));
            }
            Effect::ProposalEnded => self.vitals.tell(|told| told.proposal = None),
            Effect::TooFewCopies(too_few) => self.heed_copies(too_few),
            Effect::Note(line) => tracing::info!("{line}"),
        }
    }

    fn do_with_requests(&mut self, duty: Duty) {
        if let Some(seat) = &mut self.seat {
            seat.duty = duty;
        }
        self.take_role();
        self.look_at_lease();
        self.wake_paused();
    }

    /// Takes the stream of this primary and of no other.
    fn follow_member(&mut self, primary: Member, epoch: Epoch) {
        let wanted = Some((primary, epoch));
        let Some(seat) = &mut self.seat else { return };
        let is_same = seat.primary == wanted;
        seat.primary = wanted;
        seat.duty = Duty::Refer;
        let name = seat.primary.as_ref().map(|(primary, _)| primary.node.clone());
        let address = name.as_ref().and_then(|name| self.membership.adopted()?.topology.node(name));
        let Some(address) = address.and_then(|node| Primary::parse(&node.addr)) else {
            tracing::error!(primary = ?name, "nobody knows where the primary is");
            // What it would say to the one before is meant for this one.
            return self.stop_following();
        };
        if is_same && self.following.primary() == Some(&address) {
            return;
        }
        // Who follows it already says so anew: in this epoch.
        self.follow(address);
        self.following.begin_anew();
        self.look_at_lease();
        self.wake_paused();
    }

    /// Behind a new topology: the primary may be known there, or elsewhere than before.
    pub(super) fn look_for_primary(&mut self) {
        if let Some((primary, epoch)) = self.seat.as_ref().and_then(|seat| seat.primary.clone()) {
            self.follow_member(primary, epoch);
        }
    }

    /// Follows nobody, and makes no stream.
    pub(super) fn halt(&mut self) {
        let leads_by_topology = self.membership.adopted().is_some_and(|adopted| adopted.is_primary());
        if let Some(seat) = &mut self.seat {
            seat.primary = None;
            // What the log calls the primary, and may not lead, is asked in vain until the log says another.
            seat.duty = if leads_by_topology { Duty::Wait } else { Duty::Refer };
        }
        self.stop_following();
        self.take_role();
    }

    /// From here on this node makes the stream: its first word is the EPOCH record (I9).
    fn begin_epoch(&mut self, epoch: Epoch) {
        if let Some(seat) = &mut self.seat {
            seat.primary = None;
            seat.duty = Duty::Wait;
        }
        self.deliver();
        self.tell_pulse();
        self.stop_following();
        let record = EpochRecord {
            epoch,
            start: self.replication.offset,
            history: HistoryId::from_random(identity::random()),
        };
        self.replication.lineage.begin_epoch(record.history, epoch, record.start);
        // They learn the new name when they come back.
        self.cut_replicas();
        self.take_role();
        self.gate.lease(Some(Lease { vitals: Arc::clone(&self.vitals), epoch }));
        self.keyspace.feed.add_record(&record.unit());
        self.deliver();
        debug_assert_eq!(self.replication.offset, record.end(), "the record stands alone");
        tracing::info!(%epoch, start = %record.start, history = %record.history, "an epoch begins here");
        self.tell_seat(Event::EpochBegun { epoch, start: record.end() });
    }

    /// Says to the primary what is held, unless a higher epoch was promised: that is read behind the publishing of what is
    /// held.
    fn acknowledge(&mut self, epoch: Epoch, held: Position) {
        self.vitals.publish(self.held());
        if may_acknowledge(epoch, self.vitals.seen()) {
            self.following.owe_word(held);
        }
    }

    fn serve(&mut self, epoch: Epoch) {
        tracing::info!(%epoch, "this node serves its shard");
        self.hold_gate_for_quorum();
        self.do_with_requests(Duty::Serve(epoch));
        self.wake_withheld();
    }

    /// Another node leads, or none: what was withheld is never told, and who waits for it is closed.
    fn depose(&mut self) {
        self.cut_withheld();
        self.gate.lease(None);
        self.cut_replicas();
        self.heed_copies(false);
        let leads_by_topology = self.membership.adopted().is_some_and(|adopted| adopted.is_primary());
        self.tell_pulse();
        self.do_with_requests(if leads_by_topology { Duty::Wait } else { Duty::Refer });
    }

    /// Writes are held while there are too few copies, and refused when that lasts ([`Node::heed_time`]); those of proxies are at
    /// once.
    fn heed_copies(&mut self, too_few: bool) {
        let Some(seat) = &mut self.seat else { return };
        match (seat.too_few_since, too_few) {
            (None, true) => {
                seat.too_few_since = Some(slotway_link::clock::boottime());
                self.congest(Congested::Copies);
                self.condition.note(Trouble::TooFewCopies);
            }
            (Some(_), false) => {
                seat.too_few_since = None;
                self.condition.forget(&Trouble::TooFewCopies);
                self.relieve(Congested::Copies);
                self.wake_paused();
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// What of the orders concerns more than the shard: who is where, and which slots this node answers for.
    pub(super) fn take_over(&mut self, orders: &Orders) -> Result<(), String> {
        // What they lead to is a byte that the node takes or makes.
        self.membership.keeper.touch().map_err(|error| format!("node.json cannot be written: {error}"))?;
        self.take_topology(orders.topology.clone(), orders.me.clone(), LedBy::Orders)
    }
}
