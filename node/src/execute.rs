//! One request from its words to its reply: may it run, who answers it, what is counted.
//!
//! The order of the questions is Redis's: is there such a command, has it the right number of words, has the
//! client authenticated, are the keys ours. Stands on the path of every request: allocates nothing unless it
//! refuses, reads no clock.

use slotway_commands::{Command, Id, errors, lookup};
use slotway_resp::{Request, write};

use crate::{
    call::{Call, Done, Millis, Refusal},
    client::{Client, Fate, Replies, Standing},
    dispatch::{self, Handler},
    keyspace::Place,
    membership::MANAGED,
    node::Node,
    server_call::ServerCall,
};

/// What was looked up about a request before its turn.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    /// None: no such command, or not with this many words.
    pub(crate) row: Option<&'static Command>,
    /// Where its first keys lie, if that is known.
    pub(crate) places: &'a [Place],
}

/// Runs one request and appends its reply, if its client wants replies.
#[inline]
pub(crate) fn execute(
    node: &mut Node,
    client: &Client,
    request: Request<'_>,
    found: Found<'_>,
    now: Millis,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let replies = client.replies.get();
    match found.row {
        Some(row) => {
            if let Err(refusal) = run(node, client, request, row, found.places, now, out) {
                debug_assert_eq!(out.len(), start, "{} wrote a reply and refused", row.name);
                answer_error(node, refusal.as_bytes(), out);
            }
        }
        None => refuse(node, client, request, out),
    }
    if replies != Replies::On {
        drop_reply(client, replies, start, out);
    }
}

#[inline]
fn run(
    node: &mut Node,
    client: &Client,
    request: Request<'_>,
    row: &'static Command,
    places: &[Place],
    now: Millis,
    out: &mut Vec<u8>,
) -> Done {
    if client.standing.get() == Standing::Stranger && !row.is_no_auth() {
        node.statistics.rejected(row.id);
        return Err("NOAUTH Authentication required.".into());
    }
    let database = client.database.get();
    if let Some(adopted) = node.membership.adopted()
        && let Err(refusal) = adopted.check(row, request, database, places, client.standing.get())
    {
        node.statistics.rejected(row.id);
        return Err(refusal);
    }
    node.statistics.called(row.id);
    let done = match dispatch::of(row.id) {
        Handler::Data(act) => {
            let keyspace = &mut node.keyspace;
            act(&mut Call { request, database, version: client.version.get(), keyspace, now, out, places })
        }
        Handler::Server(act) => {
            client.last_command.set(Some(row.id));
            act(&mut ServerCall { request, client, node, now, out })
        }
        Handler::Missing => Err(text(errors::unknown_command(request).text)),
    };
    if done.is_err() {
        node.statistics.failed(row.id);
    }
    done
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
    if node.membership.adopted().is_some() && lookup::find_in(request).is_some_and(|row| is_managed(row.id)) {
        return answer_error(node, MANAGED.as_bytes(), out);
    }
    match lookup::resolve(request) {
        Err(error) => answer_error(node, &error.text, out),
        // Looked up before and not found: the table does not change.
        Ok(row) => answer_error(node, &errors::wrong_arity(row).text, out),
    }
    if let Some(row) = lookup::find_in(request) {
        node.statistics.rejected(row.id);
    }
}

fn answer_error(node: &mut Node, text: &[u8], out: &mut Vec<u8>) {
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

/// CLIENT REPLY: `before` is what held when the request came.
#[cold]
fn drop_reply(client: &Client, before: Replies, start: usize, out: &mut Vec<u8>) {
    let after = client.replies.get();
    match (before, after) {
        // CLIENT REPLY ON and RESET answer.
        (Replies::Off, Replies::On) => return,
        // It was this command that was to be skipped.
        (Replies::SkipNext, Replies::SkipNext) => client.replies.set(Replies::On),
        _ => {}
    }
    out.truncate(start);
}

/// A text made of a client's bytes as a refusal.
fn text(bytes: Vec<u8>) -> Refusal {
    String::from_utf8_lossy(&bytes).into_owned().into()
}
