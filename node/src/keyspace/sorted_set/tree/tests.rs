//! The tree against a sorted `Vec`, whatever comes and goes; its nodes stay full enough and its sums right.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::keyspace::entry::{Entry, Form};

/// An element whose only owner is the tree.
fn item(score: f64, member: &[u8]) -> Item {
    let mut entry = Entry::new(member, Form::Text, &[]);
    Item { score, member: entry.share() }
}

/// Members with long prefixes in common, so that outlines do not tell them apart.
fn name(number: u32) -> Vec<u8> {
    format!("member:{:05}", number).into_bytes()
}

fn check_node(node: &Node) -> (usize, usize) {
    match node {
        Node::Leaf(items) => {
            assert!(items.len() <= LEAF_MAX && items.capacity() < items.len() + 3 * LEAF_STEP);
            (items.len(), 0)
        }
        Node::Inner(inner) => {
            assert!((1..=INNER_MAX).contains(&inner.len));
            let mut levels = None;
            for at in 0..inner.len {
                let (count, level) = check_node(&inner.children[at]);
                assert_eq!(count, inner.counts[at]);
                assert_eq!(*levels.get_or_insert(level), level, "all leaves lie equally deep");
                assert_eq!(inner.outlines[at], inner.children[at].outline());
                let first = inner.children[at].first().expect("no child is empty");
                assert_eq!(inner.outlines[at], Outline::of(first.score, first.member.key()));
            }
            (inner.counts[..inner.len].iter().sum(), levels.unwrap_or(0) + 1)
        }
    }
}

fn leaves(node: &Node) -> usize {
    match node {
        Node::Leaf(_) => 1,
        Node::Inner(inner) => inner.children[..inner.len].iter().map(leaves).sum(),
    }
}

fn check(tree: &Tree, model: &[(f64, Vec<u8>)]) {
    assert_eq!(check_node(&tree.root).0, model.len());
    let mut at = 0;
    tree.for_each(0..model.len(), Order::Rising, &mut |item| {
        assert_eq!((item.score, item.member.key()), (model[at].0, &model[at].1[..]));
        at += 1;
    });
    assert_eq!(at, model.len());
    tree.for_each(0..model.len(), Order::Falling, &mut |item| {
        at -= 1;
        assert_eq!(item.member.key(), model[at].1);
    });
}

fn place_in(model: &[(f64, Vec<u8>)], score: f64, member: &[u8]) -> Result<usize, usize> {
    model.binary_search_by(|(its_score, its_member)| compare((*its_score, its_member), (score, member)))
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, u32),
    Remove(usize),
    RemoveMany(usize, u16),
    InsertMany(u8, u32, u16),
    Rescore(usize, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4u8, 0..9000u32).prop_map(|(score, number)| Step::Insert(score, number)),
        any::<usize>().prop_map(Step::Remove),
        (any::<usize>(), 1..400u16).prop_map(|(from, count)| Step::RemoveMany(from, count)),
        (0..4u8, 0..9000u32, 1..400u16)
            .prop_map(|(score, number, count)| Step::InsertMany(score, number, count)),
        (any::<usize>(), 0..4u8).prop_map(|(which, score)| Step::Rescore(which, score)),
    ];
    prop::collection::vec(step, 1..60)
}

/// A tree and what it should hold: a sorted row in which, as in a sorted set, each member stands once.
struct Pair {
    tree: Tree,
    row: Vec<(f64, Vec<u8>)>,
    members: HashSet<Vec<u8>>,
}

impl Pair {
    fn of(row: Vec<(f64, Vec<u8>)>) -> Pair {
        let items: Vec<_> = row.iter().map(|(score, member)| item(*score, member)).collect();
        let members = row.iter().map(|(_, member)| member.clone()).collect();
        Pair { tree: Tree::from_sorted(items.into_iter()), row, members }
    }

    fn insert(&mut self, score: u8, number: u32) {
        let (score, member) = (f64::from(score), name(number));
        if self.members.insert(member.clone()) {
            let at = place_in(&self.row, score, &member).expect_err("it is new");
            self.tree.insert(item(score, &member));
            self.row.insert(at, (score, member));
        }
    }

    fn remove(&mut self, at: usize) {
        let (score, member) = self.row.remove(at);
        self.members.remove(&member);
        assert_eq!(self.tree.remove(score, &member).expect("it is there").member.key(), member);
        assert!(self.tree.remove(score, &member).is_none());
    }

