//! LZF, the compression of strings in snapshots: literal bytes, and copies of what stood up to 8 KiB before.
//!
//! ```text
//! | 000nnnnn                   | n + 1 literal bytes                           |
//! | nnnooooo | oooooooo        | n + 2 bytes from o + 1 before, n from 1 to 6  |
//! | 111ooooo | n | oooooooo    | n + 9 bytes from o + 1 before                 |
//! ```
//!
//! A copy may reach into the bytes that it makes itself. Both directions are here because snapshots are made of millions
//! of short strings: nothing is allocated or cleared for each.

/// Bits of the table's index.
const TABLE_BITS: u32 = 13;

const LITERALS_MAX: usize = 32;
const DISTANCE_MAX: usize = 1 << 13;
const COPY_MIN: usize = 3;
const COPY_MAX: usize = 264;

/// The longest copy whose length stands in the first byte.
const SHORT_COPY_MAX: usize = 8;

/// A string is worth compressing if that saves so many bytes.
const SAVED_MIN: usize = 4;

/// Positions in all strings together stay below this; then the table is cleared.
const POSITION_MAX: u32 = 1 << 31;

/// Compresses strings, one after the other.
pub(super) struct Compressor {
    /// By the hash of three bytes: where they stood last, counted through all strings.
    table: Box<[u32]>,
    /// Position of the string's first byte. What stands before it is another string's.
    base: u32,
}

impl Compressor {
    pub(super) fn new() -> Compressor {
        Compressor { table: vec![0; 1 << TABLE_BITS].into(), base: 1 }
    }

    /// Appends a string compressed; false, and nothing is appended: it does not become shorter. Only of strings shorter
    /// than 2 GiB.
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(len) = u32::try_from(input.len()).ok().filter(|&len| len < POSITION_MAX) else {
            return false;
        };
        if self.base >= POSITION_MAX - len {
            self.table.fill(0);
            self.base = 1;
        }
        let start = out.len();
        let Some(end_max) = input.len().checked_sub(SAVED_MIN).filter(|&max| max > 0).map(|max| start + max)
        else {
            return false;
        };
        let mut literals = 0;
        let mut at = 0;
        while at + COPY_MIN <= input.len() && out.len() + at - literals <= end_max {
            match self.find(input, at) {
                Some((distance, copied)) => {
                    write_literals(out, &input[literals..at]);
                    write_copy(out, distance, copied);
                    // What is copied is worth finding again at its end.
                    let copy_end = at + copied;
                    at = copy_end.saturating_sub(2).max(at + 1);
                    while at < copy_end && at + COPY_MIN <= input.len() {
                        self.note(input, at);
                        at += 1;
                    }
                    (at, literals) = (copy_end, copy_end);
                }
                None => at += 1,
            }
        }
        write_literals(out, &input[literals..]);
        self.base += len;
        let is_shorter = out.len() <= end_max;
        if !is_shorter {
            out.truncate(start);
        }
        is_shorter
    }

    /// A copy that could stand for the bytes from `at` on: from how far before, and how long.
    #[inline]
    fn find(&mut self, input: &[u8], at: usize) -> Option<(usize, usize)> {
        let before = self.note(input, at).checked_sub(self.base)? as usize;
        let distance = at - before;
        if distance > DISTANCE_MAX || input[before..before + COPY_MIN] != input[at..at + COPY_MIN] {
            return None;
        }
        let (from, to) = (&input[before + COPY_MIN..], &input[at + COPY_MIN..]);
        let more =
            from.iter().zip(to).take(COPY_MAX - COPY_MIN).take_while(|(one, other)| one == other).count();
        Some((distance, COPY_MIN + more))
    }

    /// Notes the three bytes at `at`; returns where such stood before, counted through all strings.
    #[inline]
    fn note(&mut self, input: &[u8], at: usize) -> u32 {
        let three = u32::from_le_bytes([input[at], input[at + 1], input[at + 2], 0]);
        let index = (three.wrapping_mul(0x9E37_79B1) >> (u32::BITS - TABLE_BITS)) as usize;
        let position = self.base + u32::try_from(at).expect("a string's length was looked at");
        std::mem::replace(&mut self.table[index], position)
    }
}

fn write_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push(low_byte(run.len() - 1));
        out.extend_from_slice(run);
    }
}

fn write_copy(out: &mut Vec<u8>, distance: usize, len: usize) {
    let offset = distance - 1;
    let high = low_byte(offset >> 8);
    if len <= SHORT_COPY_MAX {
        out.push(low_byte(len - 2) << 5 | high);
    } else {
        out.extend_from_slice(&[7 << 5 | high, low_byte(len - SHORT_COPY_MAX - 1)]);
    }
    out.push(low_byte(offset & 0xFF));
}

