//! One member of a set: bytes, or an integer where a set keeps integers.

use crate::keyspace::table::KnownHash;
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

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Member::Text(text) => parse_integer(text),
            Member::Integer(integer) => Some(*integer),
        }
    }
}

/// A member that several sets are asked for: what a look-up needs is found out once.
pub(crate) struct Wanted<'a> {
    pub(crate) member: Member<'a>,
    /// None: not asked for yet.
    hash: Option<KnownHash>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(member: Member<'a>) -> Wanted<'a> {
        Wanted { member, hash: None }
    }

    pub(super) fn with_hash(text: &'a [u8], hash: KnownHash) -> Wanted<'a> {
        Wanted { member: Member::Text(text), hash: Some(hash) }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        self.member.integer()
    }

    #[inline]
    pub(super) fn with_text<T>(&mut self, reader: impl FnOnce(&[u8], &mut Option<KnownHash>) -> T) -> T {
        let (member, hash) = (self.member, &mut self.hash);
        member.with_text(|text| reader(text, hash))
    }
}
