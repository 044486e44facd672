//! Shards, and what their primaries say of them within an epoch: the sync set, and the end of a clean stop.

use super::{Judged, Judgement, invalid, node_twice, set};
use crate::{
    SlotRange,
    control::{
        entry::Refused,
        state::{Cluster, ShardState},
    },
    ids::{Epoch, NodeId, ShardId},
    shard::{Member, Position, Rule},
};

impl Cluster {
    pub(super) fn add_shard(&mut self, shard: ShardId, primary: &Member, slots: &[SlotRange]) -> Judgement {
        if let Some(known) = self.shards.get(&shard) {
            return match known.slots == slots && self.nodes.contains_key(&primary.node) {
                true => Ok(Judged::Again),
                false => Err(invalid(format!("shard {shard} exists"))),
            };
        }
        self.living_node_of(shard, primary)?;
        let taken = self.shards.iter().map(|(other, state)| (*other, state.slots.as_slice()));
        if let Some((one, other)) = overlap(taken.chain([(shard, slots)])) {
            return Err(invalid(format!("shards {one} and {other} would both hold a slot")));
        }
        let state = ShardState {
            epoch: Epoch(1),
            version: 1,
            rule: Rule::new(primary.clone(), Vec::new()),
            kept: Vec::new(),
            activated: false,
            pending: None,
            slots: slots.to_vec(),
            min_copies: None,
            clean_stop: None,
        };
        self.shards.insert(shard, state);
        Ok(Judged::Changed)
    }

    pub(super) fn remove_shard(&mut self, shard: ShardId) -> Judgement {
        match self.shards.get(&shard) {
            None => Ok(Judged::Again),
            Some(state) if !state.slots.is_empty() => Err(invalid(format!("shard {shard} holds slots"))),
            Some(_) => {
                self.shards.remove(&shard);
                let its = self.nodes.extract_if(.., |_, fact| fact.shard == shard);
                let its: Vec<NodeId> = its.map(|(node, _)| node).collect();
                its.into_iter().for_each(|node| self.forget_name(node));
                Ok(Judged::Changed)
            }
        }
    }

    pub(super) fn set_min_copies(&mut self, shard: ShardId, copies: Option<usize>) -> Judgement {
        let state = self.shard_mut(shard)?;
        if copies == Some(0) {
            return Err(invalid("a write needs at least one copy: the primary's own"));
        }
        Ok(set(&mut state.min_copies, copies))
    }

    pub(super) fn change_sync(&mut self, shard: ShardId, seen: (Epoch, u64), sync: &[Member]) -> Judgement {
        let state = self.shard_ref(shard)?;
        let rule = Rule::new(state.rule.primary.clone(), sync.to_vec());
        let (epoch, version) = seen;
        if (state.epoch, state.version) == (epoch, version.saturating_add(1)) && state.rule == rule {
            return Ok(Judged::Again);
        }
        state.expect(seen)?;
        let verdict = self.judge_sync(shard, state, &rule, sync);
        let state = self.shard_mut(shard)?;
        state.version += 1;
        if let Err(why) = verdict {
            return Ok(Judged::Declined(why));
        }
        state.rule = rule;
        state.clean_stop = None;
        Ok(Judged::Changed)
    }

    fn judge_sync(
        &self,
        shard: ShardId,
        state: &ShardState,
        rule: &Rule,
        sync: &[Member],
    ) -> Result<(), Refused> {
        for member in sync {
            self.living_node_of(shard, member)?;
        }
        if let Some(node) = node_twice([&rule.primary].into_iter().chain(sync)) {
            return Err(invalid(format!("node {node} stands twice in the rule")));
        }
        // Fewer than that may be what is left, and then more of them is better than nothing.
        let (copies, needed) = (sync.len() + 1, state.copies_needed(self.nodes_of(shard)));
        if copies < needed && sync.len() < state.rule.sync.len() {
            return Err(invalid(format!("{copies} copies are fewer than the {needed} that are needed")));
        }
        Ok(())
    }

    /// The version stays: what raises it lets a stopped primary go on.
    pub(super) fn clean_stop(&mut self, shard: ShardId, seen: (Epoch, u64), position: Position) -> Judgement {
        let state = self.shard_mut(shard)?;
        state.expect(seen)?;
        if position.epoch != state.epoch {
            return Err(invalid(format!("a stop at {position}, which is not of epoch {}", state.epoch)));
        }
        match state.clean_stop {
            Some(known) if known != position => Err(invalid(format!("it has stopped at {known}"))),
            _ => Ok(set(&mut state.clean_stop, Some(position))),
        }
    }
}

/// Two shards that hold one slot (or one that holds it twice).
pub(in crate::control) fn overlap<'s>(
    shards: impl Iterator<Item = (ShardId, &'s [SlotRange])>,
) -> Option<(ShardId, ShardId)> {
    let mut ranges: Vec<(SlotRange, ShardId)> =
        shards.flat_map(|(shard, ranges)| ranges.iter().map(move |range| (*range, shard))).collect();
    ranges.sort();
    let clash = ranges.windows(2).find(|pair| pair[1].0.first() <= pair[0].0.last())?;
    Some((clash[0].1, clash[1].1))
}
