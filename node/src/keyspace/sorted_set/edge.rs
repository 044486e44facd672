//! A place between two elements of a sorted set: what ranges, ranks and insertions are all found by.
//!
//! Elements stand in the order of their scores, those of equal scores (`-0` and `0` are equal) in the order of their
//! members' bytes. An edge divides any such row into the elements in front of it and those behind.

use std::cmp::Ordering;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Edge<'a> {
    /// In front of all elements.
    Start,
    /// Behind all elements.
    End,
    /// In front of the elements with this score and more.
    BelowScore(f64),
    /// Behind the elements with this score and less.
    AboveScore(f64),
    /// In front of this member and those behind it in the order of bytes; scores are not looked at.
    BelowMember(&'a [u8]),
    /// Behind this member and those before it.
    AboveMember(&'a [u8]),
    /// In front of exactly this element, whether it is there or not.
    Element(f64, &'a [u8]),
}

/// The first element of a branch, as far as it is kept there: its score and the first eight bytes of its member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outline {
    pub(super) score: f64,
    pub(super) prefix: u64,
}

/// An edge that is compared with many outlines.
#[derive(Clone, Copy)]
pub(super) struct Probe<'a> {
    edge: Edge<'a>,
    prefix: u64,
}

/// The order of elements. Scores are never NaN.
pub(crate) fn compare(one: (f64, &[u8]), other: (f64, &[u8])) -> Ordering {
    one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal).then_with(|| one.1.cmp(other.1))
}

/// The first eight bytes as a number: if two differ, the members differ in the same direction.
fn prefix_of(member: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = member.len().min(8);
    bytes[..len].copy_from_slice(&member[..len]);
    u64::from_be_bytes(bytes)
}

impl Outline {
    pub(super) const EMPTY: Outline = Outline { score: 0.0, prefix: 0 };

    pub(super) fn of(score: f64, member: &[u8]) -> Outline {
        Outline { score, prefix: prefix_of(member) }
    }
}

impl<'a> Edge<'a> {
    /// Whether an element lies in front of this edge. Its member is asked for only if the score leaves it open.
    #[inline]
    pub(super) fn is_behind<'m>(&self, score: f64, member: impl FnOnce() -> &'m [u8]) -> bool {
        match *self {
            Edge::Start => false,
            Edge::End => true,
            Edge::BelowScore(limit) => score < limit,
            Edge::AboveScore(limit) => score <= limit,
            Edge::BelowMember(limit) => member() < limit,
            Edge::AboveMember(limit) => member() <= limit,
            Edge::Element(limit, name) => score < limit || score == limit && member() < name,
        }
    }

    pub(super) fn probe(self) -> Probe<'a> {
        let prefix = match self {
            Edge::BelowMember(member) | Edge::AboveMember(member) | Edge::Element(_, member) => {
                prefix_of(member)
            }
            Edge::Start | Edge::End | Edge::BelowScore(_) | Edge::AboveScore(_) => 0,
        };
        Probe { edge: self, prefix }
    }
}

impl Probe<'_> {
    pub(super) fn is_behind<'m>(&self, score: f64, member: impl FnOnce() -> &'m [u8]) -> bool {
        self.edge.is_behind(score, member)
    }

    /// Whether the element of this outline lies in front of the edge; None: the outline does not tell.
    #[inline]
    pub(super) fn is_behind_outline(&self, outline: Outline) -> Option<bool> {
        let by_prefix = || match outline.prefix.cmp(&self.prefix) {
            Ordering::Less => Some(true),
            Ordering::Equal => None,
            Ordering::Greater => Some(false),
        };
        match self.edge {
            Edge::Start => Some(false),
            Edge::End => Some(true),
            Edge::BelowScore(limit) => Some(outline.score < limit),
            Edge::AboveScore(limit) => Some(outline.score <= limit),
            Edge::BelowMember(_) | Edge::AboveMember(_) => by_prefix(),
            Edge::Element(limit, _) if outline.score == limit => by_prefix(),
            Edge::Element(limit, _) => Some(outline.score < limit),
        }
    }
}
