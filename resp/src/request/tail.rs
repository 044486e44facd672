//! The rest of a request that is not waited for: its words are taken as their bytes come, and nothing is kept.
//!
//! A caller that knows enough of a large request from its first words ([`super::Parser::head`]) goes on with a [`Tail`].
//! It is fed bytes in any cuts and gives them back as pieces: a word of so many bytes begins, some of its bytes, it has
//! ended. Line ends are not among the pieces: whoever passes the request on writes its own, so that what Redis lets pass
//! leaves as RESP to the letter.
//!
//! Only a line that is not whole (`$123`) is left with the caller; everything else is taken at once.

use memchr::memchr;

use crate::{Limits, ProtocolError, number};

/// The shortest word: `$0`, a line end, and another one.
const WORD_BYTES_MIN: usize = 6;

/// What is still to come of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Words that have not ended.
    words_left: usize,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a `$`.
    Header,
    /// So many bytes of the word are to come.
    Word(usize),
    /// So many bytes behind the word are to come. Nobody looks at them, as in Redis.
    LineEnd(usize),
}

/// What some bytes of a tail say.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// A word of so many bytes begins.
    Word(usize),
    /// Bytes of the word.
    Bytes(&'b [u8]),
    /// The word has ended, its line end included.
    End,
}

impl Tail {
    /// `words`: how many are to come, each from its `$` on.
    pub(super) fn new(words: usize) -> Tail {
        Tail { words_left: words, place: Place::Header }
    }

    /// The request is whole.
    pub fn is_whole(&self) -> bool {
        self.words_left == 0
    }

    /// At least so many bytes are to come.
    pub fn missing(&self) -> usize {
        let Some(behind) = self.words_left.checked_sub(1) else { return 0 };
        let present = match self.place {
            Place::Header => WORD_BYTES_MIN,
            Place::Word(left) => left.saturating_add(2),
            Place::LineEnd(left) => left,
        };
        present.saturating_add(behind.saturating_mul(WORD_BYTES_MIN))
    }

    /// The next piece in `bytes`, whose front is taken: `bytes` becomes what is left. None: more must come, or the
    /// request is whole.
    pub fn next<'b>(
        &mut self,
        bytes: &mut &'b [u8],
        limits: &Limits,
    ) -> Result<Option<Piece<'b>>, ProtocolError> {
        if self.is_whole() {
            return Ok(None);
        }
        match self.place {
            Place::Header => {
                let Some((len, header_bytes)) = header(bytes, limits)? else { return Ok(None) };
                take(bytes, header_bytes);
                self.place = if len > 0 { Place::Word(len) } else { Place::LineEnd(2) };
                Ok(Some(Piece::Word(len)))
            }
            Place::Word(_) | Place::LineEnd(_) if bytes.is_empty() => Ok(None),
            Place::Word(left) => {
                let part = take(bytes, left);
                self.place =
                    if part.len() < left { Place::Word(left - part.len()) } else { Place::LineEnd(2) };
                Ok(Some(Piece::Bytes(part)))
            }
            Place::LineEnd(left) => {
                let part = take(bytes, left);
                if part.len() < left {
                    self.place = Place::LineEnd(left - part.len());
                    return Ok(None);
                }
                self.place = Place::Header;
                self.words_left -= 1;
                Ok(Some(Piece::End))
            }
        }
    }
}

/// Takes up to `len` bytes from the front.
fn take<'b>(bytes: &mut &'b [u8], len: usize) -> &'b [u8] {
    let (part, rest) = bytes.split_at(len.min(bytes.len()));
    *bytes = rest;
    part
}

/// The line `$N`: the number, and the bytes of the line. None: not whole. As the parser judges it.
fn header(bytes: &[u8], limits: &Limits) -> Result<Option<(usize, usize)>, ProtocolError> {
    let simple = match bytes.first() {
        Some(b'$') => number::short_length(bytes, 1),
        _ => None,
    };
    let found = match simple {
        Some(found) => found,
        None => {
            let line = &bytes[..bytes.len().min(limits.inline_bytes_max.saturating_add(1))];
            let Some(end) = memchr(b'\r', line) else {
                return match bytes.len() > limits.inline_bytes_max {
                    true => Err(ProtocolError::new("too big bulk count string")),
                    false => Ok(None),
                };
            };
            if end + 1 >= bytes.len() {
                return Ok(None);
            }
            if bytes[0] != b'$' {
                return Err(ProtocolError::unexpected("'$'", bytes[0]));
            }
            match number::integer(&bytes[1..end]).map(usize::try_from) {
                Some(Ok(len)) => (len, end + 2),
                _ => return Err(ProtocolError::new("invalid bulk length")),
            }
        }
    };
    match found.0 > limits.bulk_bytes_max {
        true => Err(ProtocolError::new("invalid bulk length")),
        false => Ok(Some(found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_how_many_bytes_are_missing_at_least() {
        let mut tail = Tail::new(2);
        let mut missing = vec![tail.missing()];
        for part in ["$3\r\n", "ab", "c\r", "\n", "$0\r\n", "\r\n"] {
            let mut bytes = part.as_bytes();
            while tail.next(&mut bytes, &Limits::CLIENT).unwrap().is_some() {}
            assert!(bytes.is_empty());
            missing.push(tail.missing());
        }
        assert_eq!(missing, [12, 11, 9, 7, 6, 2, 0]);
    }
}
