//! `slotway check-config --from-redis redis.conf`: what becomes of every line of a Redis settings file.
//!
//! The file is read as redis-server reads it: words with its quotes and escapes, `include`, `save` and
//! `client-output-buffer-limit` that add up, the last of several lines of one setting counts. The result is a TOML file
//! for `slotway node` and a verdict on every line that is not taken over as it is, so that nothing is lost in silence.
//!
//! Source of the syntax: the comments of the redis.conf that Redis 7.0 ships, and a redis-server 7.0 asked.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;

use crate::mistakes::{Mistake, Mistakes, Place};
use crate::render::toml_value;
use crate::row::{Effect, Program, Row, Section};
use crate::rows::Key;
use crate::settings::Settings;

/// `include` may be nested so deep.
const INCLUDES_MAX: usize = 16;

/// What directives that are no settings become.
const OTHERS: &[(&str, &str)] = &[
    ("loadmodule", "modules are not supported"),
    ("rename-command", "commands cannot be renamed"),
    ("user", "ACL users are not supported yet; requirepass is"),
    ("cluster-config-file", "the control group keeps the topology"),
];

/// A redis.conf taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct FromRedis {
    path: PathBuf,
    settings: Settings,
    /// The settings that were given, and where last.
    given: BTreeMap<Key, Place>,
    /// Lines that cannot be taken over, each with the reason.
    pub refused: Vec<Mistake>,
}

/// Reads a redis.conf.
///
/// # Errors
/// It, or a file that it includes, cannot be read or is not written in words.
pub fn from_redis(path: &Path) -> Result<FromRedis, Mistakes> {
    let mut lines = Vec::new();
    let mut mistakes = Mistakes::default();
    read(path, 0, &mut lines, &mut mistakes);
    let lines = mistakes.or(lines)?;
    let settings = Settings::node_defaults();
    let mut conf = FromRedis { path: path.to_owned(), settings, given: BTreeMap::new(), refused: Vec::new() };
    lines.into_iter().for_each(|line| conf.take(line));
    Ok(conf)
}

/// One directive.
struct Line {
    place: Place,
    name: String,
    values: Vec<String>,
}

fn read(path: &Path, depth: usize, lines: &mut Vec<Line>, mistakes: &mut Mistakes) {
    let place = |line| Place::File { path: path.to_owned(), line };
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return mistakes.add(place(0), "", format!("cannot be read: {error}")),
    };
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(mut words) = words(line) else {
            mistakes.add(place(number), "", "unbalanced quotes");
            continue;
        };
        let name = words.remove(0).to_ascii_lowercase();
        if name == "include" {
            let [file] = words.as_slice() else {
                mistakes.add(place(number), name, "wants one file");
                continue;
            };
            match depth < INCLUDES_MAX {
                true => read(Path::new(file), depth + 1, lines, mistakes),
                false => mistakes.add(place(number), name, "files include each other too deeply"),
            }
            continue;
        }
        lines.push(Line { place: place(number), name, values: words });
    }
}

/// The words of a line: up to a space, but for what stands between `"` (with escapes) or `'`; a closing quote ends its
/// word. None: a quote stays open, or text follows one directly.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.peek().is_none() {
            return Some(words);
        }
        let mut word = String::new();
        while let Some(c) = rest.next_if(|c| !c.is_whitespace()) {
            match c {
                '"' | '\'' => {
                    quoted(c, &mut rest, &mut word)?;
                    if rest.peek().is_some_and(|c| !c.is_whitespace()) {
                        return None;
                    }
                }
                c => word.push(c),
            }
        }
        words.push(word);
    }
}

/// Appends what stands before the closing `quote`. None: there is none.
fn quoted(quote: char, rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Option<()> {
    loop {
        match rest.next()? {
            c if c == quote => return Some(()),
            '\\' if quote == '"' => word.push(escaped(rest)?),
            '\\' if rest.next_if_eq(&quote).is_some() => word.push(quote),
            c => word.push(c),
        }
    }
}

/// What stands for the character behind a `\` between double quotes.
fn escaped(rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    Some(match rest.next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'a' => '\u{7}',
        'x' => {
            let digits: String = rest.clone().take(2).collect();
            match u8::from_str_radix(&digits, 16) {
                Ok(byte) if digits.len() == 2 => {
                    rest.nth(1);
                    char::from(byte)
                }
                _ => 'x',
            }
        }
        c => c,
    })
}

impl FromRedis {
    fn take(&mut self, line: Line) {
        let Line { place, name, values } = line;
        if let Some((_, why)) = OTHERS.iter().find(|(other, _)| *other == name) {
            return self.refuse(place, name, *why);
        }
        let found = Key::named(&name).filter(|(_, key)| key.row().belongs_to(Program::Node));
        let Some((_, key)) = found else {
            return self.refuse(place, name, "there is no such setting");
        };
        let mut text = match (key, values.as_slice()) {
            // The word that Redis itself has for "nobody".
            (Key::Replicaof, [no, one])
                if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") =>
            {
                String::new()
            }
            (_, values) => values.join(" "),
        };
        if key == Key::Save && !text.is_empty() && self.given.contains_key(&key) {
            text = format!("{} {text}", self.settings.show(key)).trim_start().to_owned();
        }
        if values.is_empty() {
            return self.refuse(place, name, "has no value");
        }
        match self.settings.assign(key, &text) {
            Ok(()) => _ = self.given.insert(key, place),
            Err(why) => self.refuse(place, name, why),
        }
    }

    fn refuse(&mut self, place: Place, key: String, text: impl Into<String>) {
        self.refused.push(Mistake { place, key, text: text.into() });
    }

    /// Given settings of one section that differ from the defaults, or have no effect.
    fn section(&self, section: Section, out: &mut String) {
        let defaults = Settings::node_defaults();
        let is_here = |row: &&Row| row.section == section;
        let differs = |row: &&Row| self.settings.show(row.key) != defaults.show(row.key);
        let rows: Vec<&Row> =
            self.given.keys().map(|key| key.row()).filter(is_here).filter(differs).collect();
        if !rows.is_empty() || section == Section::Program {
            let _ = writeln!(out, "\n[{}]", section.name(Program::Node));
        }
        for row in rows {
            let value = toml_value(&row.kind, &self.settings.show(row.key));
            let note = match row.effect {
                Effect::Accepted => "  # no effect in this version",
                _ => "",
            };
            let _ = writeln!(out, "{} = {value}{note}", row.name);
        }
    }
}

/// The TOML file. What was refused stands in comments at its end.
impl fmt::Display for FromRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = format!(
            "# Settings of `slotway node`, made from {}: all that differ from Slotway's defaults.\n",
            self.path.display()
        );
        Section::ALL.into_iter().for_each(|section| self.section(section, &mut out));
        if !self.refused.is_empty() {
            out.push_str("\n# Not taken over:\n");
            for mistake in &self.refused {
                let _ = writeln!(out, "#   {}", mistake.to_string().replace('\n', " "));
            }
        }
        f.write_str(out.trim_end())
    }
}

#[cfg(test)]
mod tests;
