//! Whole databases.

use slotway_commands::errors;
use slotway_resp::{Request, write};

use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, database, int, is};

pub(crate) fn dbsize(call: &mut Call<'_>) -> Done {
    let keys = call.keyspace.len(call.database);
    write::integer(call.out, i64::try_from(keys).unwrap_or(i64::MAX));
    Ok(())
}

pub(crate) fn flushdb(call: &mut Call<'_>) -> Done {
    check_flush(call.request)?;
    let keys = call.keyspace.flush(call.database);
    call.keyspace.changed_databases(keys);
    call.tell_always();
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn flushall(call: &mut Call<'_>) -> Done {
    check_flush(call.request)?;
    let keys = call.keyspace.flush_all();
    call.keyspace.changed_databases(keys);
    call.tell_always();
    call.keyspace.flushes += 1;
    write::simple(call.out, "OK");
    Ok(())
}

/// ASYNC and SYNC make no difference: the keys are gone at once, their memory is freed by a helper.
fn check_flush(request: Request<'_>) -> Done {
    match request.len() {
        1 => Ok(()),
        2 if is(request.word(1), "ASYNC") || is(request.word(1), "SYNC") => Ok(()),
        _ => Err(SYNTAX),
    }
}

pub(crate) fn swapdb(call: &mut Call<'_>) -> Done {
    let number = |word, refusal: &'static str| int(word).map_err(|_| Refusal::Borrowed(refusal));
    let one = number(call.request.word(1), errors::SWAPDB_FIRST)?;
    let other = number(call.request.word(2), errors::SWAPDB_SECOND)?;
    let (one, other) = (database(one)?, database(other)?);
    // With itself: nothing that somebody watches has changed.
    if one != other {
        call.keyspace.swap(one, other);
    }
    call.keyspace.changed_databases(1);
    write::simple(call.out, "OK");
    Ok(())
}
