//! Registers as runs of equal ones, while there are few runs.
//!
//! ```text
//! 00nnnnnn           n + 1 registers that are 0
//! 01nnnnnn nnnnnnnn  n + 1 registers that are 0
//! 1vvvvvnn           n + 1 registers that are v + 1
//! ```
//!
//! To raise a register its run is cut into up to three, and small runs of equal values nearby are joined. Which runs come of
//! it is a matter of exact steps: the bytes are to be those of Redis. A run of two bytes at the very end may lack its
//! second byte, which then is 0, the byte behind every string of Redis.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::estimate::Histogram;
use super::{Corrupt, HEADER, REGISTERS};

/// The longest run of zeros in one byte.
const SHORT_ZEROS_MAX: usize = 64;

/// The largest value of a run.
const VALUE_MAX: u8 = 32;

/// The longest run of a value that is not 0.
const VALUES_MAX: usize = 4;

/// Runs near a change that are looked at to be joined.
const JOINED_MAX: usize = 5;

/// Most bytes that one run becomes.
const CUT_BYTES_MAX: usize = 5;

/// What became of a register that was to be raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raised {
    /// It was as large before.
    No,
    Yes,
    /// Nothing was done: it would not fit.
    MustBeDense,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    value: u8,
    /// Registers.
    len: usize,
    /// Bytes that it takes: one of two may lie behind the end.
    bytes: usize,
}

impl Run {
    #[inline]
    fn at(runs: &[u8], at: usize) -> Run {
        let first = runs[at];
        let low = usize::from(first & 0x3F);
        match first >> 6 {
            0 => Run { value: 0, len: low + 1, bytes: 1 },
            1 => {
                let second = usize::from(runs.get(at + 1).copied().unwrap_or(0));
                Run { value: 0, len: (low << 8 | second) + 1, bytes: 2 }
            }
            _ => Run { value: (first >> 2 & 0x1F) + 1, len: (low & 3) + 1, bytes: 1 },
        }
    }
}

/// Where the run of a register was found.
struct Found {
    run: Run,
    at: usize,
    /// The run before it, or itself if it is the first.
    before: usize,
    /// Its first register.
    first: usize,
}

/// Where many runs are walked, most are of one byte: eight of them are passed at once. The others are walked one by one.
fn find(runs: &[u8], register: usize) -> Result<Found, Corrupt> {
    let (mut at, mut before, mut first) = (0, 0, 0);
    loop {
        while let Some(eight) = runs.get(at..).and_then(|rest| rest.first_chunk()) {
            match short_runs(u64::from_le_bytes(*eight)).map(|len| first + len) {
                Some(end) if end <= register => (at, before, first) = (at + 8, at + 7, end),
                _ => break,
            }
        }
        // The register is in the next eight, or they are not eight runs: up to a run of two bytes.
        loop {
            if at >= runs.len() {
                return Err(Corrupt);
            }
            let run = Run::at(runs, at);
            if register < first + run.len {
                return Ok(Found { run, at, before, first });
            }
            (at, before, first) = (at + run.bytes, at, first + run.len);
            if run.bytes == 2 {
                break;
            }
        }
    }
}

/// The registers of eight runs of one byte; None: one of them is of two.
#[inline]
fn short_runs(runs: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const PAIRS: u64 = 0x0001_0001_0001_0001;
    let has_value = runs >> 7 & ONES;
    let two_bytes = runs >> 6 & ONES & !has_value;
    if two_bytes != 0 {
        return None;
    }
    // Two bits of length beside a value, six without.
    let lens = runs & (ONES * 0x3F) & !(has_value * 0x3C);
    let (low, high) = (lens & (PAIRS * 0xFF), lens >> 8 & (PAIRS * 0xFF));
    let sum = (low + high).wrapping_mul(PAIRS) >> 48;
    // Each is one more than its bits say.
    Some(usize::try_from(sum).expect("16 bits") + 8)
}

/// Makes a register at least `value`.
pub(super) fn raise(
    text: &mut Cow<'_, [u8]>,
    register: usize,
    value: u8,
    bytes_max: usize,
) -> Result<Raised, Corrupt> {
    if value > VALUE_MAX {
        return Ok(Raised::MustBeDense);
    }
    let Found { run, at, before, first } = find(&text[HEADER..], register)?;
    if run.value >= value {
        return Ok(Raised::No);
    }
    let cut = Cut::new(run, register - first, value);
    let len = text.len() - run.bytes + cut.len;
    if cut.len > run.bytes && len > bytes_max {
        return Ok(Raised::MustBeDense);
    }
    let text = text.to_mut();
    let start = HEADER + at;
    text.splice(start..text.len().min(start + run.bytes), cut.bytes[..cut.len].iter().copied());
    text.truncate(len);
    join(text, HEADER + before);
    Ok(Raised::Yes)
}

