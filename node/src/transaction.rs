//! MULTI to EXEC: what a client has queued, what it watches, and whether the two still stand.
//!
//! Between MULTI and EXEC a request is looked at, refused if it could never run, and otherwise put away: its bytes go
//! behind those before it, into one buffer. EXEC reads them back like bytes that have just arrived and runs one after
//! the other, with nothing in between, because the thread has nobody else. A refused request spoils the transaction:
//! EXEC will run nothing. So does a watched key that changed, which is found out at EXEC
//! ([`crate::keyspace::Watch`]); a client that is not in a transaction pays for all this with a look at one cell.
//!
//! The queue counts as unread input: `client-query-buffer-limit` ends a client that queues without end. Nothing is
//! allocated for a short transaction once warm: see [`Room`].

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
};

use slotway_cluster::{Database, slot::DATABASES};
use slotway_commands::row::{Flag, Flags};
use slotway_commands::{Command, Id, lookup};
use slotway_resp::{Limits, Parser, Request, number};

use crate::{
    call::{Millis, Refusal},
    keyspace::{Key, Keyspace, Watch},
    membership::{Adopted, LinkSaid, OneSlot, Reads},
};

/// How far a client's transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// No MULTI.
    #[default]
    None,
    Queueing,
    /// A request was refused: EXEC will run nothing, and nothing more is queued.
    Spoiled,
    /// EXEC is at work.
    Executing,
}

/// A client's transaction, and what it watches for the next one.
#[derive(Default)]
pub(crate) struct Transaction {
    phase: Cell<Phase>,
    /// The database in which the next request will run when its turn comes.
    database: Cell<Database>,
    /// Requests queued, also while they run.
    requests: Cell<usize>,
    /// What holds for one of them at least.
    flags: Cell<Flags>,
    /// What holds for all of them.
    common: Cell<Flags>,
    /// Their bytes, one behind the other.
    queue: RefCell<Vec<u8>>,
    watches: RefCell<HashSet<Watch>>,
}

/// Room that the clients' transactions use one after the other.
#[derive(Debug, Default)]
pub(crate) struct Room {
    bytes: Vec<u8>,
    parser: Parser,
}

/// Room for queued requests that is kept for the next transaction; more is given back.
const ROOM_BYTES_KEPT: usize = 64 * 1024;

/// Queued requests were within the limits when they came, whatever these have become.
const ANY: Limits = Limits { bulk_bytes_max: usize::MAX, words_max: usize::MAX, ..Limits::CLIENT };

impl Transaction {
    /// Between MULTI and EXEC: requests are queued.
    #[inline]
    pub(crate) fn is_collecting(&self) -> bool {
        matches!(self.phase.get(), Phase::Queueing | Phase::Spoiled)
    }

    /// From MULTI until EXEC has ended.
    pub(crate) fn is_open(&self) -> bool {
        self.phase.get() != Phase::None
    }

    pub(crate) fn is_executing(&self) -> bool {
        self.phase.get() == Phase::Executing
    }

    pub(crate) fn is_spoiled(&self) -> bool {
        self.phase.get() == Phase::Spoiled
    }

    /// Whether a queued request's command has this flag.
    pub(crate) fn holds(&self, flag: Flag) -> bool {
        self.is_open() && self.flags.get().has(flag)
    }

    /// Whether a queued request's command does not have this flag.
    pub(crate) fn lacks(&self, flag: Flag) -> bool {
        self.is_open() && !self.common.get().has(flag)
    }

    /// Requests queued.
    pub(crate) fn requests(&self) -> usize {
        self.requests.get()
    }

    /// Bytes of the queue.
    pub(crate) fn bytes(&self) -> usize {
        self.queue.borrow().len()
    }

    /// The database in which a request that is queued now will run.
    pub(crate) fn database(&self) -> Database {
        self.database.get()
    }

    /// MULTI, of a client that uses this database.
    pub(crate) fn begin(&self, database: Database) {
        self.phase.set(Phase::Queueing);
        self.flags.set(Flags::NONE);
        self.common.set(Flags::ALL);
        self.database.set(database);
    }

    /// Queues a request.
    pub(crate) fn push(&self, row: &Command, request: Request<'_>, room: &mut Room) {
        if self.phase.get() != Phase::Queueing {
            // Never to run: not worth the memory.
            return;
        }
        let mut queue = self.queue.borrow_mut();
        if queue.capacity() == 0 {
            *queue = std::mem::take(&mut room.bytes);
        }
        request.write(&mut queue);
        self.requests.set(self.requests.get() + 1);
        self.flags.set(self.flags.get().union(row.flags));
        self.common.set(self.common.get().intersection(row.flags));
        self.database.set(database_behind(row, request, self.database.get()));
    }

