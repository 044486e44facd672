//! The elements of a large sorted set in their order: a B+ tree that counts.
//!
//! Leaves hold up to 64 elements, a score and a [`Member`] each. An inner node knows of each child how many elements lie
//! below it, which makes the n-th element and an element's rank one descent, and the outline of its first element, so
//! that the descent looks at few members. A leaf's array grows by 8 elements, each step a size class of the allocator.
//!
//! An insert moves at most one leaf and one inner node per level. Elements that come in order, rising or falling, fill
//! their leaves: a full leaf is cut where the new element stands if that is its end. A node that has run three eighths empty
//! or more joins a neighbour, if both together leave a quarter free; so neighbours are together more than half full
//! or each three eighths, and elements that come and go at one place do not make nodes split and join in turn.

use std::ops::Range;

use super::Order;
use super::edge::{Edge, Outline, Probe, compare};
use crate::keyspace::entry::Member;

const LEAF_MAX: usize = 64;
const LEAF_STEP: usize = 8;
/// With this many children an inner node fills its size class.
const INNER_MAX: usize = 31;

/// Elements and children that nodes get when a tree is built at once: some room is left.
const LEAF_BUILT: usize = 56;
const INNER_BUILT: usize = 27;

pub(super) struct Item {
    pub(super) score: f64,
    pub(super) member: Member,
}

pub(super) struct Tree {
    root: Node,
}

enum Node {
    Leaf(Vec<Item>),
    Inner(Box<Inner>),
}

/// The first `len` places of each array are in use, at least one.
struct Inner {
    len: usize,
    outlines: [Outline; INNER_MAX],
    counts: [usize; INNER_MAX],
    children: [Node; INNER_MAX],
}

const _: () = assert!(size_of::<Inner>() <= 1536 && size_of::<Item>() == 16);

impl Default for Node {
    fn default() -> Self {
        Node::Leaf(Vec::new())
    }
}

impl Tree {
    /// Of elements in their order.
    pub(super) fn from_sorted(items: impl ExactSizeIterator<Item = Item>) -> Tree {
        let mut items = items;
        let mut nodes = Vec::new();
        for len in shares(items.len(), LEAF_BUILT) {
            let mut leaf = Vec::with_capacity(len.next_multiple_of(LEAF_STEP));
            leaf.extend(items.by_ref().take(len));
            nodes.push(Node::Leaf(leaf));
        }
        while nodes.len() > 1 {
            let groups = shares(nodes.len(), INNER_BUILT);
            let mut children = nodes.into_iter();
            nodes = groups.map(|len| Node::Inner(Inner::of(children.by_ref().take(len)))).collect();
        }
        Tree { root: nodes.pop().unwrap_or_default() }
    }

    /// How many elements lie in front of the edge.
    pub(super) fn rank(&self, edge: Edge<'_>) -> usize {
        let probe = edge.probe();
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(items) => return rank + place(items, &probe),
                Node::Inner(inner) => {
                    let at = inner.child_for(&probe);
                    rank += inner.counts[..at].iter().sum::<usize>();
                    node = &inner.children[at];
                }
            }
        }
    }

    pub(super) fn nth(&self, mut rank: usize) -> Option<&Item> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return items.get(rank),
                Node::Inner(inner) => node = &inner.children[inner.child_at(&mut rank)?],
            }
        }
    }

    /// Adds an element that is not there yet.
    pub(super) fn insert(&mut self, item: Item) {
        if let Some(right) = self.root.insert(item) {
            let left = std::mem::take(&mut self.root);
            self.root = Node::Inner(Inner::of([left, right].into_iter()));
        }
    }

    pub(super) fn remove(&mut self, score: f64, member: &[u8]) -> Option<Item> {
        let rank = self.rank(Edge::Element(score, member));
        let found = self.nth(rank).is_some_and(|item| item.member.key() == member);
        found.then(|| self.remove_nth(rank)).flatten()
    }

    pub(super) fn remove_nth(&mut self, rank: usize) -> Option<Item> {
        let item = self.root.remove(rank);
        while let Node::Inner(inner) = &mut self.root
            && inner.len <= 1
        {
            self.root = std::mem::take(&mut inner.children[0]);
        }
        item
    }

    /// Gives an element another score if that leaves it between its neighbours in its leaf; false: it must be moved.
    pub(super) fn rescore(&mut self, score: f64, member: &[u8], new: f64) -> bool {
        let probe = Edge::Element(score, member).probe();
        let mut node = &mut self.root;
        loop {
            match node {
                Node::Inner(inner) => {
                    let at = inner.child_for(&probe);
                    node = &mut inner.children[at];
                }
                Node::Leaf(items) => {
                    let at = place(items, &probe);
                    let Some([before, item, behind]) =
                        at.checked_sub(1).and_then(|first| items[first..].first_chunk_mut())
                    else {
                        return false;
                    };
                    let is_between = item.member.key() == member
                        && compare((before.score, before.member.key()), (new, member)).is_lt()
                        && compare((new, member), (behind.score, behind.member.key())).is_lt();
                    if is_between {
                        item.score = new;
                    }
                    return is_between;
                }
            }
        }
    }

    /// Calls `each` with the elements of these ranks, the last first if `order` says so.
    pub(super) fn for_each<'t>(&'t self, ranks: Range<usize>, order: Order, each: &mut impl FnMut(&'t Item)) {
        self.root.for_each(ranks, order, each);
    }
}

