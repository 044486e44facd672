//! A small set of integers as one run of bytes, in order, so that a lookup halves the run at each step.
//!
//! ```text
//! | width in bytes, 1 | integer | integer | ...
//! ```
//!
//! All integers are as wide as the widest that ever was in the set: 2, 4 or 8 bytes, little endian.

use crate::keyspace::entry::{Entry, Form};

/// The bytes of a set without integers.
pub(super) const EMPTY: &[u8] = &[2];

/// The integers of a set.
#[derive(Clone, Copy)]
pub(crate) struct Integers<'a> {
    width: usize,
    bytes: &'a [u8],
}

impl<'a> Integers<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Integers<'a> {
        let (&width, bytes) = bytes.split_first().expect("a set of integers begins with their width");
        Integers { width: usize::from(width), bytes }
    }

    /// Bytes of each integer.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// All integers, in order, little endian.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() >> self.width.trailing_zeros()
    }

    /// The integer at an index, which must be less than the length.
    pub(super) fn get(&self, index: usize) -> i64 {
        let bytes = &self.bytes[index * self.width..(index + 1) * self.width];
        match *bytes {
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => i64::from_le_bytes(bytes.try_into().expect("an integer has 2, 4 or 8 bytes")),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i64> + use<'a> {
        let integers = *self;
        (0..integers.len()).map(move |index| integers.get(index))
    }

    pub(super) fn contains(&self, integer: i64) -> bool {
        self.find(integer).is_ok()
    }

    /// The index of the first integer from `start` on that is not less than this one. Quick when it is near.
    pub(super) fn seek(&self, start: usize, integer: i64) -> usize {
        let (mut low, mut step) = (start, 1);
        while low + step <= self.len() && self.get(low + step - 1) < integer {
            low += step;
            step *= 2;
        }
        let mut high = (low + step - 1).min(self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle) < integer {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The index of an integer, or where it would stand.
    fn find(&self, integer: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        // Integers often come in order.
        if high > 0 && self.get(high - 1) < integer {
            return Err(high);
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).cmp(&integer) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

/// The bytes of a set of these integers, which rise.
pub(in crate::keyspace) fn pack(integers: &[i64]) -> Vec<u8> {
    let ends = [integers.first(), integers.last()];
    let width = ends.into_iter().flatten().map(|&end| width_of(end)).max().unwrap_or(2);
    let mut bytes = Vec::with_capacity(1 + integers.len() * width);
    bytes.push(u8::try_from(width).expect("2, 4 or 8"));
    integers.iter().for_each(|integer| bytes.extend_from_slice(&integer.to_le_bytes()[..width]));
    bytes
}

/// Adds an integer to the set in `entry`; false: it was there.
pub(super) fn insert(entry: &mut Entry, integer: i64) -> bool {
    let integers = view(entry);
    let (width, old_len) = (integers.width, integers.bytes.len());
    if width_of(integer) > width {
        widen(entry, integer);
        return true;
    }
    let Err(index) = integers.find(integer) else { return false };
    entry.resize(1 + old_len + width);
    let bytes = &mut bytes_mut(entry)[1..];
    bytes.copy_within(index * width..old_len, (index + 1) * width);
    bytes[index * width..(index + 1) * width].copy_from_slice(&integer.to_le_bytes()[..width]);
    true
}

/// Removes an integer from the set in `entry`; false: it was not there.
pub(super) fn remove(entry: &mut Entry, integer: i64) -> bool {
    let integers = view(entry);
    let found = integers.find(integer);
    if let Ok(index) = found {
        remove_at(entry, index);
    }
    found.is_ok()
}

pub(super) fn remove_at(entry: &mut Entry, index: usize) {
    let integers = view(entry);
    let (width, old_len) = (integers.width, integers.bytes.len());
    bytes_mut(entry)[1..].copy_within((index + 1) * width..old_len, index * width);
    entry.resize(1 + old_len - width);
}

/// Makes room for an integer that is too wide, and so less than all others or greater, and adds it.
fn widen(entry: &mut Entry, integer: i64) {
    let integers = view(entry);
    let width = width_of(integer);
    let mut bytes = Vec::with_capacity(1 + (integers.len() + 1) * width);
    bytes.push(u8::try_from(width).expect("2, 4 or 8"));
    let mut push = |integer: i64| bytes.extend_from_slice(&integer.to_le_bytes()[..width]);
    if integer < 0 {
        push(integer);
    }
    integers.iter().for_each(&mut push);
    if integer > 0 {
        push(integer);
    }
    entry.set_bytes(Form::IntegerSet, &bytes);
}

fn width_of(integer: i64) -> usize {
    if i16::try_from(integer).is_ok() {
        2
    } else if i32::try_from(integer).is_ok() {
        4
    } else {
        8
    }
}

fn view(entry: &mut Entry) -> Integers<'_> {
    Integers::new(bytes_mut(entry))
}

fn bytes_mut(entry: &mut Entry) -> &mut [u8] {
    assert_eq!(entry.form(), Form::IntegerSet, "only a set of integers is changed as one");
    entry.bytes_mut().expect("a set of integers is bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(integers: &[i64]) -> Entry {
        let mut entry = Entry::new(b"s", Form::IntegerSet, EMPTY);
        for &integer in integers {
            insert(&mut entry, integer);
        }
        entry
    }

    #[track_caller]
    fn check(entry: &mut Entry, width: usize, expected: &[i64]) {
        let integers = view(entry);
        assert_eq!(integers.iter().collect::<Vec<_>>(), expected);
        assert_eq!(integers.width, width);
        assert_eq!(integers.len(), expected.len());
        assert!(expected.iter().all(|&integer| integers.contains(integer)));
    }

    #[test]
    fn integers_stand_in_order_and_once() {
        let mut entry = of(&[5, -3, 9, 5, 0]);
        check(&mut entry, 2, &[-3, 0, 5, 9]);
        assert!(!insert(&mut entry, 9));
        assert!(remove(&mut entry, 0) && !remove(&mut entry, 0));
        remove_at(&mut entry, 2);
        check(&mut entry, 2, &[-3, 5]);
    }

    #[test]
    fn a_wide_integer_widens_all_and_leaves_them_wide() {
        let mut entry = of(&[1, i64::from(i16::MIN), i64::from(i16::MAX)]);
        check(&mut entry, 2, &[-32768, 1, 32767]);
        insert(&mut entry, 32768);
        check(&mut entry, 4, &[-32768, 1, 32767, 32768]);
        insert(&mut entry, i64::MIN);
        insert(&mut entry, i64::MAX);
        check(&mut entry, 8, &[i64::MIN, -32768, 1, 32767, 32768, i64::MAX]);
        for integer in [i64::MIN, i64::MAX, 32768] {
            assert!(remove(&mut entry, integer));
        }
        check(&mut entry, 8, &[-32768, 1, 32767]);
    }

    #[test]
    fn the_next_integer_is_sought_from_anywhere() {
        let all: Vec<i64> = (0..200).map(|number| number * number).collect();
        let mut entry = of(&all);
        let integers = view(&mut entry);
        for start in 0..=all.len() {
            for integer in (-1..500).chain([39_600, 39_601, 39_602, i64::MAX]) {
                let expected = all[start..].iter().position(|&one| one >= integer);
                assert_eq!(integers.seek(start, integer), expected.map_or(all.len(), |nth| start + nth));
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let mut entry = of(&[2, 4, 6]);
        for absent in [i64::MIN, -1, 0, 1, 3, 5, 7, 100_000, i64::MAX] {
            assert!(!view(&mut entry).contains(absent));
            assert!(!remove(&mut entry, absent));
        }
        assert!(!view(&mut of(&[])).contains(0));
    }
}
