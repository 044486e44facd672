//! The cluster itself, its nodes and its proxies.

use super::{Judged, Judgement, bounded, invalid};
use crate::{
    Placement,
    control::{
        entry::Refused,
        state::{Cluster, Durability, NodeFact, ProxyFact, REMOVED_KEPT},
    },
    ids::{NodeId, ProxyId},
    shard::{Incarnation, Member, Rule},
};

impl Cluster {
    pub(super) fn create(
        &mut self,
        cluster_id: &str,
        placement: &Placement,
        durability: Durability,
    ) -> Judgement {
        if cluster_id.len() != 40 || !cluster_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid("a cluster id is 40 hexadecimal digits"));
        }
        if self.cluster_id == cluster_id {
            return Ok(Judged::Again);
        }
        if !self.cluster_id.is_empty() {
            return Err(invalid(format!("this is cluster {}", self.cluster_id)));
        }
        cluster_id.clone_into(&mut self.cluster_id);
        self.placement = placement.clone();
        self.durability = durability;
        Ok(Judged::Changed)
    }

    /// What a repeated entry leaves out (it did not know it) is kept.
    pub(super) fn add_node(&mut self, node: &NodeId, fact: &NodeFact) -> Judgement {
        let addresses = [Some(&fact.addr), fact.pulse_addr.as_ref(), fact.admin_addr.as_ref()];
        bounded([node.0.as_str()].into_iter().chain(addresses.into_iter().flatten().map(String::as_str)))?;
        if node.0.is_empty() || fact.addr.is_empty() || fact.shard.0 == 0 {
            return Err(invalid("a node has a name, an address and a shard from 1 on"));
        }
        if self.removed.contains(node) {
            return Err(invalid(format!(
                "node {node} was removed for good: what comes back has another name"
            )));
        }
        if let Some((other, _)) = self.nodes.iter().find(|(id, one)| *id != node && one.addr == fact.addr) {
            return Err(invalid(format!("address {} belongs to node {other}", fact.addr)));
        }
        let mut fact = fact.clone();
        if let Some(known) = self.nodes.get(node) {
            if known.shard != fact.shard {
                return Err(invalid(format!("node {node} belongs to shard {}", known.shard)));
            }
            // Two who add a node at the same time may give it the same name: only one of them gets it.
            let is_another = known.incarnation.is_some() && fact.incarnation != known.incarnation;
            if let (true, true, Some(said)) = (known.addr != fact.addr, is_another, fact.incarnation) {
                return Err(Refused::OtherLife(Member::new(node, said)));
            }
            // In which life it is, the pulse says (NodeStarted): a late introduction may tell of one that is over.
            fact.incarnation = known.incarnation.or(fact.incarnation);
            if known.addr == fact.addr {
                fact.pulse_addr = fact.pulse_addr.or_else(|| known.pulse_addr.clone());
                fact.admin_addr = fact.admin_addr.or_else(|| known.admin_addr.clone());
            }
            if *known == fact {
                return Ok(Judged::Again);
            }
        } else if self.shards.contains_key(&fact.shard) {
            self.newcomers.insert(node.clone());
        }
        self.nodes.insert(node.clone(), fact);
        Ok(Judged::Changed)
    }

    /// A kept rule asks its members for their promise: one that is pinged no more could never give it. So who stands in a rule is only
    /// marked, and goes when none names it any more ([`Cluster::let_go`]).
    pub(super) fn remove_node(&mut self, node: &NodeId) -> Judgement {
        let Some(fact) = self.nodes.get(node) else { return Ok(Judged::Again) };
        if self.leaving.contains(node) {
            return Ok(Judged::Again);
        }
        if let Some(state) = self.shards.get(&fact.shard) {
            if state.rule.primary.node == *node {
                return Err(invalid(format!("node {node} is the primary of shard {}", fact.shard)));
            }
            let stays = |member: &&Member| member.node != *node && !self.leaving.contains(&member.node);
            let copies = 1 + state.rule.sync.iter().filter(stays).count();
            let needed = state.copies_needed(self.nodes_of(fact.shard));
            let is_copy = state.rule.sync.iter().any(|member| member.node == *node);
            if is_copy && copies < needed {
                return Err(invalid(format!(
                    "without node {node} shard {} would have {copies} copies, and {needed} are needed",
                    fact.shard
                )));
            }
        }
        self.leaving.insert(node.clone());
        Ok(Judged::Changed)
    }

    /// Who is leaving goes as soon as no rule names it, and stays if it leads by now: it held most.
    pub(super) fn let_go(&mut self) {
        let leaving = std::mem::take(&mut self.leaving);
        for node in leaving {
            let Some(fact) = self.nodes.get(&node) else { continue };
            let state = self.shards.get(&fact.shard);
            let names = |rule: &Rule| rule.members().any(|member| member.node == node);
            if state.is_some_and(|state| state.rule.primary.node == node) {
                continue;
            }
            if state.is_some_and(|state| names(&state.rule) || state.kept.iter().any(names)) {
                self.leaving.insert(node);
                continue;
            }
            self.nodes.remove(&node);
            self.forget_name(node);
        }
    }

    /// Whoever a rule names is a newcomer no more, for good.
    pub(super) fn welcome(&mut self) {
        let (nodes, shards) = (&self.nodes, &self.shards);
        self.newcomers.retain(|node| {
            let Some(fact) = nodes.get(node) else { return false };
            let rule = shards.get(&fact.shard).map(|state| &state.rule);
            !rule.is_some_and(|rule| rule.members().any(|member| member.node == *node))
        });
    }

    /// A name that is not given again, as far as that is remembered.
    pub(super) fn forget_name(&mut self, node: NodeId) {
        if self.removed.len() >= REMOVED_KEPT {
            self.removed.remove(0);
        }
        self.removed.push(node);
    }

    pub(super) fn node_started(
        &mut self,
        node: &NodeId,
        before: Option<Incarnation>,
        incarnation: Incarnation,
    ) -> Judgement {
        let fact = self.nodes.get_mut(node).ok_or_else(|| Refused::UnknownNode(node.clone()))?;
        if fact.incarnation != Some(incarnation) && fact.incarnation != before {
            return Err(Refused::OtherLife(Member::new(node, incarnation)));
        }
        Ok(set(&mut fact.incarnation, Some(incarnation)))
    }

    pub(super) fn add_proxy(&mut self, proxy: &ProxyId, fact: &ProxyFact) -> Judgement {
        let ProxyFact { addr, control_addr, admin_addr, sentinel_addr } = fact;
        let given = [Some(addr), Some(control_addr), admin_addr.as_ref(), sentinel_addr.as_ref()];
        bounded([proxy.0.as_str()].into_iter().chain(given.into_iter().flatten().map(String::as_str)))?;
        if proxy.0.is_empty() || addr.is_empty() {
            return Err(invalid("a proxy has a name and an address"));
        }
        let same_control = |one: &ProxyFact| one.control_addr == *control_addr && !control_addr.is_empty();
        if let Some((other, _)) = self.proxies.iter().find(|(id, one)| *id != proxy && same_control(one)) {
            return Err(invalid(format!("control address {control_addr} belongs to proxy {other}")));
        }
        match self.proxies.insert(proxy.clone(), fact.clone()) {
            Some(known) if known == *fact => Ok(Judged::Again),
            _ => Ok(Judged::Changed),
        }
    }
}

/// Whether something was there to be removed.
pub(super) fn removed<T>(taken: Option<T>) -> Judged {
    taken.map_or(Judged::Again, |_| Judged::Changed)
}

/// Gives `place` another value, if it is another.
pub(super) fn set<T: PartialEq>(place: &mut T, value: T) -> Judged {
    if *place == value {
        return Judged::Again;
    }
    *place = value;
    Judged::Changed
}
