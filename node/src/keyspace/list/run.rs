//! A run of elements: bytes with room before and behind them, so that pushing and popping at either end moves nothing.
//!
//! A small list is one run in its entry ([`super::packed`]), a large one has many ([`super::chunk`]). Both lie in a
//! [`Buffer`] and change here: a change moves the shorter side, and room at the front is made for many pushes at once.

use std::ops::Range;

use super::End;
use super::element::{self, Element};

/// Elements one behind the other.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) bytes: &'a [u8],
    /// Elements.
    pub(crate) len: usize,
}

/// The elements of a run, from both ends.
#[derive(Clone)]
pub(crate) struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let (element, size) = element::first(self.0);
        self.0 = &self.0[size..];
        Some(element)
    }
}

impl DoubleEndedIterator for Elements<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (rest, last) = self.0.split_at(self.0.len() - element::last_size(self.0));
        self.0 = rest;
        Some(element::first(last).0)
    }
}

impl<'a> Run<'a> {
    pub(super) const EMPTY: Run<'static> = Run { bytes: &[], len: 0 };

    pub(crate) fn elements(self) -> Elements<'a> {
        Elements(self.bytes)
    }

    /// Where element number `index` begins; the end, for as many as there are. Walks from the nearer end.
    pub(super) fn offset(self, index: usize) -> usize {
        debug_assert!(index <= self.len, "element {index} of {}", self.len);
        let mut elements = self.elements();
        if index <= self.len / 2 {
            elements.by_ref().take(index).for_each(drop);
            return self.bytes.len() - elements.0.len();
        }
        elements.by_ref().rev().take(self.len - index).for_each(drop);
        elements.0.len()
    }

    /// The bytes of the elements from one index to another.
    pub(super) fn span(self, range: Range<usize>) -> Range<usize> {
        let start = self.offset(range.start);
        let rest = Run { bytes: &self.bytes[start..], len: self.len - range.start };
        start..start + rest.offset(range.len())
    }

    /// The elements from one index to another.
    pub(super) fn slice(self, range: Range<usize>) -> Run<'a> {
        Run { len: range.len(), bytes: &self.bytes[self.span(range)] }
    }

    /// The bytes as Redis counts them: those of its listpack.
    pub(super) fn redis_bytes(self) -> usize {
        self.bytes.len() + LISTPACK_OVERHEAD
    }
}

/// A listpack's header and its end.
const LISTPACK_OVERHEAD: usize = 7;

/// How often LREM may remove, and from which end it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Removals {
    pub(super) from: End,
    pub(super) left: usize,
}

/// What a run lies in.
pub(super) trait Buffer {
    /// Room in front of the run is at most so many bytes.
    const ROOM_MAX: usize;

    /// All bytes: the room in front of the run, and the run to their end.
    fn bytes(&self) -> &[u8];
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Where the run begins.
    fn start(&self) -> usize;
    /// Elements of the run.
    fn len(&self) -> usize;
    fn set(&mut self, start: usize, len: usize);
    /// Makes the bytes longer or shorter at their end.
    fn resize(&mut self, len: usize);
    /// Makes room for `room` bytes or more in front of the run, whose bytes may move.
    fn widen_front(&mut self, room: usize);
    /// Gives back room in front of the run if there is too much of it.
    fn trim_front(&mut self);

    fn run(&self) -> Run<'_> {
        Run { bytes: &self.bytes()[self.start()..], len: self.len() }
    }

    /// Adds elements at an end, one after the other.
    fn push<'w>(&mut self, end: End, elements: impl Iterator<Item = Element<'w>> + Clone) {
        let (size, count) =
            elements.clone().fold((0, 0), |(size, count), one| (size + one.size(), count + 1));
        let run_len = self.run().bytes.len();
        let room = match end {
            End::Head => self.splice(0..0, size),
            End::Tail => self.splice(run_len..run_len, size),
        };
        let mut left = size;
        for one in elements {
            let start = if end == End::Head { left - one.size() } else { size - left };
            one.write(&mut room[start..start + one.size()]);
            left -= one.size();
        }
        self.set(self.start(), self.len() + count);
    }

    /// Inserts an element before that of number `index`.
    fn insert(&mut self, index: usize, element: Element<'_>) {
        let at = self.run().offset(index);
        element.write(self.splice(at..at, element.size()));
        self.set(self.start(), self.len() + 1);
    }

    fn replace(&mut self, index: usize, element: Element<'_>) {
        let old = self.run().span(index..index + 1);
        element.write(self.splice(old, element.size()));
        self.trim_front();
    }

    fn remove(&mut self, range: Range<usize>) {
        let count = range.len();
        let old = self.run().span(range);
        self.splice(old, 0);
        self.set(self.start(), self.len() - count);
        self.trim_front();
    }

    /// Removes the elements that are equal to one, in one pass; takes their number from what is left of `removals`.
    fn remove_equal(&mut self, element: Element<'_>, removals: &mut Removals) {
        let equal = self.run().elements().filter(|&one| one == element).count();
        let count = equal.min(removals.left);
        if count == 0 {
            return;
        }
        let spared = if removals.from == End::Tail { equal - count } else { 0 };
        let (base, end) = (self.start(), self.bytes().len());
        let bytes = self.bytes_mut();
        let (mut kept, mut at, mut nth) = (base, base, 0);
        while at < end {
            let (one, size) = element::first(&bytes[at..]);
            let is_equal = one == element;
            nth += usize::from(is_equal);
            if !(is_equal && nth > spared && nth <= spared + count) {
                bytes.copy_within(at..at + size, kept);
                kept += size;
            }
            at += size;
        }
        self.resize(kept);
        self.set(base, self.len() - count);
        self.trim_front();
        removals.left -= count;
    }

    /// Replaces a range of the run's bytes by `len` others, which the caller writes. Moves the shorter side.
    fn splice(&mut self, range: Range<usize>, len: usize) -> &mut [u8] {
        let run = self.run().bytes.len();
        let (before, after) = (range.start, run - range.end);
        if len > range.len() {
            let more = len - range.len();
            if before < after && more <= Self::ROOM_MAX {
                self.widen_front(more);
                let start = self.start();
                self.bytes_mut().copy_within(start..start + before, start - more);
                self.set(start - more, self.len());
            } else {
                let end = self.bytes().len();
                self.resize(end + more);
                self.bytes_mut().copy_within(end - after..end, end - after + more);
            }
        } else if len < range.len() {
            let less = range.len() - len;
            let start = self.start();
            if before < after && start + less <= Self::ROOM_MAX {
                self.bytes_mut().copy_within(start..start + before, start + less);
                self.set(start + less, self.len());
            } else {
                let end = self.bytes().len();
                self.bytes_mut().copy_within(end - after..end, end - after - less);
                self.resize(end - less);
            }
        }
        let at = self.start() + before;
        &mut self.bytes_mut()[at..at + len]
    }
}
