//! Which key has to go when memory is full: `maxmemory-policy`.
//!
//! As in Redis nobody keeps an order of all keys. A few are chosen by chance and compared, and the best candidates ever
//! seen stay in a pool of sixteen, so that what goes is nearly always among the oldest, rarest or soonest few percent.
//! A candidate is remembered by its place and looked at again before it goes: one that was used meanwhile is spared.
//!
//! Keys with a deadline stand among the others, so the policies that evict only them look where there are such keys:
//! in parts chosen by chance while they are many, in parts that the wheel knows while they are few.

use slotway_cluster::slot::DATABASES;
use slotway_cluster::{Database, Placement};

use super::contents::Shape;
use super::entry::Entry;
use super::usage::{Usage, idle_seconds};
use super::{Keyspace, Place};
use crate::call::Millis;
use crate::effects;

/// `maxmemory-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// `noeviction`
    Never,
    Evict(Among, Order),
}

/// Which keys may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Among {
    All,
    /// Those with a deadline.
    Expiring,
}

/// Which of them goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    LeastRecent,
    LeastFrequent,
    /// The one whose deadline is next.
    Soonest,
    Random,
}

impl Policy {
    /// By its name; what is no name is `noeviction`.
    pub(crate) fn named(name: &str) -> Policy {
        let Some((among, order)) = name.split_once('-') else { return Policy::Never };
        let among = if among == "volatile" { Among::Expiring } else { Among::All };
        match order {
            "lru" => Policy::Evict(among, Order::LeastRecent),
            "lfu" => Policy::Evict(among, Order::LeastFrequent),
            "ttl" => Policy::Evict(among, Order::Soonest),
            "random" => Policy::Evict(among, Order::Random),
            _ => Policy::Never,
        }
    }

    /// Whether it needs to know when keys were used last.
    pub(crate) fn times_uses(self) -> bool {
        matches!(self, Policy::Evict(_, Order::LeastRecent))
    }

    /// Whether it needs to know how often keys are used.
    pub(crate) fn counts_uses(self) -> bool {
        matches!(self, Policy::Evict(_, Order::LeastFrequent))
    }
}

/// Candidates that are kept.
const POOL: usize = 16;

/// The best candidates so far.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// In the order of their scores: the last goes first.
    candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    /// How much it deserves to go.
    score: u64,
    place: Place,
}

impl Pool {
    /// Forgets all: scores of another policy, or places that hold other keys now.
    pub(super) fn clear(&mut self) {
        self.candidates.clear();
    }

    fn offer(&mut self, candidate: Candidate) {
        if self.candidates.iter().any(|known| known.place == candidate.place) {
            return;
        }
        let at = self.candidates.partition_point(|known| known.score < candidate.score);
        if self.candidates.len() < POOL {
            self.candidates.insert(at, candidate);
        } else if at > 0 {
            self.candidates[..at].rotate_left(1);
            self.candidates[at - 1] = candidate;
        }
    }
}

/// How much an entry deserves to go.
fn score(entry: &Entry, order: Order, usage: Usage, now: Millis) -> u64 {
    match order {
        Order::LeastRecent => u64::from(idle_seconds(entry, now)),
        Order::LeastFrequent => u64::from(u8::MAX - usage.frequency(entry, now).unwrap_or(0)),
        Order::Soonest => u64::MAX - entry.deadline().map_or(u64::MAX, |Millis(deadline)| deadline),
        Order::Random => 0,
    }
}

impl Keyspace {
    /// Deletes the key that has to go next by the policy. False: none may.
    pub(crate) fn evict(&mut self, now: Millis) -> bool {
        let place = match self.settings.policy {
            Policy::Never => None,
            Policy::Evict(among, Order::Random) => self.any_place(among),
            Policy::Evict(among, order) => self.best_place(among, order, now),
        };
        let Some(place) = place else { return false };
        let seed = self.seed;
        if self.walks.is_on() {
            self.set_aside_at(place);
        }
        let Some(entry) = self.contents_mut(place.database).remove_hash(place, &seed) else { return false };
        self.watches.note(place.database, entry.key());
        effects::removed(&mut self.feed, place.database, entry.key(), self.settings.removal_of_evicted);
        self.feed.end_unit();
        self.garbage.add_entry(entry);
        self.stats.evicted += 1;
        true
    }

    /// A key by chance. Databases take turns.
    fn any_place(&mut self, among: Among) -> Option<Place> {
        let mut found = None;
        for _ in 0..DATABASES {
            let database = Database(self.evict_next);
            self.evict_next = (self.evict_next + 1) % DATABASES;
            self.sample(database, among, 1, |place, _| found = Some(place));
            if found.is_some() {
                break;
            }
        }
        found
    }

    /// The best candidate, which is still there and as good as it was.
    fn best_place(&mut self, among: Among, order: Order, now: Millis) -> Option<Place> {
        let usage = self.settings.usage;
        loop {
            if !self.fill_pool(among, order, now) {
                return None;
            }
            while let Some(Candidate { score: promised, place }) = self.pool.candidates.pop() {
                let entry = self.contents(place.database).find_hash(place, &self.seed);
                let may_go = |entry: &Entry| among == Among::All || entry.deadline().is_some();
                if entry.is_some_and(|entry| may_go(entry) && score(entry, order, usage, now) >= promised) {
                    return Some(place);
                }
            }
        }
    }

    /// Adds keys chosen by chance, of every database. False: there is no key that may go.
    fn fill_pool(&mut self, among: Among, order: Order, now: Millis) -> bool {
        let Keyspace { settings, .. } = *self;
        let mut pool = std::mem::take(&mut self.pool);
        let mut found = false;
        // Among equals the database wins that is looked at first: each in its turn.
        self.evict_next = (self.evict_next + 1) % DATABASES;
        for step in 0..DATABASES {
            let database = Database((self.evict_next + step) % DATABASES);
            self.sample(database, among, settings.policy_samples, |place, entry| {
                found = true;
                pool.offer(Candidate { score: score(entry, order, settings.usage, now), place });
            });
        }
        self.pool = pool;
        found
    }

    /// Calls `each` with about `count` keys of a database chosen by chance; with one at least if there is one.
    fn sample(
        &mut self,
        database: Database,
        among: Among,
        count: usize,
        mut each: impl FnMut(Place, &Entry),
    ) {
        let Keyspace { contents, random, seed, .. } = self;
        let contents = &mut contents[usize::from(database.0)];
        let is_whole = contents.shape() == Shape::Whole;
        let mut each = |slot, entry: &Entry| {
            let slot = if is_whole { Placement::home(database) } else { slot };
            each(Place { database, slot, hash: seed.hash(entry.key()) }, entry);
        };
        match among {
            Among::All => contents.sample(random, count, &mut each),
            Among::Expiring => contents.sample_expiring(random, count, &mut each),
        }
    }
}

#[cfg(test)]
mod tests;
