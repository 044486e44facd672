//! A proxy: it watches nodes, leads or does not, and carries its clients' requests to the primary.
//!
//! The data path is a small model of the real one: requests go to the primary of the topology that the proxy knows, on a link that says
//! which that is; they are held while there is none. What was never sent, and reads, are sent again; a write whose link
//! broke is answered `-INDETERMINATE`. Whoever is told `-STALE` waits for the topology and tries again.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use slotway_cluster::{
    Cluster, Epoch, NodeId, ProxyId,
    failover::{self, Failover},
    health::{Jury, Opinion, PING_EVERY, RENEW_EVERY, Sight, Watch},
    pulse::wire::{FromNode, ToNode},
};

use crate::{
    clients::{Answer, Call, OpId},
    group::SHARD,
    net::{ConnId, End, Side, Word},
    stream::{COUNTERS, REGISTERS},
    tell,
    world::{Happening, World},
};

pub type Opinions = Vec<(NodeId, Opinion)>;

/// How often a proxy looks after its nodes.
const TICK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Proxy {
    pub id: ProxyId,
    pub life: u32,
    pub cluster: Arc<Cluster>,
    pub watch: Watch,
    pub jury: Jury,
    pub failover: Failover,
    pub leads: bool,
    pub drift_ppm: i64,
    pinged: Duration,
    renewed: Duration,
    seq: u64,
    data: Option<DataLink>,
    pub held: VecDeque<OpId>,
    wants_version: u64,
    retry_at: Duration,
}

/// The link to the primary of an epoch.
#[derive(Debug)]
struct DataLink {
    conn: ConnId,
    node: NodeId,
    epoch: Epoch,
    state: LinkState,
    in_flight: VecDeque<OpId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkState {
    Greeting,
    Open,
    /// It said `-STALE`: nothing more is sent.
    Leaving,
}

impl Proxy {
    pub fn new(number: usize, life: u32, cluster: Arc<Cluster>, clock: Duration) -> Proxy {
        let mut proxy = Proxy {
            id: ProxyId(format!("p{}", number + 1)),
            life,
            cluster: Arc::clone(&cluster),
            watch: Watch::new(clock),
            jury: Jury::default(),
            failover: Failover::new(SHARD),
            leads: false,
            drift_ppm: 0,
            pinged: Duration::ZERO,
            renewed: Duration::ZERO,
            seq: 0,
            data: None,
            held: VecDeque::new(),
            wants_version: 0,
            retry_at: Duration::ZERO,
        };
        proxy.watch_nodes(clock);
        proxy.failover.on(failover::Event::Applied(&cluster), clock);
        proxy
    }

    /// For who wonders why it serves nobody.
    pub fn describe(&self) -> String {
        let Proxy { id, data, held, wants_version, cluster, .. } = self;
        format!("{id}: knows {}, wants {wants_version}, holds {}, link {data:?}", cluster.index, held.len())
    }

    /// Those of the log, each in the life that it knows.
    pub fn watch_nodes(&mut self, clock: Duration) {
        let rule = self.cluster.shards.get(&SHARD).map(|shard| &shard.rule);
        let nodes = self.cluster.nodes.iter().map(|(node, fact)| {
            let primary = rule.map(|rule| &rule.primary).filter(|primary| primary.node == *node);
            (node, primary.map(|primary| primary.incarnation).or(fact.incarnation))
        });
        self.watch.set_nodes(nodes, clock);
    }
}

impl World {
    pub fn proxy_clock(&self, proxy: usize) -> Duration {
        let micros = i64::try_from(self.now.as_micros()).unwrap_or(i64::MAX);
        let drift = micros / 1000 * self.proxies[proxy].drift_ppm / 1000;
        Duration::from_secs(500) + Duration::from_micros(u64::try_from(micros + drift).unwrap_or(0))
    }

    // --- health ------------------------------------------------------------------------------------------------------

    pub fn proxy_tick(&mut self, number: usize, life: u32) {
        if self.proxies[number].life != life {
            return;
        }
        self.plan_in(TICK, Happening::ProxyTick { proxy: number, life });
        let clock = self.proxy_clock(number);
        let proxy = &mut self.proxies[number];
        let mut opinions = proxy.watch.tick(clock);
        let is_behind = proxy.cluster.index < self.group.latest().index;
        if clock >= proxy.renewed + RENEW_EVERY {
            proxy.renewed = clock;
            opinions = proxy.watch.opinions();
        }
        if clock >= proxy.pinged + PING_EVERY {
            proxy.pinged = clock;
            for node in 0..self.nodes.len() {
                self.ping(number, node);
            }
        }
        self.tell_opinions(number, opinions);
        if is_behind {
            self.plan_in(self.plan.learn_max, Happening::Learn { proxy: number, life });
        }
        self.judge_primary(number);
        self.pump(number, life);
    }

    pub fn ping(&mut self, number: usize, node: usize) {
        let proxy = &mut self.proxies[number];
        proxy.seq += 1;
        let (seq, id) = (proxy.seq, proxy.id.clone());
        self.say_to_pulse(End::Proxy(number), node, ToNode::Ping { seq, proxy: id });
    }

    /// As the leader: what the jury thinks of the primary.
    fn judge_primary(&mut self, number: usize) {
        let clock = self.proxy_clock(number);
        let voters: Vec<ProxyId> = self.proxies.iter().map(|proxy| proxy.id.clone()).collect();
        let proxy = &mut self.proxies[number];
        let mut effects = Vec::new();
        if let Some(shard) = proxy.cluster.shards.get(&SHARD) {
            let node = shard.rule.primary.node.clone();
            let verdict = proxy.jury.verdict(&node, &proxy.cluster, &voters, clock);
            effects = proxy.failover.on(failover::Event::Verdict { node: &node, verdict: &verdict }, clock);
        }
        effects.extend(proxy.failover.tick(clock));
        self.lead(number, effects);
    }

