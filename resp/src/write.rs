//! Encoders: append one element to an output buffer. Where RESP2 and RESP3 differ, the version decides.
//!
//! Hot: nothing here allocates but the growth of the output buffer.

use crate::double as doubles;

/// The version a connection speaks (`HELLO 2`, `HELLO 3`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub enum Version {
    #[default]
    Resp2,
    Resp3,
}

/// `+text`. Line ends inside are written as spaces.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    line(out, b'+', text.as_bytes());
}

/// `-text` (the text brings its own code, e.g. `ERR no such key`). Line ends around it are dropped, those inside are
/// written as spaces, as Redis does: a text may quote what a client sent.
pub fn error(out: &mut Vec<u8>, text: &[u8]) {
    line(out, b'-', trim_line_ends(text));
}

/// `:n`
pub fn integer(out: &mut Vec<u8>, value: i64) {
    number(out, b':', value);
}

/// `$len` and the bytes
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    blob(out, b'$', bytes);
}

/// `$len`: the bytes and their line end are the caller's.
pub fn bulk_header(out: &mut Vec<u8>, len: usize) {
    number(out, b'$', len);
}

/// An integer's digits as a bulk.
pub fn bulk_integer(out: &mut Vec<u8>, value: i64) {
    bulk(out, itoa::Buffer::new().format(value).as_bytes());
}

/// RESP2 `$-1`, RESP3 `_`
pub fn null(out: &mut Vec<u8>, version: Version) {
    out.extend_from_slice(match version {
        Version::Resp2 => b"$-1\r\n",
        Version::Resp3 => b"_\r\n",
    });
}

/// RESP2 `*-1`, RESP3 `_`
pub fn null_array(out: &mut Vec<u8>, version: Version) {
    out.extend_from_slice(match version {
        Version::Resp2 => b"*-1\r\n",
        Version::Resp3 => b"_\r\n",
    });
}

/// `*len`
pub fn array(out: &mut Vec<u8>, len: usize) {
    number(out, b'*', len);
}

/// RESP2 `*2len`, RESP3 `%len`
pub fn map(out: &mut Vec<u8>, version: Version, len: usize) {
    match version {
        Version::Resp2 => number(out, b'*', len * 2),
        Version::Resp3 => number(out, b'%', len),
    }
}

/// RESP2 `*len`, RESP3 `~len`
pub fn set(out: &mut Vec<u8>, version: Version, len: usize) {
    number(out, by_version(version, b'*', b'~'), len);
}

/// RESP2 `*len`, RESP3 `>len`
pub fn push(out: &mut Vec<u8>, version: Version, len: usize) {
    number(out, by_version(version, b'*', b'>'), len);
}

