//! A small hash or set as one run of bytes: strings in the order they came. In a hash each field has its value behind it.
//!
//! ```text
//! | fields, 4 bytes little endian  | length | field | length | value | length | field | ...
//! | members, 4 bytes little endian | length | member | length | member | ...
//! ```
//!
//! Lengths take seven bits per byte, the lowest first, the top bit saying that more follow. A lookup walks; the limits
//! `hash-max-listpack-entries`, `set-max-listpack-entries` and their `-value` keep the walk short. The bytes lie in the
//! entry of the key, so that a small collection is one allocation.

use std::ops::Range;

use super::entry::{Entry, Form};

const COUNT: usize = 4;

/// A packed run never grows past this, whatever the settings say: each change moves its bytes.
pub(super) const PACKED_BYTES_MAX: usize = 1 << 30;

/// The bytes of a packed hash without fields, or of a packed set without members.
pub(super) const EMPTY: &[u8] = &[0; COUNT];

/// The fields of a packed hash.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a>(&'a [u8]);

/// Where a field and its value lie, from the start of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    /// The first length's first byte.
    start: usize,
    /// The value's length's first byte.
    value_start: usize,
    end: usize,
}

impl<'a> Packed<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Packed<'a> {
        Packed(bytes)
    }

    pub(crate) fn len(&self) -> usize {
        count(self.0)
    }

    /// Fields and values, in the order the fields came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.0;
        pairs(bytes).map(move |pair| read(bytes, pair))
    }

    pub(super) fn get(&self, field: &[u8]) -> Option<&'a [u8]> {
        self.iter().find_map(|(name, value)| same(name, field).then_some(value))
    }

    pub(super) fn find(&self, field: &[u8]) -> Option<Pair> {
        pairs(self.0).find(|&pair| same(read(self.0, pair).0, field))
    }
}

/// The members of a packed set.
#[derive(Clone, Copy)]
pub(crate) struct Strings<'a>(&'a [u8]);

impl<'a> Strings<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Strings<'a> {
        Strings(bytes)
    }

    pub(super) fn len(&self) -> usize {
        count(self.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.iter_placed().map(|(_, string)| string)
    }

    /// Every string and where it begins with its length.
    pub(super) fn iter_placed(&self) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
        let bytes = self.0;
        let mut start = COUNT;
        std::iter::from_fn(move || {
            if start == bytes.len() {
                return None;
            }
            let (len, first) = read_length(bytes, start);
            let placed = (start, &bytes[first..first + len]);
            start = first + len;
            Some(placed)
        })
    }

    /// The string that begins there.
    pub(super) fn at(&self, start: usize) -> &'a [u8] {
        let (len, first) = read_length(self.0, start);
        &self.0[first..first + len]
    }

    /// Where a string lies with its length.
    pub(super) fn find(&self, string: &[u8]) -> Option<Range<usize>> {
        ranges(self.0).find(|range| same(read_string(self.0, range.start, range.end), string))
    }

    pub(super) fn contains(&self, string: &[u8]) -> bool {
        self.iter().any(|one| same(one, string))
    }
}

/// Adds a string behind the others of the packed set in `entry`.
pub(super) fn push(entry: &mut Entry, string: &[u8]) {
    let mut lengths = Lengths::default();
    let end = entry.bytes_mut().map_or(0, |bytes| bytes.len());
    let room = splice(entry, end, end, lengths.written(&[string]));
    lengths.fill(room, &[string]);
    add_to_count(entry, 1);
}

/// Takes out the string that [`Strings::find`] found in the packed set in `entry`.
pub(super) fn cut(entry: &mut Entry, at: Range<usize>) {
    splice(entry, at.start, at.end, 0);
    add_to_count(entry, -1);
}

