//! What a link has promised to send and what it still owes an answer to: one byte buffer, one queue.
//!
//! Each request is copied once, into this buffer, and stays there until its reply has come: that copy is what is sent
//! again after a broken connection. Pure: the shell in `link/drive.rs` moves bytes between this and a socket.
//!
//! ```text
//!   bytes:   [ answered | sent, no reply yet | not yet sent ]
//!                       ^ front              ^ written      ^ end
//! ```
//!
//! Promise of the hot path: [`Flight::push`], [`Flight::unsent`], [`Flight::wrote`] and [`Flight::answered`] allocate
//! nothing once the buffer has grown to what the link usually holds.

use std::collections::VecDeque;

use super::fates::Fate;

/// Answered bytes are moved out of the buffer's front when they are more than this and more than half of it.
const COMPACT_BYTES_MIN: usize = 16 * 1024;

/// A buffer that grew past this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Requests in order, each with its waiter: whoever is told the reply.
#[derive(Debug)]
pub(crate) struct Flight<W> {
    bytes: Vec<u8>,
    /// Stream offset of `bytes[0]`; offsets below are offsets in the stream of all requests ever pushed.
    base: u64,
    /// All before it has been answered.
    front: u64,
    /// All before it was handed to the socket.
    written: u64,
    waiting: VecDeque<Waiting<W>>,
}

#[derive(Debug)]
struct Waiting<W> {
    end: u64,
    waiter: W,
}

impl<W> Default for Flight<W> {
    fn default() -> Self {
        Flight { bytes: Vec::new(), base: 0, front: 0, written: 0, waiting: VecDeque::new() }
    }
}

impl<W> Flight<W> {
    /// Adds one request. `write` appends its bytes. Small, and called for every request: inlined there.
    #[inline(always)]
    pub(crate) fn push(&mut self, waiter: W, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.waiting.push_back(Waiting { end: self.end(), waiter });
    }

    /// Adds to the only request, which is on its way already; true: some of it was sent since the last time. What was
    /// sent is forgotten: such a request is never sent again.
    pub(crate) fn extend<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> (bool, R) {
        debug_assert_eq!(self.waiting.len(), 1, "only what is alone is sent in pieces");
        let sent = self.at(self.written);
        self.bytes.drain(..sent);
        self.base = self.written;
        let outcome = write(&mut self.bytes);
        let end = self.end();
        if let Some(last) = self.waiting.back_mut() {
            last.end = end;
        }
        (sent > 0, outcome)
    }

    /// Takes the only request out, however much of it was sent: it was answered before its end.
    pub(crate) fn cut_short(&mut self) -> Option<W> {
        let Waiting { end, waiter } = self.waiting.pop_front()?;
        (self.front, self.written, self.base) = (end, end, end);
        self.bytes.clear();
        Some(waiter)
    }

