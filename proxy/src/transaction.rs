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
//! The decisions stand in [`queue`], [`place`], [`splice`] and [`crate::link::unit`].

use std::rc::Rc;

use slotway_cluster::Slot;
use slotway_commands::{Command, Id, errors, keys, lookup, row::Policy};
use slotway_resp::{Request, Version, write};

use crate::{
    client::{Client, Leased, Watch},
    dispatch::{Case, Next},
    errors::NO_OWNER,
    gather::{Gather, Merge},
    lease::{self, Condition},
    link::{
        Errand, Link,
        unit::{Bound, Replies as Expected, Unit},
    },
    local,
    replies::{Heard, Replies},
    thread::Thread,
    transaction::{
        place::Place,
        queue::{Bounds, Doom, Local, Stage},
    },
};

mod place;
mod queue;
mod splice;

pub(crate) use queue::{Spot, Transaction};

const EXECABORT: &[u8] = b"-EXECABORT Transaction discarded because of previous errors.\r\n";

/// Treats a request of the policy `Transaction` that is not queued.
pub(crate) fn run(case: &mut Case<'_>) -> Next {
    match case.command.id {
        Id::Multi => multi(case),
        Id::Exec => return exec(case),
        Id::Discard => return discard(case),
        Id::Watch => watch(case),
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

/// Nothing of the client is in flight: it may take another link.
fn watch(case: &mut Case<'_>) {
    let client = case.client;
    if client.transaction.borrow().is_some() {
        return case.refuse(errors::WATCH_INSIDE_MULTI.as_bytes());
    }
    let spot = match watched(case) {
        Ok(spot) => spot,
        Err(text) => return case.refuse(&text),
    };
    let Some(shard) = spot.slot.and_then(|slot| case.thread.owner(slot)) else {
        return case.say(|out| out.extend_from_slice(NO_OWNER));
    };
    if client.lease.borrow().is_none() {
        match lease::take(case.thread, client, shard, client.database.get()) {
            Ok(lease) => {
                let watch = Some(Watch { spot, began: Rc::default() });
                *client.lease.borrow_mut() = Some(Box::new(Leased { lease, watch }));
                client.apart.set(true);
            }
            Err(line) => return case.say(|out| out.extend_from_slice(&line)),
        }
    }
    let leased = client.lease.borrow();
    let good = leased.as_deref().filter(|leased| is_good(case.thread, client, leased));
    let Some((lease, watch)) = good.and_then(|leased| Some((&leased.lease, leased.watch.as_ref()?))) else {
        // What was watched before is lost already: EXEC will say so, whatever is watched now.
        return case.say(|out| write::simple(out, "OK"));
    };
    let ticket = case.replies.expect(case.heard);
    let errand = Errand { client, command: case.command, ticket, part: None };
    let (unit, request) = (Unit::Watch(Rc::clone(&watch.began)), case.request);
    lease.link.send_unit(case.thread, case.replies, errand, unit, |out| request.write(out));
}

/// Nothing of the client is in flight, and it is not about to begin a transaction (which may have been sent together with
/// its WATCH and must not run without it): its next request is another, or it is silent. A link on which no WATCH
/// succeeded is of no use then, and binds it to no slot.
pub(crate) fn forget_failed_watch(thread: &Thread, client: &Client) {
    let is_failed = |leased: &Leased| leased.watch.as_ref().is_some_and(|watch| !watch.began.get());
    if client.transaction.borrow().is_none() && client.lease.borrow().as_deref().is_some_and(is_failed) {
        abandon(thread, client);
    }
}

/// Where the keys of a WATCH lie: all in one slot, together with what is watched already.
fn watched(case: &Case<'_>) -> Result<Spot, Vec<u8>> {
    let database = case.client.database.get();
    let positions =
        keys::positions(case.command, case.request).map_err(|_| errors::SYNTAX.as_bytes().to_vec())?;
    let placement = case.thread.placement();
    let mut first =
        case.client.lease.borrow().as_ref().and_then(|leased| Some(leased.watch.as_ref()?.spot.clone()));
    for index in positions {
        let key = case.request.word(index);
        let spot = Spot { database, slot: Some(case.slot_of(&placement, key)), key: key.to_vec() };
        match &first {
            Some(first) if !first.agrees(&spot) => return Err(errors::cross_slot(&first.key, key)),
            Some(_) => {}
            None => first = Some(spot),
        }
    }
    first.ok_or_else(|| errors::SYNTAX.as_bytes().to_vec())
}

/// Whether what the node knows of the client's own link still counts.
fn is_good(thread: &Thread, client: &Client, leased: &Leased) -> bool {
    !leased.lease.is_lost()
        && leased.lease.link.key.version == client.version.get()
        && leased.watch.as_ref().is_none_or(|watch| leads_to_owner(thread, leased, watch.spot.slot))
}

/// Whether the client's own link leads to who owns the slot. None: any node will do.
fn leads_to_owner(thread: &Thread, leased: &Leased, slot: Option<Slot>) -> bool {
    let leads_to = |shard| thread.leads_to(&leased.lease.link, shard);
    slot.is_none_or(|slot| thread.owner(slot).is_some_and(leads_to))
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
    let mut case = Case { thread, client, replies, command, request, heard };
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
        let Some(shard) = shard_of(thread, &spot) else { return Some(Outcome::Refused(NO_OWNER.to_vec())) };
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

// ---- EXEC ----

fn exec(case: &mut Case<'_>) -> Next {
    if case.client.transaction.borrow().is_none() {
        case.refuse(errors::EXEC_WITHOUT_MULTI.as_bytes());
        return Next::Request;
    }
    let (transaction, leased) = take(case.client);
    let Some(transaction) = transaction else { return Next::Request };
    match leased {
        Some(leased) => exec_on_own_link(case, *transaction, *leased),
        None => exec_on_shared_link(case, *transaction),
    }
}

/// What EXEC answers when the transaction does not run. None: it may.
fn obstacle(case: &Case<'_>, transaction: &Transaction, leased: Option<&Leased>) -> Option<Vec<u8>> {
    let watch = leased.and_then(|leased| Some(&leased.watch.as_ref()?.spot));
    let lost = || if watch.is_some() { null(case.client.version.get()) } else { EXECABORT }.to_vec();
    let crossing = |text: &[u8]| {
        let mut line = Vec::new();
        write::error(&mut line, text);
        line
    };
    match transaction.doom() {
        Some(Doom::Refused) => return Some(EXECABORT.to_vec()),
        Some(Doom::CrossSlot(text)) => return Some(crossing(text)),
        Some(Doom::Lost) => return Some(lost()),
        None => {}
    }
    if let (Some(watch), Some(spot)) = (watch, &transaction.spot)
        && !watch.agrees(spot)
    {
        return Some(crossing(&errors::cross_slot(&watch.key, &spot.key)));
    }
    // The slot may have moved since the last command was sent.
    let slot = transaction.spot.as_ref().and_then(|spot| spot.slot);
    let runs_there = |leased: &&Leased| {
        is_good(case.thread, case.client, leased) && leads_to_owner(case.thread, leased, slot)
    };
    leased.filter(|leased| !runs_there(leased)).map(|_| lost())
}

/// EXEC's answer when a watched key has changed.
fn null(version: Version) -> &'static [u8] {
    match version {
        Version::Resp2 => b"*-1\r\n",
        Version::Resp3 => b"_\r\n",
    }
}

fn exec_on_own_link(case: &mut Case<'_>, transaction: Transaction, leased: Leased) -> Next {
    if let Some(line) = obstacle(case, &transaction, Some(&leased)) {
        case.say(|out| out.extend_from_slice(&line));
        give_back(case.thread, leased, Some(&transaction));
        return settled(case.replies);
    }
    let bound = match &leased.watch {
        Some(_) => Bound::Told(null(case.client.version.get())),
        None => Bound::Told(EXECABORT),
    };
    let without_exec = without_exec(Some(&transaction));
    let sent = send(case, &leased.lease.link, transaction.stage, bound, transaction.locals);
    lease::give_back(case.thread, leased.lease, if sent { Condition::Clean } else { without_exec });
    Next::AfterThis
}

fn exec_on_shared_link(case: &mut Case<'_>, transaction: Transaction) -> Next {
    if let Some(line) = obstacle(case, &transaction, None) {
        case.say(|out| out.extend_from_slice(&line));
        return Next::Request;
    }
    let Some(spot) = &transaction.spot else {
        let (thread, client, locals) = (case.thread, case.client, transaction.locals);
        let replies: Vec<Vec<u8>> = locals.iter().map(|local| run_local(thread, client, local)).collect();
        case.say(|out| {
            write::array(out, replies.len());
            replies.iter().for_each(|reply| out.extend_from_slice(reply));
        });
        return Next::Request;
    };
    let Some(shard) = shard_of(case.thread, spot) else {
        case.say(|out| out.extend_from_slice(NO_OWNER));
        return Next::Request;
    };
    let link = case.thread.link_of(case.client, shard, spot.database);
    let changes = |local: &Local| {
        let command = lookup::resolve(local.request.view());
        command.is_ok_and(|command| command.proxy == Policy::ClientState)
    };
    // What changes the client's state does so when EXEC is answered: its next request has to wait for that.
    let next = if transaction.locals.iter().any(changes) { Next::AfterThis } else { Next::Request };
    send(case, &link, transaction.stage, Bound::Free, transaction.locals);
    next
}

/// Sends what EXEC stands for. False: the link did not take it on, which the client has been told.
fn send(case: &mut Case<'_>, link: &Rc<Link>, stage: Stage, bound: Bound, locals: Vec<Local>) -> bool {
    let (ticket, part) = match locals.is_empty() {
        true => (case.replies.expect(case.heard), None),
        false => {
            let (thread, client) = (Rc::clone(case.thread), Rc::clone(case.client));
            let merge = move |parts: Vec<Vec<u8>>, out: &mut Vec<u8>| {
                let positions: Vec<usize> = locals.iter().map(|local| local.position).collect();
                let own = |number: usize| run_local(&thread, &client, &locals[number]);
                splice::splice(&parts[0], &positions, own, out);
            };
            let gather = Gather::new(1, Merge::Custom(Box::new(merge)), 0);
            (case.replies.gather(gather, case.heard), Some(0))
        }
    };
    let errand = Errand { client: case.client, command: case.command, ticket, part };
    match stage {
        Stage::Collecting { bytes, commands } => {
            let unit = Unit::Piece { replies: Expected::of(commands), bound };
            link.send_unit(case.thread, case.replies, errand, unit, |out| queue::write_piece(out, &bytes))
        }
        Stage::Sending => link.send_unit(case.thread, case.replies, errand, Unit::End(bound), |out| {
            write::request(out, &["EXEC"]);
        }),
    }
}

/// Runs what the proxy answers itself; its reply.
fn run_local(thread: &Rc<Thread>, client: &Rc<Client>, local: &Local) -> Vec<u8> {
    let request = local.request.view();
    let Ok(command) = lookup::resolve(request) else { return crate::errors::MALFORMED.to_vec() };
    let mut replies = Replies::default();
    let mut case = Case { thread, client, replies: &mut replies, command, request, heard: Heard::Heard };
    match command.proxy {
        // UNWATCH: EXEC has ended all watching.
        Policy::Transaction => case.say(|out| write::simple(out, "OK")),
        // Which of these end a connection were not queued.
        _ => _ = local::run(&mut case),
    }
    std::mem::take(replies.output())
}
