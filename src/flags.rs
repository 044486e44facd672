//! The command line of a program made from the settings' own rows, so that `--help` and what is accepted cannot differ.
//!
//! clap only sorts words into names and values here; what a value may be is checked by `slotway_config`, together with
//! the settings file and the environment, and reported with them.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};
use slotway_config::{ALIASES, Kind, Origin, Program, ROWS, Row};

/// Settings file and flags as they were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Given {
    pub(crate) config: Option<PathBuf>,
    /// Name without dashes, and value.
    pub(crate) flags: Vec<(String, String)>,
}

/// Adds `--config` and one flag per setting of `program`.
pub(crate) fn augment(command: Command, program: Program) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("Settings file (TOML); flags go over the environment, the environment over the file")
        .value_parser(clap::value_parser!(PathBuf));
    command.arg(config).args(rows(program).map(|row| flag(row, program)))
}

/// Takes the matches of an augmented command apart.
pub(crate) fn given(matches: &ArgMatches, program: Program) -> Given {
    let given = |row: &Row| {
        let values = matches.get_many::<String>(row.name)?;
        let separator = if row.kind == Kind::Addresses { "," } else { " " };
        let value = values.map(String::as_str).collect::<Vec<_>>().join(separator);
        Some((row.name.to_owned(), value))
    };
    Given { config: matches.get_one("config").cloned(), flags: rows(program).filter_map(given).collect() }
}

fn rows(program: Program) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| row.belongs_to(program))
}

fn flag(row: &'static Row, program: Program) -> Arg {
    let mut help = row.meaning.to_owned();
    match row.default_of(program) {
        "" => {}
        default => help.push_str(&format!(" [default: {default}]")),
    }
    if row.effect == slotway_config::Effect::Accepted {
        help.push_str(" (accepted; takes effect in a later version)");
    }
    let flag = Arg::new(row.name).long(row.name).help(help).help_heading(heading(row));
    let flag = flag.aliases(ALIASES.iter().filter(|(_, key)| *key == row.key).map(|(alias, _)| *alias));
    let flag = flag.value_name(value_name(&row.kind)).hide(is_hidden(row, program)).allow_hyphen_values(true);
    match row.kind {
        Kind::Flag => flag.num_args(0..=1).default_missing_value("yes"),
        Kind::Words { .. } | Kind::SavePoints | Kind::OutputLimits | Kind::Addresses => {
            flag.num_args(1..).allow_hyphen_values(false)
        }
        _ => flag,
    }
}

/// A node takes every setting of Redis as a flag; a page that lists hundreds helps nobody.
fn is_hidden(row: &Row, program: Program) -> bool {
    program == Program::Node && row.section == slotway_config::Section::Redis
}

fn heading(row: &Row) -> &'static str {
    match (row.section, row.origin) {
        (slotway_config::Section::Program, _) => "Options",
        (slotway_config::Section::Limits, _) => "Limits",
        (slotway_config::Section::Redis, Origin::Redis | Origin::Slotway) => "Redis's settings",
    }
}

fn value_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Flag => "yes|no",
        Kind::PortOrOff => "PORT|off",
        Kind::Addresses => "HOST:PORT,...",
        Kind::Words { .. } => "WORD",
        Kind::Bytes { .. } | Kind::BytesRaised { .. } | Kind::BytesOrPercent => "SIZE",
        Kind::Integer { .. } | Kind::Clamped { .. } | Kind::Octal { .. } => "N",
        Kind::Choice { .. } | Kind::Choices(_) => "WORD",
        Kind::Text(_)
        | Kind::SavePoints
        | Kind::OutputLimits
        | Kind::OomScores
        | Kind::KeyspaceEvents
        | Kind::Percentiles
        | Kind::ReplicaOf => "VALUE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(program: Program, words: &[&str]) -> Given {
        let command = augment(Command::new("slotway"), program);
        given(&command.get_matches_from(words), program)
    }

    #[test]
    fn every_program_has_a_valid_command_line() {
        for program in Program::ALL {
            augment(Command::new("slotway"), program).debug_assert();
        }
    }

    #[test]
    fn flags_are_taken_as_they_are_written() {
        let words = [
            "slotway",
            "--port",
            "0",
            "--no-restart",
            "--dir=/x",
            "--bind",
            "127.0.0.1",
            "::1",
            "--config",
            "f",
        ];
        let given = parse(Program::Up, &words);
        let mut flags = given.flags;
        flags.sort();
        let flags: Vec<(&str, &str)> =
            flags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(flags, [("bind", "127.0.0.1 ::1"), ("dir", "/x"), ("no-restart", "yes"), ("port", "0")]);
        assert_eq!(given.config, Some("f".into()));
    }

    #[test]
    fn addresses_may_stand_apart_or_together() {
        for words in [vec!["slotway", "--backends", "a:1,b:2"], vec!["slotway", "--backends", "a:1", "b:2"]] {
            assert_eq!(parse(Program::Proxy, &words).flags, [("backends".to_owned(), "a:1,b:2".to_owned())]);
        }
    }
}
