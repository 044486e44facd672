//! What several sets have in common, what one has that the others have not, and what they have together.
//!
//! Members come out in the order of the sets that are walked. No set is copied and no member hashed more than once; how a
//! set is asked for members of another is [`asked`](super::asked)'s.

use std::ops::ControlFlow;

use super::asked::{Asked, IndexRoom};
use super::integers::Integers;
use super::{Member, Set};
use crate::keyspace::seed::Seed;

/// Calls `each` with the members that all sets have, until it says to stop. There must be a set; the sets are put into
/// the order of their sizes.
pub(crate) fn intersection<'a>(
    sets: &mut [Set<'a>],
    seed: &Seed,
    room: &mut IndexRoom,
    mut each: impl FnMut(Member<'a>) -> ControlFlow<()>,
) {
    room.clear();
    sets.sort_by_key(Set::len);
    let Some((smallest, others)) = sets.split_first() else { return };
    if let Some(integers) = all_integers(sets) {
        return intersect_integers(&integers, each);
    }
    let mut others = asked(others);
    let _ = smallest.try_for_each(|mut wanted| {
        if others.iter_mut().all(|other| other.has(seed, room, &mut wanted)) {
            each(wanted.member())
        } else {
            ControlFlow::Continue(())
        }
    });
}

/// Calls `each` with the members of `first` that none of the others has; these are put into an order in which a member
/// is found early.
pub(crate) fn difference<'a>(
    first: Set<'a>,
    others: &mut [Set<'_>],
    seed: &Seed,
    room: &mut IndexRoom,
    mut each: impl FnMut(Member<'a>),
) {
    room.clear();
    others.sort_by_key(|other| std::cmp::Reverse(other.len()));
    let mut others = asked(others);
    let _ = first.try_for_each(|mut wanted| {
        if !others.iter_mut().any(|other| other.has(seed, room, &mut wanted)) {
            each(wanted.member());
        }
        ControlFlow::Continue(())
    });
}

/// Calls `each` with the members of all sets, each member once, in the order of the sets. Every set is asked for the
/// members of those behind it: for a few sets.
pub(crate) fn union<'a>(
    sets: &[Set<'a>],
    seed: &Seed,
    room: &mut IndexRoom,
    mut each: impl FnMut(Member<'a>),
) {
    room.clear();
    let mut walked = Vec::with_capacity(sets.len());
    for set in sets {
        let _ = set.try_for_each(|mut wanted| {
            if !walked.iter_mut().any(|other: &mut Asked<'_>| other.has(seed, room, &mut wanted)) {
                each(wanted.member());
            }
            ControlFlow::Continue(())
        });
        walked.push(Asked::new(*set));
    }
}

fn asked<'a>(sets: &[Set<'a>]) -> Vec<Asked<'a>> {
    sets.iter().map(|set| Asked::new(*set)).collect()
}

fn all_integers<'a>(sets: &[Set<'a>]) -> Option<Vec<Integers<'a>>> {
    let integers = sets.iter().map(|set| match set {
        Set::Integers(integers) => Some(*integers),
        Set::Packed(_) | Set::Table(_) => None,
    });
    integers.collect()
}

/// All are in order: each is walked once at most, from where the last look-up ended.
fn intersect_integers<'a>(sets: &[Integers<'a>], mut each: impl FnMut(Member<'a>) -> ControlFlow<()>) {
    let Some((smallest, others)) = sets.split_first() else { return };
    let mut reached = vec![0; others.len()];
    for integer in smallest.iter() {
        let mut others = others.iter().zip(&mut reached);
        let in_all = others.all(|(other, reached)| {
            *reached = other.seek(*reached, integer);
            *reached < other.len() && other.get(*reached) == integer
        });
        if in_all && each(Member::Integer(integer)).is_break() {
            return;
        }
    }
}
