//! What a large collection knows of the walks that are not through with it.
//!
//! A collection of many elements cannot be copied when its key is about to change. It is frozen instead: a [`Handle`] in
//! the collection and the walk share a [`Rest`], which says how far the walk has come. What lies behind that is put into
//! the rest before it changes: a part of a table as copies of its elements, a list as its chunks, shared. So a write costs
//! one part at most, and who changes nothing costs nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::keyspace::entry::Entry;
use crate::keyspace::list::Link;
use crate::keyspace::object;
use crate::keyspace::seed::Seed;

/// The walks of one collection, the first that froze it first. Never empty.
pub(in crate::keyspace) struct Handles(Vec<Handle>);

/// One walk of a collection, as the collection knows it.
#[derive(Clone)]
pub(in crate::keyspace) struct Handle {
    pub(super) id: FreezeId,
    pub(super) rest: Arc<Mutex<Rest>>,
}

/// A freezing, by the version that it began: parts of the collection with this version or a later one have changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::keyspace) struct FreezeId(pub(super) u64);

/// What of a collection a walk has not taken yet.
pub(in crate::keyspace) struct Rest {
    /// In the collection itself: the hash from which on, or of a list the number of the chunk. None: nothing any more.
    pub(super) from: Option<u64>,
    /// Set aside: to be taken before the others.
    pub(super) elements: VecDeque<Entry>,
    /// The chunks of a list that has changed, in order.
    pub(super) chunks: VecDeque<Link>,
    /// Bytes of the collection itself, if nobody but walks has it any more.
    alone_bytes: usize,
    held: Arc<Held>,
    seed: Seed,
}

/// Bytes that are set aside for one walk.
#[derive(Debug, Default)]
pub(super) struct Held(AtomicUsize);

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl FreezeId {
    /// What changes from the freezing on has this version or a later one.
    pub(super) fn version(self) -> u64 {
        self.0
    }
}

impl Handle {
    pub(super) fn new(id: FreezeId, held: &Arc<Held>, seed: Seed) -> Handle {
        let rest = Rest {
            from: Some(0),
            elements: VecDeque::new(),
            chunks: VecDeque::new(),
            alone_bytes: 0,
            held: Arc::clone(held),
            seed,
        };
        Handle { id, rest: Arc::new(Mutex::new(rest)) }
    }

    /// A lock that nobody waits for: collection and walk are used by one thread at a time.
    pub(super) fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The collection was deleted: it is kept for the walk alone.
    pub(in crate::keyspace) fn keep_alone(&self, bytes: usize) {
        let mut rest = self.rest();
        rest.alone_bytes += bytes;
        rest.held.add(bytes);
    }

    /// Keeps the chunks of a list from the one on that the walk has not taken yet.
    pub(in crate::keyspace) fn keep_chunks(&self, share: impl FnOnce(usize) -> VecDeque<Link>) {
        let mut rest = self.rest();
        if let Some(from) = rest.from.take() {
            rest.chunks = share(usize::try_from(from).unwrap_or(usize::MAX));
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.held.give_back(self.alone_bytes);
    }
}

impl Handles {
    pub(super) fn add(frozen: &mut Option<Box<Handles>>, handle: Handle) {
        match frozen {
            Some(handles) => handles.0.push(handle),
            None => *frozen = Some(Box::new(Handles(vec![handle]))),
        }
    }

    /// The walk is through, or given up.
    pub(super) fn remove(frozen: &mut Option<Box<Handles>>, id: FreezeId) {
        if let Some(handles) = frozen {
            handles.0.retain(|handle| handle.id != id);
            if handles.0.is_empty() {
                *frozen = None;
            }
        }
    }

    pub(in crate::keyspace) fn iter(&self) -> impl Iterator<Item = &Handle> {
        self.0.iter()
    }

    pub(in crate::keyspace) fn ids(&self) -> impl Iterator<Item = FreezeId> {
        self.0.iter().map(|handle| handle.id)
    }

    pub(in crate::keyspace) fn take(self) -> Vec<Handle> {
        self.0
    }

    fn last(&self) -> &Handle {
        self.0.last().expect("a collection is frozen by somebody")
    }

    /// The version of what changes from now on.
    pub(in crate::keyspace) fn version(&self) -> u64 {
        self.last().id.0
    }

    pub(in crate::keyspace) fn seed(&self) -> Seed {
        self.last().rest().seed
    }

    /// Copies a part's elements for the walks that have not come to it, given its version and the start of its range.
    pub(in crate::keyspace) fn set_aside<'e>(
        &self,
        version: u64,
        start: u64,
        elements: impl Iterator<Item = &'e Entry> + Clone,
    ) {
        // Those whose walk is gone, as when the keyspace is dropped, need nothing.
        let is_told = |handle: &&Handle| version < handle.id.0 && Arc::strong_count(&handle.rest) > 1;
        for handle in self.0.iter().filter(is_told) {
            let mut rest = handle.rest();
            if rest.from.is_some_and(|from| from <= start) {
                elements.clone().for_each(|element| rest.keep(element));
            }
        }
    }

    /// All of the collection is set aside: there is nothing to be taken from itself.
    pub(in crate::keyspace) fn end(&self) {
        self.0.iter().for_each(|handle| handle.rest().from = None);
    }
}

impl Rest {
    pub(super) fn keep(&mut self, element: &Entry) {
        let copy = object::copy(element).expect("an element is a string");
        self.held.add(copy.allocated() + size_of::<Entry>());
        self.elements.push_back(copy);
    }

    pub(super) fn take_element(&mut self) -> Option<Entry> {
        let element = self.elements.pop_front()?;
        self.held.give_back(element.allocated() + size_of::<Entry>());
        Some(element)
    }
}
