//! A long-lived pipelined connection to one node, shared by all clients of a data thread or leased to one.
//!
//! A link belongs to (data thread, node address, epoch, RESP version, database, NO-TOUCH or not, reads of a replica or not, lane): a shared one never sees a
//! command that would change its state, because another client's request may be next. Requests go out in the order they
//! were taken on, replies come back in that order. The decisions stand in [`flight`] and [`unit`]; [`drive`] connects, reads and
//! connects again; [`answer`] and [`loss`] say what becomes of a request whose reply comes, or does not; [`arrival`]
//! passes large replies on as they come.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    io,
    rc::Rc,
    sync::Arc,
    task::Waker,
};

use slotway_cluster::{Database, Epoch, ShardId};
use slotway_commands::Command;
use slotway_resp::{Request, Version};
use tokio::net::tcp::OwnedWriteHalf;

use crate::{
    client::{Client, Fate},
    errors::{self, Speaker},
    follow::order::LinkId,
    lane::Lane,
    link::{
        arrival::Arriving,
        flight::Flight,
        primacy::Primacy,
        silence::{Owed, Sight, Silence},
        unit::Unit,
        waiter::{Special, Waiter},
    },
    replies::{Replies, Ticket},
    thread::Thread,
};

mod answer;
mod arrival;
pub(crate) mod drive;
pub(crate) mod flight;
mod loss;
pub(crate) mod primacy;
mod silence;
pub(crate) mod unit;
mod upload;
pub(crate) mod waiter;

/// What a link is for: requests with the same key may share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LinkKey {
    /// `host:port` of the node.
    pub(crate) address: Arc<str>,
    /// The reign of its shard that the node is held to: in the next one nothing is sent on this link. 0: its shard has none.
    pub(crate) epoch: Epoch,
    pub(crate) version: Version,
    pub(crate) database: Database,
    pub(crate) trace: Trace,
    pub(crate) reach: Reach,
    pub(crate) lane: Lane,
}

/// What the node is to its shard, as far as this link is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    Primary,
    /// Asked for reads only ([`crate::read_from`]).
    Replica,
}

/// Whether commands count as uses of their keys: eviction and OBJECT IDLETIME ask (CLIENT NO-TOUCH).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trace {
    Left,
    None,
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
    /// Up, but a member of a control group's shard owes replies and has brought nothing for a while: what comes is held.
    Quiet {
        since_us: u64,
    },
    /// Up, but it owes replies and has brought nothing for too long ([`silence`]).
    Silent {
        since_us: u64,
    },
}

