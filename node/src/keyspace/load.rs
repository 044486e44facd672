//! Keys that come from elsewhere: from a file, another server, or RESTORE.
//!
//! A value is built word by word, in the encoding that its size asks for here, whatever it was where it comes from. That
//! is the costly part, needs no keyspace, and is done on another thread; what is left to the keyspace is to insert
//! ([`Keyspace::load`]). What no collection can hold is refused: nothing of what is built has been checked before.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use slotway_cluster::{Database, Placement, Slot, slot::spread_slot};

use super::contents::Shape;
use super::entry::{Entry, Form};
use super::list::{Limit, NewList};
use super::object::Object;
use super::packed::{self, PACKED_BYTES_MAX};
use super::seed::Seed;
use super::set::{INTEGERS_MAX, Member, integers};
use super::sorted_set::compare;
use super::table::Table;
use super::text::{Origin, SHARED_FROM};
use super::usage::Known;
use super::{Key, Keyspace, Place, Settings};
use crate::call::Millis;

/// A key that comes from elsewhere.
pub(crate) struct Record {
    pub(crate) database: Database,
    /// With its deadline.
    pub(crate) entry: Entry,
    pub(crate) known: Option<Known>,
    /// Where the key lies, as far as that is the same in every keyspace with this seed.
    slot: Slot,
    hash: u64,
}

/// Why words are no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    Duplicate,
    Disorder,
    NotANumber,
}

impl Record {
    pub(crate) fn new(database: Database, entry: Entry, known: Option<Known>, seed: &Seed) -> Record {
        let (slot, hash) = (spread_slot(entry.key()), seed.hash(entry.key()));
        Record { database, entry, known, slot, hash }
    }
}

impl Keyspace {
    /// Adds a key as it was elsewhere, also one that is past its deadline. A key that is there already comes back.
    pub(crate) fn load(&mut self, record: Record, now: Millis) -> Result<(), Record> {
        let Record { database, slot, hash, .. } = record;
        let contents = self.contents(database);
        let slot = match contents.shape() {
            Shape::Spread => slot,
            Shape::Whole => Placement::home(database),
        };
        let place = Place { database, slot, hash };
        if contents.find(place, record.entry.key()).is_some() {
            return Err(record);
        }
        let Record { mut entry, known, .. } = record;
        if self.walks.is_on() {
            self.about_to_add_at(place);
        }
        entry.touch(self.settings.usage.known(known, now));
        self.contents[usize::from(database.0)].insert(&self.seed, place, entry, now);
        Ok(())
    }
}

impl Keyspace {
    /// Adds a new entry for a key that is not there, with its deadline and what is known of its use.
    pub(crate) fn restore(&mut self, key: Key<'_>, mut entry: Entry, known: Option<Known>, now: Millis) {
        entry.touch(self.settings.usage.known(known, now));
        self.add(key, entry, now);
    }
}

/// Builds values, one after the other.
pub(crate) struct Builder {
    seed: Seed,
    settings: Settings,
    /// The packed run that is being made.
    run: Vec<u8>,
    integers: Vec<i64>,
    /// For finding duplicates.
    hashes: Vec<u64>,
    /// Members of a sorted set: score, and where its bytes end in `run`.
    elements: Vec<(f64, usize)>,
}

impl Builder {
    pub(crate) fn new(seed: Seed, settings: Settings) -> Builder {
        Builder {
            seed,
            settings,
            run: Vec::new(),
            integers: Vec::new(),
            hashes: Vec::new(),
            elements: Vec::new(),
        }
    }

    pub(crate) fn seed(&self) -> &Seed {
        &self.seed
    }

    pub(crate) fn text(key: &[u8], text: &[u8]) -> Entry {
        Entry::with_text(key, text)
    }

    /// As [`Builder::text`] for what the caller has no other use for: a long one is not copied.
    pub(crate) fn own_text(key: &[u8], text: &mut Vec<u8>) -> Entry {
        if text.len() < SHARED_FROM {
            return Entry::with_text(key, text);
        }
        text.shrink_to_fit();
        let mut entry = Entry::with_text(key, b"");
        drop(entry.set_owned_text(std::mem::take(text), Origin::Stored));
        entry
    }

    /// A hash that is said to have so many fields.
    pub(crate) fn hash(&mut self, fields: u64) -> NewHash<'_> {
        let is_large =
            usize::try_from(fields).map_or(true, |fields| fields > self.settings.hash_packed_fields_max);
        self.begin_run();
        NewHash { room: self, count: 0, table: is_large.then(Table::default) }
    }

    /// A set that was kept as a table, or is said to have so many members.
    pub(crate) fn set(&mut self, members: u64) -> NewSet<'_> {
        let is_large =
            usize::try_from(members).map_or(true, |members| members > self.settings.set_integers_max);
        let kept = if is_large { Kept::Table(Table::default()) } else { Kept::Integers };
        self.new_set(kept)
    }

    /// A set that was kept as a run of members.
    pub(crate) fn packed_set(&mut self) -> NewSet<'_> {
        self.new_set(Kept::Packed)
    }

    fn new_set(&mut self, kept: Kept) -> NewSet<'_> {
        self.begin_run();
        self.integers.clear();
        NewSet { room: self, count: 0, kept }
    }

    pub(crate) fn sorted_set(&mut self) -> NewSortedSet<'_> {
        self.run.clear();
        self.elements.clear();
        NewSortedSet { room: self }
    }

    pub(crate) fn list(&self) -> NewList {
        NewList::new(Limit::new(self.settings.list_packed_max))
    }

    fn begin_run(&mut self) {
        self.run.clear();
        self.run.extend_from_slice(packed::EMPTY);
    }
}

