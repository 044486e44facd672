//! The pulse thread: what [`Pulse`](slotway_cluster::pulse::Pulse) hears and wants done, and the status that a ping is answered with.

use std::time::Duration;

use slotway_cluster::{
    Entry, Epoch, Rule,
    health::SILENCE,
    pulse::{
        Effect, Event, Order, Peer,
        wire::{Busy, FromNode, Status, ToNode, Upstream, UpstreamState, millis},
    },
    replication::Offset,
};

use super::{KeysIn, Step, Thread};
use crate::{
    net::End,
    tell,
    world::{Happening, World},
};

/// What the pulse thread is told.
#[derive(Debug)]
pub enum PulseIn {
    Said {
        by: End,
        word: ToNode,
    },
    Answered(FromNode),
    LeaseBy {
        epoch: Epoch,
        rules: Vec<Rule>,
    },
    Committed(Offset),
    Propose(Entry),
    ProposalEnded,
    /// By the keyspace thread, in a replication handshake or on a data link.
    Seen(Epoch),
    /// The node's part has changed: proxies are told unasked.
    Changed,
    Tick,
}

/// Peers as the machine knows them: nodes count from here on.
const NODES_FROM: u64 = 1000;

fn peer(end: End) -> Peer {
    let number = |at: usize| u64::try_from(at).unwrap_or(u64::MAX);
    match end {
        End::Proxy(proxy) => Peer(number(proxy)),
        End::Node(node) => Peer(NODES_FROM + number(node)),
        End::Group => Peer(u64::MAX),
    }
}

fn end(peer: Peer) -> End {
    let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match peer.0.checked_sub(NODES_FROM) {
        Some(node) => End::Node(at(node)),
        None => End::Proxy(at(peer.0)),
    }
}

impl World {
    pub(super) fn pulse_step(&mut self, node: usize) -> Step {
        let Some(process) = self.process(node) else { return Step::Nothing };
        if let Some(effect) = process.pulse_desk.todo.pop_front() {
            return self.perform_pulse(node, effect);
        }
        let Some(what) = process.pulse_desk.inbox.pop_front() else { return Step::Nothing };
        match what {
            PulseIn::Said { by, word: ToNode::Ping { seq, .. } } => {
                self.answer_ping(node, by, Some(seq));
            }
            PulseIn::Said { by, word } => {
                if let (ToNode::Heartbeat(beat), Some(process)) = (&word, self.process(node))
                    && process.following.as_ref().is_some_and(|(primary, _)| *primary == beat.primary)
                {
                    let now = self.now;
                    self.heard_primary(node, now);
                }
                self.feed_pulse(node, Some(Event::Said { by: peer(by), word: &word }));
            }
            PulseIn::Answered(word) => self.feed_pulse(node, Some(Event::Answered(&word))),
            PulseIn::LeaseBy { epoch, rules } => {
                self.feed_pulse(node, Some(Event::LeaseBy { epoch, rules: &rules }));
            }
            PulseIn::Committed(committed) => self.feed_pulse(node, Some(Event::Committed(committed))),
            PulseIn::Seen(epoch) => self.feed_pulse(node, Some(Event::Seen(epoch))),
            PulseIn::Propose(entry) => {
                let Some(process) = self.process(node) else { return Step::Nothing };
                if process.proposal.replace(entry.clone()) != Some(entry) {
                    self.tell_proxies(node);
                }
            }
            PulseIn::ProposalEnded => {
                if let Some(process) = self.process(node) {
                    process.proposal = None;
                }
            }
            PulseIn::Changed => self.tell_proxies(node),
            PulseIn::Tick => self.feed_pulse(node, None),
        }
        Step::Did
    }

    fn feed_pulse(&mut self, node: usize, event: Option<Event<'_>>) {
        let clock = self.clock(node);
        let Some(process) = self.process(node) else { return };
        let effects = match event {
            Some(event) => process.pulse.on(event, clock),
            None => process.pulse.tick(clock),
        };
        process.pulse_desk.todo.extend(effects);
    }

    fn perform_pulse(&mut self, node: usize, effect: Effect) -> Step {
        if !matches!(effect, Effect::Beat { .. } | Effect::Say { .. } | Effect::Lease(_)) {
            tell!(self, "n{} pulse: {effect:?}", node + 1);
        }
        match effect {
            Effect::Persist { identity, promised } => {
                let disk = &mut self.nodes[node].disk;
                disk.identity = Some(identity);
                disk.promised = disk.promised.max(promised);
                if disk.keeps {
                    return Step::Waits(self.chance.between(Duration::ZERO, self.plan.sync_max));
                }
            }
            Effect::Publish { promised } => {
                if let Some(process) = self.process(node) {
                    process.vitals.promised = process.vitals.promised.max(promised);
                }
                self.tell_keys(node, KeysIn::Seen(promised));
            }
            Effect::Promise { to, shard, epoch, member, grant_left } => {
                let Some(process) = self.process(node) else { return Step::Nothing };
                let position = process.vitals.position;
                let grant_left_ms = millis(grant_left) + 1;
                self.witness.promised(&member, epoch, position);
                let word = FromNode::Promise { shard, epoch, member, position, grant_left_ms };
                self.say_from_pulse(node, end(to), word);
            }
            Effect::Say { to, word } => {
                self.i2_no_grant_of_an_epoch_below_the_promised_one(node, &word);
                self.say_from_pulse(node, end(to), word);
            }
            Effect::Beat { to, beat } => {
                if let Some(other) = self.nodes.iter().position(|other| other.id == to.node) {
                    self.say_to_pulse(End::Node(node), other, ToNode::Heartbeat(beat));
                }
            }
            Effect::Lease(lease) => {
                if let Some(process) = self.process(node) {
                    process.vitals.lease = lease;
                }
                self.wake(node, Thread::Keyspace);
            }
            Effect::Obey(order) => {
                if let Order::Activate { epoch, not_before } = &order {
                    tell!(self, "n{} may serve {epoch} from {not_before:?} of its clock", node + 1);
                }
                self.tell_keys(node, KeysIn::Order(order));
            }
        }
        Step::Did
    }

