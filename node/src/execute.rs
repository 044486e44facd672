//! One request from its words to its reply: may it run, who answers it, what is counted.
//!
//! The order of the questions is Redis's: is there such a command, has it the right number of words, has the
//! client authenticated, are the keys ours, is there memory, is the node sound. Stands on the path of every request: allocates nothing unless it
//! refuses, and reads the clock as seldom as [`timing`] can.
//!
//! Between MULTI and EXEC the same questions are asked, and then the request is queued instead of run.

use slotway_cluster::Database;
use slotway_commands::{Command, Id, errors, lookup, row::Flag};
use slotway_resp::{Request, write};

use crate::{
    call::{Call, Done, Millis, Refusal},
    client::{Blocked, Client, Fate, Replies, Standing},
    dispatch::{self, Handler},
    eviction::{self, Outcome},
    handlers,
    keyspace::{Keyspace, Place},
    membership::MANAGED,
    node::Node,
    pause,
    server_call::ServerCall,
    timing,
};

/// What was looked up about a request before its turn.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    /// None: no such command, or not with this many words.
    pub(crate) row: Option<&'static Command>,
    /// Where its first keys lie, if that is known.
    pub(crate) places: &'a [Place],
}

/// A request that names a command, and who asks when.
#[derive(Clone, Copy)]
struct Question<'a> {
    client: &'a Client,
    request: Request<'a>,
    row: &'static Command,
    /// Where its first keys lie, if that is known.
    places: &'a [Place],
    now: Millis,
}

/// Runs one request, or queues it, and appends its reply, if its client wants replies.
#[inline]
pub(crate) fn execute(
    node: &mut Node,
    client: &Client,
    request: Request<'_>,
    found: Found<'_>,
    now: Millis,
    out: &mut Vec<u8>,
) {
    let mut start = out.len();
    match found.row {
        Some(row) => match run(node, &Question { client, request, row, places: found.places, now }, out) {
            // EXEC has dropped what its client does not want.
            Ok(()) if row.id == Id::Exec => start = out.len(),
            Ok(()) => {}
            Err(refusal) => {
                debug_assert_eq!(out.len(), start, "{} wrote a reply and refused", row.name);
                answer_error(node, refusal.as_bytes(), out);
            }
        },
        None => refuse(node, client, request, out),
    }
    // The reply of a client that waits is dropped when it comes.
    if client.replies.get() != Replies::On && client.blocked.get() == Blocked::No {
        client.drop_unwanted(start, out);
        client.next_reply();
    }
}

/// Runs one request of a transaction at EXEC: it was admitted when it was queued.
pub(crate) fn execute_queued(
    node: &mut Node,
    client: &Client,
    request: Request<'_>,
    now: Millis,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    match lookup::resolve(request) {
        Ok(row) => {
            if let Err(refusal) = call(node, &Question { client, request, row, places: &[], now }, out) {
                debug_assert_eq!(out.len(), start, "{} wrote a reply and refused", row.name);
                answer_error(node, refusal.as_bytes(), out);
            }
        }
        Err(error) => answer_error(node, &error.text, out),
    }
    client.drop_unwanted(start, out);
}

/// Runs a command of the log: it was admitted, counted and timed when it was logged.
pub(crate) fn replay(
    node: &mut Node,
    client: &Client,
    request: Request<'_>,
    found: Found<'_>,
    now: Millis,
    out: &mut Vec<u8>,
) -> Done {
    let Some(row) = found.row else { return Ok(()) };
    match dispatch::of(row.id) {
        Handler::Data(act) => {
            let (database, version, keyspace) =
                (client.database.get(), client.version.get(), &mut node.keyspace);
            act(&mut Call {
                request,
                database,
                version,
                keyspace,
                now,
                out,
                splices: None,
                places: found.places,
            })
        }
        Handler::Server(act) => act(&mut ServerCall { request, client, node, now, out }),
        Handler::Missing => Err(text(errors::unknown_command(request).text)),
    }
}

