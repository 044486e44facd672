//! A shard as the protocol sees it: members, positions, and the rule that joins acknowledgements and promotions.
//!
//! The problem: a write that was acknowledged must be found again by whoever is promoted. The idea (PacificA): the
//! primary acknowledges what `k` members of a *sync set* S hold, and nobody is promoted before a *fence set* of S has promised to
//! take nothing more of the old epoch. With `f = |S| - k + 1` every ack set meets every fence set, so the member with the greatest
//! [`Position`] among those that promised holds everything that was acknowledged. A [`Rule`] is one such (p, S, k).
//!
//! A member is a node *in one incarnation*: a node that lost what it held is somebody else.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Epoch, NodeId},
    mutants::{self, Mutant},
    replication::Offset,
};

/// What a node process drew when it started with no data that it must answer for: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Incarnation(pub u64);

/// One life of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    pub node: NodeId,
    pub incarnation: Incarnation,
}

/// How much of a shard's stream somebody holds: the epoch of the last EPOCH record held, and all bytes up to `offset`, which
/// is the end of a unit (I9). The later epoch holds more, whatever the offsets say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    pub epoch: Epoch,
    pub offset: Offset,
}

/// Who makes the stream, who must hold it, and how many of them before a write is acknowledged: (p, S, k).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub primary: Member,
    /// S: sorted, without the primary.
    pub sync: Vec<Member>,
    /// k: of S, so many hold a write before it is acknowledged.
    pub acks_needed: usize,
}

/// A majority of the shard counting the primary, as a number of its `r` sync members: floor((r + 1) / 2).
pub fn majority(sync_members: usize) -> usize {
    sync_members.div_ceil(2)
}

impl Rule {
    /// With the k that belongs to so many members.
    pub fn new(primary: Member, mut sync: Vec<Member>) -> Rule {
        sync.retain(|member| *member != primary);
        sync.sort();
        sync.dedup();
        let acks_needed = majority(sync.len());
        Rule { primary, sync, acks_needed }
    }

    /// f: of S, so many promises make a complete fence set; every k of S meet every f of S.
    pub fn fence_needed(&self) -> usize {
        self.sync.len() - self.acks_needed + 1
    }

    /// Whether these promises are complete (I4): f of S, or the primary itself in the same incarnation, which holds all that was
    /// acknowledged, and only which could acknowledge.
    pub fn is_fenced_by(&self, promised: impl Fn(&Member) -> bool) -> bool {
        promised(&self.primary)
            || self.sync.iter().filter(|member| promised(member)).count() >= self.fence_needed()
    }

    /// The largest offset that k of S hold, given what each acknowledged, and never more than there is: what *now* satisfies the
    /// rule. What is committed is the largest this ever was in the epoch: it must not go back when a member restarts.
    pub fn held(&self, end: Offset, acked: impl Fn(&Member) -> Offset) -> Offset {
        let acks_needed = match mutants::left_out(Mutant::AckOneShort) {
            true => self.acks_needed.saturating_sub(1),
            false => self.acks_needed,
        };
        let Some(nth) = acks_needed.checked_sub(1) else { return end };
        let mut offsets: Vec<Offset> = self.sync.iter().map(acked).collect();
        offsets.sort_unstable_by(|one, other| other.cmp(one));
        offsets.get(nth).map_or(Offset(0), |&offset| offset.min(end))
    }

    /// The primary and S.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        [&self.primary].into_iter().chain(&self.sync)
    }

    pub fn has(&self, member: &Member) -> bool {
        self.members().any(|one| one.is(member))
    }
}

impl Member {
    /// Whether it is the same node in the same life.
    pub fn is(&self, other: &Member) -> bool {
        let same_life = self.incarnation == other.incarnation || mutants::left_out(Mutant::IgnoreIncarnation);
        self.node == other.node && same_life
    }

    pub fn new(node: &NodeId, incarnation: Incarnation) -> Member {
        Member { node: node.clone(), incarnation }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.incarnation)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Incarnation {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Incarnation, &'static str> {
        let is_plain = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_plain.then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        number.map(Incarnation).ok_or("an incarnation is 16 hexadecimal digits")
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> String {
        incarnation.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u64) -> Member {
        Member::new(&NodeId(format!("n{number}")), Incarnation(number))
    }

    fn rule(replicas: u64) -> Rule {
        Rule::new(member(0), (1..=replicas).map(member).collect())
    }

    #[test]
    fn k_is_a_majority_of_the_shard_and_every_ack_set_meets_every_fence_set() {
        let numbers = |replicas| (rule(replicas).acks_needed, rule(replicas).fence_needed());
        assert_eq!([0, 1, 2, 3, 4, 5].map(numbers), [(0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3)]);
        for replicas in 0..8 {
            let rule = rule(replicas);
            assert!(rule.acks_needed + rule.fence_needed() > rule.sync.len(), "{replicas}");
        }
    }

    #[test]
    fn a_fence_is_complete_with_f_of_s_or_with_the_primary_in_the_same_incarnation() {
        let check = |replicas, promised: &[Member], complete| {
            assert_eq!(rule(replicas).is_fenced_by(|one| promised.contains(one)), complete, "{promised:?}");
        };
        check(2, &[member(1)], false);
        check(2, &[member(1), member(2)], true);
        check(2, &[member(0)], true);
        check(2, &[Member::new(&NodeId("n0".into()), Incarnation(9)), member(1)], false);
        check(2, &[member(1), member(7)], false);
        check(0, &[], false);
        check(1, &[member(1)], true);
    }

    #[test]
    fn what_is_held_is_what_the_kth_best_holds_and_never_more_than_there_is() {
        let check = |acked: &[u64], end, held| {
            let replicas = u64::try_from(acked.len()).unwrap();
            let of = |one: &Member| Offset(acked[usize::try_from(one.incarnation.0 - 1).unwrap()]);
            assert_eq!(rule(replicas).held(Offset(end), of), Offset(held), "{acked:?}");
        };
        check(&[], 7, 7);
        check(&[5], 7, 5);
        check(&[5, 6], 7, 6);
        check(&[5, 6, 4], 7, 5);
        check(&[9, 9, 9], 7, 7);
    }

    #[test]
    fn a_later_epoch_holds_more_than_any_offset_of_an_earlier_one() {
        let at = |epoch, offset| Position { epoch: Epoch(epoch), offset: Offset(offset) };
        assert!(at(2, 1) > at(1, 900) && at(2, 2) > at(2, 1));
    }
}
