//! One client of the proxy: its connection's state, the replies it is owed, and its socket's writing side.
//!
//! Everything of a client happens on one data thread, so its fields are cells. [`drive`] reads its requests; links
//! deliver replies into [`Replies`]; the end of a turn flushes.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::{Context, Waker},
};

use slotway_cluster::Database;
use slotway_commands::Id;
use slotway_link::End;
use slotway_resp::Version;
use tokio::net::tcp::OwnedWriteHalf;

use crate::{
    client::{inquiry::Inquiry, large::Upload},
    follow::order::Order,
    lane::Lane,
    lease::Lease,
    link::Trace,
    replies::{Heard, Replies, Ticket},
    thread::Thread,
    transaction::{self, Spot, Transaction},
    wait,
};

pub(crate) mod card;
pub(crate) mod drive;
pub(crate) mod inquiry;
mod large;
mod leaving;

/// What CLIENT REPLY asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReplyMode {
    #[default]
    On,
    Off,
    /// The reply of the next command is dropped.
    SkipNext,
}

/// How long the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    /// Until what it asked for is answered: the proxy is stopping.
    Drain,
    /// Until the replies that are owed so far are sent.
    CloseAfterReplies,
    CloseNow,
}

/// Why further requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stall {
    /// Too many are in flight, or too many replies wait for the client to read them.
    Load,
    /// The next one must not run before everything in flight is answered.
    Order,
    /// Nobody owns the slot of the next one.
    Topology,
    /// CLIENT PAUSE: the thread lets it go on.
    Pause,
    /// The node does not take what has come of a large request so fast.
    Upload,
    /// Where a large request belongs is being asked ([`inquiry`]).
    Inquiry,
    /// No link is free for a large request ([`crate::lease::take_in_turn`]).
    Lease,
}

/// While more reply bytes than this wait for the client to read them, its further requests are not looked at.
pub(crate) const UNREAD_REPLY_BYTES_MAX: usize = 1024 * 1024;

/// After so long without a request a client is idle and keeps no room for replies.
const ROOM_KEPT_US: u64 = 5_000_000;

/// A client that has said nothing for so long is not about to send the MULTI that belongs to its last request.
const SILENT_US: u64 = 1_000_000;

/// What a client has said about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) name: Vec<u8>,
    pub(crate) library_name: Vec<u8>,
    pub(crate) library_version: Vec<u8>,
}

/// A link that is the client's own.
pub(crate) struct Leased {
    pub(crate) lease: Lease,
    /// None: it holds a large transaction only.
    pub(crate) watch: Option<Watch>,
}

/// What a link was leased to watch.
pub(crate) struct Watch {
    pub(crate) spot: Spot,
    /// The node has said OK to a WATCH.
    pub(crate) began: Rc<Cell<bool>>,
}

pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) peer: End,
    pub(crate) local: End,
    /// Thread clock, microseconds.
    pub(crate) created_us: u64,
    pub(crate) active_us: Cell<u64>,

    pub(crate) database: Cell<Database>,
    pub(crate) version: Cell<Version>,
    pub(crate) authenticated: Cell<bool>,
    pub(crate) reply_mode: Cell<ReplyMode>,
    pub(crate) no_evict: Cell<bool>,
    no_touch: Cell<bool>,
    pub(crate) identity: RefCell<Identity>,
    pub(crate) last_command: Cell<Option<Id>>,
    pub(crate) unparsed_bytes: Cell<usize>,

    /// Whether there is one of the next two, or NO-TOUCH is on: nearly no client has any, and every request asks.
    pub(crate) apart: Cell<bool>,
    /// Between MULTI and EXEC.
    pub(crate) transaction: RefCell<Option<Box<Transaction>>>,
    /// A link of its own, and what it is for.
    pub(crate) lease: RefCell<Option<Box<Leased>>>,
    /// Where its large request belongs: asked before the first byte leaves.
    pub(crate) inquiry: RefCell<Option<Rc<Inquiry>>>,
    /// A large request on its way to a node, until it is answered.
    pub(crate) upload: RefCell<Option<Box<Upload>>>,
    /// The links on which its WAIT is under way, one for each shard.
    pub(crate) waits: RefCell<Vec<Lease>>,

    /// On which of two links to each node its requests travel.
    pub(crate) lane: Cell<Lane>,
    pub(crate) long_replies: Cell<u8>,
    /// With `read-from`: the last request, or the one behind it, of which anything went to a replica.
    pub(crate) read_apart: Cell<Option<Ticket>>,
    pub(crate) replies: RefCell<Replies>,
    /// Which of its requests look for their way ([`crate::follow`]), or are under way behind one that does.
    pub(crate) order: RefCell<Order>,
    pub(crate) fate: Cell<Fate>,
    pub(crate) marked: Cell<bool>,
    /// Why its task does not look at further requests.
    pub(crate) stall: Cell<Option<Stall>>,
    /// Since when its next request waits because nobody owns its slot. Thread clock, microseconds.
    pub(crate) homeless_since_us: Cell<Option<u64>>,
    /// Bytes that were read may hold whole requests that nobody has looked at.
    pub(crate) stopped_early: Cell<bool>,
    /// None: the connection has ended.
    writer: RefCell<Option<OwnedWriteHalf>>,
    /// The socket takes no more at present.
    blocked: Cell<bool>,
    over_soft_limit_since_us: Cell<Option<u64>>,
    waker: RefCell<Option<Waker>>,
}

impl Client {
    pub(crate) fn new(id: u64, writer: OwnedWriteHalf, now_us: u64) -> io::Result<Client> {
        let (peer, local) = End::both(writer.as_ref())?;
        Ok(Client {
            id,
            peer,
            local,
            created_us: now_us,
            active_us: Cell::new(now_us),
            database: Cell::default(),
            version: Cell::default(),
            authenticated: Cell::new(false),
            reply_mode: Cell::default(),
            no_evict: Cell::new(false),
            no_touch: Cell::new(false),
            identity: RefCell::default(),
            last_command: Cell::new(None),
            unparsed_bytes: Cell::new(0),
            apart: Cell::new(false),
            transaction: RefCell::default(),
            lease: RefCell::default(),
            inquiry: RefCell::default(),
            upload: RefCell::default(),
            waits: RefCell::default(),
            lane: Cell::default(),
            long_replies: Cell::new(0),
            read_apart: Cell::default(),
            replies: RefCell::default(),
            order: RefCell::default(),
            fate: Cell::new(Fate::Open),
            marked: Cell::new(false),
            stall: Cell::new(None),
            homeless_since_us: Cell::new(None),
            stopped_early: Cell::new(false),
            writer: RefCell::new(Some(writer)),
            blocked: Cell::new(false),
            over_soft_limit_since_us: Cell::new(None),
            waker: RefCell::default(),
        })
    }

    /// Whether the reply to the command that runs now is wanted; CLIENT REPLY SKIP covers one command.
    pub(crate) fn heard(&self) -> Heard {
        match self.reply_mode.get() {
            ReplyMode::On => Heard::Heard,
            ReplyMode::Off => Heard::Muted,
            ReplyMode::SkipNext => {
                self.reply_mode.set(ReplyMode::On);
                Heard::Muted
            }
        }
    }

    /// CLIENT NO-TOUCH. Nothing of the client is in flight: its next requests take other links.
    pub(crate) fn set_no_touch(&self, on: bool) {
        self.no_touch.set(on);
        self.look_apart();
    }

    pub(crate) fn trace(&self) -> Trace {
        if self.no_touch.get() { Trace::None } else { Trace::Left }
    }

    /// One of what sets it apart may have ended.
    pub(crate) fn look_apart(&self) {
        let apart =
            self.no_touch.get() || self.transaction.borrow().is_some() || self.lease.borrow().is_some();
        self.apart.set(apart);
    }

