//! Replies: finds where a reply ends without looking into it.
//!
//! A proxy passes most replies on unparsed; all it needs is their length. A [`Scanner`] is incremental like the
//! request parser, keeps its place inside nested replies, and allocates nothing up to its nesting limit.

use crate::{Limits, ProtocolError};

/// Finds the ends of replies in a growing buffer, RESP2 and RESP3 (attributes belong to the reply behind them;
/// a push is a reply of its own: see [`Scanned::push`]).
#[derive(Debug, Default)]
pub struct Scanner {}

/// One whole reply at the front of the bytes not yet consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scanned {
    /// Its bytes, line ends included.
    pub len: usize,
    /// It is an out-of-band push (`>`), which answers no request.
    pub push: bool,
    /// It is an error at the top level (`-` or `!`).
    pub error: bool,
}

impl Scanner {
    /// `buffer` starts at the first byte of a reply; later calls for the same reply bring the same bytes and more.
    /// None: not whole yet.
    pub fn next(&mut self, _buffer: &[u8], _limits: &Limits) -> Result<Option<Scanned>, ProtocolError> {
        todo!()
    }

    /// How many bytes are missing at least before the reply can be whole.
    pub fn missing(&self) -> usize {
        todo!()
    }
}
