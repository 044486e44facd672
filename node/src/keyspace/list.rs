//! Lists: one run of elements in their entry while they are small, a deque of chunks when they are not.
//!
//! A list becomes chunks when it outgrows `list-max-listpack-size`, and one run again when it is a single chunk and has
//! shrunk to half of that: OBJECT ENCODING tells, as in Redis. Pushing and popping at either end moves no elements but for
//! a share of those pushed before, and allocates only when a size class or a chunk is full.

mod chunk;
mod chunks;
mod element;
mod packed;
mod run;

use std::collections::{VecDeque, vec_deque};
use std::ops::Range;

pub(in crate::keyspace) use chunk::{Chunk, Link};
use packed::Packed;
use run::{Buffer, Elements, Removals};

use super::entry::{Entry, Form, Value};
use super::object::Object;

pub(crate) use chunks::Chunks;
pub(crate) use element::Element;
pub(crate) use run::Run;

/// An end of a list: LEFT and RIGHT in commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Head,
    Tail,
}

/// How much a run may hold: `list-max-listpack-size`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    setting: i64,
}

/// What -1 to -5 stand for, and all below.
const SIZES: [usize; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];

/// Where elements are counted, a run still has no more bytes than this.
const COUNTED_BYTES_MAX: usize = 8 << 10;

/// What chunks shrink to before they become one run.
const HALF: usize = 2;

impl Limit {
    /// Elements, or with -1 to -5 a size of 4 to 64 KiB.
    pub(crate) fn new(setting: i64) -> Limit {
        Limit { setting }
    }

    /// The most bytes, or the most elements.
    fn parts(self) -> (Option<usize>, Option<usize>) {
        match usize::try_from(self.setting) {
            Ok(elements) => (None, Some(elements.max(1))),
            Err(_) => {
                let level = usize::try_from(self.setting.unsigned_abs()).unwrap_or(SIZES.len());
                (Some(SIZES[level.min(SIZES.len()) - 1]), None)
            }
        }
    }

    fn is_exceeded_by(self, redis_bytes: usize, elements: usize) -> bool {
        let (bytes_max, elements_max) = self.parts();
        redis_bytes > bytes_max.unwrap_or(COUNTED_BYTES_MAX) || elements_max.is_some_and(|max| elements > max)
    }

    /// Whether chunks may become this one run: a part of the limit, half after removals. Redis asks for the bytes only
    /// where the setting is a size.
    fn admits(self, run: Run<'_>, part: usize) -> bool {
        let (bytes_max, elements_max) = self.parts();
        bytes_max.is_none_or(|max| run.redis_bytes() <= max / part)
            && elements_max.is_none_or(|max| run.len <= max / part)
            && run.bytes.len() <= packed::RUN_BYTES_MAX
    }
}

/// A list, to be read.
#[derive(Clone, Copy)]
pub(crate) enum List<'a> {
    Packed(&'a [u8]),
    Chunked(&'a Chunks),
}

/// A list, to be changed. An emptied one is for the caller to delete with its key, any other to be settled after removals.
pub(crate) struct ListMut<'a> {
    entry: &'a mut Entry,
    limit: Limit,
}

impl Entry {
    pub(crate) fn with_list(key: &[u8]) -> Entry {
        Entry::new(key, Form::PackedList, &packed::EMPTY)
    }

    /// A list that is made at once: elements are pushed to chunks, which become one run if that is within the limit.
    pub(crate) fn with_list_of<'w>(key: &[u8], limit: Limit, words: impl Iterator<Item = &'w [u8]>) -> Entry {
        let mut chunks = Chunks::default();
        words.for_each(|word| chunks.push(End::Tail, word, limit));
        Entry::with_chunks(key, limit, chunks)
    }

    fn with_chunks(key: &[u8], limit: Limit, chunks: Chunks) -> Entry {
        match chunks.only_run() {
            Some(run) if limit.admits(run, 1) => Entry::new(key, Form::PackedList, &packed::value_of(run)),
            _ => Entry::with_object(key, Box::new(Object::List(chunks))),
        }
    }

    /// The list; None when the value is something else.
    #[inline]
    pub(crate) fn list(&self) -> Option<List<'_>> {
        match self.value() {
            Value::PackedList(bytes) => Some(List::Packed(bytes)),
            Value::Object(Object::List(chunks)) => Some(List::Chunked(chunks)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn list_mut(&mut self, limit: Limit) -> Option<ListMut<'_>> {
        self.list()?;
        Some(ListMut { entry: self, limit })
    }
}

