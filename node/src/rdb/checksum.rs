//! The checksum at the end of a snapshot and of a DUMP: a CRC-64 with the polynomial of Jones, reflected, from 0.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of bytes that come piece by piece.
#[derive(Clone)]
pub(crate) struct Checksum(Digest);

impl Checksum {
    pub(crate) fn new() -> Checksum {
        Checksum(Digest::new(CrcAlgorithm::Crc64Redis))
    }

    pub(crate) fn of(bytes: &[u8]) -> u64 {
        let mut checksum = Checksum::new();
        checksum.update(bytes);
        checksum.value()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_redis_however_the_bytes_come() {
        assert_eq!(Checksum::of(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
        for cut in [0, 1, 7, 8, 127, 128, 1000, 3000] {
            let mut checksum = Checksum::new();
            checksum.update(&bytes[..cut]);
            checksum.update(&bytes[cut..]);
            assert_eq!(checksum.value(), Checksum::of(&bytes), "{cut}");
        }
        assert_eq!(Checksum::of(b""), 0);
    }
}
