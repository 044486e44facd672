//! Commands on strings.

mod lcs;
mod many;
mod numbers;
mod range;
mod set;

use slotway_resp::write;

pub(crate) use lcs::lcs;
pub(crate) use many::{mget, mset, msetnx};
pub(crate) use numbers::{decr, decrby, incr, incrby, incrbyfloat};
pub(crate) use range::{append, getrange, setrange, strlen, substr};
pub(crate) use set::{getdel, getex, getset, psetex, set, setex, setnx};

use super::arguments::WRONG_TYPE;
use crate::call::{Call, Done};
use crate::keyspace::Key;
use crate::splices::write_text;

#[inline]
pub(crate) fn get(call: &mut Call<'_>) -> Done {
    reply_value(call, call.key())
}

/// Answers with the string of a key, or null.
#[inline]
fn reply_value(call: &mut Call<'_>, key: Key<'_>) -> Done {
    match call.keyspace.read(key, call.now) {
        Some(entry) => match write_text(call.out, call.splices.as_deref_mut(), entry) {
            true => Ok(()),
            false => Err(WRONG_TYPE),
        },
        None => {
            write::null(call.out, call.version);
            Ok(())
        }
    }
}
