//! What travels as more than one request and is answered as one: a transaction on its way to a node.
//!
//! A transaction goes out in one of two ways. As a **piece**: `MULTI`, the commands, `EXEC` in one append to the link's
//! buffer, so that nothing of another client comes between; the node answers each of them, the client hears the last.
//! Or, when it is large, in **steps** on a leased link: a head (`MULTI` and what was collected so far), the further
//! commands one by one, `EXEC`.
//!
//! This file judges the replies. A node that refuses MULTI would run what follows at once and unprotected; that must
//! never be told as a transaction that ran, nor as one that did not. Pure.

use std::{cell::Cell, rc::Rc};

use slotway_commands::errors::EXECABORT;

use crate::{
    client::inquiry::Inquiry,
    errors::{self, Speaker},
};

/// What a waiter waits for, if it is not one reply to one request.
#[derive(Debug)]
pub(crate) enum Unit {
    /// `MULTI`, commands, `EXEC`.
    Piece { replies: Replies, bound: Bound },
    /// `MULTI` and commands, without the end. Nobody hears the replies.
    Head(Replies),
    /// A command behind a head: the client hears `QUEUED`.
    Step,
    /// `EXEC` behind a head.
    End(Bound),
    /// `WATCH`: tells whoever leased the link once the node watches something.
    Watch(Rc<Cell<bool>>),
    /// A large request that is sent as it comes.
    Upload(Stream),
    /// A small read that finds out where a large request belongs: its client hears no reply.
    Inquiry(Rc<Inquiry>),
    /// `WAIT`, which the node may answer so many microseconds later than other requests. None: for ever.
    Waiting(Option<u64>),
    /// Brings a leased link back into order; nobody hears the replies.
    Cleaning,
}

/// A request on its way in pieces.
#[derive(Debug)]
pub(crate) struct Stream {
    /// All of it has come.
    pub(crate) whole: Rc<Cell<bool>>,
    pub(crate) asking: Asking,
}

/// Whether `ASKING` was sent in front of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    No,
    /// Its reply comes before the request's own.
    Due,
    Answered,
}

/// Whether it may travel on another connection than the one it was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// As long as no byte of it was sent, any will do.
    Free,
    /// Only this one: it holds what is watched, or the commands. If it is lost before a byte was sent, nothing was
    /// executed, and the client is told this.
    Told(&'static [u8]),
}

/// The replies before the one that matters.
#[derive(Debug)]
pub(crate) struct Replies {
    /// How many there are.
    all: usize,
    /// Those that have not come.
    left: usize,
    seen: Seen,
}

/// What they say.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// MULTI was taken, and all commands so far.
    Queued,
    /// MULTI was taken and a command was refused: the node will refuse EXEC. The error, if clients must not see it.
    Refused(Option<Box<[u8]>>),
    /// MULTI was refused with this error, and every command so far: nothing has run.
    NoMulti(Box<[u8]>),
    /// A command was not queued but answered: it has run.
    Ran,
}

/// What becomes of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the reply.
    Pass,
    /// Nobody hears it, and more will come.
    More,
    /// Nobody hears it; it was the last.
    Drop,
    /// This is told in its place.
    Tell(Vec<u8>),
    /// The request was not applied, for a reason that no client sees: this error.
    Inner(Box<[u8]>),
    /// It is the reply, to a request that was not sent to its end: the connection is given up.
    Early,
    /// Told that the outcome is unknown, and the connection is given up: what it answers cannot be trusted.
    Broken,
}

const QUEUED: &[u8] = b"+QUEUED\r\n";

/// The error, if it is one that no client sees.
fn inner(reply: &[u8], speaker: Speaker) -> Option<Box<[u8]>> {
    errors::inner(reply, speaker).map(|_| reply.into())
}

impl Replies {
    /// MULTI and `commands` behind it.
    pub(crate) fn of(commands: usize) -> Replies {
        Replies { all: 1 + commands, left: 1 + commands, seen: Seen::Nothing }
    }

    /// False: a server that keeps to the order of requests cannot have said this here.
    fn see(&mut self, reply: &[u8], speaker: Speaker) -> bool {
        self.left -= 1;
        let error = matches!(reply.first(), Some(b'-' | b'!'));
        let seen = std::mem::replace(&mut self.seen, Seen::Ran);
        self.seen = match seen {
            Seen::Nothing if error => Seen::NoMulti(reply.into()),
            Seen::Nothing if reply == b"+OK\r\n" => Seen::Queued,
            Seen::Queued if reply == QUEUED => Seen::Queued,
            Seen::Queued if error => Seen::Refused(inner(reply, speaker)),
            Seen::Refused(code) if error || reply == QUEUED => Seen::Refused(code),
            Seen::NoMulti(first) if error => Seen::NoMulti(first),
            // Without MULTI it may say anything.
            Seen::NoMulti(_) | Seen::Ran => Seen::Ran,
            Seen::Nothing | Seen::Queued | Seen::Refused(_) => return false,
        };
        true
    }

