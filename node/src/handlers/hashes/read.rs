//! Reading hashes.

use slotway_resp::write;

use super::find;
use crate::call::{Call, Done};
use crate::handlers::arguments::{WRONG_TYPE, count};

pub(crate) fn hget(call: &mut Call<'_>) -> Done {
    let (key, field, seed) = (call.key(), call.request.word(2), call.keyspace.seed());
    let value = match call.keyspace.read(key, call.now) {
        Some(entry) => entry.hash().ok_or(WRONG_TYPE)?.get(&seed, field),
        None => None,
    };
    match value {
        Some(value) => write::bulk(call.out, value),
        None => write::null(call.out, call.version),
    }
    Ok(())
}

pub(crate) fn hmget(call: &mut Call<'_>) -> Done {
    let (key, seed) = (call.key(), call.keyspace.seed());
    let hash = match call.keyspace.read(key, call.now) {
        Some(entry) => Some(entry.hash().ok_or(WRONG_TYPE)?),
        None => None,
    };
    write::array(call.out, call.request.len() - 2);
    for field in call.request.words().skip(2) {
        match hash.and_then(|hash| hash.get(&seed, field)) {
            Some(value) => write::bulk(call.out, value),
            None => write::null(call.out, call.version),
        }
    }
    Ok(())
}

pub(crate) fn hgetall(call: &mut Call<'_>) -> Done {
    let key = call.key();
    let Some(entry) = call.keyspace.read(key, call.now) else {
        write::map(call.out, call.version, 0);
        return Ok(());
    };
    let hash = entry.hash().ok_or(WRONG_TYPE)?;
    write::map(call.out, call.version, hash.len());
    hash.for_each(|field, value| {
        write::bulk(call.out, field);
        write::bulk(call.out, value);
    });
    Ok(())
}

pub(crate) fn hkeys(call: &mut Call<'_>) -> Done {
    list(call, |field, _| field)
}

pub(crate) fn hvals(call: &mut Call<'_>) -> Done {
    list(call, |_, value| value)
}

fn list(call: &mut Call<'_>, choose: for<'x> fn(&'x [u8], &'x [u8]) -> &'x [u8]) -> Done {
    let key = call.key();
    let Some(entry) = call.keyspace.read(key, call.now) else {
        write::array(call.out, 0);
        return Ok(());
    };
    let hash = entry.hash().ok_or(WRONG_TYPE)?;
    write::array(call.out, hash.len());
    hash.for_each(|field, value| write::bulk(call.out, choose(field, value)));
    Ok(())
}

pub(crate) fn hlen(call: &mut Call<'_>) -> Done {
    let len = find(call)?.map_or(0, |hash| hash.len());
    write::integer(call.out, count(len));
    Ok(())
}

pub(crate) fn hstrlen(call: &mut Call<'_>) -> Done {
    let (field, seed) = (call.request.word(2), call.keyspace.seed());
    let len = find(call)?.and_then(|hash| hash.get(&seed, field)).map_or(0, <[u8]>::len);
    write::integer(call.out, count(len));
    Ok(())
}

pub(crate) fn hexists(call: &mut Call<'_>) -> Done {
    let (field, seed) = (call.request.word(2), call.keyspace.seed());
    let found = find(call)?.is_some_and(|hash| hash.get(&seed, field).is_some());
    write::integer(call.out, i64::from(found));
    Ok(())
}
