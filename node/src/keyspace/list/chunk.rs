//! One run of a large list, in an allocation of its own.
//!
//! A chunk grows by doubling at the end where elements come, so that a list just past its limit does not cost a full
//! chunk at once; one that is full, and no longer at an end of its list, keeps little room.

use std::sync::Arc;

use super::Limit;
use super::run::{Buffer, Run};

#[derive(Clone, Default)]
pub(crate) struct Chunk {
    bytes: Bytes,
    start: u32,
    len: u32,
}

/// The bytes of a chunk.
#[derive(Clone)]
enum Bytes {
    Own(Vec<u8>),
    /// Held by a walk, too, or by a copy of what the walk holds: copied before they change.
    Shared(Arc<Vec<u8>>),
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes::Own(Vec::new())
    }
}

impl Bytes {
    #[inline]
    fn get(&self) -> &Vec<u8> {
        match self {
            Bytes::Own(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }

    #[inline]
    fn own(&mut self) -> &mut Vec<u8> {
        if let Bytes::Shared(bytes) = self {
            *self = Bytes::Own(Arc::unwrap_or_clone(std::mem::take(bytes)));
        }
        match self {
            Bytes::Own(bytes) => bytes,
            Bytes::Shared(_) => unreachable!("made its own just now"),
        }
    }
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

impl Chunk {
    pub(super) fn new(run: Run<'_>) -> Chunk {
        Chunk { bytes: Bytes::Own(run.bytes.to_vec()), start: 0, len: narrow(run.len) }
    }

    pub(in crate::keyspace) fn as_run(&self) -> Run<'_> {
        self.run()
    }

    /// The same chunk once more: its bytes are shared from now on.
    pub(super) fn share(&mut self) -> Chunk {
        if let Bytes::Own(bytes) = &mut self.bytes {
            self.bytes = Bytes::Shared(Arc::new(std::mem::take(bytes)));
        }
        self.clone()
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
        let (old, run) = (self.bytes.get().len(), other.run());
        self.resize(old + run.bytes.len());
        self.bytes.own()[old..].copy_from_slice(run.bytes);
        self.len += other.len;
    }

    /// Gives back room that a chunk between others has no use for, if it is worth a move.
    pub(super) fn close(&mut self) {
        let run_len = self.run().bytes.len();
        if self.bytes.get().capacity() - run_len > run_len / 8 {
            self.compact();
            self.bytes.own().shrink_to_fit();
        }
    }

    /// Bytes of the chunk's allocation.
    pub(super) fn allocated(&self) -> usize {
        self.bytes.get().capacity()
    }

    fn compact(&mut self) {
        self.bytes.own().drain(..self.start as usize);
        self.start = 0;
    }
}

impl Buffer for Chunk {
    const ROOM_MAX: usize = u32::MAX as usize;

    fn bytes(&self) -> &[u8] {
        self.bytes.get()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.own()
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
        let bytes = self.bytes.own();
        if len > bytes.capacity() {
            bytes.reserve_exact(capacity_for(len) - bytes.len());
        }
        bytes.resize(len, 0);
    }

    /// All room that there is goes to the front.
    fn widen_front(&mut self, room: usize) {
        if self.start() >= room {
            return;
        }
        let (old, run_len) = (self.start(), self.run().bytes.len());
        self.resize(run_len + room.max(old));
        let bytes = self.bytes.own();
        let all = bytes.capacity();
        bytes.resize(all, 0);
        bytes.copy_within(old..old + run_len, all - run_len);
        self.start = narrow(all - run_len);
    }

    fn trim_front(&mut self) {
        let run_len = self.run().bytes.len();
        if self.start() > BYTES_MIN && self.start() > run_len / 2 {
            self.compact();
        }
    }
}
