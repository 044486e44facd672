//! The command line of a program made from the settings' own rows, so that `--help` and what is accepted cannot differ.
//!
//! clap only sorts words into names and values here; what a value may be is checked by `slotway_config`, together with
//! the settings file and the environment, and reported with them.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use slotway_config::{ALIASES, Effect, Kind, Program, ROWS, Row, Section};

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
        .help_heading(heading(Section::Program))
        .value_parser(clap::value_parser!(PathBuf));
    let mut rows: Vec<&Row> = rows(program).collect();
    // Headings appear in the order of their first flag; within one the rows keep their own.
    rows.sort_by_key(|row| Section::ALL.iter().position(|section| *section == row.section));
    command.arg(config).args(rows.into_iter().map(|row| flag(row, program)))
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
    if row.effect == Effect::Accepted {
        help.push_str(" (accepted; takes effect in a later version)");
    }
    let flag = Arg::new(row.name).long(row.name).help(help).help_heading(heading(row.section));
    let flag = flag.aliases(ALIASES.iter().filter(|(_, key)| *key == row.key).map(|(alias, _)| *alias));
    let flag = flag.value_name(value_name(&row.kind)).hide(is_hidden(row, program));
    // The later of two wins, so that a script can append to a line it was given; save points add up, as in redis.conf.
    let flag = match row.kind {
        Kind::SavePoints => flag.action(ArgAction::Append),
        _ => flag.overrides_with(row.name),
    };
    // A single value may begin with a hyphen; where their number is open, a hyphen begins the next flag.
    match row.kind {
        Kind::Flag => flag.num_args(0..=1).default_missing_value("yes"),
        Kind::Words { .. } | Kind::SavePoints | Kind::OutputLimits | Kind::Addresses => flag.num_args(1..),
        _ => flag.allow_hyphen_values(true),
    }
}

/// A node takes every setting of Redis as a flag; a page that lists hundreds helps nobody.
fn is_hidden(row: &Row, program: Program) -> bool {
    program == Program::Node && row.section == Section::Redis
}

fn heading(section: Section) -> &'static str {
    match section {
        Section::Program => "Options",
        Section::Limits => "Limits",
        Section::Redis => "Redis's settings",
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
    fn the_later_of_two_wins_but_save_points_add_up() {
        let given = parse(
            Program::Node,
            &["slotway", "--port", "1", "--port", "2", "--save", "900", "1", "--save", "60", "9"],
        );
        let mut flags = given.flags;
        flags.sort();
        assert_eq!(flags, [("port".into(), "2".into()), ("save".into(), "900 1 60 9".to_owned())]);
    }

    #[test]
    fn addresses_may_stand_apart_or_together() {
        for words in [vec!["slotway", "--backends", "a:1,b:2"], vec!["slotway", "--backends", "a:1", "b:2"]] {
            assert_eq!(parse(Program::Proxy, &words).flags, [("backends".to_owned(), "a:1,b:2".to_owned())]);
        }
    }
}