/// A hash in the making.
pub(crate) struct NewHash<'b> {
    room: &'b mut Builder,
    /// Fields in the run.
    count: usize,
    /// None: it is a run so far.
    table: Option<Table>,
}

impl NewHash<'_> {
    pub(crate) fn push(&mut self, field: &[u8], value: &[u8]) -> Result<(), Unfit> {
        if self.table.is_none() {
            let settings = &self.room.settings;
            let bytes = self.room.run.len().saturating_add(field.len()).saturating_add(value.len());
            if self.count < settings.hash_packed_fields_max
                && field.len().max(value.len()) <= settings.hash_packed_value_bytes_max
                && bytes <= PACKED_BYTES_MAX
            {
                packed::append(&mut self.room.run, field);
                packed::append(&mut self.room.run, value);
                self.count += 1;
                return Ok(());
            }
        }
        let table = match &mut self.table {
            Some(table) => table,
            None => self.table.insert(self.room.unpacked_hash()?),
        };
        insert(table, &self.room.seed, field, || Entry::with_text(field, value))
    }

    /// The hash as a key's entry; None: it has no fields.
    pub(crate) fn finish(self, key: &[u8]) -> Result<Option<Entry>, Unfit> {
        let NewHash { room, count, table } = self;
        Ok(match table {
            Some(table) => (table.len() > 0).then(|| Entry::with_object(key, Box::new(Object::Hash(table)))),
            None if count == 0 => None,
            None => {
                packed::seal(&mut room.run, count);
                let fields = packed::Packed::new(&room.run);
                check_unique(&mut room.hashes, count, || fields.iter().map(|(field, _)| field))?;
                Some(Entry::new(key, Form::PackedHash, &room.run))
            }
        })
    }
}

impl Builder {
    /// The fields of the run, as a table.
    fn unpacked_hash(&self) -> Result<Table, Unfit> {
        let mut table = Table::default();
        for (field, value) in packed::Packed::new(&self.run).iter() {
            insert(&mut table, &self.seed, field, || Entry::with_text(field, value))?;
        }
        Ok(table)
    }
}

fn insert(table: &mut Table, seed: &Seed, name: &[u8], entry: impl FnOnce() -> Entry) -> Result<(), Unfit> {
    let hash = seed.hash(name);
    if table.find(hash, name).is_some() {
        return Err(Unfit::Duplicate);
    }
    table.insert(seed, hash, entry());
    Ok(())
}

/// A set in the making.
pub(crate) struct NewSet<'b> {
    room: &'b mut Builder,
    /// Members in the run.
    count: usize,
    kept: Kept,
}

enum Kept {
    Integers,
    Packed,
    Table(Table),
}

