//! Executes what one connection has read: finds a group of requests, looks all up, fetches their entries into the
//! caches, then runs them in order.
//!
//! With many requests in a read, a node's time is the time that memory takes to answer; the entries of a whole group
//! are asked for at once and arrive together. (Small reads of several clients become a group, too: [`super::wave`].)

use slotway_commands::{Id, keys, lookup};
use slotway_resp::{Parser, ProtocolError, RequestAt};

use crate::{
    call::Millis,
    client::{Client, Fate, Standing},
    connection::{TURN_OUTPUT_BYTES, TURN_REQUESTS_MAX},
    desk::{Desk, GROUP, Looked},
    execute::{Found, execute},
    keyspace::{Keyspace, Place},
    node::{self, Node},
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
    while !served.stopped && served.broken.is_none() {
        served.broken = find_group(node, client, desk, bytes, parser);
        if desk.group.is_empty() {
            break;
        }
        fetch(&node.keyspace, desk, bytes, parser);
        let Desk { group, places, output, .. } = desk;
        let mut run = Run { node, bytes, parser, now, swapped: false };
        for &looked in &*group {
            served.executed_bytes = looked.at.end();
            if run.one(client, looked, places, output) == Flow::Stop {
                served.stopped = true;
                // What was found behind is found again when its turn comes.
                served.broken = None;
                break;
            }
        }
        requests += group.len();
        served.stopped |= served.broken.is_none() && requests >= TURN_REQUESTS_MAX;
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
    Stop,
}

/// Runs the requests of a group.
pub(super) struct Run<'a> {
    pub(super) node: &'a mut Node,
    pub(super) bytes: &'a [u8],
    pub(super) parser: &'a Parser,
    pub(super) now: Millis,
    /// A SWAPDB was among them: the places are of other databases.
    pub(super) swapped: bool,
}

impl Run<'_> {
    pub(super) fn one(
        &mut self,
        client: &Client,
        looked: Looked,
        places: &[Place],
        output: &mut Vec<u8>,
    ) -> Flow {
        let request = self.parser.request(self.bytes, looked.at);
        let places = match looked.place {
            // Behind a SELECT the places are of another database, too.
            Some(index) if client.database.get() == looked.database && !self.swapped => {
                &places[index..=index]
            }
            _ => &[],
        };
        execute(self.node, client, request, Found { row: looked.row, places }, self.now, output);
        if let Some(row) = looked.row {
            client.last_command.set(Some(row.id));
            match row.id {
                Id::Swapdb => self.swapped = true,
                // It may have slept.
                Id::Debug => self.now = node::now(),
                _ => {}
            }
        }
        let closing = matches!(client.fate.get(), Fate::CloseAfterReply | Fate::CloseNow);
        if closing || output.len() >= TURN_OUTPUT_BYTES { Flow::Stop } else { Flow::On }
    }
}
