//! Fields that are counted with.

use slotway_commands::errors;
use slotway_resp::write;

use super::{field_value, insert};
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{float, integer};
use crate::handlers::long_double::LongDouble;
use crate::keyspace::hash::HashMut;
use crate::keyspace::text::parse_integer;

pub(crate) fn hincrby(call: &mut Call<'_>) -> Done {
    let (field, difference) = (call.request.word(2), integer(call.request.word(3))?);
    let before = match field_value(call, field)? {
        Some(text) => parse_integer(text).ok_or(Refusal::Borrowed(errors::HASH_NOT_INTEGER))?,
        None => 0,
    };
    let sum = before.checked_add(difference).ok_or(Refusal::Borrowed(errors::OVERFLOW))?;
    store(call, field, itoa::Buffer::new().format(sum).as_bytes());
    write::integer(call.out, sum);
    Ok(())
}

pub(crate) fn hincrbyfloat(call: &mut Call<'_>) -> Done {
    let (field, difference) = (call.request.word(2), float(call.request.word(3))?);
    let before = match field_value(call, field)? {
        Some(text) => LongDouble::parse(text).ok_or(Refusal::Borrowed(errors::HASH_NOT_FLOAT))?,
        None => LongDouble::ZERO,
    };
    let sum = before.checked_add(difference).ok_or(Refusal::Borrowed(errors::NAN_OR_INFINITY))?.print();
    store(call, field, sum.as_bytes());
    call.tell(&[b"HSET", call.key().bytes, field, sum.as_bytes()]);
    write::bulk(call.out, sum.as_bytes());
    Ok(())
}

/// Sets a field of the hash that [`field_value`] has found, or not found.
fn store(call: &mut Call<'_>, field: &[u8], number: &[u8]) {
    let (key, seed, settings) = (call.key(), call.keyspace.seed(), call.keyspace.settings);
    let set = |hash: &mut HashMut<'_>| {
        hash.make_room_for([field, number].into_iter());
        hash.set(field, number);
    };
    match call.keyspace.write_again(key).and_then(|entry| entry.hash_mut(seed, settings)) {
        Some(mut hash) => set(&mut hash),
        None => insert(call, set),
    }
    call.keyspace.changed(key, 1);
}