    pub fn tell_pulse(&mut self, node: usize, what: PulseIn) {
        if let Some(process) = self.process(node) {
            process.pulse_desk.inbox.push_back(what);
            self.wake(node, Thread::Pulse);
        }
    }

    // --- on the wire -------------------------------------------------------------------------------------------------

    pub fn say_to_pulse(&mut self, from: End, node: usize, word: ToNode) {
        if !self.chance.per_mille(self.plan.loss_per_mille) {
            let delay = self.delay();
            self.plan_in(delay, Happening::ToPulse { node, from, word });
        }
    }

    fn say_from_pulse(&mut self, node: usize, to: End, word: FromNode) {
        if !self.chance.per_mille(self.plan.loss_per_mille) {
            let delay = self.delay();
            let life = self.nodes[node].life;
            self.plan_in(delay, Happening::FromPulse { node, life, to, word });
        }
    }

    pub fn pulse_hears(&mut self, node: usize, from: End, word: ToNode) {
        if !self.net.reaches(from, End::Node(node)) {
            return;
        }
        if self.nodes[node].process.is_some() {
            self.tell_pulse(node, PulseIn::Said { by: from, word });
        } else if let End::Proxy(proxy) = from
            && self.net.reaches(End::Node(node), from)
        {
            let (life, delay) = (self.proxies[proxy].life, self.delay());
            self.plan_in(delay, Happening::Refused { proxy, life, node });
        }
    }

    pub fn heard_from_pulse(&mut self, node: usize, life: u32, to: End, word: FromNode) {
        if !self.net.reaches(End::Node(node), to) {
            return;
        }
        match to {
            End::Proxy(proxy) => self.proxy_hears_pulse(proxy, node, life, &word),
            End::Node(primary) => self.tell_pulse(primary, PulseIn::Answered(word)),
            End::Group => {}
        }
    }

    // --- the status --------------------------------------------------------------------------------------------------

    fn answer_ping(&mut self, node: usize, by: End, seq: Option<u64>) {
        let Some(status) = self.status(node) else { return };
        self.say_from_pulse(node, by, FromNode::Pong { seq, status: Box::new(status) });
    }

    fn tell_proxies(&mut self, node: usize) {
        for proxy in 0..self.proxies.len() {
            self.answer_ping(node, End::Proxy(proxy), None);
        }
    }

    /// Behind whatever the keyspace machine did: what its part is now.
    pub(super) fn part_may_have_changed(&mut self, node: usize) {
        let Some(process) = self.process(node) else { return };
        let part = process.shard.part();
        if std::mem::replace(&mut process.part, part) != part {
            tell!(self, "n{} is {part:?}", node + 1);
            self.tell_pulse(node, PulseIn::Changed);
        }
    }

    pub(super) fn heard_primary(&mut self, node: usize, now: Duration) {
        if let Some(process) = self.process(node) {
            process.primary_heard = now;
        }
    }

    fn status(&self, node: usize) -> Option<Status> {
        let process = self.nodes[node].process.as_ref()?;
        let since = |at: Duration| millis(self.now.saturating_sub(at));
        let busy = process.vitals.busy_since.map(|at| Busy {
            for_ms: since(at),
            command: "KEYS".into(),
            under_lease: false,
        });
        let silent = self.now.saturating_sub(process.primary_heard) >= SILENCE;
        let upstream = process.following.as_ref().map(|(primary, _)| {
            let state = match &process.upstream {
                None => UpstreamState::Refused,
                Some(_) if silent => UpstreamState::Silent,
                Some(upstream) if upstream.is_live => UpstreamState::Up,
                Some(_) => UpstreamState::Syncing,
            };
            Upstream { node: primary.node.clone(), state, for_ms: since(process.primary_heard) }
        });
        let identity = process.pulse.identity();
        Some(Status {
            cluster_id: identity.map(|identity| identity.cluster_id.clone()),
            node: identity.map(|identity| identity.node.clone()),
            incarnation: process.incarnation,
            index: process.known().1,
            seen: process.vitals.promised,
            position: process.vitals.position,
            part: process.part,
            proposal: process.proposal.clone(),
            busy,
            upstream,
            keys: None,
            memory_bytes: None,
            software: String::new(),
        })
    }
}
