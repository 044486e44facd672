//! The groups of commands: each with its grammar, its own words, and chosen requests.
//!
//! How a grammar is written says [`super::source`]. Chosen requests are what is too rare or too long to come up by
//! chance, one per line ([`chosen`] reads them); they are asked of a node and of a proxy on a whole database.

use super::question::{Compare, Question};
use super::source::{Row, Words};

pub mod bits;
pub mod dump;
pub mod geo;
pub mod hashes;
pub mod hyperloglog;
pub mod keys;
pub mod lists;
pub mod server;
pub mod sets;
pub mod sort;
pub mod sorted_sets;
pub mod strings;
pub mod transactions;

#[derive(Debug)]
pub struct Group {
    pub name: &'static str,
    pub grammar: &'static [Row],
    pub words: Words,
    pub chosen: &'static str,
}

pub const ALL: &[&Group] = &[
    &strings::GROUP,
    &keys::GROUP,
    &hashes::GROUP,
    &lists::GROUP,
    &sets::GROUP,
    &sorted_sets::GROUP,
    &bits::GROUP,
    &dump::GROUP,
    &hyperloglog::GROUP,
    &geo::GROUP,
    &sort::GROUP,
    &transactions::GROUP,
    &server::GROUP,
];

/// The chosen requests of a text. A line is a request; in front of it may stand
///
/// - `700:` it is asked so often, and every `#` in it is the number of the time, from 0;
/// - `~` elements may come in any order; `~~` pairs may; `@` it is a time: both sides read a clock.
///
/// `x**70000` is so many letters. A word in double quotes may be empty, hold spaces, and `\xff`, `\r`, `\n`, `\\`, `\"`.
#[must_use]
pub fn chosen(text: &str) -> Vec<Question> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).flat_map(questions).collect()
}

fn questions(line: &str) -> Vec<Question> {
    let repeated = line.split_once(": ").and_then(|(times, rest)| Some((times.parse::<usize>().ok()?, rest)));
    let (times, line) = repeated.unwrap_or((1, line));
    let (compare, line) = match line.strip_prefix("~~") {
        Some(line) => (Compare::Pairs, line),
        None => match (line.strip_prefix('~'), line.strip_prefix('@')) {
            (Some(line), _) => (Compare::AnyOrder, line),
            (None, Some(line)) => (Compare::Time, line),
            (None, None) => (Compare::Bytes, line),
        },
    };
    let one = |number: usize| {
        let line = if repeated.is_some() { line.replace('#', &number.to_string()) } else { line.to_owned() };
        Question::new(compare, words(&line))
    };
    (0..times).map(one).collect()
}

fn words(line: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_word(quoted),
            None => {
                let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
                (plain_word(word), behind)
            }
        };
        found.push(word);
        rest = behind.trim_start();
    }
    found
}

fn plain_word(word: &str) -> Vec<u8> {
    let many = word.split_once("**").and_then(|(text, times)| Some(text.repeat(times.parse().ok()?)));
    many.unwrap_or_else(|| word.to_owned()).into_bytes()
}

/// The word up to the closing quote, and what is behind it.
fn quoted_word(text: &str) -> (Vec<u8>, &str) {
    let mut word = Vec::new();
    let mut at = 0;
    let bytes = text.as_bytes();
    loop {
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', _) => return (word, &text[at + 1..]),
            (b'\\', Some(b'x')) => {
                let byte = u8::from_str_radix(&text[at + 2..at + 4], 16).expect("two digits behind \\x");
                word.push(byte);
                at += 4;
            }
            (b'\\', Some(escaped)) => {
                word.push(match escaped {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    other => *other,
                });
                at += 2;
            }
            (byte, _) => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_requests_are_read_as_they_are_written() {
        let found = chosen(
            "
            SET a \"b c\\x00\\\"\"
            2: HSET h f# #
            ~SMEMBERS ab**2
            @OBJECT IDLETIME e
            SET e \"\"
        ",
        );
        let words: Vec<Vec<&[u8]>> =
            found.iter().map(|question| question.words.iter().map(Vec::as_slice).collect()).collect();
        let expected: [&[&[u8]]; 6] = [
            &[b"SET", b"a", b"b c\0\""],
            &[b"HSET", b"h", b"f0", b"0"],
            &[b"HSET", b"h", b"f1", b"1"],
            &[b"SMEMBERS", b"abab"],
            &[b"OBJECT", b"IDLETIME", b"e"],
            &[b"SET", b"e", b""],
        ];
        assert_eq!(words, expected);
        assert_eq!(found[3].compare, Compare::AnyOrder);
        assert_eq!(found[4].compare, Compare::Time);
    }

    #[test]
    fn every_group_has_its_own_name() {
        let mut names: Vec<&str> = ALL.iter().map(|group| group.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
