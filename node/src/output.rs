//! Replies on their way to one client: what its socket did not take at once, or may not have yet, in order.
//!
//! Nearly every reply never comes here: a connection writes a batch's replies straight from the thread's buffer, and
//! only what the socket refuses is kept. So an idle client holds no output, and a slow one exactly the bytes it
//! has not read. Replies that wait at the [`crate::gate::Gate`] stand in the same queue, each piece with the position that
//! has to be released before it leaves; that is what keeps the order. Whatever was released together leaves with one
//! write.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    ops::Deref,
};

use slotway_config::OutputLimit;

use crate::{call::Millis, feed::Position, keyspace::long_text::LongText};

/// What waits in line.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// Until this is released.
    until: Position,
}

#[derive(Debug)]
enum Bytes {
    Own(Vec<u8>),
    /// A value's, as the keyspace held it.
    Text(LongText),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Own(bytes) => bytes,
            Bytes::Text(text) => text,
        }
    }
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

/// A reply that waits for nothing but those before it.
pub(crate) const AT_ONCE: Position = Position(0);

/// Small leftovers are appended to the last piece up to this size, so that a slow client costs few pieces.
const PIECE_BYTES: usize = 16 * 1024;
/// Pieces given to the socket at once.
const PIECES_PER_WRITE: usize = 16;

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

    /// Whether what is next may be sent.
    pub(crate) fn is_ready(&self, released: Position) -> bool {
        self.pieces.front().is_some_and(|first| first.until <= released)
    }

    /// Appends a copy of `bytes`, which wait until that position is released.
    pub(crate) fn push(&mut self, bytes: &[u8], until: Position) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        match self.pieces.back_mut() {
            // Behind a piece that waits longer they leave no sooner anyway.
            Some(Piece { bytes: Bytes::Own(last), until: later })
                if until <= *later && last.len() + bytes.len() <= PIECE_BYTES =>
            {
                last.extend_from_slice(bytes)
            }
            _ => self.pieces.push_back(Piece { bytes: Bytes::Own(bytes.to_vec()), until }),
        }
    }

    /// Appends a long string without copying it.
    pub(crate) fn push_text(&mut self, text: LongText, until: Position) {
        self.bytes += text.len();
        self.pieces.push_back(Piece { bytes: Bytes::Text(text), until });
    }

    /// Appends `bytes` from `start` on without copying them.
    pub(crate) fn push_owned(&mut self, bytes: Vec<u8>, start: usize, until: Position) {
        if !self.is_empty() && start > 0 {
            return self.push(&bytes[start..], until);
        }
        self.bytes += bytes.len() - start;
        if self.pieces.is_empty() {
            self.sent = start;
        }
        self.pieces.push_back(Piece { bytes: Bytes::Own(bytes), until });
    }

    /// Gives the bytes in line that are released to `write`, several pieces at once, until none is left or it would have
    /// to wait. Returns how many were taken.
    pub(crate) fn flush(
        &mut self,
        released: Position,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let before = self.bytes;
        while self.is_ready(released) {
            let ready = self.pieces.iter().take_while(|piece| piece.until <= released);
            let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(ready) {
                let sent = if count == 0 { self.sent } else { 0 };
                *slice = IoSlice::new(&piece.bytes[sent..]);
                count += 1;
            }
            match write(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => self.drop_sent(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(before - self.bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.pieces.is_empty() {
            // Nothing left: an idle client holds no queue either.
            self.pieces = VecDeque::new();
        }
        Ok(before - self.bytes)
    }

    fn drop_sent(&mut self, taken: usize) {
        self.bytes -= taken;
        self.sent += taken;
        while let Some(first) = self.pieces.pop_front_if(|first| first.bytes.len() <= self.sent) {
            self.sent -= first.bytes.len();
        }
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
    fn take(room: usize, into: &mut Vec<u8>) -> impl FnMut(&[IoSlice<'_>]) -> io::Result<usize> {
        let mut room = room;
        move |slices| {
            let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>();
            let taken = bytes.len().min(room);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            room -= taken;
            into.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }

    const RELEASED: Position = Position(7);

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came_whatever_the_socket_takes() {
        for room in 1..40 {
            let mut output = Output::default();
            output.push_owned(b"..first".to_vec(), 2, AT_ONCE);
            output.push_text(LongText::new(b"long".to_vec()), RELEASED);
            output.push(b"second", Position(3));
            output.push_owned(b"third".to_vec(), 0, RELEASED);
            output.push_owned(b"--fourth".to_vec(), 2, AT_ONCE);
            let mut sent = Vec::new();
            while !output.is_empty() {
                let before = output.bytes();
                let taken = output.flush(RELEASED, take(room, &mut sent)).unwrap();
                assert_eq!(before - taken, output.bytes());
            }
            assert_eq!(sent, b"firstlongsecondthirdfourth");
        }
    }

    #[test]
    fn a_socket_that_ends_is_an_error() {
        let mut output = Output::default();
        output.push(b"x", AT_ONCE);
        assert!(output.flush(RELEASED, |_| Ok(0)).is_err());
        assert!(output.flush(RELEASED, |_| Err(io::ErrorKind::BrokenPipe.into())).is_err());
    }

    #[test]
    fn what_is_not_released_stays_and_all_that_is_leaves_with_one_write() {
        let mut output = Output::default();
        for (bytes, until) in [("a", 5), ("b", 6), ("c", 6), ("d", 9), ("e", 0)] {
            output.push(bytes.as_bytes(), Position(until));
        }
        assert_eq!(
            output.pieces(),
            3,
            "what waits for the same stands together, what waits for less behind it, too"
        );
        let mut writes = Vec::new();
        let mut flush = |output: &mut Output, released| {
            let mut sent = Vec::new();
            let mut write = take(100, &mut sent);
            let taken = output.flush(Position(released), |slices| {
                writes.push(slices.len());
                write(slices)
            });
            drop(write);
            (taken.unwrap(), String::from_utf8(sent).unwrap())
        };
        assert!(!output.is_ready(Position(4)));
        assert_eq!(flush(&mut output, 4), (0, String::new()));
        assert_eq!(flush(&mut output, 8), (3, "abc".into()));
        assert!(!output.is_ready(Position(8)) && output.is_ready(Position(9)) && !output.is_empty());
        assert_eq!(flush(&mut output, 9), (2, "de".into()));
        assert_eq!(writes, [2, 1]);
        assert!(output.is_empty() && !output.is_ready(Position(u64::MAX)));
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
