//! Accounts: money moves between accounts by MULTI and EXEC, so that whoever looks sees the same sum.

use slotway_resp::Frame;

use super::Role;
use crate::crowd::books::{Books, Gone};

const ACCOUNTS: usize = 5;

/// What each account begins with.
const BALANCE: i64 = 1000;

/// A client that moves money within one hash tag.
#[derive(Debug)]
pub(super) struct Accounts {
    keys: Vec<String>,
    opened: bool,
}

impl Accounts {
    pub(super) fn new(name: &str) -> Accounts {
        let keys = (0..ACCOUNTS).map(|index| format!("account:{{{name}}}:{index}"));
        Accounts { keys: keys.collect(), opened: false }
    }

    /// All accounts at once, until that was acknowledged.
    fn open(&mut self, books: &mut Books) -> Result<(), Gone> {
        let words: Vec<String> = self.keys.iter().map(|key| format!("{key} {BALANCE}")).collect();
        let reply = books.ask(&format!("MSET {}", words.join(" ")))?;
        self.opened = reply.as_error().is_none();
        Ok(())
    }

    fn sum(&mut self, books: &mut Books) -> Result<(), Gone> {
        let reply = books.ask(&format!("MGET {}", self.keys.join(" ")))?;
        self.compare(books, &reply);
        Ok(())
    }

    fn compare(&mut self, books: &mut Books, balances: &Frame) {
        let Some(balances) = balances.as_array() else { return };
        let first = &self.keys[0];
        let balance = |reply: &Frame| reply.as_str().and_then(|text| text.parse::<i64>().ok());
        let found: Vec<i64> = balances.iter().filter_map(balance).collect();
        let (sum, expected) = (found.iter().sum::<i64>(), BALANCE * i64::try_from(ACCOUNTS).unwrap_or(0));
        if found.len() < ACCOUNTS {
            books.lost.push(format!("{first} and its neighbours: {} accounts are left", found.len()));
            self.opened = false;
        } else if sum != expected {
            books.wrong.push(format!("{first} and its neighbours hold {sum} in place of {expected}"));
        }
    }
}

impl Role for Accounts {
    fn step(&mut self, books: &mut Books) -> Result<(), Gone> {
        if !self.opened {
            return self.open(books);
        }
        let (from, to, amount) = (books.draw(ACCOUNTS), books.draw(ACCOUNTS), books.draw(9) + 1);
        let requests = [
            "MULTI".to_owned(),
            format!("DECRBY {} {amount}", self.keys[from]),
            format!("INCRBY {} {amount}", self.keys[to]),
            format!("MGET {}", self.keys.join(" ")),
            "EXEC".to_owned(),
        ];
        let replies = books.ask_all(&requests)?;
        if let Some([_, _, balances]) = replies[4].as_array() {
            self.compare(books, balances);
        }
        self.sum(books)
    }

    fn settle(&mut self, books: &mut Books) -> Result<(), Gone> {
        if self.opened { self.sum(books) } else { Ok(()) }
    }
}
