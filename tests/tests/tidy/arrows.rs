//! Which crate may depend on which: node and proxy meet only on the wire, what decides knows nothing of what acts.
//!
//! Only ordinary dependencies are arrows. Tests of a crate may use what the crate itself may not.

use super::files::{Source, manifests, read};

/// Folder of a crate, and the crates of the workspace it may depend on. `ARCHITECTURE.md` draws the same table.
const ROOMS: &[(&str, &[&str])] = &[
    ("resp", &[]),
    ("commands", &["resp"]),
    ("cluster", &[]),
    ("config", &[]),
    ("link", &["resp", "config"]),
    ("node", &["resp", "commands", "cluster", "config", "link"]),
    ("proxy", &["resp", "commands", "cluster", "config", "link"]),
    ("control", &["resp", "commands", "cluster", "config", "link"]),
    ("admin-api", &["cluster", "config"]),
    ("tests/history", &[]),
    ("tests/simulation", &["cluster", "history"]),
];

/// Whole-system tests look at everything, the binary wires everything; only the binary is not for tests to look into.
const EVERYTHING: &[&str] = &["", "tests"];

const PREFIX: &str = "slotway-";

/// One line of a `[dependencies]` section.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) from_workspace: bool,
}

/// The arrows of one crate that nobody agreed to.
pub(crate) fn forbidden(manifest: &Source) -> Vec<String> {
    let folder = folder(manifest);
    let arrows = dependencies(manifest).into_iter().filter_map(|found| {
        let to = found.name.strip_prefix(PREFIX)?.to_owned();
        Some((found.line, to))
    });
    let Some((_, allowed)) = ROOMS.iter().find(|(room, _)| *room == folder) else {
        if !EVERYTHING.contains(&folder) {
            return vec![format!(
                "{}:1: a room nobody knows; add its row here and in ARCHITECTURE.md",
                manifest.path
            )];
        }
        return arrows
            .filter(|(_, to)| to == "tests")
            .map(|(line, _)| {
                format!("{}:{line}: nothing depends on the tests; move what is shared", manifest.path)
            })
            .collect();
    };
    arrows
        .filter(|(_, to)| !allowed.contains(&to.as_str()))
        .map(|(line, to)| {
            let path = &manifest.path;
            format!("{path}:{line}: `{folder}` must not depend on `{to}`; ARCHITECTURE.md says which rooms it may use")
        })
        .collect()
}

/// The rows of the document's table that say something else than [`ROOMS`], and rows that are missing there.
pub(crate) fn differences_from_the_document() -> Vec<String> {
    let document = read("ARCHITECTURE.md");
    let compare = |(room, allowed): &(&str, &[&str])| {
        let start = format!("| `{room}` |");
        let Some((line, row)) = document.lines().find(|(_, text)| text.starts_with(&start)) else {
            return Some(format!("{}:1: no row `{start} owns | may depend on |`; add it", document.path));
        };
        let cell = row.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let drawn: Vec<&str> =
            cell.split(',').map(|name| name.trim().trim_matches('`')).filter(|name| *name != "-").collect();
        let same = drawn == *allowed;
        (!same).then(|| {
            format!("{}:{line}: says {drawn:?}, tests/tests/tidy/arrows.rs {allowed:?}; agree", document.path)
        })
    };
    let rows = ROOMS.iter().filter_map(compare);
    let missing = ROOMS.iter().filter(|(room, _)| !manifests().iter().any(|found| folder(found) == *room));
    rows.chain(
        missing.map(|(room, _)| format!("{room}/Cargo.toml:1: a room without a crate; remove its row")),
    )
    .collect()
}

/// What the sections `[dependencies]` and `[target.….dependencies]` name. Sections of one dependency each are not used.
pub(crate) fn dependencies(manifest: &Source) -> Vec<Dependency> {
    let mut inside = false;
    let mut found = Vec::new();
    for (line, text) in manifest.lines() {
        if let Some(section) = text.strip_prefix('[') {
            let section = section.trim_end().trim_end_matches(']');
            inside = section == "dependencies"
                || (section.starts_with("target.") && section.ends_with(".dependencies"));
            continue;
        }
        if !inside || text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let name = text.split(['.', '=', ' ']).next().unwrap_or_default().to_owned();
        let from_workspace = text.contains("workspace = true");
        found.push(Dependency { line, name, from_workspace });
    }
    found
}

/// The root package is the empty folder.
fn folder(manifest: &Source) -> &str {
    manifest.path.strip_suffix("Cargo.toml").unwrap_or_default().trim_end_matches('/')
}
