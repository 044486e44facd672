//! Own keys: a GET behind an acknowledged SET of the same client sees it, sent at once or much later.

use super::{Role, look};
use crate::crowd::books::{Books, Gone, Held};

/// Keys of one client, in slots all over.
const KEYS: usize = 16;

/// A client that reads its own writes, `depth` times GET, SET, GET at a time.
#[derive(Debug)]
pub(super) struct OwnKeys {
    keys: Vec<(String, Held)>,
    depth: usize,
}

impl OwnKeys {
    pub(super) fn new(name: &str, depth: usize) -> OwnKeys {
        let keys = (0..KEYS).map(|index| (format!("own:{name}:{index}"), Held::nothing())).collect();
        OwnKeys { keys, depth }
    }
}

impl Role for OwnKeys {
    fn step(&mut self, books: &mut Books) -> Result<(), Gone> {
        let mut requests = Vec::new();
        let mut written = Vec::new();
        for _ in 0..self.depth {
            let index = books.draw(KEYS);
            let (key, held) = &mut self.keys[index];
            let value = held.next();
            requests.extend([format!("GET {key}"), format!("SET {key} {value}"), format!("GET {key}")]);
            written.push((index, value));
        }
        let replies = books.ask_all(&requests)?;
        for ((index, value), replies) in written.into_iter().zip(replies.chunks(3)) {
            let (key, held) = &mut self.keys[index];
            look(books, key, held, &replies[0]);
            held.wrote(Some(value), &replies[1]);
            look(books, key, held, &replies[2]);
        }
        Ok(())
    }

    fn settle(&mut self, books: &mut Books) -> Result<(), Gone> {
        for (key, held) in &mut self.keys {
            let reply = books.ask(&format!("GET {key}"))?;
            look(books, key, held, &reply);
        }
        Ok(())
    }
}
