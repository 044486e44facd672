//! Commands on sets.

mod algebra;
mod random;
mod read;
mod scan;
mod update;

pub(crate) use algebra::{sdiff, sdiffstore, sinter, sintercard, sinterstore, sunion, sunionstore};
pub(crate) use random::{spop, srandmember};
pub(crate) use read::{scard, sismember, smembers, smismember};
pub(crate) use scan::sscan;
pub(crate) use update::{sadd, smove, srem};

use slotway_resp::write;

use super::arguments::WRONG_TYPE;
use crate::call::{Call, Refusal};
use crate::keyspace::set::{Member, Set};

/// The set to be read; None: there is no such key.
fn find<'c>(call: &'c mut Call<'_>) -> Result<Option<Set<'c>>, Refusal> {
    let key = call.key();
    match call.keyspace.read(key, call.now) {
        Some(entry) => entry.set().map(Some).ok_or(WRONG_TYPE),
        None => Ok(None),
    }
}

fn write_member(out: &mut Vec<u8>, member: Member<'_>) {
    match member {
        Member::Text(text) => write::bulk(out, text),
        Member::Integer(integer) => write::bulk_integer(out, integer),
    }
}
