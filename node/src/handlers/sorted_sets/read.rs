//! Reading scores, ranks and counts.

use slotway_commands::errors;
use slotway_resp::write;

use super::bounds::{Bounds, By};
use super::find;
use crate::call::{Call, Done};
use crate::handlers::arguments::{SYNTAX, count, is};
use crate::keyspace::sorted_set::{Edge, Order};

pub(crate) fn zcard(call: &mut Call<'_>) -> Done {
    let key = call.key();
    let len = find(call.keyspace, key, call.now)?.map_or(0, |set| set.len());
    write::integer(call.out, count(len));
    Ok(())
}

pub(crate) fn zscore(call: &mut Call<'_>) -> Done {
    let (key, seed) = (call.key(), call.keyspace.seed());
    let set = find(call.keyspace, key, call.now)?;
    match set.and_then(|set| set.score(&seed, call.request.word(2))) {
        Some(score) => write::double(call.out, call.version, score),
        None => write::null(call.out, call.version),
    }
    Ok(())
}

pub(crate) fn zmscore(call: &mut Call<'_>) -> Done {
    let (key, seed) = (call.key(), call.keyspace.seed());
    let set = find(call.keyspace, key, call.now)?;
    write::array(call.out, call.request.len() - 2);
    for member in call.request.words().skip(2) {
        match set.and_then(|set| set.score(&seed, member)) {
            Some(score) => write::double(call.out, call.version, score),
            None => write::null(call.out, call.version),
        }
    }
    Ok(())
}

pub(crate) fn zrank(call: &mut Call<'_>) -> Done {
    rank(call, "zrank", Order::Rising)
}

pub(crate) fn zrevrank(call: &mut Call<'_>) -> Done {
    rank(call, "zrevrank", Order::Falling)
}

/// ZRANK key member [WITHSCORE]
fn rank(call: &mut Call<'_>, command: &str, order: Order) -> Done {
    let request = call.request;
    let with_score = match request.len() {
        3 => false,
        4 if is(request.word(3), "WITHSCORE") => true,
        4 => return Err(SYNTAX),
        _ => return Err(errors::wrong_number_of_arguments(command).into()),
    };
    let (key, member, seed) = (call.key(), request.word(2), call.keyspace.seed());
    let set = find(call.keyspace, key, call.now)?;
    let found = set.and_then(|set| {
        let score = set.score(&seed, member)?;
        let rank = set.rank(Edge::Element(score, member));
        Some((if order == Order::Rising { rank } else { set.len() - 1 - rank }, score))
    });
    match found {
        Some((rank, score)) if with_score => {
            write::array(call.out, 2);
            write::integer(call.out, count(rank));
            write::double(call.out, call.version, score);
        }
        Some((rank, _)) => write::integer(call.out, count(rank)),
        None if with_score => write::null_array(call.out, call.version),
        None => write::null(call.out, call.version),
    }
    Ok(())
}

pub(crate) fn zcount(call: &mut Call<'_>) -> Done {
    count_between(call, By::Score)
}

pub(crate) fn zlexcount(call: &mut Call<'_>) -> Done {
    count_between(call, By::Member)
}

fn count_between(call: &mut Call<'_>, by: By) -> Done {
    let bounds = Bounds::parse(by, call.request.word(2), call.request.word(3))?;
    let key = call.key();
    let set = find(call.keyspace, key, call.now)?;
    let counted = set.map_or(0, |set| bounds.ranks(set, Order::Rising).len());
    write::integer(call.out, count(counted));
    Ok(())
}
