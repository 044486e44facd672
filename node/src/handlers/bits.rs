//! Strings as arrays of bits: bit 0 is the highest of the first byte, and behind the end there are zeros.

mod combine;
mod field;
mod search;

use slotway_commands::errors;
use slotway_resp::write;

pub(crate) use combine::bitop;
pub(crate) use field::{bitfield, bitfield_ro};
pub(crate) use search::{bitcount, bitpos};

use super::arguments::WRONG_TYPE;
use crate::call::{Call, Done, Millis, Refusal};
use crate::keyspace::entry::Entry;
use crate::keyspace::text::parse_integer;
use crate::keyspace::{Key, Keyspace};

pub(crate) fn setbit(call: &mut Call<'_>) -> Done {
    let offset = bit_offset(call.request.word(2), call.keyspace.settings.text_bytes_max)?;
    let on = match parse_integer(call.request.word(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(errors::BIT_NOT_INTEGER.into()),
    };
    let (key, place, mask) = (call.key(), offset / 8, mask_of(offset));
    let (was_on, changed) = edit(call.keyspace, key, call.now, place + 1, |text, is_longer| {
        let byte = &mut text[place];
        let was_on = *byte & mask != 0;
        *byte = if on { *byte | mask } else { *byte & !mask };
        (was_on, is_longer || was_on != on)
    })?;
    call.keyspace.changed(key, u64::from(changed));
    write::integer(call.out, i64::from(was_on));
    Ok(())
}

pub(crate) fn getbit(call: &mut Call<'_>) -> Done {
    let offset = bit_offset(call.request.word(2), call.keyspace.settings.text_bytes_max)?;
    let is_on = match call.keyspace.read(call.key(), call.now) {
        Some(entry) => {
            let text = entry.text().ok_or(WRONG_TYPE)?;
            text.get(offset / 8).is_some_and(|byte| byte & mask_of(offset) != 0)
        }
        None => false,
    };
    write::integer(call.out, i64::from(is_on));
    Ok(())
}

/// A bit within its byte.
fn mask_of(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

/// The number of a bit.
fn bit_offset(word: &[u8], text_bytes_max: usize) -> Result<usize, Refusal> {
    within(parse_integer(word), text_bytes_max)
}

/// Only the byte of the first bit must be within `proto-max-bulk-len`: a field may reach behind that.
fn within(offset: Option<i64>, text_bytes_max: usize) -> Result<usize, Refusal> {
    let offset = offset.and_then(|offset| usize::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < text_bytes_max).ok_or(errors::BIT_OFFSET_NOT_INTEGER.into())
}

/// Changes a string in place, after making it at least `len_min` bytes long; `change` is told whether that made it longer.
fn edit<T>(
    keyspace: &mut Keyspace,
    key: Key<'_>,
    now: Millis,
    len_min: usize,
    change: impl FnOnce(&mut [u8], bool) -> T,
) -> Result<T, Refusal> {
    let len = match keyspace.write(key, now) {
        Some(entry) => Some(entry.text().ok_or(WRONG_TYPE)?.len()),
        None => None,
    };
    if len.is_none() {
        keyspace.insert(key, Entry::with_text(key.bytes, b""), now);
    }
    let entry = keyspace.write_again(key).expect("it is there");
    Ok(change(entry.edit_text(len_min), len.is_none_or(|len| len < len_min)))
}
