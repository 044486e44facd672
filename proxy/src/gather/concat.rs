//! Arrays or sets of several shards as one: KEYS.
//!
//! Their order says nothing, so elements may leave as they come, of whichever part: all that the client must be told first
//! is how many there will be, which the first lines of all parts say together. So KEYS over millions of keys needs room for
//! elements that have not come whole, not for the reply. Pure.

use slotway_resp::{Limits, Scanner};

/// A buffer with more room than this, nearly all of it unused, gives it back.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// All parts, which are whole.
pub(super) fn whole(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let heads = Head::write_sum(parts, out)?;
    for (part, head) in parts.iter().zip(&heads) {
        out.extend_from_slice(&part[head.len..]);
    }
    Some(())
}

/// A reply whose first line has been handed on; what follows, by part.
#[derive(Debug)]
pub(super) struct Concat {
    scanners: Vec<Scanner>,
}

impl Concat {
    /// Takes the first lines out of the parts and appends that of the whole. None: they have not all come, or the parts do
    /// not fit together.
    pub(super) fn begin(parts: &mut [Vec<u8>], out: &mut Vec<u8>) -> Option<Concat> {
        let heads = Head::write_sum(parts, out)?;
        for (part, head) in parts.iter_mut().zip(&heads) {
            part.drain(..head.len);
        }
        Some(Concat { scanners: parts.iter().map(|_| Scanner::default()).collect() })
    }

    /// Moves the whole elements of the parts to `out`.
    pub(super) fn hand_on(&mut self, parts: &mut [Vec<u8>], out: &mut Vec<u8>) {
        for (part, scanner) in parts.iter_mut().zip(&mut self.scanners) {
            let mut end = 0;
            // What a link has let through is no error here.
            while let Ok(Some(scanned)) = scanner.next(&part[end..], &Limits::REPLY) {
                end += scanned.len;
            }
            out.extend_from_slice(&part[..end]);
            part.drain(..end);
            if part.capacity() > KEPT_BYTES_MAX && part.len() < part.capacity() / 4 {
                part.shrink_to_fit();
            }
        }
    }
}

/// The first line of an array or set.
pub(super) struct Head {
    /// `*` or `~`.
    kind: u8,
    pub(super) count: usize,
    /// Its bytes, line end included.
    pub(super) len: usize,
}

impl Head {
    pub(super) fn of(part: &[u8]) -> Option<Head> {
        let kind = *part.first().filter(|&&kind| matches!(kind, b'*' | b'~'))?;
        let len = memchr::memchr(b'\n', part)? + 1;
        let count = std::str::from_utf8(part.get(1..len - 2)?).ok()?.parse().ok()?;
        Some(Head { kind, count, len })
    }

    /// The heads of all parts; appends that of the whole.
    fn write_sum(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<Vec<Head>> {
        let heads: Vec<Head> = parts.iter().map(|part| Head::of(part)).collect::<Option<_>>()?;
        let kind = heads.first()?.kind;
        if heads.iter().any(|head| head.kind != kind) {
            return None;
        }
        out.push(kind);
        out.extend_from_slice(heads.iter().map(|head| head.count).sum::<usize>().to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
        Some(heads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_before_all_first_lines_are_here() {
        let mut out = Vec::new();
        for second in [&b""[..], b"*", b"*3", b"*3\r", b":3\r\n", b"-ERR x\r\n", b"~1\r\n", b"*-1\r\n"] {
            let mut parts = [b"*1\r\n:1\r\n".to_vec(), second.to_vec()];
            assert!(Concat::begin(&mut parts, &mut out).is_none(), "{}", second.escape_ascii());
            assert!(out.is_empty());
        }
    }

    #[test]
    fn elements_leave_whole_however_they_come() {
        let elements = b"$3\r\na\r\n\r\n*2\r\n:1\r\n:2\r\n+x\r\n";
        for cut in 0..elements.len() {
            let mut parts = [b"*3\r\n".to_vec(), b"*0\r\n".to_vec()];
            parts[0].extend_from_slice(&elements[..cut]);
            let mut out = Vec::new();
            let mut concat = Concat::begin(&mut parts, &mut out).unwrap();
            concat.hand_on(&mut parts, &mut out);
            assert!([4, 13, 25].contains(&out.len()) || cut == elements.len(), "{}", out.len());
            parts[0].extend_from_slice(&elements[cut..]);
            concat.hand_on(&mut parts, &mut out);
            assert_eq!(out, [&b"*3\r\n"[..], elements].concat());
            assert!(parts.iter().all(Vec::is_empty));
        }
    }
}
