//! Up to 64 entries whose hashes begin with the same bits.
//!
//! A part is what a table grows, splits, walks and sets aside by. One cache line of tags, one byte of each entry's
//! hash, finds an entry without looking at the others; the entries themselves stand behind it in no order.

use super::entry::{self, Entry};
use super::seed::Seed;
use crate::call::Millis;

/// Entries of a full part.
pub(super) const PART_ENTRIES: usize = 64;

/// Two neighbours with no more entries than this together become one part.
pub(super) const MERGE_ENTRIES: usize = 32;

/// The entries of a part grow by this many places at a time: the mean waste is half of it.
const GROWTH: usize = 8;

/// Past this many unused places the entries' memory is given back.
const SLACK: usize = 24;

/// No deadline, no visit.
pub(super) const NEVER: u64 = u64::MAX;

#[repr(align(64))]
pub(super) struct Part {
    tags: [u8; PART_ENTRIES],
    entries: Vec<Entry>,
    /// No entry's deadline is earlier: it may lie before the earliest, never behind. Unix ms, [`NEVER`].
    pub(super) earliest: u64,
    /// When the wheel comes to look at this part, [`NEVER`] if nobody asked it to. Unix ms.
    pub(super) due: u64,
    /// How many of the hash's top bits all entries share.
    depth: u8,
}

const _: () = assert!(size_of::<Part>() == 128, "tags are one cache line, the rest another");

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = LOW_BITS << 7;

fn tag_of(hash: u64) -> u8 {
    hash.to_le_bytes()[0]
}

impl Part {
    pub(super) fn new(depth: u32) -> Part {
        Part {
            tags: [0; PART_ENTRIES],
            entries: Vec::new(),
            earliest: NEVER,
            due: NEVER,
            depth: u8::try_from(depth).expect("a hash has 64 bits"),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() == PART_ENTRIES
    }

    pub(super) fn depth(&self) -> u32 {
        u32::from(self.depth)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    /// The first hash of the range of a part that holds `hash`.
    pub(super) fn start(&self, hash: u64) -> u64 {
        hash & !self.span_mask()
    }

    /// The first hash behind the range of a part that holds `hash`; None: the last range.
    pub(super) fn end(&self, hash: u64) -> Option<u64> {
        (hash | self.span_mask()).checked_add(1)
    }

    fn span_mask(&self) -> u64 {
        u64::MAX.checked_shr(self.depth()).unwrap_or(0)
    }

    /// Where the entry of `key` stands.
    pub(super) fn position(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.candidates(hash).find(|&index| self.entries[index].key() == key)
    }

    /// The entries that may have this hash. Compares eight tags at a time.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = usize> {
        let pattern = u64::from(tag_of(hash)) * LOW_BITS;
        let len = self.entries.len();
        let words = self.tags.chunks_exact(8).take(len.div_ceil(8)).enumerate();
        words
            .flat_map(move |(word, tags)| {
                let tags = u64::from_le_bytes(tags.try_into().expect("chunks of eight"));
                let difference = tags ^ pattern;
                // The top bit of each byte that is zero; now and then of one above such a byte too.
                let hits = difference.wrapping_sub(LOW_BITS) & !difference & HIGH_BITS;
                Bits(hits).map(move |bit| word * 8 + bit / 8)
            })
            .take_while(move |&index| index < len)
    }

    /// Asks for the cache lines of the tags and of what stands beside them.
    pub(super) fn prefetch(&self) {
        entry::prefetch(&self.tags);
        entry::prefetch(&self.entries);
    }

    /// Asks for the cache lines of the pointers that [`Part::prefetch_entries`] will follow.
    pub(super) fn prefetch_pointers(&self, hash: u64) {
        self.candidates(hash).for_each(|index| entry::prefetch(&self.entries[index]));
    }

    pub(super) fn prefetch_entries(&self, hash: u64) {
        self.candidates(hash).for_each(|index| self.entries[index].prefetch());
    }

    /// Adds an entry; there must be room and no entry of the same key.
    pub(super) fn push(&mut self, hash: u64, entry: Entry) {
        let index = self.entries.len();
        if index == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
        }
        self.tags[index] = tag_of(hash);
        self.entries.push(entry);
    }

    pub(super) fn remove(&mut self, index: usize) -> Entry {
        let last = self.entries.len() - 1;
        self.tags[index] = self.tags[last];
        let entry = self.entries.swap_remove(index);
        if self.entries.capacity() - self.entries.len() >= SLACK {
            self.entries.shrink_to(self.entries.len() + GROWTH);
        }
        entry
    }

    /// Moves the upper half of the range into a part of its own.
    pub(super) fn split(&mut self, seed: &Seed) -> Part {
        self.entries.iter().for_each(Entry::prefetch);
        let bit = 1 << (u64::BITS - 1 - self.depth());
        self.depth += 1;
        let mut upper = Part::new(self.depth());
        (upper.earliest, upper.due) = (self.earliest, self.due);
        upper.entries.reserve_exact(PART_ENTRIES / 2 + GROWTH);
        for index in (0..self.entries.len()).rev() {
            let hash = seed.hash(self.entries[index].key());
            if hash & bit != 0 {
                let last = self.entries.len() - 1;
                self.tags[index] = self.tags[last];
                upper.push(hash, self.entries.swap_remove(index));
            }
        }
        self.entries.shrink_to(self.entries.len().next_multiple_of(GROWTH));
        upper
    }

    /// Takes in the neighbour that shares all but the last of this part's bits.
    pub(super) fn merge(&mut self, neighbour: Part) {
        let room = self.entries.len() + neighbour.entries.len();
        self.entries.reserve_exact(room.next_multiple_of(GROWTH) - self.entries.len());
        for (entry, tag) in neighbour.entries.into_iter().zip(neighbour.tags) {
            self.push(u64::from(tag), entry);
        }
        self.earliest = self.earliest.min(neighbour.earliest);
        self.due = self.due.min(neighbour.due);
        self.depth -= 1;
    }

    /// Takes out every entry past its deadline, and looks anew for the earliest of the others.
    pub(super) fn take_expired(&mut self, now: Millis, mut taken: impl FnMut(Entry)) {
        self.entries.iter().for_each(Entry::prefetch);
        let mut earliest = NEVER;
        for index in (0..self.entries.len()).rev() {
            match self.entries[index].deadline() {
                Some(deadline) if deadline < now => taken(self.remove(index)),
                Some(Millis(deadline)) => earliest = earliest.min(deadline),
                None => {}
            }
        }
        self.earliest = earliest;
    }
}

/// The set bits of a word, from the lowest.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bit = (self.0 != 0).then_some(self.0.trailing_zeros() as usize);
        self.0 &= self.0.wrapping_sub(1);
        bit
    }
}
