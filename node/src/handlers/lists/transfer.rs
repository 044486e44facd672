//! Elements that go from one list to another, or from one end of a list to the other.

use slotway_resp::write;

use super::{at_end, end, find_again, find_mut, limit, removed};
use crate::call::{Call, Done};
use crate::keyspace::entry::Entry;
use crate::keyspace::list::{End, ListMut};

/// LMOVE source destination LEFT|RIGHT LEFT|RIGHT
pub(crate) fn lmove(call: &mut Call<'_>) -> Done {
    let (from, to) = (end(call.request.word(3))?, end(call.request.word(4))?);
    transfer(call, from, to)
}

pub(crate) fn rpoplpush(call: &mut Call<'_>) -> Done {
    transfer(call, End::Tail, End::Head)
}

fn transfer(call: &mut Call<'_>, from: End, to: End) -> Done {
    let (source, target) = (call.nth_key(0, 1), call.nth_key(1, 2));
    if find_mut(call.keyspace, source, call.now)?.is_none() {
        write::null(call.out, call.version);
        return Ok(());
    }
    let is_new = find_mut(call.keyspace, target, call.now)?.is_none();
    if source.bytes == target.bytes {
        if let Some(list) = find_again(call.keyspace, source) {
            rotate(list, from, to, call.out);
        }
        call.keyspace.changed(source, 1);
        return Ok(());
    }
    let Some(mut list) = find_again(call.keyspace, source) else { return Ok(()) };
    let moved = take(&mut list, from, call.out);
    let left = list.settle();
    if is_new {
        let mut entry = Entry::with_list(target.bytes);
        put(&mut entry.list_mut(limit(call.keyspace)).expect("it was made a list"), to, moved);
        call.keyspace.insert(target, entry, call.now);
    } else if let Some(mut list) = find_again(call.keyspace, target) {
        put(&mut list, to, moved);
    }
    call.keyspace.touched(target);
    removed(call, source, 1, left);
    Ok(())
}

/// The list's only element may go round: the key stays.
fn rotate(mut list: ListMut<'_>, from: End, to: End, out: &mut Vec<u8>) {
    let moved = take(&mut list, from, out);
    put(&mut list, to, moved);
    list.settle();
}

fn put(list: &mut ListMut<'_>, end: End, word: &[u8]) {
    list.make_room_for([word].into_iter());
    list.push(end, [word].into_iter());
}

/// Answers with an element that is removed. From the reply it goes to its new place, without a copy in between.
fn take<'o>(list: &mut ListMut<'_>, end: End, out: &'o mut Vec<u8>) -> &'o [u8] {
    let (start, range) = (out.len(), at_end(end, 1, list.len()));
    list.view().range(range.clone()).for_each(|element| element.write_bulk(out));
    list.remove(range);
    let reply = &out[start..];
    let head = memchr::memchr(b'\n', reply).map_or(0, |line_end| line_end + 1);
    &reply[head..reply.len() - LINE_END]
}

const LINE_END: usize = 2;
