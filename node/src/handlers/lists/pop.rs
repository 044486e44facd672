//! Elements taken from an end.

use slotway_commands::errors;
use slotway_resp::write;

use super::{at_end, end, find_mut, removed};
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, integer, is, wrong_number_of_arguments};
use crate::keyspace::Key;
use crate::keyspace::list::{End, ListMut};

const COUNT_NOT_POSITIVE: &str = "ERR count should be greater than 0";

pub(crate) fn lpop(call: &mut Call<'_>) -> Done {
    pop(call, End::Head, "lpop")
}

pub(crate) fn rpop(call: &mut Call<'_>) -> Done {
    pop(call, End::Tail, "rpop")
}

/// LPOP key [count]
fn pop(call: &mut Call<'_>, end: End, name: &str) -> Done {
    match call.request.len() {
        2 => pop_one(call, end),
        3 => pop_many(call, end),
        _ => Err(wrong_number_of_arguments(name)),
    }
}

fn pop_one(call: &mut Call<'_>, end: End) -> Done {
    let key = call.key();
    let Some(mut list) = find_mut(call.keyspace, key, call.now)? else {
        write::null(call.out, call.version);
        return Ok(());
    };
    let left = take(&mut list, end, 1, call.out);
    removed(call, key, 1, left);
    Ok(())
}

fn pop_many(call: &mut Call<'_>, end: End) -> Done {
    let key = call.key();
    // Redis has the same words for what is no number.
    let count = integer(call.request.word(2)).ok().and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(Refusal::Borrowed(errors::NOT_POSITIVE))?;
    match find_mut(call.keyspace, key, call.now)? {
        None => write::null_array(call.out, call.version),
        Some(_) if count == 0 => write::array(call.out, 0),
        Some(mut list) => {
            let count = count.min(list.len());
            write::array(call.out, count);
            let left = take(&mut list, end, count, call.out);
            removed(call, key, count, left);
        }
    }
    Ok(())
}

/// LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]
pub(crate) fn lmpop(call: &mut Call<'_>) -> Done {
    let request = call.request;
    let keys = integer(request.word(1)).ok().and_then(|keys| usize::try_from(keys).ok());
    let keys = keys.filter(|&keys| keys > 0).ok_or(Refusal::Borrowed(errors::NUMKEYS_NOT_POSITIVE))?;
    let options = keys.checked_add(2).filter(|&word| word < request.len()).ok_or(SYNTAX)?;
    let end = end(request.word(options))?;
    let count = match request.len() - options {
        1 => 1,
        _ if !is(request.word(options + 1), "COUNT") => return Err(SYNTAX),
        3 => count_of(request.word(options + 2))?,
        2 => return Err(SYNTAX),
        _ => {
            count_of(request.word(options + 2))?;
            return Err(SYNTAX);
        }
    };
    for nth in 0..keys {
        let key = call.nth_key(nth, 2 + nth);
        if pop_from(call, key, end, count)? {
            return Ok(());
        }
    }
    write::null_array(call.out, call.version);
    Ok(())
}

fn count_of(word: &[u8]) -> Result<usize, Refusal> {
    let count = integer(word).ok().and_then(|count| usize::try_from(count).ok());
    count.filter(|&count| count > 0).ok_or(Refusal::Borrowed(COUNT_NOT_POSITIVE))
}

/// Answers with the key and its elements; false: there is no such key, and no answer.
fn pop_from(call: &mut Call<'_>, key: Key<'_>, end: End, count: usize) -> Result<bool, Refusal> {
    let Some(mut list) = find_mut(call.keyspace, key, call.now)? else { return Ok(false) };
    let count = count.min(list.len());
    write::array(call.out, 2);
    write::bulk(call.out, key.bytes);
    write::array(call.out, count);
    let left = take(&mut list, end, count, call.out);
    removed(call, key, count, left);
    let command: &[u8] = if end == End::Head { b"LPOP" } else { b"RPOP" };
    call.tell_with(&[command, key.bytes], u64::try_from(count).unwrap_or(u64::MAX));
    Ok(true)
}

/// Writes and removes elements, in the order of so many single pops; returns how many are left.
fn take(list: &mut ListMut<'_>, end: End, count: usize, out: &mut Vec<u8>) -> usize {
    let range = at_end(end, count, list.len());
    let elements = list.view().range(range.clone());
    match end {
        End::Head => elements.for_each(|element| element.write_bulk(out)),
        End::Tail => elements.rev().for_each(|element| element.write_bulk(out)),
    }
    list.remove(range);
    list.settle()
}
