//! The walks that go on, and what is set aside for them.
//!
//! Each part of a table has a version. Whoever is about to change an entry calls [`Walks::set_aside`]: the entry is copied for
//! each walk that began after the part's version and has not passed it, and its place is marked. A walk skips parts that have
//! its version or a later one, and marked entries. A part that no walk has to come to any more gets the version of the newest
//! walk, so that this is asked once. What this rests on:
//!
//! - marks are good for all walks up to the newest when the first was made. A walk that begins later finds none: before the
//!   first mark for its sake, the older ones are told of the whole part, which then has their version;
//! - whatever comes into a part is marked, and marks go with their entries ([`Part`]);
//! - a split gives version and marks to both halves, and while there are walks only parts of one version and without marks are
//!   merged: so what a walk's position may lie within has been set aside for it. A part of few entries, which may have to
//!   merge, is set aside as a whole;
//! - parts made in an empty table get the present version at once ([`Contents::insert`]);
//! - a walk numbers databases as they were at its start. [`Walk::sources`] says where the keys of each are now: SWAPDB
//!   exchanges two, FLUSHDB makes the old contents its own.
//!
//! A collection is found again by where its key is now: [`Frozen::home`] follows it when it is renamed or moved.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use slotway_cluster::slot::{DATABASES, spread_slot};
use slotway_cluster::{Database, Slot};

use super::frozen::{FreezeId, Handle, Handles, Held};
use super::pieces::{Pieces, UnderWay};
use super::wording::{Head, Wording};
use super::{Progress, WALKS_MAX, WalkId};
use crate::call::Millis;
use crate::keyspace::contents::{Contents, Shape};
use crate::keyspace::entry::{self, Entry, Value};
use crate::keyspace::garbage::Garbage;
use crate::keyspace::long_text::LongText;
use crate::keyspace::object::{self, Object};
use crate::keyspace::part::{At, MERGE_ENTRIES, Part};
use crate::keyspace::seed::{Random, Seed};
use crate::keyspace::{Key, Place};
use crate::rdb::write::Kind;

#[derive(Default)]
pub(in crate::keyspace) struct Walks {
    /// Raised by each start of a walk and each freezing; never goes back.
    clock: u64,
    /// In the order of their starts.
    running: Vec<Walk>,
    pub(super) estate: Estate,
}

/// What was deleted while a walk was not through with it.
#[derive(Default)]
pub(super) struct Estate {
    /// Databases that were flushed.
    detached: BTreeMap<DetachedId, Detached>,
    /// Collections, each by the first of its freezings.
    orphans: BTreeMap<FreezeId, Object>,
}

struct Detached {
    contents: Contents,
    /// About how many its keys and values are.
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DetachedId(u64);

/// What is about to happen in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change<'k> {
    /// The entry of this key changes or goes, if there is one.
    Key(&'k [u8]),
    /// One comes.
    Arrival,
}

/// Where the keys of a database are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    At(Database),
    Detached(DetachedId),
}

pub(super) struct Walk {
    id: WalkId,
    pub(super) wording: Wording,
    /// By the numbers that databases had at the start.
    pub(super) sources: Vec<Source>,
    /// Keys, and those of them with a deadline, at the start.
    pub(super) sizes: Vec<(u64, u64)>,
    /// None: through all databases.
    pub(super) position: Option<Position>,
    /// What comes before the next part.
    pub(super) waiting: VecDeque<(Database, Waiting)>,
    pub(super) frozen: BTreeMap<FreezeId, Frozen>,
    pub(super) held: Arc<Held>,
    pub(super) texts: Texts,
    pub(super) under_way: UnderWay,
}

/// The long strings that a walk holds as values of keys.
#[derive(Default)]
pub(super) struct Texts {
    count: usize,
    /// Bytes of those that nobody else holds, about: one that changes twice before it is copied counts twice.
    alone_bytes: usize,
}

impl Texts {
    /// The walk lets go of one; true: nobody else holds it.
    pub(super) fn give_back(&mut self, text: &LongText) -> bool {
        let is_alone = !text.is_shared();
        self.count -= 1;
        if is_alone {
            self.alone_bytes = self.alone_bytes.saturating_sub(text.allocated());
        }
        if self.count == 0 {
            self.alone_bytes = 0;
        }
        is_alone
    }
}

