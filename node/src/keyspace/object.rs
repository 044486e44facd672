//! Values too large or too rich to lie in their entry.

use super::entry::{Entry, Form, Value};
use super::list::Chunks;
use super::long_text::LongText;
use super::seed::Seed;
use super::sorted_set::Indexed;
use super::table::Table;
use super::walk::Handles;

/// A value behind a pointer of its own.
pub(crate) enum Object {
    /// A long string. Counted, so that others can hold it without a copy.
    Text(LongText),
    /// A hash of many or long fields: a table of entries, field as key and value as value.
    Hash(Table),
    /// A list that is long in elements or bytes.
    List(Chunks),
    /// A set of many or long members: a table of entries, a member as key and no value.
    Set(Table),
    /// A sorted set of many or long members.
    SortedSet(Box<Indexed>),
}

/// What a counted string costs beside its bytes: two counts and the vector.
const TEXT_BYTES: usize = 16 + size_of::<Vec<u8>>();

/// The allocator gives pages for what is as long as the strings that have an allocation of their own.
const PAGE: usize = 4096;

/// Collections of more elements than this are dropped on a helper thread, as Redis frees them lazily.
const SLOW_ELEMENTS: usize = 64;

impl Object {
    /// Whether dropping it takes so long that a helper thread should.
    pub(super) fn is_slow_to_drop(&self) -> bool {
        match self {
            Object::Text(_) => true,
            Object::Hash(table) | Object::Set(table) => table.len() > SLOW_ELEMENTS,
            Object::List(list) => list.is_slow_to_drop(SLOW_ELEMENTS),
            Object::SortedSet(set) => set.len() > SLOW_ELEMENTS,
        }
    }

    /// The table of its elements, if it has one.
    pub(super) fn table_mut(&mut self) -> Option<&mut Table> {
        match self {
            Object::Text(_) | Object::List(_) => None,
            Object::Hash(table) | Object::Set(table) => Some(table),
            Object::SortedSet(set) => Some(set.members()),
        }
    }

    /// The walks that are not through with it.
    pub(super) fn frozen_mut(&mut self) -> Option<&mut Option<Box<Handles>>> {
        match self {
            Object::List(list) => Some(list.frozen_mut()),
            other => other.table_mut().map(Table::frozen_mut),
        }
    }

    /// About how many bytes it holds, judged by this many elements; 0: all of them.
    pub(crate) fn bytes(&self, samples: usize) -> usize {
        let inner = match self {
            Object::Text(text) => text.allocated().next_multiple_of(PAGE) + TEXT_BYTES,
            Object::Hash(table) | Object::Set(table) => table.bytes(samples, |entry| bytes(entry, samples)),
            Object::List(chunks) => chunks.bytes(samples),
            Object::SortedSet(set) => set.bytes(samples),
        };
        size_of::<Object>() + inner
    }

    fn duplicate(&self, seed: &Seed) -> Object {
        match self {
            Object::Text(text) => Object::Text(text.clone()),
            Object::Hash(table) => Object::Hash(duplicate_table(table, seed)),
            Object::List(list) => Object::List(list.duplicate()),
            Object::Set(table) => Object::Set(duplicate_table(table, seed)),
            Object::SortedSet(set) => Object::SortedSet(Box::new(set.duplicate(seed))),
        }
    }
}

/// About how many bytes a key with its value holds: see [`Object::bytes`].
pub(crate) fn bytes(entry: &Entry, samples: usize) -> usize {
    let object = match entry.value() {
        Value::Object(object) => object.bytes(samples),
        _ => 0,
    };
    entry.allocated() + object
}

/// An entry as it is, for a walk. A long string is shared; None: a collection with elements of its own.
pub(super) fn copy(entry: &Entry) -> Option<Entry> {
    match entry.value() {
        Value::Object(Object::Text(text)) => {
            let mut copy = Entry::with_long_text(entry.key(), text.clone());
            copy.touch(entry.clock());
            copy.set_deadline(entry.deadline());
            Some(copy)
        }
        Value::Object(_) => None,
        _ => entry.copy(),
    }
}

fn duplicate_table(table: &Table, seed: &Seed) -> Table {
    let mut copy = Table::default();
    for entry in table.iter() {
        copy.insert(seed, seed.hash(entry.key()), duplicate(entry, entry.key(), seed));
    }
    copy
}

/// A copy of an entry under another key, without its deadline. A long string is shared, not copied.
pub(super) fn duplicate(entry: &Entry, key: &[u8], seed: &Seed) -> Entry {
    let mut copy = match entry.value() {
        Value::Text(text) => Entry::new(key, Form::Text, text),
        Value::PackedHash(bytes)
        | Value::PackedList(bytes)
        | Value::IntegerSet(bytes)
        | Value::PackedSet(bytes)
        | Value::PackedSortedSet(bytes) => Entry::new(key, entry.form(), bytes),
        Value::Object(object) => Entry::with_object(key, Box::new(object.duplicate(seed))),
    };
    copy.set_mark(entry.mark());
    copy.mark_copied();
    copy
}
