//! The one source of everything that is not decided: a small generator that a seed starts.
//!
//! Every choice of a run is drawn here, in the order in which it comes up; so a seed is a run.

use std::time::Duration;

/// SplitMix64: the state is a counter, which any seed may start.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn from_seed(seed: u64) -> Chance {
        let mut chance = Chance(seed.wrapping_mul(0xA076_1D64_78BD_642F) ^ 0x5107_11A1);
        chance.draw();
        chance
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    /// An index of something that has `len` items, which is not none.
    pub fn index(&mut self, len: usize) -> usize {
        let bound = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).unwrap_or(0)
    }

    pub fn pick<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.index(items.len())]
    }

    /// True in so many of a thousand cases.
    pub fn per_mille(&mut self, cases: u64) -> bool {
        cases > 0 && self.below(1000) < cases
    }

    /// Evenly between the two, in microseconds.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.below(span.saturating_add(1)))
    }

    /// The index of one of these weights, each as likely as it is heavy; None if all are 0.
    pub fn weighted(&mut self, weights: impl Iterator<Item = u64> + Clone) -> Option<usize> {
        let sum = weights.clone().sum();
        if sum == 0 {
            return None;
        }
        let mut left = self.below(sum);
        for (at, weight) in weights.enumerate() {
            if left < weight {
                return Some(at);
            }
            left -= weight;
        }
        None
    }
}
