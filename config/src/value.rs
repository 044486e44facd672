//! The checked value of a setting, and how CONFIG GET prints it.

use std::fmt;

use crate::address::{self, Address};
use crate::events::KeyspaceEvents;
use crate::output::OutputLimits;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Flag(bool),
    Integer(i64),
    Octal(i64),
    Bytes(u64),
    BytesOrPercent(BytesOrPercent),
    Choice(&'static str),
    Choices(Vec<&'static str>),
    Text(String),
    SavePoints(Vec<SavePoint>),
    OutputLimits(OutputLimits),
    OomScores([i64; 3]),
    KeyspaceEvents(KeyspaceEvents),
    Percentiles(Vec<f64>),
    ReplicaOf(Option<(String, u16)>),
    PortOrOff(Option<u16>),
    Addresses(Vec<Address>),
}

/// `maxmemory-clients`: a size, or a share of `maxmemory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesOrPercent {
    Bytes(u64),
    Percent(u8),
}

/// One pair of `save`: after `seconds`, if at least `changes` keys changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: u64,
    pub changes: u32,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Octal(number) => write!(f, "{number:o}"),
            Self::Bytes(bytes) | Self::BytesOrPercent(BytesOrPercent::Bytes(bytes)) => write!(f, "{bytes}"),
            Self::BytesOrPercent(BytesOrPercent::Percent(percent)) => write!(f, "{percent}%"),
            Self::Choice(word) => f.write_str(word),
            Self::Choices(words) => f.write_str(&words.join(" ")),
            Self::Text(text) => f.write_str(text),
            Self::SavePoints(points) => {
                joined(f, points.iter().map(|point| format!("{} {}", point.seconds, point.changes)))
            }
            Self::OutputLimits(limits) => write!(f, "{limits}"),
            Self::OomScores(scores) => joined(f, scores.iter().map(i64::to_string)),
            Self::KeyspaceEvents(events) => write!(f, "{events}"),
            Self::Percentiles(numbers) => joined(f, numbers.iter().map(|number| short(*number))),
            Self::ReplicaOf(Some((host, port))) => write!(f, "{host} {port}"),
            Self::ReplicaOf(None) => Ok(()),
            Self::PortOrOff(Some(port)) => write!(f, "{port}"),
            Self::PortOrOff(None) => f.write_str("off"),
            Self::Addresses(addresses) => f.write_str(&address::list(addresses)),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: impl Iterator<Item = String>) -> fmt::Result {
    f.write_str(&parts.collect::<Vec<_>>().join(" "))
}

/// Six decimals without the zeros at the end, as Redis prints percentiles.
fn short(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