    fn rescore(&mut self, at: usize, score: u8) {
        let (old, member) = self.row.remove(at);
        let new = f64::from(score) + 0.5;
        if !self.tree.rescore(old, &member, new) {
            let item = self.tree.remove(old, &member).expect("it is there");
            self.tree.insert(Item { score: new, ..item });
        }
        let at = place_in(&self.row, new, &member).expect_err("it was taken out");
        self.row.insert(at, (new, member));
    }

    fn step(&mut self, step: &Step) {
        let len = self.row.len();
        match *step {
            Step::Insert(score, number) => self.insert(score, number),
            Step::InsertMany(score, number, count) => {
                (number..number + u32::from(count)).for_each(|number| self.insert(score, number));
            }
            Step::Remove(_) | Step::RemoveMany(..) | Step::Rescore(..) if len == 0 => {}
            Step::Remove(which) => self.remove(which % len),
            Step::RemoveMany(from, count) => {
                let at = from % len;
                (0..usize::from(count).min(len - at)).for_each(|_| self.remove(at));
            }
            Step::Rescore(which, score) => self.rescore(which % len, score),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_tree_is_a_sorted_row(steps in steps()) {
        let mut pair = Pair::of(Vec::new());
        for step in &steps {
            pair.step(step);
            check_node(&pair.tree.root);
        }
        let Pair { tree, row: model, .. } = pair;
        check(&tree, &model);
        for (rank, (score, member)) in model.iter().enumerate() {
            prop_assert_eq!(tree.rank(Edge::Element(*score, member)), rank);
            prop_assert_eq!(tree.nth(rank).expect("it is there").member.key(), &member[..]);
        }
        prop_assert!(tree.nth(model.len()).is_none());
        for score in [-1.0, 0.0, 0.5, 1.0, 3.5, 9.0] {
            let below = model.iter().filter(|(its, _)| *its < score).count();
            let up_to = model.iter().filter(|(its, _)| *its <= score).count();
            prop_assert_eq!(tree.rank(Edge::BelowScore(score)), below);
            prop_assert_eq!(tree.rank(Edge::AboveScore(score)), up_to);
        }
        prop_assert_eq!((tree.rank(Edge::Start), tree.rank(Edge::End)), (0, model.len()));
    }

    #[test]
    fn a_tree_built_at_once_is_the_tree_built_one_by_one(count in 0..5000u32, odd in 0..5000u32) {
        let mut pair = Pair::of((0..count).map(|number| (7.0, name(number))).collect());
        check(&pair.tree, &pair.row);
        let at = place_in(&pair.row, 7.0, &name(odd)).unwrap_or_else(|at| at);
        pair.insert(7, odd);
        let Pair { tree, row, .. } = pair;
        check(&tree, &row);
        prop_assert_eq!(tree.rank(Edge::BelowMember(&name(odd))), at);
        prop_assert_eq!(tree.rank(Edge::AboveMember(&name(odd))), at + 1);
    }
}

#[test]
fn elements_in_order_fill_their_leaves_whether_they_rise_or_fall() {
    let numbers: Vec<u32> = (0..20_000).collect();
    let falling: Vec<u32> = numbers.iter().rev().copied().collect();
    for numbers in [numbers, falling] {
        let mut tree = Tree::from_sorted(std::iter::empty());
        numbers.iter().for_each(|&number| tree.insert(item(0.0, &name(number))));
        check_node(&tree.root);
        assert!(leaves(&tree.root) <= 20_000 / LEAF_MAX + 1, "{} leaves", leaves(&tree.root));
    }
}

#[test]
fn a_tree_that_runs_empty_gives_its_nodes_back() {
    let mut tree = Tree::from_sorted(std::iter::empty());
    (0..30_000u32).for_each(|number| tree.insert(item(f64::from(number * 7919 % 30_000), &name(number))));
    for left in (0..30_000usize).rev() {
        // Here and there, so that every leaf grows thin.
        assert!(tree.remove_nth(left * 6007 % (left + 1)).is_some());
        if left == 100 {
            assert!(leaves(&tree.root) <= 6, "{} leaves for 100 elements", leaves(&tree.root));
        }
    }
    assert!(tree.remove_nth(0).is_none() && tree.root.count() == 0);
    assert!(matches!(tree.root, Node::Leaf(_)));
    tree.insert(item(1.0, b"again"));
    assert_eq!(tree.root.count(), 1);
}
