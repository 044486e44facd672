//! Fencing: whoever could acknowledge in the old epoch promises not to, and tells what it holds.
//!
//! FENCE goes to every node of the shard. What counts are the promises of members, each in the life in which the rules know it: a fence
//! is complete when it is for the rule and for every kept rule (I4). Then the greatest position among those that promised holds
//! everything that was acknowledged, and its member wins.
//!
//! A node that came back in another life promises, too. That completes no fence, but when all have come back so, nothing is left that could,
//! and the greatest position on disk is the best there is ([`OnTotalLoss`]); an operator may decide so earlier ([`Loss`]).

use std::{collections::BTreeMap, time::Duration};

use super::{AGAIN, Effect, FENCE_PATIENCE, Failover, Loss, Note, OnTotalLoss, Phase};
use crate::{
    control::{Entry, ShardState, entry::How},
    health::{Cause, Verdict},
    ids::{Epoch, NodeId},
    mutants::{Mutant, left_out},
    pulse::{GRANT, wire::ToNode},
    shard::{Member, Position, Rule},
};

/// For so long others may promise before a primary that is stuck is promoted again.
const RATHER_OTHERS: Duration = Duration::from_millis(500);

/// One failover's fence.
#[derive(Debug)]
pub(super) struct Fence {
    /// e + 1.
    pub(super) epoch: Epoch,
    pub(super) since: Duration,
    sent: Option<Duration>,
    /// By node, the latest life.
    promises: BTreeMap<NodeId, Promised>,
    was_complete: bool,
    told_missing: Vec<Member>,
}

#[derive(Debug)]
struct Promised {
    member: Member,
    position: Position,
    /// On the leader's clock, counted from when the promise came: late rather than early.
    grants_end: Duration,
}

/// Whether the primary that is replaced may win.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OldPrimary {
    MayWin,
    MayNot,
}

/// The rule and those kept.
fn rules(state: &ShardState) -> impl Iterator<Item = &Rule> {
    [&state.rule].into_iter().chain(&state.kept)
}

impl Fence {
    pub(super) fn new(epoch: Epoch, now: Duration) -> Fence {
        let (promises, told_missing) = (BTreeMap::new(), Vec::new());
        Fence { epoch, since: now, sent: None, promises, was_complete: false, told_missing }
    }

    /// Whether it says something new.
    pub(super) fn promise(&mut self, member: &Member, position: Position, grants_end: Duration) -> bool {
        let before = self.promises.get(&member.node).filter(|before| before.member == *member);
        let is_new = before.is_none_or(|before| before.position != position);
        // A promise that is repeated tells the same grant again, and less of it is left.
        let grants_end = before.map_or(grants_end, |before| before.grants_end.min(grants_end));
        self.promises.insert(member.node.clone(), Promised { member: member.clone(), position, grants_end });
        is_new
    }

    pub(super) fn has(&self, member: &Member) -> bool {
        self.promises.get(&member.node).is_some_and(|promised| promised.member.is(member))
    }

    fn is_complete(&self, state: &ShardState, old_primary: OldPrimary) -> bool {
        if left_out(Mutant::PromoteWithoutFence) {
            return !self.promises.is_empty();
        }
        let counts = |rule: &Rule, member: &Member| {
            let is_nothing = member.is(&rule.primary) && left_out(Mutant::PrimaryPromiseIsNothing);
            let is_left_aside = member.is(&state.rule.primary) && old_primary == OldPrimary::MayNot;
            self.has(member) && !is_nothing && !is_left_aside
        };
        rules(state).all(|rule| rule.is_fenced_by(|member| counts(rule, member)))
    }

    /// The greatest position among the members that promised; of equals the first node.
    fn winner(&self, state: &ShardState, old_primary: OldPrimary) -> Option<&Promised> {
        let may_win = |promised: &&Promised| {
            let is_left_aside = promised.member.is(&state.rule.primary) && old_primary == OldPrimary::MayNot;
            rules(state).any(|rule| rule.has(&promised.member)) && !is_left_aside
        };
        let key = |promised: &&Promised| match left_out(Mutant::ChooseByOffset) {
            false => promised.position,
            true => Position { epoch: Epoch(0), ..promised.position },
        };
        // The last of equals would win.
        self.promises.values().rev().filter(may_win).max_by_key(key)
    }

    /// S': the old S without the winner, and the old primary if it promised. Who is dead of them is removed later (I5).
    fn sync_after(&self, state: &ShardState, winner: &Member) -> Vec<Member> {
        let old = &state.rule;
        let primary = Some(&old.primary).filter(|primary| self.has(primary));
        let mut sync: Vec<Member> = old.sync.iter().chain(primary).cloned().collect();
        sync.retain(|member| member.node != winner.node);
        sync.sort();
        sync
    }

