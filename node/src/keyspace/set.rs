//! Sets: sorted integers or packed members in their entry while they are small, a table of entries when they are not.
//!
//! A set keeps the encoding that Redis would give it, and OBJECT ENCODING tells: integers up to
//! `set-max-intset-entries`, other members packed up to `set-max-listpack-entries` of at most `set-max-listpack-value`
//! bytes, and a table for the rest. Removals never bring an encoding back.

mod algebra;
mod asked;
pub(in crate::keyspace) mod integers;
mod member;

pub(crate) use algebra::{difference, intersection, union};
pub(crate) use asked::IndexRoom;
pub(crate) use member::{Member, Wanted};

use std::ops::ControlFlow;

use super::Settings;
use super::entry::{Entry, Form, Value};
use super::object::Object;
use super::packed::{self, PACKED_BYTES_MAX, Strings};
use super::seed::{Random, Seed};
use super::table::Table;
use super::text::parse_integer;
pub(crate) use integers::Integers;

/// No set of more integers than this is kept as such, whatever the settings say.
pub(in crate::keyspace) const INTEGERS_MAX: usize = 1 << 30;

/// A set, to be read.
#[derive(Clone, Copy)]
pub(crate) enum Set<'a> {
    Integers(Integers<'a>),
    Packed(Strings<'a>),
    Table(&'a Table),
}

/// A set, to be changed. An emptied one is for the caller to delete with its key.
pub(crate) struct SetMut<'a> {
    entry: &'a mut Entry,
    seed: Seed,
    settings: Settings,
}

/// How a set is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Integers,
    Packed,
    Table,
}

impl Encoding {
    /// That of a set whose first member this is, and which may grow to so many.
    pub(crate) fn of_first(member: &[u8], expected: usize, settings: &Settings) -> Encoding {
        if expected <= settings.set_integers_max && parse_integer(member).is_some() {
            Encoding::Integers
        } else if expected <= settings.set_packed_members_max {
            Encoding::Packed
        } else {
            Encoding::Table
        }
    }
}

impl Entry {
    /// A set without members yet.
    pub(crate) fn with_set(key: &[u8], encoding: Encoding) -> Entry {
        match encoding {
            Encoding::Integers => Entry::new(key, Form::IntegerSet, integers::EMPTY),
            Encoding::Packed => Entry::new(key, Form::PackedSet, packed::EMPTY),
            Encoding::Table => Entry::with_object(key, Box::new(Object::Set(Table::default()))),
        }
    }

    /// The set; None when the value is something else.
    #[inline]
    pub(crate) fn set(&self) -> Option<Set<'_>> {
        match self.value() {
            Value::IntegerSet(bytes) => Some(Set::Integers(Integers::new(bytes))),
            Value::PackedSet(bytes) => Some(Set::Packed(Strings::new(bytes))),
            Value::Object(Object::Set(table)) => Some(Set::Table(table)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn set_mut(&mut self, seed: Seed, settings: Settings) -> Option<SetMut<'_>> {
        self.set()?;
        Some(SetMut { entry: self, seed, settings })
    }
}

impl<'a> Set<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Set::Integers(integers) => integers.len(),
            Set::Packed(strings) => strings.len(),
            Set::Table(table) => table.len(),
        }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Set::Integers(_) => Encoding::Integers,
            Set::Packed(_) => Encoding::Packed,
            Set::Table(_) => Encoding::Table,
        }
    }

    /// Whether the set has a member. For several members and sets see [`asked`].
    pub(crate) fn contains(&self, seed: &Seed, member: &[u8]) -> bool {
        match self {
            Set::Integers(integers) => parse_integer(member).is_some_and(|member| integers.contains(member)),
            Set::Packed(strings) => strings.contains(member),
            Set::Table(table) => table.find(seed.hash(member), member).is_some(),
        }
    }

    /// Calls `each` with every member.
    pub(crate) fn for_each(&self, mut each: impl FnMut(Member<'a>)) {
        match self {
            Set::Integers(integers) => integers.iter().for_each(|integer| each(Member::Integer(integer))),
            Set::Packed(strings) => strings.iter().for_each(|text| each(Member::Text(text))),
            Set::Table(table) => table.iter().for_each(|entry| each(Member::Text(entry.key()))),
        }
    }

    /// Calls `each` with every member and what is known of it, until it says to stop.
    pub(crate) fn try_for_each(
        &self,
        mut each: impl FnMut(Wanted<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Set::Integers(integers) => {
                integers.iter().try_for_each(|integer| each(Wanted::new(Member::Integer(integer))))
            }
            Set::Packed(strings) => strings.iter().try_for_each(|text| each(Wanted::new(Member::Text(text)))),
            Set::Table(table) => {
                table.iter_known().try_for_each(|(entry, hash)| each(Wanted::of_entry(entry, hash)))
            }
        }
    }

    /// A member chosen by chance; None: there is none.
    pub(crate) fn random(&self, random: &mut Random) -> Option<Member<'a>> {
        match self {
            _ if self.len() == 0 => None,
            Set::Integers(integers) => Some(Member::Integer(integers.get(random.index(integers.len())))),
            Set::Packed(strings) => strings.iter().nth(random.index(strings.len())).map(Member::Text),
            Set::Table(table) => table.random(random).map(|entry| Member::Text(entry.key())),
        }
    }

    /// Calls `each` with the members from `position` on until there have been `count` or a few more. Returns the
    /// position to go on from, 0 at the end. A set that lies in its entry is visited whole.
    pub(crate) fn scan(&self, position: u64, count: usize, mut each: impl FnMut(Member<'a>)) -> u64 {
        let Set::Table(table) = self else {
            self.for_each(each);
            return 0;
        };
        table.walk(position, count, |entry| each(Member::Text(entry.key()))).unwrap_or(0)
    }
}