impl NewSet<'_> {
    pub(crate) fn push(&mut self, member: Member<'_>) -> Result<(), Unfit> {
        if matches!(self.kept, Kept::Integers) {
            match member.integer() {
                Some(integer) if self.may_be_integers() => {
                    self.room.integers.push(integer);
                    return Ok(());
                }
                Some(_) => self.make_table()?,
                None => self.make_packed(member.with_text(<[u8]>::len))?,
            }
        }
        member.with_text(|text| self.push_text(text))
    }

    fn may_be_integers(&self) -> bool {
        let max =
            self.room.settings.set_integers_max.min(INTEGERS_MAX).min(PACKED_BYTES_MAX / size_of::<i64>());
        self.room.integers.len() < max
    }

    fn push_text(&mut self, text: &[u8]) -> Result<(), Unfit> {
        if matches!(self.kept, Kept::Packed) {
            let settings = &self.room.settings;
            if self.count < settings.set_packed_members_max
                && text.len() <= settings.set_packed_value_bytes_max
                && self.room.run.len().saturating_add(text.len()) <= PACKED_BYTES_MAX
            {
                packed::append(&mut self.room.run, text);
                self.count += 1;
                return Ok(());
            }
            self.make_table()?;
        }
        let Kept::Table(table) = &mut self.kept else { unreachable!("a set that is full is a table") };
        insert(table, &self.room.seed, text, || Entry::with_text(text, b""))
    }

    /// The integers so far go into a run, if they fit there with a string of this length.
    fn make_packed(&mut self, len: usize) -> Result<(), Unfit> {
        let settings = self.room.settings;
        if self.room.integers.len() >= settings.set_packed_members_max
            || len > settings.set_packed_value_bytes_max
        {
            return self.make_table();
        }
        self.kept = Kept::Packed;
        for integer in std::mem::take(&mut self.room.integers) {
            Member::Integer(integer).with_text(|text| self.push_text(text))?;
        }
        Ok(())
    }

    fn make_table(&mut self) -> Result<(), Unfit> {
        let mut table = Table::default();
        let Builder { seed, run, integers, .. } = &*self.room;
        let mut add = |text: &[u8]| insert(&mut table, seed, text, || Entry::with_text(text, b""));
        packed::Strings::new(run).iter().try_for_each(&mut add)?;
        integers.iter().try_for_each(|&integer| Member::Integer(integer).with_text(&mut add))?;
        self.kept = Kept::Table(table);
        Ok(())
    }

    /// The set as a key's entry; None: it has no members.
    pub(crate) fn finish(self, key: &[u8]) -> Result<Option<Entry>, Unfit> {
        let NewSet { room, count, kept } = self;
        match kept {
            Kept::Table(table) => {
                Ok((table.len() > 0).then(|| Entry::with_object(key, Box::new(Object::Set(table)))))
            }
            Kept::Integers => {
                let all = &mut room.integers;
                if !all.is_sorted() {
                    all.sort_unstable();
                }
                if all.array_windows().any(|[one, other]| one == other) {
                    return Err(Unfit::Duplicate);
                }
                Ok((!all.is_empty()).then(|| Entry::new(key, Form::IntegerSet, &integers::pack(all))))
            }
            Kept::Packed => {
                packed::seal(&mut room.run, count);
                let members = packed::Strings::new(&room.run);
                check_unique(&mut room.hashes, count, || members.iter())?;
                Ok((count > 0).then(|| Entry::new(key, Form::PackedSet, &room.run)))
            }
        }
    }
}

/// A sorted set in the making.
pub(crate) struct NewSortedSet<'b> {
    room: &'b mut Builder,
}

/// In which order the elements of a sorted set came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// They must have come in theirs.
    InOrder,
    InAnyOrder,
}

impl NewSortedSet<'_> {
    pub(crate) fn push(&mut self, score: f64, member: &[u8]) -> Result<(), Unfit> {
        if score.is_nan() {
            return Err(Unfit::NotANumber);
        }
        self.room.run.extend_from_slice(member);
        self.room.elements.push((score, self.room.run.len()));
        Ok(())
    }

    /// The sorted set as a key's entry; None: it has no members.
    pub(crate) fn finish(self, key: &[u8], came: Came) -> Result<Option<Entry>, Unfit> {
        let Builder { seed, settings, run, hashes, elements, .. } = self.room;
        if elements.is_empty() {
            return Ok(None);
        }
        let mut start = 0;
        let mut sorted: Vec<(f64, &[u8])> = elements
            .iter()
            .map(|&(score, end)| (score, &run[std::mem::replace(&mut start, end)..end]))
            .collect();
        check_unique(hashes, sorted.len(), || sorted.iter().map(|&(_, member)| member))?;
        let is_sorted =
            |elements: &[(f64, &[u8])]| elements.is_sorted_by(|&one, &other| compare(one, other).is_le());
        if !is_sorted(&sorted) {
            if came == Came::InOrder {
                return Err(Unfit::Disorder);
            }
            // Redis writes the greatest first.
            sorted.reverse();
            if !is_sorted(&sorted) {
                sorted.sort_unstable_by(|&one, &other| compare(one, other));
            }
        }
        Ok(Some(Entry::with_sorted_elements(key, &sorted, seed, settings)))
    }
}

/// Up to so many words are compared each with each.
const COMPARED_MAX: usize = 16;

/// Whether each of `count` words is there once.
fn check_unique<'w, I: Iterator<Item = &'w [u8]>>(
    hashes: &mut Vec<u64>,
    count: usize,
    words: impl Fn() -> I,
) -> Result<(), Unfit> {
    let are_unique = if count <= COMPARED_MAX {
        let mut few = [&[][..]; COMPARED_MAX];
        few.iter_mut().zip(words()).for_each(|(place, word)| *place = word);
        (1..count).all(|nth| !few[..nth].contains(&few[nth]))
    } else {
        hashes.clear();
        hashes.extend(words().map(hash_of));
        hashes.sort_unstable();
        let may_be = hashes.array_windows().all(|[one, other]| one != other);
        may_be || are_unique_by_bytes(words().collect())
    };
    if are_unique { Ok(()) } else { Err(Unfit::Duplicate) }
}

fn hash_of(word: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

/// For words of which two have the same hash, which happens by chance too.
#[cold]
fn are_unique_by_bytes(mut words: Vec<&[u8]>) -> bool {
    words.sort_unstable();
    words.array_windows().all(|[one, other]| one != other)
}