    /// When all grants of the epochs before are over (I7b). `state`: as it was before the promotion.
    pub(super) fn grants_end(&self, state: &ShardState, now: Duration) -> Duration {
        if left_out(Mutant::ActivateBeforeGrantsEnd) {
            return now;
        }
        let spread = state.activated || left_out(Mutant::NoFullTermWithoutActivated);
        // Not complete: another leader's promotion, or a loss that was accepted.
        if !spread || !self.is_complete(state, OldPrimary::MayWin) {
            return now + GRANT;
        }
        // It was the only one that could serve, and it serves no more.
        if self.has(&state.rule.primary) {
            return now;
        }
        self.promises.values().map(|promised| promised.grants_end).fold(now, Duration::max)
    }

    /// Members whose promise would help.
    fn missing(&self, state: &ShardState) -> Vec<Member> {
        let open = rules(state).filter(|rule| !rule.is_fenced_by(|member| self.has(member)));
        let mut missing: Vec<Member> =
            open.flat_map(Rule::members).filter(|member| !self.has(member)).cloned().collect();
        missing.sort();
        missing.dedup();
        missing
    }

    /// Every node of the rules has promised, in whatever life: nobody is left to be waited for.
    fn all_are_back(&self, state: &ShardState) -> bool {
        rules(state).flat_map(Rule::members).all(|member| self.promises.contains_key(&member.node))
    }

    /// Without any rule's protection: the greatest position of all, of equals the old primary's node, then the first.
    fn best_of_all(&self, state: &ShardState) -> Option<&Promised> {
        let key = |promised: &&Promised| (promised.position, promised.member.node == state.rule.primary.node);
        self.promises.values().rev().max_by_key(key)
    }
}

impl Failover {
    pub(super) fn fence(&mut self, now: Duration, out: &mut Vec<Effect>) {
        self.send_fences(now, out);
        let Some(state) = self.cluster.shards.get(&self.shard) else { return };
        let is_stuck = self.primary_is_stuck();
        let Phase::Fencing(fence) = &mut self.phase else { return };
        let (shard, epoch) = (self.shard, fence.epoch);
        let waited = now.saturating_sub(fence.since);
        // A primary whose keyspace is stuck promises like any other. It would win, and be stuck.
        let old_primary = match is_stuck {
            true if fence.is_complete(state, OldPrimary::MayNot) => OldPrimary::MayNot,
            true if waited < RATHER_OTHERS => return,
            _ => OldPrimary::MayWin,
        };
        if fence.is_complete(state, old_primary)
            && let Some(winner) = fence.winner(state, old_primary)
        {
            let (winner, version) = (winner.member.clone(), state.version);
            let sync = fence.sync_after(state, &winner);
            if !std::mem::replace(&mut fence.was_complete, true) {
                out.push(Effect::Note(Note::Fenced { shard, epoch, after: waited }));
            }
            let how = How::Failover;
            return self.propose(Entry::Promote { shard, epoch, version, winner, sync, how }, now, out);
        }
        let missing = fence.missing(state);
        if waited >= FENCE_PATIENCE && fence.told_missing != missing {
            fence.told_missing.clone_from(&missing);
            out.push(Effect::Note(Note::Refused { shard, epoch, missing }));
        }
        self.accept_loss(now, out);
    }

    /// To every node of the shard: who is no member promises nothing that counts, and must not take more of the old epoch either.
    fn send_fences(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let Phase::Fencing(fence) = &mut self.phase else { return };
        if fence.sent.is_some_and(|sent| now < sent + AGAIN) {
            return;
        }
        fence.sent = Some(now);
        let (shard, epoch) = (self.shard, fence.epoch);
        let nodes = self.cluster.nodes.iter().filter(|(_, fact)| fact.shard == shard);
        out.extend(nodes.map(|(node, _)| {
            let word = ToNode::Fence { shard, epoch };
            Effect::Send { node: node.clone(), word }
        }));
    }

    fn accept_loss(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let Some(state) = self.cluster.shards.get(&self.shard) else { return };
        let Phase::Fencing(fence) = &self.phase else { return };
        let asked = self.demand.as_ref().filter(|demand| demand.epoch == state.epoch);
        let by = match asked.map(|demand| &demand.loss) {
            // Whoever can promise had the time to.
            Some(Loss::AcceptedBy(by)) if now >= fence.since + FENCE_PATIENCE => by.clone(),
            _ if fence.all_are_back(state) && self.on_total_loss == OnTotalLoss::Newest => {
                "on-total-loss newest".into()
            }
            _ => return,
        };
        let Some(best) = fence.best_of_all(state) else { return };
        let (shard, epoch) = (self.shard, fence.epoch);
        let (version, winner, position) = (state.version, best.member.clone(), best.position);
        let entry =
            Entry::AcceptLoss { shard, epoch, version, winner: winner.clone(), position, by: by.clone() };
        let before = out.len();
        self.propose(entry, now, out);
        if out.len() > before {
            out.push(Effect::Note(Note::LossAccepted { shard, epoch, winner, position, by }));
        }
    }

    fn primary_is_stuck(&self) -> bool {
        match &self.verdict {
            Some((node, Verdict::Down(down))) => {
                down.cause == Cause::Stuck
                    && self.state().is_some_and(|state| state.rule.primary.node == *node)
            }
            Some((_, Verdict::Up | Verdict::Suspected)) | None => false,
        }
    }
}
