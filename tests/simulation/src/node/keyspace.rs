//! The keyspace thread: requests, the gate for their replies, and what [`Shard`](slotway_cluster::member::Shard) wants done.

use std::time::Duration;

use slotway_cluster::{
    Epoch,
    member::{Effect, Event, may_acknowledge},
    mutants::{Mutant, left_out},
    pulse::Order,
    replication::{HistoryId, Offset},
};

use super::{KeysIn, Link, Process, Step, Withheld, pulse_thread::PulseIn};
use crate::{
    clients::{Answer, OpId},
    net::{ConnId, Side, Word},
    stream::What,
    tell,
    world::{Happening, World},
};

/// What may happen to a request now.
enum May {
    Run,
    Wait,
    /// Not here: whoever is behind fetches.
    Stale,
}

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

    // --- requests ----------------------------------------------------------------------------------------------------

    fn read_word(&mut self, node: usize, conn: ConnId, word: Word) {
        match word {
            Word::Sync { shard, epoch, member, held, history } => {
                self.replica_comes(node, conn, (shard, epoch), member, (held, history));
            }
            Word::Ack(held) => self.replica_acks(node, conn, held),
            Word::Link { epoch, version } => self.proxy_comes(node, conn, epoch, version),
            Word::Request(op) => {
                if self.process(node).is_some_and(|process| process.links.contains_key(&conn)) {
                    self.try_request(node, conn, op);
                }
            }
            Word::End => {
                self.replica_goes(node, conn);
                let Some(process) = self.process(node) else { return };
                process.links.remove(&conn);
                process.waiting.retain(|(of, _)| *of != conn);
                process.withheld.retain(|reply| reply.conn != conn);
                self.close(conn, Side::Callee);
            }
            Word::Continue { .. }
            | Word::SnapshotBegun
            | Word::Snapshot(_)
            | Word::Units(_)
            | Word::Torn(_)
            | Word::NotNow { .. }
            | Word::Linked
            | Word::Reply(..)
            | Word::Stale { .. } => {}
        }
    }

    /// I2: a link carries the epoch and the version of the topology that its proxy goes by.
    fn proxy_comes(&mut self, node: usize, conn: ConnId, epoch: Epoch, version: u64) {
        let Some(process) = self.process(node) else { return };
        let (own_epoch, own_version) = process.known();
        if epoch < own_epoch {
            self.send(conn, Side::Caller, Word::Stale { op: None, epoch: own_epoch, version: own_version });
            return;
        }
        process.links.insert(conn, Link { epoch, version });
        self.send(conn, Side::Caller, Word::Linked);
    }

    /// What may happen to a request of this connection, by a reading of the clock.
    fn may(&self, node: usize, conn: ConnId, op: OpId, clock: Duration) -> May {
        let Some(process) = &self.nodes[node].process else { return May::Wait };
        let Some(link) = process.links.get(&conn) else { return May::Wait };
        let (epoch, version) = process.known();
        if link.version > version {
            return May::Wait;
        }
        if link.epoch < epoch || !process.is_primary(&self.nodes[node].id) {
            return May::Stale;
        }
        let has_copies = !(process.too_few_copies && self.book.op(op).call.is_write());
        if process.may_answer(clock) && has_copies { May::Run } else { May::Wait }
    }

    fn try_request(&mut self, node: usize, conn: ConnId, op: OpId) {
        let clock = self.clock_for_requests(node);
        match self.may(node, conn, op, clock) {
            May::Run => self.execute(node, conn, op),
            May::Wait => {
                if let Some(process) = self.process(node) {
                    process.waiting.push_back((conn, op));
                }
            }
            May::Stale => {
                let Some(process) = self.process(node) else { return };
                let (epoch, version) = process.known();
                self.send(conn, Side::Caller, Word::Stale { op: Some(op), epoch, version });
            }
        }
    }

    /// I6: a reading that was taken after the request was read from its socket.
    fn clock_for_requests(&self, node: usize) -> Duration {
        match &self.nodes[node].process {
            Some(process) if left_out(Mutant::LeaseByOldClock) => process.keys_desk.looked_at,
            _ => self.clock(node),
        }
    }

    /// Requests that waited, in their order.
    pub(super) fn try_waiting(&mut self, node: usize) {
        let Some(process) = self.process(node) else { return };
        let waiting = std::mem::take(&mut process.waiting);
        for (conn, op) in waiting {
            self.try_request(node, conn, op);
        }
    }

    fn execute(&mut self, node: usize, conn: ConnId, op: OpId) {
        let call = self.book.op(op).call;
        let length = 10 + self.chance.below(50);
        self.i6_i7_who_executes_is_the_latest_and_holds_all_that_was_shown(node, op);
        let Some(process) = self.process(node) else { return };
        let (effects, values) = process.stream.outcome(call);
        let is_write = !effects.is_empty();
        if is_write {
            process.stream.append(What::Write { op, effects }, length);
        }
        let offset = process.stream.end();
        let is_dirty = left_out(Mutant::DirtyReads) && !is_write;
        process.withheld.push_back(Withheld {
            offset: if is_dirty { Offset(0) } else { offset },
            saw: offset,
            conn,
            op,
            answer: Answer::Values(values),
        });
        tell!(self, "n{} runs {op:?} {call:?} at {offset}", node + 1);
        if is_write {
            self.publish_position(node);
        } else {
            self.release(node);
        }
    }

    /// Replies leave in order, each once all that it could have seen is committed, and on the own disk if that matters, while there is a
    /// lease and no promise to take nothing more of this epoch.
    pub(super) fn release(&mut self, node: usize) {
        let keeps = self.nodes[node].disk.keeps;
        loop {
            let clock = self.clock_for_requests(node);
            let Some(process) = self.process(node) else { return };
            let synced = if keeps { process.synced } else { process.stream.end() };
            let open_to = process.committed.min(synced);
            let may_leave = |reply: &Withheld| reply.offset <= open_to;
            // Offsets only grow; but what was not asked to wait does not wait for other connections either.
            let at = match left_out(Mutant::DirtyReads) {
                false => process.withheld.front().is_some_and(may_leave).then_some(0),
                true => process.withheld.iter().position(may_leave),
            };
            let Some(at) = at.filter(|_| process.may_answer(clock)) else { return };
            let Some(Withheld { conn, op, answer, saw, .. }) = process.withheld.remove(at) else { return };
            self.i3_a_reply_tells_only_of_what_is_committed(node, op, saw);
            self.send(conn, Side::Caller, Word::Reply(op, answer));
        }
    }

    /// Withheld replies never leave; who waits for one sees the end of the connection. Whoever was not executed is referred.
    fn depose(&mut self, node: usize) {
        self.close_replicas(node);
        let Some(process) = self.process(node) else { return };
        process.serving = None;
        process.leading = None;
        let withheld: Vec<ConnId> = process.withheld.drain(..).map(|reply| reply.conn).collect();
        process.waiting.retain(|(conn, _)| !withheld.contains(conn));
        for conn in withheld {
            let Some(process) = self.process(node) else { return };
            if process.links.remove(&conn).is_some() {
                self.close(conn, Side::Callee);
            }
        }
        self.try_waiting(node);
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

impl Process {
    /// The epoch and the version of the orders that this node goes by.
    pub fn known(&self) -> (Epoch, u64) {
        let known =
            |orders: &slotway_cluster::pulse::wire::Orders| (orders.state.epoch, orders.topology.version);
        self.orders.as_ref().map_or((Epoch(0), 0), known)
    }

    fn is_primary(&self, me: &slotway_cluster::NodeId) -> bool {
        self.orders.as_ref().is_some_and(|orders| {
            let primary = &orders.state.rule.primary;
            primary.node == *me && primary.incarnation == self.incarnation
        })
    }

    /// Serves, with a lease that has not run out, and nothing higher was promised.
    fn may_answer(&self, clock: Duration) -> bool {
        let Some(epoch) = self.serving else { return false };
        self.vitals.lease.allows(epoch, self.vitals.promised, clock)
    }
}