    /// Changes how long the connection goes on, and lets its task know. It never becomes longer.
    pub(crate) fn decide(&self, fate: Fate) {
        let rank = |fate| match fate {
            Fate::Open => 0,
            Fate::Drain => 1,
            Fate::CloseAfterReplies => 2,
            Fate::CloseNow => 3,
        };
        if rank(fate) > rank(self.fate.get()) {
            self.fate.set(fate);
            self.wake();
        }
    }

    /// Lets the connection's task look at the client again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// The topology has changed, or the request that waits for that has waited for too long: it is looked at again.
    pub(crate) fn end_homelessness(&self) {
        if self.stall.get() == Some(Stall::Topology) {
            self.stall.set(None);
            self.wake();
        }
    }

    /// CLIENT PAUSE is over: the request that waited for that is looked at again.
    pub(crate) fn end_pause(&self, now_us: u64) {
        if self.stall.get() == Some(Stall::Pause) {
            // As long as it was not read, it could not be late.
            self.active_us.set(now_us);
        }
        self.end_stall(Stall::Pause);
    }

    /// It is known where its large request belongs, or that it belongs nowhere.
    pub(crate) fn end_inquiry(&self) {
        self.end_stall(Stall::Inquiry);
    }

    /// There may be a link for its large request.
    pub(crate) fn call(&self) {
        self.end_stall(Stall::Lease);
    }

    fn end_stall(&self, stall: Stall) {
        if self.stall.get() == Some(stall) {
            self.stall.set(None);
            self.wake();
        }
    }

    /// Writes what the socket takes; at the limit of what may wait for it the client is cut.
    pub(crate) fn flush(&self, thread: &Thread) {
        if self.fate.get() == Fate::CloseNow {
            return;
        }
        let mut replies = self.replies.borrow_mut();
        if self.write(thread, &mut replies).is_err() {
            return self.decide(Fate::CloseNow);
        }
        if replies.unsent().is_empty() {
            thread.recycle(replies.output());
        }
        let (waiting, outstanding) = (replies.bytes(), replies.outstanding());
        drop(replies);
        if self.is_over_limit(thread, waiting) {
            return self.cut(thread, waiting);
        }
        if self.may_go_on(thread, waiting, outstanding) {
            self.stall.set(None);
            large::settle(thread, self);
            wait::settle(thread, self);
            self.wake();
        }
        if waiting == 0 && self.fate.get() != Fate::Open {
            self.wake();
        }
    }

