//! The sessions of a node: what the stream up to the end of a unit says of them, and nothing else.
//!
//! Primary, replica, file and snapshot at one offset have one table; that is what makes a promoted node know what its predecessor
//! answered. So it is changed by what stands in the stream alone: markers, units, EPOCH records.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    mutants::{Mutant, left_out},
    shard::Incarnation,
    slot::Slot,
};

use super::{
    Entry, Handle, NUMBERS_MAX, Number, SESSIONS_MAX, SessionId,
    marker::{Item, Marker},
    reply::Reply,
};

/// No number of a stream lies further above its session's floor: what a primary lets above the floor it was told, and as much for a floor
/// that the stream tells later.
pub const SPAN_MAX: u64 = 2 * NUMBERS_MAX;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// By handle, so that a write finds its session by an index.
    sessions: Vec<Option<Session>>,
    by_id: BTreeMap<SessionId, Handle>,
    turn: Option<Turn>,
}

/// Whose the units are that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Turn {
    handle: Handle,
    /// What the very next of them was answered, if that does not follow from its effect.
    reply: Option<Reply>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    floor: Number,
    /// What the session's next unit is if no marker says otherwise.
    next: Number,
    /// From the floor on; None: not settled, as far as the stream says.
    entries: VecDeque<Option<Entry>>,
    kept_bytes: usize,
}

/// A marker does not fit what the stream said before: it is not the stream that this node held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction(pub &'static str);

impl Table {
    /// A marker of the stream, of a file, or of a snapshot.
    ///
    /// # Errors
    /// The table is worth nothing then: the node needs everything anew.
    pub fn hear(&mut self, marker: &Marker) -> Result<(), Contradiction> {
        if let Some(turn) = &mut self.turn {
            turn.reply = None;
        }
        marker.items.iter().try_for_each(|item| self.hear_item(item))
    }

    pub(super) fn hear_item(&mut self, item: &Item) -> Result<(), Contradiction> {
        match item {
            Item::Open { handle, session } => return self.open(*handle, *session),
            Item::Gone(proxy) => self.forget(*proxy),
            Item::Turn(None) => self.turn = None,
            Item::Turn(Some(handle)) => {
                if self.at(*handle).is_none() {
                    return Err(Contradiction("the turn of a session that was never opened"));
                }
                self.turn = Some(Turn { handle: *handle, reply: None });
            }
            Item::Next(number) => {
                let session = self.session_of_turn()?;
                session.place(*number)?;
                session.next = *number;
            }
            Item::Floor(number) => self.session_of_turn()?.raise_floor(*number),
            Item::Settled { number, entry } => self.session_of_turn()?.settle(*number, entry.clone())?,
            Item::Reply(reply) => {
                let turn = self.turn.as_mut().ok_or(Contradiction("a reply of nobody"))?;
                turn.reply = Some(reply.clone());
            }
        }
        Ok(())
    }

    /// A whole unit that is no record: whoever's turn it is has settled its next number. `rebuilt` is what executing the effect answered here.
    ///
    /// # Errors
    /// See [`Table::hear`].
    pub fn unit(&mut self, slot: Option<Slot>, rebuilt: Reply) -> Result<(), Contradiction> {
        let Some(turn) = &mut self.turn else { return Ok(()) };
        let (handle, reply) = (turn.handle, turn.reply.take().unwrap_or(rebuilt));
        let Some(session) = self.sessions.get_mut(handle.index()).and_then(Option::as_mut) else {
            return Ok(());
        };
        session.settle(session.next, Entry { slot, reply })
    }

    /// An EPOCH record: whatever was announced before it never comes.
    pub fn begin_epoch(&mut self) {
        self.turn = None;
        if left_out(Mutant::SessionsNotReplicated) {
            *self = Table::default();
        }
    }

