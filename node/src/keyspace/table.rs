//! A hash table that grows and shrinks by one part at a time.
//!
//! Parts stand in a trie in the order of their hashes' top bits. A branch of the trie is a directory of 2 to 4096
//! places, as in extendible hashing: a part whose range is wider than one place stands at the first of its places,
//! and the others say [`Node::Same`]. A full part splits in two; a directory whose places are all needed doubles; one
//! that may not grow any more grows branches. So no insert ever moves more than 120 entries or one directory, whether
//! the table holds ten entries or twenty million. Neighbours that have run empty are merged again.
//!
//! Because of that order a scan needs no more state than the hash it has reached (see [`Table::part`]).

mod branch;

use branch::Node;

pub(super) use branch::Merging;

use super::entry::{self, Entry};
use super::part::{MERGE_ENTRIES, NEVER, PART_ENTRIES_MAX, Part};
use super::seed::{self, Random, Seed};
use super::walk::Handles;
use crate::call::Millis;

pub(crate) struct Table {
    /// [`Node::Same`]: the table is empty.
    root: Node,
    len: usize,
    /// Of a collection's table: the walks that are not through with it.
    frozen: Option<Box<Handles>>,
}

/// A part whose entries take more bytes than this is split before it is copied or written as a whole.
const HEAVY_BYTES: usize = if cfg!(test) { 2 << 10 } else { 64 << 10 };

/// No part is split for its weight below this depth: a few entries of very many.
const LIGHT_DEPTH_MAX: u32 = 48;

/// What is known of a key's hash. All tables hash alike, so where an entry stands in one table tells most of where it
/// would stand in another of about the same size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownHash {
    /// The hash as far as it is known: its top bits and the sixteen lowest.
    pub(super) bits: u64,
    /// How many of the top bits are known.
    pub(super) top: u32,
}

impl KnownHash {
    pub(crate) fn whole(hash: u64) -> KnownHash {
        KnownHash { bits: hash, top: u64::BITS }
    }
}

/// What [`Table::expire`] found.
pub(super) struct Visit {
    /// Entries that were looked at.
    pub(super) looked_at: usize,
    /// Where to go on: the end of the part.
    pub(super) next: Option<u64>,
    /// A part that wants to be visited again: a hash of its range, and its depth.
    pub(super) again: Option<Again>,
}

/// A part that has asked for a visit of the wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) start: u64,
    pub(super) depth: u32,
    pub(super) due: u64,
}

impl Default for Table {
    fn default() -> Self {
        Table { root: Node::Same, len: 0, frozen: None }
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        let part = self.part(hash)?;
        part.entry(part.find(hash, key)?)
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        let part = self.root.part_mut(hash)?;
        part.entry_mut(part.find(hash, key)?)
    }

    /// As [`Table::find_mut`], for an entry that the caller changes.
    #[inline]
    pub(crate) fn change(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        if self.frozen.is_some() && self.find(hash, key).is_some() {
            self.set_aside(hash);
        }
        self.find_mut(hash, key)
    }

    /// Adds an entry whose key is not there yet.
    pub(crate) fn insert(&mut self, seed: &Seed, hash: u64, mut entry: Entry) {
        debug_assert!(self.find(hash, entry.key()).is_none(), "a key stands in a table once");
        self.len += 1;
        if matches!(self.root, Node::Same) {
            self.root = Node::first_part();
        }
        if self.frozen.is_some() {
            self.set_aside(hash);
        }
        loop {
            let part = self.root.part_mut(hash).expect("a table that is not empty covers every hash");
            match part.push(hash, entry) {
                Ok(()) => return,
                Err(refused) => entry = refused,
            }
            self.root.make_room(0, hash, seed);
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let mut merging = Merging::Any;
        if self.frozen.is_some() {
            self.find(hash, key)?;
            self.set_aside(hash);
            merging = Merging::OfOneVersion;
        }
        self.remove_merging(hash, key, merging)
    }

    pub(super) fn remove_merging(&mut self, hash: u64, key: &[u8], merging: Merging) -> Option<Entry> {
        let part = self.root.part_mut(hash)?;
        let entry = part.remove(part.find(hash, key)?)?;
        self.len -= 1;
        self.tidy(hash, merging);
        Some(entry)
    }

    /// The part whose range holds `hash`: where a walk in the order of hashes goes on. None: the table is empty.
    pub(super) fn part(&self, hash: u64) -> Option<&Part> {
        self.root.part(hash)
    }

    pub(super) fn part_mut(&mut self, hash: u64) -> Option<&mut Part> {
        self.root.part_mut(hash)
    }

    /// Every entry, in the order of parts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.parts(0).flat_map(|(_, part)| part.entries())
    }

