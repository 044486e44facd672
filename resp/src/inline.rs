//! Inline commands: a line typed by a person, split into words.
//!
//! The rules are those of redis-cli, redis.conf and an inline request alike. Words are parted by white space. A word
//! may be quoted, also in its middle (`a"b c"` is `ab c`). In double quotes a backslash means `\n \r \t \b \a`, `\xHH`,
//! or the byte behind it; in single quotes only `\'` is special. A closing quote ends its word, and white space or
//! the end must follow. A line with a quote left open is no command.
//!
//! One difference: Redis reads the line as a C string, so a NUL byte ends it early; here NUL is a byte like others.

use std::borrow::Cow;

/// A quote is not closed, or something follows a closing quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unbalanced;

/// The words of a line, each borrowed unless it was quoted.
#[derive(Debug, Clone)]
pub struct Words<'a> {
    line: &'a [u8],
}

impl<'a> Words<'a> {
    /// `line` is without its line end.
    pub fn new(line: &'a [u8]) -> Self {
        Self { line }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Result<Cow<'a, [u8]>, Unbalanced>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.line.iter().position(|&byte| !is_space(byte))?;
        let line = &self.line[start..];
        // Inside of a word vertical tabs and form feeds are bytes like others, between words they are white space.
        let plain = line.iter().position(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'\''));
        let (word, rest) = match plain {
            None => (Ok(Cow::Borrowed(line)), &[][..]),
            Some(end) if !matches!(line[end], b'"' | b'\'') => {
                (Ok(Cow::Borrowed(&line[..end])), &line[end..])
            }
            Some(open) => match unquote(line[..open].to_vec(), line[open], &line[open + 1..]) {
                Some((word, rest)) => (Ok(Cow::Owned(word)), rest),
                None => (Err(Unbalanced), &[][..]),
            },
        };
        self.line = rest;
        Some(word)
    }
}

/// All words of a line, owned.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, Unbalanced> {
    Words::new(line).map(|word| word.map(Cow::into_owned)).collect()
}

/// Appends the quoted `text` (behind its opening quote) to `word`. Returns it with what follows the closing quote.
fn unquote(mut word: Vec<u8>, quote: u8, mut text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    loop {
        let rest = match text {
            [byte, rest @ ..] if *byte == quote => {
                return rest.first().is_none_or(|&next| is_space(next)).then_some((word, rest));
            }
            [b'\\', b'\'', rest @ ..] if quote == b'\'' => {
                word.push(b'\'');
                rest
            }
            [b'\\', escaped @ ..] if quote == b'"' && !escaped.is_empty() => {
                let (byte, rest) = unescape(escaped);
                word.push(byte);
                rest
            }
            [byte, rest @ ..] => {
                word.push(*byte);
                rest
            }
            [] => return None,
        };
        text = rest;
    }
}

/// The byte that `escaped` (behind the backslash, not empty) stands for, and what follows.
fn unescape(escaped: &[u8]) -> (u8, &[u8]) {
    if let [b'x', high, low, rest @ ..] = escaped
        && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
    {
        return (high << 4 | low, rest);
    }
    let byte = match escaped[0] {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    };
    (byte, &escaped[1..])
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// C's `isspace`: a vertical tab belongs to it, unlike `u8::is_ascii_whitespace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, words: Result<&[&[u8]], Unbalanced>) {
        let words = words.map(|words| words.iter().map(|word| word.to_vec()).collect());
        assert_eq!(split(line.as_bytes()), words, "{line:?}");
    }

    #[test]
    fn a_line_is_split_as_redis_splits_it() {
        check("", Ok(&[]));
        check(" \t\x0b\x0c\r ", Ok(&[]));
        check("PING", Ok(&[b"PING"]));
        check("  set\tkey  value ", Ok(&[b"set", b"key", b"value"]));
        check("a\x0bb\x0cc", Ok(&[b"a\x0bb\x0cc"]));
        check(r#"set k "hello world""#, Ok(&[b"set", b"k", b"hello world"]));
        check(r#"'' "" x"#, Ok(&[b"", b"", b"x"]));
        check(r#"a"b c" d'e f'"#, Ok(&[b"ab c", b"de f"]));
        check(r#""\x41\xfF\x4\xg1\n\r\t\b\a\q\\\"""#, Ok(&[b"A\xffx4xg1\n\r\t\x08\x07q\\\""]));
        check(r"'it\'s \n \x41'", Ok(&[br"it's \n \x41"]));
        check(r"un\nquoted\x41 \", Ok(&[br"un\nquoted\x41", br"\"]));
        check("nul\0inside", Ok(&[b"nul\0inside"]));
    }

    #[test]
    fn a_quote_left_open_or_followed_by_a_word_is_unbalanced() {
        for line in
            ["\"", "'", "a \"b", "a 'b", "\"a\"b", "'a'b", "\"a\"\"b\"", "\"a\\", "\"a\\\"", "'a\\'", "a\"b"]
        {
            check(line, Err(Unbalanced));
        }
    }
}
