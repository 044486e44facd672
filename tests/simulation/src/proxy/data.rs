//! A proxy's data path: a small model of the real one, around the real [`Sender`].
//!
//! Requests go to the primary of the topology that the proxy knows, on a link that says which that is; they are held while there is none. Whoever
//! is told `-STALE` waits for the topology and tries again. A proxy with a session asks the next link what ran and sends the rest
//! again; one without sends again what was never sent, and reads, and a write whose link broke is answered `-INDETERMINATE`.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use slotway_cluster::{
    Epoch, Incarnation, NodeId,
    session::{
        Known, Sender,
        sender::{Asked, GivenUp, Step},
    },
};

use super::{Proxy, TICK};
use crate::{
    clients::{Answer, Call, Op, OpId},
    group::SHARD,
    net::{ConnId, End, Side, Word},
    node::KeysIn,
    stream::{COUNTERS, REGISTERS, slot},
    tell,
    world::{Happening, World},
};

/// The link to the primary of an epoch.
#[derive(Debug)]
pub(super) struct DataLink {
    conn: ConnId,
    node: NodeId,
    epoch: Epoch,
    state: LinkState,
    /// Without a session: what was sent.
    in_flight: VecDeque<OpId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkState {
    /// Until it is linked, and SESSION is answered.
    Greeting,
    Open,
    /// It said `-STALE`: nothing more is sent.
    Leaving,
}

impl World {
    // --- clients -----------------------------------------------------------------------------------------------------

    /// A client thinks of a request.
    pub fn ask(&mut self, client: usize) {
        let kind = self.chance.below(100);
        let (counter, register) = (*self.chance.pick(&COUNTERS), *self.chance.pick(&REGISTERS));
        let now = self.now;
        let op = self.book.invoke(client, now, |id| match kind {
            0..28 => Call::Incr(counter),
            28..40 => Call::Get(counter),
            40..50 => Call::Set(register, u64::from(id.0) + 1),
            50..56 => Call::Swap(register, u64::from(id.0) + 1),
            56..67 => Call::Get(register),
            67..79 => Call::IncrPair,
            79..89 => Call::GetPair,
            89..95 => Call::SetNx(u64::from(id.0) + 1),
            _ => Call::Release,
        });
        let proxy = self.clients[client].proxy;
        self.proxies[proxy].held.push_back(op);
        self.plan_in(self.plan.hold, Happening::Expire { op });
        let (life, soon) = (self.proxies[proxy].life, Duration::from_micros(self.chance.below(300)));
        self.plan_in(soon, Happening::Pump { proxy, life });
    }

    pub fn answer(&mut self, op: OpId, answer: Answer) {
        if self.book.op(op).answered.is_some() {
            return;
        }
        tell!(self, "client is answered {op:?} {:?}: {answer:?}", self.book.op(op).call);
        let call = self.book.op(op).call;
        if let Answer::Values(values) = &answer {
            if values.len() != call.answers() {
                return self.break_rule("replies", format!("{op:?} {call:?} is answered {values:?}"));
            }
            if matches!(call, Call::IncrPair | Call::GetPair) && values[0] != values[1] {
                self.break_rule("I3", format!("{op:?} saw half of a transaction: {values:?}"));
            }
        }
        self.book.answer(op, answer);
        let client = self.book.op(op).client;
        let think = self.clients[client].think;
        let wait = self.chance.between(Duration::ZERO, think * 2);
        self.plan_in(wait, Happening::Ask { client });
    }

    pub fn expire(&mut self, op: OpId) {
        let found = self.book.op(op);
        if found.answered.is_some() {
            return;
        }
        let proxy = self.clients[found.client].proxy;
        let mut may_have_run = found.was_sent && found.call.is_write();
        let proxy = &mut self.proxies[proxy];
        proxy.held.retain(|held| *held != op);
        if let Some(link) = &mut proxy.data {
            link.in_flight.retain(|flying| *flying != op);
        }
        if let Some(sender) = &mut proxy.sender {
            may_have_run = sender.give_up(&op) == Some(GivenUp::MayHaveRun);
        }
        self.answer(op, if may_have_run { Answer::Indeterminate } else { Answer::TryAgain });
    }

