//! The present values of one program: what CONFIG GET shows and CONFIG SET changes, and what code reads by key.
//!
//! Reading by key is an index into a vector and a match, cheap enough for every loop turn (not for every
//! request: keep what a request needs in a field of your own and renew it when [`Settings::set`] names the key).
//! A key read as the wrong type is a mistake in this project's code and panics with its name.

use std::fmt;

use crate::address::Address;
use crate::bind::Bind;
use crate::events::KeyspaceEvents;
use crate::output::OutputLimits;
use crate::parse::parse;
use crate::row::{Change, Effect, Program, Row};
use crate::rows::{ALIASES, Key, ROWS};
use crate::value::{BytesOrPercent, SavePoint, Value};

/// One value per row. Rows of other programs keep their default and are not shown.
#[derive(Clone, PartialEq)]
pub struct Settings {
    program: Program,
    values: Vec<Value>,
}

/// Why CONFIG SET changed nothing. Displays as the error reply, `ERR` included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    /// This program has no such setting.
    Unknown(String),
    /// `name` as the reply is to print it.
    Failed { name: String, why: String },
}

impl SetError {
    /// For a program that could not put a checked value into effect (and so restored the settings from before).
    pub fn failed(key: Key, why: impl Into<String>) -> Self {
        Self::Failed { name: key.name().to_owned(), why: why.into() }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            Self::Failed { name, why } => {
                write!(f, "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
            }
        }
    }
}

impl std::error::Error for SetError {}

/// What [`Settings::adopt`] did with freshly read settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Adopted {
    pub changed: Vec<Key>,
    /// Differ too, but only a restart can change them; they keep their values.
    pub need_restart: Vec<Key>,
}

impl Settings {
    pub fn node_defaults() -> Self {
        Self::defaults(Program::Node)
    }

    pub fn proxy_defaults() -> Self {
        Self::defaults(Program::Proxy)
    }

    pub fn defaults(program: Program) -> Self {
        let value = |row: &Row| {
            parse(&row.kind, row.default_of(program), None).expect("a test parses every default of the table")
        };
        Self { program, values: ROWS.iter().map(value).collect() }
    }

    pub fn program(&self) -> Program {
        self.program
    }

