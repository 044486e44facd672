//! What is said of a session on a proxy's link, and how the node counts there.
//!
//! ```text
//! > SLOTWAY SESSION <life of the proxy> <link place> <floor>      16 hexadecimal digits each, a number
//! < $..  f12,e13..k,e15..i3                                        from 12 on, 13 and 15 are settled; the rest has not run
//! > SLOTWAY NEXT 12 12                                             no reply: the next write is number 12, the floor is 12
//! > INCR x                                                         12
//! > SLOTWAY NEXT 14 12
//! > INCR y                                                         14
//! > SLOTWAY NEXT 16 12
//! > INCR z                                                         16, and from here on one more each
//! ```
//!
//! A proxy sends nothing behind SESSION before it has the answer: so what an older link of the session may still bring is known.

use crate::shard::Incarnation;

use super::{
    Entry, Number, SessionId,
    marker::{Cursor, Item, put_items, take_items},
    primary::{Author, Seat},
    reply::Reply,
};

/// `SLOTWAY SESSION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    pub session: SessionId,
    pub floor: Number,
}

/// The answer: what is settled from the floor on, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    pub floor: Number,
    pub settled: Vec<(Number, Reply)>,
}

/// `SLOTWAY NEXT`: what number the next write has, and below what the proxy has every reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    pub number: Number,
    pub floor: Number,
}

/// How the node counts the writes of a link, from the greeting on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    session: SessionId,
    seat: Seat,
    next: Number,
}

impl Greeting {
    /// Behind `SLOTWAY SESSION`.
    pub fn words(&self) -> [String; 3] {
        let Greeting { session, floor } = self;
        [session.proxy.to_string(), Incarnation(session.link).to_string(), floor.to_string()]
    }

    /// None: these are not the words of a greeting.
    pub fn parse(words: [&[u8]; 3]) -> Option<Greeting> {
        let [proxy, link, floor] = words;
        let hexadecimal = |word: &[u8]| Incarnation::try_from(String::from_utf8(word.to_vec()).ok()?).ok();
        let session = SessionId { proxy: hexadecimal(proxy)?, link: hexadecimal(link)?.0 };
        Some(Greeting { session, floor: number(floor)? })
    }
}

impl Next {
    /// Behind `SLOTWAY NEXT`.
    pub fn words(&self) -> [String; 2] {
        [self.number.to_string(), self.floor.to_string()]
    }

    /// None: these are not its words.
    pub fn parse(words: [&[u8]; 2]) -> Option<Next> {
        let [next, floor] = words;
        let next = Next { number: number(next)?, floor: number(floor)? };
        (next.floor <= next.number).then_some(next)
    }
}

impl Known {
    pub fn get(&self, number: Number) -> Option<&Reply> {
        let at = self.settled.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.settled[at].1)
    }

    /// The bulk that is SESSION's reply.
    pub fn bulk(&self) -> Vec<u8> {
        let settled = self.settled.iter().map(|(number, reply)| {
            let entry = Entry { slot: None, reply: reply.clone() };
            Item::Settled { number: *number, entry }
        });
        let items: Vec<Item> = std::iter::once(Item::Floor(self.floor)).chain(settled).collect();
        let mut bulk = Vec::new();
        put_items(&items, &mut bulk);
        bulk
    }

    /// None: this is no such answer, or one that contradicts itself.
    pub fn parse(bulk: &[u8]) -> Option<Known> {
        let mut items = take_items(bulk)?.into_iter();
        let Item::Floor(floor) = items.next()? else { return None };
        let settled = items.map(|item| match item {
            Item::Settled { number, entry } if number >= floor => Some((number, entry.reply)),
            _ => None,
        });
        let settled: Vec<(Number, Reply)> = settled.collect::<Option<_>>()?;
        settled.is_sorted_by(|(one, _), (next, _)| one < next).then_some(Known { floor, settled })
    }
}

impl Counter {
    pub(super) fn new(greeting: &Greeting, seat: Seat) -> Counter {
        Counter { session: greeting.session, seat, next: greeting.floor }
    }

    pub fn session(&self) -> SessionId {
        self.session
    }

    /// `SLOTWAY NEXT` was read.
    pub fn jump(&mut self, next: Next) {
        self.next = next.number;
    }

    /// A write was read: it is this one.
    pub fn count(&mut self) -> Author {
        let Counter { session, seat, next: number } = *self;
        self.next = number.next();
        Author { session, seat, number }
    }
}

impl Default for Number {
    fn default() -> Number {
        Number::FIRST
    }
}

fn number(word: &[u8]) -> Option<Number> {
    let mut cursor = Cursor::new(word);
    let number = Number::parse(&mut cursor)?;
    cursor.is_at_end().then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn greeting_and_next_are_read_as_they_were_written() {
        let session = SessionId { proxy: Incarnation(7), link: u64::MAX };
        let greeting = Greeting { session, floor: Number(12) };
        let words = greeting.words();
        assert_eq!(words, ["0000000000000007", "ffffffffffffffff", "12"]);
        assert_eq!(Greeting::parse(words.each_ref().map(|word| word.as_bytes())), Some(greeting));
        let next = Next { number: Number(14), floor: Number(12) };
        assert_eq!(Next::parse([b"14", b"12"]), Some(next));
        assert_eq!(next.words(), ["14", "12"]);
    }

    #[test]
    fn other_words_are_refused() {
        let good: [&[u8]; 3] = [b"0000000000000007", b"ffffffffffffffff", b"12"];
        for (at, bad) in [
            (0, &b"7"[..]),
            (0, b""),
            (1, b"gfffffffffffffff"),
            (1, b"\xff"),
            (2, b"0"),
            (2, b"012"),
            (2, b"-1"),
            (2, b"12 "),
        ] {
            let mut words = good;
            words[at] = bad;
            assert_eq!(Greeting::parse(words), None, "{}", bad.escape_ascii());
        }
        for words in [[&b"11"[..], b"12"], [b"", b"12"], [b"12", b"x"], [b"99999999999999999999", b"1"]] {
            assert_eq!(Next::parse(words), None);
        }
        for bulk in ["", "t1", "f0", "f2,e1..k", "f1,e2..k,e2..k", "f1,e3..k,e2..k", "f1,n2", "f1,e2..k,"] {
            assert_eq!(Known::parse(bulk.as_bytes()), None, "{bulk}");
        }
    }

    proptest! {
        #[test]
        fn an_answer_is_read_as_it_was_written(
            floor in 1..1000u64,
            steps in prop::collection::vec((1..5u64, any::<i64>()), 0..50),
        ) {
            let mut number = Number(floor);
            let settled = steps.into_iter().map(|(step, answer)| {
                number = number.plus(step);
                (number, Reply::Integer(answer))
            });
            let known = Known { floor: Number(floor), settled: settled.collect() };
            prop_assert_eq!(Known::parse(&known.bulk()), Some(known));
        }
    }
}
