//! What is wrong with the settings somebody wrote: every mistake, each with the place to go and correct it.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Lines count from 1; 0 is the file as a whole.
    File { path: PathBuf, line: usize },
    /// An environment variable.
    Variable(String),
    /// A flag, without its `--`.
    Flag(String),
    /// Nowhere: what is missing, or a default.
    Nowhere,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub place: Place,
    /// As it is written there, `section.name` in a file; empty if it is not about one setting.
    pub key: String,
    pub text: String,
}

/// All mistakes, in the order file, environment, flags, and last what only all of them together show. Never empty
/// as an error. Displays one line each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    pub(crate) fn add(&mut self, place: Place, key: impl Into<String>, text: impl Into<String>) {
        self.0.push(Mistake { place, key: key.into(), text: text.into() });
    }

    pub(crate) fn or<T>(self, good: T) -> Result<T, Self> {
        match self.0.is_empty() {
            true => Ok(good),
            false => Err(self),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { path, line: 0 } => write!(f, "{}: ", path.display())?,
            Place::File { path, line } => write!(f, "{}:{line}: ", path.display())?,
            Place::Variable(name) => write!(f, "{name}: ")?,
            Place::Flag(name) => write!(f, "--{name}: ")?,
            Place::Nowhere => {}
        }
        // A variable and a flag are already called by the key.
        let named_by_place = matches!(self.place, Place::Variable(_) | Place::Flag(_));
        match &self.key {
            key if key.is_empty() || named_by_place => write!(f, "{}", self.text),
            key => write!(f, "{key}: {}", self.text),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Mistakes {}
