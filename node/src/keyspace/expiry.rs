//! Keys past their deadline: deleted when they are asked for, and turn by turn of the wheel when nobody asks.

use slotway_cluster::Database;

use super::contents::Turn;
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
        let Keyspace { contents, garbage, stats, expire_first, .. } = self;
        let mut taken = |entry| garbage.add_entry(entry);
        let mut turn = Turn { now, budget: entries, expired: 0, taken: &mut taken };
        let count = contents.len();
        for step in 0..count {
            contents[(*expire_first + step) % count].expire(&mut turn);
        }
        *expire_first = (*expire_first + 1) % count;
        let cycle = Cycle { expired: turn.expired, more: turn.budget == 0 };
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
