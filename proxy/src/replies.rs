//! The replies a client is owed, in the order of its requests.
//!
//! Requests of one client go to several links and their replies come back in any order; the client must see them in
//! its own. Each request takes a [`Place`] in this queue. The reply of the front place goes straight to the output;
//! one that comes early is held until all before it have left. Pure.
//!
//! Promise of the hot path: [`Replies::expect`], [`Replies::deliver`] and [`Replies::say`] allocate nothing once the
//! buffers have grown; held bytes lie one behind the other in one buffer, not one allocation each. Large replies come in
//! pieces ([`large`]) and may allocate.

use std::{cmp::Ordering, collections::VecDeque};

use crate::{gather::Gather, replies::large::Early};

pub(crate) mod large;

/// Bytes that were delivered are moved out of a buffer when they are more than this and more than half of it.
const COMPACT_BYTES_MIN: usize = 64 * 1024;

/// Which request a reply answers: counts up with every place, wraps around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ticket(u32);

impl Ticket {
    /// Both are tickets of requests that wait: far fewer than half of all numbers.
    pub(crate) fn order(self, other: Ticket) -> Ordering {
        self.since(other).cmp(&0)
    }

    /// So many requests later; negative: earlier.
    pub(crate) fn since(self, other: Ticket) -> i64 {
        i64::from(self.0.wrapping_sub(other.0).cast_signed())
    }
}

#[derive(Debug)]
enum Place {
    /// A link or a task will bring the reply.
    Expected,
    /// As [`Place::Expected`], but the client has the beginning of the reply: nothing else can stand here any more. At the
    /// front only.
    Begun,
    /// Several links will bring the parts of it.
    Gathering(Box<Gather>),
    /// It is here, but an earlier one is not.
    Held { start: usize, len: usize },
    /// As [`Place::Held`], for a large one, of which perhaps not all is here.
    Early(Box<Early>),
}

/// Places in order, what is held, and the output.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    places: VecDeque<(Place, Heard)>,
    front: u32,
    held: Vec<u8>,
    /// Bytes of `held` that still belong to a place.
    held_live: usize,
    /// Bytes of parts that wait for the others.
    gathered: usize,
    /// Bytes of large replies that wait for earlier ones.
    early: usize,
    /// What the socket gets first: so much of it that one buffer would be moved about too often.
    ahead: VecDeque<Vec<u8>>,
    ahead_bytes: usize,
    /// What the socket gets behind that.
    output: Vec<u8>,
    /// So much of the first of these buffers has the socket taken.
    written: usize,
}

/// Whether the client wants the reply (CLIENT REPLY OFF and SKIP).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Heard {
    #[default]
    Heard,
    Muted,
}

impl Replies {
    /// Takes the next place for a reply that one link or task brings.
    pub(crate) fn expect(&mut self, heard: Heard) -> Ticket {
        self.take(Place::Expected, heard)
    }

    /// Takes the next place for a reply that is gathered from several.
    pub(crate) fn gather(&mut self, gather: Gather, heard: Heard) -> Ticket {
        self.take(Place::Gathering(Box::new(gather)), heard)
    }

    /// A reply that is known at once: `write` appends it, in order.
    pub(crate) fn say(&mut self, heard: Heard, write: impl FnOnce(&mut Vec<u8>)) {
        if self.places.is_empty() {
            let before = self.output.len();
            write(&mut self.output);
            if heard == Heard::Muted {
                self.output.truncate(before);
            }
        } else {
            let start = self.held.len();
            write(&mut self.held);
            let len = self.held.len() - start;
            self.held_live += len;
            self.places.push_back((Place::Held { start, len }, heard));
        }
    }

    /// The whole reply to the request with this ticket.
    pub(crate) fn deliver(&mut self, ticket: Ticket, reply: &[u8]) {
        let index = self.index(ticket);
        if index == 0 {
            if self.places.pop_front().is_some_and(|(_, heard)| heard == Heard::Heard) {
                self.output.extend_from_slice(reply);
            }
            self.front = self.front.wrapping_add(1);
            self.settle();
        } else {
            let (place, heard) = &mut self.places[index];
            let reply = if *heard == Heard::Heard { reply } else { &[] };
            *place = Place::Held { start: self.held.len(), len: reply.len() };
            self.held.extend_from_slice(reply);
            self.held_live += reply.len();
        }
    }

    /// One part of a gathered reply; the last one completes it.
    pub(crate) fn deliver_part(&mut self, ticket: Ticket, part: u32, reply: &[u8]) {
        let index = self.index(ticket);
        let Place::Gathering(gather) = &mut self.places[index].0 else {
            debug_assert!(false, "a part for a place that gathers nothing");
            return;
        };
        gather.part(part, reply);
        self.gathered += reply.len();
        self.look_at_gather(index);
    }

    /// The ticket of the next request.
    pub(crate) fn next(&self) -> Ticket {
        Ticket(
            self.front
                .wrapping_add(u32::try_from(self.places.len()).expect("requests in flight are limited")),
        )
    }

    /// Whether the reply to this request, and those to all before it, have left.
    pub(crate) fn has_answered(&self, ticket: Ticket) -> bool {
        self.places.is_empty() || ticket.since(Ticket(self.front)) < 0
    }

    /// Requests whose reply has not left.
    pub(crate) fn outstanding(&self) -> usize {
        self.places.len()
    }

    /// Bytes that wait for the client, for earlier replies or for further parts.
    pub(crate) fn bytes(&self) -> usize {
        self.ahead_bytes + self.output.len() - self.written + self.held.len() + self.gathered + self.early
    }

