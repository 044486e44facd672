//! Who is in the crowd: a role is what one client does again and again, and what it must find in the end.

mod accounts;
mod counters;
mod lists;
mod many;
mod own_keys;
pub(super) mod scan;
mod watching;

use std::fmt;

use slotway_resp::Frame;

use self::{
    accounts::Accounts, counters::Counters, lists::Lists, many::Many, own_keys::OwnKeys, scan::Scan,
    watching::Watching,
};
use super::Walks;
use super::books::{Books, Found, Gone, Held};

/// What one client does.
pub(super) trait Role: fmt::Debug + Send {
    /// One round of requests; their replies are compared with what is known.
    fn step(&mut self, books: &mut Books) -> Result<(), Gone>;

    /// A last look at everything it wrote.
    fn settle(&mut self, books: &mut Books) -> Result<(), Gone>;
}

/// Every role twice, once in RESP2 and once in RESP3 (versions alternate), one of them pipelining where that makes a
/// difference.
pub(super) fn all(walks: Walks) -> Vec<Box<dyn Role>> {
    vec![
        Box::new(Counters::new("c0", 1)),
        Box::new(Counters::new("c1", 12)),
        Box::new(OwnKeys::new("o0", 1)),
        Box::new(OwnKeys::new("o1", 6)),
        Box::new(Lists::new("l0", 1)),
        Box::new(Lists::new("l1", 8)),
        Box::new(Many::new("m0")),
        Box::new(Many::new("m1")),
        Box::new(Accounts::new("a0")),
        Box::new(Accounts::new("a1")),
        Box::new(Watching::new("w0")),
        Box::new(Watching::new("w1")),
        Box::new(Scan::new(walks)),
        Box::new(Scan::new(walks)),
    ]
}

/// The number that a string holds; None for a null.
fn number(reply: &Frame) -> Option<u64> {
    reply.as_str().and_then(|text| text.parse().ok())
}

/// Compares a reply with what a key may hold. An error says nothing: it was counted already.
fn look(books: &mut Books, key: &str, held: &mut Held, reply: &Frame) {
    if reply.as_error().is_some() {
        return;
    }
    let before = held.clone();
    let text = || format!("{key} holds {reply:?}, known was {before:?}");
    match held.saw(number(reply)) {
        Found::Right => {}
        Found::Lost => books.lost.push(text()),
        Found::Wrong => books.wrong.push(text()),
    }
}