/// A list that is made at once, of elements and of runs of them.
pub(crate) struct NewList {
    limit: Limit,
    chunks: Chunks,
}

impl NewList {
    pub(crate) fn new(limit: Limit) -> NewList {
        NewList { limit, chunks: Chunks::default() }
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        self.chunks.push(End::Tail, text, self.limit);
    }

    /// Adds the elements of a run, which becomes a chunk if it is not too large for one.
    pub(crate) fn push_run(&mut self, run: Run<'_>) {
        if !self.limit.is_exceeded_by(run.redis_bytes(), run.len) {
            return self.chunks.push_run(run);
        }
        let mut digits = itoa::Buffer::new();
        run.elements().for_each(|element| self.push(element.text(&mut digits)));
    }

    /// The list as a key's entry; None: it has no elements.
    pub(crate) fn finish(self, key: &[u8]) -> Option<Entry> {
        (self.chunks.len() > 0).then(|| Entry::with_chunks(key, self.limit, self.chunks))
    }
}

impl<'a> List<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            List::Packed(bytes) => packed::run(bytes).len,
            List::Chunked(chunks) => chunks.len(),
        }
    }

    pub(crate) fn iter(self) -> Iter<'a> {
        self.range(0..self.len())
    }

    /// The elements from one index to another, which must be there.
    pub(crate) fn range(self, range: Range<usize>) -> Iter<'a> {
        let chunks = match self {
            _ if range.is_empty() => return Iter::of_run(Run::EMPTY),
            List::Packed(bytes) => return Iter::of_run(packed::run(bytes).slice(range)),
            List::Chunked(chunks) => chunks,
        };
        let (first, last) = (chunks.find(range.start), chunks.find(range.end - 1));
        let run = |chunk: usize| chunks.chunks()[chunk].run();
        if first.chunk == last.chunk {
            return Iter::of_run(run(first.chunk).slice(first.index..last.index + 1));
        }
        let front = run(first.chunk);
        Iter {
            front: front.slice(first.index..front.len).elements(),
            middle: chunks.chunks().range(first.chunk + 1..last.chunk),
            back: run(last.chunk).slice(0..last.index + 1).elements(),
        }
    }

    /// The runs that hold the elements, in order.
    pub(crate) fn runs(self) -> impl Iterator<Item = Run<'a>> {
        let (one, many) = match self {
            List::Packed(bytes) => (Some(packed::run(bytes)), &NO_CHUNKS),
            List::Chunked(chunks) => (None, chunks.chunks()),
        };
        one.into_iter().chain(many.iter().map(|chunk| chunk.run()))
    }

    /// How many [`List::runs`] there are.
    pub(crate) fn run_count(self) -> usize {
        match self {
            List::Packed(_) => 1,
            List::Chunked(chunks) => chunks.chunks().len(),
        }
    }

    /// Where in a list an index of a request lies: negative ones count from the end.
    pub(crate) fn index(self, index: i64) -> Option<usize> {
        let len = i64::try_from(self.len()).ok()?;
        let index = if index < 0 { index + len } else { index };
        usize::try_from(index).ok().filter(|&index| index < self.len())
    }

    #[cfg(test)]
    pub(crate) fn is_packed(self) -> bool {
        matches!(self, List::Packed(_))
    }
}

/// Elements of a list, from both ends.
#[derive(Clone)]
pub(crate) struct Iter<'a> {
    front: Elements<'a>,
    middle: vec_deque::Iter<'a, Link>,
    back: Elements<'a>,
}

static NO_CHUNKS: VecDeque<Link> = VecDeque::new();

impl<'a> Iter<'a> {
    fn of_run(run: Run<'a>) -> Iter<'a> {
        Iter { front: run.elements(), middle: NO_CHUNKS.iter(), back: Run::EMPTY.elements() }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            if let Some(element) = self.front.next() {
                return Some(element);
            }
            match self.middle.next() {
                Some(chunk) => self.front = chunk.run().elements(),
                None => return self.back.next(),
            }
        }
    }

