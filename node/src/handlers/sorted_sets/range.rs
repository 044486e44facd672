//! ZRANGE, its older sisters, and ZRANGESTORE.

use std::ops::Range;

use slotway_resp::{Request, write};

use super::bounds::{Bounds, By};
use super::{Scores, find, store, write_element, write_head};
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, integer, is};
use crate::keyspace::entry::Entry;
use crate::keyspace::sorted_set::{Order, SortedSet};

const LIMIT_BY_RANK: &str =
    "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
const SCORES_BY_MEMBER: &str = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";

/// What a command's name has decided already; options decide the rest.
#[derive(Clone, Copy, Default)]
struct Named {
    by: Option<By>,
    order: Option<Order>,
}

/// Where the elements go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Reply,
    Key,
}

/// A range that is asked for.
struct Wanted<'a> {
    bounds: Bounds<'a>,
    order: Order,
    offset: i64,
    /// Negative: all.
    limit: i64,
    scores: Scores,
}

pub(crate) fn zrange(call: &mut Call<'_>) -> Done {
    answer(call, Named::default())
}

pub(crate) fn zrevrange(call: &mut Call<'_>) -> Done {
    answer(call, Named { by: Some(By::Rank), order: Some(Order::Falling) })
}

pub(crate) fn zrangebyscore(call: &mut Call<'_>) -> Done {
    answer(call, Named { by: Some(By::Score), order: Some(Order::Rising) })
}

pub(crate) fn zrevrangebyscore(call: &mut Call<'_>) -> Done {
    answer(call, Named { by: Some(By::Score), order: Some(Order::Falling) })
}

pub(crate) fn zrangebylex(call: &mut Call<'_>) -> Done {
    answer(call, Named { by: Some(By::Member), order: Some(Order::Rising) })
}

pub(crate) fn zrevrangebylex(call: &mut Call<'_>) -> Done {
    answer(call, Named { by: Some(By::Member), order: Some(Order::Falling) })
}

fn answer(call: &mut Call<'_>, named: Named) -> Done {
    let wanted = parse(call.request.skip(2), named, Target::Reply)?;
    let key = call.key();
    let Some(set) = find(call.keyspace, key, call.now)? else {
        write::array(call.out, 0);
        return Ok(());
    };
    let ranks = wanted.ranks(set);
    write_head(call.out, call.version, ranks.len(), wanted.scores);
    set.for_each_in(ranks, wanted.order, |score, member| {
        write_element(call.out, call.version, (score, member), wanted.scores);
    });
    Ok(())
}

/// ZRANGESTORE destination source min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]
pub(crate) fn zrangestore(call: &mut Call<'_>) -> Done {
    let wanted = parse(call.request.skip(3), Named::default(), Target::Key)?;
    let (destination, source) = (call.nth_key(0, 1), call.nth_key(1, 2));
    let (seed, settings) = (call.keyspace.seed(), call.keyspace.settings);
    let mut elements = Vec::new();
    if let Some(set) = find(call.keyspace, source, call.now)? {
        set.for_each_in(wanted.ranks(set), Order::Rising, |score, member| elements.push((score, member)));
    }
    let entry = Entry::with_sorted_elements(destination.bytes, &elements, &seed, &settings);
    let len = elements.len();
    store(call, destination, entry, len)
}

/// `words` are the range's ends and the options.
fn parse<'a>(words: Request<'a>, named: Named, target: Target) -> Result<Wanted<'a>, Refusal> {
    let Named { mut by, mut order } = named;
    let (mut offset, mut limit, mut scores) = (0, -1, Scores::Without);
    let mut at = 2;
    while at < words.len() {
        let word = words.word(at);
        if target == Target::Reply && is(word, "WITHSCORES") {
            scores = Scores::With;
        } else if is(word, "LIMIT") && at + 2 < words.len() {
            (offset, limit) = (integer(words.word(at + 1))?, integer(words.word(at + 2))?);
            at += 2;
        } else if order.is_none() && is(word, "REV") {
            order = Some(Order::Falling);
        } else if by.is_none() && is(word, "BYLEX") {
            by = Some(By::Member);
        } else if by.is_none() && is(word, "BYSCORE") {
            by = Some(By::Score);
        } else {
            return Err(SYNTAX);
        }
        at += 1;
    }
    let (by, order) = (by.unwrap_or(By::Rank), order.unwrap_or(Order::Rising));
    if limit != -1 && by == By::Rank {
        return Err(LIMIT_BY_RANK.into());
    }
    if scores == Scores::With && by == By::Member {
        return Err(SCORES_BY_MEMBER.into());
    }
    let (first, last) = (words.word(0), words.word(1));
    let bounds = match (order, by) {
        (Order::Falling, By::Score | By::Member) => Bounds::parse(by, last, first)?,
        _ => Bounds::parse(by, first, last)?,
    };
    Ok(Wanted { bounds, order, offset, limit, scores })
}

impl Wanted<'_> {
    fn ranks(&self, set: SortedSet<'_>) -> Range<usize> {
        let ranks = self.bounds.ranks(set, self.order);
        if self.bounds_are_ranks() {
            // LIMIT 0 -1 passes the parser, and means nothing then.
            return ranks;
        }
        let skipped = usize::try_from(self.offset).unwrap_or(usize::MAX).min(ranks.len());
        let taken = usize::try_from(self.limit).unwrap_or(usize::MAX).min(ranks.len() - skipped);
        match self.order {
            Order::Rising => ranks.start + skipped..ranks.start + skipped + taken,
            Order::Falling => ranks.end - skipped - taken..ranks.end - skipped,
        }
    }

    fn bounds_are_ranks(&self) -> bool {
        matches!(self.bounds, Bounds::Ranks(..))
    }
}
