//! Keys past their deadline: deleted when they are asked for, and turn by turn of the wheel when nobody asks.

use slotway_cluster::Database;
use slotway_cluster::slot::DATABASES;

use super::contents::Turn;
use super::entry::Entry;
use super::{Key, Keyspace};
use crate::call::Millis;
use crate::effects;

/// What a key past its deadline is to who asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Expired {
    /// Gone: it is deleted, and the feed tells so.
    #[default]
    Deleted,
    /// Not there to readers, but it stays until the primary tells of its deletion: clients of a replica. What writes to it
    /// all the same (`replica-read-only no`) deletes it.
    Hidden,
    /// There, as long as the primary has not deleted it: the primary's commands on a replica.
    Present,
}

/// What one turn of active expiry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) expired: u64,
    /// Its budget ended before the work: run it again soon.
    pub(crate) more: bool,
}

impl Keyspace {
    /// Whether a new deadline deletes its key at once. What a primary tells is done, however late: that the time has come
    /// it will tell, too.
    pub(crate) fn is_past(&self, deadline: Millis, now: Millis) -> bool {
        deadline <= now && self.expired != Expired::Present
    }

    /// Somebody else decides what is deleted: a primary, or the log that is read.
    pub(crate) fn is_led(&self) -> bool {
        self.expired != Expired::Deleted
    }

    /// Deletes what is past its deadline, looking at about `entries` entries at most. On a replica nothing is.
    pub(crate) fn expire_cycle(&mut self, now: Millis, entries: usize) -> Cycle {
        if self.is_led() {
            return Cycle { expired: 0, more: false };
        }
        let Keyspace { settings, contents, garbage, watches, walks, seed, stats, feed, expire_first, .. } =
            self;
        let (mut budget, mut expired) = (entries, 0);
        for step in 0..DATABASES {
            let database = Database((*expire_first + step) % DATABASES);
            let mut taken = |entry: Entry| {
                watches.note(database, entry.key());
                effects::removed(feed, database, entry.key(), settings.removal_of_expired);
                feed.end_unit();
                garbage.add_entry(entry);
            };
            let mut turn = Turn { now, budget, expired: 0, taken: &mut taken, database, walks, seed };
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

    /// Whether the key is past its deadline (behind it, not at it, as in Redis) and so not there to who reads it; then
    /// it is deleted, unless that is for the primary to do.
    #[inline]
    pub(super) fn is_gone(&mut self, key: Key<'_>, now: Millis) -> bool {
        self.contents(key.place.database).is_expired(key.place, key.bytes, now) && self.end_of(key)
    }

    #[cold]
    fn end_of(&mut self, key: Key<'_>) -> bool {
        if self.expired == Expired::Deleted {
            self.delete_expired(key);
        }
        self.expired != Expired::Present
    }

    /// As [`Keyspace::is_gone`], where nothing is to be deleted.
    #[inline]
    pub(super) fn is_hidden(&self, key: Key<'_>, now: Millis) -> bool {
        self.contents(key.place.database).is_expired(key.place, key.bytes, now)
            && self.expired != Expired::Present
    }

    /// Deletes the key if it is past its deadline and about to be written to.
    #[inline]
    pub(super) fn delete_if_expired(&mut self, key: Key<'_>, now: Millis) {
        if self.contents(key.place.database).is_expired(key.place, key.bytes, now)
            && self.expired != Expired::Present
        {
            self.delete_expired(key);
        }
    }

    /// The one place where a key ends by its deadline while someone asks for it.
    #[cold]
    fn delete_expired(&mut self, key: Key<'_>) {
        self.about_to_change(key);
        if let Some(entry) = self.contents_mut(key.place.database).remove(key.place, key.bytes) {
            self.touched(key);
            let how = self.settings.removal_of_expired;
            effects::removed(&mut self.feed, key.place.database, key.bytes, how);
            self.garbage.add_entry(entry);
            self.stats.expired += 1;
        }
    }

    /// Deletes and counts an expired key found by chance: see [`Keyspace::random_key`]. False: it stays.
    pub(super) fn delete_found(&mut self, database: Database, key: &[u8]) -> bool {
        if self.is_led() {
            return false;
        }
        let key = self.key(database, key);
        self.delete_expired(key);
        true
    }
}

#[cfg(test)]
mod tests;
