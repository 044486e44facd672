//! What a client has queued between MULTI and EXEC: bounded, and in one place or in none.
//!
//! Commands for the node are collected as the bytes that it will get; what the proxy answers itself is kept beside them
//! with its position, and run when EXEC has been answered. Once the transaction cannot succeed any more nothing is
//! kept: its client goes on queueing and learns of it at EXEC, as with Redis. Pure.

use slotway_cluster::{Database, Slot};
use slotway_commands::errors::cross_slot;
use slotway_resp::{Request, request::OwnedRequest, write};

/// What a word takes on the wire besides its bytes, at most.
const WORD_BYTES: usize = 16;

/// Where a command has to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) database: Database,
    /// None: any node will do.
    pub(crate) slot: Option<Slot>,
    /// What names it in an error: the first key, or the command if it has none.
    pub(crate) key: Vec<u8>,
}

impl Spot {
    pub(crate) fn agrees(&self, other: &Spot) -> bool {
        self.database == other.database
            && (self.slot.is_none() || other.slot.is_none() || self.slot == other.slot)
    }
}

/// Between MULTI and EXEC.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// What a command that is queued now will run in: SELECT may stand among the commands.
    pub(crate) database: Database,
    /// Where the node's commands so far have to run.
    pub(crate) spot: Option<Spot>,
    pub(crate) stage: Stage,
    pub(crate) locals: Vec<Local>,
    /// One of the commands may change keys.
    pub(crate) may_write: bool,
    local_bytes: usize,
    doom: Option<Doom>,
    queued: usize,
}

/// Where the commands are.
#[derive(Debug)]
pub(crate) enum Stage {
    Collecting {
        bytes: Vec<u8>,
        commands: usize,
    },
    /// On the client's own link, behind a MULTI.
    Sending,
}

/// A command that the proxy runs itself.
#[derive(Debug)]
pub(crate) struct Local {
    /// Its place in the reply of EXEC.
    pub(crate) position: usize,
    pub(crate) request: OwnedRequest,
}

/// Why EXEC will not run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doom {
    /// A command was refused.
    Refused,
    /// The commands do not lie in one slot; the text of the error.
    CrossSlot(Vec<u8>),
    /// The connection that held it or what it watches is gone.
    Lost,
}

/// How much is collected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) commands_max: usize,
}

impl Transaction {
    pub(crate) fn new(database: Database) -> Transaction {
        let stage = Stage::Collecting { bytes: Vec::new(), commands: 0 };
        Transaction {
            database,
            spot: None,
            stage,
            locals: Vec::new(),
            may_write: false,
            local_bytes: 0,
            doom: None,
            queued: 0,
        }
    }

    /// Commands that were answered with QUEUED.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes that are kept for EXEC.
    pub(crate) fn bytes(&self) -> usize {
        let collected = match &self.stage {
            Stage::Collecting { bytes, .. } => bytes.len(),
            Stage::Sending => 0,
        };
        collected + self.local_bytes
    }

    pub(crate) fn doom(&self) -> Option<&Doom> {
        self.doom.as_ref()
    }

    pub(crate) fn is_sending(&self) -> bool {
        matches!(self.stage, Stage::Sending)
    }

    /// It cannot succeed any more. The first reason stays, but a refused command outweighs the others, as with Redis.
    pub(crate) fn spoil(&mut self, doom: Doom) {
        if self.doom.is_none() || doom == Doom::Refused {
            self.doom = Some(doom);
        }
        self.locals = Vec::new();
        self.local_bytes = 0;
        if let Stage::Collecting { bytes, .. } = &mut self.stage {
            *bytes = Vec::new();
        }
    }

    /// A command for the node has to run at `spot`: all of them have to agree.
    pub(crate) fn visit(&mut self, spot: Spot) {
        match &mut self.spot {
            Some(known) if !known.agrees(&spot) => {
                let text = cross_slot(&known.key, &spot.key);
                self.spoil(Doom::CrossSlot(text));
            }
            Some(known) if known.slot.is_none() => *known = spot,
            Some(_) => {}
            None => self.spot = Some(spot),
        }
    }

    /// Whether this command may be collected, too.
    pub(crate) fn has_room_for(&self, request: Request<'_>, bounds: Bounds) -> bool {
        match &self.stage {
            Stage::Collecting { bytes, commands } => {
                let more = size_of_request(request);
                *commands < bounds.commands_max && bytes.len() + more <= bounds.bytes_max
            }
            Stage::Sending => false,
        }
    }

    pub(crate) fn collect(&mut self, request: Request<'_>) {
        if let Stage::Collecting { bytes, commands } = &mut self.stage {
            request.write(bytes);
            *commands += 1;
        }
        self.queued += 1;
    }

