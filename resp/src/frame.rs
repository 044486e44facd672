//! A reply that owns its value: for merging, tests, and programs that look at replies.
//!
//! Comfortable, not fast: [`Frame::parse`] lets a [`Scanner`] find the end of the reply, then copies every value. So
//! memory grows with the bytes that are there, never with a count that was announced. A frame nests no deeper than
//! [`Frame::NESTING_MAX`], because reading, writing and dropping one recurse.

use std::fmt;

use memchr::memchr;

use crate::{Limits, ProtocolError, Scanner, double, number, write};

/// One reply, as it stood on the wire (RESP2's two nulls and RESP3's one are told apart).
#[derive(Clone, PartialEq)]
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
    Verbatim {
        format: [u8; 3],
        text: Vec<u8>,
    },
    BulkError(Vec<u8>),
}

impl Frame {
    /// The deepest frame, whatever the limits say.
    pub const NESTING_MAX: usize = 256;

    /// The first whole reply of `buffer` and its length in bytes; None: not whole yet. Attributes are dropped.
    ///
    /// Starts anew with each call: where a large reply comes in pieces, wait with a [`Scanner`] first.
    pub fn parse(buffer: &[u8], limits: &Limits) -> Result<Option<(Frame, usize)>, ProtocolError> {
        let limits = Limits { nesting_max: limits.nesting_max.min(Self::NESTING_MAX), ..*limits };
        let Some(scanned) = Scanner::default().next(buffer, &limits)? else {
            return Ok(None);
        };
        let frame = Reader { rest: &buffer[..scanned.len] }.frame()?;
        Ok(Some((frame, scanned.len)))
    }

    /// Appends the frame as it stood on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Frame::Simple(text) => write::line(out, b'+', text),
            Frame::Error(text) => write::line(out, b'-', text),
            Frame::Integer(value) => write::integer(out, *value),
            Frame::Bulk(bytes) => write::bulk(out, bytes),
            Frame::NullBulk => write::null(out, write::Version::Resp2),
            Frame::NullArray => write::null_array(out, write::Version::Resp2),
            Frame::Null => write::null(out, write::Version::Resp3),
            Frame::Array(items) => write_items(out, b'*', items),
            Frame::Set(items) => write_items(out, b'~', items),
            Frame::Push(items) => write_items(out, b'>', items),
            Frame::Map(pairs) => {
                write::map(out, write::Version::Resp3, pairs.len());
                for (key, value) in pairs {
                    key.write(out);
                    value.write(out);
                }
            }
            Frame::Double(value) => write::double(out, write::Version::Resp3, *value),
            Frame::Boolean(value) => write::boolean(out, write::Version::Resp3, *value),
            Frame::BigNumber(digits) => write::line(out, b'(', digits),
            Frame::Verbatim { format, text } => write::blob(out, b'=', &[&format[..], b":", text].concat()),
            Frame::BulkError(text) => write::blob(out, b'!', text),
        }
    }

    /// The frame as it stood on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// A bulk.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Frame {
        Frame::Bulk(bytes.as_ref().to_vec())
    }

    /// The text of a string of any kind: simple, bulk, verbatim, big number. Not of an error.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Frame::Simple(text)
            | Frame::Bulk(text)
            | Frame::BigNumber(text)
            | Frame::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The text of a string of any kind, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The text of an error, with its code.
    pub fn as_error(&self) -> Option<&[u8]> {
        match self {
            Frame::Error(text) | Frame::BulkError(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Frame::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// A double, or a string that spells one (which is how RESP2 sends it).
    pub fn as_double(&self) -> Option<f64> {
        match self {
            Frame::Double(value) => Some(*value),
            other => other.as_bytes().and_then(double::parse),
        }
    }

    /// Any of the three nulls.
    pub fn is_null(&self) -> bool {
        matches!(self, Frame::Null | Frame::NullBulk | Frame::NullArray)
    }

    /// The elements of an array, set or push.
    pub fn as_array(&self) -> Option<&[Frame]> {
        match self {
            Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => Some(items),
            _ => None,
        }
    }

    /// The elements of an array, set or push; anything else comes back as it was.
    pub fn into_array(self) -> Result<Vec<Frame>, Frame> {
        match self {
            Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => Ok(items),
            other => Err(other),
        }
    }

    /// The pairs of a map, or of the flat array that stands for one in RESP2; anything else comes back as it was.
    pub fn into_pairs(self) -> Result<Vec<(Frame, Frame)>, Frame> {
        match self {
            Frame::Map(pairs) => Ok(pairs),
            Frame::Array(items) if items.len().is_multiple_of(2) => Ok(pair_up(items)),
            other => Err(other),
        }
    }
}

/// As a person would write it, because a list of byte values tells nobody anything.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |f: &mut fmt::Formatter<'_>, kind: &str, text: &[u8]| {
            write!(f, "{kind}(\"{}\")", text.escape_ascii())
        };
        let items = |f: &mut fmt::Formatter<'_>, kind: &str, items: &[Frame]| {
            f.write_str(kind)?;
            f.debug_list().entries(items).finish()
        };
        match self {
            Frame::Simple(bytes) => text(f, "Simple", bytes),
            Frame::Error(bytes) => text(f, "Error", bytes),
            Frame::Bulk(bytes) => text(f, "Bulk", bytes),
            Frame::BigNumber(bytes) => text(f, "BigNumber", bytes),
            Frame::Verbatim { format, text: bytes } => {
                write!(f, "Verbatim({}, \"{}\")", format.escape_ascii(), bytes.escape_ascii())
            }
            Frame::BulkError(bytes) => text(f, "BulkError", bytes),
            Frame::Integer(value) => write!(f, "Integer({value})"),
            Frame::Double(value) => write!(f, "Double({value})"),
            Frame::Boolean(value) => write!(f, "Boolean({value})"),
            Frame::NullBulk => f.write_str("NullBulk"),
            Frame::NullArray => f.write_str("NullArray"),
            Frame::Null => f.write_str("Null"),
            Frame::Array(frames) => items(f, "Array", frames),
            Frame::Set(frames) => items(f, "Set", frames),
            Frame::Push(frames) => items(f, "Push", frames),
            Frame::Map(pairs) => {
                f.write_str("Map")?;
                f.debug_map().entries(pairs.iter().map(|(key, value)| (key, value))).finish()
            }
        }
    }
}

