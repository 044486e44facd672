//! What `main` needs to start each program, checked as a whole.
//!
//! The settings themselves stay in [`Settings`]; the fields here are what is decided once at start, already in
//! the types that are used. Mistakes that only several settings together make are found here, and put where one
//! of them was given.

mod node;
mod proxy;
mod up;

pub use node::NodeConfig;
pub use proxy::{BackendKind, ProxyConfig, Upstream};
pub use up::{Durability, UpConfig};

use std::path::{Path, PathBuf};

use crate::bind::check_exposure;
use crate::mistakes::Place;
use crate::rows::Key;
use crate::secret::Secret;
use crate::sources::Layered;

/// `dir` as an absolute path. It need not exist yet.
fn directory(layered: &mut Layered) -> PathBuf {
    let given = PathBuf::from(layered.settings.text(Key::Dir));
    let whole = match std::path::absolute(&given) {
        Ok(whole) => whole,
        Err(error) => {
            layered.blame(Key::Dir, format!("{}: {error}", given.display()));
            return given;
        }
    };
    // CONFIG GET dir names the whole path, as Redis does.
    if let Some(text) = whole.to_str()
        && layered.settings.record(Key::Dir, text).is_err()
    {
        layered.blame(Key::Dir, "not a directory name");
    }
    whole
}

/// The rules about listening that all programs share.
fn check_listening(layered: &mut Layered) {
    if layered.settings.bind().is_empty() {
        layered.blame(Key::Bind, "at least one address is needed");
    }
    if let Err(exposed) = check_exposure(&layered.settings) {
        layered.blame(Key::Bind, exposed.to_string());
    }
}

/// The file that a setting names, if it names one. A path in a settings file counts from there.
fn file_of(layered: &Layered, key: Key) -> Option<PathBuf> {
    let path = PathBuf::from(layered.settings.text(key));
    if path.as_os_str().is_empty() {
        return None;
    }
    let beside = match layered.places.get(&key) {
        Some((Place::File { path, .. }, _)) => path.parent().map(Path::to_owned),
        _ => None,
    };
    Some(beside.unwrap_or_default().join(path))
}

/// The content of that file.
fn secret_of(layered: &mut Layered, key: Key) -> Option<Secret> {
    match Secret::read(&file_of(layered, key)?) {
        Ok(secret) => Some(secret),
        Err(why) => {
            layered.blame(key, why);
            None
        }
    }
}
