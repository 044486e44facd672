//! What one setting is: the columns of the table in [`crate::rows`].
//!
//! A row is plain data so that it can be read by everyone who must know a setting: CONFIG GET and SET, the file
//! and flag readers, the example files, the documentation and the tests that compare it with a real redis-server.

use crate::rows::Key;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub key: Key,
    /// The one name it has everywhere: in files, as a flag, in CONFIG GET. Lower case.
    pub name: &'static str,
    pub origin: Origin,
    pub section: Section,
    pub programs: &'static [Program],
    pub kind: Kind,
    /// Canonical text. A program may differ: see [`Row::default_of`].
    pub default: &'static str,
    pub change: Change,
    pub effect: Effect,
    /// One line for people, units included.
    pub meaning: &'static str,
}

/// Who named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A name of Redis 7.2: CONFIG knows it, `[redis]` takes it.
    Redis,
    Slotway,
}

/// The program that has the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Node,
    Proxy,
    Up,
}

impl Program {
    pub const ALL: [Self; 3] = [Self::Node, Self::Proxy, Self::Up];

    /// As it is typed, and as its own section is called in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Proxy => "proxy",
            Self::Up => "up",
        }
    }
}

/// Where a setting stands in a TOML file and in the name of an environment variable. Settings with one of
/// Redis's names are welcome in `[redis]` too, wherever they are at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `[node]`, `[proxy]` or `[up]`: where the program listens, what it belongs to.
    Program,
    /// `[limits]`: the bounds of queues, buffers, waits and counts.
    Limits,
    /// `[redis]`: everything else that Redis has.
    Redis,
}

impl Section {
    pub const ALL: [Self; 3] = [Self::Program, Self::Limits, Self::Redis];

    pub fn name(self, program: Program) -> &'static str {
        match self {
            Self::Program => program.name(),
            Self::Limits => "limits",
            Self::Redis => "redis",
        }
    }
}

/// When a setting may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// While the program runs.
    Live,
    /// Only where the program starts: CONFIG SET says "can't set immutable config".
    AtStart,
    /// Only where the program starts, because a client that could change it could write files of its choice:
    /// CONFIG SET says "can't set protected config".
    Protected,
    /// While the program runs; a pattern of CONFIG GET does not show it, its exact name does.
    Hidden,
    /// Only where the program starts, and shown as little.
    HiddenAtStart,
}

impl Change {
    pub fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::Hidden)
    }

    pub fn is_hidden(self) -> bool {
        matches!(self, Self::Hidden | Self::HiddenAtStart)
    }
}

/// What a setting does in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Acts,
    /// Checked, stored and reported, so that clients and tools that read or write it work; nothing acts on it yet.
    Accepted,
    /// Only the default is possible; the text says why, to whoever asks for something else.
    Fixed(&'static str),
}

/// The type of a setting, with bounds. The grammar of each is in `parse.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    Flag,
    Integer {
        min: i64,
        max: i64,
    },
    /// An integer that Redis takes from a wide range and moves to the nearest bound.
    Clamped {
        min: i64,
        max: i64,
    },
    Octal {
        max: i64,
    },
    /// A size: `100mb`, `1gb`, `64k`; printed as bytes.
    Bytes {
        min: u64,
        max: u64,
    },
    /// A size of 1 or more that Redis raises to `floor`.
    BytesRaised {
        floor: u64,
    },
    /// A size, or a percentage of `maxmemory`.
    BytesOrPercent,
    /// One word of a list. `same` names words that mean another one of the list.
    Choice {
        words: &'static [&'static str],
        same: &'static [(&'static str, &'static str)],
    },
    /// Several words of a list.
    Choices(&'static [&'static str]),
    Text(TextRule),
    /// Words with a space between: `bind`.
    Words {
        max: usize,
    },
    /// `save`: pairs of seconds and changes.
    SavePoints,
    /// `client-output-buffer-limit`: class, hard bytes, soft bytes, soft seconds, repeated.
    OutputLimits,
    OomScores,
    /// `notify-keyspace-events`: a letter per class.
    KeyspaceEvents,
    Percentiles,
    /// `host port`, or nothing.
    ReplicaOf,
    /// A TCP port; 0 is any free one; `off` does not listen.
    PortOrOff,
    /// `host:port,host:port`.
    Addresses,
}

/// What a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextRule {
    Any,
    /// Never printed in a message.
    Secret,
    /// A file name without a directory.
    FileName,
    /// The same, and not empty.
    FileNameGiven,
    /// The same, said of a directory.
    DirNameGiven,
    HostName,
    ProcTitle,
}

impl Kind {
    /// For the documentation: `integer, 1 to 10`.
    pub fn describe(&self) -> String {
        match *self {
            Self::Flag => "yes or no".into(),
            Self::Integer { min, max } | Self::Clamped { min, max } => format!("integer, {}", span(min, max)),
            Self::Octal { max } => format!("octal number, 0 to {max:o}"),
            Self::Bytes { min, max } if max >= u64::MAX / 2 => format!("size, {min} bytes or more"),
            Self::Bytes { min, max } => format!("size, {min} to {max} bytes"),
            Self::BytesRaised { floor } => format!("size, {floor} bytes or more"),
            Self::BytesOrPercent => "size, or percent of maxmemory".into(),
            Self::Choice { words, .. } => words.join(", "),
            Self::Choices(words) => format!("some of: {}", words.join(", ")),
            Self::Text(TextRule::Secret) => "text, secret".into(),
            Self::Text(TextRule::FileName | TextRule::FileNameGiven) => "file name".into(),
            Self::Text(TextRule::DirNameGiven) => "directory name".into(),
            Self::Text(TextRule::HostName) => "host name".into(),
            Self::Text(TextRule::Any | TextRule::ProcTitle) => "text".into(),
            Self::Words { max } => format!("up to {max} words"),
            Self::SavePoints => "pairs of seconds and changes".into(),
            Self::OutputLimits => "class, hard bytes, soft bytes, soft seconds; repeated".into(),
            Self::OomScores => "three integers, -2000 to 2000".into(),
            Self::KeyspaceEvents => "letters of Ag$lshzxeKEtmdn".into(),
            Self::Percentiles => "numbers, 0 to 100".into(),
            Self::ReplicaOf => "host and port, or nothing".into(),
            Self::PortOrOff => "port (0: any free one), or off".into(),
            Self::Addresses => "host:port, separated by commas".into(),
        }
    }
}

/// Bounds as wide as a machine integer are no news to a reader.
fn span(min: i64, max: i64) -> String {
    match (min, max) {
        (_, max) if max < i64::from(i32::MAX) => format!("{min} to {max}"),
        (min, _) if min <= i64::from(i32::MIN) => "any".into(),
        (min, _) => format!("{min} or more"),
    }
}

impl Row {
    pub fn belongs_to(&self, program: Program) -> bool {
        self.programs.contains(&program)
    }

    /// The default in one program: most have one for all, `DEFAULTS_OF` names the others.
    pub fn default_of(&self, program: Program) -> &'static str {
        crate::rows::DEFAULTS_OF
            .iter()
            .find(|(of, key, _)| *of == program && *key == self.key)
            .map_or(self.default, |(_, _, text)| text)
    }

    /// Whether a message may print its value.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Text(TextRule::Secret)
    }

    /// Whether `section` may hold it in a file of this program.
    pub fn stands_in(&self, section: Section) -> bool {
        self.section == section || (section == Section::Redis && self.origin == Origin::Redis)
    }
}
