//! The working tree as texts with paths, and how findings are told.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Folders that hold what was built or fetched, never what was written.
const NOT_OURS: &[&str] = &["target", "node_modules", "slotway-data", "corpus", "artifacts"];

/// Endings of texts that people or programs read beside Rust.
const TEXT: &[&str] = &["rs", "md", "toml", "json", "py", "mjs", "sh", "yml", "yaml", "html", "js", "css"];

/// A file below the root of the repository; `path` is relative to it, with forward slashes.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Lines counted from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, text)| (index + 1, text))
    }
}

/// All Rust files: sources, tests, examples, fuzz targets.
pub(crate) fn rust_files() -> Vec<Source> {
    files(|path| path.extension().is_some_and(|ending| ending == "rs"))
}

/// Everything that is written to be read, and the scripts of the gate.
pub(crate) fn text_files() -> Vec<Source> {
    files(|path| match path.extension() {
        Some(ending) => TEXT.iter().any(|known| ending == *known),
        None => path.ends_with("test") || path.ends_with(".ci/run"),
    })
}

/// `Cargo.toml` of every member of the workspace. (The fuzz targets are a workspace of their own.)
pub(crate) fn manifests() -> Vec<Source> {
    files(|path| path.ends_with("Cargo.toml"))
        .into_iter()
        .filter(|file| !file.path.contains("/fuzz/"))
        .collect()
}

/// One file that must exist.
pub(crate) fn read(path: &str) -> Source {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Source { path: path.to_owned(), text }
}

/// Fails with all findings, one per line.
pub(crate) fn findings(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests crate lies in the root of the repository").to_owned()
}

fn files(wanted: impl Fn(&Path) -> bool) -> Vec<Source> {
    let root = root();
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries.map(|entry| entry.expect("an entry of a readable folder")) {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let kind = entry.file_type().expect("the kind of an entry");
            if kind.is_dir() {
                let hidden = name.starts_with('.') && name != ".ci" && name != ".config";
                let target = env::var_os("CARGO_TARGET_DIR").is_some_and(|target| path == *target);
                if !hidden && !target && !NOT_OURS.contains(&name.as_ref()) {
                    folders.push(path);
                }
            } else if kind.is_file() && wanted(&path) {
                // A file that an editor just replaced or removed is not a finding.
                let Ok(text) = fs::read_to_string(&path) else { continue };
                let path = path
                    .strip_prefix(&root)
                    .expect("the walk began at the root")
                    .to_string_lossy()
                    .into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "the walk found nothing below {}", root.display());
    found
}
