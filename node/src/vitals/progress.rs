//! Whether the keyspace thread gets on, and what it is at if it does not.
//!
//! The keyspace thread counts a turn when it wakes, when it rests and at each round of housekeeping, which comes however busy
//! it is, unless one task keeps the thread. It reads no clock for this: the pulse does, when it looks and finds the same turn again. So what
//! it says of "since" is late by as much as lies between two looks, never early.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use slotway_cluster::pulse::wire::{Busy, millis};
use slotway_commands::{Id, table::COMMANDS};

/// Written by the keyspace thread.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Counts up; odd while the thread is awake.
    turn: AtomicU64,
    /// The index of the command that runs, or ran last, and 1; 0: none since the thread woke.
    command: AtomicU64,
}

impl Progress {
    /// The thread wakes.
    pub(crate) fn wakes(&self) {
        self.command.store(0, Relaxed);
        self.turn.store((self.turn.load(Relaxed) | 1).wrapping_add(2), Relaxed);
    }

    /// The thread has nothing to do.
    pub(crate) fn rests(&self) {
        self.turn.store(self.turn.load(Relaxed).wrapping_add(2) & !1, Relaxed);
    }

    /// It is busy, and gets on.
    pub(crate) fn goes_on(&self) {
        self.turn.store(self.turn.load(Relaxed).wrapping_add(2), Relaxed);
    }

    /// A command begins that may take long.
    #[inline]
    pub(crate) fn runs(&self, command: Id) {
        self.command.store(u64::try_from(command.index()).unwrap_or(u64::MAX - 1) + 1, Relaxed);
    }

    fn command(&self) -> Option<&'static str> {
        let index = usize::try_from(self.command.load(Relaxed).checked_sub(1)?).ok()?;
        COMMANDS.get(index).map(|row| row.name)
    }
}

/// What the pulse remembers of its looks.
#[derive(Debug, Default)]
pub(crate) struct Look {
    turn: u64,
    since: Duration,
}

impl Look {
    /// Since when the thread is at one task, if it was at the same one at the last look. Whether it may serve is for others to say.
    pub(crate) fn again(&mut self, progress: &Progress, now: Duration) -> Option<Busy> {
        let turn = progress.turn.load(Relaxed);
        if turn != self.turn {
            *self = Look { turn, since: now };
            return None;
        }
        let is_awake = turn % 2 == 1;
        is_awake.then(|| Busy {
            for_ms: millis(now.saturating_sub(self.since)),
            command: progress.command().unwrap_or_default().to_owned(),
            under_lease: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_busy_from_the_second_look_at_the_same_turn_until_it_gets_on() {
        let (progress, mut look) = (Progress::default(), Look::default());
        let mut at = |ms| look.again(&progress, Duration::from_millis(ms));
        assert_eq!(at(0), None, "it rests");
        progress.wakes();
        assert_eq!(at(100), None, "it may have just begun");
        progress.runs(Id::Keys);
        assert_eq!(at(350), Some(Busy { for_ms: 250, command: "keys".into(), under_lease: false }));
        progress.goes_on();
        assert_eq!(at(400), None);
        assert_eq!(at(450).unwrap().for_ms, 50);
        progress.rests();
        assert_eq!((at(500), at(900)), (None, None));
        progress.wakes();
        assert_eq!((at(1000), at(1100).unwrap().command), (None, String::new()), "no command has begun");
    }
}
