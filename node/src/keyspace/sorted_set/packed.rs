//! A small sorted set as one run of bytes: its elements in their order.
//!
//! ```text
//! | elements, 4 bytes little endian | head | score | length | member | head | ...
//! ```
//!
//! The head's low half says how the score is kept: 0 to 7 are scores themselves; 8 to 13 stand for whole numbers of 1 to
//! 6 bytes, 14 for a float of 4 and 15 for one of 8 bytes, all little endian. The high half is the member's length; 15
//! stands for a length of its own in front of the member, seven bits per byte. So an element with a small whole score
//! and a short member takes one or two bytes more than the member.
//!
//! Lookups walk; the limits `zset-max-listpack-entries` and `-value` keep the walk short.

use std::ops::Range;

use super::Order;
use super::edge::Edge;
use crate::keyspace::entry::Entry;
use crate::keyspace::packed::{read_length, splice};

const COUNT: usize = 4;

/// The bytes of a packed sorted set without elements.
pub(super) const EMPTY: &[u8] = &[0; COUNT];

/// Scores up to here are kept in the head.
const SCORE_IN_HEAD_MAX: u8 = 7;
const SCORE_BYTES_MAX: u8 = 6;
const SCORE_FLOAT_4: u8 = 14;
const SCORE_FLOAT_8: u8 = 15;
const LENGTH_IN_HEAD_MAX: usize = 14;
const LENGTH_APART: u8 = 15;

/// Bytes in front of a member at most: head, score, and a length of up to 35 bits.
const PREAMBLE_MAX: usize = 1 + 8 + 5;

/// Elements that a walk from the last to the first remembers at a time.
const FALLING_STEP: usize = 32;

#[derive(Clone, Copy)]
pub(crate) struct Packed<'a>(&'a [u8]);

/// An element and where its bytes lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Element<'a> {
    pub(super) score: f64,
    pub(super) member: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Packed<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Packed<'a> {
        Packed(bytes)
    }

    pub(crate) fn len(&self) -> usize {
        let count = self.0.first_chunk().expect("a packed sorted set begins with its count");
        u32::from_le_bytes(*count) as usize
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let bytes = self.0;
        let mut start = COUNT;
        std::iter::from_fn(move || {
            let element = (start < bytes.len()).then(|| read(bytes, start))?;
            start = element.end;
            Some(element)
        })
    }

    pub(super) fn find(&self, member: &[u8]) -> Option<Element<'a>> {
        self.elements().find(|element| element.member == member)
    }

    /// How many elements lie in front of the edge.
    pub(super) fn rank(&self, edge: Edge<'_>) -> usize {
        self.elements().take_while(|element| edge.is_behind(element.score, || element.member)).count()
    }

    /// See [`super::SortedSet::between`].
    pub(super) fn between(&self, low: Edge<'_>, high: Edge<'_>, order: Order) -> Range<usize> {
        let is_behind =
            |edge: Edge<'_>, element: Element<'_>| edge.is_behind(element.score, || element.member);
        let (mut elements, mut last) = (self.elements(), None);
        let first_fits = elements.next().is_some_and(|first| {
            last = elements.last().or(Some(first));
            is_behind(high, first)
        });
        if !first_fits || last.is_none_or(|last| is_behind(low, last)) {
            return 0..0;
        }
        match order {
            Order::Rising => {
                let start = self.rank(low);
                let within = self.elements().skip(start).take_while(|element| is_behind(high, *element));
                start..start + within.count()
            }
            Order::Falling => {
                let behind_last = |edge: Edge<'_>, end: usize| {
                    let elements = self.elements().take(end).enumerate();
                    let fitting = elements.filter(|(_, element)| is_behind(edge, *element));
                    fitting.last().map_or(0, |(rank, _)| rank + 1)
                };
                let end = behind_last(high, self.len());
                behind_last(low, end)..end
            }
        }
    }

    pub(super) fn for_each(&self, ranks: Range<usize>, order: Order, mut each: impl FnMut(f64, &'a [u8])) {
        let part = |ranks: Range<usize>| self.elements().skip(ranks.start).take(ranks.len());
        if order == Order::Rising {
            return part(ranks).for_each(|element| each(element.score, element.member));
        }
        let (start, mut end) = (ranks.start, ranks.end);
        while end > start {
            let first = start.max(end.saturating_sub(FALLING_STEP));
            let mut step = [(0.0, &[][..]); FALLING_STEP];
            for (place, element) in step.iter_mut().zip(part(first..end)) {
                *place = (element.score, element.member);
            }
            step[..end - first].iter().rev().for_each(|&(score, member)| each(score, member));
            end = first;
        }
    }

    /// Where an element's bytes belong.
    fn place(&self, edge: Edge<'_>) -> usize {
        let behind = self.elements().find(|element| !edge.is_behind(element.score, || element.member));
        behind.map_or(self.0.len(), |element| element.start)
    }

    /// The bytes of all elements with these ranks.
    fn part(&self, ranks: Range<usize>) -> Range<usize> {
        let mut elements = self.elements().skip(ranks.start).take(ranks.len());
        match elements.next() {
            Some(first) => first.start..elements.last().unwrap_or(first).end,
            None => 0..0,
        }
    }
}

