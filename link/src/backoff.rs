//! How long to wait before trying again: doubling, with jitter, up to a bound.
//!
//! Many proxies lose the same node at the same moment; without jitter they would all come back at the same moment
//! too. Randomness is an argument, so that a test or a simulation decides it.

use std::time::Duration;

/// The waits between attempts at one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// The first wait is at most `first`, no wait is longer than `max`.
    pub fn new(first: Duration, max: Duration) -> Backoff {
        Backoff { first, max, failures: 0 }
    }

    /// An attempt failed: how long to wait. Between half of the doubled bound and the whole of it, where in between
    /// says `random` (any number).
    pub fn failed(&mut self, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let bound = doubled.min(self.max);
        let half = bound / 2;
        let span = u64::try_from((bound - half).as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(random % span.saturating_add(1))
    }

    /// An attempt succeeded: the next failure starts from the first wait again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(duration: Duration) -> u128 {
        duration.as_millis()
    }

    #[test]
    fn waits_double_up_to_the_bound_and_start_over_after_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<u128> = (0..6).map(|_| ms(backoff.failed(0))).collect();
        assert_eq!(waits, [50, 100, 200, 400, 500, 500]);
        backoff.succeeded();
        assert_eq!(ms(backoff.failed(0)), 50);
    }

    #[test]
    fn jitter_stays_between_half_and_whole_for_any_randomness() {
        for random in [0, 1, 12_345_678_901, u64::MAX] {
            let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(2));
            for _ in 0..80 {
                let wait = backoff.failed(random);
                assert!(wait >= Duration::from_millis(5) && wait <= Duration::from_secs(2), "{wait:?}");
            }
        }
    }
}
