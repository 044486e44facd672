//! SINTER, SUNION, SDIFF, and what they store.
//!
//! The keys are read twice: first one after the other, as Redis counts, expires and refuses, then all of them side by
//! side. What is stored is kept as Redis 7.2 would keep it, which depends on how it came to be: see the functions.

use std::ops::{ControlFlow, Range};

use slotway_commands::errors;
use slotway_resp::{Version, write};

use super::write_member;
use crate::call::{Call, Done, Millis, Refusal};
use crate::handlers::arguments::{SYNTAX, WRONG_TYPE, count, integer, is};
use crate::keyspace::entry::Entry;
use crate::keyspace::set::{Encoding, IndexRoom, Member, Set, SetMut, difference, intersection, union};
use crate::keyspace::{Key, Keyspace};

/// So many sets are united by asking those before for the members of each; with more, one set of all is made.
const ASKED_SETS_MAX: usize = 4;

/// Looking for a member costs less than copying one: so much less.
const LOOKUPS_PER_COPY: usize = 4;

pub(crate) fn sinter(call: &mut Call<'_>) -> Done {
    let keys = read_sets(call, 0, 1..call.request.len())?;
    let mut room = std::mem::take(&mut call.keyspace.index_room);
    if let Some(mut sets) = all_sets(call.keyspace, &keys, call.now) {
        let most = sets.iter().map(Set::len).min().unwrap_or(0);
        let mut reply = SetReply::begin(call.out, call.version, most);
        intersection(&mut sets, &call.keyspace.seed(), &mut room, |member| {
            reply.push(member);
            ControlFlow::Continue(())
        });
        reply.finish();
    } else {
        write::set(call.out, call.version, 0);
    }
    call.keyspace.index_room = room;
    Ok(())
}

