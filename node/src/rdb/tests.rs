//! What is written reads back, what Redis writes is read, and what is broken is refused.

mod broken;
mod encodings;
mod oracle;
mod round_trip;

use std::collections::{BTreeMap, BTreeSet};

use slotway_cluster::Database;

use super::read::{Item, ReadError, Reader};
use super::{Checksum, Form, Noted, write};
use crate::call::Millis;
use crate::keyspace::Settings;
use crate::keyspace::entry::{Entry, Form as Kept};
use crate::keyspace::list::Limit;
use crate::keyspace::load::Record;
use crate::keyspace::object::Object;
use crate::keyspace::seed::Seed;
use crate::keyspace::set::Encoding;

const NOW: Millis = Millis(1_700_000_000_000);

const PLAIN: Form = Form { compress: false, noted: Noted::Nothing };
const COMPRESSED: Form = Form { compress: true, noted: Noted::Nothing };

fn seed() -> Seed {
    Seed::new(*b"a seed of tests.")
}

/// A value as the commands of its type show it.
#[derive(Debug, Clone, PartialEq)]
enum Plain {
    Text(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    SortedSet(Vec<(f64, Vec<u8>)>),
}

impl Plain {
    fn of(entry: &Entry) -> Plain {
        if let Some(text) = entry.text() {
            return Plain::Text(text.to_vec());
        }
        if let Some(hash) = entry.hash() {
            let mut fields = BTreeMap::new();
            hash.for_each(|field, value| assert!(fields.insert(field.to_vec(), value.to_vec()).is_none()));
            assert_eq!(fields.len(), hash.len());
            return Plain::Hash(fields);
        }
        if let Some(list) = entry.list() {
            let mut digits = itoa::Buffer::new();
            return Plain::List(list.iter().map(|one| one.text(&mut digits).to_vec()).collect());
        }
        if let Some(set) = entry.set() {
            let mut members = BTreeSet::new();
            set.for_each(|member| assert!(member.with_text(|text| members.insert(text.to_vec()))));
            assert_eq!(members.len(), set.len());
            return Plain::Set(members);
        }
        let set = entry.sorted_set().expect("there are five types");
        let mut elements = Vec::new();
        set.for_each(|score, member| elements.push((score, member.to_vec())));
        assert_eq!(elements.len(), set.len());
        Plain::SortedSet(elements)
    }

    /// The entry that commands would have made of it, word by word.
    fn entry(&self, key: &[u8], settings: Settings) -> Entry {
        match self {
            Plain::Text(text) => Entry::with_text(key, text),
            Plain::Hash(fields) => {
                let mut entry = Entry::with_hash(key);
                let mut hash = entry.hash_mut(seed(), settings).unwrap();
                for (field, value) in fields {
                    hash.make_room_for([&field[..], value].into_iter());
                    hash.set(field, value);
                }
                entry
            }
            Plain::List(words) => {
                let limit = Limit::new(settings.list_packed_max);
                Entry::with_list_of(key, limit, words.iter().map(Vec::as_slice))
            }
            Plain::Set(members) => {
                let first = members.first().map_or(&b""[..], Vec::as_slice);
                let mut entry = Entry::with_set(key, Encoding::of_first(first, 1, &settings));
                let mut set = entry.set_mut(seed(), settings).unwrap();
                members.iter().for_each(|member| assert!(set.add(member)));
                entry
            }
            Plain::SortedSet(elements) => {
                let longest = elements.iter().map(|(_, member)| member.len()).max().unwrap_or(0);
                let mut entry = Entry::with_sorted_set(key, &settings, 1, longest);
                let mut set = entry.sorted_set_mut(seed(), settings).unwrap();
                elements.iter().for_each(|(score, member)| set.update(member, |_| Some(*score)));
                entry
            }
        }
    }
}

/// How a value is kept.
fn kept(entry: &Entry) -> (Kept, &'static str) {
    use crate::keyspace::entry::Value;
    let object = match entry.value() {
        Value::Object(Object::Hash(_)) => "hash",
        Value::Object(Object::List(_)) => "list",
        Value::Object(Object::Set(_)) => "set",
        Value::Object(Object::SortedSet(_)) => "sorted set",
        _ => "",
    };
    (entry.form(), object)
}

/// A file with these records.
fn file(entries: &[Entry], form: Form) -> Vec<u8> {
    let mut out = Vec::new();
    write::header(&mut out, &[("redis-ver", b"7.2.0"), ("redis-bits", b"64")]);
    write::select(&mut out, Database(0));
    write::resize(&mut out, u64::try_from(entries.len()).unwrap(), 0);
    entries.iter().for_each(|entry| write::record(&mut out, entry, form));
    finish(out)
}

fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let mut checksum = Checksum::new();
    checksum.update(&out);
    write::end(&mut out, Some(checksum));
    out
}

/// A file of version 11 around what stands between header and end mark.
fn around(body: &[u8]) -> Vec<u8> {
    finish([b"REDIS0011", body].concat())
}

/// Every key of a file.
fn read_all(bytes: &[u8], settings: Settings) -> Result<Vec<Record>, ReadError> {
    let mut reader = Reader::new(bytes, seed(), settings);
    let mut records = Vec::new();
    while let Some(item) = reader.next()? {
        if let Item::Key(record) = item {
            records.push(record);
        }
    }
    Ok(records)
}
