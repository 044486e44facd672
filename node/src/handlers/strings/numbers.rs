//! Strings that are counted with.

use slotway_commands::errors;
use slotway_resp::write;

use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{WRONG_TYPE, float, integer};
use crate::handlers::long_double::LongDouble;
use crate::keyspace::entry::Entry;
use crate::keyspace::text::Origin;

pub(crate) fn incr(call: &mut Call<'_>) -> Done {
    add(call, 1)
}

pub(crate) fn decr(call: &mut Call<'_>) -> Done {
    add(call, -1)
}

pub(crate) fn incrby(call: &mut Call<'_>) -> Done {
    let difference = integer(call.request.word(2))?;
    add(call, difference)
}

pub(crate) fn decrby(call: &mut Call<'_>) -> Done {
    let difference = integer(call.request.word(2))?.checked_neg();
    add(call, difference.ok_or(Refusal::Borrowed(errors::DECREMENT_OVERFLOW))?)
}

fn add(call: &mut Call<'_>, difference: i64) -> Done {
    let before = match number_text(call)? {
        Some(text) => integer(text)?,
        None => 0,
    };
    let sum = before.checked_add(difference).ok_or(Refusal::Borrowed(errors::OVERFLOW))?;
    store(call, itoa::Buffer::new().format(sum).as_bytes(), Origin::Stored);
    write::integer(call.out, sum);
    Ok(())
}

pub(crate) fn incrbyfloat(call: &mut Call<'_>) -> Done {
    let before = match number_text(call)? {
        Some(text) => float(text)?,
        None => LongDouble::ZERO,
    };
    let difference = float(call.request.word(2))?;
    let sum = before.checked_add(difference).ok_or(Refusal::Borrowed(errors::NAN_OR_INFINITY))?.print();
    store(call, sum.as_bytes(), Origin::Formatted);
    // Nobody else is asked to add as this machine does.
    call.tell(&[b"SET", call.key().bytes, sum.as_bytes(), b"KEEPTTL"]);
    write::bulk(call.out, sum.as_bytes());
    Ok(())
}

/// The string that is to be counted with.
fn number_text<'c>(call: &'c mut Call<'_>) -> Result<Option<&'c [u8]>, Refusal> {
    let key = call.key();
    match call.keyspace.write(key, call.now) {
        Some(entry) => entry.text().map(Some).ok_or(WRONG_TYPE),
        None => Ok(None),
    }
}

/// The new number takes the place of the old one; a deadline stays.
fn store(call: &mut Call<'_>, number: &[u8], origin: Origin) {
    let key = call.key();
    match call.keyspace.write_again(key) {
        // The old string was a number, so it is short and drops at once.
        Some(entry) => drop(entry.set_text(number, origin)),
        None => {
            let mut entry = Entry::with_text(key.bytes, number);
            drop(entry.set_text(number, origin));
            call.keyspace.insert(key, entry, call.now);
        }
    }
    call.keyspace.changed(key, 1);
}
