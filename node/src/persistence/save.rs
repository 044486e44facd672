//! Snapshots to disk: when one is due, what became of the last one, and what INFO says of it.
//!
//! Decisions only; [`run`] does what they say, and [`file`] keeps what is written. There is at most one save to disk at a time. A save is
//! *due* when a save point says so, or when BGSAVE SCHEDULE asked for it and could not have it at once; after a
//! failure nothing is tried again for [`RETRY_MS`].

pub(crate) mod file;
pub(crate) mod run;

use slotway_config::SavePoint;

use crate::call::Millis;

/// Milliseconds between a failed save and the next attempt, as in Redis.
const RETRY_MS: u64 = 5000;

/// All that is known of saves to disk.
#[derive(Debug)]
pub(crate) struct Saves {
    present: Option<Present>,
    /// A save was asked for while something else was under way.
    scheduled: bool,
    /// When the last one succeeded; at first when the node started.
    succeeded: Millis,
    /// When the last one was begun.
    tried: Option<Millis>,
    outcome: Outcome,
    /// How long the last one took.
    took_ms: Option<u64>,
    /// How many were begun.
    begun: u64,
    /// `rdb_saves`: the same, since CONFIG RESETSTAT.
    count: u64,
    /// Most bytes that the last one had set aside: `rdb_last_cow_size`.
    set_aside_bytes_max: u64,
}

/// A save that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present {
    /// Which of all saves it is.
    pub(crate) number: u64,
    pub(crate) began: Millis,
    /// What `changes` was then.
    changes: u64,
    pub(crate) keys_total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Good,
    Failed,
}

/// How a save came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Saved {
        set_aside_bytes_max: u64,
    },
    Failed,
    /// It was not wanted any more: nothing is learned from that.
    Cancelled,
}

impl Saves {
    pub(crate) fn new(now: Millis) -> Saves {
        Saves {
            present: None,
            scheduled: false,
            succeeded: now,
            tried: None,
            outcome: Outcome::Good,
            took_ms: None,
            begun: 0,
            count: 0,
            set_aside_bytes_max: 0,
        }
    }

