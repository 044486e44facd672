//! The keyspace: 16 databases of keys with their values.
//!
//! A key has a [`Place`]: its database, its slot and its keyed hash. A spread database has one table per slot, a whole
//! one a single table ([`contents`]); a [`table`] is a trie of [`part`]s of a few dozen [`entry`]s. Values are strings
//! ([`text`]), hashes ([`hash`]), lists ([`list`]), sets ([`set`]) and sorted sets ([`sorted_set`]).
//!
//! What this file promises: a lookup or a change moves at most 120 entries and one small directory, so no command
//! pauses because the keyspace is large. A GET, and a SET over a value of the same size class, allocate nothing. A key
//! past its deadline is never seen: it is deleted when it is asked for ([`expiry`]), and soon after if it is not.
//!
//! What it does not do: it speaks no protocol, reads no clock (every call that may expire is told the time), and frees
//! nothing large itself ([`garbage`]).

mod contents;
mod databases;
pub(crate) mod eviction;
mod expiry;
pub(crate) mod load;
pub(crate) mod long_text;
mod look_ahead;
mod scan;
mod settings;

pub(crate) mod entry;
pub(crate) mod hash;
pub(crate) mod list;
pub(crate) mod object;
mod packed;
mod part;
pub(crate) mod seed;
pub(crate) mod set;
pub(crate) mod sorted_set;
mod table;
pub(crate) mod text;
pub(crate) mod usage;
pub(crate) mod walk;
mod watches;
mod wheel;

mod garbage;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use slotway_cluster::slot::{DATABASES, spread_slot};
use slotway_cluster::{Database, Placement, Slot};

use contents::{Contents, Shape};
use entry::Entry;
use eviction::Pool;
use long_text::LongText;
use object::Object;
use seed::{Random, Seed};
use text::{Origin, SHARED_FROM};
use usage::Usage;
use walk::Walks;
use watches::Watches;

use crate::call::Millis;
use crate::feed::Feed;

pub(crate) use databases::Overhead;
pub(crate) use expiry::Expired;
pub(crate) use garbage::Garbage;
pub(crate) use settings::Settings;
pub(crate) use watches::Watch;

/// Where a key lies: its database, its slot there and its keyed hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) database: Database,
    pub(crate) slot: Slot,
    pub(crate) hash: u64,
}

/// A key and where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) place: Place,
}

/// What INFO reports, counted as Redis counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// `keyspace_hits`
    pub(crate) hits: u64,
    /// `keyspace_misses`
    pub(crate) misses: u64,
    /// `expired_keys`
    pub(crate) expired: u64,
    /// `evicted_keys`
    pub(crate) evicted: u64,
    /// `rdb_changes_since_last_save`
    pub(crate) changes: u64,
}

/// What a new value does to its key's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    Keep,
    Clear,
    At(Millis),
}

pub(crate) struct Keyspace {
    pub(crate) settings: Settings,
    pub(crate) stats: Stats,
    /// How often FLUSHALL was said.
    pub(crate) flushes: u64,
    /// Where changes are told.
    pub(crate) feed: Feed,
    /// That of the settings, unless the client that is served wants its uses of keys not to be noted.
    usage: Usage,
    /// What keys past their deadline are to the request that runs.
    pub(crate) expired: Expired,
    seed: Seed,
    /// In front of what they walk through: dropped first, so that nothing is set aside for them then.
    walks: Walks,
    /// One per database, in order.
    contents: Vec<Contents>,
    random: Random,
    garbage: Garbage,
    /// For commands on several sets.
    pub(crate) index_room: set::IndexRoom,
    watches: Watches,
    /// The buffer of the large request that is being executed: see [`Keyspace::lend`].
    lent: Option<Arc<Vec<u8>>>,
    /// Where each run of slots that this node answers for ends: see [`scan`].
    runs: scan::Runs,
    /// Other nodes may hold keys, too.
    is_one_of_many: bool,
    /// The database that active expiry begins with, so that a busy one does not starve the others.
    expire_first: u8,
    /// The best candidates for eviction.
    pool: Pool,
    /// The database whose turn it is to lose a key.
    evict_next: u8,
}

