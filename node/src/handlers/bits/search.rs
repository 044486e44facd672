//! BITCOUNT and BITPOS: how many bits are set, where the first one is that is set or clear.
//!
//! A range is one of bytes or of bits; either becomes the first and the last bit. Both go through a string eight bytes at
//! a time or more, and treat the bytes at the range's ends apart.

use slotway_resp::{Request, write};

use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, WRONG_TYPE, count, integer, is};

const NO_BIT: &str = "ERR The bit argument must be 1 or 0.";

/// A range as it was asked for: negative numbers count from the end.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: i64,
    /// None: to the string's end.
    end: Option<i64>,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

/// The bits from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bits {
    first: usize,
    last: usize,
}

const ALL: Range = Range { start: 0, end: None, unit: Unit::Byte };

pub(crate) fn bitcount(call: &mut Call<'_>) -> Done {
    let request = call.request;
    let range = match request.len() {
        2 => ALL,
        4 | 5 => {
            let (start, end) = (integer(request.word(2))?, integer(request.word(3))?);
            Range { start, end: Some(end), unit: unit(request, 4)? }
        }
        _ => return Err(SYNTAX),
    };
    let text = text_of(call)?.unwrap_or_default();
    // Two negative numbers in the wrong order mean nothing, even if both lie before the string.
    let is_reversed = range.start < 0 && range.end.is_some_and(|end| end < range.start);
    let bits = range.within(text.len()).filter(|_| !is_reversed);
    let ones = bits.map_or(0, |bits| count_ones(text, bits));
    write::integer(call.out, count(ones));
    Ok(())
}

pub(crate) fn bitpos(call: &mut Call<'_>) -> Done {
    let request = call.request;
    let wanted = match integer(request.word(2))? {
        0 => false,
        1 => true,
        _ => return Err(NO_BIT.into()),
    };
    let range = match request.len() {
        3 => ALL,
        4..=6 => {
            let (start, unit) = (integer(request.word(3))?, unit(request, 5)?);
            let end = request.get(4).map(integer).transpose()?;
            Range { start, end, unit }
        }
        _ => return Err(SYNTAX),
    };
    let place = match text_of(call)? {
        Some(text) => position(text, wanted, range).map_or(-1, count),
        // Where there is no string there are zeros without end.
        None if wanted => -1,
        None => 0,
    };
    write::integer(call.out, place);
    Ok(())
}

fn text_of<'c>(call: &'c mut Call<'_>) -> Result<Option<&'c [u8]>, Refusal> {
    match call.keyspace.read(call.key(), call.now) {
        Some(entry) => entry.text().ok_or(WRONG_TYPE).map(Some),
        None => Ok(None),
    }
}

/// BYTE, BIT, or nothing there.
fn unit(request: Request<'_>, word: usize) -> Result<Unit, Refusal> {
    match request.get(word) {
        None => Ok(Unit::Byte),
        Some(word) if is(word, "BYTE") => Ok(Unit::Byte),
        Some(word) if is(word, "BIT") => Ok(Unit::Bit),
        Some(_) => Err(SYNTAX),
    }
}

/// The first such bit in the range. A string whose end was not named goes on behind it with zeros.
fn position(text: &[u8], wanted: bool, range: Range) -> Option<usize> {
    let bits = range.within(text.len())?;
    let found = find(text, wanted, bits);
    if found.is_none() && !wanted && range.end.is_none() { Some(text.len() * 8) } else { found }
}

impl Range {
    /// What the range covers of a string; None: nothing.
    fn within(self, text_bytes: usize) -> Option<Bits> {
        let unit_bits = match self.unit {
            Unit::Byte => 8,
            Unit::Bit => 1,
        };
        let len = text_bytes * 8 / unit_bits;
        let from_start = |index: i64| {
            let index = if index < 0 { count(len).saturating_add(index).max(0) } else { index };
            usize::try_from(index).unwrap_or(usize::MAX)
        };
        let start = from_start(self.start);
        let end = from_start(self.end.unwrap_or(i64::MAX)).min(len.checked_sub(1)?);
        (start <= end).then(|| Bits { first: start * unit_bits, last: end * unit_bits + unit_bits - 1 })
    }
}

/// Bits that are set. The range lies within the string.
fn count_ones(text: &[u8], bits: Bits) -> usize {
    let covered = &text[bits.first / 8..=bits.last / 8];
    let (words, tail) = covered.as_chunks::<8>();
    let in_words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    let in_tail: u32 = tail.iter().map(|byte| byte.count_ones()).sum();
    // What the first and the last byte have outside of the range.
    let before = text[bits.first / 8] & !(0xFF >> (bits.first % 8));
    let behind = text[bits.last / 8] & (0x7F >> (bits.last % 8));
    let outside = before.count_ones() + behind.count_ones();
    let ones = in_words + u64::from(in_tail) - u64::from(outside);
    usize::try_from(ones).expect("as many bits as memory has")
}

