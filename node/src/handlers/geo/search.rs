//! GEOSEARCH, GEORADIUS and their sisters: the places in an area.

use std::cmp::Ordering;

use slotway_resp::{Version, write};

use super::area::Area;
use super::geohash::{Cell, place_of};
use super::options::{Options, Search, Sorting, Stored, parse};
use super::{Point, write_distance, write_point};
use crate::call::{Call, Done};
use crate::handlers::sorted_sets::{find, store_counting};
use crate::keyspace::entry::Entry;
use crate::keyspace::sorted_set::{Edge, Order, SortedSet, compare};

/// A place that was found.
struct Found<'s> {
    member: &'s [u8],
    score: f64,
    place: Point,
    /// Meters from the centre.
    distance: f64,
}

pub(crate) fn georadius(call: &mut Call<'_>) -> Done {
    search(call, Search::Radius)
}

pub(crate) fn georadius_ro(call: &mut Call<'_>) -> Done {
    search(call, Search::RadiusReadOnly)
}

pub(crate) fn georadiusbymember(call: &mut Call<'_>) -> Done {
    search(call, Search::RadiusByMember)
}

pub(crate) fn georadiusbymember_ro(call: &mut Call<'_>) -> Done {
    search(call, Search::RadiusByMemberReadOnly)
}

pub(crate) fn geosearch(call: &mut Call<'_>) -> Done {
    search(call, Search::Area)
}

pub(crate) fn geosearchstore(call: &mut Call<'_>) -> Done {
    search(call, Search::AreaStored)
}

fn search(call: &mut Call<'_>, search: Search) -> Done {
    let word = search.key_word();
    let (key, seed, settings) = (call.nth_key(word - 1, word), call.keyspace.seed(), call.keyspace.settings);
    let set = find(call.keyspace, key, call.now)?;
    let options = parse(call.request, search, set, seed)?;
    let found = match (set, options.area) {
        (Some(set), Some(area)) => sorted(places(set, area, &options), &options),
        _ => Vec::new(),
    };
    let Some(destination) = options.destination else {
        write_found(call.out, call.version, &found, &options);
        return Ok(());
    };
    let score = |found: &Found<'_>| match options.stored {
        Stored::Hash => found.score,
        Stored::Distance => found.distance / options.unit,
    };
    let mut elements: Vec<_> = found.iter().map(|found| (score(found), found.member)).collect();
    elements.sort_unstable_by(|one, other| compare(*one, *other));
    let (entry, len) =
        (Entry::with_sorted_elements(destination, &elements, &seed, &settings), elements.len());
    let destination = call.keyspace.key(call.database, destination);
    store_counting(call, destination, entry, len, u64::try_from(len).unwrap_or(0))
}

/// The places in the area, cell by cell.
fn places<'s>(set: SortedSet<'s>, area: Area, options: &Options<'_>) -> Vec<Found<'s>> {
    let enough = options.count.filter(|_| options.any).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for cell in area.cells() {
        if found.len() >= enough {
            break;
        }
        visit(set, cell, |score, member| {
            if found.len() >= enough {
                return;
            }
            let place = place_of(score);
            if let Some(distance) = area.distance(place) {
                found.push(Found { member, score, place, distance });
            }
        });
    }
    found
}

fn visit<'s>(set: SortedSet<'s>, cell: Cell, each: impl FnMut(f64, &'s [u8])) {
    let (from, to) = cell.scores();
    let ranks = set.between(Edge::BelowScore(from), Edge::BelowScore(to), Order::Rising);
    set.for_each_in(ranks, Order::Rising, each);
}

/// As many of the places as are wanted. A count without an order means the nearest.
fn sorted<'s>(mut found: Vec<Found<'s>>, options: &Options<'_>) -> Vec<Found<'s>> {
    let by_distance = |one: &Found<'s>, other: &Found<'s>| {
        one.distance.partial_cmp(&other.distance).unwrap_or(Ordering::Equal)
    };
    match options.sorting {
        Sorting::None if options.count.is_none() || options.any => {}
        Sorting::None | Sorting::Rising => found.sort_by(by_distance),
        Sorting::Falling => found.sort_by(|one, other| by_distance(other, one)),
    }
    found.truncate(options.count.unwrap_or(usize::MAX));
    found
}

fn write_found(out: &mut Vec<u8>, version: Version, found: &[Found<'_>], options: &Options<'_>) {
    let with = options.with;
    let beside = [with.distance, with.hash, with.point].iter().filter(|&&wanted| wanted).count();
    write::array(out, found.len());
    for found in found {
        if beside > 0 {
            write::array(out, 1 + beside);
        }
        write::bulk(out, found.member);
        if with.distance {
            write_distance(out, found.distance / options.unit);
        }
        if with.hash {
            write::integer(out, integer(found.score));
        }
        if with.point {
            write_point(out, version, found.place);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a geohash has 52 bits; other scores are cut off")]
fn integer(score: f64) -> i64 {
    score as i64
}