/// The runs that one run becomes when a register of it is raised.
struct Cut {
    bytes: [u8; CUT_BYTES_MAX],
    len: usize,
}

impl Cut {
    fn new(run: Run, before: usize, value: u8) -> Cut {
        let mut cut = Cut { bytes: [0; CUT_BYTES_MAX], len: 0 };
        cut.push(run.value, before);
        cut.push(value, 1);
        cut.push(run.value, run.len - before - 1);
        cut
    }

    fn push(&mut self, value: u8, len: usize) {
        if len == 0 {
            return;
        }
        let (bytes, count) = if value > 0 { ([values(value, len), 0], 1) } else { zeros(len) };
        self.bytes[self.len..self.len + count].copy_from_slice(&bytes[..count]);
        self.len += count;
    }
}

/// A run of zeros, and how many bytes of the two it takes.
fn zeros(len: usize) -> ([u8; 2], usize) {
    let len = u16::try_from(len - 1).expect("a run has at most 16384 registers");
    let [high, low] = len.to_be_bytes();
    if usize::from(len) < SHORT_ZEROS_MAX { ([low, 0], 1) } else { ([high | 0x40, low], 2) }
}

fn values(value: u8, len: usize) -> u8 {
    let len = u8::try_from(len - 1).expect("a run of values has at most four registers");
    0x80 | (value - 1) << 2 | len
}

/// Appends zeros to a text, in one run.
pub(super) fn push_zeros(text: &mut Vec<u8>, len: usize) {
    let (bytes, count) = zeros(len);
    text.extend_from_slice(&bytes[..count]);
}

/// Joins runs of one value, from a place in the text on.
fn join(text: &mut Vec<u8>, mut at: usize) {
    let mut looks = JOINED_MAX;
    while at < text.len() && looks > 0 {
        looks -= 1;
        let run = Run::at(text, at);
        if run.value > 0 && at + 1 < text.len() {
            let next = Run::at(text, at + 1);
            if next.value == run.value && next.len + run.len <= VALUES_MAX {
                text[at] = values(run.value, run.len + next.len);
                text.remove(at + 1);
                continue;
            }
        }
        at += run.bytes;
    }
}

/// Calls `each` with every run that is not 0: its first register, its length, its value.
pub(super) fn each_run(runs: &[u8], mut each: impl FnMut(usize, usize, u8)) -> Result<(), Corrupt> {
    let (mut at, mut first) = (0, 0);
    while at < runs.len() {
        let run = Run::at(runs, at);
        if first + run.len > REGISTERS {
            return Err(Corrupt);
        }
        if run.value > 0 {
            each(first, run.len, run.value);
        }
        at += run.bytes;
        first += run.len;
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

pub(super) fn add_to(histogram: &mut Histogram, runs: &[u8]) -> Result<(), Corrupt> {
    let mut zeros = REGISTERS;
    each_run(runs, |_, len, value| {
        zeros -= len;
        histogram.add(value, u32::try_from(len).expect("at most four"));
    })?;
    histogram.add(0, u32::try_from(zeros).expect("14 bits"));
    Ok(())
}

/// The runs of a sparse HyperLogLog, as PFDEBUG DECODE shows them.
pub(crate) fn describe(text: &[u8]) -> String {
    let runs = &text[HEADER..];
    let (mut at, mut description) = (0, String::new());
    while at < runs.len() {
        let run = Run::at(runs, at);
        if at > 0 {
            description.push(' ');
        }
        let Run { value, len, bytes } = run;
        let _ = match (value, bytes) {
            (0, 1) => write!(description, "z:{len}"),
            (0, _) => write!(description, "Z:{len}"),
            (value, _) => write!(description, "v:{value},{len}"),
        };
        at += bytes;
    }
    description
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The run of a register, walked to one by one: where it and the run before it begin, and its first register.
    fn walked_to(runs: &[u8], register: usize) -> Option<(usize, usize, usize)> {
        let (mut at, mut before, mut first) = (0, 0, 0);
        while at < runs.len() {
            let run = Run::at(runs, at);
            if register < first + run.len {
                return Some((at, before, first));
            }
            (at, before, first) = (at + run.bytes, at, first + run.len);
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_register_is_found_in_the_run_that_covers_it(
            mut runs in proptest::collection::vec(any::<u8>(), 0..80),
            short in any::<bool>(),
        ) {
            if short {
                // Of one byte, all of them.
                runs.iter_mut().filter(|byte| **byte >> 6 == 1).for_each(|byte| *byte |= 0x80);
            }
            let covered: usize = 8 * 64 + runs.len() * 64;
            for register in 0..covered {
                let found = find(&runs, register).ok().map(|found| (found.at, found.before, found.first));
                prop_assert_eq!(found, walked_to(&runs, register));
            }
        }
    }
}
