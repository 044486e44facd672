//! The control group: a log that is totally ordered, and that every proxy learns at its own time.
//!
//! How a log comes to be totally ordered is openraft's business. Here a proposal arrives at the log after a while, or never; it is judged by the
//! real [`Cluster::apply`]; and proxies learn what has been decided late, or several entries at once. More than one may believe
//! that it leads: whatever a leader does must be safe when another does it, too.

use std::{sync::Arc, time::Duration};

use slotway_cluster::{
    Cluster, Entry, Incarnation, Member, ShardId,
    control::{Durability, NodeFact, Outcome, ProxyFact},
    failover::{self, Effect},
    slot::Placement,
};

use crate::{
    net::End,
    tell,
    world::{Happening, World},
};

/// There is one shard; it holds all slots.
pub const SHARD: ShardId = ShardId(1);

#[derive(Debug, Default)]
pub struct Group {
    /// After each entry; never empty once the run has begun.
    latest: Arc<Cluster>,
    pub entries: u64,
}

impl Group {
    pub fn latest(&self) -> &Arc<Cluster> {
        &self.latest
    }
}

impl World {
    /// What a cluster's log begins with.
    pub fn found(&mut self, primary: Member) {
        let cluster_id = "5107".repeat(10);
        let (placement, durability) = (Placement::default(), Durability::Quorum);
        let mut entries = vec![Entry::Create { cluster_id, placement, durability }];
        for (number, node) in self.nodes.iter().enumerate() {
            let incarnation: Option<Incarnation> = node.process.as_ref().map(|process| process.incarnation);
            let fact = NodeFact {
                shard: SHARD,
                addr: format!("node:{number}"),
                pulse_addr: Some(format!("pulse:{number}")),
                admin_addr: None,
                incarnation,
            };
            entries.push(Entry::AddNode { node: node.id.clone(), fact });
        }
        for (number, proxy) in self.proxies.iter().enumerate() {
            let fact = ProxyFact {
                addr: format!("proxy:{number}"),
                control_addr: format!("control:{number}"),
                admin_addr: None,
                sentinel_addr: None,
            };
            entries.push(Entry::AddProxy { proxy: proxy.id.clone(), fact });
        }
        let slots = vec!["0-16383".parse().expect("a range of slots")];
        entries.push(Entry::AddShard { shard: SHARD, primary, slots });
        entries.into_iter().for_each(|entry| self.commit(entry));
    }

    /// A proxy proposes: it arrives soon, or late, or never.
    pub fn propose(&mut self, proxy: usize, entry: Entry) {
        let delay = self.delay() + self.chance.between(Duration::ZERO, self.plan.commit_max);
        if self.net.reaches(End::Proxy(proxy), End::Group) {
            self.plan_in(delay, Happening::Commit { entry });
        } else if self.chance.per_mille(300) {
            let late = self.chance.between(Duration::ZERO, Duration::from_secs(2));
            self.plan_in(late, Happening::Commit { entry });
        }
    }

    pub fn commit(&mut self, entry: Entry) {
        let mut cluster = (**self.group.latest()).clone();
        self.group.entries += 1;
        let outcome = cluster.apply(self.group.entries, &entry);
        tell!(self, "log {}: {entry:?}: {outcome:?}", self.group.entries);
        if let Err(why) = cluster.validate() {
            self.break_rule("the log", why.to_string());
        }
        let before = std::mem::replace(&mut self.group.latest, Arc::new(cluster));
        if outcome == Outcome::Done {
            self.judge_entry(&before, &entry);
        }
        for proxy in 0..self.proxies.len() {
            let late = self.chance.between(Duration::ZERO, self.plan.learn_max);
            let life = self.proxies[proxy].life;
            self.plan_in(late, Happening::Learn { proxy, life });
        }
    }

    /// A proxy learns the log as far as it goes now.
    pub fn learn(&mut self, proxy: usize, life: u32) {
        let reached = self.net.reaches(End::Group, End::Proxy(proxy));
        let latest = Arc::clone(self.group.latest());
        let clock = self.proxy_clock(proxy);
        let known = &mut self.proxies[proxy];
        if !reached || known.life != life || known.cluster.index >= latest.index {
            return;
        }
        known.cluster = Arc::clone(&latest);
        known.watch_nodes(clock);
        let effects = known.failover.on(failover::Event::Applied(&latest), clock);
        self.lead(proxy, effects);
        self.pump(proxy, life);
    }

    /// Who believes to lead, from now on.
    pub fn set_leads(&mut self, proxy: usize, leads: bool) {
        if self.proxies[proxy].leads == leads {
            return;
        }
        tell!(self, "p{} {}", proxy + 1, if leads { "leads" } else { "leads no longer" });
        let clock = self.proxy_clock(proxy);
        let known = &mut self.proxies[proxy];
        known.leads = leads;
        let event = if leads { failover::Event::Leads } else { failover::Event::Rests };
        let effects = known.failover.on(event, clock);
        self.lead(proxy, effects);
    }

    /// Does what the leader's machine wants.
    pub fn lead(&mut self, proxy: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Propose(entry) => self.propose(proxy, entry),
                Effect::Send { node, word } => {
                    if let Some(node) = self.nodes.iter().position(|one| one.id == node) {
                        self.say_to_pulse(End::Proxy(proxy), node, word);
                    }
                }
                Effect::Ask { node } => {
                    if let Some(node) = self.nodes.iter().position(|one| one.id == node) {
                        self.ping(proxy, node);
                    }
                }
                Effect::Note(note) => {
                    tell!(self, "p{}: {note:?}", proxy + 1);
                }
            }
        }
    }
}
