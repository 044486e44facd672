//! Commands on hashes.

mod numbers;
mod random;
mod read;
mod scan;
mod update;

pub(crate) use numbers::{hincrby, hincrbyfloat};
pub(crate) use random::hrandfield;
pub(crate) use read::{hexists, hget, hgetall, hkeys, hlen, hmget, hstrlen, hvals};
pub(crate) use scan::hscan;
pub(crate) use update::{hdel, hmset, hset, hsetnx};

use super::arguments::WRONG_TYPE;
use crate::call::{Call, Refusal};
use crate::keyspace::entry::Entry;
use crate::keyspace::hash::{Hash, HashMut};

/// The hash to be read; None: there is no such key.
fn find<'c>(call: &'c mut Call<'_>) -> Result<Option<Hash<'c>>, Refusal> {
    let key = call.key();
    match call.keyspace.read(key, call.now) {
        Some(entry) => entry.hash().map(Some).ok_or(WRONG_TYPE),
        None => Ok(None),
    }
}

/// The value of a hash's field that is to be changed; None: there is no such key or field.
fn field_value<'c>(call: &'c mut Call<'_>, field: &[u8]) -> Result<Option<&'c [u8]>, Refusal> {
    let (key, seed) = (call.key(), call.keyspace.seed());
    match call.keyspace.write(key, call.now) {
        Some(entry) => Ok(entry.hash().ok_or(WRONG_TYPE)?.get(&seed, field)),
        None => Ok(None),
    }
}

/// Changes the hash, making it if there is no such key. `change` must leave a field in it.
fn change<T>(call: &mut Call<'_>, change: impl FnOnce(&mut HashMut<'_>) -> T) -> Result<T, Refusal> {
    let (key, seed, settings) = (call.key(), call.keyspace.seed(), call.keyspace.settings);
    if let Some(entry) = call.keyspace.write(key, call.now) {
        let mut hash = entry.hash_mut(seed, settings).ok_or(WRONG_TYPE)?;
        return Ok(change(&mut hash));
    }
    Ok(insert(call, change))
}

/// Makes a hash where there is no such key. `change` must leave a field in it.
fn insert<T>(call: &mut Call<'_>, change: impl FnOnce(&mut HashMut<'_>) -> T) -> T {
    let (key, seed, settings) = (call.key(), call.keyspace.seed(), call.keyspace.settings);
    let mut entry = Entry::with_hash(key.bytes);
    let done = change(&mut entry.hash_mut(seed, settings).expect("it was made a hash"));
    call.keyspace.insert(key, entry, call.now);
    done
}