fn low_byte(value: usize) -> u8 {
    u8::try_from(value).expect("eight bits")
}

/// Appends to `out` what `input` stands for, which must be exactly `len` bytes; None: it is not. What is announced costs no
/// memory before it is there.
pub(super) fn decompress(mut input: &[u8], len: usize, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    out.reserve(len.min(input.len().saturating_mul(4)));
    while let Some((&first, rest)) = input.split_first() {
        let count = usize::from(first >> 5);
        if count == 0 {
            let (literals, rest) = rest.split_at_checked(usize::from(first) + 1)?;
            if out.len() - start + literals.len() > len {
                return None;
            }
            out.extend_from_slice(literals);
            input = rest;
            continue;
        }
        let (count, rest) = match count {
            7 => rest.split_first().map(|(&more, rest)| (usize::from(more) + 9, rest))?,
            count => (count + 2, rest),
        };
        let (&low, rest) = rest.split_first()?;
        let distance = (usize::from(first & 0x1F) << 8 | usize::from(low)) + 1;
        let made = out.len() - start;
        if distance > made || made + count > len {
            return None;
        }
        copy(out, distance, count);
        input = rest;
    }
    (out.len() - start == len).then_some(())
}

/// Appends bytes that begin `distance` before the end, and may reach into themselves.
fn copy(out: &mut Vec<u8>, distance: usize, count: usize) {
    let from = out.len() - distance;
    if distance >= count {
        out.extend_from_within(from..from + count);
        return;
    }
    for nth in 0..count {
        out.push(out[from + nth]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(compressor: &mut Compressor, input: &[u8]) -> bool {
        let mut packed = b"before".to_vec();
        if !compressor.compress(input, &mut packed) {
            assert_eq!(packed, b"before", "what does not become shorter leaves nothing behind");
            return false;
        }
        let packed = &packed[b"before".len()..];
        assert!(packed.len() + SAVED_MIN <= input.len());
        let mut back = b"x".to_vec();
        assert!(decompress(packed, input.len(), &mut back).is_some());
        assert_eq!(&back[1..], input);
        for wrong in [input.len() - 1, input.len() + 1, 0] {
            assert!(decompress(packed, wrong, &mut Vec::new()).is_none(), "{wrong} bytes");
        }
        assert!(decompress(&packed[..packed.len() - 1], input.len(), &mut Vec::new()).is_none());
        true
    }

    #[test]
    fn repeated_bytes_become_short_and_read_back() {
        let mut compressor = Compressor::new();
        for len in [10, 21, 264, 265, 266, 300, 8191, 8192, 8193, 100_000] {
            assert!(check(&mut compressor, &vec![b'a'; len]), "{len}");
            let text = "a line of text, ".repeat(len / 16 + 2);
            assert!(check(&mut compressor, text.as_bytes()), "{len}");
        }
        let numbers: Vec<u8> = (0..5000u32).flat_map(u32::to_le_bytes).collect();
        assert!(check(&mut compressor, &numbers));
    }

    #[test]
    fn what_has_no_pattern_is_left_alone() {
        let mut compressor = Compressor::new();
        for len in 0..4 {
            assert!(!check(&mut compressor, &vec![b'a'; len]));
        }
        let mut random = 7u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random.to_be_bytes()[0]
        })
        .take(10_000)
        .collect();
        assert!(!check(&mut compressor, &noise));
    }

    #[test]
    fn a_string_knows_nothing_of_the_one_before_it_also_when_positions_begin_anew() {
        let mut compressor = Compressor::new();
        let text = b"0123456789abcdefghijklmnopqrstuvwxyz";
        assert!(!check(&mut compressor, text) && !check(&mut compressor, text));
        compressor.base = POSITION_MAX - 50;
        assert!(!check(&mut compressor, text) && !check(&mut compressor, text));
        assert!(compressor.base < 100);
    }

    #[test]
    fn a_copy_from_before_the_beginning_is_refused() {
        for packed in [&[0x20, 0][..], &[0, b'a', 0x20, 1], &[0, b'a', 0xE0, 1], &[0xE0], &[0x20], &[31, 1]] {
            assert!(decompress(packed, 4, &mut Vec::new()).is_none(), "{packed:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_compressed_reads_back(words in proptest::collection::vec("[a-d]{1,9}", 0..400)) {
            check(&mut Compressor::new(), words.concat().as_bytes());
        }

        #[test]
        fn any_bytes_are_decompressed_or_refused(
            packed in proptest::collection::vec(any::<u8>(), 0..200),
            len in 0usize..3000,
        ) {
            let mut out = Vec::new();
            let done = decompress(&packed, len, &mut out);
            prop_assert!(out.len() <= len && (done.is_none() || out.len() == len));
        }
    }
}