    pub(crate) fn present(&self) -> Option<&Present> {
        self.present.as_ref()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// LASTSAVE.
    pub(crate) fn succeeded(&self) -> Millis {
        self.succeeded
    }

    pub(crate) fn took_seconds(&self) -> Option<u64> {
        self.took_ms.map(|millis| millis / 1000)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn set_aside_bytes_max(&self) -> u64 {
        self.set_aside_bytes_max
    }

    /// BGSAVE SCHEDULE while it cannot be had.
    pub(crate) fn schedule(&mut self) {
        self.scheduled = true;
    }

    /// Why a save should begin now, if it should: the text is for the log.
    pub(crate) fn due(&self, points: &[SavePoint], changes: u64, now: Millis) -> Option<String> {
        let rests = self.outcome == Outcome::Failed
            && self.tried.is_some_and(|tried| now.0.saturating_sub(tried.0) <= RETRY_MS);
        if self.present.is_some() || rests {
            return None;
        }
        if self.scheduled {
            return Some("a save was scheduled".to_owned());
        }
        let passed = now.0.saturating_sub(self.succeeded.0) / 1000;
        let met = |point: &&SavePoint| changes >= u64::from(point.changes) && passed > point.seconds;
        let point = points.iter().find(met)?;
        Some(format!("{changes} changes in {} seconds", point.seconds))
    }

    /// One begins, of so many keys, when so many changes were counted. Returns its number.
    pub(crate) fn begin(&mut self, keys_total: u64, changes: u64, now: Millis) -> u64 {
        self.scheduled = false;
        self.begun += 1;
        self.count += 1;
        self.tried = Some(now);
        self.present = Some(Present { number: self.begun, began: now, changes, keys_total });
        self.begun
    }

    /// It has ended; `changes` is what is not on disk, corrected for what now is. One that was cancelled before
    /// may say so again.
    pub(crate) fn end(&mut self, number: u64, ended: Ended, changes: &mut u64, now: Millis) {
        let Some(present) = self.present.take_if(|present| present.number == number) else { return };
        match ended {
            Ended::Cancelled => return,
            Ended::Saved { set_aside_bytes_max } => {
                *changes = changes.saturating_sub(present.changes);
                self.succeeded = now;
                self.outcome = Outcome::Good;
                self.set_aside_bytes_max = set_aside_bytes_max;
            }
            Ended::Failed => self.outcome = Outcome::Failed,
        }
        self.took_ms = Some(now.0.saturating_sub(present.began.0));
    }

    /// SAVE succeeded.
    pub(crate) fn saved_now(&mut self, changes: &mut u64, now: Millis) {
        self.count += 1;
        self.succeeded = now;
        self.outcome = Outcome::Good;
        *changes = 0;
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_statistics(&mut self) {
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: [SavePoint; 2] =
        [SavePoint { seconds: 3600, changes: 1 }, SavePoint { seconds: 60, changes: 100 }];

    fn is_due(saves: &Saves, changes: u64, seconds: u64) -> bool {
        saves.due(&POINTS, changes, Millis(seconds * 1000)).is_some()
    }

    #[test]
    fn a_save_point_is_met_by_enough_changes_after_enough_time() {
        let saves = Saves::new(Millis(0));
        assert!(!is_due(&saves, 1000, 60));
        assert!(is_due(&saves, 100, 61));
        assert!(!is_due(&saves, 99, 61));
        assert!(is_due(&saves, 1, 3601));
        assert!(!is_due(&saves, 0, 100_000));
        assert_eq!(saves.due(&[], 1_000_000, Millis(u64::MAX)), None, "without save points never");
    }

    #[test]
    fn changes_during_a_save_are_still_to_be_saved() {
        let (mut saves, mut changes) = (Saves::new(Millis(0)), 500);
        let number = saves.begin(10, changes, Millis(61_000));
        assert!(!is_due(&saves, changes, 10_000), "one at a time");
        changes += 7;
        saves.end(number, Ended::Saved { set_aside_bytes_max: 9 }, &mut changes, Millis(63_000));
        assert_eq!((changes, saves.succeeded(), saves.took_seconds()), (7, Millis(63_000), Some(2)));
        assert_eq!((saves.count(), saves.outcome(), saves.set_aside_bytes_max()), (1, Outcome::Good, 9));
    }

    #[test]
    fn after_a_failure_nothing_is_tried_for_five_seconds() {
        let (mut saves, mut changes) = (Saves::new(Millis(0)), 500);
        let number = saves.begin(10, changes, Millis(100_000));
        saves.end(number, Ended::Failed, &mut changes, Millis(100_500));
        assert_eq!((changes, saves.outcome(), saves.succeeded()), (500, Outcome::Failed, Millis(0)));
        assert!(!is_due(&saves, changes, 105));
        saves.schedule();
        assert!(!is_due(&saves, changes, 105), "nor one that was scheduled");
        assert!(saves.due(&POINTS, changes, Millis(105_001)).is_some());
    }

    #[test]
    fn a_cancelled_save_leaves_no_trace() {
        let (mut saves, mut changes) = (Saves::new(Millis(0)), 500);
        let number = saves.begin(10, changes, Millis(1000));
        saves.end(number, Ended::Cancelled, &mut changes, Millis(2000));
        assert_eq!((changes, saves.outcome(), saves.took_seconds()), (500, Outcome::Good, None));
        assert_eq!(saves.present(), None);
        saves.begin(10, changes, Millis(3000));
        saves.end(number, Ended::Failed, &mut changes, Millis(4000));
        assert_eq!(saves.outcome(), Outcome::Good, "nor does it end the next one");
        assert!(saves.present().is_some());
    }

    #[test]
    fn a_scheduled_save_begins_without_save_points() {
        let mut saves = Saves::new(Millis(0));
        saves.schedule();
        assert!(saves.due(&[], 0, Millis(1)).is_some());
        let number = saves.begin(0, 0, Millis(1));
        let mut changes = 0;
        saves.end(number, Ended::Saved { set_aside_bytes_max: 0 }, &mut changes, Millis(2));
        assert!(saves.due(&[], 0, Millis(3)).is_none(), "once");
    }
}
