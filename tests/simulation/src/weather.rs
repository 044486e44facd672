//! What goes wrong: faults, how often each, for how long; and how everything heals in the end.

use std::time::Duration;

use slotway_cluster::{failover, pulse::wire::Part};

use crate::{
    group::SHARD,
    net::{ConnId, End},
    stream::{KEYS, Key},
    tell,
    world::{Happening, World},
};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Crash(usize),
    Pause(usize),
    Busy(usize),
    /// Nothing arrives from the first at the second.
    OneWay(End, End),
    /// A node is cut off from everybody but other nodes ...
    FromProxies(usize),
    /// ... from other nodes, ...
    FromNodes(usize),
    /// ... or from everybody but one proxy, which learns nothing any more.
    WithProxy(usize, usize),
    /// ... or from every proxy but one, which learns nothing any more, while other nodes still hear it.
    StaleProxy(usize, usize),
    ProxyFromGroup(usize),
    BreakConn,
    /// Of a replica to its primary.
    BreakReplica(usize),
    ProxyRestart(usize),
    OtherLeader(usize),
    TwoLeaders(usize),
    Switchover(usize),
    /// An operator has the primary replaced, which may be well.
    Failover,
    /// A primary dies, and soon its successor.
    CrashInARow,
    /// Nobody decides anything.
    NoGroup,
    /// Requests on one key wait at a node, and others go on, as while a slot is handed over.
    HoldKey(usize, Key),
}

/// One of each kind, to draw from; whom it strikes is drawn then.
pub const FAULTS: &[Fault] = &[
    Fault::Crash(0),
    Fault::Pause(0),
    Fault::Busy(0),
    Fault::OneWay(End::Group, End::Group),
    Fault::FromProxies(0),
    Fault::FromNodes(0),
    Fault::WithProxy(0, 0),
    Fault::StaleProxy(0, 0),
    Fault::ProxyFromGroup(0),
    Fault::BreakConn,
    Fault::BreakReplica(0),
    Fault::ProxyRestart(0),
    Fault::OtherLeader(0),
    Fault::TwoLeaders(0),
    Fault::Switchover(0),
    Fault::Failover,
    Fault::CrashInARow,
    Fault::NoGroup,
    Fault::HoldKey(0, 0),
];

impl World {
    /// The next fault, unless the storm is over.
    pub fn change_weather(&mut self) {
        if self.healed_at.is_some() {
            return;
        }
        let every = self.plan.fault_every;
        let wait = self.chance.between(every / 4, every * 2);
        self.plan_in(wait, Happening::Weather);
        let weights = self.plan.weights.clone();
        let Some(kind) = self.chance.weighted(weights.iter().copied()) else { return };
        let fault = self.aim(FAULTS[kind]);
        let lasts = self.plan.fault_lasts;
        let lasts = self.chance.between(lasts / 5, lasts * 2);
        self.strike(fault, lasts);
    }

    /// Whom it strikes: the primary more often than others.
    fn aim(&mut self, fault: Fault) -> Fault {
        let primary = self.primary().unwrap_or(0);
        let any = self.chance.index(self.nodes.len());
        let node = if self.chance.per_mille(500) { primary } else { any };
        let proxy = self.chance.index(self.proxies.len());
        match fault {
            Fault::Crash(_) => Fault::Crash(node),
            Fault::Pause(_) => Fault::Pause(node),
            Fault::Busy(_) => Fault::Busy(node),
            Fault::OneWay(..) => {
                let others = self.nodes.len() + self.proxies.len();
                let end = |at: usize, nodes: usize| {
                    if at < nodes { End::Node(at) } else { End::Proxy(at - nodes) }
                };
                let other = end(self.chance.index(others), self.nodes.len());
                if other == End::Node(node) {
                    Fault::FromNodes(node)
                } else if self.chance.per_mille(500) {
                    Fault::OneWay(End::Node(node), other)
                } else {
                    Fault::OneWay(other, End::Node(node))
                }
            }
            Fault::FromProxies(_) => Fault::FromProxies(node),
            Fault::FromNodes(_) => Fault::FromNodes(node),
            Fault::WithProxy(..) => Fault::WithProxy(node, proxy),
            Fault::StaleProxy(..) => Fault::StaleProxy(primary, proxy),
            Fault::ProxyFromGroup(_) => Fault::ProxyFromGroup(proxy),
            Fault::BreakReplica(_) => Fault::BreakReplica(any),
            Fault::ProxyRestart(_) => Fault::ProxyRestart(proxy),
            Fault::OtherLeader(_) => Fault::OtherLeader(proxy),
            Fault::TwoLeaders(_) => Fault::TwoLeaders(proxy),
            Fault::Switchover(_) => Fault::Switchover(any),
            Fault::HoldKey(..) => Fault::HoldKey(primary, self.chance.index(KEYS)),
            Fault::BreakConn | Fault::Failover | Fault::CrashInARow | Fault::NoGroup => fault,
        }
    }

