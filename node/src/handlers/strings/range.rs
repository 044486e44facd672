//! Parts of strings.

use slotway_commands::errors;
use slotway_resp::write;

use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{WRONG_TYPE, count, integer};
use crate::keyspace::entry::Entry;

pub(crate) fn append(call: &mut Call<'_>) -> Done {
    let (key, tail) = (call.key(), call.request.word(2));
    let len_max = call.keyspace.settings.text_bytes_max;
    let len = match call.keyspace.write(key, call.now) {
        Some(entry) => {
            let len = entry.text().ok_or(WRONG_TYPE)?.len();
            check_length(len, tail.len(), len_max)?;
            entry.append_text(tail)
        }
        None => {
            call.keyspace.insert(key, Entry::with_text(key.bytes, tail), call.now);
            tail.len()
        }
    };
    call.keyspace.changed(key, 1);
    write::integer(call.out, count(len));
    Ok(())
}

pub(crate) fn strlen(call: &mut Call<'_>) -> Done {
    let key = call.key();
    let len = match call.keyspace.read(key, call.now) {
        Some(entry) => entry.text().ok_or(WRONG_TYPE)?.len(),
        None => 0,
    };
    write::integer(call.out, count(len));
    Ok(())
}

pub(crate) fn setrange(call: &mut Call<'_>) -> Done {
    let offset = integer(call.request.word(2))?;
    let offset = usize::try_from(offset).map_err(|_| Refusal::Borrowed(errors::OFFSET_OUT_OF_RANGE))?;
    let (key, bytes) = (call.key(), call.request.word(3));
    let len_max = call.keyspace.settings.text_bytes_max;
    let before = match call.keyspace.write(key, call.now) {
        Some(entry) => Some(entry.text().ok_or(WRONG_TYPE)?.len()),
        None => None,
    };
    if bytes.is_empty() {
        write::integer(call.out, count(before.unwrap_or(0)));
        return Ok(());
    }
    check_length(offset, bytes.len(), len_max)?;
    if before.is_none() {
        call.keyspace.insert(key, Entry::with_text(key.bytes, b""), call.now);
    }
    let len = call.keyspace.write_again(key).map_or(0, |entry| entry.write_text(offset, bytes));
    call.keyspace.changed(key, 1);
    write::integer(call.out, count(len));
    Ok(())
}

/// Refuses to make a string longer than `proto-max-bulk-len`.
fn check_length(len: usize, more: usize, len_max: usize) -> Result<(), Refusal> {
    match len.checked_add(more) {
        Some(sum) if sum <= len_max => Ok(()),
        _ => Err(Refusal::Borrowed(errors::STRING_TOO_LONG)),
    }
}

pub(crate) fn substr(call: &mut Call<'_>) -> Done {
    getrange(call)
}

pub(crate) fn getrange(call: &mut Call<'_>) -> Done {
    let (start, end) = (integer(call.request.word(2))?, integer(call.request.word(3))?);
    let key = call.key();
    let text = match call.keyspace.read(key, call.now) {
        Some(entry) => entry.text().ok_or(WRONG_TYPE)?,
        None => b"",
    };
    write::bulk(call.out, part(text, start, end));
    Ok(())
}

/// The bytes from `start` to `end` inclusive; negative numbers count from the end.
fn part(text: &[u8], start: i64, end: i64) -> &[u8] {
    let from_end = |index: i64| {
        if index < 0 { count(text.len()).saturating_add(index).max(0) } else { index }
    };
    // Two negative numbers in the wrong order mean nothing, even if both lie before the string.
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let start = usize::try_from(from_end(start)).unwrap_or(usize::MAX);
    let behind = usize::try_from(from_end(end)).unwrap_or(usize::MAX).saturating_add(1).min(text.len());
    text.get(start..behind).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_as_redis_cuts_it() {
        for (start, end, expected) in [
            (0, 3, "This"),
            (-3, -1, "ing"),
            (0, -1, "This is a string"),
            (10, 100, "string"),
            (100, 200, ""),
            (-1, -3, ""),
            (5, 2, ""),
            (-100, 1, "Th"),
            (-100, -100, "T"),
            (i64::MIN, i64::MAX, "This is a string"),
        ] {
            assert_eq!(part(b"This is a string", start, end), expected.as_bytes(), "{start} {end}");
        }
        assert_eq!(part(b"", 0, -1), b"");
    }
}
