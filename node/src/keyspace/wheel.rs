//! When to look at which part for entries past their deadline.
//!
//! Not entries but parts are registered, by the range of hashes they cover, and a part only for its earliest
//! deadline: the wheel holds a few bytes per part, not per key. Near turns are 128 ms wide; the further off a deadline
//! is, the coarser the turn it is put into, always at or before the deadline: a part that is visited too early simply
//! asks again. So there are a few hundred turns at most, whatever deadlines clients choose.
//!
//! A registration is never taken back. When its turn comes, whatever parts then cover its range are visited, so that
//! parts may split, merge and vanish without telling the wheel; a part that is not due (another registration stands
//! for it) is passed over.

use std::collections::BTreeMap;

use slotway_cluster::Slot;

use super::part::NEVER;
use super::seed::Random;
use super::table::Again;
use crate::call::Millis;

/// Width of the nearest turns.
const TURN_MS: u64 = 128;

/// Deadlines less far off than this are put into a turn behind them, to be met in one visit.
const NEAR_MS: u64 = 16_384;

/// Turns per doubling of the distance: 2^4.
const FAR_BITS: u32 = 4;

/// A part is visited again after so many times this as it has entries at the earliest: how many entries are looked
/// at per second is bounded by the number of parts. Until then a key past its deadline is deleted when it is asked for.
const PAUSE_PER_ENTRY_MS: u64 = 8;

/// A registration list is cleared of doubles each time it outgrows its memory, from this length on.
const DOUBLES_FROM: usize = 64;

/// Choices by chance that one reckoning of the turns serves: it costs about as much as so many of them.
const CHOICES_MAX: u32 = 64;

#[derive(Default)]
pub(super) struct Wheel {
    turns: BTreeMap<u64, Vec<Range>>,
    lots: Lots,
}

/// How many registrations each turn had a short while ago, to choose among them without a walk over all turns.
#[derive(Default)]
struct Lots {
    /// When each turn comes, and the registrations up to its end.
    sums: Vec<(u64, usize)>,
    choices_left: u32,
}

/// A range of hashes in the table of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) slot: Slot,
    /// The range's common bits, then a one, then zeros.
    mark: u64,
}

impl Range {
    fn new(slot: Slot, start: u64, depth: u32) -> Range {
        Range { slot, mark: start | 1 << (u64::BITS - 1 - depth) }
    }

    pub(super) fn start(self) -> u64 {
        self.mark & (self.mark - 1)
    }

    /// The last hash of the range.
    pub(super) fn last(self) -> u64 {
        let bit = self.mark & self.mark.wrapping_neg();
        self.mark | (bit - 1)
    }

    /// A hash of the range, chosen by chance.
    pub(super) fn random_hash(self, random: &mut Random) -> u64 {
        self.start() | random.next() & (self.last() - self.start())
    }
}

impl Wheel {
    /// Asks for a visit.
    pub(super) fn add(&mut self, slot: Slot, again: Again) {
        let turn = self.turns.entry(again.due).or_default();
        if turn.len() == turn.capacity() && turn.len() >= DOUBLES_FROM {
            turn.sort_unstable();
            turn.dedup();
        }
        turn.push(Range::new(slot, again.start, again.depth));
    }

    /// A range whose turn has come.
    pub(super) fn take(&mut self, now: Millis) -> Option<Range> {
        let mut first = self.turns.first_entry().filter(|turn| *turn.key() <= now.0)?;
        let range = first.get_mut().pop();
        if first.get().is_empty() {
            first.remove();
        }
        range
    }

    /// Every range that a visit was asked for, the next ones first. A range may stand there twice, or have no deadline
    /// any more; a part with a deadline is in one of them.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range> {
        self.turns.values().flatten().copied()
    }

    /// One of them, chosen by chance; None also where a turn has come meanwhile: ask again. Each is about as likely as
    /// the others, but those of a new turn, which may not be known for a few dozen choices.
    pub(super) fn random(&mut self, random: &mut Random) -> Option<Range> {
        let Wheel { turns, lots } = self;
        if lots.choices_left == 0 {
            lots.count(turns);
        }
        lots.choices_left -= 1;
        let (_, all) = lots.sums.last()?;
        let drawn = random.index(*all);
        let (due, _) = lots.sums[lots.sums.partition_point(|(_, sum)| *sum <= drawn)];
        let Some(turn) = turns.get(&due) else {
            lots.choices_left = 0;
            return None;
        };
        Some(turn[random.index(turn.len())])
    }

    pub(super) fn bytes(&self) -> usize {
        self.turns.values().map(|turn| size_of_val(turn) + turn.capacity() * size_of::<Range>()).sum()
    }

    /// When the next turn comes.
    #[cfg(test)]
    pub(super) fn next(&self) -> Option<Millis> {
        self.turns.first_key_value().map(|(&at, _)| Millis(at))
    }

    /// Registrations, for tests.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.turns.values().map(Vec::len).sum()
    }
}

