//! RDB: a keyspace as Redis writes it into snapshots, sends it to new replicas, and puts single values into DUMP.
//!
//! A file is a header, then opcodes: what is known of the next key, or of the file, then keys, each with the type of its value's
//! encoding, then the end with a checksum ([`checksum`]).
//!
//! ```text
//! | "REDIS" version, 4 digits | opcodes and keys ... | 0xFF | checksum, 8 bytes |
//! key: [ deadline ] [ idle time or count of uses ] | type | name | value |
//! ```
//!
//! We write version 10 ([`write`]), which redis-server 7.0 and all behind it load, and read ([`read`]) what 2.8 to 7.2
//! write, in all the encodings that strings and collections had in these years. Streams, functions and what modules keep
//! are recognised and refused by name: this node has no place for them.
//!
//! The format's source is what redis-server does; `doc/rdb` of redis-rdb-tools describes it up to version 7.

mod checksum;
mod lzf;

mod source;

mod compact;

pub(crate) mod read;
pub(crate) mod write;

pub(crate) use checksum::Checksum;

use crate::call::Millis;
use crate::keyspace::Settings;
use crate::keyspace::usage::Usage;

/// How records are written, as the settings have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// `rdbcompression`
    pub(crate) compress: bool,
    /// What is told of keys' use.
    pub(crate) noted: Noted,
}

/// What is told of a key's use: what the policy of eviction goes by, as in Redis.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Noted {
    Nothing,
    /// Seconds since the last use.
    Idle(Millis),
    /// The count of uses.
    Count(Usage, Millis),
}

impl Form {
    pub(crate) fn new(settings: &Settings, now: Millis) -> Form {
        let noted = match settings.policy {
            policy if policy.times_uses() => Noted::Idle(now),
            policy if policy.counts_uses() => Noted::Count(settings.usage, now),
            _ => Noted::Nothing,
        };
        Form { compress: settings.compress, noted }
    }
}

/// The version we write: that of redis-server 7.0.
const VERSION: u16 = 10;

/// The newest version we read: that of redis-server 7.2.
const VERSION_MAX: u16 = 11;

/// The first version that ends with a checksum.
const VERSION_CHECKSUM: u16 = 5;

const MAGIC: &[u8; 5] = b"REDIS";

/// What stands where a type could stand.
mod opcode {
    pub(super) const FUNCTION: u8 = 245;
    /// Of a release candidate of 7.0.
    pub(super) const FUNCTION_EARLY: u8 = 246;
    pub(super) const MODULE_AUX: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(super) const FREQUENCY: u8 = 249;
    pub(super) const AUX: u8 = 250;
    pub(super) const RESIZE: u8 = 251;
    pub(super) const DEADLINE_MILLIS: u8 = 252;
    pub(super) const DEADLINE_SECONDS: u8 = 253;
    pub(super) const SELECT: u8 = 254;
    pub(super) const END: u8 = 255;
}

/// The types of values: each is one encoding of one type of data.
mod kind {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    /// Scores are decimal digits.
    pub(super) const SORTED_SET: u8 = 3;
    pub(super) const HASH: u8 = 4;
    /// Scores are eight bytes.
    pub(super) const SORTED_SET_2: u8 = 5;
    pub(super) const MODULE_EARLY: u8 = 6;
    pub(super) const MODULE: u8 = 7;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTEGERS: u8 = 11;
    pub(super) const SORTED_SET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    /// Nodes are ziplists.
    pub(super) const QUICKLIST: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const SORTED_SET_LISTPACK: u8 = 17;
    /// Nodes are listpacks, or one element as it is.
    pub(super) const QUICKLIST_2: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM_3: u8 = 21;
}

/// The two highest bits of a length, or its first byte, and how strings are coded.
mod length {
    pub(super) const SIX_BITS_MAX: u64 = 0x3F;
    pub(super) const FOURTEEN_BITS_MAX: u64 = 0x3FFF;
    pub(super) const FOURTEEN_BITS: u8 = 0x40;
    pub(super) const FOUR_BYTES: u8 = 0x80;
    pub(super) const EIGHT_BYTES: u8 = 0x81;
    /// The other six bits say how a string is coded.
    pub(super) const CODED: u8 = 0xC0;
    pub(super) const CODED_1_BYTE: u8 = 0;
    pub(super) const CODED_2_BYTES: u8 = 1;
    pub(super) const CODED_4_BYTES: u8 = 2;
    pub(super) const CODED_LZF: u8 = 3;
}

/// How a node of a quicklist is kept.
mod container {
    /// One element as it is: a large one.
    pub(super) const PLAIN: u64 = 1;
    pub(super) const LISTPACK: u64 = 2;
}

#[cfg(test)]
mod tests;
