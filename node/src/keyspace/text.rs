//! Strings: in the entry while they are small, counted and shared when they are not.
//!
//! A string is always kept as the bytes that a client wrote, also when it is a number: GET is the common case. What
//! OBJECT ENCODING says of it follows from its bytes and from how it came to be, which the entry's mark remembers.

use super::entry::{Entry, Form, Value};
use super::long_text::LongText;
use super::object::Object;

/// Strings of this length and more have an allocation of their own, which an answer on its way out may share.
pub(crate) const SHARED_FROM: usize = 64 << 10;

/// The longest string that Redis keeps beside its header.
const EMBEDDED_MAX: usize = 44;

/// Redis shares the objects of the integers below this.
const SHARED_INTEGERS: i64 = 10_000;

/// How a string came to be, as far as its encoding's name depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Set as a whole: a number is "int".
    Stored,
    /// Written by INCRBYFLOAT: never "int".
    Formatted,
    /// Changed in place by APPEND or SETRANGE: always "raw".
    Edited,
    /// A copy that COPY made: a small number is an object of its own.
    Copied,
}

impl Origin {
    fn mark(self) -> u32 {
        match self {
            Origin::Stored => 0,
            Origin::Formatted => 1,
            Origin::Edited => 2,
            Origin::Copied => 3,
        }
    }
}

/// What OBJECT ENCODING says of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextEncoding {
    Integer,
    Embedded,
    Raw,
}

impl Entry {
    pub(crate) fn with_text(key: &[u8], text: &[u8]) -> Entry {
        if text.len() < SHARED_FROM {
            Entry::new(key, Form::Text, text)
        } else {
            Entry::with_long_text(key, LongText::new(text.to_vec()))
        }
    }

    pub(crate) fn with_long_text(key: &[u8], text: LongText) -> Entry {
        Entry::with_object(key, Box::new(Object::Text(text)))
    }