impl Lots {
    fn count(&mut self, turns: &BTreeMap<u64, Vec<Range>>) {
        let mut all = 0;
        self.sums.clear();
        self.sums.extend(turns.iter().map(|(due, turn)| {
            all += turn.len();
            (*due, all)
        }));
        self.choices_left = CHOICES_MAX;
    }
}

/// The turn that a deadline is put into.
pub(super) fn due_of(deadline: u64, Millis(now): Millis) -> u64 {
    let distance = deadline.saturating_sub(now);
    if distance < NEAR_MS {
        return (deadline / TURN_MS + 1).saturating_mul(TURN_MS);
    }
    let width = 1 << (distance.ilog2() - FAR_BITS);
    deadline / width * width
}

/// When to visit a part again whose earliest deadline and number of entries are these.
pub(super) fn due_again(earliest: u64, entries: usize, now: Millis) -> u64 {
    if earliest == NEVER {
        return NEVER;
    }
    let entries = u64::try_from(entries).expect("a few dozen entries");
    due_of(earliest, now).max((now.0 + entries * PAUSE_PER_ENTRY_MS).next_multiple_of(TURN_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn a_near_deadline_is_met_within_128_ms_and_a_far_one_is_not_passed() {
        let now = Millis(1_700_000_000_123);
        for distance in [0, 1, 127, 128, 5000, 16_383] {
            let due = due_of(now.0 + distance, now);
            assert!(due > now.0 + distance && due <= now.0 + distance + TURN_MS, "{distance}");
        }
        for distance in [16_384, 60_000, 3_600_000, 86_400_000 * 365, 1 << 60] {
            let due = due_of(now.0 + distance, now);
            assert!(due <= now.0 + distance && due > now.0 + distance / 8 * 7, "{distance}");
        }
    }

    #[test]
    fn a_far_deadline_is_reached_in_few_visits() {
        let deadline = 1_700_000_000_123 + 86_400_000 * 365;
        let mut now = Millis(1_700_000_000_123);
        let mut visits = 0;
        while now.0 < deadline {
            now = Millis(due_of(deadline, now).max(now.0 + 1));
            visits += 1;
        }
        assert!(visits < 12, "{visits} visits");
    }

    #[test]
    fn the_turns_are_few_whatever_the_deadlines() {
        let now = Millis(1_700_000_000_000);
        let mut dues: Vec<u64> =
            (0..400_000u64).map(|step| due_of(now.0 + NEAR_MS + step * step * 997, now)).collect();
        dues.dedup();
        assert!(dues.len() < 700, "{} turns", dues.len());
    }

    #[test]
    fn a_registration_made_over_and_over_takes_no_more_room() {
        let mut wheel = Wheel::default();
        for round in 0..100_000u64 {
            let slot = slot(u16::try_from(round % 10).unwrap());
            wheel.add(slot, Again { start: 0, depth: 0, due: 1000 });
        }
        assert!(wheel.len() <= 2 * DOUBLES_FROM, "{} registrations", wheel.len());
        assert_eq!(wheel.take(Millis(999)), None);
        let mut taken = 0;
        while wheel.take(Millis(1000)).is_some() {
            taken += 1;
        }
        assert!(taken >= 10 && wheel.next().is_none());
    }

    #[test]
    fn every_registration_is_as_likely_to_be_chosen_and_one_that_is_gone_is_not() {
        let mut wheel = Wheel::default();
        let mut random = Random::new(5);
        assert_eq!(wheel.random(&mut random), None);
        for number in 0..100 {
            // A turn of fifty, and fifty of one each.
            let due = if number < 50 { 1000 } else { 1000 + u64::from(number) };
            wheel.add(slot(number), Again { start: 0, depth: 0, due });
        }
        let mut chosen = [0; 100];
        for _ in 0..20_000 {
            let range = wheel.random(&mut random);
            chosen[range.map_or(0, |range| range.slot.index())] += 1;
        }
        assert!(chosen.iter().all(|times| (120..=300).contains(times)), "{chosen:?}");
        while wheel.take(Millis(1098)).is_some() {}
        let chosen: Vec<Option<Range>> = (0..200).map(|_| wheel.random(&mut random)).collect();
        assert!(chosen[1..].iter().flatten().all(|range| range.slot == slot(99)));
        assert!(chosen.iter().flatten().count() > 190, "what is gone is known to be gone at once");
        wheel.take(Millis(2000));
        assert!((0..200).all(|_| wheel.random(&mut random).is_none()));
    }

    #[test]
    fn a_range_reads_back() {
        let whole = Range::new(slot(1), 0, 0);
        assert_eq!((whole.start(), whole.last()), (0, u64::MAX));
        let third_quarter = Range::new(slot(1), 1 << 63, 2);
        assert_eq!((third_quarter.start(), third_quarter.last()), (1 << 63, (1 << 63) | ((1 << 62) - 1)));
        let last = Range::new(slot(1), u64::MAX << 8, 56);
        assert_eq!((last.start(), last.last()), (u64::MAX << 8, u64::MAX));
    }
}
