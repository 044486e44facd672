//! Walks over many keys: SCAN, KEYS, RANDOMKEY, the keys of a slot.

use slotway_cluster::cursor::Cursor;
use slotway_cluster::{Database, Placement, Slot};

use super::Keyspace;
use super::contents::Shape;
use super::entry::Entry;
use crate::call::Millis;

/// A slot of no more keys than this is returned in one step of a scan, so that in such a slot the order of keys does
/// not matter to anyone.
const WHOLE_SLOT_KEYS: usize = 1000;

impl Keyspace {
    /// One step of SCAN: calls `each` with the live entries from `cursor` on, about `count` of them or those of one
    /// small slot. Returns the cursor to go on from, 0 at the end.
    pub(crate) fn scan<'k>(
        &'k self,
        database: Database,
        cursor: u64,
        count: usize,
        now: Millis,
        mut each: impl FnMut(&'k Entry),
    ) -> u64 {
        let contents = self.contents(database);
        let Some(Cursor { slot, mut position }) = Cursor::decode(cursor) else { return 0 };
        let mut visited = 0;
        let mut next = slot.number();
        while let Some(slot) = contents.next_slot(next, Placement::home(database)) {
            if slot.number() != next {
                position = 0;
            }
            if visited >= count {
                return Cursor { slot, position }.encode();
            }
            let Some(table) = contents.table(slot) else { return 0 };
            let wanted = if table.len() <= WHOLE_SLOT_KEYS { usize::MAX } else { count - visited };
            let rest = table.walk(position, wanted, |entry| {
                visited += 1;
                if is_live(entry, now) {
                    each(entry);
                }
            });
            if let Some(position) = rest {
                return Cursor { slot, position }.encode();
            }
            position = 0;
            next = slot.number() + 1;
        }
        0
    }

    /// Every live entry of a database.
    pub(crate) fn entries(&self, database: Database, now: Millis) -> impl Iterator<Item = &Entry> {
        let tables = self.contents(database).tables();
        tables.flat_map(|table| table.iter()).filter(move |entry| is_live(entry, now))
    }

    /// A live key chosen by chance; expired ones met on the way are deleted.
    pub(crate) fn random_key(&mut self, database: Database, now: Millis) -> Option<Vec<u8>> {
        loop {
            let Keyspace { contents, random, .. } = self;
            let entry = contents[usize::from(database.0)].random(random)?;
            let key = entry.key().to_vec();
            if is_live(entry, now) {
                return Some(key);
            }
            self.delete_if_expired_by_name(database, &key, now);
        }
    }

    /// Keys of a database in a slot.
    pub(crate) fn slot_len(&self, database: Database, slot: Slot) -> u64 {
        let contents = self.contents(database);
        match contents.shape() {
            Shape::Whole if Placement::home(database) != slot => 0,
            Shape::Whole => contents.keys(),
            Shape::Spread => {
                let len = contents.table(slot).map_or(0, |table| table.len());
                u64::try_from(len).expect("a length fits 64 bits")
            }
        }
    }

    /// Up to `max` keys of a database in a slot.
    pub(crate) fn slot_keys(&self, database: Database, slot: Slot, max: usize) -> Vec<&[u8]> {
        let contents = self.contents(database);
        if contents.shape() == Shape::Whole && Placement::home(database) != slot {
            return Vec::new();
        }
        contents.table(slot).into_iter().flat_map(|table| table.iter()).map(Entry::key).take(max).collect()
    }
}

fn is_live(entry: &Entry, now: Millis) -> bool {
    entry.deadline().is_none_or(|deadline| deadline >= now)
}