    /// The string; None when the value is something else.
    #[inline]
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match self.value() {
            Value::Text(text) => Some(text),
            Value::Object(Object::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// As [`Entry::set_text`] for a text that is the caller's own.
    pub(crate) fn set_owned_text(&mut self, text: Vec<u8>, origin: Origin) -> Option<Box<Object>> {
        if text.len() < SHARED_FROM {
            return self.set_text(&text, origin);
        }
        self.set_long_text(LongText::new(text), origin)
    }

    /// As [`Entry::set_text`] for a text that may have other owners.
    pub(crate) fn set_long_text(&mut self, text: LongText, origin: Origin) -> Option<Box<Object>> {
        let old = self.set_object(Box::new(Object::Text(text)));
        self.set_mark(origin.mark());
        old
    }

    /// Replaces whatever the value is; gives back what may be slow to drop.
    pub(crate) fn set_text(&mut self, text: &[u8], origin: Origin) -> Option<Box<Object>> {
        if text.len() >= SHARED_FROM {
            return self.set_long_text(LongText::new(text.to_vec()), origin);
        }
        let old = self.take_object();
        self.set_bytes(Form::Text, text);
        self.set_mark(origin.mark());
        old
    }

    /// The bytes of a string that is changed in place.
    pub(crate) fn text_mut(&mut self) -> Option<&mut [u8]> {
        self.text()?;
        self.set_mark(Origin::Edited.mark());
        match self.form() {
            Form::Text => self.bytes_mut(),
            _ => match self.object_mut() {
                Some(Object::Text(text)) => Some(text.own().as_mut_slice()),
                _ => None,
            },
        }
    }

    /// Appends to a string; returns its new length.
    pub(crate) fn append_text(&mut self, tail: &[u8]) -> usize {
        let len = self.text().map_or(0, <[u8]>::len);
        self.write_text(len, tail)
    }

    /// Overwrites a part of a string, which is filled up with zeros if it is too short; returns its new length.
    pub(crate) fn write_text(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let end = offset + bytes.len();
        let text = self.edit_text(end);
        text[offset..end].copy_from_slice(bytes);
        text.len()
    }

    /// A string to be changed in place, filled up with zeros if it is shorter than `len_min`.
    pub(crate) fn edit_text(&mut self, len_min: usize) -> &mut [u8] {
        if self.text().is_some_and(|text| text.len() < len_min) {
            self.lengthen(len_min);
        }
        self.text_mut().unwrap_or_default()
    }

    fn lengthen(&mut self, len: usize) {
        if let Some(Object::Text(text)) = self.object_mut() {
            text.edit(|bytes| grow(bytes, len));
        } else if len < SHARED_FROM {
            self.resize(len);
        } else {
            let mut text = self.text().unwrap_or_default().to_vec();
            grow(&mut text, len);
            drop(self.set_object(Box::new(Object::Text(LongText::new(text)))));
        }
    }

    pub(crate) fn text_encoding(&self) -> Option<TextEncoding> {
        let text = self.text()?;
        let mark = self.mark();
        if mark == Origin::Edited.mark() {
            return Some(TextEncoding::Raw);
        }
        let is_integer = mark != Origin::Formatted.mark() && parse_integer(text).is_some();
        Some(match text.len() {
            _ if is_integer => TextEncoding::Integer,
            0..=EMBEDDED_MAX => TextEncoding::Embedded,
            _ => TextEncoding::Raw,
        })
    }

    /// Whether Redis would keep one object for all keys that have this value.
    pub(crate) fn is_shared(&self) -> bool {
        let text = self.text().filter(|_| self.mark() == Origin::Stored.mark());
        text.and_then(parse_integer).is_some_and(|integer| (0..SHARED_INTEGERS).contains(&integer))
    }

    /// Notes that the entry is a copy of another.
    pub(super) fn mark_copied(&mut self) {
        if self.text().is_some() && self.mark() == Origin::Stored.mark() {
            self.set_mark(Origin::Copied.mark());
        }
    }
}

/// Room that a growing string gets beyond what it needs: as much again, but no more than this.
const SPARE_BYTES_MAX: usize = 1 << 20;

/// Makes a text longer by zeros. What appends byte by byte seldom moves the text; a long text does not double.
fn grow(text: &mut Vec<u8>, len: usize) {
    if len / 2 > text.len() {
        // Mostly new: zeros that nobody wrote cost no memory until somebody does.
        let mut longer = vec![0; len];
        longer[..text.len()].copy_from_slice(text);
        *text = longer;
    } else if len > text.capacity() {
        text.reserve_exact(len - text.len() + len.min(SPARE_BYTES_MAX));
    }
    text.resize(len, 0);
}

/// An integer in the one way it is written: no sign `+`, no zeros in front, no `-0`, nothing around it.
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit - b'0');
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entry: &Entry, text: &[u8], encoding: TextEncoding) {
        assert_eq!(entry.text(), Some(text));
        assert_eq!(entry.text_encoding(), Some(encoding));
    }

    #[test]
    fn an_integer_is_read_as_redis_reads_it() {
        for (text, integer) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), integer, "{text:?}");
        }
    }

    #[test]
    fn a_string_keeps_its_bytes_on_either_side_of_64_kib() {
        let mut entry = Entry::with_text(b"k", b"12");
        check(&entry, b"12", TextEncoding::Integer);
        assert_eq!(entry.append_text(b"3"), 3);
        check(&entry, b"123", TextEncoding::Raw);
        assert_eq!(entry.write_text(5, b"x"), 6);
        check(&entry, b"123\0\0x", TextEncoding::Raw);
        let mut long = vec![b'z'; SHARED_FROM - 1];
        assert!(entry.set_text(&long, Origin::Stored).is_none());
        check(&entry, &long, TextEncoding::Raw);
        entry.append_text(b"y");
        long.push(b'y');
        check(&entry, &long, TextEncoding::Raw);
        entry.write_text(0, b"a");
        long[0] = b'a';
        entry.append_text(b"tail");
        long.extend_from_slice(b"tail");
        check(&entry, &long, TextEncoding::Raw);
        assert!(entry.set_text(b"short", Origin::Formatted).is_some());
        check(&entry, b"short", TextEncoding::Embedded);
        assert!(entry.set_text(b"3", Origin::Formatted).is_none());
        check(&entry, b"3", TextEncoding::Embedded);
    }

    #[test]
    fn a_growing_string_has_room_to_spare_but_a_long_one_does_not_double() {
        let mut text = Vec::new();
        let mut moves = 0;
        while text.len() < 8 * SPARE_BYTES_MAX {
            let (len, capacity) = (text.len() + 1000, text.capacity());
            grow(&mut text, len);
            moves += u32::from(text.capacity() != capacity);
            assert!(text.capacity() <= 2 * len && text.capacity() <= len + SPARE_BYTES_MAX, "{len}");
        }
        assert!(moves < 30, "{moves}");
        assert!(text.iter().all(|&byte| byte == 0));
        grow(&mut text, 20 * SPARE_BYTES_MAX);
        assert_eq!(text.len(), 20 * SPARE_BYTES_MAX);
    }

    #[test]
    fn a_string_that_someone_holds_is_copied_before_it_changes() {
        let mut entry = Entry::with_text(b"k", &[b'a'; SHARED_FROM]);
        let Value::Object(Object::Text(held)) = entry.value() else { panic!("a long string is counted") };
        let held = held.clone();
        entry.write_text(0, b"b");
        assert_eq!((held[0], entry.text().unwrap()[0]), (b'a', b'b'));
    }
}
