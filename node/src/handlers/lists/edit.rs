//! Elements changed, inserted and removed within a list.

use slotway_commands::errors;
use slotway_resp::write;

use super::read::range;
use super::{find_mut, removed};
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, count, integer, is};
use crate::keyspace::list::{Element, End};

/// LSET key index element
pub(crate) fn lset(call: &mut Call<'_>) -> Done {
    let (key, request) = (call.key(), call.request);
    let Some(mut list) = find_mut(call.keyspace, key, call.now)? else {
        return Err(errors::NO_SUCH_KEY.into());
    };
    let (index, word) = (integer(request.word(2))?, request.word(3));
    list.make_room_for([word].into_iter());
    let index = list.view().index(index).ok_or(Refusal::Borrowed(errors::INDEX_OUT_OF_RANGE))?;
    list.replace(index, word);
    list.settle();
    call.keyspace.changed(key, 1);
    write::simple(call.out, "OK");
    Ok(())
}

/// LINSERT key BEFORE|AFTER pivot element
pub(crate) fn linsert(call: &mut Call<'_>) -> Done {
    let (key, request) = (call.key(), call.request);
    let behind = match request.word(2) {
        word if is(word, "AFTER") => 1,
        word if is(word, "BEFORE") => 0,
        _ => return Err(SYNTAX),
    };
    let Some(mut list) = find_mut(call.keyspace, key, call.now)? else {
        write::integer(call.out, 0);
        return Ok(());
    };
    let (pivot, word) = (Element::new(request.word(3)), request.word(4));
    list.make_room_for([word].into_iter());
    let Some(index) = list.view().iter().position(|element| element == pivot) else {
        write::integer(call.out, -1);
        return Ok(());
    };
    list.insert(index + behind, word);
    let len = list.len();
    call.keyspace.changed(key, 1);
    write::integer(call.out, count(len));
    Ok(())
}

/// LREM key count element: all with a count of 0, from the end with a negative one.
pub(crate) fn lrem(call: &mut Call<'_>) -> Done {
    let (key, request) = (call.key(), call.request);
    let times = integer(request.word(2))?;
    let Some(mut list) = find_mut(call.keyspace, key, call.now)? else {
        write::integer(call.out, 0);
        return Ok(());
    };
    let end = if times < 0 { End::Tail } else { End::Head };
    let most = match times.unsigned_abs() {
        0 => usize::MAX,
        most => usize::try_from(most).unwrap_or(usize::MAX),
    };
    let gone = list.remove_equal(request.word(3), end, most);
    if gone > 0 {
        let left = list.settle();
        removed(call, key, gone, left);
    }
    write::integer(call.out, count(gone));
    Ok(())
}

/// LTRIM key start stop. Redis tells those who watch the key even when nothing was cut off.
pub(crate) fn ltrim(call: &mut Call<'_>) -> Done {
    let (key, request) = (call.key(), call.request);
    let (start, stop) = (integer(request.word(2))?, integer(request.word(3))?);
    if let Some(mut list) = find_mut(call.keyspace, key, call.now)? {
        let len = list.len();
        let kept = range(start, stop, len);
        list.remove(kept.end..len);
        list.remove(0..kept.start);
        let left = list.settle();
        removed(call, key, len - left, left);
        call.keyspace.touched(key);
    }
    write::simple(call.out, "OK");
    Ok(())
}
