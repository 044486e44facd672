//! Which slot a key has: the one answer, used by node, proxy and tests.
//!
//! A **spread** database hashes each key as Redis Cluster does: CRC16 (XMODEM) of the key, or of its hash tag, modulo
//! 16384. A **whole** database keeps all its keys in one home slot, so that every multi-key command works there as on
//! a single Redis. Database 0 is spread and 1-15 are whole unless the cluster says otherwise.
//! Source: Redis Cluster specification, "Key distribution model" and "Hash tags".

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::crc;

/// Number of slots of a cluster.
pub const SLOTS: u16 = 16384;

/// How far apart the home slots of neighbouring whole databases lie: odd, so that they spread over shards.
const HOME_STRIDE: u16 = 10126;

/// One of the 16384 hash slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(u16);

/// A database number, as SELECT takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Database(pub u8);

/// Databases of one server, as a single Redis has by default.
pub const DATABASES: u8 = 16;

impl Slot {
    /// None when `number` is 16384 or more.
    pub fn new(number: u16) -> Option<Slot> {
        (number < SLOTS).then_some(Slot(number))
    }

    pub fn number(self) -> u16 {
        self.0
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All slots in order.
    pub fn all() -> impl ExactSizeIterator<Item = Slot> + Clone {
        (0..SLOTS).map(Slot)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What decides the slot of a key beside the key itself: part of the topology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The databases whose keys are spread over all slots.
    spread: Vec<Database>,
}

impl Default for Placement {
    /// Database 0 is spread, the others are whole.
    fn default() -> Self {
        Placement { spread: vec![Database(0)] }
    }
}

impl Placement {
    pub fn is_spread(&self, database: Database) -> bool {
        self.spread.contains(&database)
    }

    /// The slot that holds all keys of a whole database.
    pub fn home(database: Database) -> Slot {
        let product = u32::from(database.0) * u32::from(HOME_STRIDE) % u32::from(SLOTS);
        Slot(u16::try_from(product).expect("a remainder of 16384 fits"))
    }
}

/// The slot of `key` in `database`.
pub fn slot_of(placement: &Placement, database: Database, key: &[u8]) -> Slot {
    if placement.is_spread(database) { spread_slot(key) } else { Placement::home(database) }
}

/// The slot of a key in a spread database: what CLUSTER KEYSLOT answers.
pub fn spread_slot(key: &[u8]) -> Slot {
    Slot(crc::crc16(hashed_part(key)) % SLOTS)
}

/// The hash tag: what stands between the first `{` and the first `}` behind it, if that is not empty; else the key.
fn hashed_part(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let tagged = &key[open + 1..];
    match memchr::memchr(b'}', tagged) {
        Some(close) if close > 0 => &tagged[..close],
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, slot: u16) {
        assert_eq!(spread_slot(key.as_bytes()).number(), slot, "{key}");
    }

    #[test]
    fn keys_hash_as_in_redis_cluster() {
        check("", 0);
        check("123456789", 0x31C3);
        check("foo", 12182);
        check("bar", 5061);
        check("{user1000}.following", spread_slot(b"user1000").number());
        check("foo{}{bar}", 8363);
        check("foo{{bar}}zap", spread_slot(b"{bar").number());
        check("foo{bar}{zap}", spread_slot(b"bar").number());
        check("{unclosed", spread_slot(b"{unclosed").number());
    }

    #[test]
    fn a_whole_database_has_one_home_slot() {
        let placement = Placement::default();
        for number in 1..DATABASES {
            let database = Database(number);
            assert_eq!(slot_of(&placement, database, b"a"), slot_of(&placement, database, b"b"));
        }
        assert_eq!(Placement::home(Database(1)).number(), 10126);
        assert_eq!(Placement::home(Database(2)).number(), 3868);
    }
}
