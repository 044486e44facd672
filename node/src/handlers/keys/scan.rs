//! Many keys: SCAN, KEYS, RANDOMKEY; and what HSCAN and SSCAN share with SCAN.

use slotway_commands::{errors, glob};
use slotway_resp::{Request, write};

use super::type_name;
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, integer, is};

/// Elements that a step of a scan looks at when COUNT says nothing.
const USUAL_COUNT: usize = 10;

/// The options of a scan.
pub(in crate::handlers) struct Filter<'a> {
    pub(in crate::handlers) count: usize,
    pattern: Option<&'a [u8]>,
    /// Only of SCAN.
    type_name: Option<&'a [u8]>,
}

/// What is scanned: its options differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handlers) enum Scanned {
    Keys,
    Fields,
}

/// SCAN cursor [MATCH pattern] [COUNT n] [TYPE name]
pub(crate) fn scan(call: &mut Call<'_>) -> Done {
    let cursor = read_cursor(call.request.word(1))?;
    let filter = Filter::parse(call.request.skip(2), Scanned::Keys)?;
    let mut found = Vec::new();
    let next = call.keyspace.scan(call.database, cursor, filter.count, call.now, |entry| {
        let type_fits = filter.type_name.is_none_or(|wanted| is(wanted, type_name(entry)));
        if filter.matches(entry.key()) && type_fits {
            found.push(entry.key());
        }
    });
    write_scanned(call.out, next, &found);
    Ok(())
}

impl<'a> Filter<'a> {
    /// The options behind a cursor.
    pub(in crate::handlers) fn parse(options: Request<'a>, scanned: Scanned) -> Result<Filter<'a>, Refusal> {
        let mut filter = Filter { count: USUAL_COUNT, pattern: None, type_name: None };
        let mut words = options.words();
        while let Some(word) = words.next() {
            let value = words.next().ok_or(SYNTAX)?;
            if is(word, "COUNT") {
                let count = integer(value)?;
                filter.count = usize::try_from(count).ok().filter(|&count| count > 0).ok_or(SYNTAX)?;
            } else if is(word, "MATCH") {
                filter.pattern = Some(value);
            } else if is(word, "TYPE") && scanned == Scanned::Keys {
                filter.type_name = Some(value);
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(filter)
    }

    pub(in crate::handlers) fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// A cursor as C's `strtoul` reads it, if that takes the whole word: `""` is 0, and `-1` is 2^64 - 1.
pub(in crate::handlers) fn read_cursor(word: &[u8]) -> Result<u64, Refusal> {
    let (negative, digits) = match word {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number =
        std::str::from_utf8(digits).ok().filter(|_| is_number).and_then(|digits| digits.parse::<u64>().ok());
    let number = number.ok_or(Refusal::Borrowed(errors::INVALID_CURSOR))?;
    Ok(if negative { number.wrapping_neg() } else { number })
}

/// The next cursor and the elements found.
pub(in crate::handlers) fn write_scanned(out: &mut Vec<u8>, cursor: u64, found: &[&[u8]]) {
    begin_scanned(out, cursor, found.len());
    found.iter().for_each(|name| write::bulk(out, name));
}

/// The next cursor and how many elements follow.
pub(in crate::handlers) fn begin_scanned(out: &mut Vec<u8>, cursor: u64, found: usize) {
    write::array(out, 2);
    write::bulk(out, itoa::Buffer::new().format(cursor).as_bytes());
    write::array(out, found);
}

pub(crate) fn keys(call: &mut Call<'_>) -> Done {
    let pattern = call.request.word(1);
    let entries = call.keyspace.entries(call.database, call.now);
    let found: Vec<&[u8]> =
        entries.map(|entry| entry.key()).filter(|key| glob::matches(pattern, key)).collect();
    write::array(call.out, found.len());
    found.iter().for_each(|key| write::bulk(call.out, key));
    Ok(())
}

pub(crate) fn randomkey(call: &mut Call<'_>) -> Done {
    match call.keyspace.random_key(call.database, call.now) {
        Some(key) => write::bulk(call.out, &key),
        None => write::null(call.out, call.version),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_redis_reads_it() {
        for (word, cursor) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("17", Some(17)),
            ("+5", Some(5)),
            ("-1", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            (" 1", None),
            ("1 ", None),
            ("x", None),
            ("-", None),
        ] {
            assert_eq!(read_cursor(word.as_bytes()).ok(), cursor, "{word:?}");
        }
    }
}
