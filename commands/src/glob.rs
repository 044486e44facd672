//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^a]` and `\` before any of them.
//!
//! KEYS, SCAN, CONFIG GET, COMMAND LIST, PSUBSCRIBE and ACL rules all match alike. Redis has its own ideas about odd
//! patterns, and they are kept: an open `[` reaches to the end of the pattern, `[z-a]` is `[a-z]`, a `\` at the end
//! is itself, and several stars do not match an empty text while one does.
//!
//! Bounded: after a mismatch only the last star is tried anew (whatever an earlier star could still take, the last
//! one can take as well), so a match costs at most length times length, never exponentially.

/// Whether `text` matches `pattern`, byte by byte.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, std::convert::identity)
}

/// As [`matches()`], but ASCII letters match in either case.
pub fn matches_nocase(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, |byte| byte.to_ascii_lowercase())
}

fn matches_folded(pattern: &[u8], text: &[u8], fold: fn(u8) -> u8) -> bool {
    if text.is_empty() {
        return pattern.is_empty() || pattern == b"*";
    }
    let (mut in_pattern, mut in_text) = (0, 0);
    // Behind the last star seen, and the text that it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        let rest = &pattern[in_pattern..];
        if rest.first() == Some(&b'*') {
            in_pattern += 1;
            star = Some((in_pattern, in_text));
            continue;
        }
        match one(rest, text[in_text], fold) {
            Some(consumed) => {
                in_pattern += consumed;
                in_text += 1;
            }
            None => {
                let Some((behind, taken)) = star else { return false };
                star = Some((behind, taken + 1));
                (in_pattern, in_text) = (behind, taken + 1);
            }
        }
    }
    pattern[in_pattern..].iter().all(|&byte| byte == b'*')
}

/// The length of the pattern's first element if it matches `byte`. The element is not a star.
fn one(pattern: &[u8], byte: u8, fold: fn(u8) -> u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => {
            let (found, consumed) = class(rest, byte, fold);
            found.then_some(1 + consumed)
        }
        [b'\\', escaped, ..] => (fold(*escaped) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
    }
}

/// Whether `byte` is in the class that `pattern` (behind the `[`) opens with, and the length of the class, `]`
/// included where there is one.
fn class(pattern: &[u8], byte: u8, fold: fn(u8) -> u8) -> (bool, usize) {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &pattern[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                // No folding here: neither does Redis.
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => {
                let (low, high) = (fold(*start.min(end)), fold(*start.max(end)));
                found |= (low..=high).contains(&fold(byte));
                at += 3;
            }
            [literal, ..] => {
                found |= fold(*literal) == fold(byte);
                at += 1;
            }
        }
    }
    (found != negated, at)
}
