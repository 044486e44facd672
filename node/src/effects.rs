//! Effects: what a request is in the stream of changes ([`crate::feed`]).
//!
//! Most commands stand there as they came: run again on the same keys they do the same. Some would not, because they
//! depend on the clock, on chance, on the server's arithmetic, or on who waits; their handlers put what they did into
//! other words ([`Call::tell`]): deadlines become absolute, a popped member becomes an SREM. A command that changed
//! nothing ([`Keyspace::changed`]) leaves nothing. Keys that end by their deadline or for want of memory are deleted in the
//! stream too, before the command that met them, so that no reader ever has to decide that for itself.
//!
//! The words are those of redis-server 7.0, to the byte: `tests/tests/effects.rs` compares them.

use slotway_cluster::Database;
use slotway_resp::Request;

use crate::{
    call::Call,
    feed::Feed,
    keyspace::{Keyspace, text::parse_integer},
};

impl Call<'_> {
    /// Whether anybody wants to know what the request does.
    #[inline]
    pub(crate) fn is_fed(&self) -> bool {
        self.keyspace.feed.is_on()
    }

    /// In the stream stand these words instead of the request.
    #[inline]
    pub(crate) fn tell(&mut self, words: &[&[u8]]) {
        if self.is_fed() {
            self.tell_words(words.iter().copied());
        }
    }

    /// As [`Call::tell`], with a number at the end.
    #[inline]
    pub(crate) fn tell_with(&mut self, words: &[&[u8]], number: u64) {
        if self.is_fed() {
            let mut digits = itoa::Buffer::new();
            let number = std::iter::once(digits.format(number).as_bytes());
            self.tell_words(words.iter().copied().chain(number));
        }
    }

    /// As [`Call::tell`]; the words are counted first.
    pub(crate) fn tell_words<'w>(&mut self, words: impl Iterator<Item = &'w [u8]> + Clone) {
        if self.is_fed() {
            self.keyspace.feed.tell_otherwise();
            self.keyspace.feed.add(self.database, words);
        }
    }

    /// In the stream stands this command for every string of the reply that begins at `start` of the output.
    pub(crate) fn tell_of_each(&mut self, command: &[u8], key: &[u8], start: usize) {
        if self.is_fed() {
            self.keyspace.feed.tell_otherwise();
            for string in strings(&self.out[start..]) {
                self.keyspace.feed.add(self.database, [command, key, string].into_iter());
            }
        }
    }

    /// The request stands in the stream, whether or not there was something to change.
    pub(crate) fn tell_always(&mut self) {
        if self.is_fed() {
            self.keyspace.feed.tell_always();
        }
    }
}

/// The strings of a reply that has nothing else.
fn strings(mut reply: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let head = memchr::memchr(b'\n', reply)?;
        let len = parse_integer(reply.get(1..head - 1)?)?;
        let start = head + 1;
        let string = reply.get(start..start + usize::try_from(len).ok()?)?;
        reply = reply.get(start + string.len() + LINE_END..)?;
        Some(string)
    })
}

const LINE_END: usize = 2;

impl Keyspace {
    /// A request of `database` has run. `before` are the changes that were counted when it began.
    pub(crate) fn tell_request(&mut self, database: Database, request: Request<'_>, before: u64) {
        self.feed.add_request(database, request, self.stats.changes > before);
    }
}

/// A key that goes though no command names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// DEL
    Eager,
    /// UNLINK, as the `lazyfree-lazy-...` settings say.
    Lazy,
}

impl Removal {
    pub(crate) fn of(is_lazy: bool) -> Removal {
        if is_lazy { Removal::Lazy } else { Removal::Eager }
    }

    pub(crate) fn command(self) -> &'static [u8] {
        match self {
            Removal::Eager => b"DEL",
            Removal::Lazy => b"UNLINK",
        }
    }
}

/// A key has expired or was evicted: an effect of what runs, before all that it does itself.
#[inline]
pub(crate) fn removed(feed: &mut Feed, database: Database, key: &[u8], how: Removal) {
    if feed.is_on() {
        feed.add(database, [how.command(), key].into_iter());
    }
}

#[cfg(test)]
mod tests;
