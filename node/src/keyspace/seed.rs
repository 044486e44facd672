//! The keyed hash of keys: SipHash-1-3 with a secret seed, so that nobody can choose keys that collide, and the same
//! on every node of a cluster, so that a SCAN's position means the same everywhere.

use siphasher::sip::SipHasher13;
use slotway_cluster::cursor::POSITION_BITS;

#[derive(Clone, Copy)]
pub(crate) struct Seed(SipHasher13);

impl Seed {
    pub(crate) fn new(seed: [u8; 16]) -> Seed {
        Seed(SipHasher13::new_with_key(&seed))
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.0.hash(key)
    }
}

/// Bits of a hash below a scan's position.
const BELOW_POSITION: u32 = u64::BITS - POSITION_BITS;

/// A scan's position of a hash: its top 39 bits.
pub(super) fn position_of(hash: u64) -> u64 {
    hash >> BELOW_POSITION
}

/// The first hash at a position.
pub(super) fn hash_at(position: u64) -> u64 {
    position << BELOW_POSITION
}

/// Whether a position begins at this hash.
pub(super) fn starts_position(hash: u64) -> bool {
    hash_at(position_of(hash)) == hash
}

/// A small generator for choices that need to be fair, not secret: xorshift64*.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).expect("less than the bound")
    }

    /// An index below `len`, which must not be 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let below = self.below(u64::try_from(len).expect("a length fits 64 bits"));
        usize::try_from(below).expect("less than a length")
    }
}
