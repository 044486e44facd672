//! Frames: how records lie in the journal's file, so that a torn end is told from damage.
//!
//! A frame is twelve bytes of head (length of the payload, checksum of that length, checksum of the payload; little-endian) and the payload.
//! Every frame is synced before the next one is begun, so a crash can only have torn the last: a bad frame with no good one anywhere
//! behind it is a torn end, which was never acknowledged. A bad frame with a good one behind it is damage.

use crc_fast::{CrcAlgorithm, checksum};

pub(super) const HEAD_BYTES: usize = 12;

/// No record is near this; a length beyond it is no length.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// What stands at a place of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'b> {
    Payload(&'b [u8]),
    /// The file ends here.
    End,
    /// A frame that was begun and not finished, and whatever lies behind: nothing of use.
    Torn,
    /// A bad frame, and a good one behind it.
    Damaged,
}

/// None: larger than [`PAYLOAD_BYTES_MAX`].
pub(super) fn encode(payload: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_BYTES_MAX)?;
    let mut frame = Vec::with_capacity(HEAD_BYTES + payload.len());
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(&crc(&len.to_le_bytes()).to_le_bytes());
    frame.extend_from_slice(&crc(payload).to_le_bytes());
    frame.extend_from_slice(payload);
    Some(frame)
}

/// What lies at the beginning of `rest`, the end of the file.
pub(super) fn decode(rest: &[u8]) -> Found<'_> {
    if rest.is_empty() {
        return Found::End;
    }
    match payload(rest) {
        Some(payload) => Found::Payload(payload),
        None if (1..rest.len()).any(|at| payload(&rest[at..]).is_some()) => Found::Damaged,
        None => Found::Torn,
    }
}

fn payload(rest: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| rest.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (len, len_crc, payload_crc) = (word(0)?, word(4)?, word(8)?);
    if crc(&len.to_le_bytes()) != len_crc {
        return None;
    }
    let end = HEAD_BYTES.checked_add(usize::try_from(len).ok()?)?;
    let payload = rest.get(HEAD_BYTES..end)?;
    (crc(payload) == payload_crc).then_some(payload)
}

fn crc(bytes: &[u8]) -> u32 {
    u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, bytes)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_lacks_a_byte_is_torn_and_nothing_is_the_end() {
        let frame = encode(b"hello").unwrap();
        assert_eq!(decode(&frame), Found::Payload(b"hello"));
        assert_eq!(decode(&[]), Found::End);
        for len in 1..frame.len() {
            assert_eq!(decode(&frame[..len]), Found::Torn, "{len}");
        }
        assert_eq!(decode(&[0; 100]), Found::Torn, "a file that grew without its bytes");
    }

    #[test]
    fn a_changed_bit_is_found_anywhere_and_is_damage_with_a_good_frame_behind_it() {
        let (first, second) = (encode(b"first").unwrap(), encode(b"second").unwrap());
        for at in 0..first.len() {
            for bit in 0..8 {
                let mut bytes = first.clone();
                bytes[at] ^= 1 << bit;
                assert_eq!(decode(&bytes), Found::Torn, "{at}");
                bytes.extend_from_slice(&second);
                assert_eq!(decode(&bytes), Found::Damaged, "{at}");
            }
        }
    }
}
