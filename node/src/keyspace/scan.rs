//! Walks over many keys: SCAN, KEYS, RANDOMKEY, the keys of a slot.
//!
//! SCAN visits slots in order. Where a run of slots that this node answers for ends it stops, with the cursor of the
//! slot behind: a proxy goes on there with that slot's owner, so that every slot is visited once and in order, whoever
//! holds it; a client of the node itself goes on with the node's next run.

use slotway_cluster::cursor::Cursor;
use slotway_cluster::slot::SLOTS;
use slotway_cluster::{Database, Placement, Slot, SlotRange};

use super::Keyspace;
use super::contents::Shape;
use super::entry::Entry;
use crate::call::Millis;

/// A slot of no more keys than this is returned in one step of a scan, so that in such a slot the order of keys does
/// not matter to anyone.
const WHOLE_SLOT_KEYS: usize = 1000;

/// Keys that RANDOMKEY looks at on a replica, where expired ones stay.
const RANDOM_TRIES: u32 = 100;

/// The runs of neighbouring slots that a node answers for: first slot and the slot behind the last, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Runs(Vec<(u16, u16)>);

impl Default for Runs {
    /// All slots are one run: a node on its own.
    fn default() -> Self {
        Runs(vec![(0, SLOTS)])
    }
}

impl Runs {
    pub(super) fn new(owns: impl Fn(Slot) -> bool) -> Runs {
        let ranges = SlotRange::collect(Slot::all().filter(|&slot| owns(slot)));
        Runs(ranges.iter().map(|range| (range.first().number(), range.last().number() + 1)).collect())
    }

    /// Where the run ends that holds `slot`, or else the next one behind it; None: there is none.
    fn end_of_run_from(&self, slot: u16) -> Option<u16> {
        let index = self.0.partition_point(|&(_, end)| end <= slot);
        self.0.get(index).map(|&(_, end)| end)
    }
}

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
        let stop = match contents.shape() {
            Shape::Whole => SLOTS,
            Shape::Spread => match self.runs.end_of_run_from(next) {
                Some(end) => end,
                None => return 0,
            },
        };
        while let Some(slot) = contents.next_slot(next, Placement::home(database)) {
            if slot.number() >= stop {
                break;
            }
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
        Slot::new(stop).map_or(0, |behind| Cursor::start_of(behind).encode())
    }

    /// Every live entry of a database.
    pub(crate) fn entries(&self, database: Database, now: Millis) -> impl Iterator<Item = &Entry> {
        let tables = self.contents(database).tables();
        tables.flat_map(|table| table.iter()).filter(move |entry| is_live(entry, now))
    }

    /// A live key chosen by chance; expired ones met on the way are deleted. On a replica they stay, and where nothing
    /// else is found it is one of them.
    pub(crate) fn random_key(&mut self, database: Database, now: Millis) -> Option<Vec<u8>> {
        let mut tries = 0;
        loop {
            let Keyspace { contents, random, .. } = self;
            let entry = contents[usize::from(database.0)].random(random)?;
            let key = entry.key().to_vec();
            tries += 1;
            if is_live(entry, now) || !self.delete_found(database, &key) && tries >= RANDOM_TRIES {
                return Some(key);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(ranges: &[(u16, u16)]) -> Runs {
        Runs::new(|slot| ranges.iter().any(|&(first, last)| (first..=last).contains(&slot.number())))
    }

    #[test]
    fn a_scan_stops_where_a_run_of_slots_ends() {
        let runs = runs(&[(5, 9), (20, 16383)]);
        let ends = [0, 5, 9, 10, 20, 16383].map(|slot| runs.end_of_run_from(slot));
        assert_eq!(ends, [Some(10), Some(10), Some(10), Some(16384), Some(16384), Some(16384)]);
    }

    #[test]
    fn behind_the_last_run_there_is_nothing() {
        assert_eq!(runs(&[(5, 9)]).end_of_run_from(10), None);
        assert_eq!(runs(&[]).end_of_run_from(0), None);
        assert_eq!(Runs::default(), runs(&[(0, 16383)]));
    }
}
