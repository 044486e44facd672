//! What no sequence of entries may break.

use std::fmt;

use super::{
    apply::{node_twice, overlap},
    state::{Cluster, ShardState},
};
use crate::{
    ids::{Epoch, NodeId, ShardId},
    shard::{Rule, majority},
};

/// What a state says against itself. It was not made by applying a log, or a rule of applying is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction(pub String);

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Contradiction {}

impl Cluster {
    pub fn validate(&self) -> Result<(), Contradiction> {
        let is_empty = self.nodes.is_empty() && self.shards.is_empty() && self.proxies.is_empty();
        check(!self.cluster_id.is_empty() || is_empty, || "members without a cluster".into())?;
        let mut addresses: Vec<&str> = self.nodes.values().map(|fact| fact.addr.as_str()).collect();
        addresses.sort_unstable();
        check(addresses.windows(2).all(|pair| pair[0] != pair[1]), || "two nodes have one address".into())?;
        check(self.leaving.iter().all(|node| self.nodes.contains_key(node)), || {
            "a node leaves that is none".into()
        })?;
        check(self.newcomers.iter().all(|node| self.nodes.contains_key(node)), || {
            "a newcomer that is no node".into()
        })?;
        check(!self.removed.iter().any(|node| self.nodes.contains_key(node)), || {
            "a node that was removed is one".into()
        })?;
        let slots = self.shards.iter().map(|(id, state)| (*id, state.slots.as_slice()));
        if let Some((one, other)) = overlap(slots) {
            return Err(Contradiction(format!("shards {one} and {other} hold one slot")));
        }
        self.shards.iter().try_for_each(|(id, state)| self.validate_shard(*id, state))
    }

    fn validate_shard(&self, id: ShardId, state: &ShardState) -> Result<(), Contradiction> {
        let says = |what: &str| format!("shard {id}: {what}");
        check(state.epoch >= Epoch(1) && state.version >= 1, || says("epoch or version 0"))?;
        check(state.pending.is_none_or(|next| next == state.epoch.next()), || {
            says("what is pending is not the next epoch")
        })?;
        check(!state.activated || state.kept.is_empty(), || says("activated, and keeps rules"))?;
        check(state.clean_stop.is_none_or(|stop| stop.epoch == state.epoch), || {
            says("the clean stop of another epoch")
        })?;
        check(state.min_copies != Some(0), || says("no copies needed"))?;
        for rule in [&state.rule].into_iter().chain(&state.kept) {
            let is_node = |node: &NodeId| self.nodes.get(node).is_some_and(|fact| fact.shard == id);
            check(rule.members().all(|member| is_node(&member.node)), || {
                says("a member that is no node of it")
            })?;
            check(is_well_formed(rule), || says("a rule that is not one"))?;
        }
        Ok(())
    }
}

fn is_well_formed(rule: &Rule) -> bool {
    rule.sync.is_sorted()
        && node_twice(rule.members()).is_none()
        && rule.acks_needed == majority(rule.sync.len())
}

fn check(holds: bool, says: impl FnOnce() -> String) -> Result<(), Contradiction> {
    if holds { Ok(()) } else { Err(Contradiction(says())) }
}
