//! Elements of lists as bytes: each with its length before and behind it, so that a run of them is walked from both ends.
//!
//! The code is that of Redis's listpacks: the limits of lists are in these bytes, so a list changes its encoding where
//! it does in Redis only if an element takes as many. Integers take one to nine bytes.
//!
//! ```text
//! | first byte  | then                      | element                    |
//! | 0xxxxxxx    | -                         | integer, 7 bits            |
//! | 10xxxxxx    | the bytes                 | a text of up to 63 bytes   |
//! | 110xxxxx    | 1 byte                    | integer, 13 bits           |
//! | 1110xxxx    | 1 byte, the bytes         | a text of up to 4095 bytes |
//! | 11110000    | 4 bytes, the bytes        | a longer text              |
//! | 11110001... | 2, 3, 4 or 8 bytes        | integer                    |
//! ```
//!
//! Integers are two's complement; numbers behind `1111....` are little endian, those that begin in the first byte big
//! endian. Behind each element stands how many bytes it took, seven bits per byte, the highest first; all but the first
//! of them have their top bit set, so that it is read backwards.

use slotway_resp::write;

use crate::keyspace::text::parse_integer;

/// An element, as it is kept. Equal elements are kept equally, so they compare without being printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element<'a> {
    Text(&'a [u8]),
    Integer(i64),
}

const SHORT_TEXT: u8 = 0x80;
const SHORT_INTEGER: u8 = 0xC0;
const MIDDLE_TEXT: u8 = 0xE0;
const LONG_TEXT: u8 = 0xF0;
const LONG_INTEGERS: u8 = 0xF1;

const SHORT_TEXT_MAX: usize = 63;
const MIDDLE_TEXT_MAX: usize = 4095;

/// Bytes of the integers that begin with [`LONG_INTEGERS`], the next byte, and so on.
const LONG_INTEGER_BYTES: [usize; 4] = [2, 3, 4, 8];

impl<'a> Element<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Element<'a> {
        match parse_integer(text) {
            Some(integer) => Element::Integer(integer),
            None => Element::Text(text),
        }
    }

    /// The bytes that a client wrote.
    pub(crate) fn text<'b>(self, digits: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Element::Text(text) => text,
            Element::Integer(integer) => digits.format(integer).as_bytes(),
        }
    }

    pub(crate) fn write_bulk(self, out: &mut Vec<u8>) {
        match self {
            Element::Text(text) => write::bulk(out, text),
            Element::Integer(integer) => write::bulk_integer(out, integer),
        }
    }

    /// Bytes that it takes in a run.
    pub(crate) fn size(self) -> usize {
        let coded = self.coded_len();
        coded + back_len(coded)
    }

    /// Bytes without the length behind it.
    fn coded_len(self) -> usize {
        match self {
            Element::Text(text) => text_head(text.len()) + text.len(),
            Element::Integer(0..=127) => 1,
            Element::Integer(-4096..=4095) => 2,
            Element::Integer(integer) => 1 + LONG_INTEGER_BYTES[long_integer(integer)],
        }
    }

    /// Adds it to a run that is made at once.
    pub(crate) fn append_to(self, run: &mut Vec<u8>) {
        let end = run.len();
        run.resize(end + self.size(), 0);
        self.write(&mut run[end..]);
    }

    /// Fills exactly [`Element::size`] bytes.
    pub(super) fn write(self, room: &mut [u8]) {
        let (coded, back) = room.split_at_mut(self.coded_len());
        match self {
            Element::Text(text) => {
                let (head, body) = coded.split_at_mut(coded.len() - text.len());
                write_text_head(head, text.len());
                body.copy_from_slice(text);
            }
            Element::Integer(integer) => write_integer(coded, integer),
        }
        let mut rest = coded.len();
        debug_assert_eq!(back.len(), back_len(rest), "the room is as large as the element");
        for (place, digit) in back.iter_mut().enumerate().rev() {
            *digit = low_byte(rest & 0x7F) | if place > 0 { 0x80 } else { 0 };
            rest >>= 7;
        }
    }
}

