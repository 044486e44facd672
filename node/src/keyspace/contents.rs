//! The keys of one database: its tables, their counts, and the wheel that expires them.
//!
//! Every entry comes and goes through here, so that the counts are right: keys, keys with a deadline, keys per slot.

use slotway_cluster::slot::SLOTS;
use slotway_cluster::{Database, Slot};

use super::entry::Entry;
use super::object;
use super::part::NEVER;
use super::seed::{Random, Seed};
use super::table::{Merging, Table};
use super::walk::Walks;
use super::wheel::{self, Wheel};
use super::{Key, Overhead, Place};
use crate::call::Millis;

pub(super) struct Contents {
    tables: Tables,
    wheel: Wheel,
    keys: u64,
    deadlines: u64,
    /// The sum of all deadlines, for their mean.
    deadline_sum: u128,
    /// The version of parts that are made now; 0: nobody walks.
    version: u64,
}

enum Tables {
    Spread(Box<Spread>),
    /// All keys of a whole database.
    Whole(Table),
}

/// One table per slot.
struct Spread {
    /// Empty until the first key comes, then one per slot.
    tables: Vec<Table>,
    /// Keys of 128 slots each: finds the n-th key and the next slot with keys without a walk over all slots.
    groups: [u64; GROUPS],
}

/// Keys with a deadline are looked for among all keys if they are one in so many.
const MANY_DEADLINES: u64 = 16;

/// Parts that are looked into for each of them that is wanted, at most.
const LOOKS_PER_SAMPLE: usize = 8;

/// Tables that are looked into to tell what all of them take.
const OVERHEAD_LOOKS: usize = 16;

/// Keys that are looked at to tell what all of them take.
const VALUE_LOOKS: usize = 32;

const GROUP_SLOTS: usize = 128;
const GROUPS: usize = SLOTS as usize / GROUP_SLOTS;

/// Whether a database has a table for each slot or one for all its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Spread,
    Whole,
}

/// What a turn of the wheel may still do, and what it has done.
pub(super) struct Turn<'a> {
    pub(super) now: Millis,
    /// Entries that may still be looked at.
    pub(super) budget: usize,
    pub(super) expired: u64,
    pub(super) taken: &'a mut dyn FnMut(Entry),
    /// Which database it is, and who walks through it.
    pub(super) database: Database,
    pub(super) walks: &'a mut Walks,
    pub(super) seed: &'a Seed,
}

impl Contents {
    pub(super) fn new(shape: Shape) -> Contents {
        let tables = match shape {
            Shape::Spread => Tables::Spread(Box::new(Spread { tables: Vec::new(), groups: [0; GROUPS] })),
            Shape::Whole => Tables::Whole(Table::default()),
        };
        Contents { tables, wheel: Wheel::default(), keys: 0, deadlines: 0, deadline_sum: 0, version: 0 }
    }

    /// The same without keys.
    pub(super) fn emptied(&self) -> Contents {
        Contents { version: self.version, ..Contents::new(self.shape()) }
    }

