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
    Ok(insert(call, key, members))
}

/// Makes a key's set; returns how many members it has.
fn insert<'m>(
    call: &mut Call<'_>,
    key: Key<'_>,
    members: impl ExactSizeIterator<Item = &'m [u8]> + Clone,
) -> usize {
    let (seed, settings) = (call.keyspace.seed(), call.keyspace.settings);
    let first = members.clone().next().unwrap_or_default();
    let mut entry = Entry::with_set(key.bytes, Encoding::of_first(first, members.len(), &settings));
    let mut set = entry.set_mut(seed, settings).expect("it was made a set");
    let added = members.filter(|member| set.add(member)).count();
    call.keyspace.insert(key, entry, call.now);
    added
}

/// A set without members is no key.
pub(crate) fn srem(call: &mut Call<'_>) -> Done {
    let (key, members) = (call.key(), call.request.words().skip(2));
    let (seed, settings) = (call.keyspace.seed(), call.keyspace.settings);
    let mut removed = 0;
    if let Some(entry) = call.keyspace.write(key, call.now) {
        let mut set = entry.set_mut(seed, settings).ok_or(WRONG_TYPE)?;
        removed = members.filter(|member| set.remove(member)).count();
        if set.view().len() == 0 {
            call.keyspace.delete(key, call.now);
        }
    }
    call.keyspace.changed(key, u64::try_from(removed).unwrap_or(0));
    write::integer(call.out, count(removed));
    Ok(())
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
        transfer(call, from, to, member);
    }
    write::integer(call.out, i64::from(is_there));
    Ok(())
}

/// Takes a member from one set to another; both keys were looked at and may hold sets.
fn transfer(call: &mut Call<'_>, from: Key<'_>, to: Key<'_>, member: &[u8]) {
    let (seed, settings) = (call.keyspace.seed(), call.keyspace.settings);
    if let Some(mut set) = call.keyspace.write_again(from).and_then(|entry| entry.set_mut(seed, settings)) {
        set.remove(member);
        if set.view().len() == 0 {
            call.keyspace.delete(from, call.now);
        }
    }
    call.keyspace.changed(from, 1);
    let is_new = match call.keyspace.write_again(to).and_then(|entry| entry.set_mut(seed, settings)) {
        Some(mut set) => {
            set.make_room_for(1);
            set.add(member)
        }
        None => insert(call, to, [member].into_iter()) > 0,
    };
    call.keyspace.changed(to, u64::from(is_new));
}