fn write_items(out: &mut Vec<u8>, kind: u8, items: &[Frame]) {
    write::number(out, kind, items.len());
    for item in items {
        item.write(out);
    }
}

fn pair_up(items: Vec<Frame>) -> Vec<(Frame, Frame)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

/// Reads the values of a reply of which a scanner has found the end: nothing is missing, no count is invented.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn frame(&mut self) -> Result<Frame, ProtocolError> {
        loop {
            let line = self.line();
            let (&kind, text) =
                line.split_first().ok_or_else(|| ProtocolError::new("empty line in a reply"))?;
            return Ok(match kind {
                b'+' => Frame::Simple(text.to_vec()),
                b'-' => Frame::Error(text.to_vec()),
                b'(' => Frame::BigNumber(text.to_vec()),
                b':' => Frame::Integer(count(text)?),
                b',' => {
                    Frame::Double(double::parse(text).ok_or_else(|| ProtocolError::new("invalid double"))?)
                }
                b'#' => Frame::Boolean(text == b"t"),
                b'_' => Frame::Null,
                b'$' if text == b"-1" => Frame::NullBulk,
                b'*' if text == b"-1" => Frame::NullArray,
                b'$' => Frame::Bulk(self.blob(text)?.to_vec()),
                b'!' => Frame::BulkError(self.blob(text)?.to_vec()),
                b'=' => verbatim(self.blob(text)?)?,
                b'*' => Frame::Array(self.items(text, 1)?),
                b'~' => Frame::Set(self.items(text, 1)?),
                b'>' => Frame::Push(self.items(text, 1)?),
                b'%' => Frame::Map(pair_up(self.items(text, 2)?)),
                b'|' => {
                    self.items(text, 2)?;
                    continue;
                }
                other => return Err(ProtocolError::unexpected("a reply", other)),
            });
        }
    }

    /// The next line without its end.
    fn line(&mut self) -> &'a [u8] {
        let end = memchr(b'\r', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 2..).unwrap_or_default();
        line
    }

    /// The bytes of a bulk.
    fn blob(&mut self, len: &[u8]) -> Result<&'a [u8], ProtocolError> {
        let len = usize::try_from(count(len)?).map_err(|_| ProtocolError::new("invalid bulk length"))?;
        let bytes = &self.rest[..len];
        self.rest = &self.rest[len + 2..];
        Ok(bytes)
    }

    /// The elements of an aggregate: `each` for one counted.
    fn items(&mut self, len: &[u8], each: i64) -> Result<Vec<Frame>, ProtocolError> {
        (0..count(len)? * each).map(|_| self.frame()).collect()
    }
}

fn count(text: &[u8]) -> Result<i64, ProtocolError> {
    number::integer(text).ok_or_else(|| ProtocolError::new("invalid integer"))
}

/// `txt:` and the text.
fn verbatim(bytes: &[u8]) -> Result<Frame, ProtocolError> {
    match bytes {
        [a, b, c, b':', text @ ..] => Ok(Frame::Verbatim { format: [*a, *b, *c], text: text.to_vec() }),
        _ => Err(ProtocolError::new("invalid verbatim string")),
    }
}
