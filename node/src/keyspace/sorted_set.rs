//! Sorted sets: packed in their entry while they are small, a table by member and a tree by score when they are not.
//!
//! A sorted set leaves its packed form when it has more members than `zset-max-listpack-entries` or is given one longer
//! than `zset-max-listpack-value`, and never returns, as in Redis: OBJECT ENCODING tells.
//!
//! Ranges are pairs of ranks, ranks are found from an [`Edge`]: a walk while packed, one descent of the tree after.

mod edge;
mod indexed;
mod packed;
mod tree;

#[cfg(test)]
mod tests;

use std::ops::{ControlFlow, Range};

pub(crate) use edge::{Edge, compare};
pub(crate) use indexed::Indexed;
pub(crate) use packed::Packed;

use super::Settings;
use super::entry::{Entry, Form, Value};
use super::object::Object;
use super::packed::PACKED_BYTES_MAX;
use super::seed::{Random, Seed};

/// Elements that are visited before the visitor is asked whether to go on.
const VISITED_AT_ONCE: usize = 64;

#[cfg(test)]
thread_local! {
    /// How many elements walks have visited.
    pub(crate) static VISITED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// From which end a range is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Rising,
    Falling,
}

/// A sorted set, to be read.
#[derive(Clone, Copy)]
pub(crate) enum SortedSet<'a> {
    Packed(Packed<'a>),
    Indexed(&'a Indexed),
}

/// A sorted set, to be changed. An emptied one is for the caller to delete with its key.
pub(crate) struct SortedSetMut<'a> {
    entry: &'a mut Entry,
    seed: Seed,
    settings: Settings,
}

impl Entry {
    /// A sorted set without members, in the form that suits as many as are to come and the longest of them.
    pub(crate) fn with_sorted_set(key: &[u8], settings: &Settings, members: usize, longest: usize) -> Entry {
        if fits_packed(settings, members, longest) {
            return Entry::new(key, Form::PackedSortedSet, packed::EMPTY);
        }
        // No word is hashed for a table without entries: any seed will do.
        let empty = Indexed::from_sorted(&Seed::new([0; 16]), std::iter::empty());
        Entry::with_object(key, Box::new(Object::SortedSet(Box::new(empty))))
    }

    /// A sorted set of elements in the order of [`compare`], each member once.
    pub(crate) fn with_sorted_elements(
        key: &[u8],
        elements: &[(f64, impl AsRef<[u8]>)],
        seed: &Seed,
        settings: &Settings,
    ) -> Entry {
        let elements = elements.iter().map(|(score, member)| (*score, member.as_ref()));
        debug_assert!(elements.clone().is_sorted_by(|one, other| compare(*one, *other).is_lt()));
        let longest = elements.clone().map(|(_, member)| member.len()).max().unwrap_or(0);
        if fits_packed(settings, elements.len(), longest) {
            return Entry::new(key, Form::PackedSortedSet, &packed::pack(elements));
        }
        let indexed = Indexed::from_sorted(seed, elements);
        Entry::with_object(key, Box::new(Object::SortedSet(Box::new(indexed))))
    }

    /// The sorted set; None when the value is something else.
    pub(crate) fn sorted_set(&self) -> Option<SortedSet<'_>> {
        match self.value() {
            Value::PackedSortedSet(bytes) => Some(SortedSet::Packed(Packed::new(bytes))),
            Value::Object(Object::SortedSet(indexed)) => Some(SortedSet::Indexed(indexed)),
            _ => None,
        }
    }

    pub(crate) fn sorted_set_mut(&mut self, seed: Seed, settings: Settings) -> Option<SortedSetMut<'_>> {
        self.sorted_set()?;
        Some(SortedSetMut { entry: self, seed, settings })
    }
}

fn fits_packed(settings: &Settings, members: usize, longest: usize) -> bool {
    members <= settings.sorted_set_packed_members_max
        && longest <= settings.sorted_set_packed_value_bytes_max
        && members.saturating_mul(longest) <= PACKED_BYTES_MAX
}

