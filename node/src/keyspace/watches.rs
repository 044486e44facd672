//! Keys that clients watch (WATCH): a number per watched key that grows with every change.
//!
//! A watch remembers the number it found; EXEC asks whether it is still the same. So a change costs a look at one map,
//! which is empty unless somebody watches, and knows nothing of clients. What ends by its deadline has changed, too;
//! what had ended before the watch has not.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use slotway_cluster::Database;
use slotway_cluster::slot::DATABASES;

/// All watched keys, by database.
pub(super) struct Watches {
    by_database: Vec<HashMap<Box<[u8]>, Watched>>,
}

#[derive(Default)]
struct Watched {
    changes: u64,
    watches: u64,
}

/// One client's watch over one key: equal to any other over the same key. To be given back with
/// [`super::Keyspace::unwatch`].
#[derive(Debug)]
pub(crate) struct Watch {
    pub(super) database: Database,
    pub(super) key: Box<[u8]>,
    /// It was past its deadline at the time, and so absent.
    pub(super) was_gone: bool,
    /// Changes of the key at the time.
    changes: u64,
}

impl PartialEq for Watch {
    fn eq(&self, other: &Watch) -> bool {
        self.database == other.database && self.key == other.key
    }
}

impl Eq for Watch {}

impl Hash for Watch {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.database.0.hash(hasher);
        self.key.hash(hasher);
    }
}

impl Default for Watches {
    fn default() -> Self {
        Watches { by_database: (0..DATABASES).map(|_| HashMap::new()).collect() }
    }
}

impl Watches {
    pub(super) fn add(&mut self, database: Database, key: &[u8]) -> Watch {
        let watched = self.of(database).entry(key.into()).or_default();
        watched.watches += 1;
        Watch { database, key: key.into(), was_gone: false, changes: watched.changes }
    }

    pub(super) fn remove(&mut self, watch: &Watch) {
        let keys = self.of(watch.database);
        if let Some(watched) = keys.get_mut(&watch.key) {
            watched.watches -= 1;
            if watched.watches == 0 {
                keys.remove(&watch.key);
            }
        }
    }

    pub(super) fn is_unchanged(&self, watch: &Watch) -> bool {
        let watched = self.by_database[usize::from(watch.database.0)].get(&watch.key);
        watched.is_some_and(|watched| watched.changes == watch.changes)
    }

    /// The key has changed.
    #[inline]
    pub(super) fn note(&mut self, database: Database, key: &[u8]) {
        let keys = self.of(database);
        if !keys.is_empty()
            && let Some(watched) = keys.get_mut(key)
        {
            watched.changes += 1;
        }
    }

    /// Those keys of a database have changed for which `has_changed` says so.
    pub(super) fn note_where(&mut self, database: Database, mut has_changed: impl FnMut(&[u8]) -> bool) {
        for (key, watched) in self.of(database) {
            watched.changes += u64::from(has_changed(key));
        }
    }

    /// Keys that are watched.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_database.iter().map(HashMap::len).sum()
    }

    fn of(&mut self, database: Database) -> &mut HashMap<Box<[u8]>, Watched> {
        &mut self.by_database[usize::from(database.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Database = Database(0);
    const ONE: Database = Database(1);

    #[test]
    fn a_watch_sees_changes_of_its_key_in_its_database_from_its_beginning_on() {
        let mut watches = Watches::default();
        watches.note(ZERO, b"k");
        let watch = watches.add(ZERO, b"k");
        watches.note(ZERO, b"other");
        watches.note(ONE, b"k");
        assert!(watches.is_unchanged(&watch));
        watches.note(ZERO, b"k");
        assert!(!watches.is_unchanged(&watch));
        let later = watches.add(ZERO, b"k");
        assert!(watches.is_unchanged(&later) && !watches.is_unchanged(&watch));
    }

    #[test]
    fn a_key_is_forgotten_with_its_last_watch() {
        let mut watches = Watches::default();
        let (one, other) = (watches.add(ZERO, b"k"), watches.add(ZERO, b"k"));
        watches.note(ZERO, b"k");
        watches.remove(&one);
        assert_eq!(watches.len(), 1);
        assert!(!watches.is_unchanged(&other), "the other watch is not disturbed");
        watches.remove(&other);
        assert_eq!(watches.len(), 0);
        let watch = watches.add(ZERO, b"k");
        assert!(watches.is_unchanged(&watch));
    }

    #[test]
    fn of_a_whole_database_those_keys_change_that_are_told() {
        let mut watches = Watches::default();
        let there = watches.add(ZERO, b"there");
        let absent = watches.add(ZERO, b"absent");
        let elsewhere = watches.add(ONE, b"there");
        watches.note_where(ZERO, |key| key == b"there");
        assert!(!watches.is_unchanged(&there));
        assert!(watches.is_unchanged(&absent) && watches.is_unchanged(&elsewhere));
    }
}
