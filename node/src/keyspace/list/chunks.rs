//! A large list: a deque of chunks, each a run of elements of about the bytes that a small list may have.
//!
//! An index is found by the chunks' counts, from the nearer end, so only one chunk is walked. Inserting into a full chunk
//! splits it; what removals leave small is merged with its neighbour. An element too large for a chunk is alone in its own.

use std::collections::VecDeque;
use std::ops::Range;

use super::chunk::{Chunk, Link};
use super::element::Element;
use super::run::{Buffer, Removals, Run};
use super::{End, Limit};
use crate::keyspace::walk::Handles;

#[derive(Default)]
pub(crate) struct Chunks {
    chunks: VecDeque<Link>,
    /// Elements.
    len: usize,
    /// The walks that are not through with it.
    frozen: Option<Box<Handles>>,
}

/// An element: its chunk and its index there.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) chunk: usize,
    pub(super) index: usize,
}

impl Chunks {
    pub(super) fn new(run: Run<'_>) -> Chunks {
        let mut chunks = VecDeque::new();
        if run.len > 0 {
            chunks.push_back(Chunk::new(run).into());
        }
        Chunks { chunks, len: run.len, frozen: None }
    }

    pub(in crate::keyspace) fn duplicate(&self) -> Chunks {
        Chunks { chunks: self.chunks.clone(), len: self.len, frozen: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether dropping it takes more than this many steps.
    pub(crate) fn is_slow_to_drop(&self, steps: usize) -> bool {
        self.chunks.len() > steps
    }

    /// About how many bytes it holds, judged by so many chunks; 0: all of them.
    pub(crate) fn bytes(&self, samples: usize) -> usize {
        let samples = if samples == 0 { self.chunks.len() } else { samples.min(self.chunks.len()) };
        let looked_at: usize = self.chunks.iter().take(samples).map(|chunk| chunk.allocated()).sum();
        let scaled = looked_at.saturating_mul(self.chunks.len()).checked_div(samples).unwrap_or(0);
        self.chunks.capacity() * size_of::<Link>() + scaled
    }

    pub(in crate::keyspace) fn chunks(&self) -> &VecDeque<Link> {
        &self.chunks
    }

    pub(in crate::keyspace) fn frozen_mut(&mut self) -> &mut Option<Box<Handles>> {
        &mut self.frozen
    }

    /// The chunk of this number, shared from now on.
    pub(in crate::keyspace) fn share_chunk(&mut self, number: usize) -> Option<Link> {
        self.chunks.get_mut(number).map(Link::share)
    }

    /// To be called before a change: walks that are not through with the list share its chunks from now on.
    #[inline]
    pub(super) fn about_to_change(&mut self) {
        if self.frozen.is_some() {
            self.share();
        }
    }

    #[cold]
    fn share(&mut self) {
        for handle in self.frozen.take().into_iter().flat_map(|handles| handles.take()) {
            handle.keep_chunks(|from| self.chunks.iter_mut().skip(from).map(Link::share).collect());
        }
    }

    /// Gives the chunks to the walks that are not through with them, before the list is dropped.
    pub(in crate::keyspace) fn hand_over(&mut self) {
        let Some(handles) = self.frozen.take() else { return };
        let bytes = self.bytes(CHUNKS_LOOKED_AT);
        handles.iter().for_each(|handle| handle.keep_alone(bytes));
        let mut handles = handles.take();
        let last = handles.pop();
        for handle in handles {
            handle.keep_chunks(|from| self.chunks.iter_mut().skip(from).map(Link::share).collect());
        }
        if let Some(handle) = last {
            handle.keep_chunks(|from| self.chunks.split_off(from));
        }
    }

    /// The only run; None: there is not exactly one.
    pub(super) fn only_run(&self) -> Option<Run<'_>> {
        if self.chunks.len() == 1 { self.chunks.front().map(|chunk| chunk.run()) } else { None }
    }

    /// Where element number `index` is, which must be there.
    pub(super) fn find(&self, index: usize) -> At {
        if index < self.len / 2 {
            let mut left = index;
            for (chunk, one) in self.chunks.iter().enumerate() {
                if left < one.len() {
                    return At { chunk, index: left };
                }
                left -= one.len();
            }
        } else {
            let mut behind = self.len - index;
            for (chunk, one) in self.chunks.iter().enumerate().rev() {
                if behind <= one.len() {
                    return At { chunk, index: one.len() - behind };
                }
                behind -= one.len();
            }
        }
        unreachable!("element {index} of {}", self.len)
    }

    pub(super) fn push(&mut self, end: End, text: &[u8], limit: Limit) {
        let last = match end {
            End::Head => self.chunks.front_mut(),
            End::Tail => self.chunks.back_mut(),
        };
        let element = [Element::new(text)].into_iter();
        self.len += 1;
        match last {
            Some(chunk) if chunk.fits(text, limit) => return chunk.push(end, element),
            Some(full) => full.close(),
            None => {}
        }
        let mut chunk = Chunk::new(Run::EMPTY);
        chunk.push(end, element);
        match end {
            End::Head => self.chunks.push_front(chunk.into()),
            End::Tail => self.chunks.push_back(chunk.into()),
        }
    }

    /// Adds a run of elements behind the others, in a chunk of its own.
    pub(super) fn push_run(&mut self, run: Run<'_>) {
        if run.len > 0 {
            self.len += run.len;
            self.chunks.push_back(Chunk::new(run).into());
        }
    }

    /// Inserts an element before number `index`, or at the end.
    pub(super) fn insert(&mut self, index: usize, text: &[u8], limit: Limit) {
        if index == 0 || index == self.len {
            return self.push(if index == 0 { End::Head } else { End::Tail }, text, limit);
        }
        let element = Element::new(text);
        let At { chunk, index } = self.find(index);
        self.len += 1;
        if index == 0 && self.chunks[chunk - 1].fits(text, limit) {
            return self.chunks[chunk - 1].push(End::Tail, [element].into_iter());
        }
        if self.chunks[chunk].fits(text, limit) {
            return self.chunks[chunk].insert(index, element);
        }
        // What the new element goes before begins chunk number `place` from now on.
        let place = if index == 0 { chunk } else { chunk + 1 };
        if index > 0 {
            let tail = self.chunks[chunk].split_off(index);
            self.chunks[chunk].close();
            self.chunks.insert(place, tail.into());
        }
        if self.chunks[place - 1].fits(text, limit) {
            self.chunks[place - 1].push(End::Tail, [element].into_iter());
        } else if self.chunks[place].fits(text, limit) {
            self.chunks[place].push(End::Head, [element].into_iter());
        } else {
            let mut alone = Chunk::new(Run::EMPTY);
            alone.push(End::Tail, [element].into_iter());
            self.chunks.insert(place, alone.into());
        }
        self.merge_around(place, limit);
    }

    /// An element that its chunk has no room for gets one of its own. But an only chunk stays one for the sake of a single
    /// large element: Redis makes one run of it again once that is gone.
    pub(super) fn replace(&mut self, index: usize, text: &[u8], limit: Limit) {
        let (at, is_only) = (self.find(index), self.chunks.len() == 1);
        let chunk = &mut self.chunks[at.chunk];
        let others = chunk.redis_bytes_without(at.index);
        let more = if is_only { 0 } else { Chunk::bytes_for(text) };
        if chunk.len() == 1 || !limit.is_exceeded_by(others + more, 0) {
            return chunk.replace(at.index, Element::new(text));
        }
        self.remove(index..index + 1, limit);
        self.insert(index, text, limit);
    }

    pub(super) fn remove(&mut self, range: Range<usize>, limit: Limit) {
        if range.is_empty() {
            return;
        }
        let At { chunk: first, index } = self.find(range.start);
        let mut left = range.len();
        self.len -= left;
        // The first chunk that goes as a whole, if any does.
        let mut whole = first;
        if index > 0 {
            let here = left.min(self.chunks[first].len() - index);
            self.chunks[first].remove(index..index + here);
            left -= here;
            whole += 1;
        }
        let mut end = whole;
        while left > 0 && self.chunks[end].len() <= left {
            left -= self.chunks[end].len();
            end += 1;
        }
        if end > whole {
            self.chunks.drain(whole..end);
        }
        if left > 0 {
            self.chunks[whole].remove(0..left);
        }
        self.merge_around(whole, limit);
    }

    pub(super) fn remove_equal(
        &mut self,
        element: Element<'_>,
        mut removals: Removals,
        limit: Limit,
    ) -> usize {
        let (from, before) = (removals.from, removals.left);
        // From the first chunk that became smaller to the last one.
        let mut changed: Option<Range<usize>> = None;
        let visit = |(place, chunk): (usize, &mut Link)| {
            let left = removals.left;
            // A shared chunk is not copied for nothing.
            if !chunk.is_shared() || chunk.run().elements().any(|one| one == element) {
                chunk.remove_equal(element, &mut removals);
            }
            if removals.left < left {
                let span = changed.take().unwrap_or(place..place);
                changed = Some(span.start.min(place)..span.end.max(place + 1));
            }
            removals.left > 0
        };
        match from {
            End::Head => self.chunks.iter_mut().enumerate().all(visit),
            End::Tail => self.chunks.iter_mut().enumerate().rev().all(visit),
        };
        let removed = before - removals.left;
        self.len -= removed;
        if let Some(changed) = changed {
            self.merge_within(changed, limit);
        }
        removed
    }

    /// Merges the chunk number `place`, which became smaller or is new, with the one before and the one behind.
    fn merge_around(&mut self, place: usize, limit: Limit) {
        for behind in [place + 1, place, place.wrapping_sub(1)] {
            if behind == 0 || behind >= self.chunks.len() || self.chunks.len() <= CHUNKS_KEPT {
                continue;
            }
            if may_merge(&self.chunks[behind - 1], &self.chunks[behind], limit)
                && let Some(chunk) = self.chunks.remove(behind)
            {
                self.chunks[behind - 1].append(&chunk);
            }
        }
    }

    /// The same for a range of chunks, of which some may be empty now: those go. It looks no further than one chunk to
    /// either side, so taking one element from a long list costs nothing for the chunks far away.
    fn merge_within(&mut self, changed: Range<usize>, limit: Limit) {
        let (first, end) = (changed.start.saturating_sub(1), self.chunks.len().min(changed.end + 1));
        let mut left = self.chunks.len();
        left -= self.chunks.range(changed).filter(|chunk| chunk.len() == 0).count();
        // Those from `first` to `kept` stay.
        let mut kept = first;
        for place in first..end {
            if self.chunks[place].len() == 0 {
                continue;
            }
            if kept > first
                && left > CHUNKS_KEPT
                && may_merge(&self.chunks[kept - 1], &self.chunks[place], limit)
            {
                let chunk = std::mem::take(&mut self.chunks[place]);
                self.chunks[kept - 1].append(&chunk);
                left -= 1;
            } else {
                self.chunks.swap(kept, place);
                kept += 1;
            }
        }
        if kept < end {
            self.chunks.drain(kept..end);
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// A list's size is judged by so many chunks.
const CHUNKS_LOOKED_AT: usize = 5;

/// Redis merges no chunks after removals, and calls a list of two small ones a quicklist: so two stay two.
const CHUNKS_KEPT: usize = 2;

/// Together they leave a quarter of a chunk free, so that the next insert does not split them again.
fn may_merge(one: &Chunk, other: &Chunk, limit: Limit) -> bool {
    let (one, other) = (one.run(), other.run());
    !limit.is_exceeded_by(
        (one.redis_bytes() + other.redis_bytes()) / 3 * 4,
        (one.len + other.len).div_ceil(3) * 4,
    )
}
