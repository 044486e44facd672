//! The trie above the parts: directories that double, split and fold, parts that grow and shrink by a line.
//!
//! A node is a tag and a pointer. The number of a directory's places, and of a part's lines, is in the tag, so that
//! each is one allocation and a step down the trie is one cache miss.

use crate::keyspace::entry::{self, Entry};
use crate::keyspace::part::{Header, Layout, Line, MERGE_ENTRIES, Part};
use crate::keyspace::seed::Seed;

/// Places of the largest directory: 2^12, 64 KiB. Doubling to it is the longest step an insert ever takes.
const PLACES_MAX: usize = 4096;

/// Declares [`Node`] with a variant for each size of part and of directory, and what depends on the size.
macro_rules! node {
    (parts $($part:ident $lines:literal),*; directories $($directory:ident $places:literal),*) => {
        /// What stands at a place of a directory.
        pub(super) enum Node {
            /// This place belongs to the range of the part before it. Never at place 0. At the root: nothing at all.
            Same,
            $($part(Box<Part<[Line; $lines]>>),)*
            $($directory(Box<[Node; $places]>),)*
        }

        /// The sizes of parts, in lines. With the header they fill size classes of the allocator exactly.
        const PART_LINES: &[usize] = &[$($lines),*];

        impl Node {
            /// What the node is, whatever its size.
            #[inline]
            fn open(&self) -> Open<'_> {
                match self {
                    Node::Same => Open::Nothing,
                    $(Node::$part(part) => Open::Part(part.as_ref()),)*
                    $(Node::$directory(places) => Open::Places(places.as_slice()),)*
                }
            }

            #[inline]
            fn open_mut(&mut self) -> OpenMut<'_> {
                match self {
                    Node::Same => OpenMut::Nothing,
                    $(Node::$part(part) => OpenMut::Part(part.as_mut()),)*
                    $(Node::$directory(places) => OpenMut::Places(places.as_mut_slice()),)*
                }
            }

            fn empty_part(header: Header, lines: usize) -> Node {
                match lines {
                    $($lines => Node::$part(Box::new(Part::<[Line; $lines]>::new(header))),)*
                    other => unreachable!("no part has {other} lines"),
                }
            }

            /// Takes a directory apart; anything else is a directory of one place.
            fn into_places(self) -> Vec<Node> {
                match self {
                    $(Node::$directory(places) => Vec::from(places as Box<[Node]>),)*
                    other => vec![other],
                }
            }

            /// The opposite of [`Node::into_places`].
            fn from_places(mut places: Vec<Node>) -> Node {
                match places.len() {
                    1 => places.pop().expect("one place"),
                    $($places => Node::$directory(places.try_into().ok().expect("as many places as the arm says")),)*
                    other => unreachable!("no directory has {other} places"),
                }
            }
        }
    };
}

node!(
    parts P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7, P9 9, P11 11, P13 13, P15 15;
    directories
        D2 2, D4 4, D8 8, D16 16, D32 32, D64 64, D128 128, D256 256, D512 512, D1024 1024, D2048 2048, D4096 4096
);

const _: () = assert!(size_of::<Node>() == 16);

enum Open<'n> {
    Nothing,
    Part(&'n Part),
    Places(&'n [Node]),
}

enum OpenMut<'n> {
    Nothing,
    Part(&'n mut Part),
    Places(&'n mut [Node]),
}

/// Which neighbours may become one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::keyspace) enum Merging {
    Any,
    /// While the table is walked: a part is as a walk has left it, or not, as a whole. So neither may be told in part.
    OfOneVersion,
}

/// The bits of a hash that a directory of `places` places is asked with.
fn bits(places: usize) -> u32 {
    places.trailing_zeros()
}

/// The place in `places` that a hash belongs to, `used` of its bits being spent above; its part or branch may stand
/// at an earlier place of the same range.
fn place_of(places: &[Node], used: u32, hash: u64) -> usize {
    let shifted = (hash << used) >> (u64::BITS - bits(places.len()));
    usize::try_from(shifted).expect("at most 12 bits")
}

/// The place whose node owns the hash's range: clearing low bits passes only places of the same range.
fn owner_of(places: &[Node], used: u32, hash: u64) -> usize {
    let mut place = place_of(places, used, hash);
    while matches!(places[place], Node::Same) {
        place &= place - 1;
    }
    place
}

/// The layout of entries in the smallest part that they fit into.
fn smallest<'e>(entries: impl Iterator<Item = &'e Entry> + Clone) -> Option<Layout> {
    PART_LINES.iter().find_map(|&lines| Layout::of(entries.clone(), lines))
}