/// How far a walk has come: what lies in front of it is behind the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// By its number at the start.
    pub(super) database: Database,
    /// 0 in a whole database.
    pub(super) slot: u16,
    pub(super) hash: u64,
}

pub(super) enum Waiting {
    /// A key with a value that is no collection of its own.
    Copy(Entry),
    Collection(FreezeId),
}

/// What a copy takes beside its entry.
pub(super) const COPY_BYTES: usize = size_of::<(Database, Waiting)>();

/// A collection that a walk is not through with.
pub(super) struct Frozen {
    pub(super) kind: Kind,
    /// As it was at the walk's start.
    pub(super) key: Box<[u8]>,
    pub(super) deadline: Option<Millis>,
    pub(super) clock: u32,
    pub(super) count: usize,
    pub(super) handle: Handle,
    home: Home,
}

/// Where a collection is now.
enum Home {
    Key(Source, Box<[u8]>),
    Orphan(FreezeId),
}

impl Walks {
    #[inline]
    pub(in crate::keyspace) fn is_on(&self) -> bool {
        !self.running.is_empty()
    }

    /// The version of what is new; 0: nobody walks.
    pub(super) fn version(&self) -> u64 {
        self.running.last().map_or(0, |walk| walk.id.0)
    }

    pub(super) fn begin(&mut self, contents: &[Contents], wording: Wording) -> Option<WalkId> {
        if self.running.len() >= WALKS_MAX {
            return None;
        }
        self.clock += 1;
        let id = WalkId(self.clock);
        self.running.push(Walk {
            id,
            wording,
            sources: (0..DATABASES).map(|number| Source::At(Database(number))).collect(),
            sizes: contents.iter().map(|contents| (contents.keys(), contents.deadlines())).collect(),
            position: Some(Position { database: Database(0), slot: 0, hash: 0 }),
            waiting: VecDeque::new(),
            frozen: BTreeMap::new(),
            held: Arc::default(),
            texts: Texts::default(),
            under_way: UnderWay::default(),
        });
        Some(id)
    }

    fn index(&self, id: WalkId) -> Option<usize> {
        self.running.iter().position(|walk| walk.id == id)
    }

    pub(super) fn set_aside_bytes(&self, id: WalkId) -> usize {
        self.index(id).map_or(0, |index| {
            let walk = &self.running[index];
            let detached = self.estate.detached.iter();
            let needed = detached.filter(|(id, _)| walk.needs(Source::Detached(**id)));
            walk.bytes() + needed.map(|(_, detached)| detached.bytes).sum::<usize>()
        })
    }

    /// As [`Walks::set_aside_bytes`], without databases that were flushed: those were there before, and do not grow.
    pub(super) fn copied_bytes(&self, id: WalkId) -> usize {
        self.index(id).map_or(0, |index| self.running[index].bytes())
    }

    /// What all walks together have set aside.
    pub(in crate::keyspace) fn bytes(&self) -> usize {
        let detached = self.estate.detached.values().map(|detached| detached.bytes);
        self.running.iter().map(Walk::bytes).chain(detached).sum()
    }

    pub(super) fn keys(&self, id: WalkId) -> u64 {
        self.index(id).map_or(0, |index| self.running[index].under_way.keys)
    }

    pub(super) fn go_on(
        &mut self,
        id: WalkId,
        contents: &mut [Contents],
        seed: &Seed,
        garbage: &mut Garbage,
        out: &mut Vec<u8>,
        bytes: usize,
    ) -> Progress {
        let Some(index) = self.index(id) else { return Progress::Ended };
        let mut walk = self.running.remove(index);
        let Walks { clock, estate, .. } = self;
        let progress = Pieces { walk: &mut walk, clock, contents, estate, seed, garbage, out }.take(bytes);
        self.running.insert(index, walk);
        self.release(garbage);
        progress
    }

    pub(super) fn end(&mut self, id: WalkId, contents: &mut [Contents], seed: &Seed, garbage: &mut Garbage) {
        let Some(index) = self.index(id) else { return };
        let mut walk = self.running.remove(index);
        for (id, frozen) in std::mem::take(&mut walk.frozen) {
            self.estate.thaw(&frozen, id, contents, seed, garbage);
            garbage.add_copies(std::mem::take(&mut frozen.handle.rest().elements).into_iter(), 0);
        }
        let bytes = walk.held.bytes();
        let copies = walk.waiting.into_iter().filter_map(|(_, waiting)| match waiting {
            Waiting::Copy(entry) => Some(entry),
            Waiting::Collection(_) => None,
        });
        garbage.add_copies(copies, bytes);
        self.release(garbage);
    }

