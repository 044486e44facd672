//! Requests: finds the words of each request inside the read buffer.
//!
//! The words of a request are borrowed from the read buffer: a request is a list of spans. A [`Parser`] is fed the
//! same growing buffer again and again, and keeps the spans of all requests of a read batch, so that a whole batch
//! can be looked at before its first request is executed. The turn of a connection:
//!
//! 1. bytes arrive at the end of the buffer;
//! 2. [`Parser::next`] until None: a batch of [`RequestAt`];
//! 3. [`Parser::request`] gives each one's words;
//! 4. drop [`Parser::consumed`] bytes from the front of the buffer, then [`Parser::rebase`].
//!
//! A large request need not be waited for: [`Parser::head`] shows its first words, a [`Tail`] takes the others as they come.
//!
//! An inline command has its words in the parser instead of the buffer, because unquoting changes them.

mod parser;
mod tail;

pub use parser::{Head, Parser, RequestAt};
pub use tail::{Piece, Tail};

use std::fmt;

use crate::write;

/// Where one word lies, from the start of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    /// `start` and `len` are places of a buffer of at most 4 GiB.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "callers keep to what 32 bits can address")]
    fn new(start: usize, len: usize) -> Self {
        debug_assert!(start + len <= ADDRESSABLE, "a span ends behind what 32 bits address");
        Self { start: start as u32, len: len as u32 }
    }

    #[inline]
    fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..][..self.len as usize]
    }
}

/// Bytes that spans can address.
const ADDRESSABLE: usize = u32::MAX as usize;

/// One request: its words, borrowed. Cheap to copy. Word 0 is the command's name.
#[derive(Clone, Copy)]
pub struct Request<'b> {
    buffer: &'b [u8],
    spans: &'b [Span],
    raw: Option<&'b [u8]>,
}

impl<'b> Request<'b> {
    /// Number of words.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Word `index`. Panics when there is none: arity is checked before.
    #[inline]
    pub fn word(&self, index: usize) -> &'b [u8] {
        self.spans[index].of(self.buffer)
    }

    /// Word `index`, if there is one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'b [u8]> {
        self.spans.get(index).map(|span| span.of(self.buffer))
    }

    #[inline]
    pub fn words(&self) -> impl ExactSizeIterator<Item = &'b [u8]> + DoubleEndedIterator + Clone + use<'b> {
        let buffer = self.buffer;
        self.spans.iter().map(move |span| span.of(buffer))
    }

    /// The request without its first `count` words (for `COMMAND GETKEYS set k v`).
    #[must_use]
    pub fn skip(&self, count: usize) -> Request<'b> {
        Request { spans: &self.spans[count..], raw: None, ..*self }
    }

    /// The request's bytes as they came, if they are RESP to the letter and may be forwarded untouched. None for an
    /// inline command, for what [`Request::skip`] left, and for a request whose line ends are not `\r\n` (Redis looks
    /// at `\r` only): such bytes must not reach a link that other clients share.
    #[inline]
    pub fn raw(&self) -> Option<&'b [u8]> {
        self.raw
    }

    /// Appends the request as RESP: its own bytes where they may be forwarded, written anew where not.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.raw {
            Some(raw) => out.extend_from_slice(raw),
            None => {
                write::array(out, self.len());
                for word in self.words() {
                    write::bulk(out, word);
                }
            }
        }
    }
}

/// Same words: where they lie does not matter.
impl PartialEq for Request<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.words().eq(other.words())
    }
}

impl Eq for Request<'_> {}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.words().map(|word| word.escape_ascii().to_string())).finish()
    }
}

/// A request that owns its words: for tests, queues of MULTI, and requests that a program makes itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedRequest {
    /// The request as RESP; empty when it has no words.
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedRequest {
    /// Panics when the words have 4 GiB or more.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let words: Vec<W> = words.into_iter().collect();
        let mut owned = Self { bytes: Vec::new(), spans: Vec::with_capacity(words.len()) };
        if !words.is_empty() {
            write::array(&mut owned.bytes, words.len());
        }
        for word in &words {
            let word = word.as_ref();
            write::bulk(&mut owned.bytes, word);
            let end = owned.bytes.len() - 2;
            assert!(end <= ADDRESSABLE, "a request of 4 GiB or more");
            owned.spans.push(Span::new(end - word.len(), word.len()));
        }
        owned
    }

    pub fn view(&self) -> Request<'_> {
        let raw = (!self.spans.is_empty()).then_some(self.bytes.as_slice());
        Request { buffer: &self.bytes, spans: &self.spans, raw }
    }
}

impl From<Request<'_>> for OwnedRequest {
    fn from(request: Request<'_>) -> Self {
        Self::new(request.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_request_shows_its_words_and_its_bytes() {
        let owned = OwnedRequest::new(["SET", "key", ""]);
        let view = owned.view();
        assert_eq!((view.len(), view.is_empty()), (3, false));
        assert_eq!(view.words().collect::<Vec<_>>(), [&b"SET"[..], b"key", b""]);
        assert_eq!((view.word(1), view.get(2), view.get(3)), (&b"key"[..], Some(&b""[..]), None));
        assert_eq!(view.raw(), Some(&b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$0\r\n\r\n"[..]));
        assert_eq!(OwnedRequest::from(view), owned);
    }

    #[test]
    fn a_request_without_words_is_empty() {
        let owned = OwnedRequest::new([""; 0]);
        assert_eq!(owned, OwnedRequest::default());
        assert!(owned.view().is_empty());
        assert_eq!(owned.view().raw(), None);
    }

    #[test]
    fn skipped_words_are_gone_and_the_rest_is_written_anew() {
        let owned = OwnedRequest::new(["COMMAND", "GETKEYS", "GET", "key"]);
        let rest = owned.view().skip(2);
        assert_eq!(rest.raw(), None);
        let mut out = Vec::new();
        rest.write(&mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
        assert!(rest == OwnedRequest::new(["GET", "key"]).view());
        assert!(owned.view().skip(4).is_empty());
    }
}
