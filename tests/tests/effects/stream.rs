//! A stream of commands as words, and whether two of them agree.

use slotway_resp::{Limits, Parser};
use slotway_tests::differential::question::{is, show};

/// Both sides read a clock, one after the other.
const TIME_TOLERANCE_MS: u64 = 2000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command(pub(crate) Vec<Vec<u8>>);

impl Command {
    pub(crate) fn is(&self, name: &str) -> bool {
        is(&self.0, name)
    }

    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.0[0]).into_owned()
    }

    /// The word that is a point in time, if there is one.
    fn time_at(&self) -> Option<usize> {
        if self.is("PEXPIREAT") || self.is("RESTORE") || self.is("RESTORE-ASKING") {
            return Some(2);
        }
        let option = self.0.iter().skip(3).position(|word| word == b"PXAT");
        option.filter(|_| self.is("SET")).map(|at| 3 + at + 1)
    }

    fn agrees_with(&self, other: &Command) -> bool {
        let time_at = self.time_at();
        let same = |(nth, (one, other)): (usize, (&Vec<u8>, &Vec<u8>))| {
            one == other || time_at == Some(nth) && are_near(one, other)
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).enumerate().all(same)
    }
}

fn are_near(one: &[u8], other: &[u8]) -> bool {
    let time = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<u64>().ok();
    time(one).zip(time(other)).is_some_and(|(one, other)| one.abs_diff(other) <= TIME_TOLERANCE_MS)
}

/// The commands of whole RESP.
pub(crate) fn commands(mut bytes: &[u8]) -> Vec<Command> {
    let (mut parser, mut found) = (Parser::default(), Vec::new());
    while let Some(at) = parser.next(bytes, &Limits::CLIENT).unwrap() {
        found.push(Command(parser.request(bytes, at).words().map(<[u8]>::to_vec).collect()));
        bytes = &bytes[parser.consumed()..];
        parser.rebase();
    }
    assert!(bytes.is_empty(), "a stream ends with a whole command");
    found
}

pub(crate) fn agree(ours: &[Command], theirs: &[Command]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(one, other)| one.agrees_with(other))
}

pub(crate) fn text(commands: &[Command]) -> String {
    if commands.is_empty() {
        return "nothing".to_owned();
    }
    commands.iter().map(|command| brief(&command.0)).collect::<Vec<_>>().join(" | ")
}

/// The first words of a request.
pub(crate) fn brief(words: &[Vec<u8>]) -> String {
    let more = if words.len() > WORDS_SHOWN_MAX { " ..." } else { "" };
    format!("{}{more}", show(&words[..words.len().min(WORDS_SHOWN_MAX)]))
}

const WORDS_SHOWN_MAX: usize = 20;
