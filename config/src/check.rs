//! `slotway check-config FILE`: is this file right, without starting anything?

use std::fmt;
use std::path::{Path, PathBuf};

use crate::mistakes::{Mistakes, Place};
use crate::programs::{NodeConfig, ProxyConfig, UpConfig};
use crate::row::Program;
use crate::settings::Settings;
use crate::sources::programs_in;

/// A file without mistakes. Displays as one line and the settings that differ from the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub path: PathBuf,
    /// Whose settings it holds.
    pub program: Program,
    /// What differs from the defaults, secrets without their value.
    pub differs: Vec<(&'static str, String)>,
}

/// Reads a file alone, without environment and flags. Its own section (`[node]`, `[proxy]` or `[up]`, which may be
/// empty) says for which program it is.
///
/// # Errors
/// All mistakes.
pub fn check_config(path: &Path) -> Result<Report, Mistakes> {
    let fault = |text: &str| {
        let mut mistakes = Mistakes::default();
        mistakes.add(Place::File { path: path.to_owned(), line: 0 }, "", text);
        mistakes
    };
    let text = std::fs::read_to_string(path).map_err(|error| fault(&format!("cannot be read: {error}")))?;
    let none = || std::iter::empty();
    let settings = match programs_in(&text)[..] {
        [Program::Node] => NodeConfig::load(Some(path), none(), Vec::new())?.settings,
        [Program::Proxy] => ProxyConfig::load(Some(path), none(), Vec::new())?.settings,
        [Program::Up] => UpConfig::load(Some(path), none(), Vec::new())?.settings,
        [] => return Err(fault("says of no program what it is: begin it with [node], [proxy] or [up]")),
        _ => return Err(fault("holds sections of several programs: make a file for each")),
    };
    Ok(Report { path: path.to_owned(), program: settings.program(), differs: differing(&settings) })
}

fn differing(settings: &Settings) -> Vec<(&'static str, String)> {
    let defaults = Settings::defaults(settings.program());
    let shown = |key: crate::Key| match key.row().is_secret() {
        true => "(not shown)".to_owned(),
        false => settings.show(key),
    };
    let keys = crate::ROWS.iter().map(|row| row.key);
    keys.filter(|key| settings.show(*key) != defaults.show(*key))
        .map(|key| (key.name(), shown(key)))
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: settings of slotway {}, no mistakes", self.path.display(), self.program.name())?;
        self.differs.iter().try_for_each(|(name, text)| write!(f, "\n  {name} = {text}"))
    }
}
