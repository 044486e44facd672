//! What several sets have in common, and what one has that the others have not.
//!
//! Members come out in the order of the set that is walked. No set is copied and no member hashed more than once.

use std::ops::ControlFlow;

use super::integers::Integers;
use super::{Member, Set};
use crate::keyspace::seed::Seed;

/// Calls `each` with the members that all sets have, until it says to stop. There must be a set; the sets are put into
/// the order of their sizes.
pub(crate) fn intersection<'a>(
    sets: &mut [Set<'a>],
    seed: &Seed,
    mut each: impl FnMut(Member<'a>) -> ControlFlow<()>,
) {
    sets.sort_by_key(Set::len);
    let Some((smallest, others)) = sets.split_first() else { return };
    if let Some(integers) = all_integers(sets) {
        return intersect_integers(&integers, each);
    }
    let _ = smallest.try_for_each(|mut wanted| {
        if others.iter().all(|other| other.has(seed, &mut wanted)) {
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
    mut each: impl FnMut(Member<'a>),
) {
    others.sort_by_key(|other| std::cmp::Reverse(other.len()));
    let _ = first.try_for_each(|mut wanted| {
        if !others.iter().any(|other| other.has(seed, &mut wanted)) {
            each(wanted.member());
        }
        ControlFlow::Continue(())
    });
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
