//! How much more a link may take on, and what clients are told of what is too much.
//!
//! While requests are sent they count against `requests-in-flight-per-link` and `bytes-in-flight-max`, a single large one excepted; while
//! they are held, against `hold-bytes-max`, which all links to a shard share, and for no longer than [`super::state`] says.

use crate::{
    errors,
    link::{Link, state::Intake},
    thread::Thread,
};

/// What a link may still take on, and what it means if its bytes are too many.
pub(super) struct Room {
    pub(super) requests_max: usize,
    pub(super) bytes_max: usize,
    full: Full,
}

enum Full {
    /// `bytes-in-flight-max`
    InFlight,
    /// `hold-bytes-max`: nothing more is held for a shard without a primary since then. Thread clock, microseconds.
    Held { since_us: u64 },
}

impl Link {
    /// How much more it may take on at present, or what a client is told instead.
    pub(super) fn room(&self, thread: &Thread, now_us: u64) -> Result<Room, Vec<u8>> {
        let limits = thread.limits();
        let requests_max = limits.link_requests_max;
        let since_us = match self.state.get().intake(now_us, self.pulse(now_us), &limits) {
            Intake::Sent => {
                // A request that finds the link empty is taken on whatever its size: the client's own limits bound it.
                let is_empty = self.flight.borrow().is_empty();
                let bytes_max = if is_empty { usize::MAX } else { limits.link_bytes_max };
                return Ok(Room { requests_max, bytes_max, full: Full::InFlight });
            }
            Intake::Held { since_us } => since_us,
            Intake::None { since_us } => {
                let held_ms = now_us.saturating_sub(since_us) / 1000;
                return Err(errors::no_primary(self.shard.get(), held_ms));
            }
        };
        // What the node has been sent is not held.
        let flight = self.flight.borrow();
        let sent_bytes = flight.bytes_held() - flight.unsent().len();
        drop(flight);
        let held_bytes_max = limits.hold_bytes_max.saturating_sub(thread.held_beside(self));
        let bytes_max = held_bytes_max.saturating_add(sent_bytes);
        Ok(Room { requests_max, bytes_max, full: Full::Held { since_us } })
    }

    /// What whoever asks for more than `room` is told.
    pub(super) fn refusal(&self, room: &Room, now_us: u64) -> Vec<u8> {
        match room.full {
            Full::InFlight => errors::busy("bytes-in-flight-max"),
            Full::Held { since_us } => {
                errors::no_primary(self.shard.get(), now_us.saturating_sub(since_us) / 1000)
            }
        }
    }
}