    fn write(&self, thread: &Thread, replies: &mut Replies) -> io::Result<()> {
        let writer = self.writer.borrow();
        let Some(writer) = writer.as_ref() else { return Ok(()) };
        while !self.blocked.get() && !replies.unsent().is_empty() {
            match writer.try_write(replies.unsent()) {
                Ok(count) => {
                    thread.counters.bytes_to_clients.add(count as u64);
                    self.active_us.set(thread.now_us());
                    replies.wrote(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.set(true);
                    self.wake();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether what its further requests waited for has come.
    fn may_go_on(&self, thread: &Thread, waiting: usize, outstanding: usize) -> bool {
        match self.stall.get() {
            None | Some(Stall::Pause | Stall::Inquiry | Stall::Lease | Stall::Topology) => false,
            Some(Stall::Upload) => {
                outstanding == 0 || self.upload.borrow().as_ref().is_none_or(|upload| upload.has_room())
            }
            Some(Stall::Order) => outstanding == 0,
            Some(Stall::Load) => {
                outstanding <= thread.limits().in_flight_max / 2 && waiting <= UNREAD_REPLY_BYTES_MAX / 2
            }
        }
    }

    /// It is over its limit of what may wait for it.
    fn cut(&self, thread: &Thread, waiting: usize) {
        thread.counters.clients_cut_output.add(1);
        tracing::warn!(client = self.id, peer = %self.peer, bytes = waiting,
            "client cut: client-output-buffer-limit reached");
        self.decide(Fate::CloseNow);
    }

    /// The socket takes bytes again, if it had stopped.
    fn unblock(self: &Rc<Self>, thread: &Thread, context: &mut Context<'_>) {
        let writable = |writer: &OwnedWriteHalf| writer.as_ref().poll_write_ready(context).is_ready();
        if self.blocked.get() && self.writer.borrow().as_ref().is_some_and(writable) {
            self.blocked.set(false);
            thread.turn.mark_client(self);
        }
    }

    /// The connection has ended: closes the socket at once, whoever still holds the client (links drop replies to it).
    fn end(&self, thread: &Thread) {
        self.fate.set(Fate::CloseNow);
        transaction::abandon(thread, self);
        large::give_up(thread, self);
        wait::give_up(thread, self);
        self.writer.take();
        let mut replies = self.replies.take();
        thread.recycle(replies.output());
        self.waker.take();
    }

    /// Bytes of commands that wait for EXEC.
    pub(crate) fn queued_bytes(&self) -> usize {
        let open = self.transaction.try_borrow().ok();
        open.and_then(|open| open.as_ref().map(|open| open.bytes())).unwrap_or(0)
    }

    /// Once a second: limits that depend on time, and memory that only busy clients need.
    pub(crate) fn sweep(&self, thread: &Thread) {
        let mut replies = self.replies.borrow_mut();
        let (waiting, outstanding) = (replies.bytes(), replies.outstanding());
        let idle_us = thread.now_us().saturating_sub(self.active_us.get());
        if idle_us > ROOM_KEPT_US {
            replies.give_back_room();
        }
        drop(replies);
        if idle_us > SILENT_US && outstanding == 0 && self.stall.get().is_none() {
            transaction::forget_failed_watch(thread, self);
        }
        let timeout_us = thread.limits().client_timeout_us;
        let held =
            matches!(self.stall.get(), Some(Stall::Pause | Stall::Inquiry | Stall::Lease | Stall::Topology));
        let waits = outstanding > 0 || held;
        if timeout_us > 0 && !waits && idle_us > timeout_us {
            tracing::debug!(client = self.id, "closing an idle client");
            self.decide(Fate::CloseNow);
        } else if self.is_over_limit(thread, waiting) {
            self.cut(thread, waiting);
        } else if idle_us > thread.limits().request_us_max && self.stall.get().is_none() {
            self.cut_if_stalled(thread);
        }
    }

    /// It has sent nothing for long. With a large request sent in part it holds a link that others may need.
    fn cut_if_stalled(&self, thread: &Thread) {
        if self.upload.borrow().as_ref().is_some_and(|upload| upload.is_open()) {
            thread.counters.clients_cut_stalled.add(1);
            tracing::warn!(client = self.id, peer = %self.peer,
                "client cut: request-timeout-ms without a byte of the request that it began");
            self.decide(Fate::CloseNow);
        }
    }

    /// Redis's rule for the class `normal`: over the hard limit, or over the soft one for its seconds without a break.
    pub(crate) fn is_over_limit(&self, thread: &Thread, waiting: usize) -> bool {
        if waiting == 0 {
            self.over_soft_limit_since_us.set(None);
            return false;
        }
        let limit = thread.limits().output;
        let waiting = waiting as u64;
        if limit.hard_bytes != 0 && waiting > limit.hard_bytes {
            return true;
        }
        if limit.soft_bytes == 0 || waiting <= limit.soft_bytes {
            self.over_soft_limit_since_us.set(None);
            return false;
        }
        let since = self.over_soft_limit_since_us.get().unwrap_or(thread.now_us());
        self.over_soft_limit_since_us.set(Some(since));
        thread.now_us().saturating_sub(since) > limit.soft_seconds.saturating_mul(1_000_000)
    }
}