/// At most so many bytes does an element of this length take, with the lengths before and behind it.
pub(super) fn size_at_most(len: usize) -> usize {
    if len <= SHORT_TEXT_MAX { len + 2 } else { len + 10 }
}

fn text_head(len: usize) -> usize {
    if len <= SHORT_TEXT_MAX {
        1
    } else if len <= MIDDLE_TEXT_MAX {
        2
    } else {
        5
    }
}

fn write_text_head(head: &mut [u8], len: usize) {
    match head {
        [first] => *first = SHORT_TEXT | low_byte(len),
        [first, second] => (*first, *second) = (MIDDLE_TEXT | low_byte(len >> 8), low_byte(len & 0xFF)),
        _ => {
            let len = u32::try_from(len).expect("requests are shorter than 4 GiB");
            head[0] = LONG_TEXT;
            head[1..].copy_from_slice(&len.to_le_bytes());
        }
    }
}

/// Which of [`LONG_INTEGER_BYTES`].
fn long_integer(integer: i64) -> usize {
    match integer {
        -0x8000..=0x7FFF => 0,
        -0x80_0000..=0x7F_FFFF => 1,
        -0x8000_0000..=0x7FFF_FFFF => 2,
        _ => 3,
    }
}

fn write_integer(room: &mut [u8], integer: i64) {
    let [low, high, ..] = integer.to_le_bytes();
    match room {
        [first] => *first = low,
        [first, second] => (*first, *second) = (SHORT_INTEGER | high & 0x1F, low),
        _ => {
            let bytes = room.len() - 1;
            room[0] = LONG_INTEGERS + low_byte(long_integer(integer));
            room[1..].copy_from_slice(&integer.to_le_bytes()[..bytes]);
        }
    }
}

/// The element at the beginning of a run, and how many bytes it takes.
pub(super) fn first(run: &[u8]) -> (Element<'_>, usize) {
    let (element, coded) = read(run);
    (element, coded + back_len(coded))
}

/// How many bytes the element at the end of a run takes.
pub(super) fn last_size(run: &[u8]) -> usize {
    let mut coded = 0;
    for (digits, byte) in run.iter().rev().enumerate() {
        coded |= usize::from(byte & 0x7F) << (7 * digits);
        if byte & 0x80 == 0 {
            return coded + digits + 1;
        }
    }
    unreachable!("a run that is not empty ends with a length")
}

/// The element that begins the bytes, and how many it takes without the length behind it.
fn read(bytes: &[u8]) -> (Element<'_>, usize) {
    let head = bytes[0];
    let text = |head: usize, len: usize| (Element::Text(&bytes[head..head + len]), head + len);
    match head {
        ..SHORT_TEXT => (Element::Integer(i64::from(head)), 1),
        SHORT_TEXT..SHORT_INTEGER => text(1, usize::from(head - SHORT_TEXT)),
        SHORT_INTEGER..MIDDLE_TEXT => (Element::Integer(read_short_integer(head, bytes[1])), 2),
        MIDDLE_TEXT..LONG_TEXT => text(2, usize::from(head & 0x0F) << 8 | usize::from(bytes[1])),
        LONG_TEXT => {
            let len = bytes[1..].first_chunk().expect("a long text has a length of four bytes");
            text(5, u32::from_le_bytes(*len) as usize)
        }
        LONG_INTEGERS.. => {
            let len = LONG_INTEGER_BYTES[usize::from(head - LONG_INTEGERS)];
            (Element::Integer(read_integer(&bytes[1..=len])), 1 + len)
        }
    }
}

/// An integer of up to eight bytes, the lowest first.
fn read_integer(bytes: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[8 - bytes.len()..].copy_from_slice(bytes);
    i64::from_le_bytes(wide) >> (64 - 8 * bytes.len())
}

/// An integer of 13 bits: the highest five are the lowest of `head`.
fn read_short_integer(head: u8, low: u8) -> i64 {
    i64::from(i16::from_be_bytes([head << 3 | low >> 5, low << 3]) >> 3)
}

/// Bytes of the length behind an element. The borders are one below the powers of two, as in Redis.
fn back_len(coded: usize) -> usize {
    match coded {
        ..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

fn low_byte(value: usize) -> u8 {
    u8::try_from(value).expect("eight bits")
}
