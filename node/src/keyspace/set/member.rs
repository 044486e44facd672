//! One member of a set: bytes, or an integer where a set keeps integers.

use crate::keyspace::entry::Entry;
use crate::keyspace::seed::Seed;
use crate::keyspace::table::{KnownHash, Table};
use crate::keyspace::text::parse_integer;

/// A member as its set keeps it. Members of one set are equal if and only if they are the same member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Member<'a> {
    Text(&'a [u8]),
    Integer(i64),
}

impl Member<'_> {
    /// Calls `reader` with the member as clients see it.
    #[inline]
    pub(crate) fn with_text<T>(&self, reader: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Member::Text(text) => reader(text),
            Member::Integer(integer) => reader(itoa::Buffer::new().format(*integer).as_bytes()),
        }
    }

    pub(in crate::keyspace) fn integer(&self) -> Option<i64> {
        match self {
            Member::Text(text) => parse_integer(text),
            Member::Integer(integer) => Some(*integer),
        }
    }
}

/// A member that several sets are asked for: what a look-up needs is found out when it is needed, and once.
pub(crate) enum Wanted<'a> {
    Member {
        member: Member<'a>,
        hash: Option<KnownHash>,
    },
    /// Where it was met, so that its bytes need not be touched before something is found that looks like it.
    Entry {
        entry: &'a Entry,
        hash: KnownHash,
    },
}

impl<'a> Wanted<'a> {
    pub(super) fn new(member: Member<'a>) -> Wanted<'a> {
        Wanted::Member { member, hash: None }
    }

    pub(super) fn of_entry(entry: &'a Entry, hash: KnownHash) -> Wanted<'a> {
        Wanted::Entry { entry, hash }
    }

    pub(crate) fn member(&self) -> Member<'a> {
        match self {
            Wanted::Member { member, .. } => *member,
            Wanted::Entry { entry, .. } => Member::Text(entry.key()),
        }
    }

    #[inline]
    pub(super) fn is_in(&mut self, table: &Table, seed: &Seed) -> bool {
        match self {
            Wanted::Member { member, hash } => member.with_text(|text| {
                let hash = hash.get_or_insert_with(|| KnownHash::whole(seed.hash(text)));
                table.has_known(hash, seed, || text)
            }),
            Wanted::Entry { entry, hash } => table.has_known(hash, seed, || entry.key()),
        }
    }
}