impl<'a> SortedSet<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            SortedSet::Packed(packed) => packed.len(),
            SortedSet::Indexed(indexed) => indexed.len(),
        }
    }

    pub(crate) fn is_packed(&self) -> bool {
        matches!(self, SortedSet::Packed(_))
    }

    pub(crate) fn score(&self, seed: &Seed, member: &[u8]) -> Option<f64> {
        match self {
            SortedSet::Packed(packed) => packed.find(member).map(|element| element.score),
            SortedSet::Indexed(indexed) => indexed.score(seed.hash(member), member),
        }
    }

    /// How many elements lie in front of the edge.
    pub(crate) fn rank(&self, edge: Edge<'_>) -> usize {
        match self {
            SortedSet::Packed(packed) => packed.rank(edge),
            SortedSet::Indexed(indexed) => indexed.rank(edge),
        }
    }

    /// The ranks of the elements between two edges, read in this order.
    ///
    /// The order matters only where edges are members and scores differ, which Redis leaves open: it walks a packed
    /// sorted set from one end to the first element within, and on to the first one that is not.
    pub(crate) fn between(&self, low: Edge<'_>, high: Edge<'_>, order: Order) -> Range<usize> {
        match self {
            SortedSet::Packed(packed) => packed.between(low, high, order),
            SortedSet::Indexed(indexed) => {
                let start = indexed.rank(low);
                start..indexed.rank(high).max(start)
            }
        }
    }

    pub(crate) fn nth(&self, rank: usize) -> Option<(f64, &'a [u8])> {
        match self {
            SortedSet::Packed(packed) => {
                packed.elements().nth(rank).map(|element| (element.score, element.member))
            }
            SortedSet::Indexed(indexed) => indexed.nth(rank),
        }
    }

    /// Calls `each` with the elements of these ranks, which must be there, the last first if `order` says so.
    pub(crate) fn for_each_in(&self, ranks: Range<usize>, order: Order, each: impl FnMut(f64, &'a [u8])) {
        #[cfg(test)]
        VISITED.set(VISITED.get() + ranks.len());
        match self {
            SortedSet::Packed(packed) => packed.for_each(ranks, order, each),
            SortedSet::Indexed(indexed) => indexed.for_each(ranks, order, each),
        }
    }

    /// Calls `each` with the elements of these ranks in order until it breaks off. Walks in steps, so the rest of a long
    /// range is not visited; a packed sorted set has no rest worth a second walk to where the first one ended.
    pub(crate) fn try_for_each_in(
        &self,
        ranks: Range<usize>,
        mut each: impl FnMut(f64, &'a [u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let at_once = if self.is_packed() { ranks.len().max(1) } else { VISITED_AT_ONCE };
        let mut flow = ControlFlow::Continue(());
        for start in ranks.clone().step_by(at_once) {
            let step = start..ranks.end.min(start + at_once);
            self.for_each_in(step, Order::Rising, |score, member| {
                if flow.is_continue() {
                    flow = each(score, member);
                }
            });
            flow?;
        }
        flow
    }

    /// Calls `each` with every element in order.
    pub(crate) fn for_each(&self, each: impl FnMut(f64, &'a [u8])) {
        self.for_each_in(0..self.len(), Order::Rising, each);
    }

    /// An element chosen by chance; None: there is none.
    pub(crate) fn random(&self, random: &mut Random) -> Option<(f64, &'a [u8])> {
        match self {
            SortedSet::Packed(packed) if packed.len() == 0 => None,
            SortedSet::Packed(packed) => self.nth(random.index(packed.len())),
            SortedSet::Indexed(indexed) => indexed.random(random),
        }
    }

    /// Calls `each` with the elements from `position` on until there have been `count` or a few more. Returns the
    /// position to go on from, 0 at the end. A packed sorted set is visited whole, in order.
    pub(crate) fn scan(&self, position: u64, count: usize, each: impl FnMut(f64, &'a [u8])) -> u64 {
        match self {
            SortedSet::Packed(_) => {
                self.for_each(each);
                0
            }
            SortedSet::Indexed(indexed) => indexed.walk(position, count, each).unwrap_or(0),
        }
    }
}

impl SortedSetMut<'_> {
    pub(crate) fn view(&self) -> SortedSet<'_> {
        self.entry.sorted_set().expect("it was seen to be a sorted set")
    }

    /// Asks `decide` for a member's score, telling it the present one. None: all stays as it is.
    pub(crate) fn update(&mut self, member: &[u8], decide: impl FnOnce(Option<f64>) -> Option<f64>) {
        let Value::PackedSortedSet(bytes) = self.entry.value() else {
            let seed = self.seed;
            return self.indexed().update(&seed, member, decide);
        };
        let packed = Packed::new(bytes);
        if let Some(found) = packed.find(member) {
            let place = found.place();
            if let Some(score) = decide(Some(found.score)) {
                packed::remove(self.entry, place);
                packed::insert(self.entry, score, member);
            }
            return;
        }
        let Some(score) = decide(None) else { return };
        let grown = packed.bytes().saturating_add(member.len());
        if fits_packed(&self.settings, packed.len() + 1, member.len()) && grown <= PACKED_BYTES_MAX {
            packed::insert(self.entry, score, member);
        } else {
            let seed = self.seed;
            self.unpack();
            self.indexed().update(&seed, member, |_| Some(score));
        }
    }

    /// Removes a member; false: there was none.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let Value::PackedSortedSet(bytes) = self.entry.value() else {
            let seed = self.seed;
            return self.indexed().remove(&seed, member);
        };
        let place = Packed::new(bytes).find(member).map(|element| element.place());
        match place {
            Some(place) => {
                packed::remove(self.entry, place);
                true
            }
            None => false,
        }
    }

    /// Removes the elements of these ranks, which must be there.
    pub(crate) fn remove_ranks(&mut self, ranks: Range<usize>) {
        let seed = self.seed;
        match self.view() {
            SortedSet::Packed(_) => packed::remove_ranks(self.entry, ranks),
            SortedSet::Indexed(_) => self.indexed().remove_ranks(&seed, ranks),
        }
    }

    fn unpack(&mut self) {
        let mut elements = Vec::with_capacity(self.view().len());
        self.view().for_each(|score, member| elements.push((score, member)));
        let indexed = Indexed::from_sorted(&self.seed, elements.into_iter());
        drop(self.entry.set_object(Box::new(Object::SortedSet(Box::new(indexed)))));
    }

    fn indexed(&mut self) -> &mut Indexed {
        match self.entry.object_mut() {
            Some(Object::SortedSet(indexed)) => indexed,
            _ => unreachable!("a sorted set that is not packed is indexed"),
        }
    }
}
