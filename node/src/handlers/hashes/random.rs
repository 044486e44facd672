//! HRANDFIELD: fields chosen by chance.

use std::collections::HashSet;

use slotway_commands::errors;
use slotway_resp::{Version, write};

use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, WRONG_TYPE, integer, is};
use crate::keyspace::hash::Hash;
use crate::keyspace::seed::Random;

/// No request is answered with more fields than this that may be the same: Redis would go on until memory ends.
const REPEATED_FIELDS_MAX: u64 = 10_000_000;

type Pair<'h> = (&'h [u8], &'h [u8]);

/// HRANDFIELD key [count [WITHVALUES]]
pub(crate) fn hrandfield(call: &mut Call<'_>) -> Done {
    let many = many(call)?;
    let (key, mut random) = (call.key(), call.keyspace.fork_random());
    let hash = match call.keyspace.read(key, call.now) {
        Some(entry) => Some(entry.hash().ok_or(WRONG_TYPE)?),
        None => None,
    };
    match (hash, many) {
        (Some(hash), Some((count, values))) => {
            let pairs = choose(hash, count, &mut random);
            write_pairs(call.out, call.version, &pairs, values);
        }
        (None, Some(_)) => write::array(call.out, 0),
        (hash, None) => match hash.and_then(|hash| hash.random(&mut random)) {
            Some((field, _)) => write::bulk(call.out, field),
            None => write::null(call.out, call.version),
        },
    }
    Ok(())
}

/// Whether the fields' values are wanted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    With,
    Without,
}

fn many(call: &Call<'_>) -> Result<Option<(i64, Values)>, Refusal> {
    let request = call.request;
    if request.len() < 3 {
        return Ok(None);
    }
    let count = integer(request.word(2))?;
    if count == i64::MIN {
        return Err(errors::RANDOM_COUNT_RANGE.into());
    }
    let values = match request.len() {
        3 => Values::Without,
        4 if is(request.word(3), "WITHVALUES") => Values::With,
        _ => return Err(SYNTAX),
    };
    let is_too_large = values == Values::With && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count)
        || count < 0 && count.unsigned_abs() > REPEATED_FIELDS_MAX;
    if is_too_large { Err(errors::OUT_OF_RANGE.into()) } else { Ok(Some((count, values))) }
}

/// `count` different fields, or all; with a negative count so many that may be the same.
fn choose<'h>(hash: Hash<'h>, count: i64, random: &mut Random) -> Vec<Pair<'h>> {
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        let pairs = all_if_packed(hash);
        return (0..wanted)
            .filter_map(|_| match &pairs {
                Some(pairs) => Some(pairs[random.index(pairs.len())]),
                None => hash.random(random),
            })
            .collect();
    }
    if wanted >= hash.len() / 3 {
        return shuffled(hash, wanted, random);
    }
    let mut chosen = HashSet::new();
    let mut pairs = Vec::new();
    while pairs.len() < wanted {
        let Some(pair) = hash.random(random) else { break };
        if chosen.insert(pair.0) {
            pairs.push(pair);
        }
    }
    pairs
}

/// A packed hash has to be walked for each choice: better once for all.
fn all_if_packed(hash: Hash<'_>) -> Option<Vec<Pair<'_>>> {
    (hash.is_packed() && hash.len() > 0).then(|| all(hash))
}

fn all(hash: Hash<'_>) -> Vec<Pair<'_>> {
    let mut pairs = Vec::with_capacity(hash.len());
    hash.for_each(|field, value| pairs.push((field, value)));
    pairs
}

/// All fields, or the first `wanted` of them after a shuffle.
fn shuffled<'h>(hash: Hash<'h>, wanted: usize, random: &mut Random) -> Vec<Pair<'h>> {
    let mut pairs = all(hash);
    if wanted < pairs.len() {
        for place in 0..wanted {
            let other = place + random.index(pairs.len() - place);
            pairs.swap(place, other);
        }
        pairs.truncate(wanted);
    }
    pairs
}

/// With values RESP3 has an array of pairs, RESP2 one array of both in turn.
fn write_pairs(out: &mut Vec<u8>, version: Version, pairs: &[Pair<'_>], values: Values) {
    let flat = values == Values::With && version == Version::Resp2;
    write::array(out, if flat { pairs.len() * 2 } else { pairs.len() });
    for (field, value) in pairs {
        if values == Values::Without {
            write::bulk(out, field);
            continue;
        }
        if version == Version::Resp3 {
            write::array(out, 2);
        }
        write::bulk(out, field);
        write::bulk(out, value);
    }
}
