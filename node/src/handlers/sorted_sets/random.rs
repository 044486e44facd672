//! ZRANDMEMBER: members chosen by chance.

use slotway_commands::errors;
use slotway_resp::write;

use super::{Scores, find, write_element, write_head};
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, is};
use crate::handlers::random::{Count, Population, choose, read_count};
use crate::keyspace::seed::Random;
use crate::keyspace::sorted_set::{Order, SortedSet};

/// ZRANDMEMBER key [count [WITHSCORES]]
pub(crate) fn zrandmember(call: &mut Call<'_>) -> Done {
    let many = many(call)?;
    let (key, mut random) = (call.key(), call.keyspace.fork_random());
    let set = find(call.keyspace, key, call.now)?;
    match (set, many) {
        (Some(set), Some((count, scores))) => {
            write_head(call.out, call.version, count.of(set.len()), scores);
            choose(set, count, &mut random, |element| {
                write_element(call.out, call.version, element, scores);
            });
        }
        (None, Some(_)) => write::array(call.out, 0),
        (set, None) => match set.and_then(|set| set.random(&mut random)) {
            Some((_, member)) => write::bulk(call.out, member),
            None => write::null(call.out, call.version),
        },
    }
    Ok(())
}

fn many(call: &Call<'_>) -> Result<Option<(Count, Scores)>, Refusal> {
    let request = call.request;
    if request.len() < 3 {
        return Ok(None);
    }
    let count = read_count(request.word(2))?;
    let scores = match request.len() {
        3 => Scores::Without,
        4 if is(request.word(3), "WITHSCORES") => Scores::With,
        _ => return Err(SYNTAX),
    };
    if scores == Scores::With && !(-i64::MAX / 2..=i64::MAX / 2).contains(&count) {
        return Err(errors::OUT_OF_RANGE.into());
    }
    Ok(Some((Count::new(count)?, scores)))
}

impl<'s> Population for SortedSet<'s> {
    type Element = (f64, &'s [u8]);
    type Name = &'s [u8];

    fn len(self) -> usize {
        SortedSet::len(&self)
    }

    fn is_packed(self) -> bool {
        SortedSet::is_packed(&self)
    }

    /// All of them come falling, as in Redis.
    fn for_each(self, mut each: impl FnMut((f64, &'s [u8]))) {
        self.for_each_in(0..SortedSet::len(&self), Order::Falling, |score, member| each((score, member)));
    }

    fn random(self, random: &mut Random) -> Option<(f64, &'s [u8])> {
        SortedSet::random(&self, random)
    }

    fn name((_, member): (f64, &'s [u8])) -> &'s [u8] {
        member
    }
}