    // --- the data link -----------------------------------------------------------------------------------------------

    /// Sends what is held, if there is somebody to send it to.
    pub fn pump(&mut self, number: usize, life: u32) {
        let now = self.now;
        let proxy = &self.proxies[number];
        if proxy.life != life {
            return;
        }
        let Some(shard) = proxy.cluster.shards.get(&SHARD) else { return };
        let (primary, epoch, version) = (shard.rule.primary.node.clone(), shard.epoch, proxy.cluster.index);
        let is_other = |link: &DataLink| link.epoch != epoch || link.node != primary;
        if proxy.data.as_ref().is_some_and(is_other) {
            self.abandon(number);
        }
        let proxy = &self.proxies[number];
        if proxy.held.is_empty() && proxy.sender.as_ref().is_none_or(Sender::is_idle) {
            return;
        }
        match &proxy.data {
            None if now >= proxy.retry_at && version >= proxy.wants_version => {
                self.connect(number, &primary, epoch, version);
            }
            Some(link) if link.state == LinkState::Open => self.send_held(number),
            None | Some(_) => {}
        }
    }

    fn send_held(&mut self, number: usize) {
        while let Some(op) = self.proxies[number].held.front().copied() {
            let Op { call, client, .. } = *self.book.op(op);
            let Proxy { held, sender, data: Some(link), .. } = &mut self.proxies[number] else { return };
            let conn = link.conn;
            let next = match sender {
                Some(sender) if !sender.may_send(call.kind()) => return,
                Some(sender) => {
                    let client = u64::try_from(client).unwrap_or(0);
                    let asked = Asked { client, slot: slot(call.key()), kind: call.kind() };
                    sender.send(op, asked, link.epoch)
                }
                None => {
                    link.in_flight.push_back(op);
                    None
                }
            };
            held.pop_front();
            self.book.op_mut(op).was_sent = true;
            self.send(conn, Side::Callee, Word::Request(op, next));
        }
    }

    fn connect(&mut self, number: usize, primary: &NodeId, epoch: Epoch, version: u64) {
        let Some(node) = self.nodes.iter().position(|node| node.id == *primary) else { return };
        let now = self.now;
        if self.nodes[node].process.is_none() {
            self.proxies[number].retry_at = now + Duration::from_millis(20);
            return;
        }
        let life = self.nodes[node].life;
        let conn = self.net.open(End::Proxy(number), node, life);
        let session = self.proxies[number].sender.as_mut().map(Sender::greeting);
        self.send(conn, Side::Callee, Word::Link { epoch, version, session });
        self.proxies[number].data = Some(DataLink {
            conn,
            node: primary.clone(),
            epoch,
            state: LinkState::Greeting,
            in_flight: VecDeque::new(),
        });
    }

    pub fn proxy_hears(&mut self, number: usize, conn: ConnId, word: Word) {
        let life = self.proxies[number].life;
        let proxy = &mut self.proxies[number];
        let Some(link) = proxy.data.as_mut().filter(|link| link.conn == conn) else { return };
        match word {
            Word::Linked => {
                link.state = LinkState::Open;
                self.pump(number, life);
            }
            Word::Session(bulk) => self.resume(number, &bulk),
            Word::Reply(op, answer) => {
                let is_waited_for = match &mut proxy.sender {
                    Some(sender) => sender.replied() == Some(op),
                    None => link.in_flight.pop_front_if(|oldest| *oldest == op).is_some(),
                };
                if is_waited_for {
                    self.answer(op, answer);
                }
                self.leave_if_done(number);
            }
            Word::Stale { op, version, .. } => {
                link.state = LinkState::Leaving;
                proxy.wants_version = proxy.wants_version.max(version);
                if let Some(op) = op {
                    self.is_refused(number, op);
                }
                self.leave_if_done(number);
            }
            Word::End => self.abandon(number),
            Word::Sync { .. }
            | Word::Continue { .. }
            | Word::SnapshotBegun
            | Word::Snapshot(_)
            | Word::Units(_)
            | Word::Torn(_)
            | Word::Ack(_)
            | Word::NotNow { .. }
            | Word::Link { .. }
            | Word::Request(..) => {}
        }
    }

