//! The reply of EXEC with the proxy's own replies between those of the node. Pure.

use slotway_resp::{Limits, Scanner, write};

use crate::errors::MALFORMED;

/// Appends the reply of a transaction: `reply` is the node's, `own` stands at the `positions` (ascending) of the whole.
/// `own` is asked only if the transaction ran: an error or a null is passed on as it is.
pub(crate) fn splice(
    reply: &[u8],
    positions: &[usize],
    mut own: impl FnMut(usize) -> Vec<u8>,
    out: &mut Vec<u8>,
) {
    let Some((count, mut rest)) = array(reply) else { return out.extend_from_slice(reply) };
    let start = out.len();
    let total = count + positions.len();
    write::array(out, total);
    let mut mine = positions.iter().enumerate().peekable();
    for position in 0..total {
        if let Some((number, _)) = mine.next_if(|(_, at)| **at == position) {
            out.extend_from_slice(&own(number));
            continue;
        }
        let Ok(Some(scanned)) = Scanner::default().next(rest, &Limits::REPLY) else {
            out.truncate(start);
            return out.extend_from_slice(MALFORMED);
        };
        out.extend_from_slice(&rest[..scanned.len]);
        rest = &rest[scanned.len..];
    }
}

/// The number of elements of an array, and its bytes behind the first line. None: no array, or a null.
fn array(reply: &[u8]) -> Option<(usize, &[u8])> {
    let body = reply.strip_prefix(b"*")?;
    let end = memchr::memchr(b'\r', body)?;
    let count = std::str::from_utf8(&body[..end]).ok()?.parse().ok()?;
    Some((count, body.get(end + 2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: &str, positions: &[usize], expected: &str) {
        let mut out = b"before".to_vec();
        splice(reply.as_bytes(), positions, |number| format!("+own{number}\r\n").into_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"));
    }

    #[test]
    fn own_replies_stand_where_their_commands_stood() {
        check(":1", &[], ":1");
        check("*0\r\n", &[0, 1], "*2\r\n+own0\r\n+own1\r\n");
        check("*1\r\n$1\r\na\r\n", &[0], "*2\r\n+own0\r\n$1\r\na\r\n");
        check("*1\r\n$1\r\na\r\n", &[1], "*2\r\n$1\r\na\r\n+own0\r\n");
        check(
            "*3\r\n*2\r\n:1\r\n:2\r\n%1\r\n+k\r\n_\r\n-ERR x\r\n",
            &[1, 3],
            "*5\r\n*2\r\n:1\r\n:2\r\n+own0\r\n%1\r\n+k\r\n_\r\n+own1\r\n-ERR x\r\n",
        );
    }

    #[test]
    fn what_did_not_run_is_passed_on() {
        for reply in ["*-1\r\n", "_\r\n", "-EXECABORT x\r\n"] {
            check(reply, &[0], reply);
        }
    }

    #[test]
    fn too_few_elements_make_an_error_and_no_broken_stream() {
        let malformed = std::str::from_utf8(MALFORMED).unwrap();
        check("*2\r\n:1\r\n", &[0], malformed);
    }
}