impl SetMut<'_> {
    pub(crate) fn view(&self) -> Set<'_> {
        self.entry.set().expect("it was seen to be a set")
    }

    /// Makes a table of it if so many members would not be kept otherwise.
    pub(crate) fn make_room_for(&mut self, expected: usize) {
        let max = match self.view().encoding() {
            Encoding::Integers => self.settings.set_integers_max,
            Encoding::Packed => self.settings.set_packed_members_max,
            Encoding::Table => return,
        };
        if expected > max {
            self.make_table();
        }
    }

    /// Adds a member; false: it was there.
    pub(crate) fn add(&mut self, member: &[u8]) -> bool {
        match self.entry.form() {
            Form::IntegerSet => match parse_integer(member) {
                Some(integer) => self.add_integer(integer),
                None => self.add_first_string(member),
            },
            Form::PackedSet => self.add_packed(member),
            _ => self.add_to_table(member),
        }
    }

    pub(crate) fn add_member(&mut self, member: Member<'_>) -> bool {
        match member {
            Member::Integer(integer) if self.entry.form() == Form::IntegerSet => self.add_integer(integer),
            _ => member.with_text(|text| self.add(text)),
        }
    }

    /// Adds a member that is known not to be there: it is not looked for where that would be a walk.
    pub(crate) fn add_new(&mut self, member: Member<'_>) {
        match self.entry.form() {
            Form::PackedSet => member.with_text(|text| self.push_packed(text)),
            _ => _ = self.add_member(member),
        }
    }

    fn add_integer(&mut self, integer: i64) -> bool {
        let is_new = integers::insert(self.entry, integer);
        if is_new && !self.may_be_integers(self.view().len()) {
            self.make_table();
        }
        is_new
    }

    /// Whether so many integers are kept as such; eight bytes each must not be too many to move.
    fn may_be_integers(&self, len: usize) -> bool {
        len <= self.settings.set_integers_max.min(INTEGERS_MAX) && len <= PACKED_BYTES_MAX / size_of::<i64>()
    }

    /// Adds what is no integer to a set of integers.
    fn add_first_string(&mut self, member: &[u8]) -> bool {
        let Set::Integers(integers) = self.view() else { unreachable!("only to a set of integers") };
        let len = integers.len();
        let ends = [0, len.saturating_sub(1)].into_iter().filter(|_| len > 0);
        let longest = ends.map(|end| digits(integers.get(end))).max().unwrap_or(0);
        if len < self.settings.set_packed_members_max
            && member.len().max(longest) <= self.settings.set_packed_value_bytes_max
            && len * (longest + 1) + member.len() <= PACKED_BYTES_MAX
        {
            self.make_packed();
            packed::push(self.entry, member);
        } else {
            self.make_table();
            self.add_to_table(member);
        }
        true
    }

    fn add_packed(&mut self, member: &[u8]) -> bool {
        let Set::Packed(strings) = self.view() else { unreachable!("only to a packed set") };
        let is_new = !strings.contains(member);
        if is_new {
            self.push_packed(member);
        }
        is_new
    }

    fn push_packed(&mut self, member: &[u8]) {
        let bytes = self.entry.bytes_mut().map_or(0, |bytes| bytes.len());
        if self.view().len() < self.settings.set_packed_members_max
            && member.len() <= self.settings.set_packed_value_bytes_max
            && bytes + member.len() <= PACKED_BYTES_MAX
        {
            packed::push(self.entry, member);
        } else {
            self.make_table();
            self.add_to_table(member);
        }
    }

    fn add_to_table(&mut self, member: &[u8]) -> bool {
        let (seed, hash) = (self.seed, self.seed.hash(member));
        let table = self.table();
        let is_new = table.find(hash, member).is_none();
        if is_new {
            table.insert(&seed, hash, Entry::with_text(member, b""));
        }
        is_new
    }

    /// Removes a member; false: there was none.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        match self.view() {
            Set::Integers(_) => {
                parse_integer(member).is_some_and(|integer| integers::remove(self.entry, integer))
            }
            Set::Packed(strings) => {
                let at = strings.find(member);
                let is_there = at.is_some();
                if let Some(at) = at {
                    packed::cut(self.entry, at);
                }
                is_there
            }
            Set::Table(_) => {
                let hash = self.seed.hash(member);
                self.table().remove(hash, member).is_some()
            }
        }
    }

    pub(crate) fn remove_member(&mut self, member: Member<'_>) -> bool {
        match member {
            Member::Integer(integer) if self.entry.form() == Form::IntegerSet => {
                integers::remove(self.entry, integer)
            }
            _ => member.with_text(|text| self.remove(text)),
        }
    }

    /// Takes out a member chosen by chance, having called `taken` with it. There must be one.
    pub(crate) fn pop(&mut self, random: &mut Random, taken: impl FnOnce(Member<'_>)) {
        match self.view() {
            Set::Integers(integers) => {
                let index = random.index(integers.len());
                taken(Member::Integer(integers.get(index)));
                integers::remove_at(self.entry, index);
            }
            Set::Packed(strings) => {
                let chosen = strings.iter().nth(random.index(strings.len()));
                let chosen = chosen.expect("an index below the length");
                taken(Member::Text(chosen));
                if let Some(at) = strings.find(chosen) {
                    packed::cut(self.entry, at);
                }
            }
            Set::Table(_) => {
                let chosen =
                    self.table().take_random(random).expect("a set that is asked for a member has one");
                taken(Member::Text(chosen.key()));
            }
        }
    }

    /// If all members are integers and not too many, keeps them as such.
    pub(crate) fn make_integers(&mut self) {
        let set = self.view();
        if set.encoding() == Encoding::Integers || !self.may_be_integers(set.len()) {
            return;
        }
        let mut entry = Entry::with_set(b"", Encoding::Integers);
        let mut all_are = true;
        set.for_each(|member| match member.integer().filter(|_| all_are) {
            Some(integer) => all_are = integers::insert(&mut entry, integer),
            None => all_are = false,
        });
        if let Some(bytes) = entry.bytes_mut().filter(|_| all_are) {
            drop(self.entry.take_object());
            self.entry.set_bytes(Form::IntegerSet, bytes);
        }
    }

    fn make_packed(&mut self) {
        let mut entry = Entry::with_set(b"", Encoding::Packed);
        self.view().for_each(|member| member.with_text(|text| packed::push(&mut entry, text)));
        if let Some(bytes) = entry.bytes_mut() {
            self.entry.set_bytes(Form::PackedSet, bytes);
        }
    }

    fn make_table(&mut self) {
        let mut table = Table::default();
        self.view().for_each(|member| {
            member.with_text(|text| {
                table.insert(&self.seed, self.seed.hash(text), Entry::with_text(text, b""));
            });
        });
        drop(self.entry.set_object(Box::new(Object::Set(table))));
    }

    fn table(&mut self) -> &mut Table {
        match self.entry.object_mut() {
            Some(Object::Set(table)) => table,
            _ => unreachable!("a set that does not lie in its entry is a table"),
        }
    }
}

/// Characters of an integer, its sign included.
fn digits(integer: i64) -> usize {
    itoa::Buffer::new().format(integer).len()
}

#[cfg(test)]
mod tests;