    pub fn primary(&self) -> Option<usize> {
        let rule = &self.group.latest().shards.get(&SHARD)?.rule;
        self.nodes.iter().position(|node| node.id == rule.primary.node)
    }

    /// Strikes now, and ends after a while.
    pub fn strike(&mut self, fault: Fault, lasts: Duration) {
        tell!(self, "fault {fault:?} for {lasts:?}");
        match fault {
            Fault::Crash(node) => self.crash_node(node),
            Fault::Pause(node) => self.pause_node(node, lasts),
            Fault::Busy(node) => self.busy_node(node, lasts),
            Fault::BreakConn => self.break_some_conn(None),
            Fault::BreakReplica(node) => self.break_some_conn(Some(End::Node(node))),
            Fault::Failover => self.fail_over(),
            Fault::ProxyRestart(proxy) => self.restart_proxy(proxy),
            Fault::OtherLeader(proxy) => {
                for other in 0..self.proxies.len() {
                    self.set_leads(other, other == proxy);
                }
            }
            Fault::TwoLeaders(proxy) => self.set_leads(proxy, true),
            Fault::Switchover(node) => self.switch_to(node),
            Fault::HoldKey(node, key) => self.hold_key(node, Some(key)),
            Fault::CrashInARow => {
                let Some(primary) = self.primary() else { return };
                self.crash_node(primary);
                let again = self.chance.between(lasts / 4, lasts);
                self.plan_in(again, Happening::Ends { fault: Fault::CrashInARow });
                self.plan_in(lasts * 2, Happening::Ends { fault: Fault::Crash(primary) });
                return;
            }
            Fault::OneWay(..)
            | Fault::FromProxies(_)
            | Fault::FromNodes(_)
            | Fault::WithProxy(..)
            | Fault::StaleProxy(..)
            | Fault::ProxyFromGroup(_)
            | Fault::NoGroup => {
                let cuts = self.cuts(fault);
                self.net.cuts.extend(cuts);
            }
        }
        self.plan_in(lasts, Happening::Ends { fault });
    }

