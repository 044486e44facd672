//! File, then environment, then flags: three places where a setting may be given, the later winning.
//!
//! Each source is first read into `Given`s, plain texts with their place, and only here looked up, checked and
//! stored. A mistake stops nothing: all three sources are read to the end, so that whoever starts the program
//! corrects everything in one go.

mod file;
mod variables;
mod words;

use std::collections::HashMap;
use std::path::Path;

use crate::mistakes::{Mistakes, Place};
use crate::row::{Program, Row, Section};
use crate::rows::{ALIASES, Key, ROWS};
use crate::settings::Settings;

pub(crate) use file::programs_in;
pub use words::{CommandLine, command_line};

/// One setting as somebody gave it.
pub(crate) struct Given {
    place: Place,
    /// `None` for a flag, which needs none.
    section: Option<Section>,
    /// As it was written, for messages.
    key: String,
    /// The name of the setting, not yet looked up.
    name: String,
    /// How strictly a name of another program is taken.
    strangers: Strangers,
    value: Written,
}

/// The value as the source holds it. What it may become depends on the setting's type.
pub(crate) enum Written {
    Text(String),
    Toml(file::TomlValue),
}

/// A file and a command line are for one program. The environment is shared by all programs of a machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strangers {
    Mistakes,
    Ignored,
}

/// Checked settings, and where each that was given comes from.
pub(crate) struct Layered {
    pub(crate) settings: Settings,
    pub(crate) places: HashMap<Key, (Place, String)>,
    pub(crate) mistakes: Mistakes,
}

impl Layered {
    /// A mistake that shows only when settings are seen together, put where `key` was given.
    pub(crate) fn blame(&mut self, key: Key, text: impl Into<String>) {
        match self.places.get(&key) {
            Some((place, written)) => self.mistakes.add(place.clone(), written.clone(), text),
            None => self.mistakes.add(Place::Nowhere, key.name(), text),
        }
    }
}

/// Reads all three sources over the defaults of `program`.
pub(crate) fn layer(
    program: Program,
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: Vec<(String, String)>,
) -> Layered {
    let settings = Settings::defaults(program);
    let mut layered = Layered { settings, places: HashMap::new(), mistakes: Mistakes::default() };
    if let Some(path) = file {
        let mut mistakes = Mistakes::default();
        let given = file::read(path, program, &mut mistakes);
        layered.mistakes.0.append(&mut mistakes.0);
        layered.store(given, Again::Mistake);
    }
    let given = variables::read(environment, program, &mut layered.mistakes);
    layered.store(given, Again::Mistake);
    layered.store(words::read(flags), Again::Wins);
    // The table of a TOML file comes sorted by name; people read from the top.
    layered.mistakes.0.sort_by_key(|mistake| match &mistake.place {
        Place::File { line, .. } => (0, *line),
        Place::Variable(_) => (1, 0),
        Place::Flag(_) => (2, 0),
        Place::Nowhere => (3, 0),
    });
    layered
}

/// What a second value for the same setting in the same source is.
#[derive(Clone, Copy)]
enum Again {
    Mistake,
    Wins,
}

impl Layered {
    fn store(&mut self, given: Vec<Given>, again: Again) {
        let mut seen: HashMap<Key, String> = HashMap::new();
        for given in given {
            let Some(row) = self.look_up(&given) else { continue };
            let earlier = seen.insert(row.key, given.key.clone());
            if let (Again::Mistake, Some(earlier)) = (again, earlier) {
                let text = format!("the same setting is given as {earlier} too");
                self.mistakes.add(given.place, given.key, text);
                continue;
            }
            let text = match given.value {
                Written::Text(text) => Ok(text),
                Written::Toml(value) => value.text_for(&row.kind),
            };
            let stored = text.and_then(|text| {
                self.settings.assign(row.key, &text).map_err(|why| match row.is_secret() {
                    true => why,
                    false => format!("{why} (it is \"{text}\")"),
                })
            });
            if let Err(why) = stored {
                self.mistakes.add(given.place.clone(), given.key.clone(), why);
            }
            self.places.insert(row.key, (given.place, given.key));
        }
    }

    /// The row that is meant, if this program has it and it may stand there; otherwise the mistake is noted.
    fn look_up(&mut self, given: &Given) -> Option<&'static Row> {
        let program = self.settings.program();
        let Some(row) = named(&given.name) else {
            let text = match nearest(&given.name, program) {
                Some(near) => format!("there is no such setting; did you mean {near}?"),
                None => "there is no such setting".to_owned(),
            };
            self.mistakes.add(given.place.clone(), given.key.clone(), text);
            return None;
        };
        let fault = match given.section {
            _ if !row.belongs_to(program) && given.strangers == Strangers::Ignored => return None,
            _ if !row.belongs_to(program) => Some(stranger(row, program)),
            Some(section) if !row.stands_in(section) => {
                Some(format!("{} belongs in [{}]", row.name, row.section.name(program)))
            }
            _ => None,
        };
        let Some(text) = fault else { return Some(row) };
        self.mistakes.add(given.place.clone(), given.key.clone(), text);
        None
    }
}

fn stranger(row: &Row, program: Program) -> String {
    let owners: Vec<_> = row.programs.iter().map(|owner| owner.name()).collect();
    format!("a setting of slotway {}, not of slotway {}", owners.join(" and "), program.name())
}

/// Names are compared without case, and `_` is as good as `-`: variables cannot hold a `-`, and two of Redis's
/// names are spelt with `_`.
fn named(name: &str) -> Option<&'static Row> {
    let wanted = plain(name);
    let rows = ROWS.iter().map(|row| (row.name, row.key));
    rows.chain(ALIASES.iter().copied()).find(|(name, _)| plain(name) == wanted).map(|(_, key)| key.row())
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// The name of this program's settings that is fewest typing errors away, if it is few enough to be meant.
fn nearest(name: &str, program: Program) -> Option<&'static str> {
    let wanted = plain(name);
    let names = ROWS.iter().filter(|row| row.belongs_to(program)).map(|row| row.name);
    let (errors, near) = names.map(|name| (distance(&plain(name), &wanted), name)).min()?;
    (errors <= 1 + wanted.len() / 6).then_some(near)
}

/// Letters inserted, left out, replaced, or swapped with their neighbour, from one text to the other.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut older: Vec<usize> = Vec::new();
    let mut old: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = old[j] + usize::from(a[i] != b[j]);
            let mut best = replaced.min(old[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(older[j - 1] + 1);
            }
            row.push(best);
        }
        older = std::mem::replace(&mut old, row);
    }
    old[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_typing_errors() {
        for (a, b, errors) in [
            ("", "", 0),
            ("", "ab", 2),
            ("port", "prot", 1),
            ("hz", "hzz", 1),
            ("kitten", "sitting", 3),
            ("abc", "", 3),
        ] {
            assert_eq!((distance(a, b), distance(b, a)), (errors, errors), "{a} {b}");
        }
    }
}