    /// Takes the request that was pushed last out again, if no socket has seen any of it.
    pub(crate) fn take_back(&mut self) -> Option<W> {
        let start = self.waiting.iter().nth_back(1).map_or(self.front, |before| before.end);
        if start < self.written {
            return None;
        }
        let last = self.waiting.pop_back()?;
        self.bytes.truncate(self.at(start));
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes.shrink_to(KEPT_BYTES_MAX);
        }
        Some(last.waiter)
    }

    /// Bytes that no socket has taken yet.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.bytes[self.at(self.written)..]
    }

    /// Of these, the rest of the request that a socket has the beginning of.
    pub(crate) fn unsent_of_begun(&self) -> &[u8] {
        if !self.owes_replies() {
            return &[];
        }
        let begun = self.waiting.get(self.waiting.partition_point(|waiting| waiting.end < self.written));
        let end = begun.map_or(self.written, |waiting| waiting.end);
        &self.bytes[self.at(self.written)..self.at(end)]
    }

    /// How many requests no socket has seen any of.
    pub(crate) fn unsent_requests(&self) -> usize {
        let begun = match self.owes_replies() {
            true => 1 + self.waiting.partition_point(|waiting| waiting.end < self.written),
            false => 0,
        };
        self.waiting.len().saturating_sub(begun)
    }

    /// The socket took `count` bytes of [`Flight::unsent`].
    pub(crate) fn wrote(&mut self, count: usize) {
        self.written += count as u64;
        debug_assert!(self.written <= self.end(), "more written than there was");
    }

    /// The oldest request got its reply. None: nobody waits, the peer sent too much.
    ///
    /// A reply to a request that was not sent completely is a reply too many as well.
    pub(crate) fn answered(&mut self) -> Option<W> {
        self.answered_if(|_| true)
    }

    /// As [`Flight::answered`], but only for a waiter of whom `whole` says that it waits for one reply.
    #[inline]
    pub(crate) fn answered_if(&mut self, whole: impl FnOnce(&W) -> bool) -> Option<W> {
        let oldest = self.waiting.front()?;
        if oldest.end > self.written || !whole(&oldest.waiter) {
            return None;
        }
        let Waiting { end, waiter } = self.waiting.pop_front()?;
        self.front = end;
        self.compact();
        Some(waiter)
    }

    /// As [`Flight::answered`], with the bytes of the request: its reply says that it has to go elsewhere.
    pub(crate) fn answered_astray(&mut self) -> Option<(W, Vec<u8>)> {
        let end = self.waiting.front()?.end;
        let bytes = self.bytes[self.at(self.front)..self.at(end)].to_vec();
        self.answered().map(|waiter| (waiter, bytes))
    }

    /// The oldest request, if any of it was sent: a reply that comes now is for it.
    pub(crate) fn oldest(&mut self) -> Option<&mut W> {
        let waiting = self.waiting.front_mut()?;
        (self.front < self.written).then_some(&mut waiting.waiter)
    }

    /// Every request that waits, oldest first, and whether it was sent (wholly or in part).
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (bool, &mut W)> {
        let written = self.written;
        let mut start = self.front;
        self.waiting.iter_mut().map(move |waiting| {
            let sent = start < written;
            start = waiting.end;
            (sent, &mut waiting.waiter)
        })
    }

    /// Every request that waits, oldest first, with its bytes.
    pub(crate) fn for_each(&mut self, mut look: impl FnMut(&mut W, &[u8])) {
        let (base, mut start) = (self.base, self.front);
        let at = |offset: u64| usize::try_from(offset - base).expect("an offset of the buffer is in memory");
        for waiting in &mut self.waiting {
            // Of what is sent in pieces only the last are here.
            look(&mut waiting.waiter, &self.bytes[at(start.max(base))..at(waiting.end)]);
            start = waiting.end;
        }
    }

    /// Takes out the requests of which no byte was sent and that `chosen` names, wherever they stand; the others stay in
    /// their order.
    pub(crate) fn take_unsent(&mut self, mut chosen: impl FnMut(&W, &[u8]) -> bool) -> Vec<(W, Vec<u8>)> {
        let mut taken = Vec::new();
        self.sort_out_unsent(|waiter, bytes| match chosen(&waiter, bytes) {
            true => {
                taken.push((waiter, bytes.to_vec()));
                None
            }
            false => Some(waiter),
        });
        taken
    }

    /// As [`Flight::take_unsent`], straight into another flight. Whether there were any.
    pub(crate) fn hand_over(&mut self, to: &mut Flight<W>, mut chosen: impl FnMut(&W) -> bool) -> bool {
        let before = to.len();
        self.sort_out_unsent(|waiter, bytes| match chosen(&waiter) {
            true => {
                to.push(waiter, |buffer| buffer.extend_from_slice(bytes));
                None
            }
            false => Some(waiter),
        });
        to.len() > before
    }

    /// Looks at each request of which no byte was sent: what comes back stays, in its order.
    fn sort_out_unsent(&mut self, mut stays: impl FnMut(W, &[u8]) -> Option<W>) {
        let mut start = self.front;
        let first = self.waiting.iter().position(|waiting| {
            let unsent = start >= self.written;
            if !unsent {
                start = waiting.end;
            }
            unsent
        });
        let Some(first) = first else { return };
        let unsent = self.waiting.split_off(first);
        let tail = self.bytes.split_off(self.at(start));
        let mut from = 0;
        for Waiting { end, waiter } in unsent {
            let to = usize::try_from(end - start).expect("an offset of the buffer is in memory");
            let bytes = &tail[from..to];
            from = to;
            if let Some(waiter) = stays(waiter, bytes) {
                self.push(waiter, |buffer| buffer.extend_from_slice(bytes));
            }
        }
        self.compact();
    }

    /// Something was sent and not answered.
    pub(crate) fn owes_replies(&self) -> bool {
        self.front < self.written
    }

    /// The oldest request was sent to its end, and its reply has not come.
    pub(crate) fn owes_whole(&self) -> bool {
        self.waiting.front().is_some_and(|waiting| waiting.end <= self.written)
    }

    /// Grows with every answer.
    pub(crate) fn answered_until(&self) -> u64 {
        self.front
    }

    /// As [`Flight::iter_mut`], whoever waits.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &W> {
        self.waiting.iter().map(|waiting| &waiting.waiter)
    }

    /// Requests that wait for a reply, sent or not.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes of requests that wait for a reply, sent or not.
    pub(crate) fn bytes_held(&self) -> usize {
        usize::try_from(self.end() - self.front).expect("held bytes are in memory")
    }

    /// The connection is gone, or time is up: decides for each request, oldest first, told whether any of it was sent.
    /// Afterwards nothing counts as sent; failed waiters come back in order.
    pub(crate) fn sift(&mut self, mut decide: impl FnMut(bool, &W) -> Fate) -> Vec<W> {
        let mut kept = Flight::default();
        let mut failed = Vec::new();
        let mut start = self.front;
        for Waiting { end, waiter } in std::mem::take(&mut self.waiting) {
            match decide(start < self.written, &waiter) {
                Fate::Keep => {
                    let bytes = &self.bytes[self.at(start)..self.at(end)];
                    kept.push(waiter, |buffer| buffer.extend_from_slice(bytes));
                }
                Fate::Fail => failed.push(waiter),
            }
            start = end;
        }
        *self = kept;
        failed
    }

    /// Takes out the requests of which no byte was sent and that `withdrawn` names, wherever they stand: what has looked for
    /// its way may be older than what it stands behind. The connection may live on: what was sent is not touched.
    pub(crate) fn withdraw(&mut self, mut withdrawn: impl FnMut(&W) -> bool) -> Vec<W> {
        let mut start = self.front;
        let any = self.waiting.iter().any(|waiting| {
            let unsent = start >= self.written;
            start = waiting.end;
            unsent && withdrawn(&waiting.waiter)
        });
        if !any {
            return Vec::new();
        }
        let taken = self.take_unsent(|waiter, _| withdrawn(waiter));
        taken.into_iter().map(|(waiter, _)| waiter).collect()
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    fn at(&self, offset: u64) -> usize {
        usize::try_from(offset - self.base).expect("an offset of the buffer is in memory")
    }

    fn compact(&mut self) {
        let answered = self.at(self.front);
        if answered == self.bytes.len() {
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_BYTES_MAX {
                self.bytes = Vec::new();
            }
            self.base = self.front;
        } else if answered > COMPACT_BYTES_MIN && answered > self.bytes.len() / 2 {
            self.bytes.drain(..answered);
            self.base = self.front;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_socket_has_the_beginning_of_is_told_from_what_it_has_seen_nothing_of() {
        let mut flight = flight(&["one", "two", "three"]);
        let look = |flight: &Flight<usize>| {
            (flight.unsent_of_begun().to_vec(), flight.unsent_requests(), flight.owes_whole())
        };
        assert_eq!(look(&flight), (b"".to_vec(), 3, false));
        flight.wrote(1);
        assert_eq!(look(&flight), (b"ne".to_vec(), 2, false));
        flight.wrote(2);
        assert_eq!(look(&flight), (b"".to_vec(), 2, true));
        flight.wrote(2);
        assert_eq!(look(&flight), (b"o".to_vec(), 1, true));
        flight.answered();
        assert_eq!(look(&flight), (b"o".to_vec(), 1, false));
        flight.wrote(6);
        assert_eq!(look(&flight), (b"".to_vec(), 0, true));
    }

    #[test]
    fn a_reply_belongs_to_the_oldest_request_once_it_is_on_its_way() {
        let mut flight = flight(&["one", "two"]);
        assert_eq!(flight.oldest(), None);
        flight.wrote(1);
        assert_eq!(flight.oldest(), Some(&mut 0));
        assert_eq!(flight.answered(), None, "not the last reply, while the end of the request was not sent");
        flight.wrote(2);
        assert_eq!((flight.answered(), flight.oldest()), (Some(0), None));
    }

    #[test]
    fn only_what_was_not_sent_can_be_withdrawn() {
        let mut flight = flight(&["one", "two", "three", "four", "five"]);
        flight.wrote(4);
        assert_eq!(flight.withdraw(|&number| number != 3), [2, 4], "wherever they stand");
        assert_eq!(flight.unsent(), b"wofour");
        flight.wrote(6);
        assert_eq!([flight.answered(), flight.answered(), flight.answered()], [Some(0), Some(1), Some(3)]);
        assert_eq!(flight.withdraw(|_| true), []);
    }

    #[test]
    fn what_was_not_sent_can_be_taken_out_from_between_others() {
        let mut flight = flight(&["one", "two", "three", "four", "five"]);
        flight.wrote(4);
        let taken = flight.take_unsent(|&number, bytes| {
            assert_eq!(bytes, ["one", "two", "three", "four", "five"][number].as_bytes());
            number != 3
        });
        assert_eq!(taken, [(2, b"three".to_vec()), (4, b"five".to_vec())]);
        assert_eq!(flight.unsent(), b"wofour");
        flight.wrote(6);
        assert_eq!([flight.answered(), flight.answered(), flight.answered()], [Some(0), Some(1), Some(3)]);
        assert_eq!(flight.take_unsent(|_, _| true), []);
    }

    #[test]
    fn what_was_not_sent_can_be_handed_over_as_it_is() {
        let (mut flight, mut other) = (flight(&["one", "two", "three", "four", "five"]), Flight::default());
        other.push(9, |bytes| bytes.extend_from_slice(b"nine"));
        flight.wrote(4);
        assert!(flight.hand_over(&mut other, |&number| number != 3));
        assert_eq!((flight.unsent(), other.unsent()), (&b"wofour"[..], &b"ninethreefive"[..]));
        other.wrote(13);
        assert_eq!([other.answered(), other.answered(), other.answered()], [Some(9), Some(2), Some(4)]);
        assert!(!flight.hand_over(&mut other, |&number| number != 3));
    }

    #[test]
    fn a_request_that_has_to_go_elsewhere_comes_out_with_its_bytes() {
        let mut flight = flight(&["one", "two"]);
        assert_eq!(flight.answered_astray(), None);
        flight.wrote(6);
        let mut seen = Vec::new();
        flight.for_each(|&mut number, bytes| seen.push((number, bytes.to_vec())));
        assert_eq!(seen, [(0, b"one".to_vec()), (1, b"two".to_vec())]);
        assert_eq!(flight.answered_astray(), Some((0, b"one".to_vec())));
        assert_eq!(flight.answered_astray(), Some((1, b"two".to_vec())));
        assert_eq!((flight.answered_astray(), flight.bytes_held()), (None, 0));
    }

    fn flight(requests: &[&str]) -> Flight<usize> {
        let mut flight = Flight::default();
        for (number, request) in requests.iter().enumerate() {
            flight.push(number, |bytes| bytes.extend_from_slice(request.as_bytes()));
        }
        flight
    }

    #[test]
    fn replies_come_in_the_order_of_requests() {
        let mut flight = flight(&["one", "two"]);
        assert_eq!(flight.unsent(), b"onetwo");
        flight.wrote(6);
        assert_eq!(flight.unsent(), b"");
        assert_eq!([flight.answered(), flight.answered(), flight.answered()], [Some(0), Some(1), None]);
        assert_eq!(flight.bytes_held(), 0);
    }

    #[test]
    fn a_reply_before_its_request_was_sent_is_one_too_many() {
        let mut flight = flight(&["one", "two"]);
        flight.wrote(5);
        assert_eq!([flight.answered(), flight.answered()], [Some(0), None]);
    }

    #[test]
    fn after_a_break_what_is_kept_is_sent_again_from_its_first_byte() {
        let mut flight = flight(&["read", "WRITE", "later"]);
        flight.wrote(6);
        let mut sent = Vec::new();
        let failed = flight.sift(|was_sent, &number| {
            sent.push(was_sent);
            if number == 1 { Fate::Fail } else { Fate::Keep }
        });
        assert_eq!(sent, [true, true, false]);
        assert_eq!(failed, [1]);
        assert_eq!(flight.unsent(), b"readlater");
        flight.wrote(9);
        assert_eq!([flight.answered(), flight.answered()], [Some(0), Some(2)]);
    }

    #[test]
    fn a_request_that_is_sent_in_pieces_keeps_only_what_was_not_sent() {
        let mut flight = flight(&["begin"]);
        flight.wrote(3);
        assert_eq!(flight.extend(|bytes| bytes.extend_from_slice(b"middle")), (true, ()));
        assert_eq!((flight.unsent(), flight.bytes.len()), (&b"inmiddle"[..], 8));
        assert_eq!(flight.extend(|bytes| bytes.extend_from_slice(b"end")), (false, ()));
        assert_eq!((flight.answered(), flight.oldest()), (None, Some(&mut 0)));
        flight.wrote(11);
        assert_eq!((flight.answered(), flight.bytes_held()), (Some(0), 0));
        flight.push(1, |bytes| bytes.extend_from_slice(b"next"));
        flight.extend(|bytes| bytes.extend_from_slice(b"more"));
        flight.wrote(2);
        assert_eq!((flight.cut_short(), flight.unsent(), flight.bytes_held()), (Some(1), &b""[..], 0));
        flight.push(2, |bytes| bytes.extend_from_slice(b"last"));
        assert_eq!(flight.unsent(), b"last");
    }

    #[test]
    fn a_buffer_that_never_empties_does_not_grow() {
        let mut flight = flight(&["first"]);
        flight.wrote(5);
        for number in 0..100_000 {
            flight.push(number, |bytes| bytes.extend_from_slice(&[b'x'; 100]));
            flight.wrote(100);
            assert!(flight.answered().is_some());
            assert_eq!(flight.len(), 1);
        }
        assert!(flight.bytes.capacity() < 200 * 1024, "{}", flight.bytes.capacity());
        assert_eq!(flight.bytes_held(), 100);
    }
}
