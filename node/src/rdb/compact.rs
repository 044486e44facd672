//! Small collections as Redis keeps them in memory and writes them whole: listpacks, and before 7.0 ziplists and zipmaps.
//!
//! Each is one run of bytes with its length and count in front and an end mark behind. They come from files that may be
//! damaged: every step is checked, nothing is taken for granted, and an element is handed on only when it is whole.
//!
//! A listpack's elements are coded exactly as those of our lists ([`Element`]), so a run of a list is a listpack's body.

use crate::keyspace::list::{Element, Run};

const END: u8 = 0xFF;

/// A listpack's total length and count.
const LISTPACK_HEADER: usize = 6;

/// A count that says: count yourself.
const COUNT_UNKNOWN: usize = 0xFFFF;

/// What is wrong with one of them.
pub(super) type Broken = &'static str;

/// Appends a listpack of elements that `fill` writes with [`Element::append_to`].
pub(super) fn listpack(out: &mut Vec<u8>, count: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LISTPACK_HEADER]);
    fill(out);
    out.push(END);
    let total = u32::try_from(out.len() - start).expect("what becomes a listpack is shorter than 4 GiB");
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    out[start..start + 4].copy_from_slice(&total.to_le_bytes());
    out[start + 4..start + LISTPACK_HEADER].copy_from_slice(&count.to_le_bytes());
}

/// A listpack that has passed the first looks.
#[derive(Clone, Copy)]
pub(super) struct Listpack<'a> {
    body: &'a [u8],
    /// Elements; [`COUNT_UNKNOWN`]: not said.
    count: usize,
}

impl<'a> Listpack<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Listpack<'a>, Broken> {
        let Some((header, rest)) = bytes.split_first_chunk::<LISTPACK_HEADER>() else {
            return Err("a listpack shorter than its header");
        };
        let [a, b, c, d, low, high] = *header;
        if u32::from_le_bytes([a, b, c, d]) as usize != bytes.len() {
            return Err("a listpack of another length than it says");
        }
        let Some((&END, body)) = rest.split_last() else { return Err("a listpack without its end") };
        Ok(Listpack { body, count: usize::from(u16::from_le_bytes([low, high])) })
    }

    /// Calls `each` with every element.
    pub(super) fn for_each<E: From<Broken>>(
        self,
        mut each: impl FnMut(Element<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut rest, mut seen) = (self.body, 0usize);
        while !rest.is_empty() {
            let (element, size) = listpack_element(rest).ok_or("a listpack with a broken element")?;
            each(element)?;
            rest = &rest[size..];
            seen += 1;
        }
        if self.count != COUNT_UNKNOWN && self.count != seen {
            return Err("a listpack of another number of elements than it says".into());
        }
        Ok(())
    }

    /// The elements as a run of a list; None: one of them is coded otherwise than we would.
    pub(super) fn run(self) -> Result<Option<Run<'a>>, Broken> {
        let (mut rest, mut len, mut is_ours) = (self.body, 0, true);
        self.for_each(|element| {
            // Ours are coded in one way: by their shortest form.
            let size = element.size();
            is_ours = is_ours
                && matches!(listpack_element(rest), Some((_, read)) if read == size)
                && !matches!(element, Element::Text(text) if Element::new(text) != element);
            if is_ours {
                rest = &rest[size..];
            }
            len += 1;
            Ok::<(), Broken>(())
        })?;
        Ok(is_ours.then_some(Run { bytes: self.body, len }))
    }
}

/// The element at the beginning of a listpack's body and how many bytes it takes; None: there is no whole one.
fn listpack_element(bytes: &[u8]) -> Option<(Element<'_>, usize)> {
    let (&head, rest) = bytes.split_first()?;
    let (element, coded) = match head {
        0..=0x7F => (Element::Integer(i64::from(head)), 1),
        0x80..=0xBF => text(rest, 0, usize::from(head & 0x3F))?,
        0xC0..=0xDF => {
            let high = i16::from_be_bytes([head << 3, 0]);
            (Element::Integer(i64::from(high >> 3) | i64::from(*rest.first()?)), 2)
        }
        0xE0..=0xEF => text(rest, 1, usize::from(head & 0x0F) << 8 | usize::from(*rest.first()?))?,
        0xF0 => text(rest, 4, u32::from_le_bytes(*rest.first_chunk()?) as usize)?,
        0xF1 => integer(rest, 2)?,
        0xF2 => integer(rest, 3)?,
        0xF3 => integer(rest, 4)?,
        0xF4 => integer(rest, 8)?,
        0xF5.. => return None,
    };
    let back = back_len(coded);
    let digits = bytes.get(coded..coded + back)?;
    let first = digits[0] & 0x80 == 0;
    let said = digits.iter().fold(0, |said, digit| said << 7 | usize::from(digit & 0x7F));
    let others = digits[1..].iter().all(|digit| digit & 0x80 != 0);
    (first && others && said == coded).then_some((element, coded + back))
}

/// A text behind `skip` more bytes of its length, and how many bytes it takes with its first one.
fn text(rest: &[u8], skip: usize, len: usize) -> Option<(Element<'_>, usize)> {
    Some((Element::Text(rest.get(skip..)?.get(..len)?), 1 + skip + len))
}

fn integer(rest: &[u8], len: usize) -> Option<(Element<'_>, usize)> {
    let mut wide = [0; 8];
    wide[8 - len..].copy_from_slice(rest.get(..len)?);
    Some((Element::Integer(i64::from_le_bytes(wide) >> (64 - 8 * len)), 1 + len))
}