/// RESP2 a bulk, RESP3 `,value`; the spelling of [`crate::double`].
pub fn double(out: &mut Vec<u8>, version: Version, value: f64) {
    match version {
        Version::Resp2 => {
            // No double has more than 24 characters, so a length of two digits is reserved and set afterwards.
            let start = out.len();
            out.extend_from_slice(b"$00\r\n");
            doubles::write(out, value);
            let len = out.len() - start - 5;
            if len < 10 {
                out.remove(start + 1);
                out[start + 1] = digit(len);
            } else {
                out[start + 1] = digit(len / 10);
                out[start + 2] = digit(len % 10);
            }
        }
        Version::Resp3 => {
            out.push(b',');
            doubles::write(out, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// RESP2 `:1`/`:0`, RESP3 `#t`/`#f`
pub fn boolean(out: &mut Vec<u8>, version: Version, value: bool) {
    out.extend_from_slice(match (version, value) {
        (Version::Resp2, false) => b":0\r\n",
        (Version::Resp2, true) => b":1\r\n",
        (Version::Resp3, false) => b"#f\r\n",
        (Version::Resp3, true) => b"#t\r\n",
    });
}

/// RESP2 a bulk, RESP3 `=len` with a three-letter format (`txt`, `mkd`)
pub fn verbatim(out: &mut Vec<u8>, version: Version, format: &str, bytes: &[u8]) {
    debug_assert_eq!(format.len(), 3, "a verbatim format has three letters");
    match version {
        Version::Resp2 => bulk(out, bytes),
        Version::Resp3 => {
            number(out, b'=', bytes.len() + 4);
            out.reserve(bytes.len() + 6);
            out.extend_from_slice(format.as_bytes());
            out.push(b':');
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// RESP2 a bulk, RESP3 `(digits`
pub fn big_number(out: &mut Vec<u8>, version: Version, digits: &str) {
    match version {
        Version::Resp2 => bulk(out, digits.as_bytes()),
        Version::Resp3 => line(out, b'(', digits.as_bytes()),
    }
}

/// A request: `*n` and its words as bulks.
pub fn request<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    array(out, words.len());
    for word in words {
        bulk(out, word.as_ref());
    }
}

/// `<kind>len`, the bytes, and their line end.
#[inline]
pub(crate) fn blob(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.reserve(bytes.len() + 16);
    number(out, kind, bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// `<kind>n`. Also the header of everything that has a length.
#[inline]
pub(crate) fn number(out: &mut Vec<u8>, kind: u8, value: impl itoa::Integer + TryInto<u8> + Copy) {
    match value.try_into() {
        // Most lengths and many integers have one digit: one copy of four bytes.
        Ok(small @ 0..10) => out.extend_from_slice(&[kind, b'0' + small, b'\r', b'\n']),
        _ => {
            out.push(kind);
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// `<kind>text`, kept on one line.
pub(crate) fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.reserve(text.len() + 3);
    out.push(kind);
    let start = out.len();
    out.extend_from_slice(text);
    if memchr::memchr2(b'\r', b'\n', text).is_some() {
        for byte in &mut out[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn trim_line_ends(mut text: &[u8]) -> &[u8] {
    while let [b'\r' | b'\n', rest @ ..] | [rest @ .., b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

fn by_version(version: Version, resp2: u8, resp3: u8) -> u8 {
    match version {
        Version::Resp2 => resp2,
        Version::Resp3 => resp3,
    }
}

fn digit(value: usize) -> u8 {
    b"0123456789"[value]
}

#[cfg(test)]
mod tests {
    use super::Version::{Resp2, Resp3};
    use super::*;

    #[track_caller]
    fn check(write: impl Fn(&mut Vec<u8>, Version), resp2: &str, resp3: &str) {
        for (version, expected) in [(Resp2, resp2), (Resp3, resp3)] {
            let mut out = b"before".to_vec();
            write(&mut out, version);
            assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"));
        }
    }

    #[test]
    fn what_is_the_same_in_both_versions() {
        let same = |write: &dyn Fn(&mut Vec<u8>), text: &str| check(|out, _| write(out), text, text);
        same(&|out| simple(out, "OK"), "+OK\r\n");
        same(&|out| integer(out, 7), ":7\r\n");
        same(&|out| integer(out, 10), ":10\r\n");
        same(&|out| integer(out, -1), ":-1\r\n");
        same(&|out| integer(out, i64::MIN), ":-9223372036854775808\r\n");
        same(&|out| bulk(out, b""), "$0\r\n\r\n");
        same(&|out| bulk(out, b"a\r\nb"), "$4\r\na\r\nb\r\n");
        same(&|out| bulk(out, &[b'x'; 300]), &format!("$300\r\n{}\r\n", "x".repeat(300)));
        same(&|out| bulk_integer(out, -12), "$3\r\n-12\r\n");
        same(&|out| array(out, 0), "*0\r\n");
        same(&|out| array(out, 1_000_000), "*1000000\r\n");
        same(&|out| request(out, &["GET", "key"]), "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
    }

    #[test]
    fn what_differs_between_the_versions() {
        check(null, "$-1\r\n", "_\r\n");
        check(null_array, "*-1\r\n", "_\r\n");
        check(|out, version| map(out, version, 3), "*6\r\n", "%3\r\n");
        check(|out, version| set(out, version, 12), "*12\r\n", "~12\r\n");
        check(|out, version| push(out, version, 2), "*2\r\n", ">2\r\n");
        check(|out, version| double(out, version, 0.5), "$3\r\n0.5\r\n", ",0.5\r\n");
        check(
            |out, version| double(out, version, -1.0 / 3.0),
            "$19\r\n-0.3333333333333333\r\n",
            ",-0.3333333333333333\r\n",
        );
        check(|out, version| double(out, version, f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n");
        check(|out, version| boolean(out, version, true), ":1\r\n", "#t\r\n");
        check(|out, version| boolean(out, version, false), ":0\r\n", "#f\r\n");
        check(|out, version| verbatim(out, version, "txt", b"some"), "$4\r\nsome\r\n", "=8\r\ntxt:some\r\n");
        check(
            |out, version| big_number(out, version, "-12345678901234567890"),
            "$21\r\n-12345678901234567890\r\n",
            "(-12345678901234567890\r\n",
        );
    }

    #[test]
    fn an_error_stays_on_one_line() {
        for (text, expected) in [
            ("ERR plain", "-ERR plain\r\n"),
            ("\r\nERR a\r\nb\n", "-ERR a  b\r\n"),
            ("ERR quoted '\r\n+OK\r\n'", "-ERR quoted '  +OK  '\r\n"),
            ("\n\r", "-\r\n"),
        ] {
            check(|out, _| error(out, text.as_bytes()), expected, expected);
        }
        check(|out, _| simple(out, "a\r\nb"), "+a  b\r\n", "+a  b\r\n");
    }
}
