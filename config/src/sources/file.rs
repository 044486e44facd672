//! Settings from a TOML file: `[section]`, then `name = value`.
//!
//! The file is parsed so that spans survive and errors do not end it, hence a message can name the line of each
//! mistake, of syntax or of meaning.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Given, Strangers, Written, distance};
use crate::mistakes::{Mistakes, Place};
use crate::row::{Kind, Program, Section};

/// A TOML value, freed from the text it was read from.
pub(crate) enum TomlValue {
    Text(String),
    /// In decimal.
    Number(String),
    Bool(bool),
    Array(Vec<TomlValue>),
    /// What no setting can be; the name of the type.
    Other(&'static str),
}

pub(super) fn read(path: &Path, program: Program, mistakes: &mut Mistakes) -> Vec<Given> {
    let at = |line| Place::File { path: path.to_owned(), line };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            mistakes.add(at(0), "", format!("cannot be read: {error}"));
            return Vec::new();
        }
    };
    let (document, errors) = DeTable::parse_recoverable(&text);
    let line = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    for error in errors {
        let start = error.span().map_or(0, |span| span.start);
        mistakes.add(at(line(start)), "", error.message());
    }
    let mut given = Vec::new();
    for (name, value) in document.get_ref() {
        let place = at(line(name.span().start));
        let name: &str = name.get_ref();
        let Some(section) = section_named(name, program) else {
            mistakes.add(place, name, no_section(name, program));
            continue;
        };
        let DeValue::Table(table) = value.get_ref() else {
            mistakes.add(place, name, format!("write it as a section: [{name}]"));
            continue;
        };
        given.extend(table.iter().map(|(key, value)| Given {
            place: at(line(key.span().start)),
            section: Some(section),
            key: format!("{name}.{}", key.get_ref()),
            name: key.get_ref().to_string(),
            strangers: Strangers::Mistakes,
            value: Written::Toml(owned(value)),
        }));
    }
    // A table comes sorted by name. In the order of the file, it is the later of two that is one too many.
    given.sort_by_key(|given| match given.place {
        Place::File { line, .. } => line,
        _ => 0,
    });
    given
}

/// The programs that have a section of their own in this file.
pub(crate) fn programs_in(text: &str) -> Vec<Program> {
    let (document, _) = DeTable::parse_recoverable(text);
    let named =
        |program: &Program| document.get_ref().iter().any(|(name, _)| name.get_ref() == program.name());
    Program::ALL.into_iter().filter(named).collect()
}

fn section_named(name: &str, program: Program) -> Option<Section> {
    Section::ALL.into_iter().find(|section| section.name(program) == name)
}

fn no_section(name: &str, program: Program) -> String {
    let sections = Section::ALL.map(|section| section.name(program));
    if Program::ALL.iter().any(|other| other.name() == name) {
        return format!("a section of slotway {name}, not of slotway {}", program.name());
    }
    match sections.into_iter().find(|section| distance(section, name) <= 2) {
        Some(near) => format!("there is no such section; did you mean [{near}]?"),
        None => format!("there is no such section; there are [{}]", sections.join("], [")),
    }
}

fn owned(value: &Spanned<DeValue<'_>>) -> TomlValue {
    match value.get_ref() {
        DeValue::String(text) => TomlValue::Text(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            let decimal = i128::from_str_radix(&digits, number.radix()).map(|number| number.to_string());
            TomlValue::Number(decimal.unwrap_or(digits))
        }
        DeValue::Float(number) => TomlValue::Number(number.as_str().replace('_', "")),
        DeValue::Boolean(flag) => TomlValue::Bool(*flag),
        DeValue::Array(values) => TomlValue::Array(values.iter().map(owned).collect()),
        DeValue::Table(_) => TomlValue::Other("a table"),
        DeValue::Datetime(_) => TomlValue::Other("a date"),
    }
}

impl TomlValue {
    /// The text that a setting of this type reads.
    ///
    /// # Errors
    /// Which TOML type was expected, and which one stands there.
    pub(super) fn text_for(self, kind: &Kind) -> Result<String, String> {
        match (self, kind) {
            (Self::Text(text), _) => Ok(text),
            (Self::Bool(true), Kind::Flag | Kind::Choice { .. }) => Ok("yes".into()),
            (Self::Bool(false), Kind::Flag | Kind::Choice { .. } | Kind::PortOrOff) => Ok("no".into()),
            (
                Self::Number(number),
                Kind::Integer { .. }
                | Kind::Clamped { .. }
                | Kind::Bytes { .. }
                | Kind::BytesRaised { .. }
                | Kind::BytesOrPercent
                | Kind::PortOrOff
                | Kind::Percentiles,
            ) => Ok(number),
            (Self::Array(values), Kind::Addresses) => Ok(flat(values)?.join(",")),
            (
                Self::Array(values),
                Kind::SavePoints
                | Kind::OutputLimits
                | Kind::OomScores
                | Kind::Percentiles
                | Kind::Words { .. }
                | Kind::Choices(_)
                | Kind::ReplicaOf,
            ) => Ok(flat(values)?.join(" ")),
            (other, kind) => Err(format!("expected {}, found {}", toml_type(kind), other.type_name())),
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::Array(_) => "an array",
            Self::Other(name) => name,
        }
    }
}

/// Every word of an array, also of arrays in it: `save = [[3600, 1], [60, 10000]]`.
fn flat(values: Vec<TomlValue>) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for value in values {
        match value {
            TomlValue::Text(text) | TomlValue::Number(text) => words.push(text),
            TomlValue::Array(inner) => words.extend(flat(inner)?),
            other @ (TomlValue::Bool(_) | TomlValue::Other(_)) => {
                return Err(format!("expected texts and numbers in the array, found {}", other.type_name()));
            }
        }
    }
    Ok(words)
}

fn toml_type(kind: &Kind) -> &'static str {
    match kind {
        Kind::Flag => "true or false",
        Kind::Integer { .. } | Kind::Clamped { .. } => "a number",
        Kind::Bytes { .. } | Kind::BytesRaised { .. } | Kind::BytesOrPercent => {
            "a number, or a size in quotes"
        }
        Kind::Octal { .. } | Kind::Choice { .. } | Kind::Text(_) | Kind::KeyspaceEvents => "a text in quotes",
        Kind::PortOrOff => "a number, or \"off\"",
        Kind::Choices(_)
        | Kind::Words { .. }
        | Kind::SavePoints
        | Kind::OutputLimits
        | Kind::OomScores
        | Kind::Percentiles
        | Kind::ReplicaOf
        | Kind::Addresses => "a text in quotes, or an array",
    }
}
