//! The house rules that a text search can keep: the arrows between crates, the story at the head of each file, names.
//!
//! They are checked here because nobody remembers them in the hundredth review. Every check is data over the files of
//! the working tree, and every finding reads `file:line: what is wrong; what to do`. What needs judgement (is a comment
//! true, is a file one idea) is not attempted.
//!
//! The files come from a walk and not from git, so that a file is checked before it is committed and in a source archive.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/files.rs"]
mod files;

use files::{Source, findings, manifests, rust_files, text_files};

/// Past this a file is no longer held in a head. Tables of facts are: their length is the number of their facts.
const LINES_MAX: usize = 800;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Words that say nothing about what a type is; a noun of the field says it.
const EMPTY_NAMES: &[&str] = &["Manager", "Handler", "Helper", "Util", "Utils", "Common"];

/// Type names that hold such a word all the same, each with its reason.
const NAMES_WITH_REASON: &[(&str, &str, &str)] = &[(
    "node/src/dispatch.rs",
    "Handler",
    "the field's noun here: what a command's row names as its handler",
)];

/// Folders of the crates that decide and never act: no clock, no sockets, no runtime.
const PURE: &[&str] = &["resp", "commands", "cluster"];

/// How acting looks in source text.
const ACTS: &[&str] =
    &["Instant::now", "SystemTime::now", "std::net", "std::fs", "std::thread", "tokio::", "thread::sleep"];

/// Put together at run time, or this file would find itself.
fn machine_paths() -> Vec<String> {
    ["work", "root", "farm", "tmp/target"].iter().map(|folder| format!("/{folder}")).collect()
}

#[test]
fn crates_depend_only_on_the_rooms_the_architecture_allows() {
    findings(manifests().iter().flat_map(arrows::forbidden));
}

#[test]
fn the_architecture_document_draws_the_same_arrows() {
    findings(arrows::differences_from_the_document());
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    findings(manifests().iter().filter_map(|manifest| {
        let taken = manifest.text.contains("[lints]\nworkspace = true");
        (!taken).then(|| {
            format!("{}:1: no workspace lints; add `[lints]` with `workspace = true`", manifest.path)
        })
    }));
}

#[test]
fn every_version_of_a_dependency_stands_in_the_workspace_manifest_alone() {
    findings(manifests().iter().filter(|manifest| manifest.path != "Cargo.toml").flat_map(|manifest| {
        arrows::dependencies(manifest).into_iter().filter(|found| !found.from_workspace).map(|found| {
            format!(
                "{}:{}: `{}` has a version of its own; put it under [workspace.dependencies] and write `{}.workspace = true`",
                manifest.path, found.line, found.name, found.name
            )
        })
    }));
}

#[test]
fn every_file_opens_with_its_story() {
    findings(rust_files().iter().filter_map(|file| {
        let opens = file
            .text
            .lines()
            .next()
            .is_some_and(|line| line.len() > "//! ".len() && line.starts_with("//! "));
        (!opens)
            .then(|| format!("{}:1: no story; open the file with `//!`: the problem, the idea", file.path))
    }));
}

#[test]
fn modules_are_named_by_their_file() {
    findings(rust_files().iter().filter(|file| file.path.ends_with("/mod.rs")).map(|file| {
        format!("{}:1: a file called mod.rs; call it after its module, beside the folder", file.path)
    }));
}

#[test]
fn no_file_is_longer_than_a_head_can_hold() {
    findings(rust_files().iter().filter_map(|file| {
        let lines = file.text.lines().count();
        let known = LONG_FILES.iter().any(|(path, _)| *path == file.path);
        (lines > LINES_MAX && !known).then(|| {
            format!(
                "{}:{lines}: past {LINES_MAX} lines; cut it by meaning, or list it here with a reason",
                file.path
            )
        })
    }));
}

#[test]
fn exceptions_still_exist() {
    let files = rust_files();
    let there = |path: &str| files.iter().find(|file| file.path == path);
    let long =
        LONG_FILES.iter().filter(|(path, _)| there(path).is_none_or(|f| f.text.lines().count() <= LINES_MAX));
    let named = NAMES_WITH_REASON.iter().filter(|(path, name, _)| {
        there(path).is_none_or(|file| !types(file).iter().any(|(_, found)| found == name))
    });
    let stale = long.map(|(path, _)| *path).chain(named.map(|(path, _, _)| *path));
    findings(stale.map(|path| {
        format!("{path}:1: its exception in tests/tests/tidy.rs is no longer needed; remove it")
    }));
}

