//! A reply that owns its value: for merging, tests, and programs that look at replies.

use crate::{Limits, ProtocolError};

/// One reply, as it stood on the wire (RESP2's two nulls and RESP3's one are told apart).
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    Array(Vec<Frame>),
    Map(Vec<(Frame, Frame)>),
    Set(Vec<Frame>),
    Push(Vec<Frame>),
    Double(f64),
    Boolean(bool),
    BigNumber(Vec<u8>),
    Verbatim { format: [u8; 3], text: Vec<u8> },
    BulkError(Vec<u8>),
}

impl Frame {
    /// The first whole reply of `buffer` and its length in bytes; None: not whole yet. Attributes are dropped.
    pub fn parse(_buffer: &[u8], _limits: &Limits) -> Result<Option<(Frame, usize)>, ProtocolError> {
        todo!()
    }

    /// Appends the frame as it stood on the wire.
    pub fn write(&self, _out: &mut Vec<u8>) {
        todo!()
    }
}