/// Runs a request that a primary has executed; its reply is for nobody.
pub(crate) fn apply(
    node: &mut Node,
    client: &Client,
    request: Request<'_>,
    found: Found<'_>,
    now: Millis,
    out: &mut Vec<u8>,
) -> Done {
    let Some(row) = found.row else { return Err(text(errors::unknown_command(request).text)) };
    call(node, &Question { client, request, row, places: found.places, now }, out)
}

#[inline]
fn run(node: &mut Node, question: &Question<'_>, out: &mut Vec<u8>) -> Done {
    let Question { client, row, now, .. } = *question;
    if client.transaction.is_collecting() && !runs_at_once(row.id) {
        return queue(node, question, out);
    }
    if let Err(refusal) = admit(node, question, client.database.get()) {
        return Err(rejected(node, question, refusal));
    }
    if node.bounds.memory_bytes_max != 0
        && eviction::make_room(node, now) == Outcome::Full
        && (row.is_deny_oom() || row.id == Id::Exec && client.transaction.holds(Flag::Denyoom))
    {
        return Err(rejected(node, question, errors::OOM.into()));
    }
    if !node.condition.is_sound()
        && let Some(refusal) = node.condition.refuses(row, client)
    {
        return Err(rejected(node, question, refusal));
    }
    call(node, question, out)
}

/// Whether a request may run in this database of this node, as far as that can be said beforehand.
#[inline]
fn admit(node: &Node, question: &Question<'_>, database: Database) -> Result<(), Refusal> {
    let Question { client, request, row, places, .. } = *question;
    let standing = client.standing.get();
    if standing == Standing::Stranger && !row.is_no_auth() {
        return Err(errors::NOAUTH.into());
    }
    match node.membership.adopted() {
        Some(adopted) => adopted.check(row, request, database, places, client),
        None => Ok(()),
    }
}

/// Has a command's handler answer a request that was admitted.
#[inline]
fn call(node: &mut Node, question: &Question<'_>, out: &mut Vec<u8>) -> Done {
    let Question { client, request, row, places, now } = *question;
    node.statistics.called(row.id);
    let span = timing::begin(node, row, request, now);
    let changes = node.keyspace.stats.changes;
    let database = client.database.get();
    let done = match dispatch::of(row.id) {
        Handler::Data(act) => {
            node.gate.touch();
            let version = client.version.get();
            let Node { keyspace, splices, .. } = &mut *node;
            let splices = (client.replies.get() == Replies::On).then_some(splices);
            let on = |keyspace: &mut Keyspace| {
                act(&mut Call { request, database, version, keyspace, now, out, splices, places })
            };
            match client.no_touch.get() && row.id != Id::Touch {
                true => keyspace.without_trace(on),
                false => on(keyspace),
            }
        }
        Handler::Server(act) => {
            if pause::runs_on_data(row) {
                node.gate.touch();
            }
            // To CLIENT LIST the last command is the EXEC, not what it runs.
            if !client.transaction.is_executing() {
                client.last_command.set(Some(row.id));
            }
            act(&mut ServerCall { request, client, node, now, out })
        }
        Handler::Missing => Err(text(errors::unknown_command(request).text)),
    };
    if node.keyspace.feed.is_on() {
        feed(node, client, (row, request, database), changes);
    }
    timing::end(node, client, row, request, span, now);
    if done.is_err() {
        node.statistics.failed(row.id);
    }
    done
}

/// Tells what a request has changed; what a transaction has changed is one unit.
fn feed(
    node: &mut Node,
    client: &Client,
    (row, request, database): (&'static Command, Request<'_>, Database),
    changes: u64,
) {
    // An EXEC's requests have been told one by one.
    if row.id != Id::Exec {
        node.keyspace.tell_request(database, request, changes);
    }
    if !client.transaction.is_executing() {
        node.keyspace.feed.end_unit();
        client.seen.set(node.executed_offset());
        client.fed.set(node.keyspace.feed.position());
    }
}

