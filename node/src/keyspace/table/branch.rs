//! The trie above the parts: directories that double, split and fold.
//!
//! A node is a tag and a pointer. The number of a directory's places is in the tag, so that a directory is one
//! allocation and a step down the trie is one cache miss.

use crate::keyspace::entry;
use crate::keyspace::part::{MERGE_ENTRIES, Part};
use crate::keyspace::seed::Seed;

/// Places of the largest directory: 2^12, 64 KiB. Doubling to it is the longest step an insert ever takes.
const PLACES_MAX: usize = 4096;

/// Declares [`Node`] with a variant for each size of directory, and what depends on the size.
macro_rules! node {
    ($($name:ident $places:literal),*) => {
        /// What stands at a place of a directory.
        pub(super) enum Node {
            /// This place belongs to the range of the part before it. Never at place 0. At the root: nothing at all.
            Same,
            Part(Box<Part>),
            $($name(Box<[Node; $places]>),)*
        }

        impl Node {
            /// The places of a directory; None for what is no directory.
            #[inline]
            fn places(&self) -> Option<&[Node]> {
                match self {
                    Node::Same | Node::Part(_) => None,
                    $(Node::$name(places) => Some(places.as_slice()),)*
                }
            }

            #[inline]
            fn places_mut(&mut self) -> Option<&mut [Node]> {
                match self {
                    Node::Same | Node::Part(_) => None,
                    $(Node::$name(places) => Some(places.as_mut_slice()),)*
                }
            }

            /// Takes a directory apart; anything else is a directory of one place.
            fn into_places(self) -> Vec<Node> {
                match self {
                    Node::Same | Node::Part(_) => vec![self],
                    $(Node::$name(places) => Vec::from(places as Box<[Node]>),)*
                }
            }

            /// The opposite of [`Node::into_places`].
            fn from_places(mut places: Vec<Node>) -> Node {
                match places.len() {
                    1 => places.pop().expect("one place"),
                    $($places => Node::$name(places.try_into().ok().expect("as many places as the arm says")),)*
                    other => unreachable!("no directory has {other} places"),
                }
            }
        }
    };
}

node!(
    D2 2, D4 4, D8 8, D16 16, D32 32, D64 64, D128 128, D256 256, D512 512, D1024 1024, D2048 2048, D4096 4096
);

const _: () = assert!(size_of::<Node>() == 16);

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

impl Node {
    pub(super) fn part(&self, hash: u64) -> Option<&Part> {
        let (mut node, mut used) = (self, 0);
        loop {
            if let Node::Part(part) = node {
                return Some(part);
            }
            let places = node.places()?;
            node = &places[owner_of(places, used, hash)];
            used += bits(places.len());
        }
    }

    pub(super) fn part_mut(&mut self, hash: u64) -> Option<&mut Part> {
        let (mut node, mut used) = (self, 0);
        loop {
            // Asked for before the match: a borrow that one arm returns would bar the others from the node.
            if matches!(node, Node::Part(_) | Node::Same) {
                let Node::Part(part) = node else { return None };
                return Some(part);
            }
            let places = node.places_mut()?;
            let owner = owner_of(places, used, hash);
            used += bits(places.len());
            node = &mut places[owner];
        }
    }

    /// Asks for the part's tags, or for the directory's place, whichever this node points to.
    pub(super) fn prefetch(&self, hash: u64) {
        match (self, self.places()) {
            (Node::Part(part), _) => part.prefetch(),
            (_, Some(places)) => entry::prefetch(&places[place_of(places, 0, hash)]),
            (_, None) => {}
        }
    }

    /// Splits the part that holds `hash`, below a node that `used` bits of the hash lead to.
    pub(super) fn split(&mut self, used: u32, hash: u64, seed: &Seed) {
        let Some(places) = self.places_mut() else {
            self.double();
            return self.split_wide(used, hash, seed);
        };
        let (count, owner) = (places.len(), owner_of(places, used, hash));
        let below = used + bits(count);
        match &mut places[owner] {
            Node::Part(part) if part.depth() < below => self.split_wide(used, hash, seed),
            Node::Part(_) if count < PLACES_MAX => {
                self.double();
                self.split_wide(used, hash, seed);
            }
            child => child.split(below, hash, seed),
        }
    }