    /// EXEC was answered.
    fn end(&mut self, reply: &[u8], speaker: Speaker) -> Verdict {
        let error = matches!(reply.first(), Some(b'-' | b'!'));
        match std::mem::replace(&mut self.seen, Seen::Ran) {
            Seen::Queued if errors::inner(reply, speaker).is_some() => Verdict::Inner(reply.into()),
            Seen::Queued => Verdict::Pass,
            Seen::Refused(Some(first)) if error => Verdict::Inner(first),
            Seen::Refused(None) if error => Verdict::Tell(format!("-{EXECABORT}\r\n").into_bytes()),
            Seen::NoMulti(first) if error => match errors::inner(&first, speaker) {
                Some(_) => Verdict::Inner(first),
                None => Verdict::Tell(first.into_vec()),
            },
            Seen::Nothing | Seen::Refused(_) | Seen::NoMulti(_) | Seen::Ran => {
                Verdict::Tell(errors::INDETERMINATE.to_vec())
            }
        }
    }
}

impl Unit {
    /// The next reply that belongs to it.
    pub(crate) fn reply(&mut self, reply: &[u8], speaker: Speaker) -> Verdict {
        let error = matches!(reply.first(), Some(b'-' | b'!'));
        match self {
            Unit::Piece { replies, .. } if replies.left == 0 => replies.end(reply, speaker),
            Unit::Piece { replies, .. } => match replies.see(reply, speaker) {
                true => Verdict::More,
                false => Verdict::Broken,
            },
            Unit::Head(replies) => {
                let possible = replies.see(reply, speaker);
                match (&replies.seen, replies.left) {
                    _ if !possible => Verdict::Broken,
                    (Seen::NoMulti(_) | Seen::Ran, _) => Verdict::Broken,
                    (_, 0) => Verdict::Drop,
                    _ => Verdict::More,
                }
            }
            // The node refuses EXEC now, and the client hears so there: where it can begin again.
            Unit::Step if errors::inner(reply, speaker).is_some() => Verdict::Tell(QUEUED.to_vec()),
            Unit::Step if error || reply == QUEUED => Verdict::Pass,
            Unit::Step => Verdict::Broken,
            Unit::End(_) => inner(reply, speaker).map_or(Verdict::Pass, Verdict::Inner),
            // It counts as begun, and as lost.
            Unit::Watch(began) if errors::inner(reply, speaker).is_some() => {
                began.set(true);
                Verdict::Inner(reply.into())
            }
            Unit::Watch(began) => {
                began.set(began.get() || !error);
                Verdict::Pass
            }
            Unit::Upload(stream) if stream.asking == Asking::Due => {
                stream.asking = Asking::Answered;
                Verdict::More
            }
            Unit::Upload(stream) if stream.whole.get() => Verdict::Pass,
            Unit::Upload(_) => Verdict::Early,
            Unit::Inquiry(_) => inner(reply, speaker).map_or(Verdict::Pass, Verdict::Inner),
            Unit::Waiting(_) => Verdict::Pass,
            Unit::Cleaning if reply == b"+OK\r\n" => Verdict::Drop,
            // QUEUED, too: the node is amid a transaction of which nobody knows.
            Unit::Cleaning => Verdict::Broken,
        }
    }