/// Bytes compared at once while nothing is found.
const BLOCK: usize = 64;

/// The first bit of this value. The range lies within the string.
fn find(text: &[u8], wanted: bool, bits: Bits) -> Option<usize> {
    // A byte in which nothing can be found; exchanged with it, what is looked for is a one.
    let skipped = if wanted { 0x00 } else { 0xFF };
    let (first, last) = (bits.first / 8, bits.last / 8);
    let in_first = (text[first] ^ skipped) & (0xFF >> (bits.first % 8));
    let byte = if in_first == 0 { first + 1 + find_other(&text[first + 1..=last], skipped)? } else { first };
    let ones = if byte == first { in_first } else { text[byte] ^ skipped };
    let place = byte * 8 + usize::try_from(ones.leading_zeros()).ok()?;
    (place <= bits.last).then_some(place)
}

/// The first byte that is another than `skipped`.
fn find_other(bytes: &[u8], skipped: u8) -> Option<usize> {
    // Whole blocks are compared without asking for the place: that runs at the speed of memory.
    let differs =
        |block: &[u8; BLOCK]| block.iter().fold(0, |differing, byte| differing | (byte ^ skipped)) != 0;
    let (blocks, tail) = bytes.as_chunks::<BLOCK>();
    let (begin, rest) = match blocks.iter().position(differs) {
        Some(block) => (block * BLOCK, &blocks[block][..]),
        None => (blocks.len() * BLOCK, tail),
    };
    rest.iter().position(|&byte| byte != skipped).map(|place| begin + place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bit(text: &[u8], place: usize) -> bool {
        text[place / 8] & (0x80 >> (place % 8)) != 0
    }

    proptest! {
        #[test]
        fn fast_searches_find_what_looking_at_every_bit_finds(
            sparse in any::<bool>(),
            noise in proptest::collection::vec(any::<u8>(), 0..20),
            filler in 0..300_usize,
            wanted: bool,
            (one, other) in (0..2_560_usize, 0..2_560_usize),
        ) {
            let filler = vec![if sparse { 0x00 } else { 0xFF }; filler];
            let text = [&filler[..], &noise, &filler, b"x"].concat();
            let bits = text.len() * 8;
            let (one, other) = (one % bits, other % bits);
            let range = Bits { first: one.min(other), last: one.max(other) };
            let ones = (range.first..=range.last).filter(|&place| bit(&text, place)).count();
            prop_assert_eq!(count_ones(&text, range), ones);
            let first = (range.first..=range.last).find(|&place| bit(&text, place) == wanted);
            prop_assert_eq!(find(&text, wanted, range), first);
        }
    }

    #[test]
    fn a_range_is_cut_to_the_string() {
        let check = |start, end, unit, expected: Option<(usize, usize)>| {
            let range = Range { start, end, unit };
            let expected = expected.map(|(first, last)| Bits { first, last });
            assert_eq!(range.within(4), expected, "{range:?}");
        };
        check(0, None, Unit::Byte, Some((0, 31)));
        check(1, Some(2), Unit::Byte, Some((8, 23)));
        check(1, Some(2), Unit::Bit, Some((1, 2)));
        check(-1, Some(-1), Unit::Byte, Some((24, 31)));
        check(-100, Some(-100), Unit::Byte, Some((0, 7)));
        check(i64::MIN, Some(i64::MAX), Unit::Bit, Some((0, 31)));
        check(4, None, Unit::Byte, None);
        check(i64::MAX, Some(i64::MAX), Unit::Byte, None);
        check(2, Some(1), Unit::Byte, None);
        assert_eq!(Range { start: 0, end: Some(0), unit: Unit::Bit }.within(0), None);
    }

    #[test]
    fn behind_a_string_without_a_zero_is_one_unless_its_end_was_named() {
        let check = |text: &[u8], wanted, start, end, expected| {
            let range = Range { start, end, unit: Unit::Byte };
            assert_eq!(position(text, wanted, range), expected, "{text:?} {wanted} {range:?}");
        };
        check(b"\xff\xff", false, 0, None, Some(16));
        check(b"\xff\xff", false, 1, None, Some(16));
        check(b"\xff\xff", false, 0, Some(-1), None);
        check(b"\xff\xff", false, 2, None, None);
        check(b"\0\0", true, 0, None, None);
        check(b"", false, 0, None, None);
    }
}
