//! Counters: each INCR is answered with the count, and at the end nothing is missing and nothing was counted twice.

use slotway_resp::Frame;

use super::Role;
use crate::crowd::books::{Books, Gone};

/// Keys of one client, in slots all over.
const KEYS: usize = 12;

/// A client that counts, `depth` requests at a time.
#[derive(Debug)]
pub(super) struct Counters {
    counters: Vec<Counter>,
    depth: usize,
}

#[derive(Debug)]
struct Counter {
    key: String,
    /// The value of the last answer.
    at_least: i64,
    /// Increments since then of which nobody knows whether they happened.
    unknown: i64,
}

impl Counters {
    pub(super) fn new(name: &str, depth: usize) -> Counters {
        let counter = |index| Counter { key: format!("count:{name}:{index}"), at_least: 0, unknown: 0 };
        Counters { counters: (0..KEYS).map(counter).collect(), depth }
    }
}

impl Counter {
    /// An increment was answered.
    fn counted(&mut self, books: &mut Books, reply: &Frame) {
        match reply.as_integer() {
            Some(value) => {
                self.compare(books, value, 1);
                (self.at_least, self.unknown) = (value, 0);
            }
            None => self.unknown += 1,
        }
    }

    /// A value was seen, `more` acknowledged increments after what was known.
    fn compare(&self, books: &mut Books, value: i64, more: i64) {
        let (low, high) = (self.at_least + more, self.at_least + more + self.unknown);
        let text = || format!("{} is {value}, must be from {low} to {high}", self.key);
        if value < low {
            books.lost.push(text());
        } else if value > high {
            books.wrong.push(text());
        }
    }
}

impl Role for Counters {
    fn step(&mut self, books: &mut Books) -> Result<(), Gone> {
        // The same key may be drawn several times: replies then say whether the order was kept.
        let drawn: Vec<usize> = (0..self.depth).map(|_| books.draw(KEYS)).collect();
        let requests: Vec<String> =
            drawn.iter().map(|index| format!("INCR {}", self.counters[*index].key)).collect();
        let replies = books.ask_all(&requests)?;
        for (index, reply) in drawn.into_iter().zip(&replies) {
            self.counters[index].counted(books, reply);
        }
        Ok(())
    }

    fn settle(&mut self, books: &mut Books) -> Result<(), Gone> {
        for counter in &self.counters {
            let reply = books.ask(&format!("GET {}", counter.key))?;
            if reply.as_error().is_none() {
                let value = reply.as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
                counter.compare(books, value, 0);
            }
        }
        Ok(())
    }
}
