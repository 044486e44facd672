//! One run of a large list, in an allocation of its own.
//!
//! A chunk grows by doubling at the end where elements come, so that a list just past its limit does not cost a full
//! chunk at once; one that is full, and no longer at an end of its list, keeps little room.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::Limit;
use super::run::{Buffer, Run};

#[derive(Clone, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    start: u32,
    len: u32,
}

/// A chunk in its list.
#[derive(Clone)]
pub(crate) enum Link {
    Own(Chunk),
    /// Walks hold it, too: it is copied before it changes.
    Shared(Arc<Chunk>),
}

/// The least that a chunk allocates.
const BYTES_MIN: usize = 128;

/// Up to so many bytes a chunk doubles; what is larger is one long element, which has exactly its room.
const DOUBLING_BYTES_MAX: usize = 64 << 10;

/// Redis takes this for the most that an element costs beside its text when it asks whether one fits a chunk.
const ELEMENT_OVERHEAD: usize = 8;

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a chunk is shorter than 4 GiB")
}

fn capacity_for(len: usize) -> usize {
    if len <= DOUBLING_BYTES_MAX { len.next_power_of_two().max(BYTES_MIN) } else { len }
}

impl Default for Link {
    fn default() -> Self {
        Link::Own(Chunk::default())
    }
}

impl From<Chunk> for Link {
    fn from(chunk: Chunk) -> Link {
        Link::Own(chunk)
    }
}

impl Deref for Link {
    type Target = Chunk;

    #[inline]
    fn deref(&self) -> &Chunk {
        match self {
            Link::Own(chunk) => chunk,
            Link::Shared(chunk) => chunk,
        }
    }
}

impl DerefMut for Link {
    #[inline]
    fn deref_mut(&mut self) -> &mut Chunk {
        match self {
            Link::Own(chunk) => chunk,
            shared => shared.unshare(),
        }
    }
}

impl Link {
    /// The same chunk once more.
    pub(super) fn share(&mut self) -> Link {
        if let Link::Own(chunk) = self {
            *self = Link::Shared(Arc::new(std::mem::take(chunk)));
        }
        self.clone()
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Link::Shared(_))
    }

    #[cold]
    fn unshare(&mut self) -> &mut Chunk {
        if let Link::Shared(chunk) = self {
            *self = Link::Own(Arc::unwrap_or_clone(std::mem::take(chunk)));
        }
        match self {
            Link::Own(chunk) => chunk,
            Link::Shared(_) => unreachable!("it owns a chunk since just now"),
        }
    }
}

impl Chunk {
    pub(in crate::keyspace) fn as_run(&self) -> Run<'_> {
        self.run()
    }

    pub(super) fn new(run: Run<'_>) -> Chunk {
        Chunk { bytes: run.bytes.to_vec(), start: 0, len: narrow(run.len) }
    }

    /// Whether an element may be added.
    pub(super) fn fits(&self, text: &[u8], limit: Limit) -> bool {
        let run = self.run();
        run.len == 0 || !limit.is_exceeded_by(run.redis_bytes() + Chunk::bytes_for(text), run.len + 1)
    }

    /// What Redis expects an element to take.
    pub(super) fn bytes_for(text: &[u8]) -> usize {
        text.len() + ELEMENT_OVERHEAD
    }

    /// The bytes as Redis counts them, without one of the elements.
    pub(super) fn redis_bytes_without(&self, index: usize) -> usize {
        let run = self.run();
        run.redis_bytes() - run.span(index..index + 1).len()
    }

    /// Takes the elements from `index` on out into another chunk.
    pub(super) fn split_off(&mut self, index: usize) -> Chunk {
        let len = self.len();
        let tail = Chunk::new(self.run().slice(index..len));
        self.remove(index..len);
        tail
    }

    pub(super) fn append(&mut self, other: &Chunk) {
        let (old, run) = (self.bytes.len(), other.run());
        self.resize(old + run.bytes.len());
        self.bytes[old..].copy_from_slice(run.bytes);
        self.len += other.len;
    }

    /// Gives back room that a chunk between others has no use for, if it is worth a move.
    pub(super) fn close(&mut self) {
        let run_len = self.run().bytes.len();
        if self.bytes.capacity() - run_len > run_len / 8 {
            self.compact();
            self.bytes.shrink_to_fit();
        }
    }

    /// Bytes of the chunk's allocation.
    pub(super) fn allocated(&self) -> usize {
        self.bytes.capacity()
    }

    fn compact(&mut self) {
        self.bytes.drain(..self.start as usize);
        self.start = 0;
    }
}

impl Buffer for Chunk {
    const ROOM_MAX: usize = u32::MAX as usize;

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn start(&self) -> usize {
        self.start as usize
    }

    fn len(&self) -> usize {
        self.len as usize
    }

    fn set(&mut self, start: usize, len: usize) {
        (self.start, self.len) = (narrow(start), narrow(len));
    }

    fn resize(&mut self, len: usize) {
        if len > self.bytes.capacity() {
            self.bytes.reserve_exact(capacity_for(len) - self.bytes.len());
        }
        self.bytes.resize(len, 0);
    }

    /// All room that there is goes to the front.
    fn widen_front(&mut self, room: usize) {
        if self.start() >= room {
            return;
        }
        let (old, run_len) = (self.start(), self.run().bytes.len());
        self.resize(run_len + room.max(old));
        let all = self.bytes.capacity();
        self.bytes.resize(all, 0);
        self.bytes.copy_within(old..old + run_len, all - run_len);
        self.start = narrow(all - run_len);
    }

    fn trim_front(&mut self) {
        let run_len = self.run().bytes.len();
        if self.start() > BYTES_MIN && self.start() > run_len / 2 {
            self.compact();
        }
    }
}
