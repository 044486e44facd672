//! Keys that take another name or go to another database.

use slotway_cluster::Database;
use slotway_commands::errors;
use slotway_resp::write;

use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, database, int, is};
use crate::keyspace::Key;

pub(crate) fn rename(call: &mut Call<'_>) -> Done {
    let (from, to) = (call.nth_key(0, 1), call.nth_key(1, 2));
    check_exists(call, from)?;
    if from.bytes != to.bytes {
        take_name(call, from, to);
    }
    write::simple(call.out, "OK");
    Ok(())
}

pub(crate) fn renamenx(call: &mut Call<'_>) -> Done {
    let (from, to) = (call.nth_key(0, 1), call.nth_key(1, 2));
    check_exists(call, from)?;
    let is_free = from.bytes != to.bytes && call.keyspace.write(to, call.now).is_none();
    if is_free {
        take_name(call, from, to);
    }
    write::integer(call.out, i64::from(is_free));
    Ok(())
}

fn check_exists(call: &mut Call<'_>, key: Key<'_>) -> Done {
    match call.keyspace.write(key, call.now) {
        Some(_) => Ok(()),
        None => Err(errors::NO_SUCH_KEY.into()),
    }
}

/// The entry goes with its deadline; what had the name before is deleted.
fn take_name(call: &mut Call<'_>, from: Key<'_>, to: Key<'_>) {
    if let Some(entry) = call.keyspace.take(from, call.now) {
        call.keyspace.rename(to, entry, call.now);
        call.keyspace.changed(to, 1);
        call.keyspace.touched(from);
    }
}

pub(crate) fn move_(call: &mut Call<'_>) -> Done {
    let target = database(int(call.request.word(2))?)?;
    if target == call.database {
        return Err(errors::SAME_OBJECT.into());
    }
    let from = call.key();
    let to = call.keyspace.key(target, from.bytes);
    let may_move =
        call.keyspace.write(from, call.now).is_some() && call.keyspace.write(to, call.now).is_none();
    if may_move {
        take_name(call, from, to);
    }
    write::integer(call.out, i64::from(may_move));
    Ok(())
}

/// COPY source destination [DB n] [REPLACE]
pub(crate) fn copy(call: &mut Call<'_>) -> Done {
    let (target, replace) = copy_options(call)?;
    let from = call.key();
    let to = call.keyspace.key(target, call.request.word(2));
    if target == call.database && from.bytes == to.bytes {
        return Err(errors::SAME_OBJECT.into());
    }
    let copied = call.keyspace.duplicate(from, to.bytes, call.now);
    let is_taken = copied.is_some() && !replace && call.keyspace.write(to, call.now).is_some();
    let copied = copied.filter(|_| !is_taken);
    write::integer(call.out, i64::from(copied.is_some()));
    if let Some((entry, deadline)) = copied {
        // What it replaces leaves nothing behind, not even how often it was used.
        call.keyspace.delete(to, call.now);
        call.keyspace.insert(to, entry, call.now);
        if deadline.is_some() {
            call.keyspace.set_deadline(to, deadline, call.now);
        }
        call.keyspace.changed(to, 1);
    }
    Ok(())
}

fn copy_options(call: &Call<'_>) -> Result<(Database, bool), Refusal> {
    let (mut target, mut replace) = (call.database, false);
    let mut words = call.request.words().skip(3);
    while let Some(word) = words.next() {
        if is(word, "REPLACE") {
            replace = true;
        } else if is(word, "DB") {
            target = database(int(words.next().ok_or(SYNTAX)?)?)?;
        } else {
            return Err(SYNTAX);
        }
    }
    Ok((target, replace))
}