impl Keyspace {
    /// `seed` is secret and, in a cluster, the same on every node.
    pub(crate) fn new(placement: Placement, seed: [u8; 16], settings: Settings) -> Keyspace {
        let shape_of =
            |number| if placement.is_spread(Database(number)) { Shape::Spread } else { Shape::Whole };
        let seed = Seed::new(seed);
        Keyspace {
            settings,
            stats: Stats::default(),
            flushes: 0,
            feed: Feed::default(),
            usage: settings.usage,
            expired: Expired::default(),
            seed,
            contents: (0..DATABASES).map(|number| Contents::new(shape_of(number))).collect(),
            random: Random::new(seed.hash(b"random choices")),
            garbage: Garbage::default(),
            index_room: set::IndexRoom::default(),
            watches: Watches::default(),
            walks: Walks::default(),
            lent: None,
            runs: scan::Runs::default(),
            is_one_of_many: false,
            expire_first: 0,
            pool: Pool::default(),
            evict_next: 0,
        }
    }

    /// Puts changed settings into effect.
    pub(crate) fn configure(&mut self, settings: Settings) {
        if settings.policy != self.settings.policy {
            // Scores of different policies cannot be compared.
            self.pool.clear();
        }
        self.settings = settings;
        self.usage = settings.usage;
    }

    /// Does something without noting which keys it uses (CLIENT NO-TOUCH).
    pub(crate) fn without_trace<T>(&mut self, act: impl FnOnce(&mut Keyspace) -> T) -> T {
        self.usage = Usage::Nothing;
        let done = act(self);
        self.usage = self.settings.usage;
        done
    }

    /// Where a key lies. After SWAPDB on a lone node this is asked of the contents, not of the placement.
    #[inline]
    pub(crate) fn place(&self, database: Database, key: &[u8]) -> Place {
        let slot = match self.contents(database).shape() {
            Shape::Spread => spread_slot(key),
            Shape::Whole => Placement::home(database),
        };
        Place { database, slot, hash: self.seed.hash(key) }
    }

