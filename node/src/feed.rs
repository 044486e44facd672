//! The feed: everything that changes data, as a stream of RESP commands for whoever listens.
//!
//! The append-only log and the backlog of the replicas are the same bytes: commands that lead another keyspace to the same
//! keys. What a command's effect is, is said in [`crate::effects`]; here effects become a stream. One **unit** is what one
//! request changed: a command, or MULTI ... EXEC around several (of a transaction, or of a request that changed more than
//! it names: a key that had expired is deleted first). A SELECT stands before the first effect in another database, and
//! where a unit begins with it, before its MULTI.
//!
//! A [`Position`] counts bytes since the process started and always stands at a unit's end, so that it can be waited for:
//! what is fed up to it includes every change that a reply written now may have seen.
//!
//! With no listener a request pays for this with one branch. With one, a request that changed data is copied by one
//! `memcpy`; once warm nothing is allocated as long as a turn's bytes are given back ([`Feed::give_back`]).

use slotway_cluster::Database;
use slotway_resp::{Request, write};

/// Bytes fed since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position(pub(crate) u64);

/// Who may listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// The append-only log.
    Log,
    /// The backlog, from which replicas are served.
    Backlog,
}

impl Listener {
    fn bit(self) -> u8 {
        match self {
            Listener::Log => 1,
            Listener::Backlog => 2,
        }
    }
}

/// Whose changes the stream tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Source {
    /// What requests change here.
    #[default]
    Own,
    /// A primary's stream, passed on to the byte: [`Feed::relay`]. What its commands change here is in it already.
    Primary,
}

/// What is written down of the request that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Telling {
    /// The request as it came, if it changed something.
    #[default]
    Verbatim,
    /// The request as it came, even if there was nothing to change.
    Always,
    /// What its handler has written: it means something else when it runs later, or elsewhere.
    Otherwise,
}

#[derive(Default)]
pub(crate) struct Feed {
    /// Somebody listens, and the changes are ours to tell.
    is_on: bool,
    telling: Telling,
    listeners: u8,
    source: Source,
    /// Where it began to be that.
    drawn_from: Position,
    /// What nobody has taken yet.
    bytes: Vec<u8>,
    /// Where the open unit begins in it, behind its SELECT.
    unit: usize,
    /// Effects in the open unit.
    effects: usize,
    /// The database that a reader of the stream uses at its end; None: it must be told anew.
    selected: Option<Database>,
    /// What a log that begins in the midst of a primary's stream has to select first.
    log_selection: Option<Database>,
    /// Bytes taken.
    taken: u64,
}

/// Room that is kept between turns; more is given back.
const ROOM_BYTES_KEPT: usize = 256 * 1024;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

impl Feed {
    /// Whether effects are to be written down: otherwise they need not even be put into words.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// From here on, the end of the last unit, `who` is handed what is fed.
    pub(crate) fn listen(&mut self, who: Listener) {
        if self.listeners == 0 {
            self.select_anew();
        }
        self.listeners |= who.bit();
        self.settle();
    }

    /// `who` wants no more. What was fed before is still to be taken.
    pub(crate) fn leave(&mut self, who: Listener) {
        // A transaction may hold the command that says so.
        self.end_unit();
        self.listeners &= !who.bit();
        self.settle();
    }

    pub(crate) fn listens(&self, who: Listener) -> bool {
        self.listeners & who.bit() != 0
    }

    /// Whose changes the stream tells of from here on.
    pub(crate) fn draw_from(&mut self, source: Source) {
        self.end_unit();
        self.drawn_from = self.position();
        self.source = source;
        self.select_anew();
        self.settle();
    }

    /// What requests change here is told of: this is no replica.
    pub(crate) fn is_own(&self) -> bool {
        self.source == Source::Own
    }

    fn settle(&mut self) {
        self.is_on = self.listeners != 0 && self.source == Source::Own;
    }

    /// Behind everything that was executed so far. At a unit's end, unless a command of a transaction asks.
    #[inline]
    pub(crate) fn position(&self) -> Position {
        Position(self.taken + u64::try_from(self.bytes.len()).unwrap_or(0))
    }

    /// Up to here it was handed on.
    pub(crate) fn taken(&self) -> Position {
        Position(self.taken)
    }

    /// Where it began to tell of those whose changes it tells of.
    pub(crate) fn drawn_from(&self) -> Position {
        self.drawn_from
    }

    /// Whose changes the stream tells of.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// The next unit begins with SELECT, whatever was selected: its reader starts there.
    pub(crate) fn select_anew(&mut self) {
        self.selected = None;
    }

