//! Removing members, one by one and in ranges.

use slotway_resp::write;

use super::bounds::{Bounds, By};
use super::find_mut;
use crate::call::{Call, Done};
use crate::handlers::arguments::count;
use crate::keyspace::sorted_set::Order;

/// A sorted set without members is no key.
pub(crate) fn zrem(call: &mut Call<'_>) -> Done {
    let (key, request) = (call.key(), call.request);
    let Some(mut set) = find_mut(call.keyspace, key, call.now)? else {
        write::integer(call.out, 0);
        return Ok(());
    };
    let removed = request.words().skip(2).filter(|member| set.remove(member)).count();
    if set.view().len() == 0 {
        call.keyspace.delete(key, call.now);
    }
    call.keyspace.changed(key, u64::try_from(removed).unwrap_or(0));
    write::integer(call.out, count(removed));
    Ok(())
}

pub(crate) fn zremrangebyrank(call: &mut Call<'_>) -> Done {
    remove_between(call, By::Rank)
}

pub(crate) fn zremrangebyscore(call: &mut Call<'_>) -> Done {
    remove_between(call, By::Score)
}

pub(crate) fn zremrangebylex(call: &mut Call<'_>) -> Done {
    remove_between(call, By::Member)
}

fn remove_between(call: &mut Call<'_>, by: By) -> Done {
    let bounds = Bounds::parse(by, call.request.word(2), call.request.word(3))?;
    let key = call.key();
    let Some(mut set) = find_mut(call.keyspace, key, call.now)? else {
        write::integer(call.out, 0);
        return Ok(());
    };
    let ranks = bounds.ranks(set.view(), Order::Rising);
    let removed = ranks.len();
    if removed == set.view().len() {
        // As a whole: what is large is freed where no client waits.
        call.keyspace.delete(key, call.now);
    } else {
        set.remove_ranks(ranks);
    }
    call.keyspace.changed(key, u64::try_from(removed).unwrap_or(0));
    write::integer(call.out, count(removed));
    Ok(())
}
