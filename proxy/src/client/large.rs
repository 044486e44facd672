//! Requests too large to wait for: passed on while they come, or read and dropped.
//!
//! A request of more than `shared-request-bytes-max` whose first words tell where it goes takes a link of its own
//! ([`crate::lease`]) and streams: its bytes go from the client's socket to the node's, and the client is read only as
//! fast as the node takes them. Every check that a small request gets comes before the first byte leaves; what fails one
//! is answered like a small request, and what still comes of it is read and dropped.
//!
//! The client changes to the other link only when nothing of it is in flight, and back likewise. If all links that may be
//! leased are in use it waits for its turn: streams end (a client that stops in the middle of its request is cut), so a
//! plain SET is better served late than refused. Past `hold-ms-max` it is refused all the same: then it is not streams
//! that hold the links but clients that WATCH.
//!
//! CLIENT PAUSE holds back the rest of what it would have held whole, as Redis does, who looks at a request at its end.
//!
//! Not streamed, but waited for whole as small requests are: what stands between MULTI and EXEC, or behind WATCH;
//! requests with keys that have not come (MSET of several); what the proxy answers itself; what an unauthenticated client
//! says, which is never large.

use std::{cell::Cell, rc::Rc};

use slotway_cluster::Placement;
use slotway_commands::{Command, keys, lookup, row::Policy};
use slotway_resp::{Head, Limits, OwnedRequest, Parser, Piece, ProtocolError, Tail, write};

use crate::{
    client::{
        Client, Fate, Stall,
        inquiry::{self, Sought},
        large::excerpt::Excerpt,
    },
    dispatch, errors,
    lease::{self, Condition, Lease, Turn},
    link::{
        Errand,
        unit::{Asking, Stream},
    },
    replies::Ticket,
    thread::Thread,
};

mod excerpt;

/// While so many bytes of a request wait for the node, or there is no connection to it, its client is not read.
const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// What is known of a request that has come in part.
#[derive(Debug, Default)]
pub(super) enum Partial {
    /// No request has begun.
    #[default]
    Nothing,
    /// It is waited for.
    Small(Box<Parser>),
    /// It is not.
    Large(Box<Large>),
}

/// A large request whose first words have been judged.
#[derive(Debug)]
pub(super) enum Large {
    /// On its way to a node: [`Client::upload`].
    Passing(Tail),
    /// Has been answered.
    Dropped(Tail),
    /// Will be answered with an error that depends on nothing but the beginnings of its words.
    Refused(Tail, Excerpt),
}

/// The stream of one client to one node.
pub(crate) struct Upload {
    lease: Lease,
    command: &'static Command,
    ticket: Ticket,
    /// The node has been sent all of it, unless the link broke: then it is told as not sent.
    whole: Rc<Cell<bool>>,
    /// All of it has come from the client.
    ended: Cell<bool>,
}

