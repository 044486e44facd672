//! Lists: values that are appended once are there once, in the order in which they were sent.

use std::collections::BTreeSet;

use slotway_resp::Frame;

use super::{Role, number};
use crate::crowd::books::{Books, Gone};

/// Lists of one client, in slots all over.
const LISTS: usize = 6;

/// A client that appends numbers that grow, `depth` at a time.
#[derive(Debug)]
pub(super) struct Lists {
    lists: Vec<List>,
    depth: usize,
    last: u64,
}

#[derive(Debug, Default)]
struct List {
    key: String,
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
}

impl Lists {
    pub(super) fn new(name: &str, depth: usize) -> Lists {
        let list = |index| List { key: format!("list:{name}:{index}"), ..List::default() };
        Lists { lists: (0..LISTS).map(list).collect(), depth, last: 0 }
    }
}

impl Role for Lists {
    fn step(&mut self, books: &mut Books) -> Result<(), Gone> {
        let mut requests = Vec::new();
        let mut sent = Vec::new();
        for _ in 0..self.depth {
            let index = books.draw(LISTS);
            self.last += 1;
            requests.push(format!("RPUSH {} {}", self.lists[index].key, self.last));
            sent.push((index, self.last));
        }
        let replies = books.ask_all(&requests)?;
        for ((index, value), reply) in sent.into_iter().zip(&replies) {
            let list = &mut self.lists[index];
            let known = if reply.as_error().is_some() { &mut list.unknown } else { &mut list.acknowledged };
            known.insert(value);
        }
        Ok(())
    }

    fn settle(&mut self, books: &mut Books) -> Result<(), Gone> {
        for list in &self.lists {
            let reply = books.ask(&format!("LRANGE {} 0 -1", list.key))?;
            if reply.as_error().is_none() {
                list.compare(books, &reply);
            }
        }
        Ok(())
    }
}

impl List {
    fn compare(&self, books: &mut Books, reply: &Frame) {
        let stored: Vec<u64> = reply.as_array().unwrap_or_default().iter().filter_map(number).collect();
        if let Some(pair) = stored.windows(2).find(|pair| pair[0] >= pair[1]) {
            books.wrong.push(format!("{}: {} before {}", self.key, pair[0], pair[1]));
        }
        let sent = |value: &&u64| self.acknowledged.contains(value) || self.unknown.contains(value);
        let strangers = stored.iter().filter(|value| !sent(value));
        books.wrong.extend(strangers.map(|value| format!("{}: {value} was never sent", self.key)));
        let stored: BTreeSet<u64> = stored.iter().copied().collect();
        let missing = self.acknowledged.difference(&stored);
        books.lost.extend(missing.map(|value| format!("{}: {value} is not there", self.key)));
    }
}
