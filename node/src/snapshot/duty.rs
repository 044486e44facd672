//! How much of its thread a snapshot may have.
//!
//! A snapshot that took all the time that clients leave would not be idle work: whoever comes while a piece is being written waits
//! for its end. So pieces are short ([`PIECE`]), and while clients are served a snapshot has at most [`SHARE_PERCENT`] of the
//! thread, all snapshots together. Where nobody was served for [`QUIET`], nobody is disturbed, and it need not rest.
//!
//! What clients overwrite before a snapshot has come to it is kept in memory, and at the limit of that writes wait. So the more of it
//! there is the more of the thread a snapshot has, up to [`SHARE_PERCENT_MAX`]: everybody a little slower instead of writers not at all.
//! Writing a key takes less than overwriting it did, so there is a share at which no more of it gathers, however fast clients are.
//!
//! A task cannot see whether its runtime has others to run. But it sees what they did: behind a yield every other task that
//! could run has run, and if no command was executed, nobody was there.

use std::time::{Duration, Instant};

/// How long one piece should take.
const PIECE: Duration = Duration::from_millis(1);
/// Of the thread's time, while clients are served.
const SHARE_PERCENT: u32 = 15;
/// At the limit of what may be set aside.
const SHARE_PERCENT_MAX: u32 = 50;
/// For so long nobody was served: nobody is there.
const QUIET: Duration = Duration::from_millis(5);

/// Bytes of a piece, at least: a piece that took long because the thread was not run says nothing of the next.
const PIECE_BYTES_MIN: usize = 16 * 1024;
pub(super) const PIECE_BYTES_MAX: usize = 1024 * 1024;
/// The first piece, of which nothing is known.
const PIECE_BYTES_FIRST: usize = 64 * 1024;

/// What the other tasks did since a piece was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Idle,
    Busy,
}

/// How much is set aside, in percent of what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pressure(u8);

impl Pressure {
    pub(super) fn of(bytes: usize, max: usize) -> Pressure {
        let percent = bytes as u128 * 100 / (max as u128).max(1);
        Pressure(u8::try_from(percent.min(100)).unwrap_or(100))
    }
}

/// The pace of one snapshot.
#[derive(Debug)]
pub(super) struct Duty {
    piece_bytes: usize,
    last_busy: Instant,
}

impl Duty {
    /// Others are taken for busy at first.
    pub(super) fn new(now: Instant) -> Duty {
        Duty { piece_bytes: PIECE_BYTES_FIRST, last_busy: now }
    }

    /// How many bytes the next piece should have.
    pub(super) fn piece_bytes(&self) -> usize {
        self.piece_bytes
    }

    /// How long to rest behind a piece, as one of so many snapshots.
    pub(super) fn rest(
        &mut self,
        began: Instant,
        ended: Instant,
        others: Others,
        snapshots: u32,
        pressure: Pressure,
    ) -> Duration {
        let took = ended.duration_since(began);
        self.aim_at(took);
        if others == Others::Busy {
            self.last_busy = ended;
        }
        if ended.duration_since(self.last_busy) >= QUIET {
            return Duration::ZERO;
        }
        let share_percent = SHARE_PERCENT + (SHARE_PERCENT_MAX - SHARE_PERCENT) * u32::from(pressure.0) / 100;
        (took * (100 * snapshots.max(1)) / share_percent).saturating_sub(took)
    }

    /// Bytes of pieces follow the time that they take: at most twice or half as many from one to the next.
    fn aim_at(&mut self, took: Duration) {
        let (was, nanos) = (self.piece_bytes, took.as_nanos().max(1));
        let wanted = was as u128 * PIECE.as_nanos() / nanos;
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        self.piece_bytes = wanted.clamp(was / 2, was * 2).clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const NONE: Pressure = Pressure(0);

    #[allow(clippy::disallowed_methods, reason = "any instant will do: the test moves it")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn beside_busy_clients_a_snapshot_has_fifteen_percent() {
        let now = start();
        let mut duty = Duty::new(now);
        let rest = duty.rest(now, now + 3 * MS, Others::Busy, 1, NONE);
        assert_eq!(rest, 17 * MS);
        let rest = duty.rest(now, now + 3 * MS, Others::Busy, 2, NONE);
        assert_eq!(rest, 37 * MS, "two have fifteen together");
    }

    #[test]
    fn the_more_is_set_aside_the_more_of_the_thread_it_has() {
        let now = start();
        let mut duty = Duty::new(now);
        let mut rest = |bytes| duty.rest(now, now + 4 * MS, Others::Busy, 1, Pressure::of(bytes, 1000));
        assert!(rest(500) < rest(0) && rest(1000) < rest(500));
        assert_eq!(rest(1000), 4 * MS, "half at the limit");
        assert_eq!(rest(5000), 4 * MS, "and no more");
        assert_eq!(Pressure::of(1, 0), Pressure(100));
    }

    #[test]
    fn a_snapshot_that_nobody_is_beside_does_not_rest() {
        let now = start();
        let mut duty = Duty::new(now);
        assert!(!duty.rest(now, now + MS, Others::Idle, 1, NONE).is_zero(), "not yet sure");
        assert!(duty.rest(now + 5 * MS, now + 6 * MS, Others::Idle, 1, NONE).is_zero());
        assert!(!duty.rest(now + 6 * MS, now + 7 * MS, Others::Busy, 1, NONE).is_zero(), "somebody came");
        assert!(
            !duty.rest(now + 8 * MS, now + 9 * MS, Others::Idle, 1, NONE).is_zero(),
            "and may come again"
        );
        assert!(duty.rest(now + 12 * MS, now + 13 * MS, Others::Idle, 1, NONE).is_zero());
    }

    #[test]
    fn pieces_grow_and_shrink_until_they_take_a_millisecond() {
        let now = start();
        let mut duty = Duty::new(now);
        duty.rest(now, now + MS / 4, Others::Idle, 1, NONE);
        assert_eq!(duty.piece_bytes(), 2 * PIECE_BYTES_FIRST);
        duty.rest(now, now + MS, Others::Idle, 1, NONE);
        assert_eq!(duty.piece_bytes(), 2 * PIECE_BYTES_FIRST);
        duty.rest(now, now + 50 * MS, Others::Idle, 1, NONE);
        assert_eq!(duty.piece_bytes(), PIECE_BYTES_FIRST);
        for _ in 0..10 {
            duty.rest(now, now + 50 * MS, Others::Idle, 1, NONE);
        }
        assert_eq!(duty.piece_bytes(), PIECE_BYTES_MIN);
        for _ in 0..10 {
            duty.rest(now, now, Others::Idle, 1, NONE);
        }
        assert_eq!(duty.piece_bytes(), PIECE_BYTES_MAX);
    }
}