/// Where a large request goes.
enum Plan {
    /// Wait for all of it.
    Collect,
    /// To the shard with this index.
    Pass(&'static Command, usize),
    /// Nobody owns its slot.
    Hold,
    /// Answered with this line.
    Answer(Vec<u8>),
    /// No command, or not with so many words.
    Refuse,
}

/// Judges a request that has come in part, of which `rest` is all that has; how many bytes it took.
pub(super) fn keep(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    partial: &mut Partial,
    parser: Parser,
    rest: &[u8],
) -> usize {
    let is_large = rest.len().saturating_add(parser.missing()) > thread.limits().shared_request_bytes_max;
    let may_leave = client.authenticated.get() && !client.apart.get() && client.stall.get().is_none();
    let begun = if is_large
        && may_leave
        && client.fate.get() == Fate::Open
        && let Some(head) = parser.head(rest)
    {
        begin(thread, client, &head).map(|large| (large, head.end))
    } else {
        None
    };
    let stall = client.stall.get();
    if !matches!(stall, Some(Stall::Lease | Stall::Inquiry)) {
        // Whatever became of it, it wants no link any more: nobody must stand behind it.
        thread.leases.stop_waiting(client);
    }
    if !matches!(stall, Some(Stall::Lease | Stall::Inquiry | Stall::Pause)) {
        client.inquiry.take();
    }
    if stall != Some(Stall::Topology) {
        client.homeless_since_us.set(None);
    }
    if let Some((large, end)) = begun {
        *partial = Partial::Large(Box::new(large));
        return end + go_on(thread, client, partial, &rest[end..]);
    }
    *partial = Partial::Small(Box::new(parser));
    0
}

/// None: it is waited for, or the client has to wait itself.
fn begin(thread: &Rc<Thread>, client: &Rc<Client>, head: &Head<'_>) -> Option<Large> {
    match plan(thread, client, head) {
        Plan::Collect => None,
        Plan::Refuse => Some(Large::Refused(head.tail(), Excerpt::of(head))),
        Plan::Answer(line) => {
            answer(thread, client, &line);
            Some(Large::Dropped(head.tail()))
        }
        Plan::Hold => hold(thread, client, head),
        Plan::Pass(command, shard) => pass(thread, client, head, command, shard),
    }
}

fn plan(thread: &Rc<Thread>, client: &Client, head: &Head<'_>) -> Plan {
    let request = head.request;
    // No command has a name that is so long that it has not come.
    let Some(name) = request.get(0) else { return Plan::Refuse };
    let row = match lookup::find(name) {
        Some(row) if row.is_container() && head.words > 1 && request.len() < 2 => return Plan::Collect,
        Some(_) => lookup::find_in(request),
        None => None,
    };
    let Some(command) = row.filter(|row| row.is_here() && row.accepts(head.words)) else {
        return Plan::Refuse;
    };
    if !matches!(command.proxy, Policy::OneSlot | Policy::Split(_)) {
        return Plan::Collect;
    }
    match shards(thread, client, command, head) {
        Shards::One(shard) => Plan::Pass(command, shard),
        Shards::Nobody => Plan::Hold,
        Shards::Apart(line) => Plan::Answer(line),
        Shards::Unknown => Plan::Collect,
    }
}

/// Who owns the keys of a request.
enum Shards {
    /// The shard with this index.
    One(usize),
    /// Nobody owns the one slot of all keys.
    Nobody,
    /// They may not lie apart: the line for the client.
    Apart(Vec<u8>),
    /// That cannot be told, or there are several.
    Unknown,
}

fn shards(thread: &Rc<Thread>, client: &Client, command: &'static Command, head: &Head<'_>) -> Shards {
    let database = client.database.get();
    let placement = thread.placement();
    let Some(found) = keys::positions_in_head(command, head.request, head.words) else {
        return Shards::Unknown;
    };
    let slot_of = |key| slotway_cluster::slot::slot_of(&placement, database, key);
    let mut keys = found.map(|index| head.request.word(index));
    let Some(first) = keys.next() else { return Shards::Unknown };
    let slot = if placement.is_spread(database) { slot_of(first) } else { Placement::home(database) };
    for other in keys.filter(|_| placement.is_spread(database)) {
        let other_slot = slot_of(other);
        match command.proxy {
            _ if other_slot == slot => {}
            // It is cut, for which all of it is needed.
            Policy::Split(_) => return Shards::Unknown,
            _ => return Shards::Apart(line(&slotway_commands::errors::cross_slot(first, other))),
        }
    }
    thread.owner(slot).map_or(Shards::Nobody, Shards::One)
}

/// As a small request waits for a topology that says who owns its slot: unread, for as long.
fn hold(thread: &Rc<Thread>, client: &Rc<Client>, head: &Head<'_>) -> Option<Large> {
    match dispatch::hold_homeless(thread, client) {
        Ok(()) => wait(client, Stall::Topology),
        Err(held_ms) => {
            answer(thread, client, &errors::no_owner(held_ms));
            Some(Large::Dropped(head.tail()))
        }
    }
}

/// Sends what has come on its way. None: the client waits for its earlier replies, or for a link.
fn pass(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    head: &Head<'_>,
    command: &'static Command,
    shard: usize,
) -> Option<Large> {
    let database = client.database.get();
    if thread.pause.get().at(thread.now_us()).holds(command, false) {
        return wait(client, Stall::Pause);
    }
    if client.replies.borrow().outstanding() > 0 {
        return wait(client, Stall::Order);
    }
    let place = match inquiry::seek(thread, client, head, command, shard) {
        Sought::Known(place) => place,
        Sought::Wait => return None,
        Sought::Refused(line) => {
            answer(thread, client, &line);
            return Some(Large::Dropped(head.tail()));
        }
    };
    let lease = match lease::take_in_turn(thread, client, &place, database) {
        Turn::Taken(lease) => lease,
        Turn::Wait => return wait(client, Stall::Lease),
        Turn::Refused(line) => {
            answer(thread, client, &line);
            return Some(Large::Dropped(head.tail()));
        }
    };
    thread.counters.request(command.id);
    thread.counters.streamed.add(1);
    client.last_command.set(Some(command.id));
    let heard = client.heard();
    let ticket = client.replies.borrow_mut().expect(heard);
    let errand = Errand { client, command, ticket, part: None };
    let whole = Rc::new(Cell::new(false));
    let link = Rc::clone(&lease.link);
    let asking = if place.asking { Asking::Due } else { Asking::No };
    let stream = Stream { whole: Rc::clone(&whole), asking };
    let taken = link.begin_upload(thread, errand, stream, |out| {
        write::array(out, head.words);
        head.request.words().for_each(|word| write::bulk(out, word));
    });
    *client.upload.borrow_mut() =
        Some(Box::new(Upload { lease, command, ticket, whole, ended: Cell::new(false) }));
    if let Err(line) = taken {
        client.replies.borrow_mut().deliver(ticket, &line);
        thread.turn.mark_client(client);
    }
    Some(Large::Passing(head.tail()))
}

fn wait(client: &Client, stall: Stall) -> Option<Large> {
    client.stall.set(Some(stall));
    client.stopped_early.set(true);
    None
}

fn answer(thread: &Thread, client: &Rc<Client>, line: &[u8]) {
    let heard = client.heard();
    client.replies.borrow_mut().say(heard, |out| out.extend_from_slice(line));
    thread.turn.mark_client(client);
}

fn line(text: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    write::error(&mut line, text);
    line
}

/// Takes more of a large request; how many bytes of `bytes` belonged to it.
pub(super) fn go_on(thread: &Rc<Thread>, client: &Rc<Client>, partial: &mut Partial, bytes: &[u8]) -> usize {
    let Partial::Large(large) = partial else { return 0 };
    client.active_us.set(thread.now_us());
    if let Large::Passing(tail) = &**large
        && client.replies.borrow().outstanding() == 0
    {
        // The node has refused it, or the link broke: the client has been told.
        let tail = tail.clone();
        give_up(thread, client);
        **large = Large::Dropped(tail);
    }
    if is_held(thread, client, large) {
        client.stall.set(Some(Stall::Pause));
        client.stopped_early.set(true);
        return 0;
    }
    let limits = thread.limits().of_requests;
    let mut left = bytes;
    let outcome = match &mut **large {
        Large::Passing(tail) => feed(thread, client, tail, &mut left, &limits),
        Large::Dropped(tail) => take(tail, &mut left, &limits, |_| {}),
        Large::Refused(tail, excerpt) => take(tail, &mut left, &limits, |piece| excerpt.note(&piece)),
    };
    if let Err(error) = outcome {
        break_off(thread, client, &error);
        *partial = Partial::Nothing;
        return bytes.len();
    }
    let whole = match &**large {
        Large::Passing(tail) | Large::Dropped(tail) | Large::Refused(tail, _) => tail.is_whole(),
    };
    if whole && let Partial::Large(large) = std::mem::take(partial) {
        end(thread, client, *large);
    }
    bytes.len() - left.len()
}

/// CLIENT PAUSE was answered, or will be, as if the request had not begun: it must not become whole before the pause is over.
fn is_held(thread: &Thread, client: &Client, large: &Large) -> bool {
    let pause = thread.pause.get().at(thread.now_us());
    let upload = client.upload.borrow();
    matches!(large, Large::Passing(_))
        && upload.as_deref().is_some_and(|upload| pause.holds(upload.command, false))
}

/// Passes all pieces on.
fn take(
    tail: &mut Tail,
    left: &mut &[u8],
    limits: &Limits,
    mut each: impl FnMut(Piece<'_>),
) -> Result<(), ProtocolError> {
    while let Some(piece) = tail.next(left, limits)? {
        each(piece);
    }
    Ok(())
}

fn feed(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    tail: &mut Tail,
    left: &mut &[u8],
    limits: &Limits,
) -> Result<(), ProtocolError> {
    let upload = client.upload.borrow();
    let Some(upload) = upload.as_deref() else { return Ok(()) };
    let link = &upload.lease.link;
    let outcome = link.feed(thread, |out| {
        take(tail, left, limits, |piece| match piece {
            Piece::Word(len) => write::bulk_header(out, len),
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::End => out.extend_from_slice(b"\r\n"),
        })
    });
    upload.whole.set(tail.is_whole());
    // Without a connection what comes is held; of one client that is what has been read.
    if link.unsent_bytes() > AHEAD_BYTES_MAX || !link.is_connected() {
        client.stall.set(Some(Stall::Upload));
        // It is asked whether it may go on after the link has written.
        thread.turn.mark_client(client);
    }
    outcome
}

/// The last byte has come.
fn end(thread: &Rc<Thread>, client: &Rc<Client>, large: Large) {
    match large {
        Large::Passing(_) => {
            if let Some(upload) = &*client.upload.borrow() {
                upload.ended.set(true);
            }
            // What follows takes other links: not before this is answered.
            client.stall.set(Some(Stall::Order));
            client.stopped_early.set(true);
            thread.turn.mark_client(client);
            return;
        }
        Large::Dropped(_) => {}
        Large::Refused(_, excerpt) => {
            let request = OwnedRequest::new(excerpt.words());
            let next = dispatch::run(thread, client, &mut client.replies.borrow_mut(), request.view());
            thread.turn.mark_client(client);
            match next {
                dispatch::Next::CloseNow => client.fate.set(Fate::CloseNow),
                dispatch::Next::Close => client.fate.set(Fate::CloseAfterReplies),
                dispatch::Next::Request
                | dispatch::Next::AfterReplies
                | dispatch::Next::AfterPause
                | dispatch::Next::AfterChange
                | dispatch::Next::AfterThis => {}
            }
        }
    }
    // The next request may have come with the end of this one.
    client.stopped_early.set(true);
    client.wake();
}

/// What comes is no request: the client is told, in the place of the reply, and closed.
fn break_off(thread: &Thread, client: &Rc<Client>, error: &ProtocolError) {
    thread.counters.protocol_errors.add(1);
    tracing::info!(client = client.id, peer = %client.peer, reason = %error.text, "protocol error");
    let text = line(format!("ERR {}", error.text).as_bytes());
    match give_up(thread, client) {
        Some(ticket) if client.replies.borrow().outstanding() > 0 => {
            client.replies.borrow_mut().deliver(ticket, &text);
        }
        _ => answer(thread, client, &text),
    }
    client.fate.set(Fate::CloseAfterReplies);
    thread.turn.mark_client(client);
}

/// The stream will not be finished: the node has half a request, so the link is closed.
pub(super) fn give_up(thread: &Thread, client: &Client) -> Option<Ticket> {
    thread.leases.stop_waiting(client);
    let upload = client.upload.take()?;
    upload.lease.link.abandon();
    lease::give_back(thread, upload.lease, Condition::OutOfStep);
    Some(upload.ticket)
}

/// The client may look at its further requests: if it has streamed one that is answered, it needs the link no longer.
pub(super) fn settle(thread: &Thread, client: &Client) {
    if client.upload.borrow().as_deref().is_some_and(Upload::is_open) {
        // As long as it was not read, it could not be late.
        return client.active_us.set(thread.now_us());
    }
    let is_done = |upload: &Upload| upload.ended.get() && client.replies.borrow().outstanding() == 0;
    if client.upload.borrow().as_deref().is_some_and(is_done)
        && let Some(upload) = client.upload.take()
    {
        let condition = if upload.whole.get() { Condition::Clean } else { Condition::OutOfStep };
        lease::give_back(thread, upload.lease, condition);
    }
}

impl Upload {
    /// It lacks bytes of its client.
    pub(crate) fn is_open(&self) -> bool {
        !self.ended.get()
    }

    /// There is no connection that would take more.
    pub(super) fn is_held(&self) -> bool {
        !self.lease.link.is_connected()
    }

    /// The node has taken most of what has come.
    pub(super) fn has_room(&self) -> bool {
        let link = &self.lease.link;
        link.is_connected() && link.unsent_bytes() <= AHEAD_BYTES_MAX / 2
    }
}

impl Partial {
    /// At least so many bytes of the client are missing of a request that is on its way to a node.
    pub(super) fn missing(&self) -> Option<usize> {
        match self {
            Partial::Large(large) => match &**large {
                Large::Passing(tail) => Some(tail.missing()),
                Large::Dropped(_) | Large::Refused(..) => None,
            },
            Partial::Nothing | Partial::Small(_) => None,
        }
    }

    /// What is under way is not a request yet.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Partial::Large(large) if matches!(**large, Large::Passing(_)))
    }
}
