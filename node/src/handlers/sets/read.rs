//! Reading one set.

use slotway_resp::write;

use super::{find, write_member};
use crate::call::{Call, Done};
use crate::handlers::arguments::{WRONG_TYPE, count};

pub(crate) fn scard(call: &mut Call<'_>) -> Done {
    let len = find(call)?.map_or(0, |set| set.len());
    write::integer(call.out, count(len));
    Ok(())
}

pub(crate) fn sismember(call: &mut Call<'_>) -> Done {
    let (member, seed) = (call.request.word(2), call.keyspace.seed());
    let found = find(call)?.is_some_and(|set| set.contains(&seed, member));
    write::integer(call.out, i64::from(found));
    Ok(())
}

pub(crate) fn smismember(call: &mut Call<'_>) -> Done {
    let (key, seed) = (call.key(), call.keyspace.seed());
    let set = match call.keyspace.read(key, call.now) {
        Some(entry) => Some(entry.set().ok_or(WRONG_TYPE)?),
        None => None,
    };
    write::array(call.out, call.request.len() - 2);
    for member in call.request.words().skip(2) {
        let found = set.is_some_and(|set| set.contains(&seed, member));
        write::integer(call.out, i64::from(found));
    }
    Ok(())
}

pub(crate) fn smembers(call: &mut Call<'_>) -> Done {
    let key = call.key();
    let Some(entry) = call.keyspace.read(key, call.now) else {
        write::set(call.out, call.version, 0);
        return Ok(());
    };
    let set = entry.set().ok_or(WRONG_TYPE)?;
    write::set(call.out, call.version, set.len());
    set.for_each(|member| write_member(call.out, member));
    Ok(())
}
