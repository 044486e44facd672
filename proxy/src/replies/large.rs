//! Large replies, which come in pieces.
//!
//! A link hands on what it has of a large reply before the rest has come. At the front of the queue the pieces go to the
//! output, further back they wait in a buffer of their own. Once the client has the beginning of a reply, only its own rest
//! may follow: [`Replies::restart`] says whether another answer is still possible. Everything here counts against the
//! client's output limit ([`Replies::bytes`]). Pure.

use super::{Heard, Place, Replies, Ticket};

/// A buffer of the output takes no more bytes than this of large replies; then the next one begins. What the socket has
/// taken is given back buffer by buffer, and nothing is moved.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// A large reply that comes before its turn.
#[derive(Debug, Default)]
pub(super) struct Early {
    bytes: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// More of it will come.
    #[default]
    Arriving,
    Whole,
}

/// The client has the beginning of the reply: no other answer may follow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Begun;

impl Replies {
    /// The next bytes of a large reply, of which more will come.
    pub(crate) fn deliver_piece(&mut self, ticket: Ticket, piece: &[u8]) {
        let index = self.index(ticket);
        let (place, heard) = &mut self.places[index];
        if *heard == Heard::Muted {
            return;
        }
        if index == 0 {
            *place = Place::Begun;
            return self.write_piece(piece);
        }
        if let Place::Expected = place {
            *place = Place::Early(Box::default());
        }
        let Place::Early(early) = place else {
            return debug_assert!(false, "a piece of a reply that is here");
        };
        early.bytes.extend_from_slice(piece);
        self.early += piece.len();
    }

    /// The last bytes of a large reply whose other pieces have come.
    pub(crate) fn deliver_rest(&mut self, ticket: Ticket, piece: &[u8]) {
        let index = self.index(ticket);
        match &mut self.places[index].0 {
            Place::Early(early) => {
                early.bytes.extend_from_slice(piece);
                early.stage = Stage::Whole;
                self.early += piece.len();
            }
            _ => self.deliver(ticket, piece),
        }
    }

    /// The next bytes of one part of a gathered reply, of which more will come.
    pub(crate) fn deliver_piece_of_part(&mut self, ticket: Ticket, part: u32, piece: &[u8]) {
        let index = self.index(ticket);
        let (Place::Gathering(gather), heard) = &mut self.places[index] else {
            return debug_assert!(false, "a part for a place that gathers nothing");
        };
        if *heard == Heard::Muted && !gather.has_effects() {
            return;
        }
        gather.piece(part, piece);
        self.gathered += piece.len();
        if index == 0 {
            self.hand_on_gathered();
        }
    }