    pub(super) fn shape(&self) -> Shape {
        match self.tables {
            Tables::Spread(_) => Shape::Spread,
            Tables::Whole(_) => Shape::Whole,
        }
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    pub(super) fn deadlines(&self) -> u64 {
        self.deadlines
    }

    pub(super) fn mean_ttl(&self, Millis(now): Millis) -> u64 {
        if self.deadlines == 0 {
            return 0;
        }
        let mean = u64::try_from(self.deadline_sum / u128::from(self.deadlines)).unwrap_or(u64::MAX);
        mean.saturating_sub(now)
    }

    /// The table of a slot; None: no key was ever there. A whole database has one for all slots.
    #[inline]
    pub(super) fn table(&self, slot: Slot) -> Option<&Table> {
        match &self.tables {
            Tables::Spread(spread) => spread.tables.get(slot.index()),
            Tables::Whole(table) => Some(table),
        }
    }

    #[inline]
    pub(super) fn table_mut(&mut self, slot: Slot) -> Option<&mut Table> {
        match &mut self.tables {
            Tables::Spread(spread) => spread.tables.get_mut(slot.index()),
            Tables::Whole(table) => Some(table),
        }
    }

    #[inline]
    pub(super) fn find(&self, place: Place, key: &[u8]) -> Option<&Entry> {
        self.table(place.slot)?.find(place.hash, key)
    }

    #[inline]
    pub(super) fn find_mut(&mut self, place: Place, key: &[u8]) -> Option<&mut Entry> {
        self.table_mut(place.slot)?.find_mut(place.hash, key)
    }

    /// Adds an entry whose key is not there yet.
    pub(super) fn insert(&mut self, seed: &Seed, place: Place, entry: Entry, now: Millis) {
        self.keys += 1;
        let (deadline, version) = (entry.deadline(), self.version);
        let is_first = version > 0 && self.table(place.slot).is_none_or(|table| table.len() == 0);
        match &mut self.tables {
            Tables::Whole(table) => table.insert(seed, place.hash, entry),
            Tables::Spread(spread) => {
                if spread.tables.is_empty() {
                    spread.tables.resize_with(usize::from(SLOTS), Table::default);
                }
                spread.groups[place.slot.index() / GROUP_SLOTS] += 1;
                spread.tables[place.slot.index()].insert(seed, place.hash, entry);
            }
        }
        // No walk has to be told of a part that begins now.
        if is_first && let Some(table) = self.table_mut(place.slot) {
            table.stamp(place.hash, version);
        }
        if let Some(deadline) = deadline {
            self.count_deadline(deadline);
            self.ask_for_visit(place, deadline, now);
        }
    }

    pub(super) fn remove(&mut self, place: Place, key: &[u8]) -> Option<Entry> {
        let merging = self.merging();
        let entry = self.table_mut(place.slot)?.remove_merging(place.hash, key, merging)?;
        self.count_removed(place.slot, &entry);
        Some(entry)
    }

    /// The entry of whatever key has this hash.
    pub(super) fn find_hash(&self, place: Place, seed: &Seed) -> Option<&Entry> {
        self.table(place.slot)?.find_hash(place.hash, seed)
    }

    pub(super) fn remove_hash(&mut self, place: Place, seed: &Seed) -> Option<Entry> {
        let merging = self.merging();
        let entry = self.table_mut(place.slot)?.remove_hash(place.hash, seed, merging)?;
        self.count_removed(place.slot, &entry);
        Some(entry)
    }

    /// Sets or removes the deadline of a key that is there.
    pub(super) fn set_deadline(&mut self, place: Place, key: &[u8], deadline: Option<Millis>, now: Millis) {
        let Some(entry) = self.find_mut(place, key) else { return };
        let before = entry.deadline();
        entry.set_deadline(deadline);
        if let Some(before) = before {
            self.uncount_deadline(before);
        }
        if let Some(deadline) = deadline {
            self.count_deadline(deadline);
            self.ask_for_visit(place, deadline, now);
        }
    }

    /// Whether the key is there and past its deadline. Mostly answered without looking at the entry.
    #[inline]
    pub(super) fn is_expired(&self, place: Place, key: &[u8], now: Millis) -> bool {
        if self.deadlines == 0 {
            return false;
        }
        let Some(table) = self.table(place.slot) else { return false };
        table.may_be_expired(place.hash, now)
            && table.find(place.hash, key).and_then(Entry::deadline).is_some_and(|deadline| deadline < now)
    }

    /// Takes out what is past its deadline, turn by turn of the wheel, until the turns to come or the budget's end.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        while turn.budget > 0
            && let Some(range) = self.wheel.take(turn.now)
        {
            let mut hash = Some(range.start());
            while let Some(at) = hash.filter(|&hash| hash <= range.last()) {
                hash = self.expire_part(range.slot, at, turn);
            }
        }
    }

    /// Visits one part; returns where the next begins.
    fn expire_part(&mut self, slot: Slot, hash: u64, turn: &mut Turn<'_>) -> Option<u64> {
        let now = turn.now;
        let mut taken = Vec::new();
        if turn.walks.is_on() {
            for bytes in self.expired_keys(slot, hash, now) {
                let place = Place { database: turn.database, slot, hash: turn.seed.hash(&bytes) };
                turn.walks.set_aside_key(self, Key { bytes: &bytes, place }, turn.seed);
            }
        }
        let merging = self.merging();
        let visit = self.table_mut(slot)?.expire(
            hash,
            now,
            merging,
            |earliest, entries| {
                if earliest == NEVER { NEVER } else { wheel::due_again(earliest, entries, now) }
            },
            |entry| taken.push(entry),
        );
        if let Some(again) = visit.again {
            self.wheel.add(slot, again);
        }
        for entry in taken {
            self.count_removed(slot, &entry);
            turn.expired += 1;
            (turn.taken)(entry);
        }
        turn.budget = turn.budget.saturating_sub(visit.looked_at);
        visit.next
    }

