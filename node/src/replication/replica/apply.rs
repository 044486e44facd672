//! The primary's commands, executed: no questions asked, no replies sent.
//!
//! What a primary has executed is executed here, too: not refused because the replica is read-only, full, paused or not
//! the owner of a slot, and with keys past their deadline still there, because the primary says itself when they go. The requests of
//! a batch are looked up and fetched together, as those of clients are ([`crate::connection`]).
//!
//! All that whole units say runs within one turn of the thread: no client sees a part of a transaction.

use slotway_cluster::{Database, replication::EpochRecord, slot::DATABASES};
use slotway_commands::{Id, keys};
use slotway_config::Key;
use slotway_resp::{Request, number};

use super::units::{Found, Units};
use crate::{
    call::Millis,
    client::Client,
    desk::GROUP,
    eviction,
    execute::{self, Found as Looked},
    keyspace::{Expired, Place},
    node::{self, Node},
    timing,
};

/// Room that is used again from batch to batch.
#[derive(Debug, Default)]
pub(super) struct Room {
    places: Vec<Place>,
    /// For each request of a group the place of its first key, and the database that this was asked of.
    firsts: Vec<Option<(usize, Database)>>,
    replies: Vec<u8>,
}

/// What the primary wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    /// How far the replica is, now: REPLCONF GETACK.
    Offset,
}

/// Executes the whole units for `client`, the primary's.
pub(super) fn run(node: &mut Node, client: &Client, units: &Units, room: &mut Room) -> Asked {
    let mut asked = Asked::Nothing;
    let mut now = node::now();
    client.active.set(now);
    node.keyspace.expired = Expired::Present;
    for group in units.whole().chunks(GROUP) {
        if node.bounds.memory_bytes_max != 0 {
            eviction::make_room(node, now);
        }
        fetch(node, client.database.get(), units, group, room);
        timing::begin_group(node, group.len());
        // Behind a SWAPDB keys lie elsewhere.
        let mut moved = false;
        for (nth, found) in group.iter().enumerate() {
            let places = match room.firsts.get(nth) {
                Some(&Some((index, database))) if !moved && database == client.database.get() => {
                    &room.places[index..=index]
                }
                _ => &[],
            };
            let request = units.request(*found);
            room.replies.clear();
            asked = one(node, client, (found, request, places), now, &mut room.replies).max(asked);
            moved |= found.row.is_some_and(|row| row.id == Id::Swapdb);
            if timing::is_stale(node) {
                now = node::now();
            }
        }
        timing::end_group(node, now);
    }
    node.keyspace.expired = Expired::Hidden;
    asked
}

impl Asked {
    fn max(self, other: Asked) -> Asked {
        if self == Asked::Offset { self } else { other }
    }
}

/// Asks for the entries of a group's first keys.
fn fetch(node: &Node, database: Database, units: &Units, group: &[Found], room: &mut Room) {
    room.places.clear();
    room.firsts.clear();
    if group.len() < 2 {
        return;
    }
    let (mut database, mut count) = (database, 0);
    let firsts = &mut room.firsts;
    let keys = group.iter().filter_map(|found| {
        let request = units.request(*found);
        if let Some(selected) = selection(found, request) {
            database = selected;
        }
        let first = found.row.and_then(|row| keys::first(row, request));
        firsts.push(first.map(|_| (count, database)));
        count += usize::from(first.is_some());
        first.map(|key| (database, key))
    });
    node.keyspace.prefetch(keys, &mut room.places);
}

/// The database that a SELECT selects.
fn selection(found: &Found, request: Request<'_>) -> Option<Database> {
    found.row.filter(|row| row.id == Id::Select)?;
    let number = u8::try_from(number::integer(request.get(1)?)?).ok()?;
    (number < DATABASES).then_some(Database(number))
}

fn one(
    node: &mut Node,
    client: &Client,
    (found, request, places): (&Found, Request<'_>, &[Place]),
    now: Millis,
    out: &mut Vec<u8>,
) -> Asked {
    let Some(row) = found.row else {
        complain(node, request, "there is no such command here, or not with so many words");
        return Asked::Nothing;
    };
    client.last_command.set(Some(row.id));
    match row.id {
        Id::Ping if request.len() == 2 => note_record(node, request.word(1)),
        // A unit's begin and end, and what only keeps the link awake.
        Id::Multi | Id::Exec | Id::Ping => {}
        Id::Replconf => {
            let asks = request.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"getack"));
            return if asks { Asked::Offset } else { Asked::Nothing };
        }
        Id::Select => match selection(found, request) {
            Some(database) => client.database.set(database),
            None => complain(node, request, "there is no such database here"),
        },
        _ => {
            if let Err(refusal) =
                execute::apply(node, client, request, Looked { row: Some(row), places }, now, out)
            {
                complain(node, request, &refusal);
            }
        }
    }
    Asked::Nothing
}

/// An epoch begins here.
fn note_record(node: &mut Node, word: &[u8]) {
    let Some(record) = EpochRecord::parse(word) else { return };
    let EpochRecord { epoch, start, history } = record;
    tracing::info!(%epoch, %start, %history, "the stream goes on in another epoch");
    node.replication.lineage.begin_epoch(history, epoch, start);
    if let Some(seat) = &mut node.seat {
        seat.applied(record);
    }
}

/// What the primary could do, this node could not: their keys are not the same any more.
#[cold]
fn complain(node: &mut Node, request: Request<'_>, why: &str) {
    let command = String::from_utf8_lossy(request.get(0).unwrap_or_default()).into_owned();
    node.following.unexpected_errors += 1;
    tracing::error!(%command, %why, "a command of the primary failed here: this replica no longer has its keys");
    // `panic` and `panic-on-replicas` are the same here: a replica is what this is.
    assert!(
        node.settings.text(Key::PropagationErrorBehavior) == "ignore",
        "propagation-error-behavior wants the node to end when {command} of its primary fails: {why}"
    );
}