/// How many of `count` things stand together, so that all groups are about equally large and none larger than `most`.
fn shares(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let groups = count.div_ceil(most);
    (0..groups).map(move |group| count * (group + 1) / groups - count * group / groups)
}

fn place(items: &[Item], probe: &Probe<'_>) -> usize {
    items.partition_point(|item| probe.is_behind(item.score, || item.member.key()))
}

impl Node {
    fn count(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(inner) => inner.counts[..inner.len].iter().sum(),
        }
    }

    fn first(&self) -> Option<&Item> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(items) => return items.first(),
                Node::Inner(inner) => node = &inner.children[0],
            }
        }
    }

    fn outline(&self) -> Outline {
        match self {
            Node::Leaf(items) => {
                items.first().map_or(Outline::EMPTY, |item| Outline::of(item.score, item.member.key()))
            }
            Node::Inner(inner) => inner.outlines[0],
        }
    }

    /// Adds an element; gives back the right half if the node had to be cut.
    fn insert(&mut self, item: Item) -> Option<Node> {
        let probe = Edge::Element(item.score, item.member.key()).probe();
        match self {
            Node::Leaf(items) => {
                let at = place(items, &probe);
                insert_in_leaf(items, at, item).map(Node::Leaf)
            }
            Node::Inner(inner) => {
                let at = inner.child_for(&probe);
                let right = inner.children[at].insert(item);
                inner.counts[at] += 1;
                if at == 0 {
                    // Only here may the element have become its child's first.
                    inner.outlines[0] = inner.children[0].outline();
                }
                let right = right?;
                inner.counts[at] -= right.count();
                inner.insert(at + 1, right).map(Node::Inner)
            }
        }
    }

    fn remove(&mut self, mut rank: usize) -> Option<Item> {
        match self {
            Node::Leaf(items) => {
                let item = (rank < items.len()).then(|| items.remove(rank))?;
                if items.capacity() >= items.len() + 2 * LEAF_STEP {
                    items.shrink_to(items.len().next_multiple_of(LEAF_STEP));
                }
                Some(item)
            }
            Node::Inner(inner) => {
                let at = inner.child_at(&mut rank)?;
                let item = inner.children[at].remove(rank)?;
                inner.counts[at] -= 1;
                if inner.counts[at] == 0 {
                    drop(inner.remove(at));
                    return Some(item);
                }
                if rank == 0 {
                    inner.outlines[at] = inner.children[at].outline();
                }
                inner.join(at);
                Some(item)
            }
        }
    }

    fn for_each<'t>(&'t self, ranks: Range<usize>, order: Order, each: &mut impl FnMut(&'t Item)) {
        match (self, order) {
            (Node::Leaf(items), Order::Rising) => items[ranks].iter().for_each(each),
            (Node::Leaf(items), Order::Falling) => items[ranks].iter().rev().for_each(each),
            (Node::Inner(inner), Order::Rising) => {
                let mut first = 0;
                for at in 0..inner.len {
                    inner.visit(at, first, &ranks, order, each);
                    first += inner.counts[at];
                }
            }
            (Node::Inner(inner), Order::Falling) => {
                let mut first = self.count();
                for at in (0..inner.len).rev() {
                    first -= inner.counts[at];
                    inner.visit(at, first, &ranks, order, each);
                }
            }
        }
    }

    /// Takes in the elements or children of its right neighbour, if both together leave room.
    fn absorb(&mut self, right: &mut Node) -> bool {
        match (self, right) {
            (Node::Leaf(items), Node::Leaf(others)) => {
                let fits = items.len() + others.len() <= LEAF_MAX * 3 / 4;
                if fits {
                    let len = (items.len() + others.len()).next_multiple_of(LEAF_STEP);
                    items.reserve_exact(len - items.len());
                    items.append(others);
                }
                fits
            }
            (Node::Inner(inner), Node::Inner(other)) => {
                let fits = inner.len + other.len <= INNER_MAX * 3 / 4;
                if fits {
                    other.move_behind(0, inner);
                }
                fits
            }
            _ => unreachable!("neighbours are of one level"),
        }
    }

    fn is_sparse(&self) -> bool {
        match self {
            Node::Leaf(items) => items.len() < LEAF_MAX * 3 / 8,
            Node::Inner(inner) => inner.len < INNER_MAX * 3 / 8,
        }
    }
}

