//! HRANDFIELD: fields chosen by chance.

use slotway_commands::errors;
use slotway_resp::{Version, write};

use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, WRONG_TYPE, is};
use crate::handlers::random::{Count, Population, choose, read_count};
use crate::keyspace::hash::Hash;
use crate::keyspace::seed::Random;

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
            let (out, version) = (&mut *call.out, call.version);
            // With values RESP3 has an array of pairs, RESP2 one array of both in turn.
            let flat = values == Values::With && version == Version::Resp2;
            let chosen = count.of(hash.len());
            write::array(out, if flat { chosen * 2 } else { chosen });
            choose(hash, count, &mut random, |pair| write_pair(out, version, pair, values));
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

fn many(call: &Call<'_>) -> Result<Option<(Count, Values)>, Refusal> {
    let request = call.request;
    if request.len() < 3 {
        return Ok(None);
    }
    let count = read_count(request.word(2))?;
    let values = match request.len() {
        3 => Values::Without,
        4 if is(request.word(3), "WITHVALUES") => Values::With,
        _ => return Err(SYNTAX),
    };
    if values == Values::With && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(errors::OUT_OF_RANGE.into());
    }
    Ok(Some((Count::new(count)?, values)))
}

impl<'h> Population for Hash<'h> {
    type Element = (&'h [u8], &'h [u8]);
    type Name = &'h [u8];

    fn len(self) -> usize {
        Hash::len(&self)
    }

    fn is_packed(self) -> bool {
        Hash::is_packed(&self)
    }

    fn for_each(self, mut each: impl FnMut(Self::Element)) {
        Hash::for_each(&self, |field, value| each((field, value)));
    }

    fn random(self, random: &mut Random) -> Option<Self::Element> {
        Hash::random(&self, random)
    }

    fn name(element: Self::Element) -> &'h [u8] {
        element.0
    }
}

fn write_pair(out: &mut Vec<u8>, version: Version, (field, value): (&[u8], &[u8]), values: Values) {
    match values {
        Values::Without => write::bulk(out, field),
        Values::With => {
            if version == Version::Resp3 {
                write::array(out, 2);
            }
            write::bulk(out, field);
            write::bulk(out, value);
        }
    }
}
