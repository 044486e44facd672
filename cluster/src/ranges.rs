//! Sets of slots as people and JSON write them: `"0-5460"`, `"7"`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::slot::{SLOTS, Slot};

/// Neighbouring slots, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotRange {
    first: Slot,
    last: Slot,
}

/// Not `"A"` or `"A-B"` with A <= B <= 16383.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRange(pub String);

impl fmt::Display for BadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected slots as \"7\" or \"0-99\" up to 16383, found \"{}\"", self.0)
    }
}

impl std::error::Error for BadRange {}

impl SlotRange {
    /// None when `first` lies behind `last`.
    pub fn new(first: Slot, last: Slot) -> Option<SlotRange> {
        (first <= last).then_some(SlotRange { first, last })
    }

    /// Every slot.
    pub fn full() -> SlotRange {
        let last = Slot::new(SLOTS - 1).expect("the last slot exists");
        SlotRange { first: Slot::new(0).expect("slot 0 exists"), last }
    }

    pub fn first(self) -> Slot {
        self.first
    }

    pub fn last(self) -> Slot {
        self.last
    }

    /// How many slots.
    pub fn count(self) -> usize {
        self.last.index() - self.first.index() + 1
    }

    pub fn slots(self) -> impl Iterator<Item = Slot> {
        (self.first.number()..=self.last.number()).filter_map(Slot::new)
    }

    /// Both as one, if `next` begins right behind this one.
    pub fn joined(self, next: SlotRange) -> Option<SlotRange> {
        let touches = self.last.index() + 1 == next.first.index();
        touches.then_some(SlotRange { first: self.first, last: next.last })
    }

    /// Adds a range behind all others.
    pub fn push(ranges: &mut Vec<SlotRange>, next: SlotRange) {
        match ranges.last_mut().and_then(|last| Some((last.joined(next)?, last))) {
            Some((joined, last)) => *last = joined,
            None => ranges.push(next),
        }
    }

    /// The fewest ranges that hold just these slots (given in ascending order).
    pub fn collect(slots: impl IntoIterator<Item = Slot>) -> Vec<SlotRange> {
        let mut ranges: Vec<SlotRange> = Vec::new();
        for slot in slots {
            SlotRange::push(&mut ranges, SlotRange { first: slot, last: slot });
        }
        ranges
    }

    /// All slots in `count` ranges, as equal as they can be, in order: shard i of n gets the i-th.
    pub fn equal(count: usize) -> Vec<SlotRange> {
        let total = usize::from(SLOTS);
        let edge = |i: usize| Slot::new(u16::try_from(i * total / count).expect("at most 16384"));
        (0..count)
            .filter_map(|i| {
                let first = edge(i)?;
                let end = u16::try_from((i + 1) * total / count).expect("at most 16384");
                SlotRange::new(first, Slot::new(end.checked_sub(1)?)?)
            })
            .collect()
    }
}

impl fmt::Display for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl FromStr for SlotRange {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<SlotRange, BadRange> {
        let bad = || BadRange(text.to_owned());
        let slot = |digits: &str| digits.parse().ok().and_then(Slot::new).ok_or_else(bad);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        SlotRange::new(slot(first)?, slot(last)?).ok_or_else(bad)
    }
}

impl Serialize for SlotRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SlotRange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<SlotRange, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ranges_cover_every_slot_once() {
        for count in 1..=100 {
            let ranges = SlotRange::equal(count);
            assert_eq!(ranges.len(), count);
            let slots: Vec<Slot> = ranges.iter().flat_map(|range| range.slots()).collect();
            assert_eq!(slots, Slot::all().collect::<Vec<_>>());
        }
    }

    #[test]
    fn three_shards_get_the_ranges_of_redis_cli() {
        let texts: Vec<String> = SlotRange::equal(3).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["0-5460", "5461-10921", "10922-16383"]);
    }

    #[test]
    fn a_range_reads_back_what_it_prints() {
        for text in ["0-5460", "7", "16383", "0-16383"] {
            assert_eq!(text.parse::<SlotRange>().unwrap().to_string(), text);
        }
        for text in ["", "-", "5-3", "16384", "0-16384", "a", "1-2-3", "-1"] {
            assert!(text.parse::<SlotRange>().is_err(), "{text}");
        }
    }
}
