//! MULTI and EXEC, WATCH, and what ends them.
//!
//! What stands between MULTI and EXEC is collected here, each command checked as Redis checks it and answered with
//! QUEUED. At EXEC it goes to the slot's owner as one piece on the shared link, so that it costs no connection and no
//! round trip more than a request, and so that a link that breaks loses it whole or not at all. All keys must lie in one
//! slot, as in Redis Cluster: a command with keys apart is refused at once, commands apart from each other at EXEC.
//!
//! Two things need the client's own link ([`crate::lease`]): WATCH, because the node remembers for its connection what
//! is watched; and a transaction that is too large to collect, whose commands are sent on as they come. The client moves
//! between links only when nothing of it is in flight. If its own link breaks or leads to the wrong node, EXEC
//! says what it says when a watched key has changed, or aborts: nothing ever runs unwatched or in part.
//!
//! The decisions stand in [`mod@queue`], [`place`], [`splice`] and [`crate::link::unit`]; [`watch`] and [`exec`] do what their
//! commands say, this file what stands between.

use std::rc::Rc;

use slotway_commands::{Command, Id, errors, lookup};
use slotway_resp::{Request, write};

use crate::{
    client::{Client, Leased},
    dispatch::{Case, Next},
    lease::{self, Condition},
    link::{
        Errand,
        unit::{Replies as Expected, Unit},
    },
    local,
    replies::Replies,
    thread::Thread,
    transaction::{
        place::Place,
        queue::{Bounds, Doom},
        watch::{is_good, leads_to_owner},
    },
};

mod watch;

mod place;
mod queue;

mod exec;
mod splice;

pub(crate) use queue::{Spot, Transaction};
pub(crate) use watch::forget_failed_watch;

const EXECABORT: &[u8] = b"-EXECABORT Transaction discarded because of previous errors.\r\n";

/// Treats a request of the policy `Transaction` that is not queued.
pub(crate) fn run(case: &mut Case<'_>) -> Next {
    match case.command.id {
        Id::Multi => multi(case),
        Id::Exec => return exec::exec(case),
        Id::Discard => return discard(case),
        Id::Watch => watch::watch(case),
        _ => return unwatch(case),
    }
    Next::Request
}

fn multi(case: &mut Case<'_>) {
    let client = case.client;
    if client.transaction.borrow().is_some() {
        return case.refuse(errors::NESTED_MULTI.as_bytes());
    }
    *client.transaction.borrow_mut() = Some(Box::new(Transaction::new(client.database.get())));
    client.apart.set(true);
    case.say(|out| write::simple(out, "OK"));
}

/// Whether the command waits for EXEC.
pub(crate) fn is_queued(client: &Client, id: Id) -> bool {
    let at_once = matches!(id, Id::Multi | Id::Exec | Id::Discard | Id::Watch | Id::Reset | Id::Quit);
    !at_once && client.transaction.borrow().is_some()
}

/// Whether one of the commands that wait for EXEC may write.
pub(crate) fn may_write(client: &Client) -> bool {
    client.transaction.borrow().as_ref().is_some_and(|transaction| transaction.may_write)
}

/// A request that is no command, or has too few or too many words: between MULTI and EXEC it aborts the transaction. An
/// EXEC with too many words is the end of it.
pub(crate) fn refused(thread: &Thread, client: &Client, replies: &Replies, request: Request<'_>) -> Next {
    if lookup::find(request.word(0)).is_some_and(|command| command.id == Id::Exec) {
        let own_link = client.lease.borrow().is_some();
        abandon(thread, client);
        return if own_link { settled(replies) } else { Next::Request };
    }
    if let Some(transaction) = &mut *client.transaction.borrow_mut() {
        transaction.spoil(Doom::Refused);
    }
    Next::Request
}

