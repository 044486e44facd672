//! A small list as the value of its entry: one allocation with key and header.
//!
//! ```text
//! | elements, 2 bytes | where they begin, 2 bytes | room | elements |
//! ```
//!
//! Numbers are little endian. Room at the front costs no memory: it is what the allocation's size class leaves, or what
//! pops have left there.

use super::run::{Buffer, Run};
use crate::keyspace::entry::Entry;

const HEADER: usize = 4;

/// The bytes of a list without elements.
pub(super) const EMPTY: [u8; HEADER] = [0, 0, 4, 0];

/// No run is longer, whatever the settings say: an element takes two bytes or more, and two bytes count them.
pub(super) const RUN_BYTES_MAX: usize = 2 * 65_535;

/// So much room in front is never given back: moving the run would save nothing.
const ROOM_MIN: usize = 16;

/// An entry whose form is `PackedList`.
pub(super) struct Packed<'e>(pub(super) &'e mut Entry);

fn number(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn two_bytes(number: usize) -> [u8; 2] {
    u16::try_from(number).expect("a packed list keeps to what two bytes can say").to_le_bytes()
}

/// The run in an entry's bytes.
pub(super) fn run(bytes: &[u8]) -> Run<'_> {
    Run { bytes: &bytes[number(bytes, 2)..], len: number(bytes, 0) }
}

/// The value of an entry that holds this run.
pub(super) fn value_of(run: Run<'_>) -> Vec<u8> {
    [&two_bytes(run.len), &two_bytes(HEADER), run.bytes].concat()
}

impl Packed<'_> {
    fn move_to(&mut self, start: usize, run_len: usize) {
        let (old, len) = (self.start(), self.len());
        self.bytes_mut().copy_within(old..old + run_len, start);
        self.set(start, len);
    }
}

impl Buffer for Packed<'_> {
    const ROOM_MAX: usize = 60_000;

    fn bytes(&self) -> &[u8] {
        self.0.packed_bytes().expect("a packed list is bytes")
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut().expect("a packed list is bytes")
    }

    fn start(&self) -> usize {
        number(self.bytes(), 2)
    }

    fn len(&self) -> usize {
        number(self.bytes(), 0)
    }

    fn set(&mut self, start: usize, len: usize) {
        let bytes = self.bytes_mut();
        bytes[..2].copy_from_slice(&two_bytes(len));
        bytes[2..HEADER].copy_from_slice(&two_bytes(start));
    }

    fn resize(&mut self, len: usize) {
        self.0.resize(len);
    }

    fn widen_front(&mut self, room: usize) {
        let old = self.start() - HEADER;
        if old >= room {
            return;
        }
        let run_len = self.run().bytes.len();
        self.resize(HEADER + room + run_len);
        let spare = self.0.spare().min(Self::ROOM_MAX - room);
        self.resize(HEADER + room + spare + run_len);
        self.move_to(HEADER + room + spare, run_len);
    }

    fn trim_front(&mut self) {
        let (room, run_len) = (self.start() - HEADER, self.run().bytes.len());
        // A list that was just emptied is about to be deleted.
        if run_len > 0 && room > ROOM_MIN && room > run_len / 2 {
            self.move_to(HEADER, run_len);
            self.resize(HEADER + run_len);
        }
    }
}
