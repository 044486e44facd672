//! Many keys at once: MSET, MGET, EXISTS and DEL over slots of every server, and over the keys of one hash tag.

use std::ops::Range;

use slotway_resp::Frame;

use super::{Role, look};
use crate::crowd::books::{Books, Gone, Held};

/// Keys of one client: so many in slots all over, as many with one hash tag.
const KEYS: usize = 16;

/// How many keys a request names.
const NAMED: usize = 7;

/// A client that asks for many keys at once.
#[derive(Debug)]
pub(super) struct Many {
    keys: Vec<(String, Held)>,
}

impl Many {
    pub(super) fn new(name: &str) -> Many {
        let spread = (0..KEYS).map(|index| format!("many:{name}:{index}"));
        let tagged = (0..KEYS).map(|index| format!("many:{{{name}}}:{index}"));
        Many { keys: spread.chain(tagged).map(|key| (key, Held::nothing())).collect() }
    }

    /// Neighbouring keys, all with the tag or all without.
    fn some(books: &mut Books) -> Range<usize> {
        let first = books.draw(2) * KEYS + books.draw(KEYS - NAMED + 1);
        first..first + NAMED
    }

    fn names(&self, some: &Range<usize>) -> String {
        self.keys[some.clone()].iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn set(&mut self, books: &mut Books, some: &Range<usize>) -> Result<(), Gone> {
        let keys = &mut self.keys[some.clone()];
        let values: Vec<u64> = keys.iter_mut().map(|(_, held)| held.next()).collect();
        let words: Vec<String> =
            keys.iter().zip(&values).map(|((key, _), value)| format!("{key} {value}")).collect();
        let reply = books.ask(&format!("MSET {}", words.join(" ")))?;
        for ((_, held), value) in keys.iter_mut().zip(values) {
            held.wrote(Some(value), &reply);
        }
        Ok(())
    }

    fn delete(&mut self, books: &mut Books, some: &Range<usize>) -> Result<(), Gone> {
        let reply = books.ask(&format!("DEL {}", self.names(some)))?;
        self.compare_count(books, some, &reply);
        self.keys[some.clone()].iter_mut().for_each(|(_, held)| held.wrote(None, &reply));
        Ok(())
    }

    fn exist(&self, books: &mut Books, some: &Range<usize>) -> Result<(), Gone> {
        let reply = books.ask(&format!("EXISTS {}", self.names(some)))?;
        self.compare_count(books, some, &reply);
        Ok(())
    }

    fn get(&mut self, books: &mut Books, some: &Range<usize>) -> Result<(), Gone> {
        let reply = books.ask(&format!("MGET {}", self.names(some)))?;
        let values = reply.as_array().unwrap_or_default();
        if reply.as_error().is_none() && values.len() != NAMED {
            books.wrong.push(format!("MGET of {NAMED} keys: {reply:?}"));
        }
        for ((key, held), value) in self.keys[some.clone()].iter_mut().zip(values) {
            look(books, key, held, value);
        }
        Ok(())
    }

    /// A reply that counts the keys that were there.
    fn compare_count(&self, books: &mut Books, some: &Range<usize>, reply: &Frame) {
        let Some(count) = reply.as_integer().and_then(|count| usize::try_from(count).ok()) else { return };
        let keys = &self.keys[some.clone()];
        let low = keys.iter().filter(|(_, held)| !held.may_be_missing()).count();
        let high = keys.iter().filter(|(_, held)| held.may_exist()).count();
        // Too few: a write that was acknowledged is gone. Too many: a deletion is.
        if !(low..=high).contains(&count) {
            let names = self.names(some);
            books.lost.push(format!("{count} of {names} are there, must be from {low} to {high}"));
        }
    }
}

impl Role for Many {
    fn step(&mut self, books: &mut Books) -> Result<(), Gone> {
        let some = Many::some(books);
        match books.draw(6) {
            0..3 => self.set(books, &some)?,
            3 => self.delete(books, &some)?,
            4 => self.exist(books, &some)?,
            _ => {}
        }
        self.get(books, &some)
    }

    fn settle(&mut self, books: &mut Books) -> Result<(), Gone> {
        [0, KEYS - NAMED, KEYS, 2 * KEYS - NAMED]
            .into_iter()
            .try_for_each(|first| self.get(books, &(first..first + NAMED)))
    }
}
