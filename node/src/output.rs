//! Replies on their way to one client: what its socket did not take at once, in order.
//!
//! Nearly every reply never comes here: a connection writes a batch's replies straight from the thread's buffer, and
//! only what the socket refuses is kept. So an idle client holds no output, and a slow one exactly the bytes it
//! has not read. A piece is bytes today; replies that wait for something else than the socket (an acknowledgement
//! of replicas, a sync of the log) become a second kind of piece in the same queue, which is what keeps the order.

use std::{collections::VecDeque, io};

use slotway_config::OutputLimit;

use crate::call::Millis;

/// What waits in line.
#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
}

/// The ordered queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are already sent.
    sent: usize,
    /// Bytes that wait, over all pieces.
    bytes: usize,
}

/// Small leftovers are appended to the last piece up to this size, so that a slow client costs few pieces.
const PIECE_BYTES: usize = 16 * 1024;

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Appends a copy of `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        match self.pieces.back_mut() {
            Some(Piece::Bytes(last)) if last.len() + bytes.len() <= PIECE_BYTES => {
                last.extend_from_slice(bytes)
            }
            _ => self.pieces.push_back(Piece::Bytes(bytes.to_vec())),
        }
    }

    /// Appends `bytes` from `start` on without copying them.
    pub(crate) fn push_owned(&mut self, bytes: Vec<u8>, start: usize) {
        if !self.is_empty() && start > 0 {
            return self.push(&bytes[start..]);
        }
        self.bytes += bytes.len() - start;
        if self.pieces.is_empty() {
            self.sent = start;
        }
        self.pieces.push_back(Piece::Bytes(bytes));
    }

    /// Gives the bytes in line to `write`, piece by piece, until none is left or it would have to wait. Returns how
    /// many were taken.
    pub(crate) fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
        let before = self.bytes;
        while let Some(Piece::Bytes(first)) = self.pieces.front() {
            match write(&first[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.sent += taken;
                    self.bytes -= taken;
                    if self.sent == first.len() {
                        self.pieces.pop_front();
                        self.sent = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(before - self.bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Nothing left: an idle client holds no queue either.
        self.pieces = VecDeque::new();
        Ok(before)
    }
}

/// What a class's limit says of a client with `bytes` waiting. `over_since` is its memory of the soft limit.
pub(crate) fn is_over_limit(
    limit: OutputLimit,
    bytes: usize,
    over_since: &mut Option<Millis>,
    now: Millis,
) -> bool {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    if limit.hard_bytes != 0 && bytes > limit.hard_bytes {
        return true;
    }
    if limit.soft_bytes == 0 || bytes <= limit.soft_bytes {
        *over_since = None;
        return false;
    }
    let since = *over_since.get_or_insert(now);
    now.0.saturating_sub(since.0) > limit.soft_seconds.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes `room` bytes.
    fn take(room: usize, into: &mut Vec<u8>) -> impl FnMut(&[u8]) -> io::Result<usize> {
        let mut room = room;
        move |bytes| {
            let taken = bytes.len().min(room);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            room -= taken;
            into.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came_whatever_the_socket_takes() {
        for room in 1..40 {
            let mut output = Output::default();
            output.push_owned(b"..first".to_vec(), 2);
            output.push(b"second");
            output.push_owned(b"third".to_vec(), 0);
            output.push_owned(b"--fourth".to_vec(), 2);
            let mut sent = Vec::new();
            while !output.is_empty() {
                let before = output.bytes();
                let taken = output.flush(take(room, &mut sent)).unwrap();
                assert_eq!(before - taken, output.bytes());
            }
            assert_eq!(sent, b"firstsecondthirdfourth");
        }
    }

    #[test]
    fn a_socket_that_ends_is_an_error() {
        let mut output = Output::default();
        output.push(b"x");
        assert!(output.flush(|_| Ok(0)).is_err());
        assert!(output.flush(|_| Err(io::ErrorKind::BrokenPipe.into())).is_err());
    }

    #[test]
    fn the_hard_limit_cuts_at_once_and_the_soft_limit_after_its_seconds_without_a_break() {
        let limit = OutputLimit { hard_bytes: 100, soft_bytes: 50, soft_seconds: 10 };
        let mut since = None;
        let mut check = |bytes, second: u64| is_over_limit(limit, bytes, &mut since, Millis(second * 1000));
        assert!(check(101, 0));
        assert!(!check(60, 1));
        assert!(!check(60, 11));
        assert!(check(60, 12), "more than ten seconds");
        assert!(!check(50, 13), "a break");
        assert!(!check(60, 14));
        assert!(!check(60, 24));
        assert!(check(60, 25));
        let none = OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };
        assert!(!is_over_limit(none, usize::MAX, &mut None, Millis(0)));
    }
}
