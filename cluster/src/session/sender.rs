//! The proxy's side of a session: numbers, the floor, and what becomes of each request when its link is no more.
//!
//! Everything that was sent and has no reply yet lies here in the order of sending, reads included. When a link has ended, nothing is decided
//! until the next one has answered SESSION ([`Sender::resume`]): what is settled is delivered, what is not has not run, and the older link is
//! closed, so it can be sent again, under its old number, in the old order. A read is sent again unless a later write of its client on its slot is
//! settled: it would see that. What two failovers have met is not sent a third time.
//!
//! The floor is the lowest number whose reply is not here: replies of a link come in order, but what was refused as `-STALE` waits to be
//! sent again while later ones are answered.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    Epoch,
    mutants::{Mutant, left_out},
    slot::Slot,
};

use super::{
    KEPT_BYTES_MAX, NUMBERS_MAX, Number, SessionId,
    link::{Greeting, Known, Next},
    reply::{REPLY_BYTES_MAX, Reply},
};

/// Of writes whose reply may be long, so many are under way at once: their replies are within what a node keeps.
pub const LONG_MAX: usize = KEPT_BYTES_MAX / REPLY_BYTES_MAX;

/// The node is told the floor when it has risen by this since.
const FLOOR_RISES: u64 = 256;

/// What a request is to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Read,
    /// Its reply is `+OK` or a number.
    Write,
    /// Its reply may be long: rows whose reply is kept.
    LongWrite,
}

/// Whose request it is, and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub client: u64,
    /// None: no key, or all.
    pub slot: Option<Slot>,
    pub kind: Kind,
}

/// Why a client is told that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The write ran; its reply was too long to be kept.
    ReplyTooLong,
    /// A read: a later write of its client ran, which it would see.
    ReadBehindWrite,
    /// There was nobody to ask until the client's patience was over.
    HeldTooLong,
    /// The request was streamed through, not numbered.
    Streamed,
    /// The node keeps no sessions.
    NoSessions,
}

/// What to do when SESSION is answered, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<R> {
    Deliver {
        request: R,
        reply: Reply,
    },
    /// `-INDETERMINATE`
    Indeterminate {
        request: R,
        reason: Reason,
    },
    /// `-TRYAGAIN`: it has not run and never will.
    NotRun {
        request: R,
    },
    /// Again, behind this NEXT.
    Send {
        request: R,
        next: Option<Next>,
    },
}

/// What is known of a request that is waited for no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// A read, or refused: `-TRYAGAIN`.
    HadNoEffect,
    /// `-INDETERMINATE`, for [`Reason::HeldTooLong`].
    MayHaveRun,
}

#[derive(Debug)]
pub struct Sender<R> {
    session: SessionId,
    next: Number,
    floor: Number,
    /// From the floor on: whether the number is done with. The first is not.
    done: VecDeque<bool>,
    /// The floor as the node of this link knows it, and what that counts next.
    told: Number,
    counted: Number,
    /// On this link, oldest first.
    open: VecDeque<Open<R>>,
    /// Refused as stale: sent again before anything else once there is another link.
    refused: VecDeque<Open<R>>,
    long: usize,
}

#[derive(Debug)]
struct Open<R> {
    /// None: its client was answered, its reply is nobody's.
    request: Option<R>,
    asked: Asked,
    number: Option<Number>,
    /// The epoch in which it was sent last.
    epoch: Epoch,
    failovers: u8,
}

impl<R: Copy + PartialEq> Sender<R> {
    pub fn new(session: SessionId) -> Sender<R> {
        Sender {
            session,
            next: Number::FIRST,
            floor: Number::FIRST,
            done: VecDeque::new(),
            told: Number::FIRST,
            counted: Number::FIRST,
            open: VecDeque::new(),
            refused: VecDeque::new(),
            long: 0,
        }
    }

    /// Whether one more may be sent now; else it waits for replies.
    pub fn may_send(&self, kind: Kind) -> bool {
        match kind {
            Kind::Read => true,
            Kind::Write => self.next.above(self.floor) < NUMBERS_MAX,
            Kind::LongWrite => self.next.above(self.floor) < NUMBERS_MAX && self.long < LONG_MAX,
        }
    }

