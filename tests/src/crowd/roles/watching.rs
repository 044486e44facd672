//! Watching: a counter kept by WATCH, GET, MULTI, SET, EXEC. What was changed in between must not be overwritten.

use super::{Role, look};
use crate::crowd::books::{Books, Gone, Held};

/// One in so many rounds the client itself changes the watched key before MULTI: EXEC must then refuse.
const CHANGED_ONE_IN: usize = 4;

/// A client that counts by optimistic locking.
#[derive(Debug)]
pub(super) struct Watching {
    key: String,
    held: Held,
}

impl Watching {
    pub(super) fn new(name: &str) -> Watching {
        Watching { key: format!("watched:{name}"), held: Held::nothing() }
    }

    /// Whether the key surely changed.
    fn change(&mut self, books: &mut Books) -> Result<bool, Gone> {
        if books.draw(CHANGED_ONE_IN) > 0 {
            return Ok(false);
        }
        let value = self.held.next();
        let reply = books.ask(&format!("SET {} {value}", self.key))?;
        self.held.wrote(Some(value), &reply);
        Ok(reply.as_error().is_none())
    }
}

impl Role for Watching {
    fn step(&mut self, books: &mut Books) -> Result<(), Gone> {
        let begun = books.ask_all(&[format!("WATCH {}", self.key), format!("GET {}", self.key)])?;
        if begun.iter().any(|reply| reply.as_error().is_some()) {
            return books.ask("UNWATCH").map(drop);
        }
        look(books, &self.key, &mut self.held, &begun[1]);
        let changed = self.change(books)?;
        let value = self.held.next();
        let block = ["MULTI".to_owned(), format!("SET {} {value}", self.key), "EXEC".to_owned()];
        let executed = books.ask_all(&block)?.remove(2);
        if executed.is_null() {
            // It did not run, which is the answer also when the watching link was lost.
            return Ok(());
        }
        if changed && executed.as_error().is_none() {
            books.wrong.push(format!("{}: EXEC ran although the key had changed", self.key));
        }
        self.held.wrote(Some(value), &executed);
        Ok(())
    }

    fn settle(&mut self, books: &mut Books) -> Result<(), Gone> {
        let reply = books.ask(&format!("GET {}", self.key))?;
        look(books, &self.key, &mut self.held, &reply);
        Ok(())
    }
}