    fn tell_opinions(&mut self, from: usize, opinions: Opinions) {
        if opinions.is_empty() {
            return;
        }
        for to in 0..self.proxies.len() {
            if to == from {
                self.hear_opinions(from, to, opinions.clone());
            } else {
                let (delay, opinions) = (self.delay(), opinions.clone());
                self.plan_in(delay, Happening::Opinions { from, to, opinions });
            }
        }
    }

    pub fn hear_opinions(&mut self, from: usize, to: usize, opinions: Opinions) {
        if from != to && !self.net.reaches(End::Proxy(from), End::Proxy(to)) {
            return;
        }
        let clock = self.proxy_clock(to);
        let voter = self.proxies[from].id.clone();
        for (node, opinion) in opinions {
            self.proxies[to].jury.opinion(&voter, &node, opinion, clock);
        }
    }

    pub fn proxy_refused(&mut self, number: usize, life: u32, node: usize) {
        if self.proxies[number].life == life {
            self.see(number, node, Sight::Broken);
        }
    }

    fn see(&mut self, number: usize, node: usize, sight: Sight<'_>) {
        let clock = self.proxy_clock(number);
        let id = self.nodes[node].id.clone();
        if let Some(opinion) = self.proxies[number].watch.see(&id, sight, clock) {
            self.tell_opinions(number, vec![(id, opinion)]);
        }
    }

    pub fn proxy_hears_pulse(&mut self, number: usize, node: usize, life: u32, word: &FromNode) {
        // A connection to an earlier process was closed before one to the present one was opened.
        if self.nodes[node].life != life {
            return;
        }
        let clock = self.proxy_clock(number);
        let id = self.nodes[node].id.clone();
        if let FromNode::Pong { status, .. } = word {
            self.see(number, node, Sight::Pong(status));
            self.proxies[number].jury.status(&id, status, clock);
        }
        let effects = self.proxies[number].failover.on(failover::Event::Word { node: &id, word }, clock);
        self.lead(number, effects);
    }

    // --- clients -----------------------------------------------------------------------------------------------------

    /// A client thinks of a request.
    pub fn ask(&mut self, client: usize) {
        let kind = self.chance.below(100);
        let (counter, register) = (*self.chance.pick(&COUNTERS), *self.chance.pick(&REGISTERS));
        let now = self.now;
        let op = self.book.invoke(client, now, |id| match kind {
            0..30 => Call::Incr(counter),
            30..45 => Call::Get(counter),
            45..60 => Call::Set(register, u64::from(id.0) + 1),
            60..75 => Call::Get(register),
            75..88 => Call::IncrPair,
            _ => Call::GetPair,
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
        if let (Call::IncrPair | Call::GetPair, Answer::Values(values)) = (self.book.op(op).call, &answer)
            && values[0] != values[1]
        {
            self.break_rule("I3", format!("{op:?} saw half of a transaction: {values:?}"));
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
        let may_have_run = found.was_sent && found.call.is_write();
        let proxy = &mut self.proxies[proxy];
        proxy.held.retain(|held| *held != op);
        if let Some(link) = &mut proxy.data {
            link.in_flight.retain(|flying| *flying != op);
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
        let proxy = &mut self.proxies[number];
        if proxy.held.is_empty() {
            return;
        }
        match &mut proxy.data {
            None if now >= proxy.retry_at && version >= proxy.wants_version => {
                self.connect(number, &primary, epoch, version);
            }
            Some(link) if link.state == LinkState::Open => {
                let conn = link.conn;
                let held = std::mem::take(&mut proxy.held);
                link.in_flight.extend(held.iter().copied());
                for op in held {
                    self.book.op_mut(op).was_sent = true;
                    self.send(conn, Side::Callee, Word::Request(op));
                }
            }
            None | Some(_) => {}
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
        self.send(conn, Side::Callee, Word::Link { epoch, version });
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
        let Some(link) = self.proxies[number].data.as_mut().filter(|link| link.conn == conn) else { return };
        match word {
            Word::Linked => {
                link.state = LinkState::Open;
                self.pump(number, life);
            }
            Word::Reply(op, answer) => {
                let before = link.in_flight.len();
                link.in_flight.retain(|flying| *flying != op);
                if link.in_flight.len() < before {
                    self.answer(op, answer);
                }
                self.leave_if_done(number);
            }
            Word::Stale { op, version, .. } => {
                link.state = LinkState::Leaving;
                if let Some(op) = op.filter(|op| link.in_flight.contains(op)) {
                    link.in_flight.retain(|flying| *flying != op);
                    self.book.op_mut(op).was_sent = false;
                    let held = &mut self.proxies[number].held;
                    let at = held.partition_point(|other| *other < op);
                    held.insert(at, op);
                }
                let proxy = &mut self.proxies[number];
                proxy.wants_version = proxy.wants_version.max(version);
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
            | Word::Request(_) => {}
        }
    }

    fn leave_if_done(&mut self, number: usize) {
        let link = self.proxies[number].data.as_ref();
        if link.is_some_and(|link| link.state == LinkState::Leaving && link.in_flight.is_empty()) {
            self.abandon(number);
        }
    }

    /// The link is over: reads are sent again, writes may have run.
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
        self.proxies[number] = Proxy::new(number, life, Arc::clone(&old.cluster), clock);
        self.proxies[number].drift_ppm = drift;
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
}
