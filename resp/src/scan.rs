//! Replies: finds where a reply ends without looking into it.
//!
//! A proxy passes most replies on unparsed; all it needs is their length. A [`Scanner`] is incremental like the
//! request parser: it keeps its place inside a nested reply and inside a large bulk, so that every byte is passed
//! once however the stream is cut. It allocates only for replies nested two and more deep, eight bytes a level, and
//! keeps that room.
//!
//! Unlike Redis's view of its clients, nothing is lenient here: a backend that breaks the protocol once has lost its
//! place in the stream, and the link with it. Streamed strings and aggregates (`$?`, `*?`) belong to the RESP3
//! specification, but no server sends them; they are refused.

use memchr::memchr;

use crate::{Limits, ProtocolError, number};

/// Finds the ends of replies in a growing buffer, RESP2 and RESP3 (attributes belong to the reply behind them;
/// a push is a reply of its own: see [`Scanned::push`]).
#[derive(Debug)]
pub struct Scanner {
    /// Next byte to understand.
    position: usize,
    /// No line that starts at `position` ends before here.
    searched: usize,
    /// Bytes of a bulk and its line end still to pass, from `position`; 0: none is open.
    body_left: usize,
    /// Elements that the innermost open aggregate lacks; for a flat reply the 1 that it is.
    left: u64,
    /// What the aggregates around it lack, outermost first.
    outer: Vec<u64>,
    push: bool,
    error: bool,
    /// Bytes that the last call saw.
    seen: usize,
    /// Bytes that the buffer must have before a call can find anything new; 0: no call has seen this reply.
    needed: usize,
}

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

/// A sign and 19 digits are the longest number; more than this before a line end is garbage.
const NUMBER_BYTES_MAX: usize = 32;

impl Default for Scanner {
    fn default() -> Self {
        Self {
            position: 0,
            searched: 0,
            body_left: 0,
            left: 1,
            outer: Vec::new(),
            push: false,
            error: false,
            seen: 0,
            needed: 0,
        }
    }
}

impl Scanner {
    /// `buffer` starts at the first byte of a reply; later calls for the same reply bring the same bytes and more
    /// (but see [`Scanner::advance`]). None: not whole yet. After an error the stream is lost.
    #[inline]
    pub fn next(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<Scanned>, ProtocolError> {
        if self.needed == 0 {
            // Nothing is known of this reply yet: most are flat and whole.
            if let Some(len) = flat(buffer, limits) {
                return Ok(Some(Scanned { len, push: false, error: false }));
            }
        } else if buffer.len() < self.needed {
            self.seen = buffer.len();
            return Ok(None);
        }
        self.resume(buffer, limits)
    }

    /// How many bytes are missing at least before the reply can be whole.
    pub fn missing(&self) -> usize {
        self.needed.saturating_sub(self.seen).max(1)
    }

    /// Bytes at the front of the buffer that an unfinished reply will not be asked about again, inside of a large
    /// bulk too: they may be passed on before the rest has come.
    pub fn passed(&self) -> usize {
        // A call that could find no end has not looked at what came of a bulk.
        let inside = self.seen.saturating_sub(self.position).min(self.body_left.saturating_sub(2));
        self.position + inside
    }

    /// The caller has dropped `count` bytes (at most [`Scanner::passed`]) from the front of its buffer. The length
    /// that [`Scanner::next`] gives in the end is then that of the rest.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.passed(), "only bytes that were passed are dropped");
        self.body_left -= count.saturating_sub(self.position);
        self.position = self.position.saturating_sub(count);
        self.searched = self.searched.saturating_sub(count);
        self.seen = self.seen.saturating_sub(count);
        self.needed = self.needed.saturating_sub(count);
    }