    #[inline]
    pub(crate) fn key<'k>(&self, database: Database, bytes: &'k [u8]) -> Key<'k> {
        Key { bytes, place: self.place(database, bytes) }
    }

    /// Tells which slots this node answers for; until told, all.
    pub(crate) fn serve(&mut self, owns: impl Fn(Slot) -> bool) {
        self.runs = scan::Runs::new(owns);
        self.is_one_of_many = true;
    }

    /// Whether all keys that begin with `prefix` are sure to be on the node that holds `key`: on a node by itself, in a
    /// whole database, and where a hash tag in the prefix says so.
    pub(crate) fn holds_all_like(&self, key: Key<'_>, prefix: &[u8]) -> bool {
        let is_spread = self.contents(key.place.database).shape() == Shape::Spread;
        !(self.is_one_of_many && is_spread) || has_hash_tag(prefix) && spread_slot(prefix) == key.place.slot
    }

    pub(crate) fn seed(&self) -> Seed {
        self.seed
    }

    /// A generator for choices within a value.
    pub(crate) fn fork_random(&mut self) -> Random {
        Random::new(self.random.next())
    }

    /// The entry of a key that a command reads: counted as hit or miss, and noted as used now.
    #[inline]
    pub(crate) fn read(&mut self, key: Key<'_>, now: Millis) -> Option<&Entry> {
        if self.is_gone(key, now) {
            self.stats.misses += 1;
            return None;
        }
        let Keyspace { contents, stats, usage, random, .. } = self;
        let entry = contents[usize::from(key.place.database.0)].find_mut(key.place, key.bytes);
        match entry {
            Some(entry) => {
                stats.hits += 1;
                usage.note(entry, now, random);
                Some(entry)
            }
            None => {
                stats.misses += 1;
                None
            }
        }
    }

    /// Like [`Keyspace::read`], for commands that only look whether and how a key is there: not noted as a use.
    pub(crate) fn peek(&mut self, key: Key<'_>, now: Millis) -> Option<&Entry> {
        if self.is_gone(key, now) {
            self.stats.misses += 1;
            return None;
        }
        let entry = self.contents[usize::from(key.place.database.0)].find(key.place, key.bytes);
        match entry {
            Some(_) => self.stats.hits += 1,
            None => self.stats.misses += 1,
        }
        entry
    }

    /// The entry of a key that the same command has read: several can be held side by side.
    pub(crate) fn seen(&self, key: Key<'_>, now: Millis) -> Option<&Entry> {
        if self.is_hidden(key, now) {
            return None;
        }
        self.contents(key.place.database).find(key.place, key.bytes)
    }

    /// The entry of a key, neither counted nor noted as used: for DEBUG.
    pub(crate) fn look(&mut self, key: Key<'_>, now: Millis) -> Option<&Entry> {
        if self.is_gone(key, now) {
            return None;
        }
        self.contents(key.place.database).find(key.place, key.bytes)
    }

    /// The entry of a key that a command changes; hits and misses are not counted.
    #[inline]
    pub(crate) fn write(&mut self, key: Key<'_>, now: Millis) -> Option<&mut Entry> {
        self.delete_if_expired(key, now);
        self.about_to_change(key);
        let Keyspace { contents, usage, random, .. } = self;
        let entry = contents[usize::from(key.place.database.0)].find_mut(key.place, key.bytes)?;
        usage.note(entry, now, random);
        Some(entry)
    }

    /// The entry of a key that this command has asked for already: its use is noted, and its deadline was looked at.
    #[inline]
    pub(crate) fn write_again(&mut self, key: Key<'_>) -> Option<&mut Entry> {
        self.about_to_change(key);
        self.contents_mut(key.place.database).find_mut(key.place, key.bytes)
    }

    /// Sets a key to a string, whatever it was before.
    #[inline]
    pub(crate) fn set_text(&mut self, key: Key<'_>, text: &[u8], deadline: Deadline, now: Millis) {
        if text.len() >= SHARED_FROM {
            return self.set_long_text(key, text, deadline, now);
        }
        let replace = |entry: &mut Entry| entry.set_text(text, Origin::Stored);
        self.set_value(key, deadline, now, replace, || Entry::with_text(key.bytes, text));
    }

    /// As [`Keyspace::set_text`] for a long string: not copied if it is nearly all of its request.
    #[inline(never)]
    fn set_long_text(&mut self, key: Key<'_>, text: &[u8], deadline: Deadline, now: Millis) {
        let lent = self.lent.as_ref().and_then(|buffer| LongText::within(buffer, text));
        let text = lent.unwrap_or_else(|| LongText::new(text.to_vec()));
        let replace = |entry: &mut Entry| entry.set_long_text(text.clone(), Origin::Stored);
        self.set_value(key, deadline, now, replace, || Entry::with_long_text(key.bytes, text.clone()));
    }

    #[inline]
    fn set_value(
        &mut self,
        key: Key<'_>,
        deadline: Deadline,
        now: Millis,
        replace: impl FnOnce(&mut Entry) -> Option<Box<Object>>,
        fresh: impl FnOnce() -> Entry,
    ) {
        self.delete_if_expired(key, now);
        self.about_to_change(key);
        let Keyspace { contents, usage, random, garbage, .. } = self;
        let before = match contents[usize::from(key.place.database.0)].find_mut(key.place, key.bytes) {
            Some(entry) => {
                if let Some(object) = replace(entry) {
                    garbage.add_object(object);
                }
                usage.note(entry, now, random);
                entry.deadline()
            }
            None => {
                self.insert(key, fresh(), now);
                None
            }
        };
        match (deadline, before) {
            (Deadline::Keep, _) | (Deadline::Clear, None) => {}
            (Deadline::Clear, Some(_)) => self.set_deadline(key, None, now),
            (Deadline::At(at), _) => self.set_deadline(key, Some(at), now),
        }
    }

    /// Says that the requests which are executed next lie in this buffer: what is nearly all of it becomes a value as it
    /// is. None: they do not any more.
    pub(crate) fn lend(&mut self, buffer: Option<&Arc<Vec<u8>>>) {
        self.lent = buffer.cloned();
    }

    /// Sets a key to a string that a command has made: no number, no deadline.
    pub(crate) fn set_made_text(&mut self, key: Key<'_>, text: Vec<u8>, now: Millis) {
        if self.write(key, now).is_none() {
            self.insert(key, Entry::with_text(key.bytes, b""), now);
        }
        let contents = &mut self.contents[usize::from(key.place.database.0)];
        let entry = contents.find_mut(key.place, key.bytes).expect("it is there");
        if let Some(object) = entry.set_owned_text(text, Origin::Edited) {
            self.garbage.add_object(object);
        }
        if entry.deadline().is_some() {
            self.set_deadline(key, None, now);
        }
    }

    /// Adds a new entry for a key that is not there, with the entry's deadline if it has one.
    pub(crate) fn insert(&mut self, key: Key<'_>, mut entry: Entry, now: Millis) {
        entry.touch(self.settings.usage.fresh(now));
        self.add(key, entry, now);
    }

    fn add(&mut self, key: Key<'_>, mut entry: Entry, now: Millis) {
        debug_assert_eq!(key.bytes, entry.key(), "an entry knows its own key");
        self.about_to_add(key, &mut entry);
        self.contents[usize::from(key.place.database.0)].insert(&self.seed, key.place, entry, now);
    }

    /// Takes a key's entry out, as it is.
    pub(crate) fn take(&mut self, key: Key<'_>, now: Millis) -> Option<Entry> {
        self.delete_if_expired(key, now);
        self.about_to_change(key);
        self.contents_mut(key.place.database).remove(key.place, key.bytes)
    }

    /// Deletes a key; false: it was not there.
    pub(crate) fn delete(&mut self, key: Key<'_>, now: Millis) -> bool {
        let entry = self.take(key, now);
        let found = entry.is_some();
        if let Some(entry) = entry {
            self.garbage.add_entry(entry);
        }
        found
    }

    /// Puts a new entry, with its deadline, in place of what the key was. That is a use of the key, and how often it was
    /// used stays known.
    pub(crate) fn put(&mut self, key: Key<'_>, mut entry: Entry, now: Millis) {
        let usage = self.settings.usage;
        let clock = match self.write(key, now) {
            Some(before) => usage.inherited(before, now),
            None => usage.fresh(now),
        };
        entry.touch(clock);
        self.rename(key, entry, now);
    }

    /// Puts an entry, as it is, in place of what the key was, and gives it the key's name.
    pub(crate) fn rename(&mut self, key: Key<'_>, mut entry: Entry, now: Millis) {
        self.delete(key, now);
        if entry.key() != key.bytes {
            entry.set_key(key.bytes);
        }
        self.add(key, entry, now);
    }

    /// Puts an entry in the place of a key's own that this command has found; what was noted of the key stays, and its
    /// deadline.
    pub(crate) fn replace_value(&mut self, key: Key<'_>, mut entry: Entry, now: Millis) {
        let Some(before) = self.seen(key, now) else { return };
        let deadline = before.deadline();
        entry.touch(before.clock());
        self.rename(key, entry, now);
        if deadline.is_some() {
            self.set_deadline(key, deadline, now);
        }
    }

    /// A copy of a key's entry for another key. The copy has no deadline yet.
    pub(crate) fn duplicate(
        &mut self,
        key: Key<'_>,
        copy: &[u8],
        now: Millis,
    ) -> Option<(Entry, Option<Millis>)> {
        let seed = self.seed;
        let entry = self.read(key, now)?;
        Some((object::duplicate(entry, copy, &seed), entry.deadline()))
    }

    /// Sets or removes the deadline of a key that is there.
    pub(crate) fn set_deadline(&mut self, key: Key<'_>, deadline: Option<Millis>, now: Millis) {
        self.about_to_change(key);
        self.contents_mut(key.place.database).set_deadline(key.place, key.bytes, deadline, now);
    }

    /// Notes `count` changes of a key, for INFO, for those who watch it, and so that the request is told in the
    /// [`Feed`].
    #[inline]
    pub(crate) fn changed(&mut self, key: Key<'_>, count: u64) {
        self.stats.changes += count;
        if count > 0 {
            self.touched(key);
        }
    }

    /// A key has changed along with another for which [`Keyspace::changed`] is called.
    #[inline]
    pub(crate) fn touched(&mut self, key: Key<'_>) {
        self.watches.note(key.place.database, key.bytes);
    }

    /// Notes changes of whole databases; [`Keyspace::flush`] and [`Keyspace::swap`] have told those who watch.
    pub(crate) fn changed_databases(&mut self, count: u64) {
        self.stats.changes += count;
    }

    /// Watches a key from now on.
    pub(crate) fn watch(&mut self, key: Key<'_>, now: Millis) -> Watch {
        let was_gone = self.is_gone(key, now);
        let mut watch = self.watches.add(key.place.database, key.bytes);
        watch.was_gone = was_gone;
        watch
    }

    pub(crate) fn unwatch(&mut self, watch: &Watch) {
        self.watches.remove(watch);
    }

    /// Whether the key is as it was when the watch began.
    pub(crate) fn is_unchanged(&mut self, watch: &Watch, now: Millis) -> bool {
        let key = self.key(watch.database, &watch.key);
        // On a replica it stays when it expires, and has changed all the same.
        let is_gone = self.is_gone(key, now);
        (!is_gone || watch.was_gone) && self.watches.is_unchanged(watch)
    }

    /// As the contrary of [`Keyspace::is_unchanged`], but a key that has expired and is not deleted yet has not changed.
    pub(crate) fn has_seen_change(&self, watch: &Watch) -> bool {
        !self.watches.is_unchanged(watch)
    }

    #[cfg(test)]
    pub(crate) fn watched_keys(&self) -> usize {
        self.watches.len()
    }

    /// About how many bytes a key with its value holds, judged by so many elements; 0: all of them. No use of the key.
    pub(crate) fn bytes_of(&self, key: Key<'_>, samples: usize) -> Option<usize> {
        let entry = self.contents(key.place.database).find(key.place, key.bytes)?;
        Some(object::bytes(entry, samples))
    }

    /// About how many bytes the garbage holds that nobody has taken yet.
    pub(crate) fn garbage_bytes(&self) -> u64 {
        self.garbage.bytes()
    }

    /// What was deleted and is worth dropping on a helper thread; None: nothing. Ask after every batch.
    pub(crate) fn take_garbage(&mut self) -> Option<Garbage> {
        self.garbage.take()
    }

    #[inline]
    fn contents(&self, database: Database) -> &Contents {
        &self.contents[usize::from(database.0)]
    }

    #[inline]
    fn contents_mut(&mut self, database: Database) -> &mut Contents {
        &mut self.contents[usize::from(database.0)]
    }
}

/// Whether a key's slot is that of a tag that ends within this beginning of it.
fn has_hash_tag(prefix: &[u8]) -> bool {
    let open = prefix.iter().position(|&byte| byte == b'{');
    let tag = open.and_then(|open| prefix[open + 1..].iter().position(|&byte| byte == b'}'));
    tag.is_some_and(|len| len > 0)
}
