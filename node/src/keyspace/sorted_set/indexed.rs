//! A large sorted set: a table by member and a tree by score, over the same entries.
//!
//! A member's bytes are stored once, in an entry whose value is the eight bytes of its score; the table is one of its
//! owners, the tree's leaf the other.

use std::ops::Range;

use super::Order;
use super::edge::Edge;
use super::tree::{Item, Tree};
use crate::keyspace::entry::{Entry, Form, Value};
use crate::keyspace::seed::{Random, Seed};
use crate::keyspace::table::Table;

pub(crate) struct Indexed {
    members: Table,
    order: Tree,
}

impl Indexed {
    /// Of elements in their order, each member once.
    pub(super) fn from_sorted<'a>(
        seed: &Seed,
        elements: impl ExactSizeIterator<Item = (f64, &'a [u8])>,
    ) -> Indexed {
        let mut members = Table::default();
        let items = elements.map(|(score, member)| {
            let (entry, item) = element(score, member);
            members.insert(seed, seed.hash(member), entry);
            item
        });
        let order = Tree::from_sorted(items);
        Indexed { members, order }
    }

    pub(in crate::keyspace) fn duplicate(&self, seed: &Seed) -> Indexed {
        let mut elements = Vec::with_capacity(self.len());
        self.for_each(0..self.len(), Order::Rising, |score, member| elements.push((score, member)));
        Indexed::from_sorted(seed, elements.into_iter())
    }

    /// About how many bytes it holds, judged by so many members; 0: all of them. The tree's leaves are two thirds full.
    pub(crate) fn bytes(&self, samples: usize) -> usize {
        self.members.bytes(samples, Entry::allocated) + self.len() * size_of::<Item>() * 3 / 2
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The table of its members.
    pub(in crate::keyspace) fn members(&mut self) -> &mut Table {
        &mut self.members
    }

    pub(super) fn score(&self, hash: u64, member: &[u8]) -> Option<f64> {
        self.members.find(hash, member).map(score_of)
    }

    pub(super) fn rank(&self, edge: Edge<'_>) -> usize {
        self.order.rank(edge)
    }

    pub(super) fn nth(&self, rank: usize) -> Option<(f64, &[u8])> {
        self.order.nth(rank).map(|item| (item.score, item.member.key()))
    }

    pub(super) fn for_each<'s>(
        &'s self,
        ranks: Range<usize>,
        order: Order,
        mut each: impl FnMut(f64, &'s [u8]),
    ) {
        self.order.for_each(ranks, order, &mut |item: &'s Item| each(item.score, item.member.key()));
    }

    pub(super) fn walk<'s>(
        &'s self,
        position: u64,
        count: usize,
        mut each: impl FnMut(f64, &'s [u8]),
    ) -> Option<u64> {
        self.members.walk(position, count, |entry| each(score_of(entry), entry.key()))
    }

    pub(super) fn random(&self, random: &mut Random) -> Option<(f64, &[u8])> {
        self.members.random(random).map(|entry| (score_of(entry), entry.key()))
    }

    /// Asks `decide` for a member's score, telling it the present one. None: all stays as it is.
    pub(super) fn update(
        &mut self,
        seed: &Seed,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) {
        let hash = seed.hash(member);
        let Some(entry) = self.members.change(hash, member) else {
            if let Some(score) = decide(None) {
                let (entry, item) = element(score, member);
                self.members.insert(seed, hash, entry);
                self.order.insert(item);
            }
            return;
        };
        let old = score_of(entry);
        let Some(new) = decide(Some(old)) else { return };
        let bytes = entry.bytes_mut().expect("a member's value is the bytes of its score");
        bytes.copy_from_slice(&new.to_le_bytes());
        if !self.order.rescore(old, member, new) {
            let item = self.order.remove(old, member).expect("what the table knows stands in the tree");
            self.order.insert(Item { score: new, ..item });
        }
    }

    pub(super) fn remove(&mut self, seed: &Seed, member: &[u8]) -> bool {
        let Some(entry) = self.members.remove(seed.hash(member), member) else { return false };
        let item = self.order.remove(score_of(&entry), member);
        debug_assert!(item.is_some(), "what the table knows stands in the tree");
        true
    }

    pub(super) fn remove_ranks(&mut self, seed: &Seed, ranks: Range<usize>) {
        for _ in ranks.clone() {
            let Some(item) = self.order.remove_nth(ranks.start) else { return };
            let entry = self.members.remove(seed.hash(item.member.key()), item.member.key());
            debug_assert!(entry.is_some(), "what stands in the tree is known to the table");
        }
    }
}

/// An entry for the table and what the tree's leaf holds of it.
fn element(score: f64, member: &[u8]) -> (Entry, Item) {
    let mut entry = Entry::new(member, Form::Text, &score.to_le_bytes());
    let member = entry.share();
    (entry, Item { score, member })
}

fn score_of(entry: &Entry) -> f64 {
    match entry.value() {
        Value::Text(bytes) => f64::from_le_bytes(*bytes.first_chunk().expect("a score has eight bytes")),
        _ => unreachable!("a member's value is the bytes of its score"),
    }
}
