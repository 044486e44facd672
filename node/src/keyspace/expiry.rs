//! Keys past their deadline: deleted when they are asked for, and turn by turn of the wheel when nobody asks.

use slotway_cluster::Database;
use slotway_cluster::slot::DATABASES;

use super::contents::Turn;
use super::entry::Entry;
use super::{Key, Keyspace};
use crate::call::Millis;

/// What one turn of active expiry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) expired: u64,
    /// Its budget ended before the work: run it again soon.
    pub(crate) more: bool,
}

impl Keyspace {
    /// Deletes what is past its deadline, looking at about `entries` entries at most.
    pub(crate) fn expire_cycle(&mut self, now: Millis, entries: usize) -> Cycle {
        let Keyspace { contents, garbage, watches, stats, expire_first, .. } = self;
        let (mut budget, mut expired) = (entries, 0);
        for step in 0..DATABASES {
            let database = Database((*expire_first + step) % DATABASES);
            let mut taken = |entry: Entry| {
                watches.note(database, entry.key());
                garbage.add_entry(entry);
            };
            let mut turn = Turn { now, budget, expired: 0, taken: &mut taken };
            contents[usize::from(database.0)].expire(&mut turn);
            budget = turn.budget;
            expired += turn.expired;
        }
        *expire_first = (*expire_first + 1) % DATABASES;
        let cycle = Cycle { expired, more: budget == 0 };
        stats.expired += cycle.expired;
        cycle
    }

    /// When active expiry has something to do next; None: there are no deadlines.
    #[cfg(test)]
    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        self.contents.iter().filter_map(|contents| contents.next_turn()).min()
    }

    /// Deletes the key if it is past its deadline: behind it, not at it, as in Redis.
    #[inline]
    pub(super) fn delete_if_expired(&mut self, key: Key<'_>, now: Millis) {
        if self.contents(key.place.database).is_expired(key.place, key.bytes, now) {
            self.delete_expired(key);
        }
    }

    /// The one place where a key ends by its deadline while someone asks for it.
    #[cold]
    fn delete_expired(&mut self, key: Key<'_>) {
        if let Some(entry) = self.contents_mut(key.place.database).remove(key.place, key.bytes) {
            self.touched(key);
            self.garbage.add_entry(entry);
            self.stats.expired += 1;
        }
    }

    /// Deletes and counts an expired key found by chance: see [`Keyspace::random_key`].
    pub(super) fn delete_if_expired_by_name(&mut self, database: Database, key: &[u8], now: Millis) {
        let key = self.key(database, key);
        self.delete_if_expired(key, now);
    }
}
