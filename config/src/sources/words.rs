//! Settings from the command line: `--name value`, `--name=value`, and for settings of several words as
//! redis-server takes them, `--save 3600 1 --bind 127.0.0.1 ::1`.

use std::path::PathBuf;

use super::{Given, Strangers, Written, named};
use crate::mistakes::{Mistakes, Place};
use crate::row::Kind;

/// The words after `slotway node`, sorted into the file to read and the settings over it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    pub config: Option<PathBuf>,
    /// Name without dashes, and value.
    pub flags: Vec<(String, String)>,
}

/// Words up to the next `--` belong to the name before them. A value that itself begins with `--` is written
/// `--name=--value`.
///
/// # Errors
/// Words that belong to no name, names with too few or too many words.
pub fn command_line(words: impl IntoIterator<Item = String>) -> Result<CommandLine, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut parts: Vec<(String, Vec<String>)> = Vec::new();
    for word in words {
        match (word.strip_prefix("--"), parts.last_mut()) {
            (Some(flag), _) => parts.push(match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), vec![value.to_owned()]),
                None => (flag.to_owned(), Vec::new()),
            }),
            (None, Some((_, values))) => values.push(word),
            (None, None) => mistakes.add(Place::Nowhere, "", format!("\"{word}\" belongs to no --name")),
        }
    }
    let mut line = CommandLine::default();
    for (name, values) in parts {
        match (name.as_str(), joined(&name, &values)) {
            ("config", Ok(path)) => line.config = Some(path.into()),
            (_, Ok(value)) => line.flags.push((name, value)),
            (_, Err(text)) => mistakes.add(Place::Flag(name.clone()), name, text),
        }
    }
    mistakes.or(line)
}

/// One value of the words after a name. One word is taken as it is, spaces included.
fn joined(name: &str, values: &[String]) -> Result<String, String> {
    let kind = named(name).map(|row| row.kind);
    match (values, kind) {
        ([one], _) => Ok(one.clone()),
        ([], Some(Kind::Flag)) => Ok("yes".into()),
        ([], _) => Err("its value is missing".into()),
        (many, Some(Kind::Addresses)) => Ok(many.join(",")),
        (many, Some(kind)) if takes_words(&kind) => Ok(many.join(" ")),
        // What no one knows is reported as unknown, not as too long.
        (many, None) if name != "config" => Ok(many.join(" ")),
        (many, _) => Err(format!("takes one value, not {}: put quotes around it", many.len())),
    }
}

fn takes_words(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Words { .. }
            | Kind::SavePoints
            | Kind::OutputLimits
            | Kind::OomScores
            | Kind::Percentiles
            | Kind::Choices(_)
            | Kind::ReplicaOf
    )
}

/// Flags that are given again win, but `--save 900 1 --save 60 1000` are two save points, as in redis.conf.
pub(super) fn read(flags: Vec<(String, String)>) -> Vec<Given> {
    let mut given: Vec<Given> = Vec::new();
    for (name, value) in flags {
        let row = named(&name);
        let collects = row.is_some_and(|row| row.kind == Kind::SavePoints);
        let earlier = given.iter_mut().find(|earlier| collects && earlier.key == name);
        if let Some(Given { value: Written::Text(points), .. }) = earlier
            && !points.is_empty()
            && !value.is_empty()
        {
            *points = format!("{points} {value}");
            continue;
        }
        let value = match row.map(|row| row.kind) {
            Some(Kind::Flag) if value.is_empty() => "yes".to_owned(),
            _ => value,
        };
        given.push(Given {
            place: Place::Flag(name.clone()),
            section: None,
            key: name.clone(),
            name,
            strangers: Strangers::Mistakes,
            value: Written::Text(value),
        });
    }
    given
}
