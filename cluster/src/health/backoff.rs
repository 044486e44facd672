//! Patience that grows with false alarms.
//!
//! A machine under load makes nodes look dead that are not, and every failover for nothing makes the load worse. So a suspicion that turned out
//! false delays the next one of the same shard, each time twice as long. The first is never delayed, and neither is certainty.

use std::time::Duration;

/// What the first false alarm costs the next suspicion.
const FIRST: Duration = Duration::from_secs(1);

const LONGEST: Duration = Duration::from_secs(30);

/// After so long without a false alarm all is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(120);

/// Of one shard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff(Option<FalseAlarm>);

#[derive(Debug, Clone, Copy)]
struct FalseAlarm {
    at: Duration,
    delay: Duration,
}

impl Backoff {
    /// The node that was called down lives.
    pub fn false_alarm(&mut self, now: Duration) {
        let before = self.0.filter(|last| now.saturating_sub(last.at) < FORGOTTEN_AFTER);
        let delay = before.map_or(FIRST, |last| (last.delay * 2).min(LONGEST));
        self.0 = Some(FalseAlarm { at: now, delay });
    }

    /// Before this no suspicion is acted on.
    pub fn until(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |last| last.at + last.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_suspicion_is_never_delayed_and_each_false_one_delays_the_next_for_longer() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.until(), Duration::ZERO);
        let mut now = Duration::from_secs(100);
        for delay_s in [1, 2, 4, 8, 16, 30, 30] {
            backoff.false_alarm(now);
            assert_eq!(backoff.until(), now + Duration::from_secs(delay_s));
            now += Duration::from_secs(60);
        }
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut backoff = Backoff::default();
        backoff.false_alarm(Duration::from_secs(1));
        backoff.false_alarm(Duration::from_secs(3));
        let later = Duration::from_secs(3) + FORGOTTEN_AFTER;
        backoff.false_alarm(later);
        assert_eq!(backoff.until(), later + FIRST);
    }
}
