//! The keyspace thread: what [`Shard`](slotway_cluster::member::Shard) wants done, and the disk.

use std::time::Duration;

use slotway_cluster::{
    Epoch,
    member::{Effect, Event, may_acknowledge},
    pulse::Order,
    replication::{HistoryId, Offset},
    session,
};

use super::{KeysIn, Step, pulse_thread::PulseIn};
use crate::{
    net::Side,
    net::Word,
    stream::What,
    tell,
    world::{Happening, World},
};

impl World {
    /// One thing of the keyspace thread. False: there is nothing to do.
    pub(super) fn keyspace_step(&mut self, node: usize) -> Step {
        let Some(process) = self.process(node) else { return Step::Nothing };
        if let Some(effect) = process.keys_desk.todo.pop_front() {
            self.perform(node, effect);
            return Step::Did;
        }
        let Some(what) = process.keys_desk.inbox.pop_front() else { return self.end_turn(node) };
        process.vitals.busy_since = None;
        match what {
            KeysIn::Tick => {
                self.feed(node, None);
                self.connect_upstream(node);
                self.try_acknowledge(node);
            }
            KeysIn::Seen(epoch) => self.feed(node, Some(Event::Seen(epoch))),
            KeysIn::Order(order) => self.obey(node, order),
            KeysIn::Word(conn, word) => self.read_word(node, conn, word),
            KeysIn::Upstream(conn, word) => self.read_upstream(node, conn, word),
            KeysIn::ProxyGone(proxy) => self.forget_proxy(node, proxy),
        }
        Step::Did
    }

    /// Gives the machine an event, or the time; its effects lie on the desk then.
    pub(super) fn feed(&mut self, node: usize, event: Option<Event<'_>>) {
        let clock = self.clock(node);
        let Some(process) = self.process(node) else { return };
        let effects = match event {
            Some(event) => process.shard.on(event, clock),
            None => process.shard.tick(clock),
        };
        process.keys_desk.todo.extend(effects);
        self.part_may_have_changed(node);
    }

    /// What has gathered in this turn is told: to the machine, to replicas, to the gate.
    fn end_turn(&mut self, node: usize) -> Step {
        let Some(process) = self.process(node) else { return Step::Nothing };
        let end = process.stream.end();
        if process.told != end {
            process.told = end;
            self.send_to_replicas(node);
            self.write_to_disk(node);
            self.feed(node, Some(Event::Grew { end }));
            return Step::Did;
        }
        let (waiting, withheld) = (process.waiting.len(), process.withheld.len());
        self.try_waiting(node);
        self.release(node);
        match self.process(node) {
            Some(process) if (process.waiting.len(), process.withheld.len()) != (waiting, withheld) => {
                Step::Did
            }
            _ => Step::Nothing,
        }
    }

    fn obey(&mut self, node: usize, order: Order) {
        match order {
            Order::Follow(orders) => {
                let Some(process) = self.process(node) else { return };
                let is_newer = process
                    .orders
                    .as_ref()
                    .is_none_or(|known| known.topology.version < orders.topology.version);
                if is_newer {
                    process.orders = Some((*orders).clone());
                }
                self.feed(node, Some(Event::Ordered(&orders)));
            }
            Order::Activate { epoch, not_before } => {
                self.feed(node, Some(Event::Activate { epoch, not_before }));
            }
            Order::Unheard { epoch, members } => {
                self.feed(node, Some(Event::Unheard { epoch, members: &members }));
            }
            Order::Stop { epoch, version } => self.feed(node, Some(Event::Stop { epoch, version })),
        }
    }

