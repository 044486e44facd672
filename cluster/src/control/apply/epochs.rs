//! The end of an epoch and the beginning of the next: I1, I4 and the planned switchover.

use super::{Judged, Judgement, bounded, invalid, node_twice, set};
use crate::{
    control::{
        entry::{How, Refused},
        state::{Cluster, ShardState},
    },
    ids::{Epoch, ShardId},
    mutants::{self, Mutant},
    shard::{Member, Position, Rule},
};

impl Cluster {
    /// A clean stop stays known: nothing has begun yet.
    pub(super) fn begin_failover(&mut self, shard: ShardId, epoch: Epoch, why: &str) -> Judgement {
        bounded([why])?;
        let state = self.shard_mut(shard)?;
        if state.epoch != epoch {
            return Err(state.moved());
        }
        Ok(set(&mut state.pending, Some(epoch.next())))
    }

    pub(super) fn promote(
        &mut self,
        shard: ShardId,
        (epoch, version): (Epoch, u64),
        winner: &Member,
        sync: &[Member],
        how: How,
    ) -> Judgement {
        let state = self.shard_ref(shard)?;
        // An epoch has one primary (I1): if it is this one, the entry is known.
        if state.epoch == epoch && state.rule.primary == *winner {
            return Ok(Judged::Again);
        }
        if (state.epoch.next(), state.version) != (epoch, version) {
            return Err(state.moved());
        }
        match (how, state.pending) {
            (How::Failover, None) => return Err(Refused::NotPending),
            (How::Switchover, Some(_)) => return Err(Refused::Pending),
            (How::Failover, Some(_)) | (How::Switchover, None) => {}
        }
        state.judge_winner(winner, how)?;
        self.living_node_of(shard, winner)?;
        let rule = Rule::new(winner.clone(), sync.to_vec());
        state.judge_next_sync(&rule, how)?;
        let state = self.shard_mut(shard)?;
        let replaced = state.begin(rule);
        if !mutants::left_out(Mutant::ForgetKeptRules) && !state.kept.contains(&replaced) {
            state.kept.push(replaced);
        }
        Ok(Judged::Changed)
    }

    pub(super) fn activated(&mut self, shard: ShardId, epoch: Epoch) -> Judgement {
        let state = self.shard_mut(shard)?;
        if state.epoch != epoch {
            return Err(state.moved());
        }
        if state.activated {
            return Ok(Judged::Again);
        }
        state.activated = true;
        state.kept.clear();
        Ok(Judged::Changed)
    }

    /// In the same epoch with a higher version the switchover is off already, whoever called it off.
    pub(super) fn switch_abort(&mut self, shard: ShardId, (epoch, version): (Epoch, u64)) -> Judgement {
        let state = self.shard_mut(shard)?;
        if state.epoch == epoch && state.version > version {
            return Ok(Judged::Again);
        }
        state.expect((epoch, version))?;
        state.version += 1;
        state.clean_stop = None;
        Ok(Judged::Changed)
    }

    /// The rules of before are given up, the kept ones too: whoever accepts the loss waits for nobody.
    pub(super) fn accept_loss(
        &mut self,
        shard: ShardId,
        (epoch, version): (Epoch, u64),
        winner: &Member,
        position: Position,
    ) -> Judgement {
        let state = self.shard_ref(shard)?;
        if state.epoch == epoch && state.rule.primary == *winner {
            return Ok(Judged::Again);
        }
        if (state.epoch.next(), state.version) != (epoch, version) {
            return Err(state.moved());
        }
        // Without one the primary was never fenced: it may serve on, and what it acknowledges would be given up as well.
        if state.pending.is_none() {
            return Err(Refused::NotPending);
        }
        self.living_node_of(shard, winner)?;
        let state = self.shard_mut(shard)?;
        let may_have_lost = state.clean_stop.is_none_or(|stop| position < stop);
        state.begin(Rule::new(winner.clone(), Vec::new()));
        state.kept.clear();
        self.losses_accepted += u64::from(may_have_lost);
        Ok(Judged::Changed)
    }
}

impl ShardState {
    /// Begins the next epoch; returns the rule that was replaced.
    fn begin(&mut self, rule: Rule) -> Rule {
        self.epoch = self.epoch.next();
        self.version += 1;
        self.activated = false;
        self.pending = None;
        self.clean_stop = None;
        std::mem::replace(&mut self.rule, rule)
    }

    /// Everyone whose promise counts.
    fn is_known(&self, member: &Member) -> bool {
        self.rule.has(member) || self.kept.iter().any(|rule| rule.has(member))
    }

    fn judge_winner(&self, winner: &Member, how: How) -> Result<(), Refused> {
        let is_allowed = match how {
            How::Failover => self.is_known(winner),
            How::Switchover => self.rule.has(winner) && !self.rule.primary.is(winner),
        };
        match is_allowed {
            true => Ok(()),
            false => Err(invalid(format!("{winner} is no member of the rules that a promotion goes by"))),
        }
    }

    /// S' holds all of S but the winner: a dead one leaves later, by a primary that knows it to be dead (I5). Beside them it may hold
    /// who else was asked for a promise, first of all the old primary, which after a switchover always gave it.
    fn judge_next_sync(&self, next: &Rule, how: How) -> Result<(), Refused> {
        let left_out =
            self.rule.sync.iter().find(|one| one.node != next.primary.node && !next.sync.contains(one));
        if let Some(member) = left_out {
            return Err(invalid(format!("{member} was in the sync set and would not be in the next one")));
        }
        if let Some(member) = next.sync.iter().find(|one| !self.is_known(one)) {
            return Err(invalid(format!("{member} was asked for no promise")));
        }
        if let Some(node) = node_twice(next.members()) {
            return Err(invalid(format!("node {node} stands twice in the rule")));
        }
        if how == How::Switchover && !next.has(&self.rule.primary) {
            return Err(invalid("the old primary, which holds everything, would not be in the sync set"));
        }
        Ok(())
    }
}
