//! Elements added at an end.

use slotway_resp::write;

use super::{find_mut, limit};
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::count;
use crate::keyspace::entry::Entry;
use crate::keyspace::list::End;

pub(crate) fn lpush(call: &mut Call<'_>) -> Done {
    push(call, End::Head)
}

pub(crate) fn rpush(call: &mut Call<'_>) -> Done {
    push(call, End::Tail)
}

pub(crate) fn lpushx(call: &mut Call<'_>) -> Done {
    push_if_there(call, End::Head)
}

pub(crate) fn rpushx(call: &mut Call<'_>) -> Done {
    push_if_there(call, End::Tail)
}

fn push(call: &mut Call<'_>, end: End) -> Done {
    if let Some(len) = push_to_list(call, end)? {
        finish(call, len);
        return Ok(());
    }
    let (key, words) = (call.key(), call.request.words().skip(2));
    let mut entry = Entry::with_list(key.bytes);
    let mut list = entry.list_mut(limit(call.keyspace)).expect("it was made a list");
    list.make_room_for(words.clone());
    list.push(end, words.clone());
    call.keyspace.insert(key, entry, call.now);
    finish(call, words.len());
    Ok(())
}

fn push_if_there(call: &mut Call<'_>, end: End) -> Done {
    match push_to_list(call, end)? {
        Some(len) => finish(call, len),
        None => write::integer(call.out, 0),
    }
    Ok(())
}

/// Adds the request's elements to the list; returns its new length. None: there is no such key.
fn push_to_list(call: &mut Call<'_>, end: End) -> Result<Option<usize>, Refusal> {
    let (key, words) = (call.key(), call.request.words().skip(2));
    Ok(find_mut(call.keyspace, key, call.now)?.map(|mut list| {
        list.make_room_for(words.clone());
        list.push(end, words);
        list.len()
    }))
}

fn finish(call: &mut Call<'_>, len: usize) {
    let pushed = call.request.len() - 2;
    call.keyspace.changed(call.key(), u64::try_from(pushed).unwrap_or(0));
    write::integer(call.out, count(len));
}
