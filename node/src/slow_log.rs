//! SLOWLOG: the last commands that took longer than `slowlog-log-slower-than`.
//!
//! A request is kept in part: 31 words and how many more there were, 128 bytes of a word and how many more. Passwords
//! are not kept.

use std::collections::VecDeque;

use slotway_commands::Id;
use slotway_config::Key;
use slotway_resp::Request;

use crate::{call::Millis, client::Client};

/// Words of a request that are kept, the last one perhaps a note of how many more there were.
const WORDS_MAX: usize = 32;
/// Bytes of a word that are kept, beside the note of how many more there were.
const WORD_BYTES_MAX: usize = 128;
const REDACTED: &[u8] = b"(redacted)";

/// One slow command.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Counts up from 0 as long as the node runs.
    pub(crate) id: i64,
    /// Unix time in seconds.
    pub(crate) at_s: u64,
    pub(crate) micros: u64,
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) peer: String,
    /// CLIENT SETNAME
    pub(crate) name: Vec<u8>,
}

/// The newest first.
#[derive(Debug, Default)]
pub(crate) struct SlowLog {
    entries: VecDeque<Entry>,
    next_id: i64,
}

impl SlowLog {
    /// Notes a command. `len_max` is `slowlog-max-len`.
    pub(crate) fn push(
        &mut self,
        id: Id,
        request: Request<'_>,
        client: &Client,
        micros: u64,
        now: Millis,
        len_max: usize,
    ) {
        self.entries.push_front(Entry {
            id: self.next_id,
            at_s: now.0 / 1000,
            micros,
            words: kept(id, request),
            peer: client.peer.to_string(),
            name: client.name.borrow().clone(),
        });
        self.next_id += 1;
        self.entries.truncate(len_max);
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// What is kept of a request.
fn kept(id: Id, request: Request<'_>) -> Vec<Vec<u8>> {
    let words = request.len();
    let (shown, more) = if words > WORDS_MAX { (WORDS_MAX - 1, words - WORDS_MAX + 1) } else { (words, 0) };
    let mut kept: Vec<Vec<u8>> = (0..shown)
        .map(|index| match is_secret(id, request, index) {
            true => REDACTED.to_vec(),
            false => shortened(request.word(index)),
        })
        .collect();
    if more > 0 {
        kept.push(format!("... ({more} more arguments)").into_bytes());
    }
    kept
}

fn shortened(word: &[u8]) -> Vec<u8> {
    match word.split_at_checked(WORD_BYTES_MAX) {
        Some((kept, more)) if !more.is_empty() => {
            [kept, format!("... ({} more bytes)", more.len()).as_bytes()].concat()
        }
        _ => word.to_vec(),
    }
}

/// Whether a word may be a password, or a name that goes with one.
fn is_secret(id: Id, request: Request<'_>, index: usize) -> bool {
    let is_auth = |back: usize| {
        index.checked_sub(back).is_some_and(|at| at > 1 && request.word(at).eq_ignore_ascii_case(b"AUTH"))
    };
    match id {
        Id::Auth => index > 0,
        Id::Hello => is_auth(1) || is_auth(2),
        // Names stand at even places.
        Id::ConfigSet if index > 2 && !index.is_multiple_of(2) => {
            let name = std::str::from_utf8(request.word(index - 1)).ok();
            name.and_then(Key::named).is_some_and(|(_, key)| key.row().is_secret())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use slotway_commands::lookup;
    use slotway_resp::OwnedRequest;

    use super::*;

    fn check(request: &[&str], expected: &[&str]) {
        let request = OwnedRequest::new(request);
        let id = lookup::resolve(request.view()).unwrap().id;
        let kept: Vec<String> =
            kept(id, request.view()).into_iter().map(|word| String::from_utf8(word).unwrap()).collect();
        assert_eq!(kept, expected);
    }

    #[test]
    fn long_requests_and_long_words_are_kept_in_part() {
        let word = "x".repeat(128);
        check(&["SET", "k", &word], &["SET", "k", &word]);
        let longer = "x".repeat(200);
        check(&["SET", "k", &longer], &["SET", "k", &format!("{word}... (72 more bytes)")]);
        let many: Vec<String> = (0..31).map(|number| number.to_string()).collect();
        let del: Vec<&str> = ["DEL"].into_iter().chain(many.iter().map(String::as_str)).collect();
        check(&del, &del);
        let more = [del.as_slice(), &["31", "32"]].concat();
        check(&more, &[&del[..31], &["... (3 more arguments)"]].concat());
    }

    #[test]
    fn passwords_are_not_kept() {
        check(&["AUTH", "secret"], &["AUTH", "(redacted)"]);
        check(&["auth", "me", "secret"], &["auth", "(redacted)", "(redacted)"]);
        check(
            &["HELLO", "3", "auth", "me", "secret", "SETNAME", "x"],
            &["HELLO", "3", "auth", "(redacted)", "(redacted)", "SETNAME", "x"],
        );
        check(
            &["CONFIG", "SET", "timeout", "5", "requirepass", "secret"],
            &["CONFIG", "SET", "timeout", "5", "requirepass", "(redacted)"],
        );
        check(&["CONFIG", "GET", "requirepass"], &["CONFIG", "GET", "requirepass"]);
    }
}