    /// What the client hears if it was not applied and cannot go elsewhere. None: it can.
    pub(crate) fn refused(&self) -> Option<&'static [u8]> {
        match self {
            Unit::Piece { bound: Bound::Free, .. } | Unit::Inquiry(_) => None,
            Unit::Piece { bound: Bound::Told(text), .. } | Unit::End(Bound::Told(text)) => Some(text),
            // EXEC will say that a watched key has changed.
            Unit::Watch(_) => Some(b"+OK\r\n"),
            Unit::End(Bound::Free)
            | Unit::Head(_)
            | Unit::Step
            | Unit::Upload(_)
            | Unit::Waiting(_)
            | Unit::Cleaning => Some(b""),
        }
    }

    /// A piece as it was before any reply to it came.
    pub(crate) fn begin_again(&mut self) {
        if let Unit::Piece { replies, .. } = self {
            (replies.left, replies.seen) = (replies.all, Seen::Nothing);
        }
    }

    /// A large reply that comes now is what the client hears, if it is no error.
    pub(crate) fn passes_on(&self) -> bool {
        match self {
            Unit::Piece { replies, .. } => replies.left == 0 && replies.seen == Seen::Queued,
            Unit::End(_) | Unit::Watch(_) => true,
            Unit::Upload(stream) => stream.whole.get(),
            Unit::Inquiry(_) | Unit::Head(_) | Unit::Step | Unit::Waiting(_) | Unit::Cleaning => false,
        }
    }

    /// Means nothing on another connection than the one it was given to.
    pub(crate) fn is_bound(&self) -> bool {
        !matches!(self, Unit::Piece { bound: Bound::Free, .. } | Unit::Watch(_) | Unit::Inquiry(_))
    }

    /// So much later than other requests it may be answered. None: whenever its node likes.
    pub(crate) fn patience_us(&self) -> Option<u64> {
        match self {
            Unit::Waiting(patience_us) => *patience_us,
            _ => Some(0),
        }
    }

    /// Running it twice is not running it once. What streams is judged by its command.
    pub(crate) fn may_write(&self) -> bool {
        matches!(self, Unit::Piece { .. } | Unit::End(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the client hears of a piece of two commands when these are the replies.
    fn heard(replies: [&str; 4]) -> String {
        let mut unit = Unit::Piece { replies: Replies::of(2), bound: Bound::Free };
        let (last, before) = replies.split_last().unwrap();
        for reply in before {
            assert_eq!(unit.reply(format!("{reply}\r\n").as_bytes(), Speaker::Other), Verdict::More);
        }
        match unit.reply(format!("{last}\r\n").as_bytes(), Speaker::Other) {
            Verdict::Pass => (*last).to_owned(),
            Verdict::Tell(text) => String::from_utf8(text).unwrap().trim_end().to_owned(),
            Verdict::Inner(text) => {
                format!("{} inside", String::from_utf8(text.to_vec()).unwrap().trim_end())
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_transaction_that_was_queued_is_answered_by_its_last_reply() {
        assert_eq!(heard(["+OK", "+QUEUED", "+QUEUED", "*2"]), "*2");
        assert_eq!(heard(["+OK", "+QUEUED", "+QUEUED", "*-1"]), "*-1");
        assert_eq!(heard(["+OK", "+QUEUED", "+QUEUED", "-OOM x"]), "-OOM x");
    }

    #[test]
    fn a_command_that_the_node_refuses_aborts_it() {
        let aborted = "-EXECABORT Transaction discarded because of previous errors.";
        assert_eq!(heard(["+OK", "-ERR x", "+QUEUED", aborted]), aborted);
        assert_eq!(heard(["+OK", "+QUEUED", "-ERR x", "-ERR y"]), aborted);
        assert_eq!(heard(["+OK", "-MOVED 1 a:1", "-ERR x", aborted]), "-MOVED 1 a:1 inside");
        assert_eq!(heard(["+OK", "-ERR x", "+QUEUED", "*1"]), INDETERMINATE);
    }

    const INDETERMINATE: &str = "-INDETERMINATE the write may or may not have been applied";

    #[test]
    fn an_exec_that_is_redirected_has_not_run() {
        assert_eq!(heard(["+OK", "+QUEUED", "+QUEUED", "-TRYAGAIN x"]), "-TRYAGAIN x inside");
        assert_eq!(heard(["+OK", "+QUEUED", "-ASK 1 a:1", "-EXECABORT y"]), "-ASK 1 a:1 inside");
    }

    #[test]
    fn commands_that_ran_without_multi_are_of_unknown_outcome() {
        assert_eq!(heard(["-ERR no MULTI", "-ERR x", "-ERR y", "-ERR z"]), "-ERR no MULTI");
        assert_eq!(heard(["-LOADING x", "-LOADING x", "-LOADING x", "-LOADING x"]), "-LOADING x inside");
        assert_eq!(heard(["-ERR no MULTI", "+OK", "-ERR y", "-ERR z"]), INDETERMINATE);
        assert_eq!(heard(["-ERR no MULTI", "-ERR x", "-ERR y", "*0"]), INDETERMINATE);
    }

    #[test]
    fn a_reply_that_cannot_stand_here_ends_the_link() {
        for replies in [["+QUEUED", ""], ["$1\r\na", ""], ["+OK", "+OK"], ["+OK", "*1\r\n:1"]] {
            let mut unit = Unit::Piece { replies: Replies::of(2), bound: Bound::Free };
            let last = replies
                .into_iter()
                .filter(|reply| !reply.is_empty())
                .map(|reply| unit.reply(format!("{reply}\r\n").as_bytes(), Speaker::Other));
            assert_eq!(last.last(), Some(Verdict::Broken), "{replies:?}");
        }
    }

    #[test]
    fn in_steps_only_queued_and_errors_are_passed_on() {
        let mut head = Unit::Head(Replies::of(1));
        assert_eq!(
            [head.reply(b"+OK\r\n", Speaker::Other), head.reply(b"+QUEUED\r\n", Speaker::Other)],
            [Verdict::More, Verdict::Drop]
        );
        assert_eq!(Unit::Head(Replies::of(1)).reply(b"-ERR no MULTI\r\n", Speaker::Other), Verdict::Broken);
        assert_eq!(Unit::Step.reply(b"-ERR x\r\n", Speaker::Other), Verdict::Pass);
        assert_eq!(Unit::Step.reply(b"-MOVED 1 a:1\r\n", Speaker::Other), Verdict::Tell(QUEUED.to_vec()));
        assert_eq!(Unit::Step.reply(b"$2\r\nhi\r\n", Speaker::Other), Verdict::Broken);
    }

    #[test]
    fn a_link_is_in_order_only_if_the_node_says_ok() {
        assert_eq!(Unit::Cleaning.reply(b"+OK\r\n", Speaker::Other), Verdict::Drop);
        assert_eq!(Unit::Cleaning.reply(b"-ERR x\r\n", Speaker::Other), Verdict::Broken);
        assert_eq!(Unit::Cleaning.reply(QUEUED, Speaker::Other), Verdict::Broken);
    }
}
