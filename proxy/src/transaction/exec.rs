//! EXEC: what was collected goes to the slot's owner, on the client's own link or on the shared one; or it is said why not.

use std::rc::Rc;

use slotway_commands::{errors, lookup, row::Policy};
use slotway_resp::{Version, write};

use crate::{
    client::{Client, Leased},
    dispatch::{Case, Next},
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
        EXECABORT, Transaction, give_back,
        queue::{Doom, Local, Stage, write_piece},
        settled, shard_of, splice, take,
        watch::{is_good, leads_to_owner},
        without_exec,
    },
};

pub(super) fn exec(case: &mut Case<'_>) -> Next {
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
        // It comes again with this request.
        *case.client.transaction.borrow_mut() = Some(Box::new(transaction));
        case.client.apart.set(true);
        case.homeless = true;
        return Next::Request;
    };
    let link = case.thread.link_of(case.client, shard, spot.database, case.present_lane());
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
            link.send_unit(case.thread, case.replies, errand, unit, |out| write_piece(out, &bytes))
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
    let heard = Heard::Heard;
    let mut case = Case { thread, client, replies: &mut replies, command, request, heard, homeless: false };
    match command.proxy {
        // UNWATCH: EXEC has ended all watching.
        Policy::Transaction => case.say(|out| write::simple(out, "OK")),
        // Which of these end a connection were not queued.
        _ => _ = local::run(&mut case),
    }
    std::mem::take(replies.output())
}