    /// Whether nothing waits for a reply or for another link.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && self.refused.is_empty()
    }

    /// A request leaves for the first time, on a link that has answered SESSION and refused nothing: behind this NEXT, if any.
    pub fn send(&mut self, request: R, asked: Asked, epoch: Epoch) -> Option<Next> {
        let number = match asked.kind {
            Kind::Read => None,
            Kind::Write | Kind::LongWrite => {
                let number = self.next;
                self.next = number.next();
                self.done.push_back(false);
                self.long += usize::from(asked.kind == Kind::LongWrite);
                Some(number)
            }
        };
        self.open.push_back(Open { request: Some(request), asked, number, epoch, failovers: 0 });
        self.announce(number?)
    }

    /// The oldest request on the link has its reply. None: its client has none to wait for any more, or nothing is owed.
    pub fn replied(&mut self) -> Option<R> {
        let open = self.open.pop_front()?;
        self.finish(&open);
        open.request
    }

    /// The oldest request on the link was refused as `-STALE`: it did not run. Nothing more is sent here.
    pub fn refused(&mut self) {
        let Some(open) = self.open.pop_front() else { return };
        match open.request {
            Some(_) => self.refused.push_back(open),
            None => self.finish(&open),
        }
    }

    /// How many replies this link owes.
    pub fn owed(&self) -> usize {
        self.open.len()
    }

    /// What is said first on a link.
    pub fn greeting(&mut self) -> Greeting {
        let floor = if left_out(Mutant::FloorTooEarly) { self.next } else { self.floor };
        (self.told, self.counted) = (floor, floor);
        Greeting { session: self.session, floor }
    }

    /// SESSION was answered: by a node that serves `epoch`, and no older link is left.
    pub fn resume(&mut self, known: &Known, epoch: Epoch) -> Vec<Step<R>> {
        let mut all = std::mem::take(&mut self.refused);
        all.append(&mut self.open);
        if left_out(Mutant::SendAgainOutOfOrder) {
            all.make_contiguous().reverse();
        }
        let overwritten = overwritten(&all, known);
        let mut steps = Vec::with_capacity(all.len());
        for (mut open, is_overwritten) in all.into_iter().zip(overwritten) {
            let Some(request) = open.request else {
                self.finish(&open);
                continue;
            };
            if open.epoch < epoch {
                (open.epoch, open.failovers) = (epoch, open.failovers.saturating_add(1));
            }
            let settled = open.number.and_then(|number| known.get(number));
            let step = match settled {
                Some(Reply::NotKept) => Step::Indeterminate { request, reason: Reason::ReplyTooLong },
                Some(reply) => Step::Deliver { request, reply: reply.clone() },
                None if is_overwritten => Step::Indeterminate { request, reason: Reason::ReadBehindWrite },
                None if open.failovers > 1 => Step::NotRun { request },
                None => {
                    let next = open.number.and_then(|number| self.announce(number));
                    steps.push(Step::Send { request, next });
                    self.open.push_back(open);
                    continue;
                }
            };
            self.finish(&open);
            steps.push(step);
        }
        steps
    }

    /// The client's patience is over. None: this was never sent, or its reply is here.
    pub fn give_up(&mut self, request: &R) -> Option<GivenUp> {
        let is_it = |open: &Open<R>| open.request.as_ref() == Some(request);
        if let Some(at) = self.refused.iter().position(is_it) {
            let open = self.refused.remove(at)?;
            self.finish(&open);
            return Some(GivenUp::HadNoEffect);
        }
        let open = self.open.iter_mut().find(|open| is_it(open))?;
        open.request = None;
        let is_read = open.asked.kind == Kind::Read;
        Some(if is_read { GivenUp::HadNoEffect } else { GivenUp::MayHaveRun })
    }

    fn finish(&mut self, open: &Open<R>) {
        let Some(number) = open.number else { return };
        let at = usize::try_from(number.above(self.floor)).unwrap_or(usize::MAX);
        let done = self.done.get_mut(at).filter(|done| number >= self.floor && !**done);
        let Some(done) = done else { return };
        *done = true;
        self.long -= usize::from(open.asked.kind == Kind::LongWrite);
        while self.done.front() == Some(&true) {
            self.done.pop_front();
            self.floor = self.floor.next();
        }
    }

    /// What must be said before the write of this number.
    fn announce(&mut self, number: Number) -> Option<Next> {
        let follows = self.counted == number;
        self.counted = number.next();
        let is_due = self.floor.above(self.told) >= FLOOR_RISES || number.above(self.told) >= NUMBERS_MAX;
        if follows && !is_due {
            return None;
        }
        self.told = self.told.max(self.floor);
        Some(Next { number, floor: self.told.min(number) })
    }
}

/// Which of these are reads that a later, settled write of their client would show through.
fn overwritten<R>(all: &VecDeque<Open<R>>, known: &Known) -> Vec<bool> {
    let mut written: BTreeMap<u64, Vec<Option<Slot>>> = BTreeMap::new();
    let mut found: Vec<bool> = all
        .iter()
        .rev()
        .map(|open| {
            let Asked { client, slot, .. } = open.asked;
            match open.number {
                Some(number) => {
                    if known.get(number).is_some() {
                        written.entry(client).or_default().push(slot);
                    }
                    false
                }
                None => {
                    let meets = |other: &Option<Slot>| other.is_none() || slot.is_none() || *other == slot;
                    let later = written.get(&client).is_some_and(|slots| slots.iter().any(meets));
                    later && !left_out(Mutant::ReadBehindWrite)
                }
            }
        })
        .collect();
    found.reverse();
    found
}

impl Reason {
    pub const ALL: [Reason; 5] = [
        Reason::ReplyTooLong,
        Reason::ReadBehindWrite,
        Reason::HeldTooLong,
        Reason::Streamed,
        Reason::NoSessions,
    ];

    /// As it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Reason::ReplyTooLong => "reply_too_long",
            Reason::ReadBehindWrite => "read_behind_write",
            Reason::HeldTooLong => "held_too_long",
            Reason::Streamed => "streamed",
            Reason::NoSessions => "no_sessions",
        }
    }
}