    /// All of it, for files and snapshots: heard by an empty table it is this one.
    pub fn markers(&self) -> impl Iterator<Item = Marker> + '_ {
        let sessions = self.by_id.values().filter_map(|handle| Some(self.at(*handle)?.marker(*handle)));
        let turn = self.turn.as_ref().map(|turn| {
            let reply = turn.reply.clone().map(Item::Reply);
            [Item::Turn(Some(turn.handle))].into_iter().chain(reply).collect()
        });
        let turn = turn.filter(|_| !left_out(Mutant::SnapshotWithoutTurn));
        let turn = turn.unwrap_or_else(|| vec![Item::Turn(None)]);
        sessions.chain((!self.is_empty()).then_some(Marker { items: turn }))
    }

    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.at(self.handle(id)?)
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn at(&self, handle: Handle) -> Option<&Session> {
        self.sessions.get(handle.index())?.as_ref()
    }

    pub(super) fn handle(&self, id: SessionId) -> Option<Handle> {
        self.by_id.get(&id).copied()
    }

    /// For a session that is opened next: the least, so that they stay short and close together.
    pub(super) fn free_handle(&self) -> Handle {
        let free = self.sessions.iter().position(Option::is_none).unwrap_or(self.sessions.len());
        Handle(u32::try_from(free + 1).unwrap_or(u32::MAX))
    }

    pub(super) fn turn(&self) -> Option<Handle> {
        self.turn.as_ref().map(|turn| turn.handle)
    }

    pub(super) fn knows(&self, proxy: Incarnation) -> bool {
        self.by_id.keys().any(|id| id.proxy == proxy)
    }

    fn open(&mut self, handle: Handle, id: SessionId) -> Result<(), Contradiction> {
        let at = handle.index();
        if at >= SESSIONS_MAX {
            return Err(Contradiction("too many sessions"));
        }
        if self.at(handle).is_some() || self.by_id.contains_key(&id) {
            return Err(Contradiction("a session is opened twice"));
        }
        if self.sessions.len() <= at {
            self.sessions.resize(at + 1, None);
        }
        self.sessions[at] = Some(Session::new(id));
        self.by_id.insert(id, handle);
        Ok(())
    }

    fn forget(&mut self, proxy: Incarnation) {
        self.by_id.retain(|id, _| id.proxy != proxy);
        for session in &mut self.sessions {
            session.take_if(|session| session.id.proxy == proxy);
        }
        // So that two tables that say the same are the same.
        while self.sessions.last().is_some_and(Option::is_none) {
            self.sessions.pop();
        }
        if self.turn.as_ref().is_some_and(|turn| self.at(turn.handle).is_none()) {
            self.turn = None;
        }
    }

    fn session_of_turn(&mut self) -> Result<&mut Session, Contradiction> {
        let handle = self.turn.as_ref().map(|turn| turn.handle);
        let session = handle.and_then(|handle| self.sessions.get_mut(handle.index())?.as_mut());
        session.ok_or(Contradiction("something of a session, and nobody's turn"))
    }
}

impl Session {
    fn new(id: SessionId) -> Session {
        Session { id, floor: Number::FIRST, next: Number::FIRST, entries: VecDeque::new(), kept_bytes: 0 }
    }

    pub fn floor(&self) -> Number {
        self.floor
    }

    pub(super) fn next(&self) -> Number {
        self.next
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    pub fn entry(&self, number: Number) -> Option<&Entry> {
        let at = number.0.checked_sub(self.floor.0)?;
        self.entries.get(usize::try_from(at).ok()?)?.as_ref()
    }

    /// Those that are settled, in order.
    pub fn settled(&self) -> impl Iterator<Item = (Number, &Entry)> {
        let entries = self.entries.iter().zip(0..);
        entries.filter_map(|(entry, at)| Some((self.floor.plus(at), entry.as_ref()?)))
    }

    /// Where a number lies above the floor.
    fn place(&self, number: Number) -> Result<usize, Contradiction> {
        let above = number.0.checked_sub(self.floor.0).ok_or(Contradiction("a number below the floor"))?;
        let above = usize::try_from(above).ok().filter(|_| above < SPAN_MAX);
        above.ok_or(Contradiction("a number too far above the floor"))
    }

    /// What is settled stays as it is: told again it says the same.
    fn settle(&mut self, number: Number, entry: Entry) -> Result<(), Contradiction> {
        let at = self.place(number)?;
        if self.entries.len() <= at {
            self.entries.resize(at + 1, None);
        }
        if self.entries[at].is_none() {
            self.kept_bytes += entry.reply.kept_bytes();
            self.entries[at] = Some(entry);
        }
        if number == self.next {
            self.next = number.next();
        }
        Ok(())
    }

    fn raise_floor(&mut self, floor: Number) {
        while self.floor < floor {
            match self.entries.pop_front() {
                Some(entry) => {
                    self.kept_bytes -= entry.map_or(0, |entry| entry.reply.kept_bytes());
                    self.floor = self.floor.next();
                }
                None => self.floor = floor,
            }
        }
        self.next = self.next.max(self.floor);
    }

    fn marker(&self, handle: Handle) -> Marker {
        let mut items =
            vec![Item::Open { handle, session: self.id }, Item::Turn(Some(handle)), Item::Floor(self.floor)];
        let settled = self.settled().map(|(number, entry)| Item::Settled { number, entry: entry.clone() });
        items.extend(settled);
        items.push(Item::Next(self.next));
        Marker { items }
    }
}
