//! What a primary says in lines before the stream begins, and where a snapshot ends. No state here.

use memchr::{memchr, memmem};

use super::{Form, Point};
use crate::{
    Epoch,
    replication::{HistoryId, Offset},
};

/// No line of a primary is longer.
pub(super) const LINE_BYTES_MAX: usize = 1024;
/// Bytes of the mark behind a snapshot of unknown length.
pub(super) const MARK_BYTES: usize = 40;
/// So much of what makes no sense is shown to the operator.
const QUOTED_MAX: usize = 128;

/// The front of what has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'b> {
    /// Without its end, which lies before `end`.
    Whole {
        text: &'b [u8],
        end: usize,
    },
    Unfinished,
    /// Longer than [`LINE_BYTES_MAX`].
    Endless,
}

/// The first line. It ends with `\n`, alone or behind a `\r`.
pub(super) fn first(bytes: &[u8]) -> Line<'_> {
    let near = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    match memchr(b'\n', near) {
        Some(at) => {
            let text = &near[..at];
            Line::Whole { text: text.strip_suffix(b"\r").unwrap_or(text), end: at + 1 }
        }
        None if bytes.len() >= LINE_BYTES_MAX => Line::Endless,
        None => Line::Unfinished,
    }
}

/// What PSYNC was answered with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A snapshot of this point follows.
    Full(Point),
    /// The stream goes on; it may have a new name.
    Continue(Option<HistoryId>),
    /// It knows no PSYNC.
    Unknown,
    /// An error that may pass: it loads, has no primary itself, wants a password.
    NotNow(String),
}

/// None: no answer to PSYNC.
pub(super) fn answer(text: &[u8]) -> Option<Answer> {
    let mut words = text.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    match words.next()? {
        b"+FULLRESYNC" => {
            let history = HistoryId::parse(words.next()?)?;
            let offset = Offset(number(words.next()?)?);
            Some(Answer::Full(Point { history, offset }))
        }
        b"+CONTINUE" => match words.next() {
            Some(name) => Some(Answer::Continue(Some(HistoryId::parse(name)?))),
            None => Some(Answer::Continue(None)),
        },
        b"-ERR" => Some(Answer::Unknown),
        [b'-', ..] => Some(Answer::NotNow(quoted(&text[1..]))),
        _ => None,
    }
}

/// `-STALE <epoch> ...`: what a member is told that follows an epoch that is over.
pub(super) fn stale(text: &[u8]) -> Option<Epoch> {
    let mut words = text.strip_prefix(b"-STALE ")?.split(|&byte| byte == b' ');
    number(words.next()?).map(Epoch)
}

/// What stands before a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    Form(Form),
    /// It cannot make one.
    Error(String),
}

/// `$<length>` or `$EOF:<mark>`. None: neither, and no error.
pub(super) fn head(text: &[u8]) -> Option<Head> {
    if let Some(text) = text.strip_prefix(b"-") {
        return Some(Head::Error(quoted(text)));
    }
    let form = text.strip_prefix(b"$")?;
    let form = match form.strip_prefix(b"EOF:") {
        Some(mark) => Form::Marked(mark.try_into().ok()?),
        None => Form::Counted(number(form)?),
    };
    Some(Head::Form(form))
}

/// Where a snapshot ends in the bytes that have come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Behind so many, and then stands the mark.
    Here(usize),
    /// So many are surely the snapshot's; behind them the mark may begin.
    NotBefore(usize),
}

pub(super) fn until_mark(bytes: &[u8], mark: &[u8; MARK_BYTES]) -> Cut {
    match memmem::find(bytes, mark) {
        Some(at) => Cut::Here(at),
        None => Cut::NotBefore(bytes.len().saturating_sub(MARK_BYTES - 1)),
    }
}

/// Whether this is one of the words of an answer, `+OK one other`.
pub(super) fn has_word(text: &[u8], word: &str) -> bool {
    text.split(|&byte| byte == b' ').any(|found| found == word.as_bytes())
}

/// A request in RESP.
pub(super) fn request(words: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text.into_bytes()
}

/// Readable, and no longer than an operator wants to read.
pub(super) fn quoted(text: &[u8]) -> String {
    text[..text.len().min(QUOTED_MAX)].escape_ascii().to_string()
}

fn number(text: &[u8]) -> Option<u64> {
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if is_plain { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}
