//! How the use of a key is noted in the 24 bits that its entry has for it, and read back.
//!
//! Under most policies the bits are the time of the last use. Under an LFU policy they are, as in Redis, sixteen bits
//! of time in minutes and eight of a count that grows ever more slowly and fades: a key must be used a million times to
//! reach 255, and loses one for every `lfu-decay-time` minutes in which it is not. When the policy changes, the bits
//! are read in the new way at once; what they say is right again after every key has been used once.

use super::entry::{CLOCK_MASK, Entry};
use super::seed::Random;
use crate::call::Millis;

/// What is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// The second of the last use.
    LastUse,
    /// How often it was used.
    Frequency {
        /// `lfu-log-factor`: how slowly the count grows.
        log_factor: u64,
        /// `lfu-decay-time`: minutes for which it loses one; 0: it never does.
        decay_minutes: u64,
    },
    /// Nothing: a client said CLIENT NO-TOUCH.
    Nothing,
}

/// The count of a new key: not so low that it is evicted before it had a chance.
const FRESH_COUNT: u8 = 5;

const COUNT_BITS: u32 = 8;
const MINUTES_MASK: u64 = 0xFFFF;

impl Usage {
    /// The bits of a key that is new.
    pub(super) fn fresh(self, now: Millis) -> u32 {
        match self {
            Usage::LastUse | Usage::Nothing => clock(now),
            Usage::Frequency { .. } => bits(now, FRESH_COUNT),
        }
    }

    /// The bits of an entry that takes the place of another under the same key.
    pub(super) fn inherited(self, before: &Entry, now: Millis) -> u32 {
        match self {
            Usage::LastUse | Usage::Nothing => clock(now),
            Usage::Frequency { .. } => before.clock(),
        }
    }

    /// Notes a use.
    #[inline]
    pub(super) fn note(self, entry: &mut Entry, now: Millis, random: &mut Random) {
        match self {
            Usage::LastUse => entry.touch(clock(now)),
            Usage::Frequency { log_factor, .. } => {
                let count = grown(self.count(entry.clock(), now), log_factor, random);
                entry.touch(bits(now, count));
            }
            Usage::Nothing => {}
        }
    }

    /// OBJECT FREQ; None: it is not noted.
    pub(crate) fn frequency(self, entry: &Entry, now: Millis) -> Option<u8> {
        self.frequency_of(entry.clock(), now)
    }

    /// As [`Usage::frequency`], of an entry with these bits.
    pub(crate) fn frequency_of(self, clock: u32, now: Millis) -> Option<u8> {
        matches!(self, Usage::Frequency { .. }).then(|| self.count(clock, now))
    }

    /// The count as it has faded until now.
    fn count(self, clock: u32, now: Millis) -> u8 {
        let [count, minutes @ ..] = clock.to_le_bytes();
        let Usage::Frequency { decay_minutes, .. } = self else { return count };
        let then = u64::from(u16::from_le_bytes([minutes[0], minutes[1]]));
        let elapsed = minutes_of(now).wrapping_sub(then) & MINUTES_MASK;
        let faded = elapsed.checked_div(decay_minutes).unwrap_or(0);
        count.saturating_sub(u8::try_from(faded).unwrap_or(u8::MAX))
    }
}

/// What another server knew of a key's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Seconds since the last use.
    Idle(u64),
    /// The count of an LFU policy.
    Count(u8),
}

impl Usage {
    /// The bits of a key of which this is known. What the policy does not ask for is as with a new key.
    pub(super) fn known(self, known: Option<Known>, now: Millis) -> u32 {
        match (self, known) {
            (Usage::Frequency { .. }, Some(Known::Count(count))) => bits(now, count),
            (Usage::LastUse | Usage::Nothing, Some(Known::Idle(seconds))) => {
                let seconds = u32::try_from(seconds).unwrap_or(CLOCK_MASK).min(CLOCK_MASK);
                clock(now).wrapping_sub(seconds) & CLOCK_MASK
            }
            _ => self.fresh(now),
        }
    }
}