    /// It did not run.
    fn is_refused(&mut self, number: usize, op: OpId) {
        let Proxy { sender, held, data: Some(link), .. } = &mut self.proxies[number] else { return };
        match sender {
            Some(sender) => sender.refused(),
            None => {
                if link.in_flight.pop_front_if(|oldest| *oldest == op).is_some() {
                    self.book.op_mut(op).was_sent = false;
                    let at = held.partition_point(|other| *other < op);
                    held.insert(at, op);
                }
            }
        }
    }

    /// SESSION is answered: what ran is delivered, what did not is sent again.
    fn resume(&mut self, number: usize, bulk: &[u8]) {
        let known = Known::parse(bulk).expect("an answer comes whole");
        let Proxy { sender: Some(sender), data: Some(link), life, .. } = &mut self.proxies[number] else {
            return;
        };
        link.state = LinkState::Open;
        let (conn, life) = (link.conn, *life);
        for step in sender.resume(&known, link.epoch) {
            tell!(self, "p{}: {step:?}", number + 1);
            match step {
                Step::Deliver { request, reply } => self.answer(request, Answer::of(&reply)),
                Step::Indeterminate { request, .. } => self.answer(request, Answer::Indeterminate),
                Step::NotRun { request } => self.answer(request, Answer::TryAgain),
                Step::Send { request, next } => self.send(conn, Side::Callee, Word::Request(request, next)),
            }
        }
        self.pump(number, life);
    }

    fn leave_if_done(&mut self, number: usize) {
        let Proxy { sender, data: Some(link), .. } = &self.proxies[number] else { return };
        let owed = sender.as_ref().map_or(link.in_flight.len(), Sender::owed);
        if link.state == LinkState::Leaving && owed == 0 {
            self.abandon(number);
        }
    }

    /// The link is over. With a session nothing is decided yet; without one reads are sent again, and writes may have run.
    fn abandon(&mut self, number: usize) {
        let Some(link) = self.proxies[number].data.take() else { return };
        self.close(link.conn, Side::Caller);
        let soon = self.now + self.chance.between(Duration::from_millis(1), Duration::from_millis(40));
        self.proxies[number].retry_at = soon;
        for op in link.in_flight {
            if self.book.op(op).call.is_write() {
                self.answer(op, Answer::Indeterminate);
            } else {
                let held = &mut self.proxies[number].held;
                let at = held.partition_point(|other| *other < op);
                held.insert(at, op);
            }
        }
        let life = self.proxies[number].life;
        self.plan_at(soon, Happening::Pump { proxy: number, life });
    }

    /// The process ends and another begins, which knows the log as far as this one did. Its clients see the end of their connections.
    pub fn restart_proxy(&mut self, number: usize) {
        tell!(self, "p{} is started anew", number + 1);
        if let Some(link) = self.proxies[number].data.take() {
            self.close(link.conn, Side::Caller);
        }
        let (clock, old) = (self.proxy_clock(number), &self.proxies[number]);
        let (life, drift) = (old.life + 1, old.drift_ppm);
        let (has_sessions, gone) = (old.sender.is_some(), old.session_life(number));
        self.proxies[number] = Proxy::new(number, life, Arc::clone(&old.cluster), clock);
        self.proxies[number].drift_ppm = drift;
        if has_sessions {
            self.proxies[number].begin_session(number);
            // The log learns that, and tells the nodes.
            let late = self.chance.between(TICK, TICK * 40);
            self.plan_in(late, Happening::ProxyGone { proxy: gone });
        }
        self.plan_in(TICK, Happening::ProxyTick { proxy: number, life });
        let open: Vec<OpId> = {
            let ours =
                |op: &&crate::clients::Op| op.answered.is_none() && self.clients[op.client].proxy == number;
            self.book.ops.iter().filter(ours).map(|op| op.id).collect()
        };
        for op in open {
            let may_have_run = self.book.op(op).was_sent && self.book.op(op).call.is_write();
            self.answer(op, if may_have_run { Answer::Indeterminate } else { Answer::TryAgain });
        }
    }

    pub fn proxy_is_gone(&mut self, proxy: Incarnation) {
        for node in 0..self.nodes.len() {
            self.tell_keys(node, KeysIn::ProxyGone(proxy));
        }
    }
}
