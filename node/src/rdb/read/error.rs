//! What can be wrong with a snapshot, and where it is.

use std::fmt::{self, Display};

use slotway_cluster::Database;

use crate::keyspace::load::Unfit;
use crate::rdb::VERSION_MAX;

/// Why a snapshot could not be read to its end.
#[derive(Debug)]
pub(crate) struct ReadError {
    /// Bytes that had been read.
    pub(crate) offset: u64,
    pub(crate) flaw: Flaw,
}

/// What is wrong.
#[derive(Debug)]
pub(crate) enum Flaw {
    /// Whatever the bytes come from failed.
    Unreadable(std::io::Error),
    /// The bytes end before the end mark.
    Truncated,
    /// It does not begin as a snapshot does.
    NotRdb,
    /// Of this version, which we do not know.
    Version(u16),
    Malformed(&'static str),
    /// It is in order, but there is no place for it here.
    Unsupported(String),
    Checksum {
        written: u64,
        computed: u64,
    },
    /// Within the value of a key.
    Key {
        key: String,
        database: Database,
        flaw: Box<Flaw>,
    },
}

impl From<&'static str> for Flaw {
    fn from(what: &'static str) -> Flaw {
        Flaw::Malformed(what)
    }
}

impl From<Unfit> for Flaw {
    fn from(unfit: Unfit) -> Flaw {
        Flaw::Malformed(match unfit {
            Unfit::Duplicate => "a collection that has one of its elements twice",
            Unfit::Disorder => "a packed sorted set that is not in its order",
            Unfit::NotANumber => "a sorted set with a score that is not a number",
        })
    }
}

impl Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.flaw)
    }
}

impl Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Unreadable(error) => write!(f, "cannot read on: {error}"),
            Flaw::Truncated => write!(f, "it ends here, before its end mark"),
            Flaw::NotRdb => write!(f, "it is no RDB file: it does not begin with REDIS and a version"),
            Flaw::Version(version) => {
                write!(f, "it is of RDB version {version}; versions 1 to {VERSION_MAX} can be read")
            }
            Flaw::Malformed(what) => write!(f, "{what}"),
            Flaw::Unsupported(what) => write!(f, "{what}, for which this server has no place"),
            Flaw::Checksum { written, computed } => {
                write!(f, "the checksum is {written:016x}, but that of the bytes is {computed:016x}")
            }
            Flaw::Key { key, database, flaw } => write!(f, "key '{key}' in database {}: {flaw}", database.0),
        }
    }
}

impl std::error::Error for ReadError {}