/// What a transaction does not hold back.
fn runs_at_once(id: Id) -> bool {
    matches!(id, Id::Exec | Id::Discard | Id::Multi | Id::Watch | Id::Quit | Id::Reset)
}

/// Puts a request away until EXEC.
#[inline(never)]
fn queue(node: &mut Node, question: &Question<'_>, out: &mut Vec<u8>) -> Done {
    let Question { client, request, row, now, .. } = *question;
    let transaction = &client.transaction;
    let admitted = if row.flags.has(Flag::NoMulti) {
        Err(errors::NOT_IN_TRANSACTION.into())
    } else if row.id == Id::Debug {
        handlers::debug::may_debug(node, client)
    } else {
        // Where its keys lie is known of the client's database, which may not be that of its place.
        admit(node, &Question { places: &[], ..*question }, transaction.database())
    };
    // Whatever it is, it takes room until EXEC.
    let admitted = admitted.and_then(|()| match eviction::make_room(node, now) {
        Outcome::Full => Err(errors::OOM.into()),
        Outcome::Enough | Outcome::Unfinished => Ok(()),
    });
    let admitted = admitted.and_then(|()| match node.condition.refuses(row, client) {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    });
    admitted.map_err(|refusal| rejected(node, question, refusal))?;
    transaction.push(row, request, &mut node.transaction_room);
    write::simple(out, "QUEUED");
    Ok(())
}

/// A request that will not run. It spoils the transaction in which it stands; an EXEC ends it.
#[cold]
fn rejected(node: &mut Node, question: &Question<'_>, refusal: Refusal) -> Refusal {
    let Question { client, row, .. } = *question;
    node.statistics.rejected(row.id);
    client.transaction.spoil();
    if row.id != Id::Exec {
        return refusal;
    }
    client.transaction.discard(&mut node.keyspace);
    errors::exec_rejected(&refusal).into()
}

/// What names no command that can run.
#[cold]
fn refuse(node: &mut Node, client: &Client, request: Request<'_>, out: &mut Vec<u8>) {
    if is_http(request) {
        tracing::warn!(
            peer = %client.peer,
            "possible attack: an HTTP request was sent to the client port, as cross-protocol scripting does; closing"
        );
        node.statistics.broken_protocols += 1;
        client.decide(Fate::CloseNow);
        return;
    }
    client.transaction.spoil();
    let row = lookup::find_in(request);
    if node.membership.adopted().is_some() && row.is_some_and(|row| is_managed(row.id)) {
        return answer_error(node, MANAGED.as_bytes(), out);
    }
    match lookup::resolve(request) {
        Err(error) => answer_error(node, &error.text, out),
        // Looked up before and not found: the table does not change.
        Ok(row) => answer_error(node, &errors::wrong_arity(row).text, out),
    }
    if let Some(row) = row {
        node.statistics.rejected(row.id);
        if row.id == Id::Exec {
            client.transaction.discard(&mut node.keyspace);
        }
    }
}

pub(crate) fn answer_error(node: &mut Node, text: &[u8], out: &mut Vec<u8>) {
    node.statistics.error(text);
    write::error(out, text);
}

/// A browser that was made to send a request here: its first line or its `Host:` header.
fn is_http(request: Request<'_>) -> bool {
    let name = request.word(0);
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Would change roles or slots behind the back of the control group.
fn is_managed(id: Id) -> bool {
    matches!(
        id,
        Id::Replicaof
            | Id::Slaveof
            | Id::Failover
            | Id::ClusterMeet
            | Id::ClusterForget
            | Id::ClusterReplicate
            | Id::ClusterAddslots
            | Id::ClusterAddslotsrange
            | Id::ClusterDelslots
            | Id::ClusterDelslotsrange
            | Id::ClusterFlushslots
            | Id::ClusterSetslot
            | Id::ClusterFailover
            | Id::ClusterReset
            | Id::ClusterBumpepoch
    )
}

/// A text made of a client's bytes as a refusal.
fn text(bytes: Vec<u8>) -> Refusal {
    String::from_utf8_lossy(&bytes).into_owned().into()
}
