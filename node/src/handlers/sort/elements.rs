//! The elements of what is sorted, copied one behind the other.

use std::ops::Range;

use super::options::Direction;
use crate::keyspace::entry::Entry;
use crate::keyspace::sorted_set::Order;

/// Texts in one piece of memory.
#[derive(Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// Returns its number.
    pub(super) fn push(&mut self, text: &[u8]) -> usize {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        self.ends.len() - 1
    }

    pub(super) fn get(&self, nth: usize) -> &[u8] {
        let start = if nth == 0 { 0 } else { self.ends[nth - 1] };
        &self.bytes[start..self.ends[nth]]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|nth| self.get(nth))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Set,
    SortedSet,
}

/// None: it cannot be sorted.
pub(super) fn kind(entry: &Entry) -> Option<Kind> {
    if entry.list().is_some() {
        Some(Kind::List)
    } else if entry.set().is_some() {
        Some(Kind::Set)
    } else {
        entry.sorted_set().map(|_| Kind::SortedSet)
    }
}

pub(super) fn len(entry: &Entry) -> usize {
    let list = || entry.list().map(|list| list.len());
    let set = || entry.set().map(|set| set.len());
    let sorted_set = || entry.sorted_set().map(|set| set.len());
    list().or_else(set).or_else(sorted_set).unwrap_or(0)
}

pub(super) fn all(entry: &Entry) -> Texts {
    range(entry, 0..len(entry), Direction::Ascending)
}

/// Those of a range, in the order of the list or sorted set, from either end. A set has neither order nor ends.
pub(super) fn range(entry: &Entry, range: Range<usize>, direction: Direction) -> Texts {
    let mut texts = Texts::default();
    let len = len(entry);
    let places = match direction {
        Direction::Ascending => range.clone(),
        Direction::Descending => len - range.end..len - range.start,
    };
    if let Some(list) = entry.list() {
        let mut digits = itoa::Buffer::new();
        let elements = list.range(places);
        let mut push = |text: &[u8]| {
            texts.push(text);
        };
        match direction {
            Direction::Ascending => elements.for_each(|one| push(one.text(&mut digits))),
            Direction::Descending => elements.rev().for_each(|one| push(one.text(&mut digits))),
        }
    } else if let Some(set) = entry.set() {
        let mut nth = 0;
        set.for_each(|member| {
            if range.contains(&nth) {
                member.with_text(|text| texts.push(text));
            }
            nth += 1;
        });
    } else if let Some(set) = entry.sorted_set() {
        let order = match direction {
            Direction::Ascending => Order::Rising,
            Direction::Descending => Order::Falling,
        };
        set.for_each_in(places, order, |_, member| {
            texts.push(member);
        });
    }
    texts
}