    /// Splits a part that has two places or more in this directory.
    fn split_wide(&mut self, used: u32, hash: u64, seed: &Seed) {
        let places = self.places_mut().expect("the caller made a directory of it");
        let below = used + bits(places.len());
        let owner = owner_of(places, used, hash);
        let Node::Part(part) = &mut places[owner] else { unreachable!("the caller found a part here") };
        let upper = part.split(seed);
        let half = 1 << (below - part.depth());
        debug_assert!(matches!(places[owner + half], Node::Same), "the upper half had no owner of its own");
        places[owner + half] = Node::Part(Box::new(upper));
    }

    /// Doubles a directory, or makes one of two places out of a part.
    fn double(&mut self) {
        let places = std::mem::replace(self, Node::Same).into_places();
        let doubled = places.into_iter().flat_map(|node| [node, Node::Same]).collect();
        *self = Node::from_places(doubled);
    }

    /// Merges the part that holds `hash` with its neighbours as long as they have few entries together, and folds
    /// directories that have become larger than needed.
    pub(super) fn merge(&mut self, used: u32, hash: u64) {
        let Some(places) = self.places_mut() else { return };
        let below = used + bits(places.len());
        let mut owner = owner_of(places, used, hash);
        places[owner].merge(below, hash);
        while let Node::Part(part) = &places[owner]
            && part.depth() > used
        {
            let neighbour = owner ^ (1 << (below - part.depth()));
            match &places[neighbour] {
                Node::Part(other)
                    if other.depth() == part.depth() && other.len() + part.len() <= MERGE_ENTRIES => {}
                _ => break,
            }
            let upper = std::mem::replace(&mut places[owner.max(neighbour)], Node::Same);
            owner = owner.min(neighbour);
            let (Node::Part(lower), Node::Part(upper)) = (&mut places[owner], upper) else {
                unreachable!("both were seen to be parts")
            };
            lower.merge(*upper);
        }
        self.fold();
    }

    /// Halves the directory while no part needs its last bit; one of a single place becomes what stands there.
    /// (A branch needs all bits: the place behind it is never [`Node::Same`].)
    fn fold(&mut self) {
        while let Some(places) = self.places()
            && places.iter().skip(1).step_by(2).all(|node| matches!(node, Node::Same))
        {
            let places = std::mem::replace(self, Node::Same).into_places();
            *self = Node::from_places(places.into_iter().step_by(2).collect());
        }
    }

    /// Panics where the trie breaks its own rules; returns the number of entries below.
    #[cfg(test)]
    pub(super) fn check(&self, used: u32, prefix: u64, seed: &Seed) -> usize {
        if let Node::Part(part) = self {
            for entry in part.entries() {
                let hash = seed.hash(entry.key());
                assert_eq!(part.start(hash), prefix, "an entry stands in the part of its hash");
            }
            return part.len();
        }
        let Some(places) = self.places() else { return 0 };
        let below = used + bits(places.len());
        let mut entries = 0;
        let mut owned_until = 0;
        for (place, node) in places.iter().enumerate() {
            let width = match node {
                Node::Same => {
                    assert!(place < owned_until, "place {place} belongs to the part before it");
                    continue;
                }
                Node::Part(part) => {
                    assert!(
                        used < part.depth() && part.depth() <= below,
                        "a part's range lies in its directory"
                    );
                    1 << (below - part.depth())
                }
                _ => 1,
            };
            assert!(place >= owned_until && place % width == 0, "ranges do not overlap and are aligned");
            owned_until = place + width;
            let start = prefix | u64::try_from(place).unwrap() << (u64::BITS - below);
            entries += node.check(below, start, seed);
        }
        assert_eq!(owned_until, places.len(), "every place has an owner");
        entries
    }
}
