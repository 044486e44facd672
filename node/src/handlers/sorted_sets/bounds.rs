//! The ends of ranges: by rank, by score and by member.

use std::ops::Range;

use crate::call::Refusal;
use crate::handlers::arguments::{count, integer};
use crate::handlers::double::parse_bound;
use crate::keyspace::sorted_set::{Edge, Order, SortedSet};

const NOT_SCORES: &str = "ERR min or max is not a float";
const NOT_MEMBERS: &str = "ERR min or max not valid string range item";

/// What the ends of a range are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Member,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bounds<'a> {
    /// From and to, both included, from the end where the range begins; negative ones count from the other end.
    Ranks(i64, i64),
    Edges(Edge<'a>, Edge<'a>),
}

impl<'a> Bounds<'a> {
    /// `min` and `max` are the lower and the upper one in whatever order the range is read; ranks are first and last.
    pub(super) fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Bounds<'a>, Refusal> {
        match by {
            By::Rank => Ok(Bounds::Ranks(integer(min)?, integer(max)?)),
            By::Score => {
                let edges = score(min, Edge::BelowScore, Edge::AboveScore).zip(score(
                    max,
                    Edge::AboveScore,
                    Edge::BelowScore,
                ));
                edges.map(|(low, high)| Bounds::Edges(low, high)).ok_or(Refusal::Borrowed(NOT_SCORES))
            }
            By::Member => {
                let edges = member(min, Edge::BelowMember, Edge::AboveMember).zip(member(
                    max,
                    Edge::AboveMember,
                    Edge::BelowMember,
                ));
                edges.map(|(low, high)| Bounds::Edges(low, high)).ok_or(Refusal::Borrowed(NOT_MEMBERS))
            }
        }
    }

    /// The ranks in between, counted from the lowest element whatever the order is.
    pub(super) fn ranks(&self, set: SortedSet<'_>, order: Order) -> Range<usize> {
        match *self {
            Bounds::Edges(low, high) => set.between(low, high, order),
            Bounds::Ranks(first, last) => {
                let len = set.len();
                let places = places(first, last, len);
                match order {
                    Order::Rising => places,
                    Order::Falling => len - places.end..len - places.start,
                }
            }
        }
    }
}

/// Ranks of a row of `len` elements, both ends included, as the range they mean.
fn places(first: i64, last: i64, len: usize) -> Range<usize> {
    let from_start = |rank: i64| if rank < 0 { rank.saturating_add(count(len)) } else { rank };
    let start = usize::try_from(from_start(first)).unwrap_or(0).min(len);
    let end = usize::try_from(from_start(last).saturating_add(1)).unwrap_or(0).min(len);
    start..end.max(start)
}

type ScoreEdge = fn(f64) -> Edge<'static>;

/// `1.5`, or `(1.5` which leaves that score out.
fn score(word: &[u8], including: ScoreEdge, excluding: ScoreEdge) -> Option<Edge<'static>> {
    match word {
        [b'(', score @ ..] => parse_bound(score).map(excluding),
        score => parse_bound(score).map(including),
    }
}

/// `[member`, `(member` which leaves that member out, `-` and `+` for the ends of all members.
fn member<'a>(
    word: &'a [u8],
    including: fn(&'a [u8]) -> Edge<'a>,
    excluding: fn(&'a [u8]) -> Edge<'a>,
) -> Option<Edge<'a>> {
    match word {
        [b'-'] | [b'-', 0, ..] => Some(Edge::Start),
        [b'+'] | [b'+', 0, ..] => Some(Edge::End),
        [b'[', member @ ..] => Some(including(member)),
        [b'(', member @ ..] => Some(excluding(member)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_both_ends_and_are_cut_to_the_row() {
        for (first, last, expected) in [
            (0, -1, 0..5),
            (1, 2, 1..3),
            (-2, -1, 3..5),
            (-100, 100, 0..5),
            (3, 2, 3..3),
            (5, 9, 5..5),
            (0, -6, 0..0),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 5..5),
        ] {
            assert_eq!(places(first, last, 5), expected, "{first} {last}");
        }
        assert!(places(0, -1, 0).is_empty());
    }
}
