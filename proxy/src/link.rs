//! A long-lived pipelined connection to one node, shared by all clients of a data thread or leased to one.
//!
//! A link belongs to (data thread, node address, epoch, RESP version, database, NO-TOUCH or not, reads of a replica or not, lane): a shared one never sees a
//! command that would change its state, because another client's request may be next. Requests go out in the order they
//! were taken on, replies come back in that order.
//!
//! What is decided, each without a socket and with tests of its own: [`flight`], the bytes and who waits for them; [`state`], how the link stands
//! and what it does with requests meanwhile; [`silence`] and [`primacy`], whether its node answers, and whether it is still to be believed;
//! [`fates`], what survives a broken connection; [`unit`], what is more than one request. What is done: [`drive`] connects, reads and connects
//! again; [`look`] is the sweep's; [`answer`] and [`loss`] tell clients when a reply comes, or does not; [`arrival`] passes large replies on as they
//! come; [`handover`] moves what was not sent to another link.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::Waker,
};

use slotway_cluster::{Epoch, ShardId};
use slotway_commands::Command;
use slotway_resp::Request;
use tokio::net::tcp::OwnedWriteHalf;

use crate::{
    client::Client,
    errors::{self, Speaker},
    follow::order::LinkId,
    link::{
        arrival::Arriving,
        flight::Flight,
        primacy::Primacy,
        silence::Silence,
        state::{Holds, Peer, Sends},
        unit::Unit,
        waiter::{Special, Waiter},
    },
    replies::{Replies, Ticket},
    thread::Thread,
};

mod answer;
mod arrival;
pub(crate) mod drive;
pub(crate) mod fates;
pub(crate) mod flight;
mod handover;
mod key;
mod look;
mod loss;
pub(crate) mod primacy;
mod room;
mod silence;
mod state;
pub(crate) mod unit;
mod upload;
pub(crate) mod waiter;

pub(crate) use key::{LinkKey, Reach, Tenancy, Trace};
pub(crate) use state::State;

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
    /// Until then its node is taken to be at one command. Thread clock, microseconds.
    at_work_until_us: Cell<u64>,
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
            at_work_until_us: Cell::new(0),
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
        let room = self.room(thread, now_us)?;
        let mut flight = self.flight.borrow_mut();
        if flight.len() >= room.requests_max {
            thread.counters.refused_busy.add(1);
            return Err(errors::busy("requests-in-flight-per-link"));
        }
        flight.push(waiter, write);
        if flight.bytes_held() > room.bytes_max && flight.take_back().is_some() {
            thread.counters.refused_busy.add(1);
            return Err(self.refusal(&room, now_us));
        }
        drop(flight);
        self.used_us.set(now_us);
        thread.turn.mark_link(self);
        Ok(())
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(self: &Rc<Self>, thread: &Thread) {
        if self.blocked.get() {
            return;
        }
        let writer = self.writer.borrow();
        let Some(writer) = writer.as_ref() else { return self.wake() };
        let mut flight = self.flight.borrow_mut();
        let sends = self.state.get().sends(self.peer());
        loop {
            let unsent = match sends {
                Sends::All => flight.unsent(),
                Sends::RestOfBegun => flight.unsent_of_begun(),
            };
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

    /// Its node answers, as far as this link knows.
    pub(crate) fn is_up(&self) -> bool {
        self.state.get() == State::Up
    }

    /// Its node belongs to a shard whose epochs a control group gives.
    pub(crate) fn is_to_member(&self) -> bool {
        self.key.epoch != Epoch(0)
    }

    fn peer(&self) -> Peer {
        if self.is_to_member() { Peer::Member } else { Peer::Other }
    }

    /// Whose words its replies are.
    pub(crate) fn speaker(&self) -> Speaker {
        if self.is_to_member() { Speaker::Member } else { Speaker::Other }
    }

    /// Nobody waits, and nobody has used it for `idle_us`.
    pub(crate) fn is_idle(&self, thread: &Thread, idle_us: u64) -> bool {
        self.flight.borrow().is_empty() && thread.now_us().saturating_sub(self.used_us.get()) > idle_us
    }

    /// Nobody waits for anything.
    pub(crate) fn is_settled(&self) -> bool {
        self.flight.borrow().is_empty()
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
        match self.state.get().holds() {
            Holds::Nothing => Load::default(),
            Holds::Unsent => {
                let flight = self.flight.borrow();
                Load { requests: flight.unsent_requests() as u64, bytes: flight.unsent().len() as u64 }
            }
            Holds::All => self.load(),
        }
    }
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