/// OBJECT IDLETIME: seconds since the last use.
pub(crate) fn idle_seconds(entry: &Entry, now: Millis) -> u32 {
    idle_seconds_of(entry.clock(), now)
}

/// As [`idle_seconds`], of an entry with these bits.
pub(crate) fn idle_seconds_of(bits: u32, now: Millis) -> u32 {
    clock(now).wrapping_sub(bits) & CLOCK_MASK
}

/// The clock of [`Usage::LastUse`]: seconds, modulo 2^24.
pub(crate) fn clock(Millis(now): Millis) -> u32 {
    u32::try_from((now / 1000) & u64::from(CLOCK_MASK)).expect("24 bits")
}

fn minutes_of(Millis(now): Millis) -> u64 {
    (now / 60_000) & MINUTES_MASK
}

fn bits(now: Millis, count: u8) -> u32 {
    let minutes = u32::try_from(minutes_of(now)).expect("16 bits");
    minutes << COUNT_BITS | u32::from(count)
}

/// One more, with a chance that falls with the count.
fn grown(count: u8, log_factor: u64, random: &mut Random) -> u8 {
    let above = u64::from(count.saturating_sub(FRESH_COUNT));
    let grows = random.below(above.saturating_mul(log_factor).saturating_add(1)) == 0;
    count.saturating_add(u8::from(grows))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LFU: Usage = Usage::Frequency { log_factor: 10, decay_minutes: 1 };
    const START: Millis = Millis(1_700_000_000_000);

    fn used(usage: Usage, times: usize) -> Entry {
        let mut entry = Entry::with_text(b"k", b"v");
        entry.touch(usage.fresh(START));
        let mut random = Random::new(7);
        (0..times).for_each(|_| usage.note(&mut entry, START, &mut random));
        entry
    }

    #[test]
    fn a_count_grows_with_the_logarithm_of_the_uses() {
        let count = |times| LFU.frequency(&used(LFU, times), START).unwrap();
        assert_eq!(count(0), 5);
        let counts = [100, 1000, 100_000].map(count);
        assert!((8..=14).contains(&counts[0]), "{counts:?}");
        assert!((15..=24).contains(&counts[1]), "{counts:?}");
        assert!((120..=165).contains(&counts[2]), "{counts:?}");
        let fast = Usage::Frequency { log_factor: 0, decay_minutes: 1 };
        assert_eq!(fast.frequency(&used(fast, 1000), START), Some(255));
    }

    #[test]
    fn a_count_fades_by_one_for_every_period() {
        let entry = used(Usage::Frequency { log_factor: 0, decay_minutes: 1 }, 95);
        let after = |minutes: u64, decay_minutes| {
            let usage = Usage::Frequency { log_factor: 10, decay_minutes };
            usage.frequency(&entry, Millis(START.0 + minutes * 60_000))
        };
        assert_eq!(after(0, 1), Some(100));
        assert_eq!(after(10, 1), Some(90));
        assert_eq!(after(10, 5), Some(98));
        assert_eq!(after(5000, 1), Some(0));
        assert_eq!(after(5000, 0), Some(100), "0: never");
    }

    #[test]
    fn idle_time_is_counted_from_the_last_use_over_the_clocks_end() {
        let mut entry = used(Usage::LastUse, 1);
        assert_eq!(idle_seconds(&entry, Millis(START.0 + 42_000)), 42);
        let last = Millis(u64::from(CLOCK_MASK) * 1000);
        Usage::LastUse.note(&mut entry, last, &mut Random::new(1));
        assert_eq!(idle_seconds(&entry, Millis(last.0 + 2000)), 2);
        Usage::Nothing.note(&mut entry, Millis(last.0 + 2000), &mut Random::new(1));
        assert_eq!(idle_seconds(&entry, Millis(last.0 + 3000)), 3, "this use is not noted");
    }
}
