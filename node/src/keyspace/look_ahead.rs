//! Looking ahead: the keys of a whole batch are brought into the caches before its first request is executed.
//!
//! In a keyspace larger than the caches a lookup waits for memory three to five times in a row: table, directory, part,
//! entry. Those of different keys need not wait for each other: each stage walks over all keys of the batch
//! and asks for what the next stage reads, so a batch waits about as long as one key.

use slotway_cluster::Database;

use super::{Keyspace, Place};

/// Keys that are looked ahead for at a time: more would push each other out of the first cache.
const STRIDE: usize = 64;

impl Keyspace {
    /// Finds the places of a batch's keys (appended to `places`) and fetches their entries into the caches.
    pub(crate) fn prefetch<'k>(
        &self,
        keys: impl Iterator<Item = (Database, &'k [u8])>,
        places: &mut Vec<Place>,
    ) {
        let first = places.len();
        places.extend(keys.map(|(database, key)| self.place(database, key)));
        if self.settings.prefetch {
            places[first..].chunks(STRIDE).for_each(|places| self.fetch(places));
        }
    }

    fn fetch(&self, places: &[Place]) {
        if let [_] = places {
            return;
        }
        let tables = || {
            places.iter().filter_map(|place| {
                let contents = self.contents(place.database);
                Some((contents.table(place.slot)?, place.hash, contents.deadlines()))
            })
        };
        tables().for_each(|(table, _, _)| table.prefetch());
        tables().for_each(|(table, hash, _)| table.prefetch_root(hash));
        tables().for_each(|(table, hash, deadlines)| table.prefetch_part(hash, deadlines));
        tables().for_each(|(table, hash, _)| table.prefetch_entry(hash));
    }
}
