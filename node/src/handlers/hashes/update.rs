//! Changing hashes.

use slotway_resp::write;

use super::change;
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{WRONG_TYPE, count, wrong_number_of_arguments};

pub(crate) fn hset(call: &mut Call<'_>) -> Done {
    let created = set_pairs(call, "hset")?;
    write::integer(call.out, count(created));
    Ok(())
}

pub(crate) fn hmset(call: &mut Call<'_>) -> Done {
    set_pairs(call, "hmset")?;
    write::simple(call.out, "OK");
    Ok(())
}

/// Sets the request's fields; returns how many are new.
fn set_pairs(call: &mut Call<'_>, command: &str) -> Result<usize, Refusal> {
    let request = call.request;
    if !request.len().is_multiple_of(2) {
        return Err(wrong_number_of_arguments(command));
    }
    let pairs = request.len() / 2 - 1;
    let created = change(call, |hash| {
        hash.make_room_for(request.words().skip(2));
        let set = |nth| hash.set(request.word(2 + 2 * nth), request.word(3 + 2 * nth));
        (0..pairs).map(set).filter(|&is_new| is_new).count()
    })?;
    call.keyspace.changed(call.key(), u64::try_from(pairs).unwrap_or(0));
    Ok(created)
}

pub(crate) fn hsetnx(call: &mut Call<'_>) -> Done {
    let (field, value) = (call.request.word(2), call.request.word(3));
    let is_new = change(call, |hash| {
        let is_new = hash.get(field).is_none();
        if is_new {
            hash.make_room_for([field, value].into_iter());
            hash.set(field, value);
        }
        is_new
    })?;
    call.keyspace.changed(call.key(), u64::from(is_new));
    write::integer(call.out, i64::from(is_new));
    Ok(())
}

/// A hash without fields is no key.
pub(crate) fn hdel(call: &mut Call<'_>) -> Done {
    let (key, seed, settings) = (call.key(), call.keyspace.seed(), call.keyspace.settings);
    let request = call.request;
    let Some(entry) = call.keyspace.write(key, call.now) else {
        write::integer(call.out, 0);
        return Ok(());
    };
    let mut hash = entry.hash_mut(seed, settings).ok_or(WRONG_TYPE)?;
    let removed = request.words().skip(2).filter(|field| hash.remove(field)).count();
    if hash.view().len() == 0 {
        call.keyspace.delete(key, call.now);
    }
    call.keyspace.changed(key, u64::try_from(removed).unwrap_or(0));
    write::integer(call.out, count(removed));
    Ok(())
}
