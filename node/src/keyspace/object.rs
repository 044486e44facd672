//! Values too large or too rich to lie in their entry.

use std::sync::Arc;

use super::entry::{Entry, Form, Value};
use super::seed::Seed;
use super::table::Table;

/// A value behind a pointer of its own.
pub(crate) enum Object {
    /// A long string. Counted, so that an answer on its way out can hold it without a copy.
    Text(Arc<Vec<u8>>),
    /// A hash of many or long fields: a table of entries, field as key and value as value.
    Hash(Table),
}

/// Collections of more elements than this are dropped on a helper thread, as Redis frees them lazily.
const SLOW_FIELDS: usize = 64;

impl Object {
    /// Whether dropping it takes so long that a helper thread should.
    pub(super) fn is_slow_to_drop(&self) -> bool {
        match self {
            Object::Text(_) => true,
            Object::Hash(table) => table.len() > SLOW_FIELDS,
        }
    }

    fn duplicate(&self, seed: &Seed) -> Object {
        match self {
            Object::Text(text) => Object::Text(Arc::clone(text)),
            Object::Hash(table) => {
                let mut copy = Table::default();
                for entry in table.iter() {
                    copy.insert(seed, seed.hash(entry.key()), duplicate(entry, entry.key(), seed));
                }
                Object::Hash(copy)
            }
        }
    }
}

/// A copy of an entry under another key, without its deadline. A long string is shared, not copied.
pub(super) fn duplicate(entry: &Entry, key: &[u8], seed: &Seed) -> Entry {
    let mut copy = match entry.value() {
        Value::Text(text) => Entry::new(key, Form::Text, text),
        Value::PackedHash(bytes) => Entry::new(key, Form::PackedHash, bytes),
        Value::Object(object) => Entry::with_object(key, Box::new(object.duplicate(seed))),
    };
    copy.set_mark(entry.mark());
    copy.mark_copied();
    copy
}
