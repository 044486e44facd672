//! The reply of a settled write, as it is kept: most are `+OK` or a number and take no room of their own.

use super::marker::Cursor;

/// A longer one is not kept: in flight at a failover it ends as `-INDETERMINATE`.
pub const REPLY_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Ok,
    Integer(i64),
    /// Any other, as it stood on the link.
    Bytes(Box<[u8]>),
    /// It was longer than [`REPLY_BYTES_MAX`], or too much was kept already.
    NotKept,
}

impl Reply {
    /// Of what a link was or would be sent: one whole reply.
    pub fn of(bytes: &[u8]) -> Reply {
        let number = match bytes {
            b"+OK\r\n" => return Reply::Ok,
            [b':', digits @ .., b'\r', b'\n'] => integer(digits),
            _ => None,
        };
        match number {
            Some(number) => Reply::Integer(number),
            None if bytes.len() > REPLY_BYTES_MAX => Reply::NotKept,
            None => Reply::Bytes(bytes.into()),
        }
    }

    /// Whether it is the same in every version of the protocol, so that whoever executes the effect again, on whatever link, has it.
    pub fn is_plain(&self) -> bool {
        matches!(self, Reply::Ok | Reply::Integer(_))
    }

    /// As the link is sent it. False, and nothing: it was not kept.
    pub fn write(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Reply::Ok => out.extend_from_slice(b"+OK\r\n"),
            Reply::Integer(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
            Reply::Bytes(bytes) => out.extend_from_slice(bytes),
            Reply::NotKept => return false,
        }
        true
    }

    /// What it takes beside its entry.
    pub fn kept_bytes(&self) -> usize {
        match self {
            Reply::Bytes(bytes) => bytes.len(),
            Reply::Ok | Reply::Integer(_) | Reply::NotKept => 0,
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Ok => out.push(b'k'),
            Reply::Integer(number) => out.extend_from_slice(format!("i{number}").as_bytes()),
            Reply::Bytes(bytes) => {
                out.extend_from_slice(format!("b{}:", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
            }
            Reply::NotKept => out.push(b'l'),
        }
    }

    pub(super) fn take(cursor: &mut Cursor<'_>) -> Option<Reply> {
        match cursor.byte()? {
            b'k' => Some(Reply::Ok),
            b'i' => {
                let digits = cursor.while_so(|byte| byte == b'-' || byte.is_ascii_digit());
                integer(digits).map(Reply::Integer)
            }
            b'b' => {
                let len = usize::try_from(cursor.number()?).ok().filter(|len| *len <= REPLY_BYTES_MAX)?;
                cursor.expect(b':')?;
                Some(Reply::Bytes(cursor.bytes(len)?.into()))
            }
            b'l' => Some(Reply::NotKept),
            _ => None,
        }
    }
}

/// Only as it is written, so that what was taken apart is put together again to the byte.
fn integer(digits: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(digits).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], kept: &Reply) {
        let reply = Reply::of(bytes);
        assert_eq!(&reply, kept, "{}", bytes.escape_ascii());
        let mut out = Vec::new();
        assert!(reply.write(&mut out));
        assert_eq!(out, bytes, "{}", bytes.escape_ascii());
    }

    #[test]
    fn a_kept_reply_is_given_again_to_the_byte() {
        let other = |bytes: &[u8]| Reply::Bytes(bytes.into());
        check(b"+OK\r\n", &Reply::Ok);
        check(b":0\r\n", &Reply::Integer(0));
        check(b":-9223372036854775808\r\n", &Reply::Integer(i64::MIN));
        for bytes in [&b":+1\r\n"[..], b":01\r\n", b":-0\r\n", b":99999999999999999999\r\n", b":\r\n"] {
            check(bytes, &other(bytes));
        }
        check(b"$3\r\na,e\r\n", &other(b"$3\r\na,e\r\n"));
        check(b"-ERR no\r\n", &other(b"-ERR no\r\n"));
    }

    #[test]
    fn of_a_reply_that_is_too_long_only_its_number_is_kept() {
        let long = vec![b'x'; REPLY_BYTES_MAX + 1];
        assert_eq!(Reply::of(&long), Reply::NotKept);
        assert!(matches!(Reply::of(&long[1..]), Reply::Bytes(_)));
        assert!(!Reply::NotKept.write(&mut Vec::new()));
    }
}
