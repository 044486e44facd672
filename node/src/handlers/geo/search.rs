//! GEOSEARCH, GEORADIUS and their sisters: the places in an area.

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

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

/// The places in the area, cell by cell. With ANY a search ends as soon as it has found enough.
fn places<'s>(set: SortedSet<'s>, area: Area, options: &Options<'_>) -> Vec<Found<'s>> {
    let enough = options.count.filter(|_| options.any);
    let mut found = Vec::new();
    let look = |found: &mut Vec<Found<'s>>, score, member| {
        let place = place_of(score);
        found.extend(area.distance(place).map(|distance| Found { member, score, place, distance }));
    };
    for cell in area.cells() {
        let ranks = ranks(set, cell);
        let Some(enough) = enough else {
            set.for_each_in(ranks, Order::Rising, |score, member| look(&mut found, score, member));
            continue;
        };
        let flow = set.try_for_each_in(ranks, |score, member| {
            look(&mut found, score, member);
            if found.len() < enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if flow.is_break() {
            break;
        }
    }
    found
}

fn ranks(set: SortedSet<'_>, cell: Cell) -> Range<usize> {
    let (from, to) = cell.scores();
    set.between(Edge::BelowScore(from), Edge::BelowScore(to), Order::Rising)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::geo::area::Shape;
    use crate::handlers::geo::geohash::{Map, STEPS_MAX};
    use crate::handlers::geo::options::With;
    use crate::keyspace::Settings;
    use crate::keyspace::seed::Seed;
    use crate::keyspace::sorted_set::VISITED;

    const CENTRE: Point = Point { longitude: 15.0, latitude: 37.0 };

    /// A place every few meters, within some kilometers around the centre.
    fn town(places: u16) -> Entry {
        let mut elements: Vec<_> = (0..places)
            .map(|nth| {
                let (east, north) = (f64::from(nth % 100) / 5000.0, f64::from(nth / 100) / 5000.0);
                let place = Point { longitude: CENTRE.longitude + east, latitude: CENTRE.latitude + north };
                (Cell::of(place, STEPS_MAX, Map::Mercator).score(), format!("place {nth}"))
            })
            .collect();
        elements.sort_by(|one, other| compare((one.0, one.1.as_bytes()), (other.0, other.1.as_bytes())));
        Entry::with_sorted_elements(b"town", &elements, &Seed::new([7; 16]), &Settings::default())
    }

    /// The members that were found, and how many were visited for it.
    fn search(town: &Entry, meters: f64, count: Option<usize>, any: bool) -> (Vec<&[u8]>, usize) {
        let area = Area { centre: CENTRE, shape: Shape::Circle { radius: meters } };
        let options = Options {
            area: Some(area),
            unit: 1.0,
            with: With::default(),
            sorting: Sorting::None,
            count,
            any,
            destination: None,
            stored: Stored::Hash,
        };
        let before = VISITED.get();
        let found = places(town.sorted_set().unwrap(), area, &options);
        (found.iter().map(|found| found.member).collect(), VISITED.get() - before)
    }

    #[test]
    fn a_search_for_any_places_ends_when_it_has_found_enough() {
        let town = town(10_000);
        let (all, visited) = search(&town, 10_000.0, None, false);
        assert_eq!((all.len(), visited), (10_000, 10_000));
        for (count, at_most) in [(1, 64), (64, 64), (65, 128), (1000, 1024)] {
            let (found, visited) = search(&town, 10_000.0, Some(count), true);
            assert_eq!(found, all[..count]);
            assert!(visited <= at_most, "{visited} visited for {count}");
        }
        let (found, _) = search(&town, 10_000.0, Some(20_000), true);
        assert_eq!(found, all);
        // The nearest are known only when all are.
        let (found, visited) = search(&town, 10_000.0, Some(1), false);
        assert_eq!((found, visited), (all, 10_000));
    }

    #[test]
    fn a_small_town_is_searched_for_any_places_as_well() {
        let town = town(100);
        let (all, _) = search(&town, 1000.0, None, false);
        assert!(all.len() > 10 && town.sorted_set().unwrap().is_packed());
        for count in [1, 10, all.len(), 200] {
            let (found, _) = search(&town, 1000.0, Some(count), true);
            assert_eq!(found, all[..count.min(all.len())]);
        }
    }
}