    /// A command that was sent, or that nobody will run.
    pub(crate) fn count(&mut self) {
        self.queued += 1;
    }

    /// Keeps a command that the proxy runs itself. False: there are as many already as may be kept.
    pub(crate) fn keep_local(&mut self, request: Request<'_>, bounds: Bounds) -> bool {
        let more = size_of_request(request);
        if self.locals.len() >= bounds.commands_max || self.local_bytes + more > bounds.bytes_max {
            return false;
        }
        self.local_bytes += more;
        self.locals.push(Local { position: self.queued, request: request.into() });
        self.queued += 1;
        true
    }

    /// Takes what was collected: from now on commands are sent as they come.
    pub(crate) fn send_on(&mut self) -> (Vec<u8>, usize) {
        match std::mem::replace(&mut self.stage, Stage::Sending) {
            Stage::Collecting { bytes, commands } => (bytes, commands),
            Stage::Sending => (Vec::new(), 0),
        }
    }
}

/// What a request takes on the wire, at most.
fn size_of_request(request: Request<'_>) -> usize {
    WORD_BYTES + request.words().map(|word| word.len() + WORD_BYTES).sum::<usize>()
}

/// Appends the whole transaction as a node gets it.
pub(crate) fn write_piece(out: &mut Vec<u8>, commands: &[u8]) {
    write::request(out, &["MULTI"]);
    out.extend_from_slice(commands);
    write::request(out, &["EXEC"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes_max: 200, commands_max: 3 };

    fn spot(database: u8, slot: Option<u16>, key: &str) -> Spot {
        let slot = slot.map(|slot| Slot::new(slot).unwrap());
        Spot { database: Database(database), slot, key: key.into() }
    }

    #[test]
    fn commands_are_collected_up_to_the_bounds() {
        let mut transaction = Transaction::new(Database(0));
        let small = OwnedRequest::new(["GET", "k"]);
        for _ in 0..3 {
            assert!(transaction.has_room_for(small.view(), BOUNDS));
            transaction.collect(small.view());
        }
        assert_eq!(transaction.bytes(), 3 * 20);
        assert!(!transaction.has_room_for(small.view(), BOUNDS), "three commands are the most");
        let large = OwnedRequest::new(["SET", "k", &"v".repeat(200)]);
        assert!(!Transaction::new(Database(0)).has_room_for(large.view(), BOUNDS));
        let (bytes, commands) = transaction.send_on();
        assert_eq!((bytes, commands), (b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(3), 3));
        assert!(transaction.is_sending() && transaction.queued() == 3);
    }

    #[test]
    fn all_commands_have_to_run_in_one_place() {
        let mut transaction = Transaction::new(Database(0));
        transaction.visit(spot(0, None, "eval"));
        transaction.visit(spot(0, Some(7), "a"));
        transaction.visit(spot(0, Some(7), "b"));
        transaction.visit(spot(0, None, "eval"));
        assert_eq!(transaction.doom(), None);
        transaction.visit(spot(0, Some(8), "c"));
        assert_eq!(transaction.doom(), Some(&Doom::CrossSlot(cross_slot(b"a", b"c"))));
        let mut other = Transaction::new(Database(0));
        other.visit(spot(0, None, "eval"));
        other.visit(spot(1, None, "eval"));
        assert!(other.doom().is_some(), "two databases are two places");
    }

    #[test]
    fn a_refused_command_is_the_reason_that_counts_and_nothing_is_kept() {
        let mut transaction = Transaction::new(Database(0));
        transaction.collect(OwnedRequest::new(["GET", "k"]).view());
        assert!(transaction.keep_local(OwnedRequest::new(["PING"]).view(), BOUNDS));
        transaction.spoil(Doom::CrossSlot(b"text".to_vec()));
        transaction.spoil(Doom::Lost);
        assert_eq!(transaction.doom(), Some(&Doom::CrossSlot(b"text".to_vec())));
        transaction.spoil(Doom::Refused);
        assert_eq!(transaction.doom(), Some(&Doom::Refused));
        assert!(transaction.locals.is_empty());
        assert_eq!(transaction.send_on().0, b"");
    }

    #[test]
    fn what_the_proxy_answers_itself_is_bounded_too() {
        let mut transaction = Transaction::new(Database(0));
        let ping = OwnedRequest::new(["PING"]);
        let kept = (0..5).filter(|_| transaction.keep_local(ping.view(), BOUNDS)).count();
        assert_eq!((kept, transaction.queued()), (3, 3));
        assert!(transaction.bytes() > 3 * 14);
        let long = OwnedRequest::new(["ECHO", &"v".repeat(300)]);
        assert!(!Transaction::new(Database(0)).keep_local(long.view(), BOUNDS));
    }
}