impl Node {
    /// A part of the smallest size for a table's first entry.
    pub(super) fn first_part() -> Node {
        Node::empty_part(Header::new(0), PART_LINES[0])
    }

    #[inline]
    pub(super) fn part(&self, hash: u64) -> Option<&Part> {
        let (mut node, mut used) = (self, 0);
        loop {
            match node.open() {
                Open::Nothing => return None,
                Open::Part(part) => return Some(part),
                Open::Places(places) => {
                    node = &places[owner_of(places, used, hash)];
                    used += bits(places.len());
                }
            }
        }
    }

    #[inline]
    pub(super) fn part_mut(&mut self, hash: u64) -> Option<&mut Part> {
        let (mut node, mut used) = (self, 0);
        loop {
            match node.open_mut() {
                OpenMut::Nothing => return None,
                OpenMut::Part(part) => return Some(part),
                OpenMut::Places(places) => {
                    let owner = owner_of(places, used, hash);
                    used += bits(places.len());
                    node = &mut places[owner];
                }
            }
        }
    }

    /// Asks for the part's line, or for the directory's place, whichever this node points to.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        match self.open() {
            Open::Nothing => {}
            Open::Part(part) => part.prefetch(hash),
            Open::Places(places) => entry::prefetch(&places[place_of(places, 0, hash)]),
        }
    }

    fn depth(&self) -> Option<u32> {
        match self.open() {
            Open::Part(part) => Some(part.depth()),
            Open::Nothing | Open::Places(_) => None,
        }
    }

    /// Makes the part that holds `hash` larger, or splits it, below a node that `used` bits of the hash lead to.
    pub(super) fn make_room(&mut self, used: u32, hash: u64, seed: &Seed) {
        if !self.grow_part(used, hash) {
            self.divide(used, hash, seed);
        }
    }

    /// Gives the part that holds `hash` more lines; false: it has them all.
    fn grow_part(&mut self, used: u32, hash: u64) -> bool {
        let OpenMut::Places(places) = self.open_mut() else { return self.grow() };
        let (below, owner) = (used + bits(places.len()), owner_of(places, used, hash));
        places[owner].grow_part(below, hash)
    }

    /// Splits the part that holds `hash`, below a node that `used` bits of the hash lead to.
    pub(super) fn divide(&mut self, used: u32, hash: u64, seed: &Seed) {
        let OpenMut::Places(places) = self.open_mut() else {
            self.double();
            return self.split(used, hash, seed);
        };
        let (count, owner) = (places.len(), owner_of(places, used, hash));
        let below = used + bits(count);
        match places[owner].depth() {
            Some(depth) if depth < below => self.split(used, hash, seed),
            Some(_) if count < PLACES_MAX => {
                self.double();
                self.split(used, hash, seed);
            }
            _ => places[owner].divide(below, hash, seed),
        }
    }

    /// Gives a part more lines; false: it has them all, or this is no part.
    fn grow(&mut self) -> bool {
        let OpenMut::Part(part) = self.open_mut() else { return false };
        let larger = PART_LINES.iter().filter(|&&lines| lines > part.lines());
        let layout = larger.into_iter().find_map(|&lines| Layout::of(part.entries(), lines));
        layout.is_some_and(|layout| self.resize(layout))
    }

    /// Gives a part no more lines than it needs. Anything else stays.
    fn shrink(&mut self) {
        if let OpenMut::Part(part) = self.open_mut()
            && let Some(layout) = smallest(part.entries()).filter(|layout| layout.lines < part.lines())
        {
            self.resize(layout);
        }
    }

    /// Moves a part into one of other size.
    fn resize(&mut self, mut layout: Layout) -> bool {
        let OpenMut::Part(part) = self.open_mut() else { return false };
        let mut resized = Node::empty_part(Header::new(part.depth()), layout.lines);
        if let OpenMut::Part(other) = resized.open_mut() {
            part.move_into(other, &mut layout);
        }
        *self = resized;
        true
    }

    /// Splits the part that holds `hash` and has two places or more in this directory.
    fn split(&mut self, used: u32, hash: u64, seed: &Seed) {
        let OpenMut::Places(places) = self.open_mut() else {
            unreachable!("the caller made a directory of it")
        };
        let below = used + bits(places.len());
        let owner = owner_of(places, used, hash);
        let OpenMut::Part(part) = places[owner].open_mut() else {
            unreachable!("the caller found a part here")
        };
        let (header, entries) = part.split(seed);
        let half = 1 << (below - part.depth());
        let moving = entries.iter().map(|moving| &moving.entry);
        let mut layout = smallest(moving).expect("they stood in one part together with others");
        let mut upper = Node::empty_part(header, layout.lines);
        if let OpenMut::Part(part) = upper.open_mut() {
            entries.into_iter().for_each(|entry| part.add(&mut layout, entry));
        }
        debug_assert!(matches!(places[owner + half], Node::Same), "the upper half had no owner of its own");
        places[owner + half] = upper;
        places[owner].shrink();
    }

    /// Doubles a directory, or makes one of two places out of a part.
    fn double(&mut self) {
        let places = std::mem::replace(self, Node::Same).into_places();
        let doubled = places.into_iter().flat_map(|node| [node, Node::Same]).collect();
        *self = Node::from_places(doubled);
    }

    /// After a removal: shrinks the part that holds `hash`, merges it with its neighbours as long as they have few
    /// entries together, and folds directories that have become larger than needed.
    pub(super) fn merge(&mut self, used: u32, hash: u64, merging: Merging) {
        let OpenMut::Places(places) = self.open_mut() else { return self.shrink() };
        let below = used + bits(places.len());
        let mut owner = owner_of(places, used, hash);
        places[owner].merge(below, hash, merging);
        while let Some(depth) = places[owner].depth().filter(|&depth| depth > used) {
            let neighbour = owner ^ (1 << (below - depth));
            let (lower, upper) = (owner.min(neighbour), owner.max(neighbour));
            if !merge_parts(places, lower, upper, merging) {
                break;
            }
            owner = lower;
        }
        self.fold();
    }

    /// Halves the directory while no part needs its last bit; one of a single place becomes what stands there.
    /// (A branch needs all bits: the place behind it is never [`Node::Same`].)
    fn fold(&mut self) {
        while let Open::Places(places) = self.open()
            && places.iter().skip(1).step_by(2).all(|node| matches!(node, Node::Same))
        {
            let places = std::mem::replace(self, Node::Same).into_places();
            *self = Node::from_places(places.into_iter().step_by(2).collect());
        }
    }
}