/// Elements in their order as bytes.
pub(super) fn pack<'a>(elements: impl Iterator<Item = (f64, &'a [u8])>) -> Vec<u8> {
    let mut bytes = EMPTY.to_vec();
    let mut count = 0u32;
    for (score, member) in elements {
        let (preamble, len) = preamble(score, member.len());
        bytes.extend_from_slice(&preamble[..len]);
        bytes.extend_from_slice(member);
        count += 1;
    }
    bytes[..COUNT].copy_from_slice(&count.to_le_bytes());
    bytes
}

/// Adds an element that is not there yet to the packed sorted set in `entry`.
pub(super) fn insert(entry: &mut Entry, score: f64, member: &[u8]) {
    let start = view(entry).place(Edge::Element(score, member));
    let (preamble, len) = preamble(score, member.len());
    let room = splice(entry, start, start, len + member.len());
    room[..len].copy_from_slice(&preamble[..len]);
    room[len..].copy_from_slice(member);
    add_to_count(entry, 1);
}

/// Removes the element that [`Packed::find`] found at `place`.
pub(super) fn remove(entry: &mut Entry, place: Range<usize>) {
    splice(entry, place.start, place.end, 0);
    add_to_count(entry, -1);
}

/// Removes the elements with these ranks, which must be there.
pub(super) fn remove_ranks(entry: &mut Entry, ranks: Range<usize>) {
    let part = view(entry).part(ranks.clone());
    splice(entry, part.start, part.end, 0);
    add_to_count(entry, -i32::try_from(ranks.len()).expect("a packed sorted set has few elements"));
}

impl Element<'_> {
    pub(super) fn place(&self) -> Range<usize> {
        self.start..self.end
    }
}

fn view(entry: &mut Entry) -> Packed<'_> {
    Packed(entry.bytes_mut().expect("a packed sorted set is bytes"))
}

fn add_to_count(entry: &mut Entry, difference: i32) {
    let bytes = entry.bytes_mut().expect("a packed sorted set is bytes");
    let count = bytes.first_chunk_mut().expect("a packed sorted set begins with its count");
    *count = u32::from_le_bytes(*count).wrapping_add_signed(difference).to_le_bytes();
}

#[inline]
fn read(bytes: &[u8], start: usize) -> Element<'_> {
    let head = bytes[start];
    let (score, at) = read_score(bytes, start + 1, head & 0xF);
    let (len, at) = match head >> 4 {
        LENGTH_APART => read_length(bytes, at),
        len => (usize::from(len), at),
    };
    Element { score, member: &bytes[at..at + len], start, end: at + len }
}

