//! Reading lists.

use std::ops::Range;

use slotway_resp::write;

use super::find;
use crate::call::{Call, Done};
use crate::handlers::arguments::{WRONG_TYPE, count, integer};

pub(crate) fn llen(call: &mut Call<'_>) -> Done {
    let len = find(call)?.map_or(0, |list| list.len());
    write::integer(call.out, count(len));
    Ok(())
}

/// LINDEX key index
pub(crate) fn lindex(call: &mut Call<'_>) -> Done {
    let (key, word) = (call.key(), call.request.word(2));
    let element = match call.keyspace.read(key, call.now) {
        Some(entry) => {
            let list = entry.list().ok_or(WRONG_TYPE)?;
            list.index(integer(word)?).and_then(|index| list.range(index..index + 1).next())
        }
        None => None,
    };
    match element {
        Some(element) => element.write_bulk(call.out),
        None => write::null(call.out, call.version),
    }
    Ok(())
}

/// LRANGE key start stop
pub(crate) fn lrange(call: &mut Call<'_>) -> Done {
    let (key, request) = (call.key(), call.request);
    let (start, stop) = (integer(request.word(2))?, integer(request.word(3))?);
    let Some(entry) = call.keyspace.read(key, call.now) else {
        write::array(call.out, 0);
        return Ok(());
    };
    let list = entry.list().ok_or(WRONG_TYPE)?;
    let range = range(start, stop, list.len());
    write::array(call.out, range.len());
    list.range(range).for_each(|element| element.write_bulk(call.out));
    Ok(())
}

/// The elements from `start` to `stop`, as LRANGE counts them, of so many.
pub(super) fn range(start: i64, stop: i64, len: usize) -> Range<usize> {
    let from_front = |index: i64| if index < 0 { index.saturating_add(count(len)) } else { index };
    let start = usize::try_from(from_front(start)).unwrap_or(0);
    let end = usize::try_from(from_front(stop).saturating_add(1)).unwrap_or(0).min(len);
    if start < end { start..end } else { 0..0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_is_there() {
        for (start, stop, expected) in [
            (0, -1, 0..5),
            (0, 0, 0..1),
            (-3, -2, 2..4),
            (-100, 100, 0..5),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MAX, 0..0),
            (0, i64::MIN, 0..0),
            (4, 3, 0..0),
            (5, 9, 0..0),
            (-1, -1, 4..5),
        ] {
            assert_eq!(range(start, stop, 5), expected, "{start} {stop}");
        }
    }
}
