//! Changing sets.

use slotway_resp::write;

use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{WRONG_TYPE, count};
use crate::keyspace::Key;
use crate::keyspace::entry::Entry;
use crate::keyspace::set::Encoding;

pub(crate) fn sadd(call: &mut Call<'_>) -> Done {
    let (key, members) = (call.key(), call.request.words().skip(2));
    let added = add(call, key, members)?;
    call.keyspace.changed(key, u64::try_from(added).unwrap_or(0));
    write::integer(call.out, count(added));
    Ok(())
}

/// Adds members to a key's set, making it if there is none; returns how many are new.
fn add<'m>(
    call: &mut Call<'_>,
    key: Key<'_>,
    members: impl ExactSizeIterator<Item = &'m [u8]> + Clone,
) -> Result<usize, Refusal> {
    let (seed, settings) = (call.keyspace.seed(), call.keyspace.settings);
    if let Some(entry) = call.keyspace.write(key, call.now) {
        let mut set = entry.set_mut(seed, settings).ok_or(WRONG_TYPE)?;
        set.make_room_for(members.len());
        return Ok(members.filter(|member| set.add(member)).count());
    }
    let first = members.clone().next().unwrap_or_default();
    let mut entry = Entry::with_set(key.bytes, Encoding::of_first(first, members.len(), &settings));
    let mut set = entry.set_mut(seed, settings).expect("it was made a set");
    let added = members.filter(|member| set.add(member)).count();
    call.keyspace.insert(key, entry, call.now);
    Ok(added)
}

/// A set without members is no key.
pub(crate) fn srem(call: &mut Call<'_>) -> Done {
    let (key, members) = (call.key(), call.request.words().skip(2));
    let removed = remove(call, key, members)?;
    call.keyspace.changed(key, u64::try_from(removed).unwrap_or(0));
    write::integer(call.out, count(removed));
    Ok(())
}

/// Removes members from a key's set, and the key with the last; returns how many there were.
fn remove<'m>(
    call: &mut Call<'_>,
    key: Key<'_>,
    members: impl Iterator<Item = &'m [u8]>,
) -> Result<usize, Refusal> {
    let (seed, settings) = (call.keyspace.seed(), call.keyspace.settings);
    let Some(entry) = call.keyspace.write(key, call.now) else { return Ok(0) };
    let mut set = entry.set_mut(seed, settings).ok_or(WRONG_TYPE)?;
    let removed = members.filter(|member| set.remove(member)).count();
    if set.view().len() == 0 {
        call.keyspace.delete(key, call.now);
    }
    Ok(removed)
}

/// SMOVE source destination member
pub(crate) fn smove(call: &mut Call<'_>) -> Done {
    let (from, to, member) = (call.nth_key(0, 1), call.nth_key(1, 2), call.request.word(3));
    let seed = call.keyspace.seed();
    let is_there = match call.keyspace.write(from, call.now) {
        Some(entry) => entry.set().ok_or(WRONG_TYPE)?.contains(&seed, member),
        None => {
            write::integer(call.out, 0);
            return Ok(());
        }
    };
    if let Some(entry) = call.keyspace.write(to, call.now) {
        entry.set().ok_or(WRONG_TYPE)?;
    }
    if is_there && from.bytes != to.bytes {
        remove(call, from, [member].into_iter())?;
        call.keyspace.changed(from, 1);
        let added = add(call, to, [member].into_iter())?;
        call.keyspace.changed(to, u64::from(added > 0));
    }
    write::integer(call.out, i64::from(is_there));
    Ok(())
}
