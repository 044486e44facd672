//! The table of settings for people: example files and `docs/settings.md`. A test keeps what is checked in equal
//! to what this prints.

use std::fmt::Write as _;

use crate::row::{Effect, Kind, Origin, Program, Row, Section};
use crate::rows::{ALIASES, ROWS};

/// A TOML file with every setting of a program, commented out at its default.
pub fn example(program: Program) -> String {
    let name = program.name();
    let mut text = format!(
        "# Settings of `slotway {name}`. Every setting stands here with its default; take away the # to change it.\n\
         # Check the file with `slotway check-config FILE`, use it with `slotway {name} --config FILE`.\n\
         # Over the file count environment variables (SLOTWAY__SECTION__NAME, with _ for -), over those flags\n\
         # (--name value). Sizes are bytes, or a text with a unit: \"64kb\", \"100mb\", \"1gb\".\n"
    );
    for section in Section::ALL {
        let rows: Vec<_> = rows_of(program).filter(|row| row.section == section).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(text, "\n# {}\n[{}]\n", section_story(section), section.name(program));
        for row in rows {
            let value = toml_value(&row.kind, row.default_of(program));
            let _ = write!(text, "\n# {}.{}\n#{} = {value}\n", row.meaning, notes(row), row.name);
        }
    }
    text
}

/// `docs/settings.md`.
pub fn table() -> String {
    let mut text = String::from(
        "# Settings\n\n\
         Every setting of every program. One name serves everywhere: in a TOML file under its section, as the\n\
         environment variable `SLOTWAY__SECTION__NAME` (with `_` for `-`), as the flag `--name value`, and in CONFIG\n\
         GET and CONFIG SET. Flags count over variables, variables over the file. All mistakes are reported at once.\n\
         Settings with one of Redis's names may stand in `[redis]` wherever they are at home.\n\n\
         *live*: CONFIG SET changes it; *start*: only a restart does. *accepted*: checked, stored and reported, but\n\
         without effect in this version.\n\n\
         Made from the table in `config/src/rows.rs`; examples of files are in `config/examples/`.\n",
    );
    for program in Program::ALL {
        let _ = write!(text, "\n## slotway {}\n", program.name());
        for section in Section::ALL {
            let rows: Vec<_> = rows_of(program).filter(|row| row.section == section).collect();
            if rows.is_empty() {
                continue;
            }
            let _ = write!(
                text,
                "\n### `[{}]`\n\n{}.\n\n| name | default | type | changes | meaning |\n|---|---|---|---|---|\n",
                section.name(program),
                section_story(section)
            );
            rows.iter().for_each(|row| table_line(&mut text, row, program));
        }
    }
    text.push_str("\n## Second names\n\nRedis's older names of some settings work everywhere too.\n\n");
    text.push_str("| name | means |\n|---|---|\n");
    for (alias, key) in ALIASES {
        let _ = writeln!(text, "| `{alias}` | `{}` |", key.name());
    }
    text
}

fn rows_of(program: Program) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| row.belongs_to(program) && !row.change.is_hidden())
}

fn section_story(section: Section) -> &'static str {
    match section {
        Section::Program => "Where it listens and what it belongs to",
        Section::Limits => "Bounds of queues, buffers, waits and counts",
        Section::Redis => "Everything else that Redis has, under Redis's names",
    }
}

fn table_line(text: &mut String, row: &Row, program: Program) {
    let default = match row.default_of(program) {
        "" => "(empty)".to_owned(),
        default => format!("`{default}`"),
    };
    let change = if row.change.is_live() { "live" } else { "start" };
    let note = match row.effect {
        Effect::Acts => String::new(),
        Effect::Accepted => " (accepted)".to_owned(),
        Effect::Fixed(why) => format!(" (only the default: {why})"),
    };
    // A bar would end the cell.
    let meaning = row.meaning.replace('|', "\\|");
    let kind = row.kind.describe();
    let _ = writeln!(text, "| `{}` | {default} | {kind} | {change} | {meaning}{note} |", row.name);
}

/// What a reader of an example file must know beside the meaning.
fn notes(row: &Row) -> String {
    let mut notes = String::new();
    match row.kind {
        Kind::Choice { .. } | Kind::Choices(_) => {
            let _ = write!(notes, " One of: {}.", row.kind.describe().trim_start_matches("some of: "));
        }
        Kind::Integer { min, max } if max < i64::from(i32::MAX) && !(min == 0 && max == 65535) => {
            let _ = write!(notes, " {min} to {max}.");
        }
        _ => {}
    }
    match row.effect {
        Effect::Acts => {}
        Effect::Accepted => notes.push_str(" No effect in this version."),
        Effect::Fixed(why) => {
            let _ = write!(notes, " Only the default: {why}.");
        }
    }
    if row.change.is_live() && row.origin == Origin::Redis {
        notes.push_str(" CONFIG SET changes it.");
    }
    notes
}

/// A value as TOML of the type that reads best.
pub(crate) fn toml_value(kind: &Kind, text: &str) -> String {
    match kind {
        Kind::Flag if text == "yes" => "true".to_owned(),
        Kind::Flag => "false".to_owned(),
        Kind::Bytes { .. } | Kind::BytesRaised { .. } => sized(text),
        Kind::Integer { .. } | Kind::Clamped { .. } => text.to_owned(),
        Kind::PortOrOff if text != "off" => text.to_owned(),
        _ => toml::Value::String(text.to_owned()).to_string(),
    }
}

/// `67108864` as `"64mb"`, where a unit fits without a rest.
fn sized(bytes: &str) -> String {
    let Ok(number) = bytes.parse::<u64>() else { return format!("\"{bytes}\"") };
    let units = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    match units.into_iter().find(|(unit, _)| number >= *unit && number.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("\"{}{name}\"", number / unit),
        None => number.to_string(),
    }
}