    /// The keys of a part that are past their deadline.
    fn expired_keys(&self, slot: Slot, hash: u64, now: Millis) -> Vec<Box<[u8]>> {
        let part = self.table(slot).and_then(|table| table.part(hash));
        let part = part.filter(|part| part.header.earliest < now.0);
        let is_over = |entry: &&Entry| entry.deadline().is_some_and(|deadline| deadline < now);
        let over = part.into_iter().flat_map(|part| part.entries().filter(is_over));
        over.map(|entry| entry.key().into()).collect()
    }

    /// Says which version parts have that are made from now on; 0: nobody walks.
    pub(super) fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    fn merging(&self) -> Merging {
        if self.version == 0 { Merging::Any } else { Merging::OfOneVersion }
    }

    #[cfg(test)]
    pub(super) fn for_each_mut(&mut self, mut each: impl FnMut(&mut Entry)) {
        let tables = match &mut self.tables {
            Tables::Whole(table) => std::slice::from_mut(table),
            Tables::Spread(spread) => spread.tables.as_mut_slice(),
        };
        for table in tables {
            let mut next = Some(0);
            while let Some(hash) = next
                && let Some(part) = table.part_mut(hash)
            {
                next = part.end(hash);
                part.entries_mut().for_each(&mut each);
            }
        }
    }

    /// When the wheel has something to do next.
    #[cfg(test)]
    pub(super) fn next_turn(&self) -> Option<Millis> {
        self.wheel.next()
    }

    /// The first slot from `slot` on that may hold keys. For a whole database `home`, which all its keys have.
    pub(super) fn next_slot(&self, slot: u16, home: Slot) -> Option<Slot> {
        let spread = match &self.tables {
            Tables::Whole(_) => return (slot <= home.number()).then_some(home),
            Tables::Spread(spread) => spread,
        };
        let mut index = usize::from(slot);
        while index < spread.tables.len() {
            if spread.groups[index / GROUP_SLOTS] == 0 {
                index = (index / GROUP_SLOTS + 1) * GROUP_SLOTS;
            } else if spread.tables[index].len() == 0 {
                index += 1;
            } else {
                return u16::try_from(index).ok().and_then(Slot::new);
            }
        }
        None
    }

