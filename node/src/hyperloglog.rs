//! HyperLogLog: about how many different elements there have been, in at most 12 KiB, to the byte as Redis keeps it.
//!
//! An element's hash chooses one of 16384 registers; the register remembers the longest run of zeros that any hash of
//! its own ended with. From how the registers are spread follows the number of elements ([`estimate`]), with a standard
//! error of 0.81 %. A HyperLogLog is a string that clients may read, keep and set again:
//!
//! ```text
//! | "HYLL" | encoding 1 | unused 3 | cached count 8, little endian | registers |
//! ```
//!
//! The encoding is 0 for six bits per register ([`dense`]) and 1 for runs of equal registers ([`sparse`]), as which every
//! one begins. The cached count's top bit says that it is out of date. Since the string may be anything at all, nothing
//! here trusts it: what does not add up is [`Corrupt`].
//!
//! Sources: Flajolet and others, "HyperLogLog"; Ertl, "New cardinality estimation algorithms for HyperLogLog sketches"; and
//! what a redis-server 7.0 stores.

mod dense;
mod estimate;
mod sparse;

mod self_test;

use std::borrow::Cow;

pub(crate) use self_test::self_test;
pub(crate) use sparse::describe;

use estimate::Histogram;

/// Bits of the hash that choose the register.
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;

/// Bits of the hash in which zeros are counted.
const COUNTED_BITS: u32 = u64::BITS - REGISTER_BITS;

const HEADER: usize = 16;
const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
const CACHE_AT: usize = 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// In the last byte of the cached count.
const OUT_OF_DATE: u8 = 1 << 7;

/// The string calls itself a HyperLogLog, but its registers are not 16384.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Dense,
    Sparse,
}

/// What an element says: a register is to be at least this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Observation {
    register: usize,
    value: u8,
}

impl Observation {
    pub(crate) fn of(element: &[u8]) -> Observation {
        let hash = murmur_64a(element, 0xADC8_3B19);
        let register = hash & ((1 << REGISTER_BITS) - 1);
        let counted = hash >> REGISTER_BITS | 1 << COUNTED_BITS;
        Observation {
            register: usize::try_from(register).expect("14 bits"),
            value: u8::try_from(counted.trailing_zeros() + 1).expect("at most 51"),
        }
    }
}

/// One without elements.
pub(crate) fn empty() -> Vec<u8> {
    let mut text = vec![0; HEADER];
    text[..MAGIC.len()].copy_from_slice(MAGIC);
    text[ENCODING_AT] = SPARSE;
    sparse::push_zeros(&mut text, REGISTERS);
    text
}

/// How a string keeps its registers; None: it is no HyperLogLog.
pub(crate) fn encoding(text: &[u8]) -> Option<Encoding> {
    if text.len() < HEADER || !text.starts_with(MAGIC) {
        return None;
    }
    match text[ENCODING_AT] {
        DENSE => (text.len() == HEADER + dense::BYTES).then_some(Encoding::Dense),
        SPARSE => Some(Encoding::Sparse),
        _ => None,
    }
}

/// The count, if it is known without counting.
pub(crate) fn cached(text: &[u8]) -> Option<u64> {
    let bytes: [u8; 8] = text[CACHE_AT..HEADER].try_into().expect("eight bytes");
    (bytes[7] & OUT_OF_DATE == 0).then(|| u64::from_le_bytes(bytes))
}

pub(crate) fn cache(text: &mut [u8], count: u64) {
    text[CACHE_AT..HEADER].copy_from_slice(&count.to_le_bytes());
}

pub(crate) fn forget_cached(text: &mut [u8]) {
    text[HEADER - 1] |= OUT_OF_DATE;
}

/// The estimate.
pub(crate) fn count(text: &[u8]) -> Result<u64, Corrupt> {
    let mut histogram = Histogram::default();
    match text[ENCODING_AT] {
        DENSE => dense::each(&text[HEADER..], |value| histogram.add(value, 1)),
        _ => sparse::add_to(&mut histogram, &text[HEADER..])?,
    }
    Ok(histogram.estimate())
}

/// Takes note of an element in a dense one; true: a register has changed.
pub(crate) fn note_dense(text: &mut [u8], seen: Observation) -> bool {
    dense::raise(&mut text[HEADER..], seen.register, seen.value)
}

/// Takes note of an element; true: a register has changed. The text is copied when it must be. It becomes dense when it
/// would be longer than `sparse_bytes_max`, or the value is too large for a run.
pub(crate) fn note(
    text: &mut Cow<'_, [u8]>,
    seen: Observation,
    sparse_bytes_max: usize,
) -> Result<bool, Corrupt> {
    if text[ENCODING_AT] == DENSE {
        return Ok(note_dense(text.to_mut(), seen));
    }
    match sparse::raise(text, seen.register, seen.value, sparse_bytes_max)? {
        sparse::Raised::No => Ok(false),
        sparse::Raised::Yes => Ok(true),
        sparse::Raised::MustBeDense => {
            *text = Cow::Owned(to_dense(text)?);
            Ok(note_dense(text.to_mut(), seen))
        }
    }
}

/// The same as a dense one. The header stays, with the cached count.
pub(crate) fn to_dense(text: &[u8]) -> Result<Vec<u8>, Corrupt> {
    let mut dense = vec![0; HEADER + dense::BYTES];
    dense[..HEADER].copy_from_slice(&text[..HEADER]);
    dense[ENCODING_AT] = DENSE;
    let registers = &mut dense[HEADER..];
    sparse::each_run(&text[HEADER..], |first, len, value| {
        for register in first..first + len {
            dense::raise(registers, register, value);
        }
    })?;
    Ok(dense)
}

/// The values of all registers of a dense one.
pub(crate) fn dense_values(text: &[u8], each: impl FnMut(u8)) {
    dense::each(&text[HEADER..], each);
}

/// The union of several: each register the largest of theirs.
pub(crate) struct Union(Box<[u8]>);

impl Default for Union {
    fn default() -> Self {
        Union(vec![0; REGISTERS].into_boxed_slice())
    }
}

impl Union {
    pub(crate) fn merge(&mut self, text: &[u8]) -> Result<(), Corrupt> {
        match text[ENCODING_AT] {
            DENSE => dense::merge_into(&mut self.0, &text[HEADER..]),
            _ => sparse::each_run(&text[HEADER..], |first, len, value| {
                self.0[first..first + len].iter_mut().for_each(|register| *register = value.max(*register));
            })?,
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> u64 {
        let mut histogram = Histogram::default();
        self.0.iter().for_each(|&value| histogram.add(value, 1));
        histogram.estimate()
    }

    /// What was seen to fill it, in the order of registers.
    pub(crate) fn observations(&self) -> impl Iterator<Item = Observation> {
        let registers = self.0.iter().enumerate().filter(|(_, value)| **value > 0);
        registers.map(|(register, &value)| Observation { register, value })
    }
}

/// MurmurHash2 of 64 bits, as its author published it for little-endian machines.
fn murmur_64a(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xC6A4_A793_5BD1_E995;
    const R: u32 = 47;
    let len = u64::try_from(bytes.len()).expect("a length fits 64 bits");
    let mut hash = seed ^ len.wrapping_mul(M);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> R;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut word = [0; 8];
        word[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> R).wrapping_mul(M);
    hash ^ hash >> R
}

#[cfg(test)]
mod tests;