    /// What a reader who was there from the beginning uses at the stream's end; None: the next unit will tell. A file that
    /// begins in the midst of the stream begins with a SELECT of this database.
    pub(crate) fn selected(&self) -> Option<Database> {
        self.selected
    }

    /// Whole units since the last time; None: nothing was fed.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        if self.bytes.is_empty() {
            return None;
        }
        debug_assert_eq!(self.effects, 0, "only whole units are taken");
        self.taken += u64::try_from(self.bytes.len()).unwrap_or(0);
        self.unit = 0;
        Some(std::mem::take(&mut self.bytes))
    }

    /// Room that is needed no more, for the next turn.
    pub(crate) fn give_back(&mut self, mut room: Vec<u8>) {
        if self.bytes.capacity() == 0 && room.capacity() <= ROOM_BYTES_KEPT {
            room.clear();
            self.bytes = room;
        }
    }

    /// Passes whole units of a primary's stream on, as they came. `databases` are what is selected before and behind them.
    pub(crate) fn relay(&mut self, units: &[u8], databases: (Database, Database)) {
        debug_assert!(self.source == Source::Primary && self.effects == 0, "relayed on a replica only");
        if self.listeners != 0 && !units.is_empty() {
            if self.selected.is_none() {
                self.log_selection = Some(databases.0);
            }
            self.bytes.extend_from_slice(units);
            self.unit = self.bytes.len();
            self.selected = Some(databases.1);
        }
    }

    /// A SELECT for the log alone, before what is handed to it next: the primary's stream may not be added to, and does not
    /// begin where the log does.
    pub(crate) fn take_log_selection(&mut self) -> Option<Vec<u8>> {
        let database = self.log_selection.take()?;
        let mut bytes = Vec::new();
        write::request(&mut bytes, &["SELECT", itoa::Buffer::new().format(database.0)]);
        Some(bytes)
    }

    /// Writes an effect down, behind those that this unit has. Its words are counted first.
    pub(crate) fn add<'w>(&mut self, database: Database, words: impl Iterator<Item = &'w [u8]> + Clone) {
        self.begin_effect(database);
        write::array(&mut self.bytes, words.clone().count());
        for word in words {
            write::bulk(&mut self.bytes, word);
        }
    }

    /// A record of the stream, a unit of its own in no database, behind what was executed so far.
    pub(crate) fn add_record(&mut self, unit: &[u8]) {
        debug_assert_eq!(self.effects, 0, "a record stands in no transaction");
        if self.is_on {
            self.bytes.extend_from_slice(unit);
            self.unit = self.bytes.len();
        }
    }

    /// All data are others now, and nothing that was fed led to them: this is another place than the one before.
    pub(crate) fn leap(&mut self) {
        debug_assert!(self.bytes.is_empty(), "what was fed is handed on first");
        self.taken += 1;
    }

    /// The request that runs has its effects written by its handler, if it has any.
    pub(crate) fn tell_otherwise(&mut self) {
        self.telling = Telling::Otherwise;
    }

    /// The request that runs is written down even if it changed nothing.
    pub(crate) fn tell_always(&mut self) {
        self.telling = Telling::Always;
    }

    /// A request has run: it is written down, unless it changed nothing or its handler has told its effect.
    pub(crate) fn add_request(&mut self, database: Database, request: Request<'_>, has_changed: bool) {
        let is_told = match std::mem::take(&mut self.telling) {
            Telling::Verbatim => has_changed,
            Telling::Always => true,
            Telling::Otherwise => false,
        };
        if is_told {
            self.begin_effect(database);
            request.write(&mut self.bytes);
        }
    }

    /// Nothing more belongs to the unit.
    #[inline]
    pub(crate) fn end_unit(&mut self) {
        if self.effects > 1 {
            self.bytes.extend_from_slice(EXEC);
        }
        self.effects = 0;
        self.unit = self.bytes.len();
    }

    fn begin_effect(&mut self, database: Database) {
        self.effects += 1;
        if self.effects == 2 {
            self.bytes.splice(self.unit..self.unit, MULTI.iter().copied());
        }
        if self.selected != Some(database) {
            self.selected = Some(database);
            write::array(&mut self.bytes, 2);
            write::bulk(&mut self.bytes, b"SELECT");
            write::bulk(&mut self.bytes, itoa::Buffer::new().format(database.0).as_bytes());
            if self.effects == 1 {
                self.unit = self.bytes.len();
            }
        }
    }
}

#[cfg(test)]
mod tests;
