//! The incremental parser of one connection's requests.
//!
//! Between two calls it remembers the place where it stopped, how many words the unfinished request still lacks, and
//! how long the buffer must be before another look can bring anything. So work is linear in the bytes that came,
//! however they are cut: a finished word is never looked at again, a line is searched for its end once, and a large
//! word costs one comparison per call until it is whole.
//!
//! Nothing is allocated for what is only announced: `*1000000` makes room for as many words as the bytes behind it
//! can hold. Once warm, a batch of ordinary requests allocates nothing; after an extraordinary one the room is given
//! back in [`Parser::rebase`].
//!
//! What is accepted is what Redis 7.0 accepts: a line ends at its `\r`, whatever byte follows; the two bytes behind a
//! word are not looked at (but [`Request::raw`] knows); `*0` and `*-5` are skipped like empty lines.

use super::{ADDRESSABLE, Request, Span, Tail};
use crate::inline::{Unbalanced, Words};
use crate::limits::{UNAUTHENTICATED_BULK_BYTES_MAX, UNAUTHENTICATED_WORDS_MAX};
use crate::{Limits, ProtocolError, number};
use memchr::memchr;

/// Where one request lies: its bytes in the buffer and its words among the parser's spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestAt {
    /// First byte of the request in the buffer.
    pub start: u32,
    /// Bytes of the request, line ends included.
    pub len: u32,
    first_word: u32,
    words: u32,
    origin: Origin,
}

impl RequestAt {
    /// Where the request ends in the buffer: a caller that executes only some of a batch may stop there.
    pub fn end(&self) -> usize {
        self.start as usize + self.len as usize
    }
}

/// What is known of a request of which only the first words have come.
#[derive(Debug)]
pub struct Head<'b> {
    /// How many words it will have.
    pub words: usize,
    /// Those that have come whole, perhaps none.
    pub request: Request<'b>,
    /// Place in the buffer behind them: where [`Head::tail`] goes on.
    pub end: usize,
}

impl Head<'_> {
    /// Takes the words that are missing.
    pub fn tail(&self) -> Tail {
        Tail::new(self.words - self.request.len())
    }
}

/// What the request's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// RESP to the letter.
    Exact,
    /// RESP that Redis lets pass: somewhere another byte stands for a `\r` or `\n`.
    Lax,
    /// An inline command: its words are in [`Parser::unquoted`].
    Inline,
}

/// What stood on a line that does not start with `*`.
enum Line {
    Request(RequestAt),
    Empty,
    Partial,
}

/// Spans that an idle parser may keep room for (32 KiB): a deep pipeline of ordinary requests.
const SPANS_KEPT: usize = 4096;
/// Room for unquoted words that an idle parser may keep.
const UNQUOTED_BYTES_KEPT: usize = 16 * 1024;
/// `$0\r\n\r\n`: the least a word takes. Room for words is made for no more than the bytes at hand can hold.
const WORD_BYTES_MIN: usize = 6;

/// Incremental parser of one connection's requests. A new one owns no memory.
#[derive(Debug, Default)]
pub struct Parser {
    /// The words of all requests since the last rebase, and of the unfinished one.
    spans: Vec<Span>,
    /// The words of inline commands since the last rebase, one behind the other.
    unquoted: Vec<u8>,
    /// End of the last whole request (or of something skipped).
    consumed: usize,
    /// Next byte to understand.
    position: usize,
    /// No line that starts at `position` ends before here.
    searched: usize,
    /// Where the spans of the unfinished request begin.
    first_word: usize,
    /// Words that the unfinished request lacks; 0 between requests.
    words_left: usize,
    /// A lax line end was seen in the unfinished request.
    lax: bool,
    /// Bytes that the last call saw.
    seen: usize,
    /// Bytes that the buffer must have before a call can find anything new.
    needed: usize,
}

