//! From a request's first words to its row.
//!
//! [`find`] stands at the front of every request: it reads a name's first and last eight letters, hashes them to a
//! place in an index made while compiling, and compares once. It never allocates.

use slotway_resp::Request;

use crate::errors::{self, CommandError};
use crate::id::Id;
use crate::row::Command;
use crate::table::{COMMANDS, ROWS};

/// Places of the index: four times as many as there are names, so that a probe seldom takes a second step.
const PLACES: usize = 1024;
const FREE: u16 = u16::MAX;

static INDEX: [u16; PLACES] = index();

/// The row of a top-level command, any case. Finds rows that have no handler yet, too.
#[inline]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    let mut place = place_of(name);
    loop {
        let at = INDEX[place];
        if at == FREE {
            return None;
        }
        let row = &COMMANDS[usize::from(at)];
        if row.name.len() == name.len() && row.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(row);
        }
        place = (place + 1) % PLACES;
    }
}

/// The row of a request, the subcommand's where it has one; arity checked. A row without a handler is unknown.
///
/// The request has at least one word.
#[inline]
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

/// Setting bit 5 makes letters lower case. It confuses some signs as well, which costs a comparison, never an answer.
const FOLD: u64 = 0x2020_2020_2020_2020;

#[inline]
const fn place_of(name: &[u8]) -> usize {
    let (head, tail) = if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
    } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64)
    } else if let [first, .., last] = name {
        // Two or three letters; of three the middle one is the last but one.
        (*first as u64 | (name[name.len() / 2] as u64) << 8, *last as u64)
    } else {
        return 0;
    };
    let mixed = ((head | FOLD) ^ (tail | FOLD).rotate_left(29)).wrapping_add(name.len() as u64);
    // The upper bits of a product with an odd number depend on all bits of the other factor. 1024 places: 10 bits.
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize
}

const fn index() -> [u16; PLACES] {
    let mut places = [FREE; PLACES];
    let mut at = 0;
    while at < Id::COUNT {
        let row = &ROWS[at];
        let mut place = place_of(row.name.as_bytes());
        while places[place] != FREE {
            place = (place + 1) % PLACES;
        }
        places[place] = row.id.number();
        at += 1 + row.subcommand_count;
    }
    places
}