    /// Whether this program has a setting of this name or alias. A proxy passes the others on to its nodes.
    pub fn owns(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The canonical text of a setting by name or alias, in any case of letters, as CONFIG GET prints it.
    pub fn get(&self, name: &str) -> Option<String> {
        self.find(name).map(|(_, key)| self.show(key))
    }

    /// All settings whose name matches, aliases among them under their own names, as a pattern of CONFIG GET
    /// finds them. CONFIG GET looks a word without glob characters up with [`Settings::get`] instead, which finds
    /// hidden settings too.
    pub fn matching<'a>(
        &'a self,
        matches: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = (&'static str, String)> + 'a {
        let rows = ROWS.iter().map(|row| (row.name, row.key));
        rows.chain(ALIASES.iter().copied())
            .filter(move |(name, key)| {
                let row = key.row();
                row.belongs_to(self.program) && !row.change.is_hidden() && matches(name)
            })
            .map(|(name, key)| (name, self.show(key)))
    }

    /// CONFIG SET: all pairs or none. Returns the keys whose value is now another one.
    ///
    /// # Errors
    /// The reply for the first fault in Redis's order: all names are looked at before any value.
    pub fn set(&mut self, pairs: &[(&str, &str)]) -> Result<Vec<Key>, SetError> {
        let named = self.check_names(pairs)?;
        let mut fresh = self.clone();
        for ((name, key), (_, text)) in named.iter().zip(pairs) {
            let failed = |why| SetError::Failed { name: (*name).to_owned(), why };
            fresh.assign(*key, text).map_err(failed)?;
        }
        let changed = self.differing(&fresh);
        *self = fresh;
        Ok(changed)
    }

    /// Takes over freshly read settings (after SIGHUP) as far as a running program can.
    pub fn adopt(&mut self, fresh: &Self) -> Adopted {
        let may_change = |key: &Key| key.row().change.is_live();
        let (changed, need_restart): (Vec<_>, Vec<_>) =
            self.differing(fresh).into_iter().partition(may_change);
        for key in &changed {
            self.values[*key as usize] = fresh.value(*key).clone();
        }
        Adopted { changed, need_restart }
    }

    /// Stores what the program itself found out or changed (the port it got for 0, the primary it follows),
    /// also where CONFIG SET may not.
    ///
    /// # Errors
    /// What is wrong with `text`, in words.
    pub fn record(&mut self, key: Key, text: &str) -> Result<(), String> {
        self.assign(key, text)
    }

    pub fn flag(&self, key: Key) -> bool {
        match self.value(key) {
            Value::Flag(flag) => *flag,
            _ => wrong_type(key),
        }
    }

    pub fn integer(&self, key: Key) -> i64 {
        match self.value(key) {
            Value::Integer(number) | Value::Octal(number) => *number,
            _ => wrong_type(key),
        }
    }

    /// An integer whose bounds (0 or more) fit a count of things in memory.
    pub fn count(&self, key: Key) -> usize {
        usize::try_from(self.integer(key)).unwrap_or_else(|_| wrong_type(key))
    }

    /// A port that is always listened on.
    pub fn port(&self, key: Key) -> u16 {
        u16::try_from(self.integer(key)).unwrap_or_else(|_| wrong_type(key))
    }

    pub fn bytes(&self, key: Key) -> u64 {
        match self.value(key) {
            Value::Bytes(bytes) => *bytes,
            _ => wrong_type(key),
        }
    }

    /// A text, or the chosen word of a list.
    pub fn text(&self, key: Key) -> &str {
        match self.value(key) {
            Value::Text(text) => text,
            Value::Choice(word) => word,
            _ => wrong_type(key),
        }
    }

    /// A port that may be off.
    pub fn port_or_off(&self, key: Key) -> Option<u16> {
        match self.value(key) {
            Value::PortOrOff(port) => *port,
            _ => wrong_type(key),
        }
    }

    pub fn addresses(&self, key: Key) -> &[Address] {
        match self.value(key) {
            Value::Addresses(addresses) => addresses,
            _ => wrong_type(key),
        }
    }

    pub fn bind(&self) -> Vec<Bind> {
        Bind::all(self.text(Key::Bind))
    }

    pub fn output_limits(&self) -> OutputLimits {
        match self.value(Key::ClientOutputBufferLimit) {
            Value::OutputLimits(limits) => *limits,
            _ => wrong_type(Key::ClientOutputBufferLimit),
        }
    }

    pub fn save_points(&self) -> &[SavePoint] {
        match self.value(Key::Save) {
            Value::SavePoints(points) => points,
            _ => wrong_type(Key::Save),
        }
    }

    pub fn keyspace_events(&self) -> KeyspaceEvents {
        match self.value(Key::NotifyKeyspaceEvents) {
            Value::KeyspaceEvents(events) => *events,
            _ => wrong_type(Key::NotifyKeyspaceEvents),
        }
    }

    pub fn maxmemory_clients(&self) -> BytesOrPercent {
        match self.value(Key::MaxmemoryClients) {
            Value::BytesOrPercent(limit) => *limit,
            _ => wrong_type(Key::MaxmemoryClients),
        }
    }

    pub fn latency_percentiles(&self) -> &[f64] {
        match self.value(Key::LatencyTrackingInfoPercentiles) {
            Value::Percentiles(numbers) => numbers,
            _ => wrong_type(Key::LatencyTrackingInfoPercentiles),
        }
    }

    /// The primary to follow.
    pub fn replica_of(&self) -> Option<(&str, u16)> {
        match self.value(Key::Replicaof) {
            Value::ReplicaOf(primary) => primary.as_ref().map(|(host, port)| (host.as_str(), *port)),
            _ => wrong_type(Key::Replicaof),
        }
    }

    /// The canonical text of a key.
    pub fn show(&self, key: Key) -> String {
        self.value(key).to_string()
    }

    pub(crate) fn assign(&mut self, key: Key, text: &str) -> Result<(), String> {
        let row = key.row();
        let value = parse(&row.kind, text, Some(self.value(key)))?;
        if let Effect::Fixed(why) = row.effect
            && value.to_string() != row.default_of(self.program)
        {
            return Err(why.to_owned());
        }
        self.values[key as usize] = value;
        Ok(())
    }

    fn value(&self, key: Key) -> &Value {
        &self.values[key as usize]
    }

    fn find(&self, name: &str) -> Option<(&'static str, Key)> {
        Key::named(name).filter(|(_, key)| key.row().belongs_to(self.program))
    }

    fn differing(&self, other: &Self) -> Vec<Key> {
        let differs = |row: &&Row| self.value(row.key) != other.value(row.key);
        ROWS.iter().filter(differs).map(|row| row.key).collect()
    }

    /// The settings that `pairs` names, if all may be changed. An alias beside its setting is no duplicate; the
    /// later one wins.
    fn check_names(&self, pairs: &[(&str, &str)]) -> Result<Vec<(&'static str, Key)>, SetError> {
        let mut named: Vec<(&'static str, Key)> = Vec::with_capacity(pairs.len());
        for (asked, _) in pairs {
            let found = self.find(asked).ok_or_else(|| SetError::Unknown((*asked).to_owned()))?;
            let fault = match found.1.row().change {
                Change::AtStart | Change::HiddenAtStart => Some("can't set immutable config"),
                Change::Protected => Some("can't set protected config"),
                Change::Live | Change::Hidden if named.contains(&found) => Some("duplicate parameter"),
                Change::Live | Change::Hidden => None,
            };
            if let Some(why) = fault {
                return Err(SetError::Failed { name: (*asked).to_owned(), why: why.to_owned() });
            }
            named.push(found);
        }
        Ok(named)
    }
}

/// Passwords are settings: only names and values that differ from the defaults are shown, secrets not at all.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Settings");
        shown.field("program", &self.program);
        for key in self.differing(&Self::defaults(self.program)) {
            let text = if key.row().is_secret() { "(not shown)".to_owned() } else { self.show(key) };
            shown.field(key.name(), &text);
        }
        shown.finish()
    }
}

fn wrong_type(key: Key) -> ! {
    panic!("the setting {} is of another type: {}", key.name(), key.row().kind.describe())
}