impl Parser {
    /// The next whole request in `buffer`, or None when more bytes are needed.
    ///
    /// `buffer` is what earlier calls saw, perhaps with more bytes behind it. Empty lines and `*0` are skipped.
    /// Requests found before an error stay valid; after an error every call gives the same error.
    ///
    /// Limits may change from call to call. While a client is unauthenticated, execute each request before asking
    /// for the next: an AUTH in the batch changes what the requests behind it may be.
    #[inline]
    pub fn next(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<RequestAt>, ProtocolError> {
        if buffer.len() < self.needed {
            self.seen = buffer.len();
            return Ok(None);
        }
        // Spans have 32 bits. What lies beyond is not looked at: `wait_for` says when that is an error.
        let buffer = &buffer[..buffer.len().min(ADDRESSABLE)];
        loop {
            if self.words_left > 0 {
                return self.words(buffer, limits);
            }
            match buffer.get(self.position) {
                None => return self.wait_for(self.position + 1, buffer),
                Some(b'*') => {
                    if self.count(buffer, limits)?.is_none() {
                        return Ok(None);
                    }
                }
                Some(_) => match self.inline(buffer, limits)? {
                    Line::Request(at) => return Ok(Some(at)),
                    Line::Empty => {}
                    Line::Partial => return Ok(None),
                },
            }
        }
    }

    /// Bytes at the front of the buffer that belong to whole requests: to be dropped after the batch, just
    /// before [`Parser::rebase`].
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// The caller has dropped [`Parser::consumed`] bytes from the front of its buffer: forget the finished requests,
    /// move what is known of the unfinished one.
    pub fn rebase(&mut self) {
        let dropped = self.consumed;
        if dropped > 0 {
            self.spans.drain(..self.first_word);
            self.first_word = 0;
            let moved = Span::new(dropped, 0).start;
            for span in &mut self.spans {
                span.start -= moved;
            }
            self.consumed = 0;
            self.position -= dropped;
            self.searched = self.searched.saturating_sub(dropped);
            self.seen = self.seen.saturating_sub(dropped);
            self.needed = self.needed.saturating_sub(dropped);
        }
        self.unquoted.clear();
        self.unquoted.shrink_to(UNQUOTED_BYTES_KEPT);
        if self.spans.len() <= SPANS_KEPT {
            self.spans.shrink_to(SPANS_KEPT);
        }
    }

    /// Gives up what lies before `end` and is not a whole request: the next request starts there. For a buffer that
    /// holds the bytes of several clients one behind the other. The requests found so far stay valid.
    pub fn skip_to(&mut self, end: usize) {
        self.spans.truncate(self.first_word);
        self.consumed = end;
        self.position = end;
        self.searched = end;
        self.words_left = 0;
        self.lax = false;
        self.seen = end;
        self.needed = end;
    }

    /// Nothing is unfinished and nothing waits to be consumed: the parser may be dropped and made anew.
    pub fn is_idle(&self) -> bool {
        self.consumed == 0 && self.position == 0 && self.seen == 0
    }

    /// How many bytes are missing at least before the next request can be whole (1 when nothing is known).
    /// A caller uses it to size its buffer as bytes arrive, never to allocate what was only announced.
    pub fn missing(&self) -> usize {
        self.needed.saturating_sub(self.seen).max(1)
    }

    /// The beginning of the request that is not whole, once its number of words is known. `buffer` is what the last call
    /// saw, or what was left of it after a [`Parser::rebase`].
    pub fn head<'b>(&'b self, buffer: &'b [u8]) -> Option<Head<'b>> {
        let spans = &self.spans[self.first_word..];
        let request = Request { buffer, spans, raw: None };
        (self.words_left > 0).then(|| Head {
            words: spans.len() + self.words_left,
            request,
            end: self.position,
        })
    }

    /// The words of a request found by [`Parser::next`] since the last [`Parser::rebase`].
    #[inline]
    pub fn request<'b>(&'b self, buffer: &'b [u8], at: RequestAt) -> Request<'b> {
        let spans = &self.spans[at.first_word as usize..][..at.words as usize];
        match at.origin {
            Origin::Exact => {
                Request { buffer, spans, raw: Some(&buffer[at.start as usize..][..at.len as usize]) }
            }
            Origin::Lax => Request { buffer, spans, raw: None },
            Origin::Inline => Request { buffer: &self.unquoted, spans, raw: None },
        }
    }

    /// The words of the request whose count is known.
    #[inline]
    fn words(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<RequestAt>, ProtocolError> {
        while self.words_left > 0 {
            let header = match buffer.get(self.position) {
                Some(b'$') => number::short_length(buffer, self.position + 1),
                _ => None,
            };
            let (len, start) = match header {
                Some(header) => header,
                None => match self.bulk_header(buffer, limits)? {
                    Some(header) => header,
                    None => return Ok(None),
                },
            };
            if len > limits.bulk_bytes_max || limits.unauthenticated && len > UNAUTHENTICATED_BULK_BYTES_MAX {
                return Err(bulk_too_long(len, limits));
            }
            let end = start.saturating_add(len);
            match buffer.get(end..end.saturating_add(2)) {
                Some(line_end) => self.lax |= line_end != b"\r\n",
                None => return self.wait_for(end.saturating_add(2), buffer),
            }
            self.spans.push(Span::new(start, len));
            self.position = end + 2;
            self.words_left -= 1;
        }
        Ok(Some(self.finish(if self.lax { Origin::Lax } else { Origin::Exact })))
    }

    /// The line `*N`. None: not whole. Leaves `words_left` at 0 when N is not above 0.
    #[inline]
    fn count(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<()>, ProtocolError> {
        let (count, next) = match number::short_length(buffer, self.position + 1) {
            Some((count, next)) => (count, next),
            None => {
                let Some(end) = self.line_end(buffer, limits, "too big mbulk count string")? else {
                    return Ok(None);
                };
                match number::integer(&buffer[self.position + 1..end]) {
                    // `*-1` is skipped. On a target where a count does not fit, it is above every limit.
                    Some(count) => {
                        self.lax = buffer[end + 1] != b'\n';
                        (usize::try_from(count.max(0)).unwrap_or(usize::MAX), end + 2)
                    }
                    None => return Err(ProtocolError::new("invalid multibulk length")),
                }
            }
        };
        if count > limits.words_max {
            return Err(ProtocolError::new("invalid multibulk length"));
        }
        if limits.unauthenticated && count > UNAUTHENTICATED_WORDS_MAX {
            return Err(ProtocolError::new("unauthenticated multibulk length"));
        }
        self.position = next;
        if count == 0 {
            self.consumed = next;
            self.lax = false;
            return Ok(Some(()));
        }
        self.words_left = count;
        self.first_word = self.spans.len();
        self.spans.reserve(count.min((buffer.len() - next) / WORD_BYTES_MIN));
        Ok(Some(()))
    }

    /// The line `$N` where it is not simple: its length and the place behind it. None: not whole.
    #[cold]
    fn bulk_header(
        &mut self,
        buffer: &[u8],
        limits: &Limits,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some(end) = self.line_end(buffer, limits, "too big bulk count string")? else {
            return Ok(None);
        };
        // Only now, as Redis: a wrong first byte is reported when its line has ended.
        if buffer[self.position] != b'$' {
            return Err(ProtocolError::unexpected("'$'", buffer[self.position]));
        }
        match number::integer(&buffer[self.position + 1..end]).map(usize::try_from) {
            Some(Ok(len)) => {
                self.lax |= buffer[end + 1] != b'\n';
                Ok(Some((len, end + 2)))
            }
            _ => Err(ProtocolError::new("invalid bulk length")),
        }
    }

    /// The `\r` that ends the line at `position`, once the byte behind it has come too.
    fn line_end(
        &mut self,
        buffer: &[u8],
        limits: &Limits,
        too_long: &str,
    ) -> Result<Option<usize>, ProtocolError> {
        match self.search(b'\r', buffer, limits, too_long)? {
            Some(end) if end + 1 < buffer.len() => Ok(Some(end)),
            _ => self.wait_for(buffer.len() + 1, buffer).map(|_| None),
        }
    }

    /// The place of `wanted` in the line at `position`, which is at most `inline_bytes_max` away.
    fn search(
        &mut self,
        wanted: u8,
        buffer: &[u8],
        limits: &Limits,
        too_long: &str,
    ) -> Result<Option<usize>, ProtocolError> {
        let last = self.position.saturating_add(limits.inline_bytes_max);
        let until = buffer.len().min(last.saturating_add(1));
        let from = self.searched.max(self.position);
        let found = buffer.get(from..until).and_then(|bytes| memchr(wanted, bytes)).map(|index| from + index);
        self.searched = found.unwrap_or(until);
        if found.is_none() && buffer.len() > last {
            return Err(ProtocolError::new(too_long));
        }
        Ok(found)
    }

    /// The line at `position` is an inline command, or empty.
    #[cold]
    fn inline(&mut self, buffer: &[u8], limits: &Limits) -> Result<Line, ProtocolError> {
        let Some(end) = self.search(b'\n', buffer, limits, "too big inline request")? else {
            return self.wait_for(buffer.len() + 1, buffer).map(|_| Line::Partial);
        };
        let line = &buffer[self.position..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let unquoted_before = self.unquoted.len();
        self.first_word = self.spans.len();
        if let Err(error) = self.unquote(line) {
            self.spans.truncate(self.first_word);
            self.unquoted.truncate(unquoted_before);
            return Err(error);
        }
        self.position = end + 1;
        if self.spans.len() == self.first_word {
            self.consumed = self.position;
            return Ok(Line::Empty);
        }
        Ok(Line::Request(self.finish(Origin::Inline)))
    }

    /// Appends the words of an inline command.
    fn unquote(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        for word in Words::new(line) {
            let word = word.map_err(|Unbalanced| ProtocolError::new("unbalanced quotes in request"))?;
            if self.unquoted.len() + word.len() > ADDRESSABLE {
                return Err(ProtocolError::new("too big inline request"));
            }
            self.spans.push(Span::new(self.unquoted.len(), word.len()));
            self.unquoted.extend_from_slice(&word);
        }
        Ok(())
    }

    /// The request from `consumed` to `position` is whole.
    #[inline]
    fn finish(&mut self, origin: Origin) -> RequestAt {
        let bytes = Span::new(self.consumed, self.position - self.consumed);
        let words = Span::new(self.first_word, self.spans.len() - self.first_word);
        self.consumed = self.position;
        self.first_word = self.spans.len();
        self.lax = false;
        RequestAt { start: bytes.start, len: bytes.len, first_word: words.start, words: words.len, origin }
    }

    /// Nothing more can be found before the buffer has `needed` bytes.
    #[inline]
    fn wait_for(&mut self, needed: usize, buffer: &[u8]) -> Result<Option<RequestAt>, ProtocolError> {
        self.seen = buffer.len();
        self.needed = needed;
        if needed > ADDRESSABLE {
            return self.wait_beyond_addressable();
        }
        Ok(None)
    }

    /// More than 32 bits address. With whole requests before it the rest fits perhaps after the next rebase: so the
    /// next call looks again.
    #[cold]
    fn wait_beyond_addressable(&mut self) -> Result<Option<RequestAt>, ProtocolError> {
        self.needed = 0;
        if self.consumed > 0 { Ok(None) } else { Err(ProtocolError::new("request of 4 GiB or more")) }
    }
}

#[cold]
fn bulk_too_long(len: usize, limits: &Limits) -> ProtocolError {
    if len > limits.bulk_bytes_max {
        ProtocolError::new("invalid bulk length")
    } else {
        ProtocolError::new("unauthenticated bulk length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write;

    /// The room for spans after a batch of `requests` with `words` words each.
    fn room_after(requests: usize, words: usize) -> usize {
        let mut buffer = Vec::new();
        (0..requests).for_each(|_| write::request(&mut buffer, &vec!["x"; words]));
        let mut parser = Parser::default();
        while parser.next(&buffer, &Limits::CLIENT).unwrap().is_some() {}
        assert_eq!(parser.spans.len(), requests * words);
        parser.rebase();
        parser.spans.capacity()
    }

    #[test]
    fn room_is_kept_for_ordinary_batches_and_given_back_after_extraordinary_ones() {
        assert_eq!(Parser::default().spans.capacity(), 0);
        assert!(room_after(16, 3) >= 48);
        assert!(room_after(1, 1_000_000) <= SPANS_KEPT);
        assert!(room_after(100_000, 10) <= SPANS_KEPT);
    }

    #[test]
    fn room_is_made_for_words_that_came_not_for_words_announced() {
        let mut parser = Parser::default();
        let mut buffer = b"*2000000000\r\n".to_vec();
        buffer.extend(b"$0\r\n\r\n".repeat(100));
        assert_eq!(parser.next(&buffer, &Limits::CLIENT), Ok(None));
        assert!(parser.spans.capacity() <= 200);
    }

    #[test]
    fn a_warm_parser_makes_no_more_room() {
        let mut buffer = Vec::new();
        (0..64).for_each(|_| write::request(&mut buffer, &["SET", "key", "value"]));
        let mut parser = Parser::default();
        let mut rooms = Vec::new();
        for _ in 0..10 {
            while parser.next(&buffer, &Limits::CLIENT).unwrap().is_some() {}
            parser.rebase();
            rooms.push(parser.spans.capacity());
        }
        assert!(rooms.iter().all(|&room| room == rooms[0]), "{rooms:?}");
    }

    #[test]
    fn a_request_behind_one_that_was_given_up_is_found_whatever_the_other_was() {
        for given_up in
            ["", "*", "*2\r\n$3\r\nGET\r\n$1", "*1\r\n:", "PING", "PING 'x", "*0\r", "\r\n*2\r\n$3\r\nGET\nx"]
        {
            let buffer = format!("*1\r\n$1\r\na\r\n{given_up}*1\r\n$1\r\nb\r\nc\r\n").into_bytes();
            let end = 11 + given_up.len();
            let mut parser = Parser::default();
            let first = parser.next(&buffer[..end], &Limits::CLIENT).unwrap().unwrap();
            let _ = parser.next(&buffer[..end], &Limits::CLIENT);
            parser.skip_to(end);
            let behind = [(); 2].map(|()| parser.next(&buffer, &Limits::CLIENT).unwrap().unwrap());
            assert_eq!(parser.next(&buffer, &Limits::CLIENT), Ok(None));
            let words = [first, behind[0], behind[1]].map(|at| parser.request(&buffer, at).word(0));
            assert_eq!(words, [&b"a"[..], b"b", b"c"], "{given_up:?}");
            assert_eq!(usize::try_from(behind[0].start).unwrap(), end, "{given_up:?}");
            parser.rebase();
            assert!(parser.is_idle() || parser.missing() == 1);
        }
    }

    #[test]
    fn words_of_inline_commands_are_forgotten_with_their_batch() {
        let mut parser = Parser::default();
        let line = [b"ECHO ", &[b'x'; 60_000][..], b"\n"].concat();
        for _ in 0..3 {
            assert!(parser.next(&line, &Limits::CLIENT).unwrap().is_some());
            assert_eq!(parser.unquoted.len(), 60_004);
            parser.rebase();
            assert_eq!(parser.unquoted.len(), 0);
            assert!(parser.unquoted.capacity() <= UNQUOTED_BYTES_KEPT);
        }
    }
}
