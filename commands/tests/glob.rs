//! Glob patterns against a simple matcher that tries everything, and against time.

#![allow(clippy::disallowed_methods, reason = "one test bounds time")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use slotway_commands::glob::{matches, matches_nocase};

/// The definition, word for word and exponential: a star takes nothing, or one byte and is tried again.
fn reference(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => reference(rest, text) || !text.is_empty() && reference(pattern, &text[1..]),
        _ if text.is_empty() => false,
        [b'?', rest @ ..] => reference(rest, &text[1..]),
        [b'[', rest @ ..] => {
            let (class, behind) = split_class(rest);
            in_class(class, text[0]) && reference(behind, &text[1..])
        }
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => *byte == text[0] && reference(rest, &text[1..]),
    }
}

/// The inside of a class, and what stands behind it.
fn split_class(pattern: &[u8]) -> (&[u8], &[u8]) {
    let mut at = usize::from(pattern.first() == Some(&b'^'));
    while at < pattern.len() {
        match &pattern[at..] {
            [b'\\', _, ..] => at += 2,
            [b']', ..] => return (&pattern[..at], &pattern[at + 1..]),
            [_, b'-', _, ..] => at += 3,
            _ => at += 1,
        }
    }
    (pattern, &[])
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    while !rest.is_empty() {
        let (hit, len) = match rest {
            [b'\\', escaped, ..] => (*escaped == byte, 2),
            [low, b'-', high, ..] => (byte >= *low.min(high) && byte <= *low.max(high), 3),
            [literal, ..] => (*literal == byte, 1),
            [] => (false, 0),
        };
        found |= hit;
        rest = &rest[len..];
    }
    found != negated
}

fn signs(of: &'static [u8], most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(of), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn patterns_match_as_defined(pattern in signs(b"abc*?[]^-\\", 12), text in signs(b"abc-]\\", 10)) {
        // Only one star alone matches the empty text: Redis's own idea.
        let defined = if text.is_empty() { pattern.is_empty() || pattern == b"*" } else { reference(&pattern, &text) };
        prop_assert_eq!(matches(&pattern, &text), defined);
    }

    #[test]
    fn without_case_a_pattern_matches_as_its_lower_case_does(pattern in signs(b"aAbB*?", 10), text in signs(b"aAbB", 10)) {
        let lower = matches(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase());
        prop_assert_eq!(matches_nocase(&pattern, &text), lower);
    }

    #[test]
    fn every_escaped_text_matches_itself(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let pattern: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
        prop_assert!(matches(&pattern, &text));
    }
}

#[test]
fn a_pattern_of_many_stars_is_refused_quickly() {
    let pattern = b"a*".repeat(500);
    let pattern = [&pattern[..], b"b"].concat();
    let start = Instant::now();
    assert!(!matches(&pattern, &[b'a'; 10_000]));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