#[test]
fn types_are_named_with_the_nouns_of_the_field() {
    findings(rust_files().iter().flat_map(|file| {
        types(file).into_iter().filter_map(|(line, name)| {
            let word = words(&name).into_iter().find(|word| EMPTY_NAMES.contains(word))?;
            let known = NAMES_WITH_REASON.iter().any(|(path, known, _)| *path == file.path && *known == name);
            (!known).then(|| format!("{}:{line}: `{name}` says {word}; name what it is", file.path))
        })
    }));
}

#[test]
fn pure_crates_do_not_act() {
    let pure = |file: &&Source| PURE.iter().any(|folder| file.path.starts_with(&format!("{folder}/src/")));
    findings(rust_files().iter().filter(pure).flat_map(|file| {
        code_lines(file).filter_map(|(line, text)| {
            let found = ACTS.iter().find(|act| text.contains(**act))?;
            Some(format!(
                "{}:{line}: `{found}` in a pure crate; make it an argument or move it to the shell",
                file.path
            ))
        })
    }));
}

#[test]
fn nothing_is_left_for_later_in_the_source() {
    let marks: Vec<String> = [
        ("to", "do!("),
        ("unimplemen", "ted!("),
        ("TO", "DO"),
        ("FIX", "ME"),
        ("#[ig", "nore"),
        ("db", "g!("),
    ]
    .iter()
    .map(|(head, tail)| format!("{head}{tail}"))
    .collect();
    findings(rust_files().iter().flat_map(|file| {
        file.lines().filter_map(|(line, text)| {
            let mark = marks.iter().find(|mark| text.contains(mark.as_str()))?;
            Some(format!(
                "{}:{line}: `{mark}`; finish it, or say in the documentation what is missing",
                file.path
            ))
        })
    }));
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let paths = machine_paths();
    findings(text_files().iter().flat_map(|file| {
        file.lines().filter_map(|(line, text)| {
            let found = paths.iter().find(|path| names_path(text, path))?;
            Some(format!(
                "{}:{line}: `{found}` exists on one machine; write a relative path or a variable",
                file.path
            ))
        })
    }));
}

#[test]
fn lock_files_name_no_registry() {
    let lock = files::read("tests/clients/package-lock.json");
    findings(lock.lines().filter(|(_, text)| text.contains("\"resolved\"")).map(|(line, _)| {
        format!(
            "{}:{line}: an address of a registry; run npm in tests/clients, where .npmrc leaves it out",
            lock.path
        )
    }));
}

#[test]
fn a_pull_of_names_apart_finds_their_words() {
    assert_eq!(words("ReplyHandler2"), ["Reply", "Handler2"]);
    assert_eq!(words("TLSUtil"), ["T", "L", "S", "Util"]);
    assert!(names_path("see /place/x", "/place"), "a path at the start of a word");
    assert!(!names_path("some/place and /placement", "/place"), "part of a longer path or word");
}

/// A path as a path: not the tail of a longer one (`net/work`), not the head of a longer word (`/workers`).
fn names_path(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')');
        let before = text[..at].chars().next_back();
        let after = text[at + path.len()..].chars().next();
        !before.is_some_and(word) && !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The types a file declares, with their lines.
fn types(file: &Source) -> Vec<(usize, String)> {
    let declared = code_lines(file).filter_map(|(line, text)| {
        let mut rest = text.trim_start();
        if let Some(after) = rest.strip_prefix("pub") {
            rest = after.trim_start_matches(|c: char| c == '(' || c == ')' || c.is_lowercase()).trim_start();
        }
        let rest = ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| rest.strip_prefix(word))?;
        Some((line, rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()))
    });
    declared.collect()
}

/// `ReplyQueue` is `Reply` and `Queue`.
fn words(name: &str) -> Vec<&str> {
    let starts: Vec<usize> =
        name.char_indices().filter(|(_, c)| c.is_uppercase()).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([name.len()]);
    starts.iter().zip(ends).map(|(from, to)| &name[*from..to]).collect()
}

/// Lines that are not comments. A marker inside a string still counts, which no file needs.
fn code_lines(file: &Source) -> impl Iterator<Item = (usize, &str)> {
    file.lines().filter(|(_, text)| !text.trim_start().starts_with("//"))
}
