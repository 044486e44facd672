//! Which sync set a primary wishes for, as a value.
//!
//! Out goes who is no good any more, in comes who holds everything and keeps in step: all at once if that holds, else the one without the
//! other. Only what is true already is wished for: k of the new S hold everything committed, also when S shrinks, for the rule that
//! a fence set goes by is then the new one (I5, F1 of the findings).

use std::fmt;

use super::replicas::{Measure, Replicas};
use crate::{
    ids::NodeId,
    mutants::{self, Mutant},
    replication::Offset,
    shard::{Member, Rule},
};

/// What a wish is made of.
pub(super) struct Grounds<'g> {
    pub(super) rule: &'g Rule,
    pub(super) replicas: &'g Replicas,
    pub(super) measure: Measure,
    /// What k of the new S must hold: everything committed, and at least the epoch's start.
    pub(super) required: Offset,
    /// The nodes of the shard that stay in it.
    pub(super) mates: &'g [NodeId],
    pub(super) copies_min: usize,
    /// Who left S a short while ago, and may not come back yet.
    pub(super) left: &'g [Member],
}

/// A wish, and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) rule: Rule,
    pub(super) out: Vec<(Member, &'static str)>,
    pub(super) joining: Vec<Member>,
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a sync set of {}", self.rule.sync.len())?;
        self.joining.iter().try_for_each(|member| write!(f, ", with {member}"))?;
        self.out.iter().try_for_each(|(member, why)| write!(f, ", without {member}: {why}"))
    }
}

/// None: S is as it should be, or as it can be.
pub(super) fn wish(grounds: &Grounds<'_>) -> Option<Wish> {
    let Grounds { rule, replicas, measure, .. } = grounds;
    let fault = |member: &Member| {
        let leaves = (!grounds.mates.contains(&member.node)).then_some("it is to leave the shard");
        leaves.or_else(|| replicas.fault(member, measure)).map(|why| (member.clone(), why))
    };
    let out: Vec<(Member, &'static str)> = rule.sync.iter().filter_map(fault).collect();
    let joining: Vec<Member> = replicas.attached().filter(|one| grounds.may_join(one)).cloned().collect();
    if out.is_empty() && joining.is_empty() {
        return None;
    }
    [(true, true), (true, false), (false, true)].into_iter().find_map(|(leaves, joins)| {
        let out = if leaves { out.clone() } else { Vec::new() };
        let joining = if joins { joining.clone() } else { Vec::new() };
        grounds.judged(out, joining)
    })
}

impl Grounds<'_> {
    /// Holds everything committed, and is in step.
    fn may_join(&self, member: &Member) -> bool {
        let epoch = self.measure.epoch;
        let is_missed = self.rule.sync.len() + 1 < self.copies_min;
        !self.rule.has(member)
            && self.mates.contains(&member.node)
            && !self.rule.sync.iter().any(|one| one.node == member.node && self.replicas.is_attached(one))
            && self.replicas.held(member, epoch) >= self.required
            && self.replicas.fault(member, &self.measure).is_none()
            && (is_missed || !self.left.contains(member))
    }

    /// The change, if it is one and may be proposed.
    fn judged(&self, out: Vec<(Member, &'static str)>, joining: Vec<Member>) -> Option<Wish> {
        let is_out = |member: &Member| out.iter().any(|(one, _)| one == member);
        let returns = |member: &Member| joining.iter().any(|one| one.node == member.node);
        let stay = self.rule.sync.iter().filter(|member| !is_out(member) && !returns(member));
        let rule = Rule::new(self.rule.primary.clone(), stay.chain(&joining).cloned().collect());
        let shrinks = rule.sync.len() < self.rule.sync.len();
        if rule == *self.rule || (shrinks && rule.sync.len() + 1 < self.copies_min) {
            return None;
        }
        let held = rule.held(self.measure.end, |member| self.replicas.held(member, self.measure.epoch));
        let holds = held >= self.required || mutants::left_out(Mutant::ShrinkWithoutHolding);
        holds.then_some(Wish { rule, out, joining })
    }
}
