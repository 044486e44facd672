//! Commands on sorted sets.

pub(super) mod add;
mod bounds;
mod combine;
mod pop;
mod random;
mod range;
mod read;
mod remove;
mod scan;

pub(crate) use add::{zadd, zincrby};
pub(crate) use combine::{zdiff, zdiffstore, zinter, zintercard, zinterstore, zunion, zunionstore};
pub(crate) use pop::{zmpop, zpopmax, zpopmin};
pub(crate) use random::zrandmember;
pub(crate) use range::{
    zrange, zrangebylex, zrangebyscore, zrangestore, zrevrange, zrevrangebylex, zrevrangebyscore,
};
pub(crate) use read::{zcard, zcount, zlexcount, zmscore, zrank, zrevrank, zscore};
pub(crate) use remove::{zrem, zremrangebylex, zremrangebyrank, zremrangebyscore};
pub(crate) use scan::zscan;

use slotway_resp::{Version, write};

use super::arguments::{WRONG_TYPE, count};
use crate::call::{Call, Done, Millis, Refusal};
use crate::keyspace::entry::Entry;
use crate::keyspace::sorted_set::{SortedSet, SortedSetMut};
use crate::keyspace::{Key, Keyspace};

/// The sorted set to be read; None: there is no such key.
pub(super) fn find<'k>(
    keyspace: &'k mut Keyspace,
    key: Key<'_>,
    now: Millis,
) -> Result<Option<SortedSet<'k>>, Refusal> {
    match keyspace.read(key, now) {
        Some(entry) => entry.sorted_set().map(Some).ok_or(WRONG_TYPE),
        None => Ok(None),
    }
}

/// The sorted set to be changed; None: there is no such key.
pub(super) fn find_mut<'k>(
    keyspace: &'k mut Keyspace,
    key: Key<'_>,
    now: Millis,
) -> Result<Option<SortedSetMut<'k>>, Refusal> {
    let (seed, settings) = (keyspace.seed(), keyspace.settings);
    match keyspace.write(key, now) {
        Some(entry) => entry.sorted_set_mut(seed, settings).map(Some).ok_or(WRONG_TYPE),
        None => Ok(None),
    }
}

/// The sorted set of a key that this command has found already.
fn find_again<'k>(keyspace: &'k mut Keyspace, key: Key<'_>) -> Option<SortedSetMut<'k>> {
    let (seed, settings) = (keyspace.seed(), keyspace.settings);
    keyspace.write_again(key)?.sorted_set_mut(seed, settings)
}

/// Puts a result of `len` elements under its key and answers how many; without any the key is deleted.
fn store(call: &mut Call<'_>, key: Key<'_>, entry: Entry, len: usize) -> Done {
    store_counting(call, key, entry, len, 1)
}

/// As [`store`], where a result counts as so many changes.
pub(super) fn store_counting(
    call: &mut Call<'_>,
    key: Key<'_>,
    entry: Entry,
    len: usize,
    changes: u64,
) -> Done {
    if len > 0 {
        call.keyspace.put(key, entry, call.now);
        call.keyspace.changed(key, changes);
    } else if call.keyspace.delete(key, call.now) {
        call.keyspace.changed(key, 1);
    }
    write::integer(call.out, count(len));
    Ok(())
}

/// Whether scores stand beside members in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scores {
    With,
    Without,
}

/// The head of a reply of `len` elements. With scores RESP3 has an array of pairs, RESP2 one array of both in turn.
fn write_head(out: &mut Vec<u8>, version: Version, len: usize, scores: Scores) {
    let is_flat = scores == Scores::With && version == Version::Resp2;
    write::array(out, if is_flat { len * 2 } else { len });
}

fn write_element(out: &mut Vec<u8>, version: Version, (score, member): (f64, &[u8]), scores: Scores) {
    if scores == Scores::Without {
        return write::bulk(out, member);
    }
    if version == Version::Resp3 {
        write::array(out, 2);
    }
    write::bulk(out, member);
    write::double(out, version, score);
}
