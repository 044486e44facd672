//! What only a primary knows of sessions, beside the [`Table`]: the floors that proxies told it, and settled writes that changed nothing.
//!
//! Such a write leaves no unit. Its entry must be in the stream by the time a later effect of its session is: else the next
//! primary has the later write without the earlier one, is sent that again, and it may change something now. Until then the entry may be lost
//! with the primary, since nothing that came after it is known either. Floors, too, are told late: they only let others forget.
//!
//! All of this is begun anew with each epoch: what the stream does not say is not true for the next primary, even if that is this node.

use std::collections::{BTreeMap, HashMap};

use crate::{
    mutants::{Mutant, left_out},
    shard::Incarnation,
    slot::Slot,
};

use super::{
    Entry, Handle, KEPT_BYTES_MAX, NUMBERS_MAX, Number, SESSIONS_MAX, SessionId,
    link::{Counter, Greeting, Known},
    marker::{Item, Marker},
    reply::Reply,
    table::{Session, Table},
};

/// A marker that is written anyway says a floor that has risen by this; ...
const FLOOR_RISES: u64 = 64;
/// ... one is written for it when it has risen by this, ...
const FLOOR_RISES_MAX: u64 = 1024;
/// ... or when so much is kept.
const KEPT_BYTES_TELL: usize = KEPT_BYTES_MAX / 4;

/// Whose write it is: as a link counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author {
    pub session: SessionId,
    pub(super) seat: Seat,
    pub number: Number,
}

/// Where a primary has a session, so that a write looks nothing up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat(usize);

/// How a replica comes by the reply of a unit: the row of its command says so (`Replay`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    /// Executing the effect yields it.
    ByReplay,
    /// It must be told.
    Not,
}

/// What becomes of a numbered write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged<'t> {
    Run,
    /// It has run: this was the reply. Never run again.
    Settled(&'t Reply),
    Refused(Refusal),
}

/// A proxy that breaks the rules: its link is closed, nothing runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It said that it has the reply.
    BelowFloor,
    TooFarAbove,
    /// The link never said SESSION, or said it to another process.
    NoSession,
}

/// There are [`SESSIONS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

#[derive(Debug, Default)]
pub struct Primary {
    seats: Vec<Option<Unsaid>>,
    by_id: HashMap<SessionId, Seat>,
}

/// What the stream does not say of a session.
#[derive(Debug)]
struct Unsaid {
    session: SessionId,
    /// Once the stream has told of it.
    handle: Option<Handle>,
    floor: Number,
    entries: BTreeMap<Number, Entry>,
    kept_bytes: usize,
}

impl Primary {
    /// A link of this session begins; its older one is closed already. What its writes are counted by, and what it is answered.
    ///
    /// # Errors
    /// One session more than there may be.
    pub fn greet(&mut self, table: &Table, greeting: &Greeting) -> Result<(Counter, Known), Full> {
        let Greeting { session, floor } = *greeting;
        let seat = match self.by_id.get(&session) {
            Some(seat) => *seat,
            None => self.seat(table, session).ok_or(Full)?,
        };
        self.raise_floor(session, floor);
        Ok((Counter::new(greeting, seat), self.known(table, seat, floor)))
    }

    /// The proxy has all below.
    pub fn raise_floor(&mut self, session: SessionId, floor: Number) {
        let seat = self.by_id.get(&session);
        let unsaid = seat.and_then(|seat| self.seats.get_mut(seat.0)?.as_mut());
        if let Some(unsaid) = unsaid.filter(|unsaid| unsaid.floor < floor) {
            unsaid.floor = floor;
            unsaid.entries = unsaid.entries.split_off(&floor);
            unsaid.kept_bytes = unsaid.entries.values().map(|entry| entry.reply.kept_bytes()).sum();
        }
    }

    /// Before a numbered write runs.
    pub fn judge<'t>(&'t self, table: &'t Table, author: Author) -> Judged<'t> {
        let Some(unsaid) = self.of(author) else { return Judged::Refused(Refusal::NoSession) };
        let number = author.number;
        if left_out(Mutant::OldSocketRuns) {
            return Judged::Run;
        }
        if number < unsaid.floor {
            return Judged::Refused(Refusal::BelowFloor);
        }
        let told = unsaid.said(table).and_then(|said| said.entry(number));
        match told.or_else(|| unsaid.entries.get(&number)) {
            Some(entry) => Judged::Settled(&entry.reply),
            None if number.above(unsaid.floor) >= NUMBERS_MAX => Judged::Refused(Refusal::TooFarAbove),
            None => Judged::Run,
        }
    }

    /// It ran, or was refused by its command, and changed nothing.
    pub fn changed_nothing(&mut self, table: &Table, author: Author, slot: Option<Slot>, reply: Reply) {
        let Some(unsaid) = self.of_mut(author) else { return };
        let reply = unsaid.within_bounds(table, reply);
        unsaid.kept_bytes += reply.kept_bytes();
        unsaid.entries.insert(author.number, Entry { slot, reply });
    }

    /// Something changed: a unit ends. None as its author: the node itself. The table has it then; what is returned stands in the stream
    /// right before the unit. In the usual case there is nothing to say, and nothing is allocated.
    pub fn unit(
        &mut self,
        table: &mut Table,
        author: Option<Author>,
        slot: Option<Slot>,
        (reply, rebuilt): (Reply, Rebuilt),
    ) -> Option<Marker> {
        let mut draft = Draft { table, items: Vec::new() };
        let mut reply = reply;
        match author.and_then(|author| Some((author.number, self.of_mut(author)?))) {
            None if draft.table.turn().is_none() || left_out(Mutant::OwnUnitsCount) => {}
            None => draft.say(Item::Turn(None)),
            Some((number, unsaid)) => {
                draft.introduce(number, unsaid);
                reply = unsaid.within_bounds(draft.table, reply);
                let follows = rebuilt == Rebuilt::ByReplay && reply.is_plain();
                if !follows && !left_out(Mutant::ReplyNotCarried) {
                    draft.say(Item::Reply(reply.clone()));
                }
            }
        }
        let Draft { table, items } = draft;
        table.unit(slot, reply).expect("a number that was judged lies where it may");
        (!items.is_empty()).then_some(Marker { items })
    }