    /// Keeps the entry of a key, which is about to change or to go, for the walks that have not come to it.
    pub(in crate::keyspace) fn set_aside_key(&mut self, contents: &mut Contents, key: Key<'_>, seed: &Seed) {
        self.note_text(key, contents);
        self.set_aside(contents, key.place, Change::Key(key.bytes), seed);
    }

    /// An entry is about to come to a place where none is.
    pub(super) fn expect_arrival(&mut self, contents: &mut Contents, place: Place, seed: &Seed) {
        self.set_aside(contents, place, Change::Arrival, seed);
    }

    /// Keeps what is about to change at a place for the walks that have not come to it.
    fn set_aside(&mut self, contents: &mut Contents, place: Place, change: Change<'_>, seed: &Seed) {
        let (version, slot) = (self.version(), slot_in(contents, place.slot));
        let Some(table) = contents.table_mut(place.slot) else { return };
        let Some(part) = table.part_mut(place.hash).filter(|part| part.header.version < version) else {
            return;
        };
        let at = match change {
            Change::Key(key) => match part.find(place.hash, key) {
                Some(at) if !part.has_told(at, version) => Some(at),
                Some(_) | None => return,
            },
            Change::Arrival => None,
        };
        let start = Position { database: place.database, slot, hash: part.start(place.hash) };
        if !self.is_awaited(part, start) {
            return part.tell_all(version);
        }
        let may_merge = part.depth() > 0 && part.len() <= MERGE_ENTRIES / 2;
        let whole_until = match change {
            Change::Key(_) if may_merge => version,
            // Newer walks have begun since the first mark.
            Change::Key(_) | Change::Arrival if part.told_until() < version => part.told_until(),
            Change::Key(_) | Change::Arrival => 0,
        };
        if whole_until > part.header.version {
            if table.lighten(place.hash, seed) {
                // It is another part now.
                return self.set_aside(contents, place, change, seed);
            }
            let Some(part) = table.part_mut(place.hash) else { return };
            self.tell_of_all(part, whole_until, start, seed);
        }
        let Some(part) = table.part_mut(place.hash).filter(|part| part.header.version < version) else {
            return;
        };
        if part.told_until() < version {
            part.begin_telling(version);
        }
        if let Some(at) = at {
            self.tell_of(part, at, start, seed);
        }
    }

    /// Whether a walk has to take something of a part, whose first place is this.
    fn is_awaited(&self, part: &Part, start: Position) -> bool {
        self.running.iter().any(|walk| walk.awaits(part, start).is_some())
    }

    /// The walks up to a version are told of all that they have not been told of yet.
    fn tell_of_all(&mut self, part: &mut Part, until: u64, start: Position, seed: &Seed) {
        for walk in self.running.iter_mut().filter(|walk| walk.id.0 <= until) {
            if let Some(database) = walk.awaits(part, start) {
                for entry in part.untold_mut(walk.id.0) {
                    walk.keep(database, Source::At(start.database), entry, &mut self.clock, seed);
                }
            }
        }
        part.tell_all(until);
    }

    fn tell_of(&mut self, part: &mut Part, at: At, start: Position, seed: &Seed) {
        for walk in &mut self.running {
            if let Some(database) = walk.awaits(part, start)
                && let Some(entry) = part.entry_mut(at)
            {
                walk.keep(database, Source::At(start.database), entry, &mut self.clock, seed);
            }
        }
        part.note_told(at);
    }

    /// A key is about to change: if it is a long string that walks hold, they will be its only owners.
    fn note_text(&mut self, key: Key<'_>, contents: &Contents) {
        let place = key.place;
        let Some(part) = contents.table(place.slot).and_then(|table| table.part(place.hash)) else { return };
        let Some(at) = part.find(place.hash, key.bytes) else { return };
        let Some(Value::Object(Object::Text(text))) = part.entry(at).map(Entry::value) else { return };
        let slot = slot_in(contents, place.slot);
        for walk in &mut self.running {
            let is_first = !part.has_told(at, walk.id.0);
            if (is_first || text.is_shared())
                && let Some(database) = walk.number_of(place.database)
                && walk.is_ahead(Position { database, slot, hash: part.start(place.hash) })
            {
                walk.texts.alone_bytes = walk.texts.alone_bytes.saturating_add(text.allocated());
            }
        }
    }

