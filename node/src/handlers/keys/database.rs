//! Whole databases.

use slotway_cluster::Database;
use slotway_commands::errors;
use slotway_resp::{Request, write};

use crate::call::{Call, Done};
use crate::handlers::arguments::{self, SYNTAX, is};

pub(crate) fn dbsize(call: &mut Call<'_>) -> Done {
    let keys = call.keyspace.len(call.database);
    write::integer(call.out, i64::try_from(keys).unwrap_or(i64::MAX));
    Ok(())
}

pub(crate) fn flushdb(call: &mut Call<'_>) -> Done {
    check_flush(call.request)?;
    let keys = call.keyspace.flush(call.database);
    call.keyspace.changed(keys);
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn flushall(call: &mut Call<'_>) -> Done {
    check_flush(call.request)?;
    let keys = call.keyspace.flush_all();
    call.keyspace.changed(keys);
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
    let (one, other) = (call.request.word(1), call.request.word(2));
    let number = |word, not_integer| match arguments::database(word, not_integer) {
        // What is no number is refused before what is no database.
        Err(refusal) if refusal == errors::DB_OUT_OF_RANGE => Ok(None),
        other => other.map(Some),
    };
    let (one, other) = (number(one, errors::SWAPDB_FIRST)?, number(other, errors::SWAPDB_SECOND)?);
    let (Some(one), Some(other)): (Option<Database>, Option<Database>) = (one, other) else {
        return Err(errors::DB_OUT_OF_RANGE.into());
    };
    call.keyspace.swap(one, other);
    call.keyspace.changed(1);
    write::simple(call.out, "OK");
    Ok(())
}