    /// What came of a reply, or of one part of it, came from a connection that is lost: forgets it, if that is possible.
    pub(crate) fn restart(&mut self, ticket: Ticket, part: Option<u32>) -> Result<(), Begun> {
        let index = self.index(ticket);
        match (&mut self.places[index].0, part) {
            (Place::Begun, _) => return Err(Begun),
            (Place::Gathering(gather), Some(part)) => self.gathered -= gather.restart(part)?,
            (place @ Place::Early(_), _) => {
                if let Place::Early(early) = std::mem::replace(place, Place::Expected) {
                    self.early -= early.bytes.len();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A part of the gathered reply at `index` is whole: it may have been the last, or what was waited for.
    pub(super) fn look_at_gather(&mut self, index: usize) {
        let (Place::Gathering(gather), heard) = &mut self.places[index] else { return };
        if !gather.is_complete() {
            return if index == 0 {
                self.hand_on_gathered()
            };
        }
        self.gathered -= gather.bytes();
        let mut merged = Vec::new();
        if *heard == Heard::Heard || gather.has_effects() {
            gather.merge(&mut merged);
        }
        let ticket = Ticket(self.front.wrapping_add(u32::try_from(index).unwrap_or(0)));
        if index > 0 && merged.len() > BUFFER_BYTES_MAX && *heard == Heard::Heard {
            self.early += merged.len();
            self.places[index].0 = Place::Early(Box::new(Early { bytes: merged, stage: Stage::Whole }));
        } else {
            self.deliver(ticket, &merged);
        }
    }

    /// Of the gathered reply at the front: what need not wait for the other parts.
    fn hand_on_gathered(&mut self) {
        let Some((Place::Gathering(gather), Heard::Heard)) = self.places.front_mut() else { return };
        let before = gather.bytes();
        let mut ready = Vec::new();
        gather.hand_on(&mut ready);
        self.gathered -= before - gather.bytes();
        if !ready.is_empty() {
            self.write_piece(&ready);
        }
    }

    /// What the place that has come to the front has waited with goes to the output. True: it is done, and another place has
    /// come to the front.
    pub(super) fn bring_forward(&mut self) -> bool {
        let Some((place, heard)) = self.places.front_mut() else { return false };
        let Place::Early(_) = place else {
            self.hand_on_gathered();
            return false;
        };
        let Place::Early(early) = std::mem::replace(place, Place::Begun) else { return false };
        let heard = *heard;
        self.early -= early.bytes.len();
        if heard == Heard::Heard {
            self.put_ahead();
            self.ahead_bytes += early.bytes.len();
            self.ahead.push_back(early.bytes);
        }
        let whole = early.stage == Stage::Whole;
        if whole {
            self.places.pop_front();
            self.front = self.front.wrapping_add(1);
        }
        whole
    }

    fn write_piece(&mut self, piece: &[u8]) {
        if self.output.len() + piece.len() > BUFFER_BYTES_MAX {
            self.put_ahead();
        }
        self.output.extend_from_slice(piece);
    }

    /// The output goes on in another buffer.
    fn put_ahead(&mut self) {
        if !self.output.is_empty() {
            let full = std::mem::take(&mut self.output);
            self.ahead_bytes += full.len();
            self.ahead.push_back(full);
        }
    }

    /// The socket has taken bytes of the buffers ahead of the output.
    pub(super) fn leave_what_is_written_behind(&mut self) {
        if self.ahead.front().is_some_and(|first| first.len() == self.written) {
            self.ahead.pop_front();
            self.ahead_bytes -= self.written;
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use slotway_commands::row::MergeRule;

    use super::*;
    use crate::gather::{Gather, Merge};

    /// What the socket gets now.
    fn sent(replies: &mut Replies) -> String {
        let mut sent = Vec::new();
        while !replies.unsent().is_empty() {
            let count = replies.unsent().len().div_ceil(2);
            sent.extend_from_slice(&replies.unsent()[..count]);
            replies.wrote(count);
        }
        String::from_utf8(sent).unwrap()
    }

    #[test]
    fn pieces_of_the_reply_at_the_front_leave_at_once() {
        let mut replies = Replies::default();
        let (first, second) = (replies.expect(Heard::Heard), replies.expect(Heard::Heard));
        replies.deliver_piece(first, b"a");
        assert_eq!(sent(&mut replies), "a");
        replies.deliver(second, b"c");
        replies.deliver_piece(first, b"b");
        assert_eq!((sent(&mut replies).as_str(), replies.outstanding()), ("b", 2));
        replies.deliver_rest(first, b"!");
        assert_eq!(sent(&mut replies), "!c");
        assert!(replies.is_settled());
    }

    #[test]
    fn pieces_that_come_early_wait_and_are_counted() {
        let mut replies = Replies::default();
        let tickets: Vec<Ticket> = (0..3).map(|_| replies.expect(Heard::Heard)).collect();
        replies.deliver_piece(tickets[1], b"b");
        replies.deliver_piece(tickets[2], b"c");
        replies.deliver_rest(tickets[2], b"C");
        assert_eq!((replies.bytes(), replies.unsent()), (3, b"".as_slice()));
        replies.deliver(tickets[0], b"a");
        assert_eq!((sent(&mut replies).as_str(), replies.bytes()), ("ab", 2));
        assert_eq!(replies.restart(tickets[1], None), Err(Begun));
        replies.deliver_rest(tickets[1], b"B");
        assert_eq!((sent(&mut replies).as_str(), replies.bytes()), ("BcC", 0));
        assert!(replies.is_settled());
    }

    #[test]
    fn a_reply_may_begin_again_until_the_client_has_its_beginning() {
        let mut replies = Replies::default();
        let (first, second) = (replies.expect(Heard::Heard), replies.expect(Heard::Heard));
        replies.deliver_piece(second, b"half");
        assert_eq!(replies.restart(second, None), Ok(()));
        assert_eq!(replies.bytes(), 0);
        replies.deliver(second, b"again");
        assert_eq!(replies.restart(first, None), Ok(()));
        replies.deliver_piece(first, b"h");
        assert_eq!(replies.restart(first, None), Err(Begun));
    }

    #[test]
    fn nothing_is_kept_of_a_reply_that_nobody_hears() {
        let mut replies = Replies::default();
        let tickets: Vec<Ticket> = (0..2).map(|_| replies.expect(Heard::Muted)).collect();
        let gather = Gather::new(2, Merge::Rule(MergeRule::Concat), 0);
        let gathered = replies.gather(gather, Heard::Muted);
        tickets.iter().for_each(|&ticket| replies.deliver_piece(ticket, b"x"));
        replies.deliver_piece_of_part(gathered, 0, b"*1\r\n");
        assert_eq!(replies.bytes(), 0);
        assert_eq!(replies.restart(tickets[0], None), Ok(()));
        replies.deliver_rest(tickets[1], b"x");
        replies.deliver_rest(tickets[0], b"x");
        replies.deliver_part(gathered, 0, b":1\r\n");
        replies.deliver_part(gathered, 1, b"*0\r\n");
        assert!(replies.is_settled());
        assert_eq!(replies.bytes(), 0);
    }

    #[test]
    fn a_gathered_reply_leaves_element_by_element_once_it_is_at_the_front() {
        let mut replies = Replies::default();
        let first = replies.expect(Heard::Heard);
        let keys = replies.gather(Gather::new(2, Merge::Rule(MergeRule::Concat), 0), Heard::Heard);
        replies.deliver_piece_of_part(keys, 0, b"*2\r\n$1\r\na\r\n$1");
        replies.deliver_piece_of_part(keys, 1, b"*1\r\n$1\r\n");
        assert_eq!((replies.bytes(), replies.unsent()), (21, b"".as_slice()));
        assert_eq!(replies.restart(keys, Some(1)), Ok(()));
        assert_eq!(replies.bytes(), 13);
        replies.deliver_piece_of_part(keys, 1, b"*1\r\n$1\r\n");
        replies.deliver(first, b"+OK\r\n");
        assert_eq!(sent(&mut replies), "+OK\r\n*3\r\n$1\r\na\r\n");
        assert_eq!(replies.restart(keys, Some(1)), Err(Begun));
        replies.deliver_part(keys, 1, b"c\r\n");
        assert_eq!(sent(&mut replies), "$1\r\nc\r\n");
        replies.deliver_part(keys, 0, b"\r\nb\r\n");
        assert_eq!(sent(&mut replies), "$1\r\nb\r\n");
        assert!(replies.is_settled());
        assert_eq!(replies.bytes(), 0);
    }

    #[test]
    fn what_a_client_lags_behind_lies_in_buffers_that_are_given_back_one_by_one() {
        let mut replies = Replies::default();
        let ticket = replies.expect(Heard::Heard);
        let piece = vec![b'x'; 64 * 1024];
        (0..160).for_each(|_| replies.deliver_piece(ticket, &piece));
        assert_eq!(replies.bytes(), 10 * 1024 * 1024);
        assert!(replies.ahead.iter().all(|buffer| buffer.capacity() <= 2 * BUFFER_BYTES_MAX));
        for _ in 0..160 {
            replies.wrote(64 * 1024);
        }
        assert_eq!((replies.bytes(), replies.ahead.len()), (0, 0));
        replies.deliver_rest(ticket, b"y");
        assert_eq!(sent(&mut replies), "y");
    }
}
