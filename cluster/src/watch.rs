//! Time as far as somebody watched.
//!
//! The problem: a process that was stopped for a second finds, when it goes on, that it has heard nobody for a second; what they said lies
//! unread in its sockets. The idea: silence is counted only while the machine is being run. A [`Watch`] goes on by no more than a
//! bounded step from one call to the next, so that an own pause costs others one step of their patience at most.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Watch {
    step_max: Duration,
    last: Option<Duration>,
    watched: Duration,
}

impl Watch {
    /// The machine is run at least every `step_max` while it watches anybody.
    pub(crate) fn new(step_max: Duration) -> Watch {
        Watch { step_max, last: None, watched: Duration::ZERO }
    }

    /// It is `now`; returns how long was watched in all.
    pub(crate) fn advance(&mut self, now: Duration) -> Duration {
        let last = self.last.map_or(now, |last| last.max(now));
        let step = now.saturating_sub(self.last.unwrap_or(now)).min(self.step_max);
        self.last = Some(last);
        self.watched += step;
        self.watched
    }

    pub(crate) fn watched(&self) -> Duration {
        self.watched
    }

    /// The moment up to which it was watched.
    pub(crate) fn last(&self) -> Duration {
        self.last.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_as_one_step_and_time_never_goes_back() {
        let ms = Duration::from_millis;
        let mut watch = Watch::new(ms(50));
        let seen = [1000, 1020, 1060, 9000, 9010, 8000, 9020].map(|now| watch.advance(ms(now)));
        assert_eq!(seen, [0, 20, 60, 110, 120, 120, 130].map(ms));
        assert_eq!(watch.last(), ms(9020));
    }
}