    /// A collection comes to another key.
    pub(super) fn note_arrival(&mut self, key: Key<'_>, entry: &mut Entry) {
        let Some(Some(handles)) = entry.object_mut().and_then(Object::frozen_mut) else { return };
        for id in handles.ids() {
            if let Some(frozen) = self.running.iter_mut().find_map(|walk| walk.frozen.get_mut(&id)) {
                frozen.home = Home::Key(Source::At(key.place.database), key.bytes.into());
            }
        }
    }

    /// Takes over the collections that were deleted since.
    pub(super) fn adopt(&mut self, garbage: &mut Garbage) {
        for mut object in garbage.take_frozen() {
            let handles = object.frozen_mut().and_then(|frozen| frozen.as_ref());
            let ids: Vec<FreezeId> = handles.into_iter().flat_map(|handles| handles.ids()).collect();
            let Some(&first) = ids.first() else { continue };
            for id in ids {
                if let Some(frozen) = self.running.iter_mut().find_map(|walk| walk.frozen.get_mut(&id)) {
                    frozen.home = Home::Orphan(first);
                }
            }
            self.estate.orphans.insert(first, object);
        }
    }

    pub(super) fn swap(&mut self, one: Database, other: Database) {
        for source in self.running.iter_mut().flat_map(|walk| walk.sources_mut()) {
            *source = match *source {
                Source::At(database) if database == one => Source::At(other),
                Source::At(database) if database == other => Source::At(one),
                unmoved => unmoved,
            };
        }
    }

    /// Takes the contents of a database that was flushed; gives them back if no walk needs them.
    pub(in crate::keyspace) fn detach(&mut self, database: Database, contents: Contents) -> Option<Contents> {
        self.clock += 1;
        let (old, new) = (Source::At(database), Source::Detached(DetachedId(self.clock)));
        let mut is_needed = false;
        for walk in &mut self.running {
            is_needed |= walk.needs(old);
            for source in walk.sources_mut().filter(|source| **source == old) {
                *source = new;
            }
        }
        match new {
            Source::Detached(id) if is_needed => {
                let bytes = contents.value_bytes(&mut Random::new(self.clock));
                self.estate.detached.insert(id, Detached { contents, bytes });
                None
            }
            _ => Some(contents),
        }
    }

    /// Gives up what no walk needs any more.
    fn release(&mut self, garbage: &mut Garbage) {
        let Walks { running, estate, .. } = self;
        let is_over = |id: &DetachedId| !running.iter().any(|walk| walk.needs(Source::Detached(*id)));
        let over: Vec<DetachedId> = estate.detached.keys().copied().filter(is_over).collect();
        for detached in over.into_iter().filter_map(|id| estate.detached.remove(&id)) {
            garbage.add_contents(detached.contents);
        }
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self, id: WalkId) -> usize {
        self.index(id).map_or(0, |index| self.running[index].held.bytes())
    }

    /// What tests look at: detached databases and orphans.
    #[cfg(test)]
    pub(super) fn estate_len(&self) -> usize {
        self.estate.detached.len() + self.estate.orphans.len()
    }
}

impl Walk {
    /// The number that the walk knows a database by; None: what it holds now came after the start.
    fn number_of(&self, database: Database) -> Option<Database> {
        let number = self.sources.iter().position(|source| *source == Source::At(database))?;
        u8::try_from(number).ok().map(Database)
    }

    /// The number that the walk knows the database of a part by, if it has to take something of the part, whose first place
    /// is this by the number of now.
    fn awaits(&self, part: &Part, start: Position) -> Option<Database> {
        let database = self.number_of(start.database).filter(|_| part.header.version < self.id.0)?;
        self.is_ahead(Position { database, ..start }).then_some(database)
    }

    fn bytes(&self) -> usize {
        self.held.bytes().saturating_add(self.texts.alone_bytes)
    }

    pub(super) fn has_version(&self, version: u64) -> bool {
        version >= self.id.0
    }

    /// The version of its start.
    pub(super) fn version(&self) -> u64 {
        self.id.0
    }

    /// Whether the walk has not come to a position.
    fn is_ahead(&self, of: Position) -> bool {
        self.position.is_some_and(|position| position <= of)
    }

