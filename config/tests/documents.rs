//! The example files and `docs/settings.md` are printed from the table of settings. These tests fail when the table
//! has moved on; run them once with `SLOTWAY_REWRITE_DOCS=1` to bring the files up to date.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::path::{Path, PathBuf};

use slotway_config::{NodeConfig, Program, ProxyConfig, Settings, UpConfig, check_config, render};

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn check(path: &str, expected: &str) {
    let path = at(path);
    if std::env::var_os("SLOTWAY_REWRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{} is stale; run this test with SLOTWAY_REWRITE_DOCS=1. First difference: {differs:?}",
        path.display()
    );
}

#[test]
fn an_example_file_is_up_to_date_valid_and_changes_nothing() {
    for program in Program::ALL {
        let path = format!("examples/{}.toml", program.name());
        check(&path, &render::example(program));
        let report = check_config(&at(&path)).unwrap();
        assert_eq!(report.program, program);
        // An example leaves dir to where the program is started.
        assert!(report.differs.iter().all(|(name, _)| *name == "dir"), "{report}");
    }
}

#[test]
fn the_table_in_the_documentation_is_up_to_date() {
    check("../docs/settings.md", &render::table());
}

#[test]
fn an_example_file_with_every_setting_uncommented_says_the_defaults() {
    for program in Program::ALL {
        let text = render::example(program);
        // A setting follows the # at once, prose a space.
        let uncomment = |line: &str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting.to_owned(),
            _ => line.to_owned(),
        };
        let whole: Vec<_> = text.lines().map(uncomment).collect();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("all.toml");
        std::fs::write(&file, whole.join("\n")).unwrap();
        let none = || std::iter::empty();
        let mut settings = match program {
            Program::Node => NodeConfig::load(Some(&file), none(), Vec::new()).unwrap().settings,
            Program::Proxy => ProxyConfig::load(Some(&file), none(), Vec::new()).unwrap().settings,
            Program::Up => UpConfig::load(Some(&file), none(), Vec::new()).unwrap().settings,
        };
        let defaults = Settings::defaults(program);
        settings.record(slotway_config::Key::Dir, defaults.text(slotway_config::Key::Dir)).unwrap();
        assert_eq!(settings, defaults);
    }
}