/// The score that begins at `at`, and where it ends.
#[inline]
fn read_score(bytes: &[u8], at: usize, kind: u8) -> (f64, usize) {
    match kind {
        0..=SCORE_IN_HEAD_MAX => (f64::from(kind), at),
        SCORE_FLOAT_4 => (f64::from(f32::from_le_bytes(chunk(bytes, at))), at + 4),
        SCORE_FLOAT_8 => (f64::from_le_bytes(chunk(bytes, at)), at + 8),
        _ => {
            let width = usize::from(kind - SCORE_IN_HEAD_MAX);
            let mut wide = [0; 8];
            wide[8 - width..].copy_from_slice(&bytes[at..at + width]);
            // The number stands in the upper bytes, so that the shift brings its sign along.
            let number = i64::from_le_bytes(wide) >> (8 * (8 - width));
            (whole(number), at + width)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most six bytes")]
fn whole(number: i64) -> f64 {
    number as f64
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("an element is whole")
}

/// What stands in front of a member, and how many bytes of it.
fn preamble(score: f64, member_len: usize) -> ([u8; PREAMBLE_MAX], usize) {
    let mut preamble = [0; PREAMBLE_MAX];
    let (kind, bytes, width) = score_bytes(score);
    preamble[1..=width].copy_from_slice(&bytes[..width]);
    let mut len = 1 + width;
    if member_len <= LENGTH_IN_HEAD_MAX {
        preamble[0] = kind | u8::try_from(member_len).expect("at most 14") << 4;
        return (preamble, len);
    }
    preamble[0] = kind | LENGTH_APART << 4;
    let mut rest = member_len;
    loop {
        let low = u8::try_from(rest & 0x7F).expect("seven bits");
        rest >>= 7;
        preamble[len] = if rest > 0 { low | 0x80 } else { low };
        len += 1;
        if rest == 0 {
            return (preamble, len);
        }
    }
}

/// How a score is kept: its kind, and its bytes with their number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "compared afterwards: what did not survive is kept otherwise"
)]
fn score_bytes(score: f64) -> (u8, [u8; 8], usize) {
    // A listpack keeps whole numbers as integers: there `-0` loses its sign.
    let score = score + 0.0;
    let number = score as i64;
    let is_whole = whole(number).to_bits() == score.to_bits();
    if is_whole && let Ok(small @ 0..=SCORE_IN_HEAD_MAX) = u8::try_from(number) {
        return (small, [0; 8], 0);
    }
    for width in 1..=SCORE_BYTES_MAX {
        let unused = 64 - 8 * u32::from(width);
        if is_whole && number << unused >> unused == number {
            return (SCORE_IN_HEAD_MAX + width, number.to_le_bytes(), usize::from(width));
        }
    }
    let mut bytes = [0; 8];
    let short = score as f32;
    if f64::from(short).to_bits() == score.to_bits() {
        bytes[..4].copy_from_slice(&short.to_le_bytes());
        return (SCORE_FLOAT_4, bytes, 4);
    }
    (SCORE_FLOAT_8, score.to_le_bytes(), 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::entry::Form;

    #[test]
    fn scores_read_back_to_the_bit_and_small_ones_are_short() {
        for (score, width) in [
            (0.0, 0),
            (7.0, 0),
            (8.0, 1),
            (-1.0, 1),
            (127.0, 1),
            (128.0, 2),
            (-32_768.0, 2),
            (32_768.0, 3),
            (8_388_608.0, 4),
            (1_700_000_000.0, 4),
            (1_700_000_000_123.0, 6),
            (140_737_488_355_328.0, 4),
            (140_737_488_355_327.0, 6),
            (0.5, 4),
            (0.1, 8),
            (f64::INFINITY, 4),
            (f64::NEG_INFINITY, 4),
            (f64::MAX, 8),
            (5e-324, 8),
            (1e300, 8),
        ] {
            for len in [0, 1, 14, 15, 127, 128, 20_000] {
                let member = vec![b'm'; len];
                let packed = pack([(score, &member[..])].into_iter());
                let element = Packed(&packed).elements().next().unwrap();
                assert_eq!(element.score.to_bits(), score.to_bits(), "{score}");
                assert_eq!(element.member, member);
                let length_bytes = match len {
                    0..=14 => 0,
                    15..=127 => 1,
                    128..=16_383 => 2,
                    _ => 3,
                };
                assert_eq!(packed.len(), COUNT + 1 + width + length_bytes + len, "{score}, {len} bytes");
            }
        }
    }

    #[test]
    fn a_negative_zero_loses_its_sign_as_in_a_listpack() {
        let packed = pack([(-0.0, &b"m"[..])].into_iter());
        let element = Packed(&packed).elements().next().unwrap();
        assert_eq!((element.score.to_bits(), packed.len()), (0.0f64.to_bits(), COUNT + 2));
    }

    #[test]
    fn a_walk_from_the_end_sees_what_a_walk_from_the_start_sees() {
        let names: Vec<Vec<u8>> = (0..100u8).map(|number| vec![number; usize::from(number % 20)]).collect();
        let bytes = pack((0u8..).zip(&names).map(|(score, name)| (f64::from(score), &name[..])));
        let mut entry = Entry::new(b"z", Form::PackedSortedSet, &bytes);
        for (start, end) in [(0, 100), (0, 0), (5, 37), (5, 38), (68, 100), (99, 100)] {
            let packed = view(&mut entry);
            let (mut rising, mut falling) = (Vec::new(), Vec::new());
            packed.for_each(start..end, Order::Rising, |score, member| rising.push((score, member)));
            packed.for_each(start..end, Order::Falling, |score, member| falling.push((score, member)));
            falling.reverse();
            assert_eq!((rising.len(), &rising), (end - start, &falling));
        }
        remove_ranks(&mut entry, 10..90);
        assert_eq!((view(&mut entry).len(), view(&mut entry).elements().count()), (20, 20));
    }
}
