//! Commands on lists.

mod edit;
mod pop;
mod position;
mod push;
mod read;
mod transfer;

pub(crate) use edit::{linsert, lrem, lset, ltrim};
pub(crate) use pop::{lmpop, lpop, rpop};
pub(crate) use position::lpos;
pub(crate) use push::{lpush, lpushx, rpush, rpushx};
pub(crate) use read::{lindex, llen, lrange};
pub(crate) use transfer::{lmove, rpoplpush};

use std::ops::Range;

use super::arguments::{SYNTAX, WRONG_TYPE, is};
use crate::call::{Call, Millis, Refusal};
use crate::keyspace::list::{End, Limit, List, ListMut};
use crate::keyspace::{Key, Keyspace};

/// The list to be read; None: there is no such key.
fn find<'c>(call: &'c mut Call<'_>) -> Result<Option<List<'c>>, Refusal> {
    let key = call.key();
    match call.keyspace.read(key, call.now) {
        Some(entry) => entry.list().map(Some).ok_or(WRONG_TYPE),
        None => Ok(None),
    }
}

/// The list to be changed; None: there is no such key.
#[inline]
fn find_mut<'k>(
    keyspace: &'k mut Keyspace,
    key: Key<'_>,
    now: Millis,
) -> Result<Option<ListMut<'k>>, Refusal> {
    let limit = limit(keyspace);
    match keyspace.write(key, now) {
        Some(entry) => entry.list_mut(limit).map(Some).ok_or(WRONG_TYPE),
        None => Ok(None),
    }
}

/// The list of a key that this command has found already.
fn find_again<'k>(keyspace: &'k mut Keyspace, key: Key<'_>) -> Option<ListMut<'k>> {
    let limit = limit(keyspace);
    keyspace.write_again(key)?.list_mut(limit)
}

fn limit(keyspace: &Keyspace) -> Limit {
    Limit::new(keyspace.settings.list_packed_max)
}

/// LEFT or RIGHT.
fn end(word: &[u8]) -> Result<End, Refusal> {
    if is(word, "LEFT") {
        Ok(End::Head)
    } else if is(word, "RIGHT") {
        Ok(End::Tail)
    } else {
        Err(SYNTAX)
    }
}

/// `count` elements were removed and `left` are left: a list without elements is no key.
fn removed(call: &mut Call<'_>, key: Key<'_>, count: usize, left: usize) {
    if left == 0 {
        call.keyspace.delete(key, call.now);
    }
    call.keyspace.changed(key, u64::try_from(count).unwrap_or(0));
}

/// The `count` elements at an end of so many.
fn at_end(end: End, count: usize, len: usize) -> Range<usize> {
    match end {
        End::Head => 0..count.min(len),
        End::Tail => len - count.min(len)..len,
    }
}
