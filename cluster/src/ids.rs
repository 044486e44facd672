//! Names of things: newtypes, so that a shard is never passed for a node.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A shard: integers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u32);

/// A storage node: `"n1"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

/// A proxy: `"p1"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProxyId(pub String);

/// The number of a shard's reign; each has at most one primary (I1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The one that follows.
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ProxyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A cluster's name of 40 hexadecimal digits that depends on nothing but the names of what it is made of, so that all
/// proxies in front of it name it alike. FNV-1a, three rounds with different starts: a name has to differ between
/// clusters, nobody gains by forging one.
pub fn cluster_id<'t>(parts: impl Iterator<Item = &'t str>) -> String {
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    const START: u64 = 0xCBF2_9CE4_8422_2325;
    let text = parts.collect::<Vec<_>>().join(",");
    let digits: String = (0..3u8)
        .map(|round| {
            let bytes = text.bytes().chain([round]);
            let hash = bytes
                .fold(START ^ u64::from(round), |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
            format!("{hash:016x}")
        })
        .collect();
    digits[..40].to_owned()
}
