//! What several sets have in common, and what one has that the others have not.
//!
//! Members come out in the order of the set that is walked. No set is copied and no member hashed more than once.

use std::ops::ControlFlow;

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
    let _ = smallest.try_for_each(|mut wanted| {
        if others.iter().all(|other| other.has(seed, &mut wanted)) {
            each(wanted.member)
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
            each(wanted.member);
        }
        ControlFlow::Continue(())
    });
}
