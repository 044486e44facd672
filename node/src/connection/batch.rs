//! Executes the requests of one turn: finds a group of them, looks all up, fetches their entries into the caches,
//! then runs them in order.
//!
//! With many requests in a read, a node's time is the time that memory takes to answer; the entries of a whole group
//! are asked for at once and arrive together. A single request is not worth it and goes straight through.

use slotway_commands::{Id, keys, lookup};
use slotway_resp::{Parser, ProtocolError};

use crate::{
    call::Millis,
    client::{Client, Fate, Standing},
    connection::{TURN_OUTPUT_BYTES, TURN_REQUESTS_MAX},
    desk::{Desk, GROUP, Looked},
    execute::{Found, execute},
    keyspace::Keyspace,
    node::Node,
    timing,
};

/// What became of the bytes.
#[derive(Debug)]
pub(super) struct Served {
    /// Bytes at the front that are done with.
    pub(super) executed_bytes: usize,
    /// The turn ended before the requests did.
    pub(super) stopped: bool,
    /// What follows is no request.
    pub(super) broken: Option<ProtocolError>,
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
    let mut served = Served { executed_bytes: 0, stopped: false, broken: None };
    let mut requests = 0;
    loop {
        served.broken = find_group(node, client, desk, bytes, parser);
        if desk.group.is_empty() {
            break;
        }
        requests += desk.group.len();
        if !run_group(node, client, desk, bytes, parser, now, &mut served) {
            break;
        }
        if served.broken.is_some() {
            break;
        }
        if requests >= TURN_REQUESTS_MAX {
            served.stopped = true;
            break;
        }
    }
    if let Some(last) = desk.group.last().and_then(|looked| looked.row) {
        client.last_command.set(Some(last.id));
    }
    if !served.stopped {
        // Skipped empty lines are done with, too.
        served.executed_bytes = parser.consumed();
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
            Ok(Some(at)) => {
                let row = lookup::resolve(parser.request(bytes, at)).ok();
                desk.group.push(Looked { at, row, place: None });
            }
            Ok(None) => break,
            Err(broken) => return Some(broken),
        }
    }
    None
}

/// Runs the group; false: the turn is over.
fn run_group(
    node: &mut Node,
    client: &Client,
    desk: &mut Desk,
    bytes: &[u8],
    parser: &Parser,
    now: Millis,
    served: &mut Served,
) -> bool {
    timing::begin_group(node, desk.group.len());
    let goes_on = run_each(node, client, desk, bytes, parser, now, served);
    timing::end_group(node, now);
    goes_on
}

fn run_each(
    node: &mut Node,
    client: &Client,
    desk: &mut Desk,
    bytes: &[u8],
    parser: &Parser,
    now: Millis,
    served: &mut Served,
) -> bool {
    let database = client.database.get();
    desk.places.clear();
    if desk.group.len() > 1 {
        fetch(&node.keyspace, database, desk, bytes, parser);
    }
    let Desk { group, places, output, .. } = desk;
    let mut swapped = false;
    for looked in group {
        let request = parser.request(bytes, looked.at);
        if !node.pause.is_none() && looked.row.is_some_and(|row| node.pause.holds(client, row, now)) {
            client.is_paused.set(true);
            served.stopped = true;
            return false;
        }
        let places = match looked.place {
            // Behind a SELECT or SWAPDB of the group the places are of another database.
            Some(index) if client.database.get() == database && !swapped => &places[index..=index],
            _ => &[],
        };
        execute(node, client, request, Found { row: looked.row, places }, now, output);
        // EXEC may have run a SWAPDB.
        swapped |= looked.row.is_some_and(|row| matches!(row.id, Id::Swapdb | Id::Exec));
        served.executed_bytes = looked.at.end();
        let closing = matches!(client.fate.get(), Fate::CloseAfterReply | Fate::CloseNow);
        if closing || output.len() >= TURN_OUTPUT_BYTES {
            served.stopped = true;
            return false;
        }
    }
    true
}

/// Asks for the entries of the group's first keys.
fn fetch(
    keyspace: &Keyspace,
    database: slotway_cluster::Database,
    desk: &mut Desk,
    bytes: &[u8],
    parser: &Parser,
) {
    let Desk { group, places, .. } = desk;
    let mut found = 0;
    let keys = group.iter_mut().filter_map(|looked| {
        let key = keys::first(looked.row?, parser.request(bytes, looked.at))?;
        looked.place = Some(found);
        found += 1;
        Some((database, key))
    });
    keyspace.prefetch(keys, places);
}
