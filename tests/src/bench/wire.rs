//! Just enough RESP2 to find where a request or a reply ends.
//!
//! The tools speak to servers that are known to be well-formed: replies are lines, bulks and flat arrays of these, and
//! nothing is checked. The product's own codec is the `resp` crate; using it here would measure the product
//! with itself.

/// A request at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Bytes it takes.
    pub len: usize,
    /// First letter of the command's name, lower case: all that a constant answer needs to know.
    pub initial: u8,
    /// The first argument. Empty for a request without arguments.
    pub key: &'a [u8],
}

/// A reply at the start of a buffer: a line, a bulk, or an array of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Bytes it takes.
    pub len: usize,
    pub kind: ReplyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    Value,
    Nil,
    Error,
}

/// The request `bytes` begin with, once it is there whole.
#[inline]
#[must_use]
pub fn request(bytes: &[u8]) -> Option<Request<'_>> {
    if *bytes.first()? != b'*' {
        return None;
    }
    let (words, at) = number(bytes, 1)?;
    let (name, mut at) = word(bytes, at)?;
    let mut key: &[u8] = &[];
    if words > 1 {
        (key, at) = word(bytes, at)?;
    }
    for _ in 2..words {
        (_, at) = word(bytes, at)?;
    }
    Some(Request { len: at, initial: name.first()? | 0x20, key })
}

/// The word whose header stands at `at`, and where the next one's does.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (len, start) = number(bytes, at + 1)?;
    let next = start + len + 2;
    if next > bytes.len() {
        return None;
    }
    Some((&bytes[start..start + len], next))
}

/// The reply `bytes` begin with, once it is there whole.
#[inline]
#[must_use]
pub fn reply(bytes: &[u8]) -> Option<Reply> {
    let kind = match bytes {
        [b'$', b'-', ..] => ReplyKind::Nil,
        [b'$', ..] => {
            let (len, start) = number(bytes, 1)?;
            let end = start + len + 2;
            return (end <= bytes.len()).then_some(Reply { len: end, kind: ReplyKind::Value });
        }
        [b'-', ..] => ReplyKind::Error,
        [b'*', digit, ..] if *digit != b'-' => return array(bytes),
        _ => ReplyKind::Value,
    };
    Some(Reply { len: line(bytes)?, kind })
}

/// A flat array: what its elements are is not looked at.
fn array(bytes: &[u8]) -> Option<Reply> {
    let (elements, mut at) = number(bytes, 1)?;
    for _ in 0..elements {
        at = match bytes.get(at..)? {
            [b'$', sign, ..] if *sign != b'-' => {
                let (len, start) = number(bytes, at + 1)?;
                start + len + 2
            }
            rest => at + line(rest)?,
        };
    }
    (at <= bytes.len()).then_some(Reply { len: at, kind: ReplyKind::Value })
}

/// The number that stands at `at`, and where its line ends. Nearly all numbers have one or two digits: looking at these
/// at once instead of in a loop halves the instructions of a constant answer.
#[inline]
fn number(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    match bytes.get(at..)? {
        [ones, b'\r', _, ..] => Some((digit(*ones), at + 3)),
        [tens, ones, b'\r', _, ..] => Some((digit(*tens) * 10 + digit(*ones), at + 4)),
        rest => long_number(rest).map(|(value, len)| (value, at + len)),
    }
}

#[cold]
fn long_number(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\r')?;
    let value =
        bytes[..end].iter().fold(0_usize, |value, byte| value.wrapping_mul(10).wrapping_add(digit(*byte)));
    (end + 2 <= bytes.len()).then_some((value, end + 2))
}

#[inline]
fn digit(byte: u8) -> usize {
    usize::from(byte.wrapping_sub(b'0'))
}

#[inline]
fn line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_found_only_when_whole() {
        let bytes = b"*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n$2\r\nab\r\n";
        for cut in 0..bytes.len() {
            assert_eq!(request(&bytes[..cut]), None, "cut at {cut}");
        }
        let mut more = bytes.to_vec();
        more.extend_from_slice(b"*1\r\n");
        let found = request(&more).unwrap();
        assert_eq!((found.len, found.initial, found.key), (bytes.len(), b's', &b"key:1"[..]));
    }

    #[test]
    fn a_request_without_arguments_has_no_key() {
        let found = request(b"*1\r\n$4\r\nPING\r\n").unwrap();
        assert_eq!(found, Request { len: 14, initial: b'p', key: &[] });
    }

    #[test]
    fn a_reply_is_found_only_when_whole() {
        for (bytes, kind) in [
            (&b"+OK\r\n"[..], ReplyKind::Value),
            (b"$-1\r\n", ReplyKind::Nil),
            (b"$0\r\n\r\n", ReplyKind::Value),
            (b"$12\r\nhello\r\nworld\r\n", ReplyKind::Value),
            (b":17\r\n", ReplyKind::Value),
            (b"*0\r\n", ReplyKind::Value),
            (b"*3\r\n$5\r\nhello\r\n$-1\r\n:17\r\n", ReplyKind::Value),
            (b"-ERR no\r\n", ReplyKind::Error),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(reply(&bytes[..cut]), None, "{bytes:?} cut at {cut}");
            }
            let mut more = bytes.to_vec();
            more.extend_from_slice(b"$-1");
            assert_eq!(reply(&more), Some(Reply { len: bytes.len(), kind }));
        }
    }
}
