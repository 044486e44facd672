//! When the log is written anew, and what became of the last time.
//!
//! Decisions only; [`super::rewrite`] does it. A rewrite is *due* when it was asked for and could not be had at once, or
//! when the log has grown by `auto-aof-rewrite-percentage` since the last one and is larger than
//! `auto-aof-rewrite-min-size`. After [`FAILURES_FREE`] failures in a row the next attempts wait: a minute, then twice as long
//! each time, an hour at most, as in Redis.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::sync::Notify;

use crate::call::Millis;

/// Failures in a row before attempts are spaced out.
const FAILURES_FREE: u64 = 3;
const DELAY_MINUTES_MAX: u64 = 60;
const MINUTE_MS: u64 = 60_000;

/// All that is known of rewrites.
#[derive(Debug, Default)]
pub(crate) struct Rewrites {
    began: Option<Millis>,
    is_scheduled: bool,
    /// Of the one that runs; shared with the thread that puts it in force.
    is_cancelled: Arc<AtomicBool>,
    /// Rung when that is said.
    cancelled: Arc<Notify>,
    has_failed: bool,
    took_ms: Option<u64>,
    /// `aof_rewrites`
    pub(crate) count: u64,
    pub(crate) failures_in_a_row: u64,
    not_before: Option<Millis>,
    delay_minutes: u64,
    /// Bytes of the log when it was last begun anew: `aof_base_size`.
    pub(crate) base_bytes: u64,
    /// Most bytes that the last one had set aside: `aof_last_cow_size`.
    pub(crate) set_aside_bytes_max: u64,
}

/// How large the log is, and how large it may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    pub(crate) bytes: u64,
    pub(crate) bytes_min: u64,
    /// 0: it is never rewritten by itself.
    pub(crate) percent: u64,
}

impl Growth {
    fn is_enough(self, base_bytes: u64) -> bool {
        let base = base_bytes.max(1);
        let percent = u128::from(self.bytes) * 100 / u128::from(base);
        self.percent != 0 && self.bytes > self.bytes_min && percent >= u128::from(self.percent) + 100
    }
}

/// How a rewrite came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Written,
    Failed,
    /// Nobody wants it any more.
    Cancelled,
}

impl Rewrites {
    pub(crate) fn is_running(&self) -> bool {
        self.began.is_some()
    }

    pub(crate) fn is_scheduled(&self) -> bool {
        self.is_scheduled
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub(crate) fn took_seconds(&self) -> Option<u64> {
        self.took_ms.map(|millis| millis / 1000)
    }

    pub(crate) fn running_seconds(&self, now: Millis) -> Option<u64> {
        self.began.map(|began| now.0.saturating_sub(began.0) / 1000)
    }

    /// It is to begin as soon as it can.
    pub(crate) fn schedule(&mut self) {
        self.is_scheduled = true;
    }

    /// As [`Rewrites::schedule`], by somebody who knows: earlier failures do not delay it.
    pub(crate) fn ask(&mut self) {
        self.failures_in_a_row = 0;
        self.is_scheduled = true;
    }

    /// The one that runs, and the one that is scheduled, are not wanted any more.
    pub(crate) fn cancel(&mut self) {
        self.is_scheduled = false;
        if self.is_running() {
            self.is_cancelled.store(true, Relaxed);
            self.cancelled.notify_one();
        }
    }

    /// The one that runs is not wanted any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Relaxed)
    }

    /// Rings when the one that runs is not wanted any more; perhaps without need.
    pub(crate) fn cancelled(&self) -> Arc<Notify> {
        Arc::clone(&self.cancelled)
    }

    /// To be asked on another thread.
    pub(crate) fn cancellation(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_cancelled)
    }

    /// Whether one should begin now. `growth` is None while the log is not on.
    pub(crate) fn is_due(&mut self, growth: Option<Growth>, now: Millis) -> bool {
        let is_wanted = self.is_scheduled || growth.is_some_and(|growth| growth.is_enough(self.base_bytes));
        is_wanted && !self.is_running() && !self.rests(now)
    }

    /// Whether the last failures forbid it for now.
    fn rests(&mut self, now: Millis) -> bool {
        if self.failures_in_a_row < FAILURES_FREE {
            (self.not_before, self.delay_minutes) = (None, 0);
            return false;
        }
        match self.not_before {
            Some(until) => now < until,
            None => {
                self.delay_minutes = (self.delay_minutes * 2).clamp(1, DELAY_MINUTES_MAX);
                self.not_before = Some(Millis(now.0 + self.delay_minutes * MINUTE_MS));
                true
            }
        }
    }

    pub(crate) fn begin(&mut self, now: Millis) {
        (self.is_scheduled, self.not_before) = (false, None);
        self.is_cancelled = Arc::default();
        self.count += 1;
        self.began = Some(now);
    }

    pub(crate) fn end(&mut self, ended: Ended, now: Millis) {
        let Some(began) = self.began.take() else { return };
        self.is_cancelled = Arc::default();
        match ended {
            Ended::Cancelled => return,
            Ended::Written => self.failures_in_a_row = 0,
            Ended::Failed => self.failures_in_a_row += 1,
        }
        self.has_failed = ended == Ended::Failed;
        self.took_ms = Some(now.0.saturating_sub(began.0));
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_statistics(&mut self) {
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_rewritten_when_it_has_grown_by_so_much_and_is_not_small() {
        let mut rewrites = Rewrites { base_bytes: 1000, ..Rewrites::default() };
        let mut is_due = |bytes, bytes_min, percent| {
            rewrites.is_due(Some(Growth { bytes, bytes_min, percent }), Millis(0))
        };
        assert!(is_due(2000, 100, 100) && !is_due(1999, 100, 100));
        assert!(!is_due(2000, 2000, 100), "it must be larger than the least size");
        assert!(!is_due(u64::MAX, 0, 0), "0 percent: never");
        rewrites.base_bytes = 0;
        assert!(rewrites.is_due(Some(Growth { bytes: 101, bytes_min: 100, percent: 100 }), Millis(0)));
        assert!(!rewrites.is_due(None, Millis(0)));
        rewrites.schedule();
        assert!(rewrites.is_due(None, Millis(0)), "asked for");
        rewrites.begin(Millis(0));
        rewrites.schedule();
        assert!(!rewrites.is_due(None, Millis(0)), "one at a time");
    }

    #[test]
    fn after_three_failures_in_a_row_attempts_wait_longer_and_longer() {
        let (mut rewrites, mut minute) = (Rewrites::default(), 0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            rewrites.schedule();
            let from = minute;
            while !rewrites.is_due(None, Millis(minute * MINUTE_MS)) {
                minute += 1;
            }
            waits.push(minute - from);
            rewrites.begin(Millis(minute * MINUTE_MS));
            rewrites.end(Ended::Failed, Millis(minute * MINUTE_MS + 1500));
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(rewrites.has_failed() && rewrites.took_seconds() == Some(1));
        rewrites.begin(Millis(0));
        rewrites.end(Ended::Written, Millis(0));
        rewrites.schedule();
        assert!(!rewrites.has_failed() && rewrites.is_due(None, Millis(0)));
    }

    #[test]
    fn a_cancelled_rewrite_leaves_no_trace() {
        let mut rewrites = Rewrites::default();
        rewrites.begin(Millis(0));
        rewrites.schedule();
        rewrites.cancel();
        assert!(rewrites.is_cancelled() && !rewrites.is_scheduled());
        rewrites.end(Ended::Cancelled, Millis(9000));
        assert!(!rewrites.is_cancelled() && !rewrites.has_failed() && rewrites.took_seconds().is_none());
    }
}
