//! Hashes: packed in their entry while they are small, a table of entries when they are not.
//!
//! A hash turns into a table when it has more fields than `hash-max-listpack-entries` or is given a field or value longer than
//! `hash-max-listpack-value`, and never back, as in Redis: OBJECT ENCODING tells.

use super::Settings;
use super::entry::{Entry, Form, Value};
use super::object::Object;
use super::packed::{self, PACKED_BYTES_MAX, Packed};
use super::seed::{Random, Seed};
use super::table::Table;
use super::text::Origin;

/// A hash, to be read.
#[derive(Clone, Copy)]
pub(crate) enum Hash<'a> {
    Packed(Packed<'a>),
    Table(&'a Table),
}

/// A hash, to be changed. An emptied one is for the caller to delete with its key.
pub(crate) struct HashMut<'a> {
    entry: &'a mut Entry,
    seed: Seed,
    settings: Settings,
}

impl Entry {
    pub(crate) fn with_hash(key: &[u8]) -> Entry {
        Entry::new(key, Form::PackedHash, packed::EMPTY)
    }

    /// The hash; None when the value is something else.
    pub(crate) fn hash(&self) -> Option<Hash<'_>> {
        match self.value() {
            Value::PackedHash(bytes) => Some(Hash::Packed(Packed::new(bytes))),
            Value::Object(Object::Hash(table)) => Some(Hash::Table(table)),
            _ => None,
        }
    }

    pub(crate) fn hash_mut(&mut self, seed: Seed, settings: Settings) -> Option<HashMut<'_>> {
        self.hash()?;
        Some(HashMut { entry: self, seed, settings })
    }
}

impl<'a> Hash<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Hash::Packed(packed) => packed.len(),
            Hash::Table(table) => table.len(),
        }
    }

    pub(crate) fn get(&self, seed: &Seed, field: &[u8]) -> Option<&'a [u8]> {
        match self {
            Hash::Packed(packed) => packed.get(field),
            Hash::Table(table) => table.find(seed.hash(field), field).map(value_of),
        }
    }

    /// Calls `each` with every field and its value.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&'a [u8], &'a [u8])) {
        match self {
            Hash::Packed(packed) => packed.iter().for_each(|(field, value)| each(field, value)),
            Hash::Table(table) => table.iter().for_each(|entry| each(entry.key(), value_of(entry))),
        }
    }

    /// A field chosen by chance; None: there is none.
    pub(crate) fn random(&self, random: &mut Random) -> Option<(&'a [u8], &'a [u8])> {
        match self {
            Hash::Packed(packed) if packed.len() == 0 => None,
            Hash::Packed(packed) => packed.iter().nth(random.index(packed.len())),
            Hash::Table(table) => table.random(random).map(|entry| (entry.key(), value_of(entry))),
        }
    }

    /// Calls `each` with the fields from `position` on until there have been `count` or a few more. Returns the
    /// position to go on from, 0 at the end. A packed hash is visited whole.
    pub(crate) fn scan(&self, position: u64, count: usize, mut each: impl FnMut(&'a [u8], &'a [u8])) -> u64 {
        let Hash::Table(table) = self else {
            self.for_each(each);
            return 0;
        };
        table.walk(position, count, |entry| each(entry.key(), value_of(entry))).unwrap_or(0)
    }

    pub(crate) fn is_packed(&self) -> bool {
        matches!(self, Hash::Packed(_))
    }
}

fn value_of(entry: &Entry) -> &[u8] {
    entry.text().expect("a field's value is a string")
}

impl HashMut<'_> {
    pub(crate) fn view(&self) -> Hash<'_> {
        self.entry.hash().expect("it was seen to be a hash")
    }

    pub(crate) fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.view().get(&self.seed, field)
    }

    /// Makes a table of it if one of these words is too long to be packed, or all of them are too many bytes.
    pub(crate) fn make_room_for<'w>(&mut self, words: impl Iterator<Item = &'w [u8]>) {
        let limit = self.settings.hash_packed_value_bytes_max;
        let mut bytes = match self.entry.value() {
            Value::PackedHash(packed) => packed.len(),
            _ => return,
        };
        for word in words {
            bytes = bytes.saturating_add(word.len());
            if word.len() > limit || bytes > PACKED_BYTES_MAX {
                return self.unpack();
            }
        }
    }

    /// Sets a field; true: it is new. Not more than [`HashMut::make_room_for`] has seen.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        if let Value::PackedHash(bytes) = self.entry.value() {
            let at = Packed::new(bytes).find(field);
            let is_new = packed::set(self.entry, at, field, value);
            if self.view().len() > self.settings.hash_packed_fields_max {
                self.unpack();
            }
            return is_new;
        }
        let hash = self.seed.hash(field);
        let table = self.table();
        match table.change(hash, field) {
            Some(entry) => {
                drop(entry.set_text(value, Origin::Stored));
                false
            }
            None => {
                let entry = Entry::with_text(field, value);
                let seed = self.seed;
                self.table().insert(&seed, hash, entry);
                true
            }
        }
    }

    /// Removes a field; false: there was none.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        if let Value::PackedHash(bytes) = self.entry.value() {
            let at = Packed::new(bytes).find(field);
            if let Some(at) = at {
                packed::remove(self.entry, at);
            }
            return at.is_some();
        }
        let hash = self.seed.hash(field);
        self.table().remove(hash, field).is_some()
    }

    fn unpack(&mut self) {
        let mut table = Table::default();
        self.view().for_each(|field, value| {
            table.insert(&self.seed, self.seed.hash(field), Entry::with_text(field, value));
        });
        drop(self.entry.set_object(Box::new(Object::Hash(table))));
    }

    fn table(&mut self) -> &mut Table {
        match self.entry.object_mut() {
            Some(Object::Hash(table)) => table,
            _ => unreachable!("a hash that is not packed is a table"),
        }
    }
}

#[cfg(test)]
mod tests;