    /// A request was refused. Outside of a transaction that spoils nothing.
    pub(crate) fn spoil(&self) {
        if self.phase.get() == Phase::Queueing {
            self.phase.set(Phase::Spoiled);
        }
    }

    /// Whether all queued keys lie in one slot of this node. The others are the client's.
    pub(crate) fn check_slots(
        &self,
        adopted: &Adopted,
        database: Database,
        (reads, link): (Reads, Option<LinkSaid>),
        room: &mut Room,
    ) -> Result<(), Refusal> {
        let reads = if self.holds(Flag::Write) { Reads::Owner } else { reads };
        let mut slot = OneSlot::default();
        let mut database = database;
        let checked = room.read(&self.queue.borrow(), |request| {
            let Ok(row) = lookup::resolve(request) else { return Ok(()) };
            adopted.add_keys(row, request, database, &mut slot)?;
            database = database_behind(row, request, database);
            Ok(())
        });
        checked.and_then(|()| adopted.check_slot(slot, reads, link))
    }

    /// EXEC begins: the queue, to be run and given back to [`Transaction::finish`].
    pub(crate) fn start(&self) -> Vec<u8> {
        self.phase.set(Phase::Executing);
        self.queue.take()
    }

    /// EXEC has run the queue.
    pub(crate) fn finish(&self, mut queue: Vec<u8>, room: &mut Room) {
        self.phase.set(Phase::None);
        self.requests.set(0);
        if queue.capacity() <= ROOM_BYTES_KEPT {
            queue.clear();
            room.bytes = queue;
        }
    }

    /// Ends the transaction without running it, and all watches: DISCARD, RESET, the end of the connection.
    pub(crate) fn discard(&self, keyspace: &mut Keyspace) {
        self.phase.set(Phase::None);
        self.requests.set(0);
        drop(self.queue.take());
        self.unwatch(keyspace);
    }

    /// Watches a key; once is enough.
    pub(crate) fn watch(&self, keyspace: &mut Keyspace, key: Key<'_>, now: Millis) {
        let mut watches = self.watches.borrow_mut();
        let watch = keyspace.watch(key, now);
        if watches.contains(&watch) {
            keyspace.unwatch(&watch);
        } else {
            watches.insert(watch);
        }
    }

    pub(crate) fn unwatch(&self, keyspace: &mut Keyspace) {
        // Taken, not drained: an idle client holds no room.
        for watch in self.watches.take() {
            keyspace.unwatch(&watch);
        }
    }

    /// Whether all watched keys are as they were.
    pub(crate) fn is_unchanged(&self, keyspace: &mut Keyspace, now: Millis) -> bool {
        self.watches.borrow().iter().all(|watch| keyspace.is_unchanged(watch, now))
    }

    /// Whether a watched key is known to have changed. What has expired unnoticed is not.
    pub(crate) fn has_seen_change(&self, keyspace: &Keyspace) -> bool {
        self.watches.borrow().iter().any(|watch| keyspace.has_seen_change(watch))
    }
}

impl Room {
    /// Calls `act` with each request of a queue, until it refuses one.
    pub(crate) fn read(
        &mut self,
        queue: &[u8],
        mut act: impl FnMut(Request<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut rest = queue;
        while let Ok(Some(at)) = self.parser.next(rest, &ANY) {
            let done = act(self.parser.request(rest, at));
            // Request by request, because a parser addresses no more than 4 GiB.
            rest = &rest[self.parser.consumed()..];
            self.parser.rebase();
            done?;
        }
        debug_assert!(rest.is_empty(), "what was queued is whole requests");
        Ok(())
    }
}

/// The database that is in use behind a queued request.
fn database_behind(row: &Command, request: Request<'_>, database: Database) -> Database {
    let chosen = match row.id {
        Id::Select => number::integer(request.word(1)),
        _ => None,
    };
    let chosen = chosen.and_then(|number| u8::try_from(number).ok()).filter(|&number| number < DATABASES);
    chosen.map_or(database, Database)
}

#[cfg(test)]
mod tests {
    use slotway_cluster::Placement;
    use slotway_resp::OwnedRequest;

    use super::*;
    use crate::keyspace::Settings;

    const NOW: Millis = Millis(1_000);

