//! From a request's first words to its row.
//!
//! [`find`] stands at the front of every request: it reads a name's first and last eight letters, hashes them to a
//! place in an index made while compiling, and compares them there. It never allocates.

use slotway_resp::Request;

use crate::errors::{self, CommandError};
use crate::row::Command;
use crate::table::COMMANDS;

/// Places of the index: four times as many as there are names, so that a probe seldom takes a second step.
const PLACES: usize = 1024;

static INDEX: [Place; PLACES] = index();

/// A name as the index compares it. Up to 16 letters the key is the name; longer ones are compared once more.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    len: usize,
    head: u64,
    tail: u64,
}

#[derive(Clone, Copy)]
struct Place {
    key: Key,
    row: usize,
}

/// No name is that long.
const FREE: Place = Place { key: Key { len: usize::MAX, head: 0, tail: 0 }, row: 0 };
const KEY_LETTERS: usize = 16;

/// The row of a top-level command, any case. Finds rows that have no handler yet, too.
///
/// Inlined into [`resolve`], and that where requests are dispatched, although it has other callers: it is called for every
/// request, and a call of its own costs a third of the search.
#[inline(always)]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    let key = Key::of(name);
    let mut at = key.place();
    loop {
        let place = &INDEX[at];
        if place.key == key {
            let row = &COMMANDS[place.row];
            if name.len() <= KEY_LETTERS || row.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(row);
            }
        } else if place.key.len == FREE.key.len {
            return None;
        }
        at = (at + 1) % PLACES;
    }
}

/// The row of a request, the subcommand's where it has one; arity checked. A row without a handler is unknown.
///
/// The request has at least one word.
#[inline(always)]
pub fn resolve(request: Request<'_>) -> Result<&'static Command, CommandError> {
    match find(request.word(0)) {
        Some(row) if row.is_here() && !row.is_container() => checked(row, request),
        Some(row) if row.is_here() => resolve_inside(row, request),
        _ => Err(errors::unknown_command(request)),
    }
}

/// As Redis does: a container alone is judged by its own arity (COMMAND may stand alone, CONFIG may not).
fn resolve_inside(
    container: &'static Command,
    request: Request<'_>,
) -> Result<&'static Command, CommandError> {
    if request.len() == 1 {
        return checked(container, request);
    }
    match container.subcommand(request.word(1)) {
        Some(row) if row.is_here() => checked(row, request),
        _ => Err(errors::unknown_subcommand(request)),
    }
}

/// As [`resolve`], but without the question whether there is a handler and without checking the arity: what COMMAND
/// GETKEYS and COMMAND INFO look up.
pub fn find_in(request: Request<'_>) -> Option<&'static Command> {
    let row = find(request.word(0))?;
    if row.is_container() && request.len() > 1 { row.subcommand(request.word(1)) } else { Some(row) }
}

/// A row by its full name, `client|setname` included, any case.
pub fn find_full(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|&byte| byte == b'|') {
        Some(bar) => find(&name[..bar])?.subcommand(&name[bar + 1..]),
        None => find(name),
    }
}

#[inline]
fn checked(row: &'static Command, request: Request<'_>) -> Result<&'static Command, CommandError> {
    if row.accepts(request.len()) { Ok(row) } else { Err(errors::wrong_arity(row)) }
}

impl Key {
    /// The first and the last eight letters in lower case; of shorter names the halves overlap.
    #[inline]
    const fn of(name: &[u8]) -> Key {
        let (head, tail) = if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>())
        {
            (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
        } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64)
        } else if let [first, .., last] = name {
            // Two or three letters: the middle one of three, or the second of two.
            (*first as u64 | (name[name.len() / 2] as u64) << 8, *last as u64)
        } else {
            // No command has a name of one letter.
            (0, 0)
        };
        Key { len: name.len(), head: lower_case(head), tail: lower_case(tail) }
    }

    /// The upper bits of a product with an odd number depend on all bits of the other factor. 1024 places: 10 bits.
    #[inline]
    const fn place(self) -> usize {
        let mixed = (self.head ^ self.tail.rotate_left(29)).wrapping_add(self.len as u64);
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize
    }
}

/// Eight bytes at once: `A` to `Z` become lower case, everything else stays.
#[inline]
const fn lower_case(bytes: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = EACH * 0x80;
    let low = bytes & !TOP;
    // A byte's top bit is set when its lower seven bits are at least `A`, and when they are past `Z`.
    let from_a = low + EACH * (0x80 - b'A' as u64);
    let past_z = low + EACH * (0x7F - b'Z' as u64);
    let upper = from_a & !past_z & !bytes & TOP;
    // The top bit moved down by two is the bit that tells `a` from `A`.
    bytes | (upper >> 2)
}

const fn index() -> [Place; PLACES] {
    let mut places = [FREE; PLACES];
    let mut row = 0;
    while row < COMMANDS.len() {
        let key = Key::of(COMMANDS[row].name.as_bytes());
        let mut at = key.place();
        while places[at].key.len != FREE.key.len {
            at = (at + 1) % PLACES;
        }
        places[at] = Place { key, row };
        row += 1 + COMMANDS[row].subcommand_count;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_at_once_become_lower_case_as_one_by_one() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut bytes = *b"aZ@[\x80\xff_z";
                bytes[at] = byte;
                let together = lower_case(u64::from_le_bytes(bytes)).to_le_bytes();
                assert_eq!(together, bytes.map(|byte| byte.to_ascii_lowercase()));
            }
        }
    }

    #[test]
    fn a_search_takes_few_steps() {
        let steps = |name: &str| {
            let key = Key::of(name.as_bytes());
            (0..).find(|step| INDEX[(key.place() + step) % PLACES].key == key).unwrap()
        };
        let all: Vec<usize> = crate::table::top_level().map(|row| steps(row.name)).collect();
        assert!(
            all.iter().sum::<usize>() < all.len() / 2,
            "{} steps for {} names",
            all.iter().sum::<usize>(),
            all.len()
        );
        let worst = all.iter().max().unwrap();
        assert!(*worst <= 6, "{worst}");
    }
}