    /// Whether something that the walk has to take lies there.
    fn needs(&self, source: Source) -> bool {
        let next = self.position.map_or(usize::from(DATABASES), |position| usize::from(position.database.0));
        self.sources[next..].contains(&source)
            || self
                .frozen
                .values()
                .any(|frozen| matches!(&frozen.home, Home::Key(home, _) if *home == source))
    }

    fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        let homes = self.frozen.values_mut().filter_map(|frozen| match &mut frozen.home {
            Home::Key(source, _) => Some(source),
            Home::Orphan(_) => None,
        });
        self.sources.iter_mut().chain(homes)
    }

    /// Keeps an entry as it is now: a copy, or a collection frozen.
    pub(super) fn keep(
        &mut self,
        database: Database,
        source: Source,
        entry: &mut Entry,
        clock: &mut u64,
        seed: &Seed,
    ) {
        if let Some(copy) = object::copy(entry) {
            self.held.add(copy.allocated() + COPY_BYTES);
            self.texts.count += usize::from(copy.form() == entry::Form::Object);
            self.waiting.push_back((database, Waiting::Copy(copy)));
            return;
        }
        *clock += 1;
        let id = FreezeId(*clock);
        let handle = Handle::new(id, &self.held, *seed);
        let (key, deadline, used): (Box<[u8]>, _, _) = (entry.key().into(), entry.deadline(), entry.clock());
        let Some(object) = entry.object_mut() else { return };
        let Some((kind, count)) = kind_of(object) else { return };
        if let Some(handles) = object.frozen_mut() {
            Handles::add(handles, handle.clone());
        }
        let home = Home::Key(source, key.clone());
        self.frozen.insert(id, Frozen { kind, key, deadline, clock: used, count, handle, home });
        self.waiting.push_back((database, Waiting::Collection(id)));
    }
}

impl Frozen {
    pub(super) fn head(&self) -> Head<'_> {
        let Frozen { kind, ref key, deadline, clock, count, .. } = *self;
        Head { kind, key, deadline, clock, count }
    }
}

impl Estate {
    /// The contents that a database's keys are in.
    pub(super) fn contents_of<'c>(
        &'c mut self,
        source: Source,
        contents: &'c mut [Contents],
    ) -> Option<&'c mut Contents> {
        match source {
            Source::At(database) => contents.get_mut(usize::from(database.0)),
            Source::Detached(id) => self.detached.get_mut(&id).map(|detached| &mut detached.contents),
        }
    }

    /// A frozen collection, wherever it is now.
    pub(super) fn find<'c>(
        &'c mut self,
        frozen: &Frozen,
        contents: &'c mut [Contents],
        seed: &Seed,
    ) -> Option<&'c mut Object> {
        match &frozen.home {
            Home::Orphan(id) => self.orphans.get_mut(id),
            Home::Key(source, key) => {
                let contents = self.contents_of(*source, contents)?;
                let slot = match contents.shape() {
                    Shape::Spread => spread_slot(key),
                    Shape::Whole => Slot::new(0)?,
                };
                let place = Place { database: Database(0), slot, hash: seed.hash(key) };
                contents.find_mut(place, key)?.object_mut()
            }
        }
    }

    /// A walk is through with a collection, or was given up.
    pub(super) fn thaw(
        &mut self,
        frozen: &Frozen,
        id: FreezeId,
        contents: &mut [Contents],
        seed: &Seed,
        garbage: &mut Garbage,
    ) {
        let Some(handles) = self.find(frozen, contents, seed).and_then(Object::frozen_mut) else { return };
        Handles::remove(handles, id);
        if handles.is_none()
            && let Home::Orphan(orphan) = &frozen.home
            && let Some(object) = self.orphans.remove(orphan)
        {
            garbage.add_object(Box::new(object));
        }
    }
}

/// The slot of a place as walks count: a whole database has one.
fn slot_in(contents: &Contents, slot: Slot) -> u16 {
    match contents.shape() {
        Shape::Spread => slot.number(),
        Shape::Whole => 0,
    }
}

/// What a collection is written as, and of how many pieces: elements, or runs of a list.
fn kind_of(object: &Object) -> Option<(Kind, usize)> {
    match object {
        Object::Text(_) => None,
        Object::Hash(table) => Some((Kind::Hash, table.len())),
        Object::Set(table) => Some((Kind::Set, table.len())),
        Object::SortedSet(set) => Some((Kind::SortedSet, set.len())),
        Object::List(list) => Some((Kind::List, list.chunks().len())),
    }
}