/// The client is done with transaction and watched keys, however far it got.
pub(crate) fn abandon(thread: &Thread, client: &Client) {
    let (transaction, leased) = take(client);
    if let Some(leased) = leased {
        give_back(thread, *leased, transaction.as_deref());
    }
}

fn take(client: &Client) -> (Option<Box<Transaction>>, Option<Box<Leased>>) {
    let taken = (client.transaction.take(), client.lease.take());
    client.look_apart();
    taken
}

/// A link on which EXEC was not sent.
fn give_back(thread: &Thread, leased: Leased, transaction: Option<&Transaction>) {
    lease::give_back(thread, leased.lease, without_exec(transaction));
}

/// What a link is in for as long as EXEC was not sent on it.
fn without_exec(transaction: Option<&Transaction>) -> Condition {
    let sending = transaction.is_some_and(Transaction::is_sending);
    Condition::Needs(if sending { Id::Discard } else { Id::Unwatch })
}

/// The client's next requests take other links: not before what is under way has been answered.
fn settled(replies: &Replies) -> Next {
    if replies.outstanding() > 0 { Next::AfterThis } else { Next::Request }
}

fn discard(case: &mut Case<'_>) -> Next {
    if case.client.transaction.borrow().is_none() {
        case.refuse(errors::DISCARD_WITHOUT_MULTI.as_bytes());
        return Next::Request;
    }
    unwatch(case)
}

/// UNWATCH, and DISCARD, which does the same.
fn unwatch(case: &mut Case<'_>) -> Next {
    let own_link = case.client.lease.borrow().is_some();
    abandon(case.thread, case.client);
    let next = if own_link { settled(case.replies) } else { Next::Request };
    case.say(|out| write::simple(out, "OK"));
    next
}

// ---- between MULTI and EXEC ----

/// What the queueing of a command came to.
enum Outcome {
    Queued,
    /// The node will say QUEUED, or the client has been told that it was not sent.
    Sent,
    /// The line of the error.
    Refused(Vec<u8>),
}

/// Queues a command (its arity has been checked).
pub(crate) fn queue(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    replies: &mut Replies,
    command: &'static Command,
    request: Request<'_>,
) -> Next {
    let mut open = client.transaction.borrow_mut();
    let Some(transaction) = open.as_deref_mut() else { return Next::Request };
    let place = place::of(thread, transaction.database, command, request);
    let needs_link = matches!(place, Place::Node(_)) && must_move(thread, client, transaction, request);
    // What follows SELECT travels on another link.
    let moves = needs_link || command.id == Id::Select;
    if moves && replies.outstanding() > 0 {
        return Next::AfterReplies;
    }
    thread.counters.request(command.id);
    let heard = client.heard();
    let mut case = Case { thread, client, replies, command, request, heard, homeless: false };
    let outcome = match place {
        Place::Refused(text) => {
            let mut line = Vec::new();
            write::error(&mut line, &text);
            Outcome::Refused(line)
        }
        Place::Here => queue_local(&case, transaction),
        Place::Node(spot) => queue_for_node(&mut case, transaction, spot),
    };
    match outcome {
        Outcome::Queued => case.say(|out| write::simple(out, "QUEUED")),
        Outcome::Sent => {}
        Outcome::Refused(line) => {
            transaction.spoil(Doom::Refused);
            case.say(|out| out.extend_from_slice(&line));
        }
    }
    Next::Request
}

fn bounds(thread: &Thread) -> Bounds {
    let limits = thread.limits();
    Bounds { bytes_max: limits.transaction_bytes_max, commands_max: limits.transaction_commands_max }
}

/// The command makes the transaction too large to collect, and the client has no link of its own yet.
fn must_move(thread: &Thread, client: &Client, transaction: &Transaction, request: Request<'_>) -> bool {
    transaction.doom().is_none()
        && !transaction.is_sending()
        && !transaction.has_room_for(request, bounds(thread))
        && client.lease.borrow().is_none()
}

