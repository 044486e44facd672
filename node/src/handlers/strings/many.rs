//! Strings of several keys at once.

use slotway_resp::write;

use crate::call::{Call, Done};
use crate::handlers::arguments::wrong_number_of_arguments;
use crate::keyspace::Deadline;
use crate::splices::write_text;

pub(crate) fn mget(call: &mut Call<'_>) -> Done {
    let keys = call.request.len() - 1;
    write::array(call.out, keys);
    for nth in 0..keys {
        let key = call.nth_key(nth, 1 + nth);
        let entry = call.keyspace.read(key, call.now);
        let splices = call.splices.as_deref_mut();
        if !entry.is_some_and(|entry| write_text(call.out, splices, entry)) {
            write::null(call.out, call.version);
        }
    }
    Ok(())
}

pub(crate) fn mset(call: &mut Call<'_>) -> Done {
    if call.request.len().is_multiple_of(2) {
        return Err(wrong_number_of_arguments("mset"));
    }
    set_pairs(call);
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn msetnx(call: &mut Call<'_>) -> Done {
    if call.request.len().is_multiple_of(2) {
        return Err(wrong_number_of_arguments("msetnx"));
    }
    let none_is_there = (0..call.request.len() / 2)
        .all(|nth| call.keyspace.write(call.nth_key(nth, 1 + 2 * nth), call.now).is_none());
    if none_is_there {
        set_pairs(call);
    }
    write::integer(call.out, i64::from(none_is_there));
    Ok(())
}

fn set_pairs(call: &mut Call<'_>) {
    for nth in 0..call.request.len() / 2 {
        let (key, value) = (call.nth_key(nth, 1 + 2 * nth), call.request.word(2 + 2 * nth));
        call.keyspace.set_text(key, value, Deadline::Clear, call.now);
        call.keyspace.changed(key, 1);
    }
}
