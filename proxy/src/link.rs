//! A long-lived pipelined connection to one node, shared by all clients of a data thread or leased to one.
//!
//! A link belongs to (data thread, node address, RESP version, database): a shared one never sees a command that would
//! change its state, because another client's request may be next. Requests go out in the order they were taken on,
//! replies come back in that order. The decisions stand in [`flight`] and [`unit`]; [`drive`] connects, reads and
//! connects again.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
    task::Waker,
};

use slotway_cluster::{Database, ShardId};
use slotway_commands::{Command, row::Flag};
use slotway_resp::{Request, Version};
use tokio::net::tcp::OwnedWriteHalf;

use crate::{
    client::{self, Client},
    errors::{self, INDETERMINATE},
    link::{
        flight::{Broken, Fate, Flight, fates_after_break},
        unit::{Bound, Unit, Verdict},
    },
    replies::{Replies, Ticket},
    thread::Thread,
};

pub(crate) mod drive;
pub(crate) mod flight;
pub(crate) mod unit;

/// What a link is for: requests with the same key may share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LinkKey {
    /// `host:port` of the node.
    pub(crate) address: Arc<str>,
    pub(crate) version: Version,
    pub(crate) database: Database,
}

/// Who is told a reply.
pub(crate) struct Waiter {
    /// None: has been told already (its time was up); the reply is dropped.
    client: Option<Rc<Client>>,
    ticket: Ticket,
    /// Which part of a gathered reply.
    part: Option<u32>,
    command: &'static Command,
    /// Thread clock, microseconds: when the request was taken on.
    since_us: u64,
    /// None: one request, one reply, as nearly always.
    unit: Option<Box<Unit>>,
}

/// Is there a connection? Each with the time since when (thread clock, microseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The first attempt to connect is under way: nobody knows whether the node is there.
    Opening {
        since_us: u64,
    },
    Up {
        since_us: u64,
    },
    Down {
        since_us: u64,
    },
}

/// Who uses a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenancy {
    /// Every client of the thread.
    Shared,
    /// One client at a time ([`crate::lease`]).
    Leased,
}

pub(crate) struct Link {
    pub(crate) key: LinkKey,
    pub(crate) tenancy: Tenancy,
    /// Named in errors.
    pub(crate) shard: ShardId,
    pub(crate) marked: Cell<bool>,
    flight: RefCell<Flight<Waiter>>,
    writer: RefCell<Option<OwnedWriteHalf>>,
    state: Cell<State>,
    /// The socket takes no more at present.
    blocked: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The connection is to be given up for a new one.
    closing: Cell<bool>,
    /// The present connection has brought a reply: a node that takes connections and drops them is not up.
    answered: Cell<bool>,
    /// Thread clock, microseconds.
    used_us: Cell<u64>,
    /// How often what the node's connection knew was lost with it.
    losses: Cell<u32>,
}

/// Requests and their bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

/// One request for one link.
#[derive(Clone, Copy)]
pub(crate) struct Errand<'a> {
    pub(crate) client: &'a Rc<Client>,
    pub(crate) command: &'static Command,
    pub(crate) ticket: Ticket,
    pub(crate) part: Option<u32>,
}

impl Link {
    pub(crate) fn new(key: LinkKey, shard: ShardId, tenancy: Tenancy, now_us: u64) -> Link {
        Link {
            key,
            tenancy,
            shard,
            marked: Cell::new(false),
            flight: RefCell::default(),
            writer: RefCell::default(),
            state: Cell::new(State::Opening { since_us: now_us }),
            blocked: Cell::new(false),
            waker: RefCell::default(),
            closing: Cell::new(false),
            answered: Cell::new(false),
            used_us: Cell::new(now_us),
            losses: Cell::new(0),
        }
    }

