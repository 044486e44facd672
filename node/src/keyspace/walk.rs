//! Walks: everything that the keyspace holds at one instant, taken piece by piece while it goes on being changed.
//!
//! A snapshot, a rewritten log and a full synchronisation each need all keys as they were when they began. There is no
//! fork. A walk goes through databases, slots and hashes in order, part by part, and writes records of keys; who changes a
//! key that it has not come to yet first copies its entry for it ([`walks`]), and the walk writes such copies before it goes
//! on, so that they do not gather while it is faster than its clients. What was copied is marked in its part, and a part has a
//! version, which says which walks need not be told any more; so each key is in a walk exactly once, as it was at its start,
//! and nothing is copied twice. A collection of many elements is not copied but frozen, and then treated in the same way by
//! its own parts ([`frozen`]). What a walk has collected it writes in pieces of the size that it is asked for ([`pieces`]), as
//! records or as commands ([`wording`]).
//!
//! What this promises: without a walk a write costs one branch more. With a walk a write copies the key that it changes, and
//! one part of a collection, 64 KiB or one entry if that is larger; with several walks one part of keys at most. The records
//! are made by the walk. Up to
//! [`WALKS_MAX`] walks may go at once, each at its own pace.
//!
//! What it does not do: it does not decide when a walk goes on, nor how much may be set aside: see
//! [`Keyspace::set_aside_bytes`].

mod frozen;
mod pieces;
mod walks;
mod wording;

#[cfg(test)]
mod tests;

use slotway_cluster::Database;

use super::entry::Entry;
use super::{Key, Keyspace, Place};

pub(super) use frozen::Handles;
pub(super) use walks::Walks;
pub(crate) use wording::Wording;

/// So many walks may go at once.
pub(crate) const WALKS_MAX: usize = 8;

/// What a walk goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All keys of all databases.
    All,
}

/// A walk that goes on. Never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WalkId(u64);

/// Whether a walk has anything left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Ended,
}

impl Keyspace {
    /// Begins a walk over everything as it is now. None: there are [`WALKS_MAX`] already.
    pub(crate) fn begin_walk(&mut self, scope: Scope, wording: Wording) -> Option<WalkId> {
        let Scope::All = scope;
        let id = self.walks.begin(&self.contents, wording)?;
        self.note_version();
        Some(id)
    }

    /// Appends what comes next, SELECTs and keys, until that are about `bytes`: more by one part of keys or
    /// of elements at most. A step over what needs not be written counts as some bytes, too.
    pub(crate) fn walk(&mut self, id: WalkId, out: &mut Vec<u8>, bytes: usize) -> Progress {
        self.walks.adopt(&mut self.garbage);
        let Keyspace { walks, contents, seed, garbage, .. } = self;
        walks.go_on(id, contents, seed, garbage, out, bytes)
    }

    /// About how much memory a walk keeps from being freed. Lists share what they have not changed: what of a list has
    /// changed is not counted, but a list that was deleted is.
    pub(crate) fn set_aside_bytes(&self, id: WalkId) -> usize {
        self.walks.set_aside_bytes(id)
    }

    /// About how much of that was kept because something was overwritten or deleted: what grows with every write. A database
    /// that was flushed is kept as it was, once.
    pub(crate) fn overwritten_bytes(&self, id: WalkId) -> usize {
        self.walks.copied_bytes(id)
    }

    /// About what all walks together have set aside: it goes with them, whatever is evicted.
    #[inline]
    pub(crate) fn walk_bytes(&self) -> u64 {
        if self.walks.is_on() { u64::try_from(self.walks.bytes()).unwrap_or(u64::MAX) } else { 0 }
    }

    /// How many keys a walk has written, or begun to write.
    pub(crate) fn walked_keys(&self, id: WalkId) -> u64 {
        self.walks.keys(id)
    }

    /// To be called at a walk's end, or to give it up.
    pub(crate) fn end_walk(&mut self, id: WalkId) {
        self.walks.adopt(&mut self.garbage);
        let Keyspace { walks, contents, seed, garbage, .. } = self;
        walks.end(id, contents, seed, garbage);
        self.note_version();
    }

    /// To be called before the entry of a key changes or goes, if there is one.
    #[inline]
    pub(super) fn about_to_change(&mut self, key: Key<'_>) {
        if self.walks.is_on() {
            self.set_aside(key);
        }
    }

    #[cold]
    fn set_aside(&mut self, key: Key<'_>) {
        let Keyspace { walks, contents, seed, .. } = self;
        walks.set_aside_key(&mut contents[usize::from(key.place.database.0)], key, seed);
    }

    /// To be called before an entry comes to a place where none is.
    #[inline]
    pub(super) fn about_to_add(&mut self, key: Key<'_>, entry: &mut Entry) {
        if self.walks.is_on() {
            self.about_to_add_at(key.place);
            self.walks.note_arrival(key, entry);
        }
    }

    /// As [`Keyspace::about_to_add`], for an entry that was nowhere before.
    #[cold]
    pub(super) fn about_to_add_at(&mut self, place: Place) {
        let Keyspace { walks, contents, seed, .. } = self;
        walks.expect_arrival(&mut contents[usize::from(place.database.0)], place, seed);
    }

    /// To be called before the entry at a place goes, whatever its key is.
    #[cold]
    pub(super) fn set_aside_at(&mut self, place: Place) {
        let Some(entry) = self.contents(place.database).find_hash(place, &self.seed) else { return };
        let bytes = entry.key().to_vec();
        self.set_aside(Key { bytes: &bytes, place });
    }

    /// To be called when two databases have been exchanged.
    pub(super) fn note_swap(&mut self, one: Database, other: Database) {
        self.walks.swap(one, other);
    }

    /// Tells the databases which version parts have that are made from now on.
    pub(super) fn note_version(&mut self) {
        let version = self.walks.version();
        self.contents.iter_mut().for_each(|contents| contents.set_version(version));
    }
}