    fn perform(&mut self, node: usize, effect: Effect) {
        tell!(self, "n{} keyspace: {effect:?}", node + 1);
        match effect {
            Effect::Follow { primary, epoch } => self.follow(node, primary, epoch),
            Effect::Halt => self.halt(node),
            Effect::BeginEpoch { epoch } => self.begin_epoch(node, epoch),
            Effect::Acknowledge { epoch, held } => {
                if let Some(process) = self.process(node) {
                    process.ack_waits = Some((epoch, held));
                }
                self.try_acknowledge(node);
            }
            Effect::Release { committed } => {
                if let Some(process) = self.process(node) {
                    process.committed = committed;
                }
                self.tell_pulse(node, PulseIn::Committed(committed));
                self.release(node);
            }
            Effect::Serve { epoch } => {
                if let Some(process) = self.process(node) {
                    process.serving = Some(epoch);
                }
                self.try_waiting(node);
            }
            Effect::Park(_) => {
                if let Some(process) = self.process(node) {
                    process.serving = None;
                }
            }
            Effect::Depose => self.depose(node),
            Effect::LeaseBy { epoch, rules } => self.tell_pulse(node, PulseIn::LeaseBy { epoch, rules }),
            Effect::Propose(entry) => self.tell_pulse(node, PulseIn::Propose(entry)),
            Effect::ProposalEnded => self.tell_pulse(node, PulseIn::ProposalEnded),
            Effect::TooFewCopies(too_few) => {
                if let Some(process) = self.process(node) {
                    process.too_few_copies = too_few;
                }
                self.try_waiting(node);
            }
            Effect::Note(_) => {}
        }
    }

    fn begin_epoch(&mut self, node: usize, epoch: Epoch) {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.chance.draw().to_be_bytes());
        let length = 60 + self.chance.below(20);
        let Some(process) = self.process(node) else { return };
        let history = HistoryId::from_random(bytes);
        let unit = process.stream.append(What::Epoch { epoch, history }, length);
        process.leading = Some(epoch);
        process.committed = Offset(0);
        process.sessions = session::Primary::default();
        self.publish_position(node);
        self.i1_one_primary_per_epoch(node, epoch);
        self.close_replicas(node);
        self.feed(node, Some(Event::EpochBegun { epoch, start: unit.end }));
    }

    /// Where the pulse thread reads it. Whatever depends on what was promised is asked after this.
    pub(super) fn publish_position(&mut self, node: usize) {
        let backlog = self.plan.backlog_bytes;
        let Some(process) = self.process(node) else { return };
        process.stream.trim_backlog(backlog);
        process.vitals.position = process.position();
        self.i9_a_position_is_that_of_the_last_epoch_record(node);
    }

    // --- the disk ----------------------------------------------------------------------------------------------------

    fn write_to_disk(&mut self, node: usize) {
        let life = self.nodes[node].life;
        if !self.nodes[node].disk.keeps {
            return;
        }
        let wait = self.chance.between(Duration::from_micros(200), self.plan.sync_max);
        let Some(process) = self.process(node) else { return };
        let end = process.stream.end().0;
        self.plan_in(wait, Happening::Synced { node, life, end });
    }

    pub fn synced(&mut self, node: usize, life: u32, end: u64) {
        if !self.is_alive(node, life) {
            return;
        }
        let Some(process) = self.process(node) else { return };
        process.synced = process.synced.max(Offset(end).min(process.stream.end()));
        self.try_acknowledge(node);
        self.release(node);
    }

    /// A replica's acknowledgement: on the disk first, if this life may go on after the process; and never once a higher epoch was promised.
    pub(super) fn try_acknowledge(&mut self, node: usize) {
        let keeps = self.nodes[node].disk.keeps;
        let Some(process) = self.process(node) else { return };
        let Some((epoch, held)) = process.ack_waits else { return };
        if keeps && process.synced < held.offset {
            return;
        }
        process.ack_waits = None;
        let may = may_acknowledge(epoch, process.vitals.promised);
        let Some(conn) =
            process.upstream.as_ref().filter(|upstream| upstream.epoch == epoch).map(|up| up.conn)
        else {
            return;
        };
        if may {
            self.i2_no_acknowledgement_of_an_epoch_below_the_promised_one(node, epoch, held);
            self.send(conn, Side::Callee, Word::Ack(held));
        }
    }
}
