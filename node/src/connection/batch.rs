//! Executes what one connection has read: finds a group of requests, looks all up, fetches their entries into the
//! caches, then runs them in order.
//!
//! With many requests in a read, a node's time is the time that memory takes to answer; the entries of a whole group
//! are asked for at once and arrive together. (Small reads of several clients become a group, too: [`super::wave`].)

use slotway_commands::{Command, Id, errors, keys, lookup, row::Group};
use slotway_resp::{Parser, ProtocolError, RequestAt, write};

use crate::{
    call::Millis,
    client::{Blocked, Client, Fate, Standing},
    connection::{TURN_OUTPUT_BYTES, TURN_REQUESTS_MAX},
    desk::{Desk, GROUP, Looked},
    execute::{Found, answer_error, execute},
    keyspace::{Keyspace, Place},
    node::{self, Node},
    timing,
};

/// What became of the bytes.
#[derive(Debug)]
pub(super) struct Served {
    /// Bytes at the front that are done with.
    pub(super) executed_bytes: usize,
    /// How the last request left the client.
    pub(super) flow: Flow,
    /// What follows is no request.
    pub(super) broken: Option<ProtocolError>,
    /// The time as the last request knew it.
    pub(super) now: Millis,
}

/// Executes the whole requests in `bytes`, in order, until the turn is over. Replies are appended to the desk's
/// output.
pub(super) fn serve(
    node: &mut Node,
    client: &Client,
    desk: &mut Desk,
    bytes: &[u8],
    parser: &mut Parser,
    now: Millis,
) -> Served {
    let mut served = Served { executed_bytes: 0, flow: Flow::On, broken: None, now };
    let mut requests = 0;
    while served.flow == Flow::On && served.broken.is_none() {
        served.broken = find_group(node, client, desk, bytes, parser);
        if desk.group.is_empty() {
            break;
        }
        fetch(&node.keyspace, desk, bytes, parser);
        let Desk { group, places, output, .. } = desk;
        timing::begin_group(node, group.len());
        let mut run = Run { node, bytes, parser, places, now: served.now, moved: false };
        for looked in &*group {
            served.flow = run.one(client, *looked, output, 0);
            if served.flow == Flow::Wait {
                break;
            }
            served.executed_bytes = looked.at.end();
            if served.flow == Flow::Stop {
                break;
            }
        }
        served.now = run.now;
        timing::end_group(node, served.now);
        requests += group.len();
        if served.flow == Flow::On && served.broken.is_none() && requests >= TURN_REQUESTS_MAX {
            served.flow = Flow::Stop;
        }
    }
    match served.flow {
        // Skipped empty lines are done with, too.
        Flow::On => served.executed_bytes = parser.consumed(),
        // What was found behind is found again when its turn comes.
        Flow::Stop | Flow::Wait => served.broken = None,
    }
    served
}

/// Finds and looks up the next requests.
fn find_group(
    node: &Node,
    client: &Client,
    desk: &mut Desk,
    bytes: &[u8],
    parser: &mut Parser,
) -> Option<ProtocolError> {
    desk.group.clear();
    let standing = client.standing.get();
    let limits = node.bounds.requests_of(standing);
    // What a stranger may send changes with its AUTH: one at a time.
    let group_max = if standing == Standing::Stranger { 1 } else { GROUP };
    while desk.group.len() < group_max {
        match parser.next(bytes, &limits) {
            Ok(Some(at)) => desk.group.push(look_up(client, parser, bytes, at)),
            Ok(None) => break,
            Err(broken) => return Some(broken),
        }
    }
    None
}

/// A request of `client`, ready for its group.
pub(super) fn look_up(client: &Client, parser: &Parser, bytes: &[u8], at: RequestAt) -> Looked {
    let row = lookup::resolve(parser.request(bytes, at)).ok();
    Looked { at, row, database: client.database.get(), place: None }
}