    pub fn end_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Crash(node) => self.start_node(node),
            Fault::Pause(node) => {
                if self.nodes[node].paused_until.is_some_and(|until| until <= self.now) {
                    tell!(self, "n{} goes on", node + 1);
                    self.resume_node(node);
                }
            }
            // Not once everything heals: that ended it, too.
            Fault::CrashInARow => {
                let Some(primary) = self.primary().filter(|_| self.healed_at.is_none()) else { return };
                self.crash_node(primary);
                let back = self.plan.fault_lasts;
                self.plan_in(back, Happening::Ends { fault: Fault::Crash(primary) });
            }
            Fault::TwoLeaders(proxy) => {
                if (0..self.proxies.len()).any(|other| other != proxy && self.proxies[other].leads) {
                    self.set_leads(proxy, false);
                }
            }
            Fault::OneWay(..)
            | Fault::FromProxies(_)
            | Fault::FromNodes(_)
            | Fault::WithProxy(..)
            | Fault::StaleProxy(..)
            | Fault::ProxyFromGroup(_)
            | Fault::NoGroup => {
                tell!(self, "ends {fault:?}");
                for cut in self.cuts(fault) {
                    self.net.cuts.remove(&cut);
                }
                self.flush_ways();
            }
            Fault::HoldKey(node, _) => self.hold_key(node, None),
            Fault::Busy(_)
            | Fault::BreakConn
            | Fault::BreakReplica(_)
            | Fault::ProxyRestart(_)
            | Fault::OtherLeader(_)
            | Fault::Failover
            | Fault::Switchover(_) => {}
        }
    }

    /// Which ways are cut.
    fn cuts(&self, fault: Fault) -> Vec<(End, End)> {
        let both = |one: End, other: End| [(one, other), (other, one)];
        let nodes = (0..self.nodes.len()).map(End::Node);
        let proxies = (0..self.proxies.len()).map(End::Proxy);
        match fault {
            Fault::OneWay(from, to) => vec![(from, to)],
            Fault::FromProxies(node) => proxies.flat_map(|proxy| both(End::Node(node), proxy)).collect(),
            Fault::FromNodes(node) => {
                let others = nodes.filter(|other| *other != End::Node(node));
                others.flat_map(|other| both(End::Node(node), other)).collect()
            }
            Fault::WithProxy(node, proxy) => {
                let ours = [End::Node(node), End::Proxy(proxy)];
                let others = nodes.chain(proxies).filter(|other| !ours.contains(other));
                let ways = others.flat_map(|other| ours.map(|one| both(one, other))).flatten();
                ways.chain(both(End::Proxy(proxy), End::Group)).collect()
            }
            Fault::StaleProxy(node, proxy) => {
                let others: Vec<End> = proxies.filter(|other| *other != End::Proxy(proxy)).collect();
                let of_node = others.iter().flat_map(|&other| both(End::Node(node), other));
                let others = others.iter().chain([&End::Group]);
                of_node.chain(others.flat_map(|&other| both(End::Proxy(proxy), other))).collect()
            }
            Fault::ProxyFromGroup(proxy) => both(End::Proxy(proxy), End::Group).to_vec(),
            Fault::NoGroup => proxies.flat_map(|proxy| both(End::Group, proxy)).collect(),
            Fault::Crash(_)
            | Fault::Pause(_)
            | Fault::Busy(_)
            | Fault::BreakConn
            | Fault::BreakReplica(_)
            | Fault::ProxyRestart(_)
            | Fault::OtherLeader(_)
            | Fault::TwoLeaders(_)
            | Fault::Switchover(_)
            | Fault::Failover
            | Fault::HoldKey(..)
            | Fault::CrashInARow => Vec::new(),
        }
    }

    fn break_some_conn(&mut self, of: Option<End>) {
        let conns = self.net.conns.iter().filter(|(_, conn)| of.is_none_or(|of| conn.caller == of));
        let ids: Vec<ConnId> = conns.map(|(id, _)| *id).collect();
        if !ids.is_empty() {
            let id = *self.chance.pick(&ids);
            self.break_conn(id);
        }
    }

    pub fn fail_over(&mut self) {
        for proxy in 0..self.proxies.len() {
            if self.proxies[proxy].leads {
                let clock = self.proxy_clock(proxy);
                let event = failover::Event::Failover { loss: failover::Loss::Never };
                let effects = self.proxies[proxy].failover.on(event, clock);
                self.lead(proxy, effects);
            }
        }
    }

    /// An operator asks whoever leads.
    pub fn switch_to(&mut self, node: usize) {
        let to = Some(self.nodes[node].id.clone());
        for proxy in 0..self.proxies.len() {
            if self.proxies[proxy].leads {
                let clock = self.proxy_clock(proxy);
                let event = failover::Event::Switchover { to: to.clone() };
                let effects = self.proxies[proxy].failover.on(event, clock);
                self.lead(proxy, effects);
            }
        }
    }

    // --- the end -----------------------------------------------------------------------------------------------------

    /// Everything that was wrong is over; one proxy leads.
    pub fn heal(&mut self) {
        tell!(self, "everything heals");
        self.healed_at = Some(self.now);
        self.net.cuts.clear();
        self.flush_ways();
        (self.plan.loss_per_mille, self.plan.slow_per_mille) = (0, 0);
        self.plan.commit_max = self.plan.commit_max.min(Duration::from_millis(20));
        for node in 0..self.nodes.len() {
            self.start_node(node);
            self.resume_node(node);
            self.hold_key(node, None);
        }
        for proxy in 0..self.proxies.len() {
            self.set_leads(proxy, proxy == 0);
        }
        self.plan_in(Duration::from_millis(500), Happening::Judge);
    }

    /// Whether every proxy's clients are served again; asked again until they must be.
    pub fn judge(&mut self) {
        let Some(healed_at) = self.healed_at else { return };
        let is_served = |proxy: usize| {
            let fresh = self.book.ops.iter().rev().take_while(|op| op.invoked_at >= healed_at);
            fresh.into_iter().any(|op| {
                let answered = matches!(op.answered, Some((_, crate::clients::Answer::Values(_))));
                self.clients[op.client].proxy == proxy && op.call.is_write() && answered
            })
        };
        let proxies: Vec<usize> = self.clients.iter().map(|client| client.proxy).collect();
        if proxies.iter().all(|&proxy| is_served(proxy)) {
            return self.conclude();
        }
        if self.now < healed_at + self.plan.heals_within {
            self.plan_in(Duration::from_millis(250), Happening::Judge);
        } else if self.may_be_blocked() {
            self.witness.blocked = true;
            self.conclude();
        } else {
            let unserved: Vec<&crate::proxy::Proxy> = proxies
                .iter()
                .filter(|&&proxy| !is_served(proxy))
                .map(|&proxy| &self.proxies[proxy])
                .collect();
            let how = unserved.iter().map(|proxy| proxy.describe()).collect::<Vec<_>>().join(", ");
            self.break_rule("healing", format!("no fault is left, and clients are not served by {how}"));
        }
    }

    /// No complete fence set can be had any more: too many lives are over (I4). A promotion is refused then, which is right.
    fn may_be_blocked(&self) -> bool {
        let Some(shard) = self.group.latest().shards.get(&SHARD) else { return false };
        let serves = self.nodes.iter().any(|node| {
            node.process.as_ref().is_some_and(|process| matches!(process.part, Part::Serving { .. }))
        });
        let rules = [&shard.rule].into_iter().chain(&shard.kept);
        !serves && !rules.into_iter().all(|rule| rule.is_fenced_by(|member| self.lives(member)))
    }
}
