//! SPOP and SRANDMEMBER: members chosen by chance.

use slotway_commands::errors;
use slotway_resp::write;

use super::write_member;
use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, WRONG_TYPE, integer};
use crate::handlers::random::{Count, Population, choose, read_count};
use crate::keyspace::entry::Entry;
use crate::keyspace::seed::Random;
use crate::keyspace::set::{Encoding, Member, Set, SetMut};

/// With fewer members staying than a fifth of those that go, the set is made anew of those that stay.
const FEW_STAY: usize = 5;

/// SPOP key [count]
pub(crate) fn spop(call: &mut Call<'_>) -> Done {
    match call.request.len() {
        2 => pop_one(call),
        3 => pop_many(call),
        _ => Err(SYNTAX),
    }
}

fn pop_one(call: &mut Call<'_>) -> Done {
    let mut random = call.keyspace.fork_random();
    let (key, seed, settings) = (call.key(), call.keyspace.seed(), call.keyspace.settings);
    let Some(entry) = call.keyspace.write(key, call.now) else {
        write::null(call.out, call.version);
        return Ok(());
    };
    let mut set = entry.set_mut(seed, settings).ok_or(WRONG_TYPE)?;
    let reply = call.out.len();
    set.pop(&mut random, |member| write_member(call.out, member));
    if set.view().len() == 0 {
        call.keyspace.delete(key, call.now);
    }
    call.keyspace.changed(key, 1);
    call.tell_of_each(b"SREM", key.bytes, reply);
    Ok(())
}

/// What SPOP does to a set.
enum Popped {
    /// Members are gone from it.
    Some,
    /// All of them.
    All,
    /// It is to be replaced by what stays.
    Rest(Entry),
}

fn pop_many(call: &mut Call<'_>) -> Done {
    let wanted = integer(call.request.word(2)).ok().and_then(|count| usize::try_from(count).ok());
    let wanted = wanted.ok_or(Refusal::Borrowed(errors::NOT_POSITIVE))?;
    let mut random = call.keyspace.fork_random();
    let (key, seed, settings) = (call.key(), call.keyspace.seed(), call.keyspace.settings);
    let Some(entry) = call.keyspace.write(key, call.now) else {
        write::set(call.out, call.version, 0);
        return Ok(());
    };
    let mut set = entry.set_mut(seed, settings).ok_or(WRONG_TYPE)?;
    let len = set.view().len();
    let popped_count = wanted.min(len);
    let out = &mut *call.out;
    write::set(out, call.version, popped_count);
    let members = out.len();
    let popped = if popped_count == len {
        set.view().for_each(|member| write_member(out, member));
        Popped::All
    } else if (len - popped_count) * FEW_STAY > popped_count {
        (0..popped_count).for_each(|_| set.pop(&mut random, |member| write_member(out, member)));
        Popped::Some
    } else {
        let mut rest = Entry::with_set(key.bytes, rest_encoding(set.view()));
        let kept = &mut rest.set_mut(seed, settings).expect("it was made a set");
        part(set.view(), len - popped_count, &mut random, kept, |member| write_member(out, member));
        Popped::Rest(rest)
    };
    let is_emptied = matches!(popped, Popped::All);
    match popped {
        Popped::Some => {}
        Popped::All => drop(call.keyspace.delete(key, call.now)),
        Popped::Rest(rest) => call.keyspace.replace_value(key, rest, call.now),
    }
    match is_emptied {
        true => call.tell(&[b"DEL", key.bytes]),
        false => call.tell_of_each(b"SREM", key.bytes, members),
    }
    call.keyspace.changed(key, u64::try_from(popped_count).unwrap_or(0));
    Ok(())
}

/// The one way back from a table to a smaller encoding, as in Redis 7.2.
fn rest_encoding(set: Set<'_>) -> Encoding {
    match set.encoding() {
        Encoding::Integers => Encoding::Integers,
        Encoding::Packed | Encoding::Table => Encoding::Packed,
    }
}

/// Adds `keep` members to `kept`, any as likely as any other, and calls `popped` with the rest.
fn part<'s>(
    set: Set<'s>,
    keep: usize,
    random: &mut Random,
    kept: &mut SetMut<'_>,
    mut popped: impl FnMut(Member<'s>),
) {
    let (mut to_keep, mut to_come) = (keep, set.len());
    set.for_each(|member| {
        if random.index(to_come) < to_keep {
            kept.add_member(member);
            to_keep -= 1;
        } else {
            popped(member);
        }
        to_come -= 1;
    });
}

/// SRANDMEMBER key [count]
pub(crate) fn srandmember(call: &mut Call<'_>) -> Done {
    let count = match call.request.len() {
        2 => None,
        3 => Some(Count::new(read_count(call.request.word(2))?)?),
        _ => return Err(SYNTAX),
    };
    let (key, mut random) = (call.key(), call.keyspace.fork_random());
    let set = match call.keyspace.read(key, call.now) {
        Some(entry) => Some(entry.set().ok_or(WRONG_TYPE)?),
        None => None,
    };
    match (set, count) {
        (Some(set), Some(count)) => {
            write::array(call.out, count.of(set.len()));
            choose(set, count, &mut random, |member| write_member(call.out, member));
        }
        (None, Some(_)) => write::array(call.out, 0),
        (set, None) => match set.and_then(|set| set.random(&mut random)) {
            Some(member) => write_member(call.out, member),
            None => write::null(call.out, call.version),
        },
    }
    Ok(())
}

impl<'s> Population for Set<'s> {
    type Element = Member<'s>;
    type Name = Member<'s>;

    fn len(self) -> usize {
        Set::len(&self)
    }

    fn is_packed(self) -> bool {
        self.encoding() == Encoding::Packed
    }

    fn for_each(self, each: impl FnMut(Member<'s>)) {
        Set::for_each(&self, each);
    }

    fn random(self, random: &mut Random) -> Option<Member<'s>> {
        Set::random(&self, random)
    }

    fn name(element: Member<'s>) -> Member<'s> {
        element
    }
}
