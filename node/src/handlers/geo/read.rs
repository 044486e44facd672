//! GEOPOS, GEOHASH and GEODIST.

use slotway_resp::write;

use super::distance::distance;
use super::geohash::{letters, place_of};
use super::{read_unit, write_distance, write_point};
use crate::call::{Call, Done};
use crate::handlers::arguments::SYNTAX;
use crate::handlers::sorted_sets::find;

pub(crate) fn geopos(call: &mut Call<'_>) -> Done {
    let (key, seed, request) = (call.key(), call.keyspace.seed(), call.request);
    let set = find(call.keyspace, key, call.now)?;
    write::array(call.out, request.len() - 2);
    for member in request.words().skip(2) {
        match set.and_then(|set| set.score(&seed, member)) {
            Some(score) => write_point(call.out, call.version, place_of(score)),
            None => write::null_array(call.out, call.version),
        }
    }
    Ok(())
}

pub(crate) fn geohash(call: &mut Call<'_>) -> Done {
    let (key, seed, request) = (call.key(), call.keyspace.seed(), call.request);
    let set = find(call.keyspace, key, call.now)?;
    write::array(call.out, request.len() - 2);
    for member in request.words().skip(2) {
        match set.and_then(|set| set.score(&seed, member)) {
            Some(score) => write::bulk(call.out, &letters(place_of(score))),
            None => write::null(call.out, call.version),
        }
    }
    Ok(())
}

/// GEODIST key member1 member2 [M | KM | FT | MI]
pub(crate) fn geodist(call: &mut Call<'_>) -> Done {
    let request = call.request;
    let unit = match request.len() {
        4 => 1.0,
        5 => read_unit(request.word(4))?,
        _ => return Err(SYNTAX),
    };
    let (key, seed) = (call.key(), call.keyspace.seed());
    let set = find(call.keyspace, key, call.now)?;
    let place = |word: usize| set.and_then(|set| set.score(&seed, request.word(word))).map(place_of);
    match place(2).zip(place(3)) {
        Some((one, other)) => write_distance(call.out, distance(one, other) / unit),
        None => write::null(call.out, call.version),
    }
    Ok(())
}