impl State {
    /// There is a connection.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, State::Up { .. } | State::Quiet { .. } | State::Silent { .. })
    }
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
    /// Named in errors. A node may come to be another shard's.
    pub(crate) shard: Cell<ShardId>,
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
    /// The reply to the oldest request has come in part and was handed on.
    arriving: Cell<Option<Arriving>>,
    /// Thread clock, microseconds.
    used_us: Cell<u64>,
    /// When the present connection was made, and when it brought bytes last.
    up_us: Cell<u64>,
    heard_us: Cell<u64>,
    primacy: Cell<Primacy>,
    silence: Cell<Silence>,
    /// How often what the node's connection knew was lost with it.
    losses: Cell<u32>,
    /// The topology's version when the link was made: what is on it was routed by that or a later one.
    pub(crate) made_at: u64,
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
    pub(crate) fn new(key: LinkKey, shard: ShardId, tenancy: Tenancy, made_at: u64, now_us: u64) -> Link {
        // A link to a member is made for the reign that the topology names.
        let primacy = if key.epoch == Epoch(0) { Primacy::Never } else { Primacy::Present };
        Link {
            key,
            tenancy,
            shard: Cell::new(shard),
            marked: Cell::new(false),
            flight: RefCell::default(),
            writer: RefCell::default(),
            state: Cell::new(State::Opening { since_us: now_us }),
            blocked: Cell::new(false),
            waker: RefCell::default(),
            closing: Cell::new(false),
            answered: Cell::new(false),
            arriving: Cell::new(None),
            used_us: Cell::new(now_us),
            up_us: Cell::new(0),
            heard_us: Cell::new(0),
            primacy: Cell::new(primacy),
            silence: Cell::default(),
            losses: Cell::new(0),
            made_at,
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
        let taken = self.push(thread, errand.waiter(thread, Some(Special::of(unit))), write);
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
        let (ticket, since_us, special) = (Ticket::default(), thread.now_us(), Some(Special::of(unit)));
        self.push(thread, Waiter { client: None, ticket, part: None, command, since_us, special }, write)
    }

    /// Takes on a request that has been under way before.
    pub(crate) fn push_again(
        self: &Rc<Self>,
        thread: &Thread,
        waiter: Waiter,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.flight.borrow_mut().push(waiter, write);
        self.used_us.set(thread.now_us());
        thread.turn.mark_link(self);
    }

    /// Whether there is room for a request that has been under way before.
    pub(crate) fn takes_on(&self, thread: &Thread) -> bool {
        let (requests, bytes) = {
            let flight = self.flight.borrow();
            (flight.len(), flight.bytes_held())
        };
        self.room(thread, thread.now_us())
            .is_ok_and(|room| requests < room.requests_max && bytes < room.bytes_max)
    }

    /// Takes out what no socket has seen any of, as far as `chosen`.
    pub(crate) fn take_unsent(&self, chosen: impl FnMut(&Waiter, &[u8]) -> bool) -> Vec<(Waiter, Vec<u8>)> {
        self.flight.borrow_mut().take_unsent(chosen)
    }

    /// Hands what no socket has seen any of over to the link of the next reign, which leads to the same keys. Not that of
    /// clients who have something under way here, or that looks for its way: what may leave then is a question of order.
    pub(crate) fn hand_over(&self, thread: &Thread, to: &Rc<Link>) {
        let mut flight = self.flight.borrow_mut();
        let client = |waiter: &Waiter| waiter.client.as_ref().map(Rc::clone);
        let under_way = flight.iter_mut().filter(|(sent, _)| *sent);
        let busy: HashSet<u64> = under_way.filter_map(|(_, waiter)| Some(client(waiter)?.id)).collect();
        let moved = flight.hand_over(&mut to.flight.borrow_mut(), |waiter| {
            let Some(client) = &waiter.client else { return false };
            let is_free = !busy.contains(&client.id) && client.order.borrow().is_idle();
            is_free && !waiter.is_bound() && client.fate.get() != Fate::CloseNow
        });
        if moved {
            to.used_us.set(thread.now_us());
            thread.turn.mark_link(to);
        }
    }

    /// All that waits for a reply or for being sent, with its bytes.
    pub(crate) fn for_each_waiter(&self, look: impl FnMut(&mut Waiter, &[u8])) {
        self.flight.borrow_mut().for_each(look);
    }

    pub(crate) fn id(&self) -> LinkId {
        LinkId(std::ptr::from_ref(self).addr())
    }

    fn push(
        self: &Rc<Self>,
        thread: &Thread,
        waiter: Waiter,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Vec<u8>> {
        let now_us = thread.now_us();
        let Room { requests_max, bytes_max, full } = self.room(thread, now_us)?;
        let mut flight = self.flight.borrow_mut();
        if flight.len() >= requests_max {
            thread.counters.refused_busy.add(1);
            return Err(errors::busy("requests-in-flight-per-link"));
        }
        flight.push(waiter, write);
        if flight.bytes_held() > bytes_max && flight.take_back().is_some() {
            thread.counters.refused_busy.add(1);
            return Err(match full {
                Full::InFlight => errors::busy("bytes-in-flight-max"),
                Full::Held { since_us } => {
                    errors::no_primary(self.shard.get(), now_us.saturating_sub(since_us) / 1000)
                }
            });
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
        let since_us = match self.state.get() {
            State::Opening { .. } | State::Up { .. } => {
                // A request that finds the link empty is taken on whatever its size: the client's own limits bound it.
                let is_empty = self.flight.borrow().is_empty();
                let bytes_max = if is_empty { usize::MAX } else { limits.link_bytes_max };
                return Ok(Room { requests_max, bytes_max, full: Full::InFlight });
            }
            State::Quiet { since_us } | State::Down { since_us } | State::Silent { since_us } => since_us,
        };
        let away_us = now_us.saturating_sub(since_us);
        if away_us > limits.hold_us_max || matches!(self.state.get(), State::Silent { .. }) {
            return Err(errors::no_primary(self.shard.get(), away_us / 1000));
        }
        // What the node has been sent is not held.
        let flight = self.flight.borrow();
        let sent_bytes = flight.bytes_held() - flight.unsent().len();
        drop(flight);
        let held_bytes_max = limits.hold_bytes_max.saturating_sub(thread.held_beside(self));
        let bytes_max = held_bytes_max.saturating_add(sent_bytes);
        Ok(Room { requests_max, bytes_max, full: Full::Held { since_us } })
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(self: &Rc<Self>, thread: &Thread) {
        if self.blocked.get() {
            return;
        }
        let writer = self.writer.borrow();
        let Some(writer) = writer.as_ref() else { return self.wake() };
        let mut flight = self.flight.borrow_mut();
        let holds = match self.state.get() {
            State::Quiet { .. } => true,
            State::Silent { .. } => self.is_to_member(),
            State::Opening { .. } | State::Up { .. } | State::Down { .. } => false,
        };
        loop {
            // A node that has half a request would wait for the rest as we wait for it.
            let unsent = if holds { flight.unsent_of_begun() } else { flight.unsent() };
            if unsent.is_empty() {
                return;
            }
            match writer.try_write(unsent) {
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

    /// There is a connection, and it is in the state that requests expect.
    fn opened(self: &Rc<Self>, thread: &Thread, writer: OwnedWriteHalf) {
        thread.tick();
        *self.writer.borrow_mut() = Some(writer);
        self.state.set(State::Up { since_us: thread.now_us() });
        self.up_us.set(thread.now_us());
        self.heard_us.set(thread.now_us());
        self.closing.set(false);
        self.answered.set(false);
        thread.turn.mark_link(self);
        self.mark_feeder(thread);
    }

    /// An attempt to connect failed.
    fn stayed_down(&self, thread: &Thread) {
        thread.tick();
        if let State::Opening { .. } = self.state.get() {
            self.state.set(State::Down { since_us: thread.now_us() });
        }
        if !self.is_settled() {
            // What a redirection sent here may have an owner that is there.
            thread.follow.look_at_links();
        }
    }

    /// Its node was replaced while it hung. Looked at by every sweep, which is how it knows.
    pub(crate) fn is_beyond_belief(&self, thread: &Thread) -> bool {
        let now_us = thread.now_us();
        let (is_present, patience) = match self.is_to_member() {
            true => (!thread.has_outlived(self), primacy::MEMBERS),
            false => {
                let is_primary = self.key.reach == Reach::Primary && thread.is_primary(&self.key.address);
                (is_primary, primacy::OTHERS)
            }
        };
        let primacy = self.primacy.get().look(is_present, now_us);
        self.primacy.set(primacy);
        let quiet_us = self.silence.get().quiet_us(self.sight(thread));
        self.state.get().is_open() && primacy.is_beyond_belief(now_us, quiet_us, patience)
    }

    /// Its node answers, as far as this link knows.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state.get(), State::Up { .. })
    }

    /// Its node belongs to a shard whose epochs a control group gives.
    pub(crate) fn is_to_member(&self) -> bool {
        self.key.epoch != Epoch(0)
    }

    /// Whose words its replies are.
    pub(crate) fn speaker(&self) -> Speaker {
        if self.is_to_member() { Speaker::Member } else { Speaker::Other }
    }

    fn sight(&self, thread: &Thread) -> Sight {
        let flight = self.flight.borrow();
        Sight {
            now_us: thread.now_us(),
            answered: flight.answered_until(),
            owed: if flight.owes_replies() { Owed::Replies } else { Owed::Nothing },
            heard_us: self.heard_us.get(),
        }
    }

    /// On a client's own link: what is waited for is a member's reply that takes no time of its own. What blocks may come
    /// at any time, and what streams when its client sends the rest.
    fn owes_promptly(&self) -> bool {
        let flight = self.flight.borrow();
        let is_prompt = |waiter: &Waiter| {
            let streams = matches!(waiter.unit(), Some(Unit::Upload(_)));
            !waiter.command.is_blocking() && waiter.within_us(0) == 0 && !streams
        };
        self.is_to_member() && flight.owes_whole() && flight.waiters().next().is_some_and(is_prompt)
    }

    /// Looks whether the node still answers. True: it has just stopped.
    pub(crate) fn fell_silent(self: &Rc<Self>, thread: &Thread) -> bool {
        let state = self.state.get();
        if !state.is_open() {
            return false;
        }
        let sight = self.sight(thread);
        let mut silence = self.silence.get();
        let silent = silence.look(sight, thread.limits().hold_us_max);
        self.silence.set(silence);
        let quiet_us = silence.quiet_us(sight);
        // What is asked on a client's own link may take its time.
        let owes = match self.tenancy {
            Tenancy::Shared => self.flight.borrow().owes_whole(),
            Tenancy::Leased => self.owes_promptly(),
        };
        let is_quiet = quiet_us > silence::QUIET_US && owes;
        let next = match silent.filter(|_| owes || self.tenancy == Tenancy::Shared) {
            Some(since_us) => State::Silent { since_us },
            None if self.is_to_member() && is_quiet => State::Quiet { since_us: sight.now_us - quiet_us },
            None => State::Up { since_us: self.up_us.get() },
        };
        self.state.set(next);
        if let State::Up { .. } = next {
            thread.turn.mark_link(self);
        }
        matches!(next, State::Silent { .. }) && !matches!(state, State::Silent { .. })
    }

    /// Bytes have come: whatever it was, it answers.
    fn heard(self: &Rc<Self>, thread: &Thread) {
        self.heard_us.set(thread.now_us());
        if let State::Quiet { .. } = self.state.get() {
            self.state.set(State::Up { since_us: self.up_us.get() });
            thread.turn.mark_link(self);
        }
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

    /// The node answers, only not here: a new connection is made, and what is asked meanwhile waits for it.
    pub(crate) fn begin_anew(&self, thread: &Thread) {
        self.state.set(State::Quiet { since_us: thread.now_us() });
        self.close();
    }

    /// Changes when what the node's connection knew (watched keys, queued commands) is lost.
    pub(crate) fn losses(&self) -> u32 {
        self.losses.get()
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// Whether a write that was taken on until then waits for its reply.
    pub(crate) fn owes_write(&self, until_us: u64) -> bool {
        self.flight.borrow().waiters().any(|waiter| waiter.is_write_until(until_us))
    }

    /// What waits for a reply or for being sent.
    pub(crate) fn load(&self) -> Load {
        let flight = self.flight.borrow();
        Load { requests: flight.len() as u64, bytes: flight.bytes_held() as u64 }
    }

    /// What waits because there is no connection.
    pub(crate) fn held(&self) -> Load {
        match self.state.get() {
            State::Up { .. } | State::Silent { .. } => Load::default(),
            State::Quiet { .. } => {
                let flight = self.flight.borrow();
                Load { requests: flight.unsent_requests() as u64, bytes: flight.unsent().len() as u64 }
            }
            State::Opening { .. } | State::Down { .. } => self.load(),
        }
    }
}

/// What a link may still take on, and what it means if its bytes are too many.
struct Room {
    requests_max: usize,
    bytes_max: usize,
    full: Full,
}

enum Full {
    /// `bytes-in-flight-max`
    InFlight,
    /// `hold-bytes-max`: nothing more is held for a shard without a primary since then. Thread clock, microseconds.
    Held { since_us: u64 },
}

impl Errand<'_> {
    fn waiter(&self, thread: &Thread, special: Option<Box<Special>>) -> Waiter {
        let Errand { client, command, ticket, part } = *self;
        Waiter { client: Some(Rc::clone(client)), ticket, part, command, since_us: thread.now_us(), special }
    }

    /// The reply is known without asking anybody.
    pub(crate) fn answer(&self, replies: &mut Replies, reply: &[u8]) {
        match self.part {
            None => replies.deliver(self.ticket, reply),
            Some(part) => replies.deliver_part(self.ticket, part, reply),
        }
    }
}
