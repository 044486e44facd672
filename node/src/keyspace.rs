//! The keyspace.

use slotway_cluster::{Database, Placement, Slot};

use crate::call::Millis;

/// Where a key lies: its slot's table and its keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) database: Database,
    pub(crate) slot: Slot,
    pub(crate) hash: u64,
}

/// A key and where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) place: Place,
}

/// What CONFIG SET may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `hash-max-listpack-entries`
    pub(crate) hash_packed_fields_max: usize,
    /// `hash-max-listpack-value`
    pub(crate) hash_packed_value_bytes_max: usize,
    /// `proto-max-bulk-len`: the longest string APPEND and SETRANGE may make.
    pub(crate) text_bytes_max: usize,
    /// Whether [`Keyspace::prefetch`] fetches, or only hashes: a switch for measurements.
    pub(crate) prefetch: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            hash_packed_fields_max: 512,
            hash_packed_value_bytes_max: 64,
            text_bytes_max: 512 << 20,
            prefetch: true,
        }
    }
}

/// What INFO reports. `changes` is Redis's `rdb_changes_since_last_save`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) expired: u64,
    pub(crate) changes: u64,
}

/// What one turn of active expiry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) expired: u64,
    /// Its budget ended before the work: run it again soon.
    pub(crate) more: bool,
}

/// Values taken out of the keyspace, to be dropped on another thread. Send.
pub(crate) struct Garbage(Vec<u8>);

pub(crate) struct Keyspace {
    pub(crate) settings: Settings,
    pub(crate) stats: Stats,
}

#[allow(unused, reason = "signatures first")]
impl Keyspace {
    pub(crate) fn new(placement: Placement, seed: [u8; 16], settings: Settings) -> Keyspace {
        Keyspace { settings, stats: Stats::default() }
    }
    pub(crate) fn place(&self, database: Database, key: &[u8]) -> Place {
        todo!()
    }
    pub(crate) fn key<'k>(&self, database: Database, bytes: &'k [u8]) -> Key<'k> {
        Key { bytes, place: self.place(database, bytes) }
    }
    /// Finds the places of a batch's keys (appended to `places`) and fetches their entries into the caches.
    pub(crate) fn prefetch<'k>(&self, keys: impl Iterator<Item = (Database, &'k [u8])>, places: &mut Vec<Place>) {
        todo!()
    }
    /// Deletes what is past its deadline, looking at about `entries` entries at most.
    pub(crate) fn expire_cycle(&mut self, now: Millis, entries: usize) -> Cycle {
        todo!()
    }
    /// Keys of a database.
    pub(crate) fn len(&self, database: Database) -> u64 {
        todo!()
    }
    /// Keys of a database that have a deadline.
    pub(crate) fn deadlines(&self, database: Database) -> u64 {
        todo!()
    }
    /// Their mean time to live in milliseconds, 0 without any.
    pub(crate) fn mean_ttl(&self, database: Database, now: Millis) -> u64 {
        todo!()
    }
    pub(crate) fn slot_len(&self, database: Database, slot: Slot) -> u64 {
        todo!()
    }
    /// Up to `max` keys of a slot.
    pub(crate) fn slot_keys(&self, database: Database, slot: Slot, max: usize) -> Vec<&[u8]> {
        todo!()
    }
    /// What was deleted and is worth dropping on a helper thread; None: nothing. Ask after every batch.
    pub(crate) fn take_garbage(&mut self) -> Option<Garbage> {
        todo!()
    }
}