/// Sets a field of the packed hash in `entry`; `at` is where [`Packed::find`] found it. True: it is new.
pub(super) fn set(entry: &mut Entry, at: Option<Pair>, field: &[u8], value: &[u8]) -> bool {
    let mut lengths = Lengths::default();
    match at {
        Some(pair) => {
            let room = splice(entry, pair.value_start, pair.end, lengths.written(&[value]));
            lengths.fill(room, &[value]);
        }
        None => {
            let end = entry.bytes_mut().map_or(0, |bytes| bytes.len());
            let room = splice(entry, end, end, lengths.written(&[field, value]));
            lengths.fill(room, &[field, value]);
            add_to_count(entry, 1);
        }
    }
    at.is_none()
}

pub(super) fn remove(entry: &mut Entry, at: Pair) {
    splice(entry, at.start, at.end, 0);
    add_to_count(entry, -1);
}

/// Adds a string to a run that is made at once. [`EMPTY`] begins it, [`seal`] ends it.
pub(super) fn append(run: &mut Vec<u8>, string: &[u8]) {
    if let Ok(len @ 0..=0x7F) = u8::try_from(string.len()) {
        run.push(len);
    } else {
        let mut lengths = Lengths::default();
        let count = lengths.encode(string.len());
        run.extend_from_slice(&lengths.digits[..count]);
    }
    run.extend_from_slice(string);
}

/// Notes in a run that is made at once how many fields or members it has.
pub(super) fn seal(run: &mut [u8], count: usize) {
    let count = u32::try_from(count).expect("a run has fewer strings than bytes");
    run[..COUNT].copy_from_slice(&count.to_le_bytes());
}

/// Replaces a range of the value's bytes by `len` others, which the caller writes.
pub(super) fn splice(entry: &mut Entry, start: usize, end: usize, len: usize) -> &mut [u8] {
    let is_packed = matches!(entry.form(), Form::PackedHash | Form::PackedSet | Form::PackedSortedSet);
    assert!(is_packed, "only what is packed is spliced");
    let old_len = entry.bytes_mut().map_or(0, |bytes| bytes.len());
    let new_len = old_len - (end - start) + len;
    if new_len > old_len {
        entry.resize(new_len);
    }
    if let Some(bytes) = entry.bytes_mut() {
        bytes.copy_within(end..old_len, start + len);
    }
    if new_len < old_len {
        entry.resize(new_len);
    }
    let bytes = entry.bytes_mut().expect("what is packed is bytes");
    &mut bytes[start..start + len]
}

fn add_to_count(entry: &mut Entry, difference: i32) {
    let bytes = entry.bytes_mut().expect("what is packed is bytes");
    let count = bytes.first_chunk_mut().expect("what is packed begins with its count");
    *count = u32::from_le_bytes(*count).wrapping_add_signed(difference).to_le_bytes();
}

fn count(bytes: &[u8]) -> usize {
    let count = bytes.first_chunk().expect("what is packed begins with its count");
    u32::from_le_bytes(*count) as usize
}

/// Where each string lies with its length.
fn ranges(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = COUNT;
    std::iter::from_fn(move || {
        if start == bytes.len() {
            return None;
        }
        let range = start..skip_string(bytes, start);
        start = range.end;
        Some(range)
    })
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = Pair> {
    let mut start = COUNT;
    std::iter::from_fn(move || {
        if start == bytes.len() {
            return None;
        }
        let value_start = skip_string(bytes, start);
        let pair = Pair { start, value_start, end: skip_string(bytes, value_start) };
        start = pair.end;
        Some(pair)
    })
}

fn read(bytes: &[u8], pair: Pair) -> (&[u8], &[u8]) {
    (read_string(bytes, pair.start, pair.value_start), read_string(bytes, pair.value_start, pair.end))
}

/// Whether two strings are equal. Names in a collection are often equally long and differ in the last byte: most are
/// told apart without a call.
#[inline]
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.last() == other.last() && one == other
}

/// The string whose length begins at `start` and whose bytes end at `end`.
fn read_string(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    let (_, first) = read_length(bytes, start);
    &bytes[first..end]
}

fn skip_string(bytes: &[u8], start: usize) -> usize {
    let (len, first) = read_length(bytes, start);
    first + len
}

