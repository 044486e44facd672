//! The buffers that all connections of a thread share.
//!
//! A connection needs room to read and to answer only during its turn. So the room belongs to the thread: an idle
//! connection holds none, and the few buffers there are stay in the processor's caches. The input holds the small reads
//! of the present wave ([`crate::connection::Wave`]), one behind the other.

use slotway_cluster::Database;
use slotway_commands::Command;
use slotway_resp::{Parser, RequestAt};

use crate::keyspace::Place;

/// Bytes read at once: as many requests as one turn should hold, and little enough for the nearest caches.
pub(crate) const INPUT_BYTES: usize = 64 * 1024;
/// Room for replies that is kept; more is given back after the turn that needed it.
const OUTPUT_BYTES_KEPT: usize = 1024 * 1024;
/// Requests looked up and fetched together before the first of them runs. More would push the first one's entry out
/// of the nearest cache again, fewer leave memory idle.
pub(crate) const GROUP: usize = 32;

/// One request of a group, looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looked {
    pub(crate) at: RequestAt,
    /// None: no such command, or not with this many words.
    pub(crate) row: Option<&'static Command>,
    /// The client's, when the request was looked up.
    pub(crate) database: Database,
    /// Index of its first key's place in [`Desk::places`].
    pub(crate) place: Option<usize>,
}

/// Room for one turn.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) input: Vec<u8>,
    /// Empty between turns: what a connection has not executed goes along with it.
    pub(crate) parser: Parser,
    pub(crate) group: Vec<Looked>,
    pub(crate) places: Vec<Place>,
    pub(crate) output: Vec<u8>,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk {
            input: Vec::with_capacity(INPUT_BYTES),
            parser: Parser::default(),
            group: Vec::with_capacity(GROUP),
            places: Vec::with_capacity(GROUP),
            output: Vec::with_capacity(INPUT_BYTES),
        }
    }

    /// Makes the output empty for the next connection.
    pub(crate) fn clear_output(&mut self) {
        if self.output.capacity() > OUTPUT_BYTES_KEPT {
            self.output = Vec::with_capacity(INPUT_BYTES);
        } else {
            self.output.clear();
        }
    }
}
