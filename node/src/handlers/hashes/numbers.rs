//! Fields that are counted with.

use slotway_commands::errors;
use slotway_resp::write;

use super::{change, field_value};
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{float, integer};
use crate::handlers::long_double::LongDouble;
use crate::keyspace::text::parse_integer;

pub(crate) fn hincrby(call: &mut Call<'_>) -> Done {
    let (field, difference) = (call.request.word(2), integer(call.request.word(3))?);
    let before = match field_value(call, field)? {
        Some(text) => parse_integer(text).ok_or(Refusal::Borrowed(errors::HASH_NOT_INTEGER))?,
        None => 0,
    };
    let sum = before.checked_add(difference).ok_or(Refusal::Borrowed(errors::OVERFLOW))?;
    store(call, field, itoa::Buffer::new().format(sum).as_bytes())?;
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
    store(call, field, sum.as_bytes())?;
    write::bulk(call.out, sum.as_bytes());
    Ok(())
}

fn store(call: &mut Call<'_>, field: &[u8], number: &[u8]) -> Done {
    change(call, |hash| {
        hash.make_room_for([field, number].into_iter());
        hash.set(field, number);
    })?;
    call.keyspace.changed(call.key(), 1);
    Ok(())
}
