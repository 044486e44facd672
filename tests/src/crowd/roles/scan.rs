//! Scanning: SCAN walks over everything without an error, and while nothing disturbs the walk it meets every key that stays.

use std::collections::BTreeSet;

use slotway_resp::Frame;

use super::Role;
use crate::crowd::Walks;
use crate::crowd::books::{Books, Gone};

/// Keys that are written before the crowd begins, and that nobody changes.
const FIXTURE: usize = 300;

/// A client that walks over all keys, one page a step.
#[derive(Debug)]
pub(in crate::crowd) struct Scan {
    walks: Walks,
    cursor: String,
    /// Keys of the fixture that this walk met. (More than once is allowed: tables grow under the crowd.)
    met: BTreeSet<String>,
}

/// Writes the keys that every walk must meet.
pub(in crate::crowd) fn write_fixture(books: &mut Books) -> Result<(), Gone> {
    let requests: Vec<String> = (0..FIXTURE).map(|index| format!("SET fixture:{index} 1")).collect();
    books.ask_all(&requests).map(drop)
}

impl Scan {
    pub(super) fn new(walks: Walks) -> Scan {
        Scan { walks, cursor: "0".to_owned(), met: BTreeSet::new() }
    }

    fn note_page(&mut self, keys: &[Frame]) {
        let fixture = keys.iter().filter_map(Frame::as_str).filter(|key| key.starts_with("fixture:"));
        self.met.extend(fixture.map(str::to_owned));
    }

    fn end_walk(&mut self, books: &mut Books) -> Result<(), Gone> {
        let met = std::mem::take(&mut self.met).len();
        if self.walks == Walks::Complete && met != FIXTURE {
            books.wrong.push(format!("SCAN met {met} of {FIXTURE} keys"));
        }
        books.ask("DBSIZE").map(drop)
    }
}

impl Role for Scan {
    fn step(&mut self, books: &mut Books) -> Result<(), Gone> {
        let reply = books.ask(&format!("SCAN {} COUNT 50", self.cursor))?;
        let page =
            reply.as_array().and_then(|page| Some((page.first()?.as_str()?, page.get(1)?.as_array()?)));
        let Some((next, keys)) = page else {
            // After an error a walk begins anew.
            self.met.clear();
            self.cursor = "0".to_owned();
            return Ok(());
        };
        self.note_page(keys);
        self.cursor = next.to_owned();
        if self.cursor == "0" { self.end_walk(books) } else { Ok(()) }
    }

    fn settle(&mut self, books: &mut Books) -> Result<(), Gone> {
        let reply = books.ask("KEYS fixture:*")?;
        let found = reply.as_array().unwrap_or_default().len();
        if reply.as_error().is_none() && found < FIXTURE {
            books.lost.push(format!("KEYS finds {found} of {FIXTURE} keys"));
        }
        Ok(())
    }
}