/// Bytes of the length behind an element.
fn back_len(coded: usize) -> usize {
    match coded {
        ..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// A ziplist's total length, where its last element begins, and its count.
const ZIPLIST_HEADER: usize = 10;

/// Calls `each` with every element of a ziplist.
pub(super) fn ziplist<'a, E: From<Broken>>(
    bytes: &'a [u8],
    mut each: impl FnMut(Element<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let header: &[u8; ZIPLIST_HEADER] = bytes.first_chunk().ok_or("a ziplist shorter than its header")?;
    let [a, b, c, d, e, f, g, h, low, high] = *header;
    if u32::from_le_bytes([a, b, c, d]) as usize != bytes.len() {
        return Err("a ziplist of another length than it says".into());
    }
    let (last, count) =
        (u32::from_le_bytes([e, f, g, h]) as usize, usize::from(u16::from_le_bytes([low, high])));
    let Some(end) = bytes.len().checked_sub(1).filter(|&end| end >= ZIPLIST_HEADER && bytes[end] == END)
    else {
        return Err("a ziplist without its end".into());
    };
    let (mut at, mut before, mut seen, mut last_seen) = (ZIPLIST_HEADER, 0, 0usize, ZIPLIST_HEADER);
    while at < end {
        let (element, size) =
            ziplist_element(&bytes[at..end], before).ok_or("a ziplist with a broken element")?;
        each(element)?;
        (last_seen, before) = (at, size);
        at += size;
        seen += 1;
    }
    if count != COUNT_UNKNOWN && count != seen {
        return Err("a ziplist of another number of elements than it says".into());
    }
    if last != last_seen {
        return Err("a ziplist whose last element is not where it says".into());
    }
    Ok(())
}

/// The element at the beginning, behind one of `before` bytes, and how many bytes it takes; None: there is no whole one.
fn ziplist_element(bytes: &[u8], before: usize) -> Option<(Element<'_>, usize)> {
    let (said, skip) = match *bytes.first()? {
        0xFE => (u32::from_le_bytes(*bytes[1..].first_chunk()?) as usize, 5),
        0xFF => return None,
        len => (usize::from(len), 1),
    };
    let (&head, rest) = bytes[skip..].split_first()?;
    let (element, coded) = match head {
        0..=0x3F => text(rest, 0, usize::from(head))?,
        0x40..=0x7F => text(rest, 1, usize::from(head & 0x3F) << 8 | usize::from(*rest.first()?))?,
        0x80 => text(rest, 4, u32::from_be_bytes(*rest.first_chunk()?) as usize)?,
        0xC0 => integer(rest, 2)?,
        0xD0 => integer(rest, 4)?,
        0xE0 => integer(rest, 8)?,
        0xF0 => integer(rest, 3)?,
        0xF1..=0xFD => (Element::Integer(i64::from(head & 0x0F) - 1), 1),
        0xFE => integer(rest, 1)?,
        _ => return None,
    };
    (said == before).then_some((element, skip + coded))
}

/// Calls `each` with every field of a zipmap and its value.
pub(super) fn zipmap<'a, E: From<Broken>>(
    bytes: &'a [u8],
    mut each: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    const BROKEN: Broken = "a zipmap that ends too early";
    let (&count, mut rest) = bytes.split_first().ok_or(BROKEN)?;
    let mut seen = 0usize;
    while *rest.first().ok_or(BROKEN)? != END {
        let (field, behind) = zipmap_string(rest, 0).ok_or(BROKEN)?;
        // A byte behind the value's length says how many unused ones follow the value.
        let (value, behind) = zipmap_string(behind, 1).ok_or(BROKEN)?;
        each(field, value)?;
        rest = behind;
        seen += 1;
    }
    if rest.len() != 1 {
        return Err("a zipmap with bytes behind its end".into());
    }
    if count < ZIPMAP_LONG && usize::from(count) != seen {
        return Err("a zipmap of another number of fields than it says".into());
    }
    Ok(())
}

/// A length of four more bytes, or a count that is not said.
const ZIPMAP_LONG: u8 = 254;

/// A string with its length in front, between them `skip` bytes of which the only one is a count of bytes to be skipped
/// behind it; and what follows.
fn zipmap_string(bytes: &[u8], skip: usize) -> Option<(&[u8], &[u8])> {
    let (len, rest) = match bytes.split_first()? {
        (&ZIPMAP_LONG, rest) => {
            let (len, rest) = rest.split_first_chunk()?;
            (u32::from_le_bytes(*len) as usize, rest)
        }
        (&END, _) => return None,
        (&len, rest) => (usize::from(len), rest),
    };
    let (unused, rest) = rest.split_at_checked(skip)?;
    let (string, rest) = rest.split_at_checked(len)?;
    let unused = unused.first().copied().unwrap_or(0);
    Some((string, rest.get(usize::from(unused)..)?))
}

/// Calls `each` with every integer of an intset, which must rise.
pub(super) fn integers<E: From<Broken>>(
    bytes: &[u8],
    mut each: impl FnMut(i64) -> Result<(), E>,
) -> Result<(), E> {
    let (header, body) = bytes.split_first_chunk::<8>().ok_or("an intset shorter than its header")?;
    let [a, b, c, d, e, f, g, h] = *header;
    let (width, count) =
        (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]) as usize);
    if ![2, 4, 8].contains(&width) {
        return Err("an intset of integers of an unknown width".into());
    }
    if count.checked_mul(width) != Some(body.len()) {
        return Err("an intset of another length than it says".into());
    }
    let mut before = None;
    for bytes in body.chunks_exact(width) {
        let mut wide = [0; 8];
        wide[8 - width..].copy_from_slice(bytes);
        let integer = i64::from_le_bytes(wide) >> (64 - 8 * width);
        if before.is_some_and(|before| before >= integer) {
            return Err("an intset whose integers do not rise".into());
        }
        before = Some(integer);
        each(integer)?;
    }
    Ok(())
}
