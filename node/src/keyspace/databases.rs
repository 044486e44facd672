//! Databases as wholes: how many keys they have, what their tables take, FLUSHDB and SWAPDB.

use slotway_cluster::Database;
use slotway_cluster::slot::DATABASES;

use super::Keyspace;
use crate::call::Millis;

/// Bytes of a database that are neither keys nor values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overhead {
    /// The tables of keys.
    pub(crate) tables: usize,
    /// What is known of deadlines beside the keys.
    pub(crate) deadlines: usize,
}

impl Keyspace {
    /// Keys of a database.
    pub(crate) fn len(&self, database: Database) -> u64 {
        self.contents(database).keys()
    }

    /// Keys of a database that have a deadline.
    pub(crate) fn deadlines(&self, database: Database) -> u64 {
        self.contents(database).deadlines()
    }

    /// Their mean time to live in milliseconds, 0 without any.
    pub(crate) fn mean_ttl(&self, database: Database, now: Millis) -> u64 {
        self.contents(database).mean_ttl(now)
    }

    /// About what a database takes beside its keys and values.
    pub(crate) fn overhead(&self, database: Database) -> Overhead {
        self.contents(database).overhead()
    }

    /// Deletes all keys of a database; returns how many there were.
    pub(crate) fn flush(&mut self, database: Database) -> u64 {
        let mut watches = std::mem::take(&mut self.watches);
        watches.note_where(database, |key| self.has(database, key));
        self.watches = watches;
        let contents = self.contents_mut(database);
        let keys = contents.keys();
        let emptied = contents.emptied();
        let old = std::mem::replace(contents, emptied);
        self.pool.clear();
        if keys > 0
            && let Some(old) = self.walks.detach(database, old)
        {
            self.garbage.add_contents(old);
        }
        keys
    }

    /// Deletes all keys of all databases; returns how many there were.
    pub(crate) fn flush_all(&mut self) -> u64 {
        (0..DATABASES).map(|number| self.flush(Database(number))).sum()
    }

    /// Puts the contents of another keyspace with the same seed in place of all that is here. Walks go on in the old ones.
    pub(crate) fn take_contents_of(&mut self, fresh: Keyspace) {
        let mut watches = std::mem::take(&mut self.watches);
        for (database, new) in (0..DATABASES).map(Database).zip(fresh.contents) {
            watches.note_where(database, |key| self.has(database, key));
            let old = std::mem::replace(self.contents_mut(database), new);
            // An empty one, too: what is new is not for the walks that run.
            if let Some(old) = self.walks.detach(database, old) {
                self.garbage.add_contents(old);
            }
            watches.note_where(database, |key| self.has(database, key));
        }
        self.watches = watches;
        self.pool.clear();
        self.note_version();
    }

    /// Makes garbage of another keyspace.
    pub(crate) fn throw_away(&mut self, mut other: Keyspace) {
        other.flush_all();
        if let Some(garbage) = other.garbage.take() {
            self.garbage.add_all(garbage);
        }
    }

    /// Exchanges two databases.
    pub(crate) fn swap(&mut self, one: Database, other: Database) {
        if one == other {
            return;
        }
        let mut watches = std::mem::take(&mut self.watches);
        for database in [one, other] {
            watches.note_where(database, |key| self.has(one, key) || self.has(other, key));
        }
        self.watches = watches;
        self.pool.clear();
        self.contents.swap(usize::from(one.0), usize::from(other.0));
        self.note_swap(one, other);
    }

    /// Whether a key is there, expired or not.
    fn has(&self, database: Database, key: &[u8]) -> bool {
        self.contents(database).find(self.place(database, key), key).is_some()
    }
}
