//! A proxy: it watches nodes, leads or does not, and carries its clients' requests to the primary.
//!
//! Here is what it sees of nodes and proxies; its clients' requests are in [`data`].

mod data;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use slotway_cluster::{
    Cluster, Incarnation, NodeId, ProxyId,
    failover::{self, Failover},
    health::{Jury, Opinion, PING_EVERY, RENEW_EVERY, Sight, Watch},
    mutants::{Mutant, left_out},
    pulse::wire::{FromNode, ToNode},
    session::{Sender, SessionId},
};

use crate::{
    clients::OpId,
    group::SHARD,
    net::End,
    world::{Happening, World},
};

use data::DataLink;

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
    /// Never sent, or to be sent again.
    pub held: VecDeque<OpId>,
    /// What was sent, if this proxy says SESSION.
    sender: Option<Sender<OpId>>,
    wants_version: u64,
    retry_at: Duration,
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
            sender: None,
            wants_version: 0,
            retry_at: Duration::ZERO,
        };
        proxy.watch_nodes(clock);
        proxy.failover.on(failover::Event::Applied(&cluster), clock);
        proxy
    }

    /// Every life begins sessions of its own.
    pub fn begin_session(&mut self, number: usize) {
        let proxy = self.session_life(number);
        self.sender = Some(Sender::new(SessionId { proxy, link: 1 }));
    }

    fn session_life(&self, number: usize) -> Incarnation {
        let life = if left_out(Mutant::ProxyGoesOn) { 1 } else { u64::from(self.life) };
        Incarnation((u64::try_from(number).unwrap_or(0) << 32) | life)
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
}
