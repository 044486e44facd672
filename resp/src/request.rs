//! Requests: finds the words of each request inside the read buffer.
//!
//! The words of a request are borrowed from the read buffer: a request is a list of spans. A [`Parser`] is fed the
//! same growing buffer again and again, never looks at a byte twice, and keeps the spans of all requests of a read
//! batch, so that a whole batch can be looked at before its first request is executed.

use crate::{Limits, ProtocolError};

/// Where one word lies, from the start of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

/// Where one request lies: its bytes in the buffer and its words among the parser's spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestAt {
    /// First byte of the request in the buffer.
    pub start: u32,
    /// Bytes of the request, line ends included.
    pub len: u32,
    first_word: u32,
    words: u32,
    /// Was an inline command (then its bytes are not RESP and must be written anew to be forwarded).
    inline: bool,
}

/// Incremental parser of one connection's requests.
#[derive(Debug, Default)]
pub struct Parser {
    spans: Vec<Span>,
    position: usize,
}

impl Parser {
    /// The next whole request in `buffer`, or None when more bytes are needed.
    ///
    /// `buffer` is what earlier calls saw, perhaps with more bytes behind it. Empty lines and `*0` are skipped.
    pub fn next(&mut self, _buffer: &[u8], _limits: &Limits) -> Result<Option<RequestAt>, ProtocolError> {
        todo!()
    }

    /// Bytes at the front of the buffer that belong to whole requests: to be dropped after the batch, just
    /// before [`Parser::rebase`].
    pub fn consumed(&self) -> usize {
        todo!()
    }

    /// The caller has dropped [`Parser::consumed`] bytes from the front of its buffer: forget the finished requests,
    /// move what is known of the unfinished one.
    pub fn rebase(&mut self) {
        todo!()
    }

    /// How many bytes are missing at least before the next request can be whole (1 when nothing is known).
    /// A caller uses it to size its buffer as bytes arrive, never to allocate what was only announced.
    pub fn missing(&self) -> usize {
        todo!()
    }

    /// The words of a request found by [`Parser::next`] since the last [`Parser::rebase`].
    pub fn request<'b>(&'b self, _buffer: &'b [u8], _at: RequestAt) -> Request<'b> {
        todo!()
    }
}

/// One request: its words, borrowed. Cheap to copy. Word 0 is the command's name.
#[derive(Debug, Clone, Copy)]
pub struct Request<'b> {
    buffer: &'b [u8],
    spans: &'b [Span],
    at: Option<RequestAt>,
}

impl<'b> Request<'b> {
    /// Number of words.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Word `index`. Panics when there is none: arity is checked before.
    pub fn word(&self, index: usize) -> &'b [u8] {
        let span = self.spans[index];
        &self.buffer[span.start as usize..][..span.len as usize]
    }

    pub fn words(&self) -> impl ExactSizeIterator<Item = &'b [u8]> + Clone + use<'b> {
        let buffer = self.buffer;
        self.spans.iter().map(move |span| &buffer[span.start as usize..][..span.len as usize])
    }

    /// The request without its first `count` words (for `COMMAND GETKEYS set k v`).
    pub fn skip(&self, count: usize) -> Request<'b> {
        Request { buffer: self.buffer, spans: &self.spans[count..], at: None }
    }

    /// The request's bytes as they came, if they are RESP and may be forwarded untouched (not inline, not skipped).
    pub fn raw(&self) -> Option<&'b [u8]> {
        todo!()
    }
}

/// A request that owns its words: for tests, queues of MULTI, and requests that a program makes itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedRequest {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedRequest {
    pub fn new<W: AsRef<[u8]>>(_words: impl IntoIterator<Item = W>) -> Self {
        todo!()
    }

    pub fn view(&self) -> Request<'_> {
        Request { buffer: &self.bytes, spans: &self.spans, at: None }
    }
}