    /// Every table that may hold keys.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Table> {
        let (one, many) = match &self.tables {
            Tables::Whole(table) => (Some(table), [].as_slice()),
            Tables::Spread(spread) => (None, spread.tables.as_slice()),
        };
        one.into_iter().chain(many)
    }

    /// Judged by a few tables, where keys are: the parts of a table are about equally full.
    pub(super) fn overhead(&self) -> Overhead {
        let mut random = Random::new(self.keys);
        let per_table = size_of::<Table>();
        let keys = usize::try_from(self.keys).unwrap_or(usize::MAX);
        let all = (0..OVERHEAD_LOOKS).filter_map(|_| {
            let (_, table) = self.random_table(&mut random)?;
            (table.bytes(1, |_| 0) - per_table).saturating_mul(keys).checked_div(table.len())
        });
        let parts = all.sum::<usize>() / OVERHEAD_LOOKS;
        Overhead { tables: self.tables().count() * per_table + parts, deadlines: self.wheel.bytes() }
    }

    /// About how many bytes keys and values take, judged by a few.
    pub(super) fn value_bytes(&self, random: &mut Random) -> usize {
        let (mut looked_at, mut bytes) = (0, 0);
        self.sample(random, VALUE_LOOKS, &mut |_, entry| {
            looked_at += 1;
            bytes += object::bytes(entry, VALUE_LOOKS);
        });
        let keys = usize::try_from(self.keys).unwrap_or(usize::MAX);
        usize::checked_div(bytes, looked_at).unwrap_or(0).saturating_mul(keys)
    }

    /// A key chosen by chance, each about equally likely.
    pub(super) fn random(&self, random: &mut Random) -> Option<&Entry> {
        self.random_table(random)?.1.random(random)
    }

    /// A table chosen by chance, the more likely the more keys it has, and its slot (of a whole database any). None:
    /// there are no keys.
    fn random_table(&self, random: &mut Random) -> Option<(Slot, &Table)> {
        if self.keys == 0 {
            return None;
        }
        let spread = match &self.tables {
            Tables::Whole(table) => return Some((Slot::new(0)?, table)),
            Tables::Spread(spread) => spread,
        };
        let mut nth = random.below(self.keys);
        let mut group = 0;
        while nth >= spread.groups[group] {
            nth -= spread.groups[group];
            group += 1;
        }
        for index in group * GROUP_SLOTS..spread.tables.len() {
            let table = &spread.tables[index];
            let len = u64::try_from(table.len()).expect("a length fits 64 bits");
            if nth < len {
                return Some((Slot::new(u16::try_from(index).ok()?)?, table));
            }
            nth -= len;
        }
        None
    }

    /// Calls `each` with about `count` keys chosen by chance, neighbours among them: their order is that of their
    /// hashes, so that neighbours have nothing in common.
    pub(super) fn sample(&self, random: &mut Random, count: usize, each: &mut dyn FnMut(Slot, &Entry)) {
        let mut missing = count;
        for _ in 0..count {
            let Some((slot, table)) = self.random_table(random).filter(|_| missing > 0) else { return };
            let start = random.next();
            for entry in table
                .random_part(random)
                .into_iter()
                .flat_map(|(_, part)| part.entries_from(start))
                .take(missing)
            {
                missing -= 1;
                each(slot, entry);
            }
        }
    }

    /// As [`Contents::sample`], of keys with a deadline. With at least one, if there is one.
    pub(super) fn sample_expiring(
        &mut self,
        random: &mut Random,
        count: usize,
        each: &mut dyn FnMut(Slot, &Entry),
    ) {
        let mut missing = count;
        let are_many = self.deadlines.saturating_mul(MANY_DEADLINES) >= self.keys;
        for _ in 0..count.saturating_mul(LOOKS_PER_SAMPLE) {
            if self.deadlines == 0 || missing == 0 {
                return;
            }
            let found = match are_many {
                true => self
                    .random_table(random)
                    .and_then(|(slot, table)| Some((slot, table.random_part(random)?.1))),
                false => self.wheel.random(random).and_then(|range| {
                    Some((range.slot, self.table(range.slot)?.part(range.random_hash(random))?))
                }),
            };
            let Some((slot, part)) = found else { continue };
            let expiring = part.entries_from(random.next()).filter(|entry| entry.deadline().is_some());
            for entry in expiring.take(missing) {
                missing -= 1;
                each(slot, entry);
            }
        }
        if missing == count
            && let Some((slot, entry)) = self.first_expiring()
        {
            each(slot, entry);
        }
    }

    /// A key with a deadline, found for certain: the wheel knows every part that has one.
    fn first_expiring(&self) -> Option<(Slot, &Entry)> {
        self.wheel.ranges().find_map(|range| {
            let parts = self.table(range.slot)?.parts(range.start());
            let parts = parts.take_while(|(start, _)| *start <= range.last());
            let mut entries = parts.flat_map(|(_, part)| part.entries());
            Some((range.slot, entries.find(|entry| entry.deadline().is_some())?))
        })
    }

    fn ask_for_visit(&mut self, place: Place, deadline: Millis, now: Millis) {
        let due = wheel::due_of(deadline.0, now);
        let again =
            self.table_mut(place.slot).and_then(|table| table.note_deadline(place.hash, deadline, due));
        if let Some(again) = again {
            self.wheel.add(place.slot, again);
        }
    }

    fn count_deadline(&mut self, Millis(deadline): Millis) {
        self.deadlines += 1;
        self.deadline_sum += u128::from(deadline);
    }

    fn uncount_deadline(&mut self, Millis(deadline): Millis) {
        self.deadlines -= 1;
        self.deadline_sum -= u128::from(deadline);
    }

    fn count_removed(&mut self, slot: Slot, entry: &Entry) {
        self.keys -= 1;
        if let Some(deadline) = entry.deadline() {
            self.uncount_deadline(deadline);
        }
        if let Tables::Spread(spread) = &mut self.tables {
            spread.groups[slot.index() / GROUP_SLOTS] -= 1;
        }
    }
}