    /// Run by run: a long LRANGE does not ask for each element which run it is in.
    fn fold<T, F: FnMut(T, Element<'a>) -> T>(self, start: T, mut each: F) -> T {
        let mut value = self.front.fold(start, &mut each);
        for chunk in self.middle {
            value = chunk.run().elements().fold(value, &mut each);
        }
        self.back.fold(value, each)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(element) = self.back.next_back() {
                return Some(element);
            }
            match self.middle.next_back() {
                Some(chunk) => self.back = chunk.run().elements(),
                None => return self.front.next_back(),
            }
        }
    }
}

impl ListMut<'_> {
    pub(crate) fn view(&self) -> List<'_> {
        self.entry.list().expect("it was seen to be a list")
    }

    pub(crate) fn len(&self) -> usize {
        self.view().len()
    }

    /// Makes chunks of it if these words would outgrow one run. Redis asks before every change that may add, also of LSET
    /// and of an LINSERT that finds no pivot, and counts the words' bytes without what it costs to keep them.
    pub(crate) fn make_room_for<'w>(&mut self, words: impl Iterator<Item = &'w [u8]>) {
        let Value::PackedList(bytes) = self.entry.value() else { return };
        let run = packed::run(bytes);
        let (mut len, mut redis_bytes, mut bytes) = (run.len, run.redis_bytes(), run.bytes.len());
        for word in words {
            len += 1;
            redis_bytes += word.len();
            bytes += element::size_at_most(word.len());
        }
        if self.limit.is_exceeded_by(redis_bytes, len) || bytes > packed::RUN_BYTES_MAX {
            let chunks = Chunks::new(run);
            drop(self.entry.set_object(Box::new(Object::List(chunks))));
        }
    }

    /// Adds words at an end, one after the other. Not more than [`ListMut::make_room_for`] has seen; so for all that add.
    pub(crate) fn push<'w>(&mut self, end: End, words: impl Iterator<Item = &'w [u8]> + Clone) {
        let limit = self.limit;
        match self.chunks() {
            Some(chunks) => words.for_each(|word| chunks.push(end, word, limit)),
            None => self.packed().push(end, words.map(Element::new)),
        }
    }

    /// Inserts a word before element number `index`, or at the end.
    pub(crate) fn insert(&mut self, index: usize, word: &[u8]) {
        let limit = self.limit;
        match self.chunks() {
            Some(chunks) => chunks.insert(index, word, limit),
            None => self.packed().insert(index, Element::new(word)),
        }
    }

    pub(crate) fn replace(&mut self, index: usize, word: &[u8]) {
        let limit = self.limit;
        match self.chunks() {
            Some(chunks) => chunks.replace(index, word, limit),
            None => self.packed().replace(index, Element::new(word)),
        }
    }

    pub(crate) fn remove(&mut self, range: Range<usize>) {
        let limit = self.limit;
        match self.chunks() {
            Some(chunks) => chunks.remove(range, limit),
            None => self.packed().remove(range),
        }
    }

    /// Removes up to `count` elements equal to a word, the first or the last ones; returns how many there were.
    pub(crate) fn remove_equal(&mut self, word: &[u8], from: End, count: usize) -> usize {
        let limit = self.limit;
        let (element, mut removals) = (Element::new(word), Removals { from, left: count });
        match self.chunks() {
            Some(chunks) => chunks.remove_equal(element, removals, limit),
            None => {
                self.packed().remove_equal(element, &mut removals);
                count - removals.left
            }
        }
    }

    /// Makes one run of it again if removals have left little enough; returns how many elements are left.
    pub(crate) fn settle(&mut self) -> usize {
        if let List::Chunked(chunks) = self.view()
            && let Some(run) = chunks.only_run()
            && self.limit.admits(run, HALF)
        {
            let value = packed::value_of(run);
            self.entry.set_bytes(Form::PackedList, &value);
        }
        self.len()
    }

    fn packed(&mut self) -> Packed<'_> {
        Packed(self.entry)
    }

    /// To be changed; None: it is packed.
    fn chunks(&mut self) -> Option<&mut Chunks> {
        match self.entry.object_mut() {
            Some(Object::List(chunks)) => {
                chunks.about_to_change();
                Some(chunks)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