    /// The log says that this life of a proxy is over; its links are closed already. What is returned stands in the stream by itself.
    pub fn gone(&mut self, table: &mut Table, proxy: Incarnation) -> Option<Marker> {
        self.by_id.retain(|session, _| session.proxy != proxy);
        for unsaid in &mut self.seats {
            unsaid.take_if(|unsaid| unsaid.session.proxy == proxy);
        }
        if !table.knows(proxy) {
            return None;
        }
        let marker = Marker { items: vec![Item::Gone(proxy)] };
        table.hear(&marker).expect("whoever is gone contradicts nothing");
        Some(marker)
    }

    /// None: there are too many, those that never wrote included.
    fn seat(&mut self, table: &Table, session: SessionId) -> Option<Seat> {
        let may_be_full = table.len() + self.by_id.len() >= SESSIONS_MAX;
        let unopened = || self.by_id.keys().filter(|known| table.session(**known).is_none()).count();
        if may_be_full && table.session(session).is_none() && table.len() + unopened() >= SESSIONS_MAX {
            return None;
        }
        let at = self.seats.iter().position(Option::is_none).unwrap_or(self.seats.len());
        if at == self.seats.len() {
            self.seats.push(None);
        }
        self.seats[at] = Some(Unsaid {
            session,
            handle: table.handle(session),
            floor: Number::FIRST,
            entries: BTreeMap::new(),
            kept_bytes: 0,
        });
        self.by_id.insert(session, Seat(at));
        Some(Seat(at))
    }

    /// None: the seat is another's now, or of another primary.
    fn of(&self, author: Author) -> Option<&Unsaid> {
        let unsaid = self.seats.get(author.seat.0)?.as_ref();
        unsaid.filter(|unsaid| unsaid.session == author.session)
    }

    fn of_mut(&mut self, author: Author) -> Option<&mut Unsaid> {
        let unsaid = self.seats.get_mut(author.seat.0)?.as_mut();
        unsaid.filter(|unsaid| unsaid.session == author.session)
    }

    /// What is settled from `floor` on.
    fn known(&self, table: &Table, seat: Seat, floor: Number) -> Known {
        let unsaid = self.seats.get(seat.0).and_then(Option::as_ref);
        let said = unsaid.and_then(|unsaid| unsaid.said(table)).into_iter().flat_map(Session::settled);
        let unsaid = unsaid.into_iter().flat_map(|unsaid| &unsaid.entries);
        let all = said.chain(unsaid.map(|(number, entry)| (*number, entry)));
        let all = all.filter(|(number, _)| *number >= floor);
        let mut settled: BTreeMap<Number, Reply> =
            all.map(|(number, entry)| (number, entry.reply.clone())).collect();
        if left_out(Mutant::LastNumberOnly)
            && let Some((&last, _)) = settled.last_key_value()
        {
            for number in floor.0..last.0 {
                settled.entry(Number(number)).or_insert(Reply::Ok);
            }
        }
        Known { floor, settled: settled.into_iter().collect() }
    }
}

impl Unsaid {
    fn said<'t>(&self, table: &'t Table) -> Option<&'t Session> {
        table.at(self.handle?)
    }

    /// Of a reply that would be too much only the number is kept.
    fn within_bounds(&self, table: &Table, reply: Reply) -> Reply {
        if reply.kept_bytes() == 0 {
            return reply;
        }
        let kept = self.kept_bytes + self.said(table).map_or(0, Session::kept_bytes);
        if kept + reply.kept_bytes() > KEPT_BYTES_MAX { Reply::NotKept } else { reply }
    }
}

/// A marker as it comes to be; the table has heard every item of it.
struct Draft<'t> {
    table: &'t mut Table,
    items: Vec<Item>,
}

impl Draft<'_> {
    fn say(&mut self, item: Item) {
        self.table.hear_item(&item).expect("a primary says nothing that contradicts its own table");
        self.items.push(item);
    }

    /// All that must be said for the next unit to be this write.
    fn introduce(&mut self, number: Number, unsaid: &mut Unsaid) {
        let handle = unsaid.handle.unwrap_or_else(|| {
            let handle = self.table.free_handle();
            self.say(Item::Open { handle, session: unsaid.session });
            handle
        });
        unsaid.handle = Some(handle);
        if self.table.turn() != Some(handle) {
            self.say(Item::Turn(Some(handle)));
        }
        let Some(said) = self.table.at(handle) else { return };
        let rises = unsaid.floor.above(said.floor());
        let is_due = rises >= FLOOR_RISES_MAX || (rises > 0 && said.kept_bytes() >= KEPT_BYTES_TELL);
        let is_cheap = rises >= FLOOR_RISES && !(self.items.is_empty() && unsaid.entries.is_empty());
        if is_due || is_cheap {
            self.say(Item::Floor(unsaid.floor));
        }
        if !unsaid.entries.is_empty() {
            unsaid.kept_bytes = 0;
            for (number, entry) in std::mem::take(&mut unsaid.entries) {
                if !left_out(Mutant::NoEffectUnsaid) {
                    self.say(Item::Settled { number, entry });
                }
            }
        }
        if self.table.at(handle).map(Session::next) != Some(number) {
            self.say(Item::Next(number));
        }
    }
}
