//! The plain search that the arguments are held against: is there any order of these requests? (Wing's and Gong's, with Lowe's memory of
//! what was tried.) It takes time that grows with every request that overlaps others, so it is for small histories.

use std::collections::HashSet;

use super::{Moment, NEVER};

/// SplitMix64: a seed is a run.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn from_seed(seed: u64) -> Chance {
        Chance(seed)
    }

    /// One of `0..bound`; 0 for a bound of 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }
}

/// Whether requests, each at some moment between its two times, can take `start` through `step`s. Those that were never answered may be
/// left out.
pub(super) fn is_linearizable<R>(
    requests: &[R],
    times: impl Fn(&R) -> (Moment, Moment),
    start: u64,
    step: impl Fn(u64, &R) -> Option<u64>,
) -> bool {
    let must: u64 = bits(requests, |one| times(one).1 != NEVER);
    let mut tried = HashSet::new();
    let mut open = vec![(0_u64, start)];
    while let Some((done, state)) = open.pop() {
        if done & must == must {
            return true;
        }
        if !tried.insert((done, state)) {
            continue;
        }
        let left = || requests.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        let first_answer = left().map(|(_, one)| times(one).1).min().unwrap_or(NEVER);
        for (at, one) in left().filter(|(_, one)| times(one).0 < first_answer) {
            open.extend(step(state, one).map(|next| (done | (1 << at), next)));
        }
    }
    false
}

/// Up to seven requests whose times overlap at random; `make` is told them.
pub(super) fn random<R>(
    chance: &mut Chance,
    mut make: impl FnMut(&mut Chance, Moment, Moment) -> R,
) -> Vec<R> {
    let count = 1 + chance.below(7);
    let mut moments: Vec<Moment> = (1..=2 * count).collect();
    for at in (1..moments.len()).rev() {
        // Not far, so that most requests are short.
        let other = at.saturating_sub(usize::try_from(chance.below(5)).unwrap_or(0));
        moments.swap(at, other);
    }
    let pairs = moments.chunks_exact(2).map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1])));
    pairs.map(|(invoked, answered)| make(chance, invoked, answered)).collect()
}

fn bits<R>(requests: &[R], which: impl Fn(&R) -> bool) -> u64 {
    let set = requests.iter().enumerate().filter(|(_, one)| which(one));
    set.map(|(at, _)| 1_u64 << at).sum()
}
