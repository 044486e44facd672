//! Commands on keys of any type, and on whole databases.

mod database;
mod dump;
mod expire;
mod object;
mod rename;
mod scan;

use slotway_resp::write;

pub(crate) use database::{dbsize, flushall, flushdb, swapdb};
pub(crate) use dump::{dump, restore};
pub(crate) use expire::{expire, expireat, expiretime, persist, pexpire, pexpireat, pexpiretime, pttl, ttl};
pub(crate) use object::{object_encoding, object_freq, object_help, object_idletime, object_refcount};
pub(crate) use rename::{copy, move_, rename, renamenx};
pub(crate) use scan::{keys, randomkey, scan};

pub(super) use object::encoding;
pub(super) use scan::{Filter, Scanned, begin_scanned, read_cursor, write_scanned};

use super::arguments::count;
use crate::call::{Call, Done, Millis};
use crate::keyspace::entry::{Entry, Value};
use crate::keyspace::object::Object;
use crate::keyspace::{Key, Keyspace};

pub(crate) fn del(call: &mut Call<'_>) -> Done {
    let deleted = count_keys(call, |keyspace, key, now| {
        let deleted = keyspace.delete(key, now);
        keyspace.changed(key, u64::from(deleted));
        deleted
    });
    write::integer(call.out, deleted);
    Ok(())
}

/// The same as DEL: what is slow to free is always freed elsewhere.
pub(crate) fn unlink(call: &mut Call<'_>) -> Done {
    del(call)
}

pub(crate) fn exists(call: &mut Call<'_>) -> Done {
    let found = count_keys(call, |keyspace, key, now| keyspace.peek(key, now).is_some());
    write::integer(call.out, found);
    Ok(())
}

pub(crate) fn touch(call: &mut Call<'_>) -> Done {
    let found = count_keys(call, |keyspace, key, now| keyspace.read(key, now).is_some());
    write::integer(call.out, found);
    Ok(())
}

/// How many of the request's keys something holds for; a key that is named twice counts twice.
fn count_keys(call: &mut Call<'_>, mut holds: impl FnMut(&mut Keyspace, Key<'_>, Millis) -> bool) -> i64 {
    let mut found = 0;
    for nth in 0..call.request.len() - 1 {
        let key = call.nth_key(nth, 1 + nth);
        found += usize::from(holds(call.keyspace, key, call.now));
    }
    count(found)
}

pub(crate) fn type_(call: &mut Call<'_>) -> Done {
    let key = call.key();
    let name = call.keyspace.peek(key, call.now).map_or("none", type_name);
    write::simple(call.out, name);
    Ok(())
}

/// What TYPE says of a value, and SCAN's TYPE compares with.
fn type_name(entry: &Entry) -> &'static str {
    match entry.value() {
        Value::Text(_) | Value::Object(Object::Text(_)) => "string",
        Value::PackedHash(_) | Value::Object(Object::Hash(_)) => "hash",
        Value::PackedList(_) | Value::Object(Object::List(_)) => "list",
        Value::IntegerSet(_) | Value::PackedSet(_) | Value::Object(Object::Set(_)) => "set",
        Value::PackedSortedSet(_) | Value::Object(Object::SortedSet(_)) => "zset",
    }
}