/// Adds an element to a leaf; gives back the right part if it was full.
fn insert_in_leaf(items: &mut Vec<Item>, at: usize, item: Item) -> Option<Vec<Item>> {
    if items.len() < LEAF_MAX {
        make_room(items);
        items.insert(at, item);
        return None;
    }
    let cut = if at == 0 || at == LEAF_MAX { at } else { LEAF_MAX / 2 };
    let mut right = items.split_off(cut);
    let (side, at) = if at <= cut && cut < LEAF_MAX { (&mut *items, at) } else { (&mut right, at - cut) };
    side.shrink_to((side.len() + 1).next_multiple_of(LEAF_STEP));
    make_room(side);
    side.insert(at, item);
    items.shrink_to(items.len().next_multiple_of(LEAF_STEP));
    Some(right)
}

fn make_room(items: &mut Vec<Item>) {
    if items.len() == items.capacity() {
        items.reserve_exact(LEAF_STEP);
    }
}

impl Inner {
    /// Of at most [`INNER_MAX`] children, in their order.
    fn of(children: impl Iterator<Item = Node>) -> Box<Inner> {
        let mut inner = Inner::empty();
        for child in children {
            inner.push(child.outline(), child.count(), child);
        }
        inner
    }

    fn empty() -> Box<Inner> {
        Box::new(Inner {
            len: 0,
            outlines: [Outline::EMPTY; INNER_MAX],
            counts: [0; INNER_MAX],
            children: std::array::from_fn(|_| Node::default()),
        })
    }

    fn push(&mut self, outline: Outline, count: usize, child: Node) {
        let at = self.len;
        (self.outlines[at], self.counts[at], self.children[at]) = (outline, count, child);
        self.len += 1;
    }

    /// The child in which the edge lies: the last one whose first element is in front of it.
    fn child_for(&self, probe: &Probe<'_>) -> usize {
        let (mut low, mut high) = (0, self.len - 1);
        while low < high {
            let middle = (low + high).div_ceil(2);
            let is_behind = probe.is_behind_outline(self.outlines[middle]).unwrap_or_else(|| {
                let first = self.children[middle].first();
                first.is_some_and(|item| probe.is_behind(item.score, || item.member.key()))
            });
            if is_behind {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// The child with the element of this rank, which becomes the rank in that child.
    fn child_at(&self, rank: &mut usize) -> Option<usize> {
        self.counts[..self.len].iter().position(|&count| {
            let found = *rank < count;
            if !found {
                *rank -= count;
            }
            found
        })
    }

    /// Visits the elements of `ranks` that lie below a child whose first element has rank `first`.
    fn visit<'t>(
        &'t self,
        at: usize,
        first: usize,
        ranks: &Range<usize>,
        order: Order,
        each: &mut impl FnMut(&'t Item),
    ) {
        let inside = |rank: usize| rank.saturating_sub(first).min(self.counts[at]);
        let (start, end) = (inside(ranks.start), inside(ranks.end));
        if start < end {
            self.children[at].for_each(start..end, order, each);
        }
    }

    /// Adds a child; gives back the right part if there was no room.
    fn insert(&mut self, at: usize, child: Node) -> Option<Box<Inner>> {
        if self.len < INNER_MAX {
            self.insert_at(at, child);
            return None;
        }
        let cut = if at == INNER_MAX { at } else { INNER_MAX / 2 };
        let mut right = Inner::empty();
        self.move_behind(cut, &mut right);
        if at <= cut && cut < INNER_MAX {
            self.insert_at(at, child);
        } else {
            right.insert_at(at - cut, child);
        }
        Some(right)
    }

    fn insert_at(&mut self, at: usize, child: Node) {
        let (outline, count) = (child.outline(), child.count());
        self.push(outline, count, child);
        let places = at..self.len;
        self.outlines[places.clone()].rotate_right(1);
        self.counts[places.clone()].rotate_right(1);
        self.children[places].rotate_right(1);
    }

    fn remove(&mut self, at: usize) -> Node {
        let places = at..self.len;
        self.outlines[places.clone()].rotate_left(1);
        self.counts[places.clone()].rotate_left(1);
        self.children[places].rotate_left(1);
        self.len -= 1;
        std::mem::take(&mut self.children[self.len])
    }

    /// Moves the children from place `from` on behind those of another node.
    fn move_behind(&mut self, from: usize, other: &mut Inner) {
        for at in from..self.len {
            other.push(self.outlines[at], self.counts[at], std::mem::take(&mut self.children[at]));
        }
        self.len = from;
    }

    /// Joins a sparse child with a neighbour, if both together leave room.
    fn join(&mut self, at: usize) {
        if !self.children[at].is_sparse() {
            return;
        }
        for left in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            let [one, other] = match self.children[..self.len].get_mut(left..left + 2) {
                Some([one, other]) => [one, other],
                _ => continue,
            };
            if one.absorb(other) {
                self.counts[left] += self.counts[left + 1];
                drop(self.remove(left + 1));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