/// Merges two neighbours of equal width if they are parts with few entries; false: they are not.
fn merge_parts(places: &mut [Node], lower: usize, upper: usize, merging: Merging) -> bool {
    let (Open::Part(one), Open::Part(other)) = (places[lower].open(), places[upper].open()) else {
        return false;
    };
    if one.depth() != other.depth() || one.len() + other.len() > MERGE_ENTRIES {
        return false;
    }
    let is_whole =
        || one.header.version == other.header.version && !one.is_told_in_part() && !other.is_told_in_part();
    if merging == Merging::OfOneVersion && !is_whole() {
        return false;
    }
    let Some(mut layout) = smallest(one.entries().chain(other.entries())) else { return false };
    let mut merged = Node::empty_part(Header::new(one.depth() - 1), layout.lines);
    let parts = [lower, upper].map(|place| std::mem::replace(&mut places[place], Node::Same));
    for mut part in parts {
        if let (OpenMut::Part(part), OpenMut::Part(merged)) = (part.open_mut(), merged.open_mut()) {
            part.move_into(merged, &mut layout);
        }
    }
    places[lower] = merged;
    true
}

#[cfg(test)]
impl Node {
    /// Panics where the trie breaks its own rules; returns the number of entries below.
    pub(super) fn check(&self, used: u32, prefix: u64, seed: &Seed) -> usize {
        let places = match self.open() {
            Open::Nothing => return 0,
            Open::Part(part) => {
                part.check(seed);
                let in_range = |entry: &Entry| part.start(seed.hash(entry.key())) == prefix;
                assert!(part.entries().all(in_range), "an entry stands in the part of its hash");
                return part.len();
            }
            Open::Places(places) => places,
        };
        let below = used + bits(places.len());
        let (mut entries, mut owned_until) = (0, 0);
        for (place, node) in places.iter().enumerate() {
            let width = match node.open() {
                Open::Nothing => {
                    assert!(place < owned_until, "place {place} belongs to the part before it");
                    continue;
                }
                Open::Part(part) => {
                    assert!(
                        used < part.depth() && part.depth() <= below,
                        "a part's range lies in its directory"
                    );
                    1 << (below - part.depth())
                }
                Open::Places(_) => 1,
            };
            assert!(place >= owned_until && place % width == 0, "ranges do not overlap and are aligned");
            owned_until = place + width;
            let start = prefix | u64::try_from(place).unwrap() << (u64::BITS - below);
            entries += node.check(below, start, seed);
        }
        assert_eq!(owned_until, places.len(), "every place has an owner");
        entries
    }

    /// Bytes of all parts and directories.
    pub(super) fn bytes(&self) -> usize {
        match self.open() {
            Open::Nothing => 0,
            Open::Part(part) => size_of_val(part),
            Open::Places(places) => size_of_val(places) + places.iter().map(Node::bytes).sum::<usize>(),
        }
    }
}