    /// What the socket gets next; empty: it has taken everything.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.ahead.front().unwrap_or(&self.output)[self.written..]
    }

    /// The socket took `count` bytes of [`Replies::unsent`]. A client that always lags behind makes the output no
    /// longer than what it lags.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.written += count;
        if !self.ahead.is_empty() {
            self.leave_what_is_written_behind();
        } else if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        } else if self.written > COMPACT_BYTES_MIN && self.written > self.output.len() / 2 {
            self.output.drain(..self.written);
            self.written = 0;
        }
    }

    /// Nothing is owed, nothing waits.
    pub(crate) fn is_settled(&self) -> bool {
        self.places.is_empty() && self.output.is_empty() && self.ahead.is_empty()
    }

    /// An idle client keeps no room for replies.
    pub(crate) fn give_back_room(&mut self) {
        if self.is_settled() {
            self.places = VecDeque::new();
            self.held = Vec::new();
            self.ahead = VecDeque::new();
        }
    }

    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Small, and called for every request: inlined there.
    #[inline(always)]
    fn take(&mut self, place: Place, heard: Heard) -> Ticket {
        let count = u32::try_from(self.places.len()).expect("a client's requests in flight are limited");
        self.places.push_back((place, heard));
        Ticket(self.front.wrapping_add(count))
    }

    fn index(&self, ticket: Ticket) -> usize {
        ticket.0.wrapping_sub(self.front) as usize
    }

    /// Moves what is ready at the front to the output.
    fn settle(&mut self) {
        loop {
            match self.places.front() {
                Some((Place::Held { start, len }, heard)) => {
                    if *heard == Heard::Heard {
                        self.output.extend_from_slice(&self.held[*start..*start + *len]);
                    }
                    self.held_live -= len;
                    self.places.pop_front();
                    self.front = self.front.wrapping_add(1);
                }
                Some((Place::Early(_) | Place::Gathering(_), _)) => {
                    if !self.bring_forward() {
                        break;
                    }
                }
                Some((Place::Expected | Place::Begun, _)) | None => break,
            }
        }
        if self.held_live == 0 {
            self.held.clear();
        } else if self.held.len() > COMPACT_BYTES_MIN && self.held_live < self.held.len() / 2 {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut live = Vec::with_capacity(self.held_live);
        for (place, _) in &mut self.places {
            if let Place::Held { start, len } = place {
                let bytes = &self.held[*start..*start + *len];
                *start = live.len();
                live.extend_from_slice(bytes);
            }
        }
        self.held = live;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(replies: &mut Replies) -> String {
        String::from_utf8(std::mem::take(replies.output())).unwrap()
    }

    #[test]
    fn replies_leave_in_the_order_of_requests() {
        let mut replies = Replies::default();
        let tickets: Vec<Ticket> = (0..3).map(|_| replies.expect(Heard::Heard)).collect();
        replies.say(Heard::Heard, |out| out.extend_from_slice(b"d"));
        replies.deliver(tickets[2], b"c");
        replies.deliver(tickets[1], b"b");
        assert_eq!(output(&mut replies), "");
        replies.deliver(tickets[0], b"a");
        assert_eq!(output(&mut replies), "abcd");
        assert_eq!((replies.outstanding(), replies.bytes()), (0, 0));
        replies.say(Heard::Heard, |out| out.extend_from_slice(b"e"));
        assert_eq!(output(&mut replies), "e");
    }

    #[test]
    fn a_muted_reply_keeps_its_place_and_says_nothing() {
        let mut replies = Replies::default();
        let first = replies.expect(Heard::Muted);
        let second = replies.expect(Heard::Heard);
        replies.say(Heard::Muted, |out| out.extend_from_slice(b"never"));
        replies.deliver(second, b"b");
        replies.deliver(first, b"a");
        assert_eq!(output(&mut replies), "b");
    }

    #[test]
    fn tickets_wrap_around() {
        let mut replies = Replies { front: u32::MAX, ..Replies::default() };
        let (first, second) = (replies.expect(Heard::Heard), replies.expect(Heard::Heard));
        replies.deliver(second, b"b");
        replies.deliver(first, b"a");
        assert_eq!(output(&mut replies), "ab");
    }

    #[test]
    fn a_client_that_always_lags_behind_keeps_no_more_than_what_it_lags() {
        let mut replies = Replies::default();
        replies.say(Heard::Heard, |out| out.extend_from_slice(&[b'x'; 1000]));
        for _ in 0..100_000 {
            replies.say(Heard::Heard, |out| out.extend_from_slice(&[b'x'; 1000]));
            replies.wrote(1000);
            assert_eq!((replies.bytes(), replies.unsent().len()), (1000, 1000));
        }
        assert!(replies.output.capacity() < 1024 * 1024, "{}", replies.output.capacity());
    }

    #[test]
    fn held_bytes_do_not_pile_up_while_one_reply_is_always_outstanding() {
        let mut replies = Replies::default();
        let mut oldest = replies.expect(Heard::Heard);
        for _ in 0..10_000 {
            let next = replies.expect(Heard::Heard);
            let early = replies.expect(Heard::Heard);
            replies.deliver(early, &[b'x'; 100]);
            replies.deliver(oldest, b"y");
            oldest = next;
            replies.output().clear();
        }
        assert!(replies.held.capacity() < 1024 * 1024, "{}", replies.held.capacity());
    }
}