/// A length and where the bytes behind it begin.
#[inline]
pub(super) fn read_length(bytes: &[u8], start: usize) -> (usize, usize) {
    if bytes[start] & 0x80 == 0 {
        return (usize::from(bytes[start]), start + 1);
    }
    read_long_length(bytes, start)
}

fn read_long_length(bytes: &[u8], start: usize) -> (usize, usize) {
    let mut len = 0;
    let mut at = start;
    loop {
        let byte = bytes[at];
        len |= usize::from(byte & 0x7F) << (7 * (at - start));
        at += 1;
        if byte & 0x80 == 0 {
            return (len, at);
        }
    }
}

/// Writes strings with their lengths in front.
#[derive(Default)]
struct Lengths {
    digits: [u8; 10],
}

impl Lengths {
    /// Bytes that the strings take with their lengths.
    fn written(&self, strings: &[&[u8]]) -> usize {
        strings.iter().map(|string| digits_of(string.len()) + string.len()).sum()
    }

    /// Fills exactly the room that [`Lengths::written`] says.
    fn fill(&mut self, mut room: &mut [u8], strings: &[&[u8]]) {
        for string in strings {
            let count = self.encode(string.len());
            let (length, rest) = room.split_at_mut(count);
            length.copy_from_slice(&self.digits[..count]);
            let (bytes, rest) = rest.split_at_mut(string.len());
            bytes.copy_from_slice(string);
            room = rest;
        }
    }

    fn encode(&mut self, mut len: usize) -> usize {
        let count = digits_of(len);
        for (place, digit) in self.digits[..count].iter_mut().enumerate() {
            let low = u8::try_from(len & 0x7F).expect("seven bits");
            *digit = if place + 1 < count { low | 0x80 } else { low };
            len >>= 7;
        }
        count
    }
}

/// Bytes that a length takes.
fn digits_of(len: usize) -> usize {
    (len.checked_ilog2().unwrap_or(0) / 7 + 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::entry::Value;

    fn fields(entry: &Entry) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Value::PackedHash(bytes) = entry.value() else { panic!("not packed") };
        let packed = Packed::new(bytes);
        let pairs: Vec<_> = packed.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
        assert_eq!(packed.len(), pairs.len());
        pairs
    }

    fn put(entry: &mut Entry, field: &[u8], value: &[u8]) -> bool {
        let Value::PackedHash(bytes) = entry.value() else { panic!("not packed") };
        let at = Packed::new(bytes).find(field);
        set(entry, at, field, value)
    }

    #[test]
    fn fields_are_set_changed_and_removed_in_place() {
        let mut entry = Entry::new(b"h", Form::PackedHash, EMPTY);
        assert!(fields(&entry).is_empty());
        let long = vec![7; 300];
        assert!(put(&mut entry, b"a", b"1") && put(&mut entry, b"", b"") && put(&mut entry, b"c", &long));
        assert!(!put(&mut entry, b"a", &long));
        assert!(!put(&mut entry, b"c", b"3"));
        let expected: [(&[u8], &[u8]); 3] = [(b"a", &long), (b"", b""), (b"c", b"3")];
        assert_eq!(fields(&entry), expected.map(|(field, value)| (field.to_vec(), value.to_vec())));
        let Value::PackedHash(bytes) = entry.value() else { unreachable!() };
        let at = Packed::new(bytes).find(b"a").unwrap();
        remove(&mut entry, at);
        assert_eq!(fields(&entry), [(vec![], vec![]), (b"c".to_vec(), b"3".to_vec())]);
    }

    #[test]
    fn lengths_of_every_width_read_back() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let mut entry = Entry::new(b"h", Form::PackedHash, EMPTY);
            put(&mut entry, b"field", &vec![1; len]);
            put(&mut entry, b"next", b"x");
            assert_eq!(fields(&entry)[0].1.len(), len);
            assert_eq!(fields(&entry)[1].1, b"x");
        }
    }
}