    /// Takes on a request, or answers it at once because a limit is reached.
    pub(crate) fn send(
        self: &Rc<Self>,
        thread: &Thread,
        replies: &mut Replies,
        errand: Errand<'_>,
        request: Request<'_>,
    ) {
        self.send_with(thread, replies, errand, |bytes| request.write(bytes));
    }

    /// As [`Link::send`], for a request that the proxy writes itself.
    pub(crate) fn send_with(
        self: &Rc<Self>,
        thread: &Thread,
        replies: &mut Replies,
        errand: Errand<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if let Err(text) = self.push(thread, errand.waiter(thread, None), write) {
            errand.answer(replies, &text);
        }
    }

    /// As [`Link::send_with`], for what is more than one request or belongs to this connection alone. False: it was not
    /// taken on, and the client has been told why; what it belongs to must not go on as if it had been.
    pub(crate) fn send_unit(
        self: &Rc<Self>,
        thread: &Thread,
        replies: &mut Replies,
        errand: Errand<'_>,
        unit: Unit,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let taken = self.push(thread, errand.waiter(thread, Some(Box::new(unit))), write);
        if let Err(text) = &taken {
            errand.answer(replies, text);
        }
        taken.is_ok()
    }

    /// Sends what no client hears the replies of. Err: it was not taken on; the error a client may be told.
    pub(crate) fn send_unheard(
        self: &Rc<Self>,
        thread: &Thread,
        command: &'static Command,
        unit: Unit,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Vec<u8>> {
        let (ticket, since_us, unit) = (Ticket::default(), thread.now_us(), Some(Box::new(unit)));
        self.push(thread, Waiter { client: None, ticket, part: None, command, since_us, unit }, write)
    }

    fn push(
        self: &Rc<Self>,
        thread: &Thread,
        waiter: Waiter,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Vec<u8>> {
        let now_us = thread.now_us();
        let Room { requests_max, bytes_max, bytes_limit } = self.room(thread, now_us)?;
        let mut flight = self.flight.borrow_mut();
        if flight.len() >= requests_max {
            thread.counters.refused_busy.add(1);
            return Err(errors::busy("requests-in-flight-per-link"));
        }
        flight.push(waiter, write);
        if flight.bytes_held() > bytes_max && flight.take_back().is_some() {
            thread.counters.refused_busy.add(1);
            return Err(errors::busy(bytes_limit));
        }
        drop(flight);
        self.used_us.set(now_us);
        thread.turn.mark_link(self);
        Ok(())
    }

    /// How much more it may take on at present, or what a client is told instead.
    fn room(&self, thread: &Thread, now_us: u64) -> Result<Room, Vec<u8>> {
        let limits = thread.limits();
        let requests_max = limits.link_requests_max;
        let State::Down { since_us } = self.state.get() else {
            // A request that finds the link empty is taken on whatever its size: the client's own limits bound it.
            let bytes_max = if self.flight.borrow().is_empty() { usize::MAX } else { limits.link_bytes_max };
            return Ok(Room { requests_max, bytes_max, bytes_limit: "bytes-in-flight-max" });
        };
        let down_us = now_us.saturating_sub(since_us);
        if down_us > limits.hold_us_max {
            return Err(errors::no_primary(self.shard, down_us / 1000));
        }
        let bytes_max = limits.hold_bytes_max.saturating_sub(thread.held_beside(self));
        Ok(Room { requests_max, bytes_max, bytes_limit: "hold-bytes-max" })
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(self: &Rc<Self>, thread: &Thread) {
        if self.blocked.get() {
            return;
        }
        let writer = self.writer.borrow();
        let Some(writer) = writer.as_ref() else { return self.wake() };
        let mut flight = self.flight.borrow_mut();
        while !flight.unsent().is_empty() {
            match writer.try_write(flight.unsent()) {
                Ok(count) => {
                    thread.counters.bytes_to_nodes.add(count as u64);
                    flight.wrote(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.set(true);
                    return self.wake();
                }
                // The reading side sees the same and connects again.
                Err(_) => return self.wake(),
            }
        }
    }

    /// Lets the link's task look at what changed.
    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// One whole reply came. Err: nobody waits for such a one.
    fn reply(&self, thread: &Thread, reply: &[u8]) -> Result<(), UnaskedReply> {
        let mut flight = self.flight.borrow_mut();
        if let Some(unit) = flight.oldest().and_then(|waiter| waiter.unit.as_mut()) {
            let verdict = unit.reply(reply);
            return match verdict {
                Verdict::More => Ok(()),
                verdict => {
                    let waiter = flight.answered().ok_or(UnaskedReply)?;
                    drop(flight);
                    self.judged(thread, waiter, verdict, reply)
                }
            };
        }
        let waiter = flight.answered().ok_or(UnaskedReply)?;
        drop(flight);
        let error = matches!(reply.first(), Some(b'-' | b'!'));
        thread.counters.backend(waiter.command.id, error, thread.now_us().saturating_sub(waiter.since_us));
        if error && let Some(kind) = errors::inner(reply) {
            thread.counters.redirects[kind].add(1);
            waiter.tell(thread, &errors::no_primary(self.shard, 0));
        } else {
            waiter.tell(thread, reply);
        }
        Ok(())
    }

    /// The last reply of a unit came.
    fn judged(
        &self,
        thread: &Thread,
        waiter: Waiter,
        verdict: Verdict,
        reply: &[u8],
    ) -> Result<(), UnaskedReply> {
        let error = verdict != Verdict::Pass || matches!(reply.first(), Some(b'-' | b'!'));
        if waiter.client.is_some() {
            let us = thread.now_us().saturating_sub(waiter.since_us);
            thread.counters.backend(waiter.command.id, error, us);
        }
        // A transaction that the node did not take as one may have left it with an open MULTI or with watched keys.
        let unsure =
            self.tenancy == Tenancy::Leased && matches!(verdict, Verdict::Tell(_) | Verdict::Inner(_));
        let inner = match verdict {
            Verdict::Inner(kind) => Some(kind),
            Verdict::Pass if error => errors::inner(reply),
            _ => None,
        };
        if let Some(kind) = inner {
            thread.counters.redirects[kind].add(1);
            waiter.tell(thread, &errors::no_primary(self.shard, 0));
            return if unsure { Err(UnaskedReply) } else { Ok(()) };
        }
        match verdict {
            Verdict::Tell(text) => {
                thread.counters.indeterminate.add(u64::from(text == INDETERMINATE));
                waiter.tell(thread, &text);
            }
            Verdict::Broken => {
                thread.counters.indeterminate.add(u64::from(waiter.client.is_some()));
                waiter.tell(thread, INDETERMINATE);
                return Err(UnaskedReply);
            }
            Verdict::Pass | Verdict::More | Verdict::Drop | Verdict::Inner(_) => waiter.tell(thread, reply),
        }
        if unsure { Err(UnaskedReply) } else { Ok(()) }
    }

    /// There is a connection, and it is in the state that requests expect.
    fn opened(self: &Rc<Self>, thread: &Thread, writer: OwnedWriteHalf) {
        thread.tick();
        *self.writer.borrow_mut() = Some(writer);
        self.state.set(State::Up { since_us: thread.now_us() });
        self.closing.set(false);
        self.answered.set(false);
        thread.turn.mark_link(self);
    }

    /// An attempt to connect failed.
    fn stayed_down(&self, thread: &Thread) {
        thread.tick();
        if let State::Opening { .. } = self.state.get() {
            self.state.set(State::Down { since_us: thread.now_us() });
        }
    }

    /// The connection is gone: what may be sent again is kept, the rest is answered.
    fn broke(&self, thread: &Thread) {
        thread.tick();
        self.writer.take();
        self.blocked.set(false);
        self.state.set(State::Down { since_us: thread.now_us() });
        self.losses.set(self.losses.get().wrapping_add(1));
        thread.shared.stale.notify_one();
        let mut flight = self.flight.borrow_mut();
        let requests: Vec<Broken> = flight
            .iter_mut()
            .map(|(sent, waiter)| {
                let client = waiter.client.as_ref().map(|client| client.id);
                Broken { sent, client, write: waiter.may_write(), bound: waiter.is_bound() }
            })
            .collect();
        let mut fates = fates_after_break(&requests).into_iter();
        let mut told: Vec<Cow<'static, [u8]>> = Vec::new();
        let failed = flight.sift(|sent, waiter| {
            let fate = fates.next().unwrap_or(Fate::Fail);
            if fate == Fate::Fail {
                told.push(waiter.lost(sent, self.shard));
            }
            fate
        });
        drop(flight);
        for (waiter, text) in failed.into_iter().zip(told).filter(|(waiter, _)| waiter.client.is_some()) {
            thread.counters.indeterminate.add(u64::from(*text == *INDETERMINATE));
            waiter.tell(thread, &text);
        }
    }

    /// Answers what has waited too long. True: a new connection is due, because this one has been silent for too long or
    /// because what was sent on it lacks what should have followed.
    pub(crate) fn sweep(&self, thread: &Thread) -> bool {
        let mut told: Vec<(Waiter, Cow<'static, [u8]>)> = Vec::new();
        let stuck = self.give_up_on_replies(thread, &mut told);
        let lost = self.give_up_holding(thread, &mut told);
        for (waiter, text) in told {
            waiter.tell(thread, &text);
        }
        stuck || lost
    }

    /// Past its deadline a request that was sent is answered here and its reply dropped when it comes. The time counts
    /// from when this connection could have sent it.
    fn give_up_on_replies(&self, thread: &Thread, told: &mut Vec<(Waiter, Cow<'static, [u8]>)>) -> bool {
        let State::Up { since_us: up_us } = self.state.get() else { return false };
        let (now_us, within_us) = (thread.now_us(), thread.limits().request_us_max);
        let mut stuck = false;
        for (sent, waiter) in self.flight.borrow_mut().iter_mut() {
            let waited_us = now_us.saturating_sub(waiter.since_us.max(up_us));
            if !sent || waited_us <= within_us {
                break;
            }
            // Of what belongs to a connection nothing may follow once a reply was not waited for.
            stuck |= waited_us > 2 * within_us || waiter.is_bound() && waiter.client.is_some();
            let Some(client) = waiter.client.take() else { continue };
            let text = if waiter.may_write() {
                thread.counters.indeterminate.add(1);
                INDETERMINATE.into()
            } else {
                thread.counters.timeouts.add(1);
                errors::no_reply(self.shard, within_us / 1000).into()
            };
            told.push((Waiter { client: Some(client), unit: None, ..*waiter }, text));
        }
        stuck
    }

    /// What could not be sent for too long is withdrawn: it was never applied. True: there is a connection of which the
    /// node now knows only half of what it was to be told.
    fn give_up_holding(&self, thread: &Thread, told: &mut Vec<(Waiter, Cow<'static, [u8]>)>) -> bool {
        let now_us = thread.now_us();
        let limits = thread.limits();
        let within_us = match self.state.get() {
            State::Opening { .. } => limits.hold_us_max.max(limits.connect_us_max),
            State::Up { .. } | State::Down { .. } => limits.hold_us_max,
        };
        let expired = |waiter: &Waiter| now_us.saturating_sub(waiter.since_us) > within_us;
        let withdrawn = self.flight.borrow_mut().withdraw(expired);
        let lost = self.tenancy == Tenancy::Leased && !withdrawn.is_empty();
        for waiter in withdrawn {
            let held_ms = now_us.saturating_sub(waiter.since_us) / 1000;
            told.push((waiter, errors::no_primary(self.shard, held_ms).into()));
        }
        if lost {
            // What is left stands behind what is gone: a transaction must not run without its WATCH, nor a command
            // without its MULTI.
            self.losses.set(self.losses.get().wrapping_add(1));
            for waiter in self.flight.borrow_mut().withdraw(|_| true) {
                let text = waiter.lost(false, self.shard);
                told.push((waiter, text));
            }
        }
        lost && matches!(self.state.get(), State::Up { .. })
    }

    /// Nobody waits, and nobody has used it for `idle_us`.
    pub(crate) fn is_idle(&self, thread: &Thread, idle_us: u64) -> bool {
        self.flight.borrow().is_empty() && thread.now_us().saturating_sub(self.used_us.get()) > idle_us
    }

    /// Nobody waits for anything.
    pub(crate) fn is_settled(&self) -> bool {
        self.flight.borrow().is_empty()
    }

    /// Gives up the present connection for a new one.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.wake();
    }

    /// Changes when what the node's connection knew (watched keys, queued commands) is lost.
    pub(crate) fn losses(&self) -> u32 {
        self.losses.get()
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// What waits for a reply or for being sent.
    pub(crate) fn load(&self) -> Load {
        let flight = self.flight.borrow();
        Load { requests: flight.len() as u64, bytes: flight.bytes_held() as u64 }
    }

    /// What waits because there is no connection.
    pub(crate) fn held(&self) -> Load {
        match self.state.get() {
            State::Up { .. } => Load::default(),
            State::Opening { .. } | State::Down { .. } => self.load(),
        }
    }
}

/// What a link may still take on, and the name of the limit of bytes.
struct Room {
    requests_max: usize,
    bytes_max: usize,
    bytes_limit: &'static str,
}

/// The node sent a reply that nobody asked for.
#[derive(Debug)]
struct UnaskedReply;

impl Errand<'_> {
    fn waiter(&self, thread: &Thread, unit: Option<Box<Unit>>) -> Waiter {
        let Errand { client, command, ticket, part } = *self;
        Waiter { client: Some(Rc::clone(client)), ticket, part, command, since_us: thread.now_us(), unit }
    }

    /// The reply is known without asking anybody.
    pub(crate) fn answer(&self, replies: &mut Replies, reply: &[u8]) {
        match self.part {
            None => replies.deliver(self.ticket, reply),
            Some(part) => replies.deliver_part(self.ticket, part, reply),
        }
    }
}

impl Waiter {
    /// Running it twice may not be the same as running it once.
    fn may_write(&self) -> bool {
        match &self.unit {
            Some(unit) => unit.may_write(),
            None => self.command.is_write() || self.command.flags.has(Flag::MayReplicate),
        }
    }

    fn is_bound(&self) -> bool {
        self.unit.as_ref().is_some_and(|unit| unit.is_bound())
    }

    /// What its client is told when its connection is lost and it cannot be sent again.
    fn lost(&self, sent: bool, shard: ShardId) -> Cow<'static, [u8]> {
        match self.unit.as_deref() {
            Some(Unit::Piece { bound: Bound::Told(text), .. } | Unit::End(Bound::Told(text))) if !sent => {
                (*text).into()
            }
            // Not executed before its EXEC, which will not come.
            Some(Unit::Step) => errors::no_primary(shard, 0).into(),
            _ if !sent => errors::no_primary(shard, 0).into(),
            _ => INDETERMINATE.into(),
        }
    }

    fn tell(self, thread: &Thread, reply: &[u8]) {
        let Some(client) = self.client else { return };
        if client.fate.get() == client::Fate::CloseNow {
            return;
        }
        let mut replies = client.replies.borrow_mut();
        thread.lend(replies.output());
        match self.part {
            None => replies.deliver(self.ticket, reply),
            Some(part) => replies.deliver_part(self.ticket, part, reply),
        }
        drop(replies);
        thread.turn.mark_client(&client);
    }
}