    /// Goes on where the last call stopped.
    fn resume(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<Scanned>, ProtocolError> {
        while self.left > 0 {
            if self.element(buffer, limits)?.is_none() {
                return Ok(None);
            }
            while self.left == 0
                && let Some(left) = self.outer.pop()
            {
                self.left = left;
            }
        }
        let scanned = Scanned { len: self.position, push: self.push, error: self.error };
        (self.position, self.searched, self.seen, self.needed) = (0, 0, 0, 0);
        (self.left, self.push, self.error) = (1, false, false);
        Ok(Some(scanned))
    }

    /// The element at `position`, or the header of an aggregate. None: not whole.
    #[inline]
    fn element(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<()>, ProtocolError> {
        if self.body_left > 0 {
            return self.body(buffer);
        }
        let Some(&kind) = buffer.get(self.position) else {
            return Ok(self.wait_for(self.position + 1, buffer));
        };
        if self.outer.is_empty() && self.left == 1 {
            self.push = kind == b'>';
            self.error = matches!(kind, b'-' | b'!');
        }
        match kind {
            b'$' | b'!' | b'=' => self.blob(kind, buffer, limits),
            b'+' | b'-' | b',' | b'(' => self.line(buffer, limits),
            b':' => self.integer(buffer),
            b'*' | b'~' | b'>' | b'%' | b'|' => self.aggregate(kind, buffer, limits),
            b'_' => self.fixed(buffer, 3),
            b'#' => self.fixed(buffer, 4),
            other => Err(ProtocolError::unexpected("a reply", other)),
        }
    }

    /// `$len`, the bytes, a line end; also `$-1`.
    #[inline]
    fn blob(&mut self, kind: u8, buffer: &[u8], limits: &Limits) -> Result<Option<()>, ProtocolError> {
        let Some((len, next)) = self.length(buffer)? else {
            return Ok(None);
        };
        let Some(len) = len else {
            return if kind == b'$' {
                Ok(self.done(next))
            } else {
                Err(ProtocolError::new("invalid bulk length"))
            };
        };
        if len > limits.bulk_bytes_max {
            return Err(ProtocolError::new("invalid bulk length"));
        }
        self.position = next;
        self.body_left = len.saturating_add(2);
        self.body(buffer)
    }

    /// The rest of a bulk: what has come of it is passed.
    #[inline]
    fn body(&mut self, buffer: &[u8]) -> Result<Option<()>, ProtocolError> {
        let end = self.position.saturating_add(self.body_left);
        if end <= buffer.len() {
            self.body_left = 0;
            expect_line_end(buffer, end - 2)?;
            return Ok(self.done(end));
        }
        let passed = (buffer.len() - self.position).min(self.body_left - 2);
        self.position += passed;
        self.body_left -= passed;
        Ok(self.wait_for(end, buffer))
    }

    /// A line that may hold anything.
    #[inline]
    fn line(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<()>, ProtocolError> {
        Ok(match self.line_end(buffer, limits.inline_bytes_max)? {
            Some(end) => self.done(end + 2),
            None => None,
        })
    }

    #[inline]
    fn integer(&mut self, buffer: &[u8]) -> Result<Option<()>, ProtocolError> {
        if let Some((_, next)) = number::short_length(buffer, self.position + 1) {
            return Ok(self.done(next));
        }
        Ok(match self.line_end(buffer, NUMBER_BYTES_MAX)? {
            Some(end) if number::integer(&buffer[self.position + 1..end]).is_some() => self.done(end + 2),
            Some(_) => return Err(ProtocolError::new("invalid integer")),
            None => None,
        })
    }

    /// The header of an aggregate: opens a level, unless it is empty or `*-1`.
    #[inline]
    fn aggregate(&mut self, kind: u8, buffer: &[u8], limits: &Limits) -> Result<Option<()>, ProtocolError> {
        let Some((count, next)) = self.length(buffer)? else {
            return Ok(None);
        };
        let count = match count {
            Some(count) if count <= limits.words_max => count as u64,
            None if kind == b'*' => 0,
            _ => return Err(ProtocolError::new("invalid multibulk length")),
        };
        let elements = if matches!(kind, b'%' | b'|') { count * 2 } else { count };
        self.position = next;
        // An attribute is no element: what it belongs to still comes.
        if kind != b'|' {
            self.left -= 1;
        }
        if elements > 0 {
            if self.outer.len() >= limits.nesting_max {
                return Err(ProtocolError::new(format_args!("nesting deeper than {}", limits.nesting_max)));
            }
            // A level that lacks nothing more is kept too: the depth counts it.
            self.outer.push(self.left);
            self.left = elements;
        }
        Ok(Some(()))
    }

    /// A null (`_`) or a boolean (`#t`), `len` bytes with their line end.
    fn fixed(&mut self, buffer: &[u8], len: usize) -> Result<Option<()>, ProtocolError> {
        let end = self.position + len;
        let Some(bytes) = buffer.get(self.position..end) else {
            return Ok(self.wait_for(end, buffer));
        };
        if len == 4 && !matches!(bytes[1], b't' | b'f') {
            return Err(ProtocolError::unexpected("'t' or 'f'", bytes[1]));
        }
        expect_line_end(buffer, end - 2)?;
        Ok(self.done(end))
    }

    /// The length in the line at `position` (None in it: -1) and the place behind the line. None: not whole.
    #[inline]
    fn length(&mut self, buffer: &[u8]) -> Result<Option<(Option<usize>, usize)>, ProtocolError> {
        if let Some((len, next)) = number::short_length(buffer, self.position + 1) {
            return Ok(Some((Some(len), next)));
        }
        let Some(end) = self.line_end(buffer, NUMBER_BYTES_MAX)? else {
            return Ok(None);
        };
        let len = match &buffer[self.position + 1..end] {
            b"-1" => None,
            b"?" => return Err(ProtocolError::new("streamed replies are not supported")),
            text => match number::integer(text).map(usize::try_from) {
                Some(Ok(len)) => Some(len),
                _ => return Err(ProtocolError::new("invalid length in a reply")),
            },
        };
        Ok(Some((len, end + 2)))
    }

    /// The `\r` that ends the line at `position`, once the `\n` behind it has come too.
    #[inline]
    fn line_end(&mut self, buffer: &[u8], bytes_max: usize) -> Result<Option<usize>, ProtocolError> {
        let last = self.position.saturating_add(bytes_max);
        let until = buffer.len().min(last.saturating_add(1));
        let from = self.searched.max(self.position);
        let found = buffer.get(from..until).and_then(|bytes| memchr(b'\r', bytes)).map(|index| from + index);
        match found {
            Some(end) if end + 1 < buffer.len() => {
                expect_line_end(buffer, end)?;
                return Ok(Some(end));
            }
            None if buffer.len() > last => return Err(ProtocolError::new("too long line in a reply")),
            _ => {}
        }
        self.searched = found.unwrap_or(until);
        self.wait_for(buffer.len() + 1, buffer);
        Ok(None)
    }

    /// An element ends at `end`.
    #[inline]
    fn done(&mut self, end: usize) -> Option<()> {
        self.position = end;
        self.left -= 1;
        Some(())
    }

    /// Nothing more can be found before the buffer has `needed` bytes.
    #[inline]
    fn wait_for(&mut self, needed: usize, buffer: &[u8]) -> Option<()> {
        self.seen = buffer.len();
        self.needed = needed;
        None
    }
}

/// The length of the commonest replies, when they are whole: a bulk, a short integer, `+OK`, a null.
#[inline]
fn flat(buffer: &[u8], limits: &Limits) -> Option<usize> {
    match buffer {
        [b'$', ..] => {
            let (len, start) = number::short_length(buffer, 1)?;
            if len > limits.bulk_bytes_max || buffer.get(start + len..start + len + 2)? != b"\r\n" {
                return None;
            }
            Some(start + len + 2)
        }
        [b':', ..] => number::short_length(buffer, 1).map(|(_, next)| next),
        [b'+', b'O', b'K', b'\r', b'\n', ..] => Some(5),
        [b'_', b'\r', b'\n', ..] => Some(3),
        _ => None,
    }
}

/// The two bytes at `at` have come: they must be `\r\n`.
#[inline]
fn expect_line_end(buffer: &[u8], at: usize) -> Result<(), ProtocolError> {
    match buffer[at..at + 2] {
        [b'\r', b'\n'] => Ok(()),
        [b'\r', found] | [found, _] => Err(ProtocolError::unexpected("a line end", found)),
        _ => Ok(()),
    }
}
