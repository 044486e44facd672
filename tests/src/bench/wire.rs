//! Just enough RESP2 to find where a request or a reply ends.
//!
//! The tools speak to servers that are known to be well-formed, with GET, SET, PING and INFO; they know no nested
//! replies and check nothing. The product's own codec is the `resp` crate; using it here would measure the product
//! with itself.

use std::ops::Range;

/// A request at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Bytes it takes.
    pub len: usize,
    /// First letter of the command's name, lower case: all that a constant answer needs to know.
    pub initial: u8,
    /// Where the first argument lies: the key. Empty for a request without arguments.
    pub key: Range<usize>,
}

/// A reply at the start of a buffer: one line or one bulk.
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
pub fn request(bytes: &[u8]) -> Option<Request> {
    if *bytes.first()? != b'*' {
        return None;
    }
    let (words, mut at) = number(bytes, 1)?;
    let mut request = Request { len: 0, initial: 0, key: 0..0 };
    for word in 0..words {
        let (len, start) = number(bytes, at + 1)?;
        let end = start + len;
        at = end + 2;
        if at > bytes.len() {
            return None;
        }
        match word {
            0 => request.initial = bytes[start] | 0x20,
            1 => request.key = start..end,
            _ => {}
        }
    }
    request.len = at;
    Some(request)
}

/// The reply `bytes` begin with, once it is there whole.
#[inline]
#[must_use]
pub fn reply(bytes: &[u8]) -> Option<Reply> {
    match *bytes.first()? {
        b'$' if *bytes.get(1)? == b'-' => Some(Reply { len: line(bytes)?, kind: ReplyKind::Nil }),
        b'$' => {
            let (len, start) = number(bytes, 1)?;
            let end = start + len + 2;
            (end <= bytes.len()).then_some(Reply { len: end, kind: ReplyKind::Value })
        }
        b'-' => Some(Reply { len: line(bytes)?, kind: ReplyKind::Error }),
        _ => Some(Reply { len: line(bytes)?, kind: ReplyKind::Value }),
    }
}

/// The number that starts at `at`, and where the bytes behind its line end start.
#[inline]
fn number(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    loop {
        let byte = *bytes.get(at)?;
        if byte == b'\r' {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(usize::from(byte.wrapping_sub(b'0')));
        at += 1;
    }
    (at + 2 <= bytes.len()).then_some((value, at + 2))
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
        assert_eq!((found.len, found.initial, &more[found.key.clone()]), (bytes.len(), b's', &b"key:1"[..]));
    }

    #[test]
    fn a_request_without_arguments_has_no_key() {
        let found = request(b"*1\r\n$4\r\nPING\r\n").unwrap();
        assert_eq!(found, Request { len: 14, initial: b'p', key: 0..0 });
    }

    #[test]
    fn a_reply_is_found_only_when_whole() {
        for (bytes, kind) in [
            (&b"+OK\r\n"[..], ReplyKind::Value),
            (b"$-1\r\n", ReplyKind::Nil),
            (b"$0\r\n\r\n", ReplyKind::Value),
            (b"$12\r\nhello\r\nworld\r\n", ReplyKind::Value),
            (b":17\r\n", ReplyKind::Value),
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