fn queue_local(case: &Case<'_>, transaction: &mut Transaction) -> Outcome {
    if transaction.doom().is_some() {
        transaction.count();
        return Outcome::Queued;
    }
    if !transaction.keep_local(case.request, bounds(case.thread)) {
        case.thread.counters.refused_busy.add(1);
        return Outcome::Refused(crate::errors::busy("transaction-commands-max"));
    }
    if case.command.id == Id::Select
        && let Ok(database) = local::database(case.request.word(1), case.thread.shared.databases)
    {
        transaction.database = database;
    }
    Outcome::Queued
}

fn queue_for_node(case: &mut Case<'_>, transaction: &mut Transaction, spot: Spot) -> Outcome {
    let slot = spot.slot;
    transaction.visit(spot);
    transaction.may_write |= case.command.may_write();
    if transaction.doom().is_some() {
        transaction.count();
        return Outcome::Queued;
    }
    if transaction.has_room_for(case.request, bounds(case.thread)) {
        transaction.collect(case.request);
        return Outcome::Queued;
    }
    if !transaction.is_sending()
        && let Some(outcome) = send_on(case, transaction)
    {
        return outcome;
    }
    let leased = case.client.lease.borrow();
    let Some(leased) = leased.as_deref() else {
        transaction.spoil(Doom::Lost);
        transaction.count();
        return Outcome::Queued;
    };
    if !leads_to_owner(case.thread, leased, slot) || !is_good(case.thread, case.client, leased) {
        transaction.spoil(Doom::Lost);
        transaction.count();
        return Outcome::Queued;
    }
    let ticket = case.replies.expect(case.heard);
    let errand = Errand { client: case.client, command: case.command, ticket, part: None };
    let request = case.request;
    let write = |out: &mut Vec<u8>| request.write(out);
    if !leased.lease.link.send_unit(case.thread, case.replies, errand, Unit::Step, write) {
        transaction.spoil(Doom::Refused);
    }
    transaction.count();
    Outcome::Sent
}

/// Moves a transaction that has grown too large to the client's own link. None: it is there.
fn send_on(case: &mut Case<'_>, transaction: &mut Transaction) -> Option<Outcome> {
    let (thread, client) = (case.thread, case.client);
    let spot = transaction.spot.clone()?;
    if let Some(leased) = &*client.lease.borrow() {
        let watch = leased.watch.as_ref().map(|watch| &watch.spot);
        let apart = watch.filter(|watch| !watch.agrees(&spot));
        if let Some(watch) = apart {
            transaction.spoil(Doom::CrossSlot(errors::cross_slot(&watch.key, &spot.key)));
        } else if !is_good(thread, client, leased) {
            transaction.spoil(Doom::Lost);
        }
        if transaction.doom().is_some() {
            transaction.count();
            return Some(Outcome::Queued);
        }
    } else {
        let Some(shard) = shard_of(thread, &spot) else {
            return Some(Outcome::Refused(crate::errors::no_owner(0)));
        };
        match lease::take(thread, client, shard, spot.database) {
            Ok(lease) => *client.lease.borrow_mut() = Some(Box::new(Leased { lease, watch: None })),
            Err(line) => return Some(Outcome::Refused(line)),
        }
    }
    let link = client.lease.borrow().as_ref().map(|leased| Rc::clone(&leased.lease.link))?;
    let (bytes, commands) = transaction.send_on();
    let head = Unit::Head(Expected::of(commands));
    let sent = link.send_unheard(thread, Command::row(Id::Multi), head, |out| {
        write::request(out, &["MULTI"]);
        out.extend_from_slice(&bytes);
    });
    sent.err().map(Outcome::Refused)
}

/// The shard at which a transaction runs.
fn shard_of(thread: &Thread, spot: &Spot) -> Option<usize> {
    match spot.slot {
        Some(slot) => thread.owner(slot),
        None => (thread.shard_count() > 0).then_some(0),
    }
}
