//! ZPOPMIN, ZPOPMAX and ZMPOP.

use std::ops::Range;

use slotway_commands::errors;
use slotway_resp::{Version, write};

use super::{Scores, find_again, find_mut, write_element, write_head};
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, integer, is};
use crate::keyspace::Key;
use crate::keyspace::sorted_set::{Order, SortedSet};

const COUNT_NOT_POSITIVE: &str = "ERR count should be greater than 0";

pub(crate) fn zpopmin(call: &mut Call<'_>) -> Done {
    pop(call, Order::Rising)
}

pub(crate) fn zpopmax(call: &mut Call<'_>) -> Done {
    pop(call, Order::Falling)
}

/// ZPOPMIN key [count]. Without a count RESP3 too has one array of both, the member and its score.
fn pop(call: &mut Call<'_>, order: Order) -> Done {
    let request = call.request;
    let wanted = match request.len() {
        2 => None,
        3 => Some(positive(request.word(2))?),
        _ => return Err(SYNTAX),
    };
    let key = call.key();
    let Some(set) = find_mut(call.keyspace, key, call.now)? else {
        write::array(call.out, 0);
        return Ok(());
    };
    let ranks = end_of(set.view(), order, wanted.unwrap_or(1));
    let version = call.version;
    if wanted.is_some() {
        write_head(call.out, version, ranks.len(), Scores::With);
        set.view().for_each_in(ranks.clone(), order, |score, member| {
            write_element(call.out, version, (score, member), Scores::With);
        });
    } else {
        write::array(call.out, 2);
        set.view().for_each_in(ranks.clone(), order, |score, member| {
            write::bulk(call.out, member);
            write::double(call.out, version, score);
        });
    }
    take(call, key, ranks);
    Ok(())
}

/// ZMPOP numkeys key [key ...] MIN | MAX [COUNT count]
pub(crate) fn zmpop(call: &mut Call<'_>) -> Done {
    let request = call.request;
    let keys = integer(request.word(1)).ok().and_then(|number| usize::try_from(number).ok());
    let keys = keys.filter(|&number| number > 0).ok_or(Refusal::Borrowed(errors::NUMKEYS_NOT_POSITIVE))?;
    let end = keys.checked_add(2).filter(|&end| end < request.len()).ok_or(SYNTAX)?;
    let order = match request.word(end) {
        word if is(word, "MIN") => Order::Rising,
        word if is(word, "MAX") => Order::Falling,
        _ => return Err(SYNTAX),
    };
    let wanted = match request.len() - end - 1 {
        0 => 1,
        2 if is(request.word(end + 1), "COUNT") => {
            let wanted = integer(request.word(end + 2)).ok().and_then(|wanted| usize::try_from(wanted).ok());
            wanted.filter(|&wanted| wanted > 0).ok_or(Refusal::Borrowed(COUNT_NOT_POSITIVE))?
        }
        _ => return Err(SYNTAX),
    };
    for nth in 0..keys {
        let key = call.nth_key(nth, 2 + nth);
        let Some(set) = find_mut(call.keyspace, key, call.now)? else { continue };
        let ranks = end_of(set.view(), order, wanted);
        write::array(call.out, 2);
        write::bulk(call.out, key.bytes);
        write::array(call.out, ranks.len());
        set.view().for_each_in(ranks.clone(), order, |score, member| {
            write_pair(call.out, call.version, member, score);
        });
        let count = u64::try_from(ranks.len()).unwrap_or(u64::MAX);
        take(call, key, ranks);
        let command: &[u8] = if order == Order::Rising { b"ZPOPMIN" } else { b"ZPOPMAX" };
        call.tell_with(&[command, key.bytes], count);
        return Ok(());
    }
    write::null_array(call.out, call.version);
    Ok(())
}

/// A pair of its own in both versions.
fn write_pair(out: &mut Vec<u8>, version: Version, member: &[u8], score: f64) {
    write::array(out, 2);
    write::bulk(out, member);
    write::double(out, version, score);
}

fn positive(word: &[u8]) -> Result<usize, Refusal> {
    let number = integer(word).ok().and_then(|number| usize::try_from(number).ok());
    number.ok_or(Refusal::Borrowed(errors::NOT_POSITIVE))
}

/// The ranks of the first `wanted` elements of this order.
fn end_of(set: SortedSet<'_>, order: Order, wanted: usize) -> Range<usize> {
    let len = set.len();
    match order {
        Order::Rising => 0..wanted.min(len),
        Order::Falling => len - wanted.min(len)..len,
    }
}

/// Removes what was answered.
fn take(call: &mut Call<'_>, key: Key<'_>, ranks: Range<usize>) {
    let number = ranks.len();
    let Some(mut set) = find_again(call.keyspace, key) else { return };
    if number == set.view().len() {
        call.keyspace.delete(key, call.now);
    } else {
        set.remove_ranks(ranks);
    }
    call.keyspace.changed(key, u64::try_from(number).unwrap_or(0));
}