/// Asks for the entries of the group's first keys. One alone is not worth it.
pub(super) fn fetch(keyspace: &Keyspace, desk: &mut Desk, bytes: &[u8], parser: &Parser) {
    let Desk { group, places, .. } = desk;
    places.clear();
    if group.len() < 2 {
        return;
    }
    let mut found = 0;
    let keys = group.iter_mut().filter_map(|looked| {
        let key = keys::first(looked.row?, parser.request(bytes, looked.at))?;
        looked.place = Some(found);
        found += 1;
        Some((looked.database, key))
    });
    keyspace.prefetch(keys, places);
}

/// Whether the client's turn goes on behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    /// It was the last one.
    Stop,
    /// It was not run: it waits for the end of a pause.
    Wait,
}

/// Runs the requests of a group.
pub(super) struct Run<'a> {
    pub(super) node: &'a mut Node,
    pub(super) bytes: &'a [u8],
    pub(super) parser: &'a Parser,
    pub(super) places: &'a [Place],
    pub(super) now: Millis,
    /// Where keys lie has changed: `places` are old.
    pub(super) moved: bool,
}

impl Run<'_> {
    /// Runs one request of `client`, whose replies in `output` begin at `first_reply`.
    #[inline]
    pub(super) fn one(
        &mut self,
        client: &Client,
        looked: Looked,
        output: &mut Vec<u8>,
        first_reply: usize,
    ) -> Flow {
        if client.blocked.get() != Blocked::No {
            return go_on(self.node, client, output);
        }
        let row = looked.row;
        if self.node.is_holding() && row.is_some_and(|row| self.node.holds(client, row, self.now)) {
            client.is_paused.set(true);
            return Flow::Wait;
        }
        let places = match looked.place {
            // Behind a SELECT the places are of another database, too.
            Some(index) if client.database.get() == looked.database && !self.moved => {
                &self.places[index..=index]
            }
            _ => &[],
        };
        let request = self.parser.request(self.bytes, looked.at);
        execute(self.node, client, request, Found { row, places }, self.now, output);
        if client.blocked.get() == Blocked::Waiting {
            return Flow::Wait;
        }
        if let Some(row) = row {
            client.last_command.set(Some(row.id));
            self.moved |= moves_keys(row);
        }
        if timing::is_stale(self.node) {
            self.now = node::now();
        }
        let closing = matches!(client.fate.get(), Fate::CloseAfterReply | Fate::CloseNow | Fate::Departs);
        let replies = output.len() - first_reply + self.node.splices.bytes_from(first_reply);
        if closing || replies >= TURN_OUTPUT_BYTES { Flow::Stop } else { Flow::On }
    }
}

/// The request at the front is the one in which the client was blocked.
#[cold]
fn go_on(node: &mut Node, client: &Client, output: &mut Vec<u8>) -> Flow {
    let start = output.len();
    match client.blocked.get() {
        Blocked::Answered(replicas) => {
            node.gate.touch();
            write::integer(output, i64::try_from(replicas).unwrap_or(i64::MAX));
        }
        Blocked::Replied => {
            // It tells of changes.
            node.gate.touch();
            output.append(&mut client.late_reply.borrow_mut());
        }
        Blocked::Broken => {
            answer_error(node, errors::WAIT_BROKEN.as_bytes(), output);
            client.decide(Fate::CloseAfterReply);
        }
        Blocked::Waiting | Blocked::No => return Flow::Wait,
    }
    client.blocked.set(Blocked::No);
    client.drop_unwanted(start, output);
    client.next_reply();
    if client.fate.get() == Fate::CloseAfterReply { Flow::Stop } else { Flow::On }
}

/// Whether keys that were looked up before it may lie elsewhere behind it. An EXEC may have run a SWAPDB; a member may
/// have said which slots there are.
fn moves_keys(row: &Command) -> bool {
    matches!(row.id, Id::Swapdb | Id::Exec) || row.group == Group::Internal
}