/// SINTERCARD numkeys key [key ...] [LIMIT limit]
pub(crate) fn sintercard(call: &mut Call<'_>) -> Done {
    let (words, limit) = sintercard_arguments(call)?;
    let keys = read_sets(call, 0, words)?;
    let mut found = 0;
    let mut room = std::mem::take(&mut call.keyspace.index_room);
    if let Some(mut sets) = all_sets(call.keyspace, &keys, call.now) {
        intersection(&mut sets, &call.keyspace.seed(), &mut room, |_| {
            found += 1;
            if found == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    call.keyspace.index_room = room;
    write::integer(call.out, count(found));
    Ok(())
}

/// The words of the keys, and the limit; 0 is none.
fn sintercard_arguments(call: &Call<'_>) -> Result<(Range<usize>, usize), Refusal> {
    let request = call.request;
    let keys =
        integer(request.word(1)).ok().and_then(|keys| usize::try_from(keys).ok()).filter(|&keys| keys > 0);
    let keys = keys.ok_or(Refusal::Borrowed(errors::NUMKEYS_NOT_POSITIVE))?;
    if keys > request.len() - 2 {
        return Err(errors::NUMKEYS_TOO_MANY.into());
    }
    let mut limit = 0;
    let mut options = request.words().skip(2 + keys);
    while let Some(option) = options.next() {
        let value = options.next().filter(|_| is(option, "LIMIT")).ok_or(SYNTAX)?;
        let value = integer(value).ok().and_then(|limit| usize::try_from(limit).ok());
        limit = value.ok_or(Refusal::Borrowed(errors::LIMIT_NEGATIVE))?;
    }
    Ok((2..2 + keys, limit))
}

/// The result is kept as the smallest set is, or as integers if it could be.
pub(crate) fn sinterstore(call: &mut Call<'_>) -> Done {
    let keys = read_sets(call, 1, 2..call.request.len())?;
    let target = call.nth_key(0, 1);
    let mut room = std::mem::take(&mut call.keyspace.index_room);
    let result = all_sets(call.keyspace, &keys, call.now).and_then(|mut sets| {
        let smallest = sets.iter().min_by_key(|set| set.len())?;
        let encoding = smallest.encoding();
        Some(collect(call.keyspace, target, encoding, |result| {
            intersection(&mut sets, &call.keyspace.seed(), &mut room, |member| {
                result.add_new(member);
                ControlFlow::Continue(())
            });
            result.make_integers();
        }))
    });
    call.keyspace.index_room = room;
    store(call, target, result);
    Ok(())
}

pub(crate) fn sunion(call: &mut Call<'_>) -> Done {
    let keys = read_sets(call, 0, 1..call.request.len())?;
    let mut room = std::mem::take(&mut call.keyspace.index_room);
    let sets = sets(call.keyspace, &keys, call.now);
    if sets.len() <= ASKED_SETS_MAX {
        let mut sets: Vec<Set<'_>> = sets.into_iter().flatten().collect();
        // The largest is asked most and never looked for.
        sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
        let most = sets.iter().map(Set::len).sum();
        let mut reply = SetReply::begin(call.out, call.version, most);
        union(&sets, &call.keyspace.seed(), &mut room, |member| reply.push(member));
        reply.finish();
    } else {
        let unite = |result: &mut SetMut<'_>| unite(result, &sets, call.keyspace, &mut room);
        reply_with(call.out, call.version, &collect(call.keyspace, keys[0], quickest(&sets), unite));
    }
    call.keyspace.index_room = room;
    Ok(())
}

/// The result is kept as if its members had been added one after the other.
pub(crate) fn sunionstore(call: &mut Call<'_>) -> Done {
    let keys = read_sets(call, 1, 2..call.request.len())?;
    let target = call.nth_key(0, 1);
    let mut room = std::mem::take(&mut call.keyspace.index_room);
    let sets = sets(call.keyspace, &keys, call.now);
    let unite = |result: &mut SetMut<'_>| unite(result, &sets, call.keyspace, &mut room);
    let result = collect(call.keyspace, target, Encoding::Integers, unite);
    call.keyspace.index_room = room;
    store(call, target, Some(result));
    Ok(())
}

pub(crate) fn sdiff(call: &mut Call<'_>) -> Done {
    let keys = read_sets(call, 0, 1..call.request.len())?;
    let mut room = std::mem::take(&mut call.keyspace.index_room);
    let sets = sets(call.keyspace, &keys, call.now);
    match (sets[0], Subtract::quickest(&sets)) {
        (None, _) => write::set(call.out, call.version, 0),
        (Some(first), Subtract::AskOthers) => {
            let mut reply = SetReply::begin(call.out, call.version, first.len());
            ask_others(first, &sets, call.keyspace, &mut room, |member| reply.push(member));
            reply.finish();
        }
        (Some(_), Subtract::RemoveOthers) => {
            let subtract = |result: &mut SetMut<'_>| remove_others(result, &sets);
            reply_with(call.out, call.version, &collect(call.keyspace, keys[0], quickest(&sets), subtract));
        }
    }
    call.keyspace.index_room = room;
    Ok(())
}

/// The result is kept as if its members had been added one after the other, and removed again where that is the way.
pub(crate) fn sdiffstore(call: &mut Call<'_>) -> Done {
    let keys = read_sets(call, 1, 2..call.request.len())?;
    let target = call.nth_key(0, 1);
    let mut room = std::mem::take(&mut call.keyspace.index_room);
    let sets = sets(call.keyspace, &keys, call.now);
    let result = sets[0].map(|first| {
        collect(call.keyspace, target, Encoding::Integers, |result| match Subtract::of_redis(&sets) {
            Subtract::AskOthers => {
                ask_others(first, &sets, call.keyspace, &mut room, |member| result.add_new(member));
            }
            Subtract::RemoveOthers => remove_others(result, &sets),
        })
    });
    call.keyspace.index_room = room;
    store(call, target, result);
    Ok(())
}

/// How to subtract sets from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subtract {
    /// Look for each member of the first in the others, until it is found.
    AskOthers,
    /// Copy the first, and remove the members of the others from it.
    RemoveOthers,
}

impl Subtract {
    /// The way that Redis takes, which a stored result shows by its encoding: by the number of look-ups, of which the
    /// first way saves half by finding most members early.
    fn of_redis(sets: &[Option<Set<'_>>]) -> Subtract {
        let (ask, remove) = Subtract::lookups(sets);
        if ask <= remove { Subtract::AskOthers } else { Subtract::RemoveOthers }
    }

    /// The cheaper way here, where nobody sees which.
    fn quickest(sets: &[Option<Set<'_>>]) -> Subtract {
        let (ask, remove) = Subtract::lookups(sets);
        if ask <= remove * LOOKUPS_PER_COPY { Subtract::AskOthers } else { Subtract::RemoveOthers }
    }

    /// Look-ups of the one way and of the other.
    fn lookups(sets: &[Option<Set<'_>>]) -> (usize, usize) {
        let first = sets[0].map_or(0, |set| set.len());
        let there = sets.iter().flatten();
        (first * there.clone().count() / 2, there.map(Set::len).sum())
    }
}

/// The keys that these words name, of which the first is the request's key number `nth`: all are read, and each has a
/// set or is not there.
fn read_sets<'a>(call: &mut Call<'a>, nth: usize, words: Range<usize>) -> Result<Vec<Key<'a>>, Refusal> {
    let first = words.start;
    let keys: Vec<Key<'a>> = words.map(|word| call.nth_key(nth + word - first, word)).collect();
    for &key in &keys {
        if let Some(entry) = call.keyspace.read(key, call.now) {
            entry.set().ok_or(WRONG_TYPE)?;
        }
    }
    Ok(keys)
}

/// The sets of keys that [`read_sets`] has read.
fn sets<'k>(keyspace: &'k Keyspace, keys: &[Key<'_>], now: Millis) -> Vec<Option<Set<'k>>> {
    keys.iter().map(|&key| keyspace.seen(key, now).and_then(Entry::set)).collect()
}

/// As [`sets`], if all keys are there.
fn all_sets<'k>(keyspace: &'k Keyspace, keys: &[Key<'_>], now: Millis) -> Option<Vec<Set<'k>>> {
    keys.iter().map(|&key| keyspace.seen(key, now).and_then(Entry::set)).collect()
}

/// An entry for `key` with what `fill` puts into its set.
fn collect(
    keyspace: &Keyspace,
    key: Key<'_>,
    encoding: Encoding,
    fill: impl FnOnce(&mut SetMut<'_>),
) -> Entry {
    let mut entry = Entry::with_set(key.bytes, encoding);
    fill(&mut entry.set_mut(keyspace.seed(), keyspace.settings).expect("it was made a set"));
    entry
}

/// The encoding for a result that is not stored: it need not be the smallest.
fn quickest(sets: &[Option<Set<'_>>]) -> Encoding {
    let are_integers = sets.iter().flatten().all(|set| set.encoding() == Encoding::Integers);
    if are_integers { Encoding::Integers } else { Encoding::Table }
}

/// Adds the members of all sets, in their order.
fn unite(result: &mut SetMut<'_>, sets: &[Option<Set<'_>>], keyspace: &Keyspace, room: &mut IndexRoom) {
    if sets.len() <= ASKED_SETS_MAX {
        let sets: Vec<Set<'_>> = sets.iter().flatten().copied().collect();
        return union(&sets, &keyspace.seed(), room, |member| result.add_new(member));
    }
    for set in sets.iter().flatten() {
        set.for_each(|member| {
            result.add_member(member);
        });
    }
}

/// Calls `each` with the members of the first set that none of the others has.
fn ask_others<'a>(
    first: Set<'a>,
    sets: &[Option<Set<'_>>],
    keyspace: &Keyspace,
    room: &mut IndexRoom,
    each: impl FnMut(Member<'a>),
) {
    let mut others: Vec<Set<'_>> = sets[1..].iter().flatten().copied().collect();
    difference(first, &mut others, &keyspace.seed(), room, each);
}

fn remove_others(result: &mut SetMut<'_>, sets: &[Option<Set<'_>>]) {
    if let Some(first) = sets[0] {
        first.for_each(|member| result.add_new(member));
    }
    for set in sets[1..].iter().flatten() {
        if result.view().len() == 0 {
            return;
        }
        set.for_each(|member| {
            result.remove_member(member);
        });
    }
}

/// Puts a result where it belongs and answers with its size; a set without members is no key.
fn store(call: &mut Call<'_>, target: Key<'_>, result: Option<Entry>) {
    let len = result.as_ref().and_then(Entry::set).map_or(0, |set| set.len());
    match result.filter(|_| len > 0) {
        Some(entry) => {
            call.keyspace.put(target, entry, call.now);
            call.keyspace.changed(target, 1);
        }
        None => {
            let deleted = call.keyspace.delete(target, call.now);
            call.keyspace.changed(target, u64::from(deleted));
        }
    }
    write::integer(call.out, count(len));
}

fn reply_with(out: &mut Vec<u8>, version: Version, result: &Entry) {
    let set = result.set().expect("it was made a set");
    write::set(out, version, set.len());
    set.for_each(|member| write_member(out, member));
}

/// A reply of members that are counted while they are written.
struct SetReply<'o> {
    out: &'o mut Vec<u8>,
    version: Version,
    /// Where the reply begins, and its first member.
    start: usize,
    members_start: usize,
    len: usize,
    most: usize,
}

impl<'o> SetReply<'o> {
    /// Begins a reply of at most so many members.
    fn begin(out: &'o mut Vec<u8>, version: Version, most: usize) -> SetReply<'o> {
        let start = out.len();
        write::set(out, version, most);
        SetReply { members_start: out.len(), out, version, start, len: 0, most }
    }

    #[inline]
    fn push(&mut self, member: Member<'_>) {
        self.len += 1;
        write_member(self.out, member);
    }

    /// Writes the length that it has come to; a shorter number moves the members up.
    fn finish(self) {
        if self.len == self.most {
            return;
        }
        let end = self.out.len();
        write::set(self.out, self.version, self.len);
        let header = self.out.split_off(end);
        self.out.splice(self.start..self.members_start, header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_says_how_many_members_it_has() {
        for (most, len) in [(0, 0), (1, 1), (1, 0), (9, 3), (10, 9), (10, 10), (12_345, 7)] {
            let mut out = b"before".to_vec();
            let mut reply = SetReply::begin(&mut out, Version::Resp3, most);
            (0..len).for_each(|_| reply.push(Member::Integer(-5)));
            reply.finish();
            let expected = format!("before~{len}\r\n{}", "$2\r\n-5\r\n".repeat(len));
            assert_eq!(out, expected.as_bytes(), "{len} of {most}");
        }
    }
}
