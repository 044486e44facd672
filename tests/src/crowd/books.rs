//! What one client sends, gets, and knows: every reply passes here and is counted before its role sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use slotway_resp::Frame;

use super::client::Client;

/// The connection was closed, or nothing came for a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// A client's connection and its books.
#[derive(Debug)]
pub(super) struct Books {
    client: Client,
    /// Of the whole crowd.
    all_answered: Arc<AtomicU64>,
    pub(super) answered: u64,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) lost: Vec<String>,
    pub(super) wrong: Vec<String>,
    pub(super) closed: u64,
    pub(super) longest: Duration,
    dice: u64,
}

impl Books {
    pub(super) fn new(client: Client, all_answered: Arc<AtomicU64>, seed: u64) -> Books {
        Books {
            client,
            all_answered,
            answered: 0,
            errors: BTreeMap::new(),
            lost: Vec::new(),
            wrong: Vec::new(),
            closed: 0,
            longest: Duration::ZERO,
            dice: seed,
        }
    }

    /// Goes on with another connection.
    pub(super) fn renew(&mut self, client: Client) {
        self.client = client;
    }

    pub(super) fn note_closed(&mut self) {
        self.closed += 1;
    }

    pub(super) fn ask(&mut self, request: &str) -> Result<Frame, Gone> {
        Ok(self.ask_all(&[request])?.remove(0))
    }

    /// Requests sent at once, and a reply for each.
    pub(super) fn ask_all<R: AsRef<str>>(&mut self, requests: &[R]) -> Result<Vec<Frame>, Gone> {
        let began = Instant::now();
        let replies = self.client.ask_all(requests).map_err(|_| Gone)?;
        self.longest = self.longest.max(began.elapsed());
        let count = u64::try_from(replies.len()).unwrap_or(u64::MAX);
        self.answered += count;
        self.all_answered.fetch_add(count, Ordering::Relaxed);
        replies.iter().for_each(|reply| self.count_errors(reply));
        Ok(replies)
    }

    /// A whole number below `below`, drawn.
    pub(super) fn draw(&mut self, below: usize) -> usize {
        // SplitMix64: any seed will do, 0 included.
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = (mixed ^ (mixed >> 31)) % u64::try_from(below).unwrap_or(u64::MAX);
        usize::try_from(drawn).unwrap_or(0)
    }

    /// Errors, those within EXEC's reply too. Digits are made one, so that a text is one text whatever slot it names.
    fn count_errors(&mut self, reply: &Frame) {
        if let Some(text) = reply.as_error() {
            *self.errors.entry(without_digits(text)).or_default() += 1;
        }
        reply.as_array().unwrap_or_default().iter().for_each(|inner| self.count_errors(inner));
    }
}

fn without_digits(text: &[u8]) -> String {
    let mut out = String::new();
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            other => out.push(other),
        }
    }
    out
}

/// What a key may hold, as far as its only writer knows. Values are numbers that grow with each write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Never empty; more than one after writes of unknown outcome. None: no such key.
    may_be: Vec<Option<u64>>,
    /// The greatest number ever written.
    last: u64,
}

/// What a look at a key says about what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Right,
    /// An older state than was acknowledged.
    Lost,
    /// A state that never was.
    Wrong,
}

impl Held {
    pub(super) fn nothing() -> Held {
        Held { may_be: vec![None], last: 0 }
    }

    /// The number for the next value.
    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// A write was answered.
    pub(super) fn wrote(&mut self, state: Option<u64>, reply: &Frame) {
        if reply.as_error().is_none() {
            self.may_be.clear();
        }
        self.may_be.push(state);
    }

    /// A look at the key found this state, which is what it holds from now on.
    pub(super) fn saw(&mut self, state: Option<u64>) -> Found {
        let found = match state {
            known if self.may_be.contains(&known) => Found::Right,
            Some(number) if number > self.last => Found::Wrong,
            _ => Found::Lost,
        };
        self.may_be = vec![state];
        found
    }

    pub(super) fn may_exist(&self) -> bool {
        self.may_be.iter().any(Option::is_some)
    }

    pub(super) fn may_be_missing(&self) -> bool {
        self.may_be.contains(&None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_acknowledged_write_only_its_value_is_right() {
        let mut held = Held::nothing();
        assert_eq!(held.saw(None), Found::Right);
        let first = held.next();
        held.wrote(Some(first), &Frame::Simple(b"OK".to_vec()));
        assert_eq!(held.clone().saw(Some(first)), Found::Right);
        assert_eq!(held.clone().saw(None), Found::Lost);
        assert_eq!(held.saw(Some(first + 1)), Found::Wrong);
    }

    #[test]
    fn after_a_write_of_unknown_outcome_old_and_new_are_right_until_one_is_seen() {
        let mut held = Held::nothing();
        let first = held.next();
        held.wrote(Some(first), &Frame::Simple(b"OK".to_vec()));
        let second = held.next();
        held.wrote(Some(second), &Frame::Error(b"INDETERMINATE".to_vec()));
        assert_eq!(held.clone().saw(Some(second)), Found::Right);
        assert_eq!(held.saw(Some(first)), Found::Right);
        assert_eq!(held.saw(Some(second)), Found::Lost, "it was seen to be the first");
    }

    #[test]
    fn a_text_is_one_text_whatever_numbers_it_names() {
        assert_eq!(without_digits(b"MOVED 3999 127.0.0.1:7001"), "MOVED # #.#.#.#:#");
    }
}
