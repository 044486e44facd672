//! SCAN cursors: slot * 2^39 + position, the same on every node and proxy.
//!
//! A position counts in the order of the keys' secret hash, so a scan survives resizes, moves and failovers. In front
//! of plain Redis servers the proxy packs the backend's index instead: index * 2^45 + the backend's own cursor.
//! Every cursor stays below 2^53, which JavaScript clients can hold.

use crate::slot::Slot;

/// Bits of a position within a slot.
pub const POSITION_BITS: u32 = 39;

/// Bits of a plain Redis backend's own cursor.
const BACKEND_BITS: u32 = 45;

/// Where a scan goes on. Zero is both the start and the end, as SCAN has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub slot: Slot,
    /// The least position still to be visited, below 2^39.
    pub position: u64,
}

impl Cursor {
    /// The start of a slot.
    pub fn start_of(slot: Slot) -> Cursor {
        Cursor { slot, position: 0 }
    }

    pub fn encode(self) -> u64 {
        (u64::from(self.slot.number()) << POSITION_BITS) | self.position
    }

    /// None when the number names no slot.
    pub fn decode(number: u64) -> Option<Cursor> {
        let slot = u16::try_from(number >> POSITION_BITS).ok().and_then(Slot::new)?;
        Some(Cursor { slot, position: number & ((1 << POSITION_BITS) - 1) })
    }
}

/// A cursor over plain Redis backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendCursor {
    pub backend: u8,
    /// The backend's own cursor.
    pub cursor: u64,
}

impl BackendCursor {
    /// None when the backend's cursor has 45 bits or more.
    pub fn encode(self) -> Option<u64> {
        (self.cursor >> BACKEND_BITS == 0).then_some((u64::from(self.backend) << BACKEND_BITS) | self.cursor)
    }

    /// None past 255 backends.
    pub fn decode(number: u64) -> Option<BackendCursor> {
        let backend = u8::try_from(number >> BACKEND_BITS).ok()?;
        Some(BackendCursor { backend, cursor: number & ((1 << BACKEND_BITS) - 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cursor_of_the_last_slot_is_below_2_to_53() {
        let slot = Slot::new(16383).unwrap();
        let last = Cursor { slot, position: (1 << POSITION_BITS) - 1 };
        assert!(last.encode() < 1 << 53);
        assert_eq!(Cursor::decode(last.encode()), Some(last));
        assert_eq!(Cursor::decode(1 << 53), None);
    }

    #[test]
    fn a_backend_cursor_reads_back() {
        let cursor = BackendCursor { backend: 200, cursor: 123_456_789 };
        assert_eq!(cursor.encode().and_then(BackendCursor::decode), Some(cursor));
        assert_eq!(BackendCursor { backend: 0, cursor: 1 << 45 }.encode(), None);
    }
}