    /// Every entry with what is known of its hash without hashing it.
    pub(crate) fn iter_known(&self) -> impl Iterator<Item = (&Entry, KnownHash)> {
        self.parts(0)
            .flat_map(|(start, part)| part.entries().map(move |entry| (entry, part.known_hash(start, entry))))
    }

    /// Whether a key is there: hashed only if what is known of its hash does not lead to one part, and not even looked
    /// at if no entry has its tag.
    #[inline]
    pub(crate) fn has_known<'k>(
        &self,
        known: &mut KnownHash,
        seed: &Seed,
        key: impl Fn() -> &'k [u8],
    ) -> bool {
        let Some(mut part) = self.part(known.bits) else { return false };
        if part.depth() > known.top {
            *known = KnownHash::whole(seed.hash(key()));
            match self.part(known.bits) {
                Some(deeper) => part = deeper,
                None => return false,
            }
        }
        part.find_by(known.bits, |found| found == key()).is_some()
    }

    /// Every part from the one that holds `hash` on, with the first hash of its range.
    pub(super) fn parts(&self, hash: u64) -> impl Iterator<Item = (u64, &Part)> {
        let mut next = Some(hash);
        std::iter::from_fn(move || {
            let hash = next?;
            let part = self.part(hash)?;
            next = part.end(hash);
            Some((part.start(hash), part))
        })
    }

    /// Calls `each` with the entries from a scan's position on, part by part, until there have been `count`. Returns the
    /// position to go on from; None: all were visited.
    ///
    /// Every entry that is there from a scan's first step to its last is visited, whatever else comes and goes: a
    /// part's range ends where the next begins, and both ends are hashes, which do not change. An entry may be visited
    /// twice if parts were merged between two steps.
    pub(crate) fn walk<'t>(
        &'t self,
        position: u64,
        count: usize,
        mut each: impl FnMut(&'t Entry),
    ) -> Option<u64> {
        let mut visited = 0;
        let mut hash = seed::hash_at(position);
        loop {
            let part = self.part(hash)?;
            part.entries().for_each(&mut each);
            visited += part.len();
            hash = part.end(hash)?;
            if visited >= count && seed::starts_position(hash) {
                return Some(seed::position_of(hash));
            }
        }
    }

    /// An entry chosen by chance, each about equally likely; None: the table is empty.
    pub(crate) fn random(&self, random: &mut Random) -> Option<&Entry> {
        let (hash, nth) = self.choose(random)?;
        self.part(hash)?.entries().nth(nth)
    }

    /// Takes out an entry chosen as by [`Table::random`].
    pub(crate) fn take_random(&mut self, random: &mut Random) -> Option<Entry> {
        let (mut hash, mut nth) = self.choose(random)?;
        let merging = if self.frozen.is_some() { Merging::OfOneVersion } else { Merging::Any };
        while self.frozen.is_some() && self.set_aside(hash) {
            // The part is another one now.
            (hash, nth) = self.choose(random)?;
        }
        let entry = self.root.part_mut(hash)?.remove_nth(nth)?;
        self.len -= 1;
        self.tidy(hash, merging);
        Some(entry)
    }

    /// A hash of a part's range, and the number of one of the part's entries.
    ///
    /// The entry is chosen among as many places as a part can have, of which empty ones are refused, and with them the
    /// part.
    fn choose(&self, random: &mut Random) -> Option<(u64, usize)> {
        loop {
            let (hash, part) = self.random_part(random)?;
            let places = if self.len == part.len() { part.len() } else { PART_ENTRIES_MAX };
            let nth = random.index(places);
            if nth < part.len() {
                return Some((hash, nth));
            }
        }
    }

    /// A part chosen by chance, each about equally likely, and a hash of its range; None: the table is empty.
    ///
    /// A random hash leads to parts of wide ranges more often than to those of narrow ones, so wide ones are refused
    /// in the same measure, down to the range that parts of a table of this size mostly have.
    pub(super) fn random_part(&self, random: &mut Random) -> Option<(u64, &Part)> {
        let usual_depth = (self.len / MERGE_ENTRIES).max(1).ilog2() + 1;
        loop {
            let hash = random.next();
            let part = self.part(hash)?;
            let refused_bits = usual_depth.saturating_sub(part.depth());
            let is_refused = random.next().checked_shr(u64::BITS - refused_bits).unwrap_or(0) != 0;
            if self.len == part.len() || !is_refused {
                return Some((hash, part));
            }
        }
    }

    /// The entry of whatever key has this hash.
    pub(super) fn find_hash(&self, hash: u64, seed: &Seed) -> Option<&Entry> {
        self.part(hash)?.find_hash(hash, seed)
    }

    /// Takes out the entry of whatever key has this hash.
    pub(super) fn remove_hash(&mut self, hash: u64, seed: &Seed, merging: Merging) -> Option<Entry> {
        let key = self.find_hash(hash, seed)?.key().to_vec();
        self.remove_merging(hash, &key, merging)
    }

    /// About how many bytes it holds, judged by this many entries; 0: all of them.
    pub(crate) fn bytes(&self, samples: usize, entry_bytes: impl Fn(&Entry) -> usize) -> usize {
        let wanted = if samples == 0 { usize::MAX } else { samples };
        let (mut looked_at, mut bytes, mut seen, mut part_bytes) = (0, 0, 0, 0);
        for (_, part) in self.parts(0) {
            seen += part.len();
            part_bytes += size_of_val(part) + size_of::<Node>();
            for entry in part.entries().take(wanted - looked_at) {
                looked_at += 1;
                bytes += entry_bytes(entry);
            }
            if looked_at >= wanted {
                break;
            }
        }
        let scaled = |bytes: usize, of: usize| bytes.saturating_mul(self.len).checked_div(of).unwrap_or(0);
        size_of::<Table>() + scaled(bytes, looked_at) + scaled(part_bytes, seen)
    }

    /// Notes that the entry of `hash` has this deadline, for which the wheel would come at `due`. Returns the visit to
    /// ask the wheel for, if the part has no earlier one.
    pub(super) fn note_deadline(&mut self, hash: u64, Millis(deadline): Millis, due: u64) -> Option<Again> {
        let part = self.root.part_mut(hash)?;
        part.header.earliest = part.header.earliest.min(deadline);
        if due >= part.header.due {
            return None;
        }
        part.header.due = due;
        Some(Again { start: part.start(hash), depth: part.depth(), due })
    }

    /// Whether an entry near `hash` may be past its deadline.
    pub(super) fn may_be_expired(&self, hash: u64, Millis(now): Millis) -> bool {
        self.part(hash).is_some_and(|part| part.header.earliest < now)
    }

    /// Visits the part that holds `hash`, if its visit is due: takes out what is past its deadline, and asks for the
    /// next visit, at `due_of` the earliest deadline and the part's entries.
    pub(super) fn expire(
        &mut self,
        hash: u64,
        now: Millis,
        merging: Merging,
        due_of: impl Fn(u64, usize) -> u64,
        mut taken: impl FnMut(Entry),
    ) -> Visit {
        let Some(part) = self.root.part_mut(hash) else {
            return Visit { looked_at: 0, next: None, again: None };
        };
        let next = part.end(hash);
        if part.header.due > now.0 {
            return Visit { looked_at: 1, next, again: None };
        }
        let before = part.len();
        part.take_expired(now, &mut taken);
        let removed = before - part.len();
        part.header.due = due_of(part.header.earliest, part.len());
        let again = (part.header.due != NEVER).then(|| Again {
            start: part.start(hash),
            depth: part.depth(),
            due: part.header.due,
        });
        self.len -= removed;
        if removed > 0 {
            self.tidy(hash, merging);
        }
        Visit { looked_at: before + 1, next, again }
    }

    /// After a removal: gives back what is not needed any more.
    fn tidy(&mut self, hash: u64, merging: Merging) {
        if self.len == 0 {
            self.root = Node::Same;
        } else if self.root.part(hash).is_some_and(Part::is_sparse) {
            self.root.merge(0, hash, merging);
        }
    }

    // What walks need: see [`super::walk`].

    /// Splits the part that holds `hash` until that is not heavy, so that no single step copies or writes much more.
    /// True: it was.
    pub(super) fn lighten(&mut self, hash: u64, seed: &Seed) -> bool {
        let mut was_heavy = false;
        while self.part(hash).is_some_and(is_heavy) {
            self.root.divide(0, hash, seed);
            was_heavy = true;
        }
        was_heavy
    }

    /// Says that the entries of the part that holds `hash` are as this version of the keyspace has them, or later.
    pub(super) fn stamp(&mut self, hash: u64, version: u64) {
        if let Some(part) = self.root.part_mut(hash) {
            part.tell_all(version);
        }
    }

    pub(super) fn frozen_mut(&mut self) -> &mut Option<Box<Handles>> {
        &mut self.frozen
    }

    /// Sets the part aside that holds `hash`, for the walks that have not seen it. True: it was split for that.
    #[cold]
    fn set_aside(&mut self, hash: u64) -> bool {
        let Table { root, frozen: Some(handles), .. } = self else { return false };
        let version = handles.version();
        if root.part(hash).is_none_or(|part| part.header.version >= version) {
            return false;
        }
        let seed = handles.seed();
        let was_split = self.lighten(hash, &seed);
        if let (Some(handles), Some(part)) = (&self.frozen, self.root.part(hash)) {
            handles.set_aside(part.header.version, part.start(hash), part.entries());
        }
        self.stamp(hash, version);
        was_split
    }

    // The steps of looking ahead: each asks for what the next one will touch.

    #[inline]
    pub(super) fn prefetch(&self) {
        entry::prefetch(self);
    }

    /// The line of the part, or the place of the directory that leads to it.
    #[inline]
    pub(super) fn prefetch_root(&self, hash: u64) {
        self.root.prefetch(hash);
    }

    /// The line of the part, below a directory. The header too, if there may be deadlines.
    #[inline]
    pub(super) fn prefetch_part(&self, hash: u64, deadlines: u64) {
        if let Some(part) = self.part(hash) {
            part.prefetch(hash);
            if deadlines > 0 {
                part.prefetch_header();
            }
        }
    }

    #[inline]
    pub(super) fn prefetch_entry(&self, hash: u64) {
        if let Some(part) = self.part(hash) {
            part.prefetch_entry(hash);
        }
    }
}

/// Whether a part should be split before it is copied or written as a whole.
fn is_heavy(part: &Part) -> bool {
    let mut bytes = 0;
    let is_above = |entry: &Entry| {
        bytes += entry.allocated();
        bytes > HEAVY_BYTES
    };
    part.len() > 1 && part.depth() < LIGHT_DEPTH_MAX && part.entries().any(is_above)
}

impl Drop for Table {
    /// What a walk is not through with is set aside as a whole. Where that would take long, the walk is given the table
    /// instead: see [`super::garbage`].
    fn drop(&mut self) {
        if let Some(handles) = self.frozen.take() {
            for (start, part) in self.parts(0) {
                handles.set_aside(part.header.version, start, part.entries());
            }
            handles.end();
        }
    }
}

#[cfg(test)]
mod tests;