    fn keyspace() -> Keyspace {
        Keyspace::new(Placement::default(), [7; 16], Settings::default())
    }

    fn push(transaction: &Transaction, room: &mut Room, words: &[&str]) {
        let request = OwnedRequest::new(words);
        let row = lookup::resolve(request.view()).unwrap();
        transaction.push(row, request.view(), room);
    }

    fn read(room: &mut Room, queue: &[u8]) -> Vec<OwnedRequest> {
        let mut found = Vec::new();
        room.read(queue, |request| {
            found.push(OwnedRequest::from(request));
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn requests_come_back_in_order_and_the_room_is_used_again() {
        let (transaction, mut room) = (Transaction::default(), Room::default());
        for round in 0..3 {
            transaction.begin(Database(0));
            assert!(transaction.is_collecting());
            push(&transaction, &mut room, &["SET", "k", ""]);
            push(&transaction, &mut room, &["GET", "k"]);
            assert_eq!(transaction.requests(), 2);
            let queue = transaction.start();
            assert!(transaction.is_open() && !transaction.is_collecting());
            let expected = [OwnedRequest::new(["SET", "k", ""]), OwnedRequest::new(["GET", "k"])];
            assert_eq!(read(&mut room, &queue), expected, "{round}");
            let place = queue.as_ptr();
            transaction.finish(queue, &mut room);
            assert_eq!(room.bytes.as_ptr(), place, "kept for the next one");
            assert!(!transaction.is_open() && transaction.requests() == 0);
        }
    }

    #[test]
    fn room_for_a_long_transaction_is_given_back() {
        let (transaction, mut room) = (Transaction::default(), Room::default());
        transaction.begin(Database(0));
        push(&transaction, &mut room, &["SET", "k", &"v".repeat(2 * ROOM_BYTES_KEPT)]);
        assert!(transaction.bytes() > 2 * ROOM_BYTES_KEPT);
        let queue = transaction.start();
        transaction.finish(queue, &mut room);
        assert_eq!(room.bytes.capacity(), 0);
    }

    #[test]
    fn a_refused_request_spoils_a_transaction_and_only_that() {
        let (transaction, mut room) = (Transaction::default(), Room::default());
        transaction.spoil();
        assert!(!transaction.is_spoiled() && !transaction.is_open());
        transaction.begin(Database(0));
        push(&transaction, &mut room, &["GET", "k"]);
        transaction.spoil();
        push(&transaction, &mut room, &["GET", "k"]);
        assert!(transaction.is_spoiled() && transaction.is_collecting());
        assert_eq!(transaction.requests(), 1, "what will never run is not kept");
        transaction.discard(&mut keyspace());
        assert!(!transaction.is_open() && transaction.bytes() == 0);
    }

    #[test]
    fn a_reader_that_stopped_halfway_reads_the_next_queue_from_its_start() {
        let (transaction, mut room) = (Transaction::default(), Room::default());
        transaction.begin(Database(0));
        push(&transaction, &mut room, &["GET", "a"]);
        push(&transaction, &mut room, &["GET", "b"]);
        let queue = transaction.start();
        assert!(room.read(&queue, |_| Err("ERR enough".into())).is_err());
        assert_eq!(read(&mut room, &queue).len(), 2);
    }

    #[test]
    fn a_queued_select_decides_where_the_requests_behind_it_will_run() {
        let (transaction, mut room) = (Transaction::default(), Room::default());
        transaction.begin(Database(2));
        for (number, expected) in [("5", 5), ("16", 5), ("x", 5), ("-1", 5), ("0", 0)] {
            push(&transaction, &mut room, &["SELECT", number]);
            assert_eq!(transaction.database(), Database(expected), "SELECT {number}");
        }
    }

    #[test]
    fn a_key_watched_twice_is_watched_from_the_first_time_on() {
        let (transaction, mut keyspace) = (Transaction::default(), keyspace());
        let key = keyspace.key(Database(0), b"k");
        transaction.watch(&mut keyspace, key, NOW);
        assert!(transaction.is_unchanged(&mut keyspace, NOW));
        keyspace.changed(key, 1);
        transaction.watch(&mut keyspace, key, NOW);
        assert!(transaction.has_seen_change(&keyspace));
        assert!(!transaction.is_unchanged(&mut keyspace, NOW));
        transaction.unwatch(&mut keyspace);
        assert!(transaction.is_unchanged(&mut keyspace, NOW));
        assert_eq!(keyspace.watched_keys(), 0, "both were given back");
    }
}
