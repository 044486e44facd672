//! Where a run takes place: which system, which database, how keys are spelled, and what is not asked there.

use slotway_cluster::slot::spread_slot;
use slotway_commands::row::Policy;
use slotway_commands::{Command, Id, keys, lookup};
use slotway_resp::OwnedRequest;

use super::question::is;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A second redis-server: what two of them do not agree about, a grammar must not compare.
    Redis,
    /// A node by itself, all of its databases.
    Node,
    /// A proxy, in a database that lies in one slot as a whole.
    WholeDatabase,
    /// A proxy, database 0, every key with the same hash tag.
    OneHashTag,
    /// A proxy, database 0, keys in whatever slots.
    FreeKeys,
}

use Place::{FreeKeys, Node, OneHashTag, Redis, WholeDatabase};

const PROXY: &[Place] = &[WholeDatabase, OneHashTag, FreeKeys];

/// Commands that are not asked in some places, and why. What a proxy answers to them has tests of its own.
const LEFT_OUT: &[(&[Place], &[&str], &str)] = &[
    (PROXY, &["select", "swapdb", "move"], "behind a proxy a database is a place of its own"),
    (PROXY, &["pfdebug", "pfselftest"], "it speaks of one node's inside: a proxy refuses it"),
    (
        PROXY,
        &[
            "info", "config", "cluster", "client", "command", "debug", "latency", "slowlog", "memory",
            "shutdown",
        ],
        "a proxy answers for itself, or for many nodes at once",
    ),
    (
        &[FreeKeys],
        &["multi", "exec", "discard", "watch", "unwatch"],
        "a transaction over several slots is refused as a whole; under one hash tag it runs",
    ),
    (PROXY, &["migrate", "restore-asking"], "from node to node: a proxy's clients have no use for them"),
    (
        &[FreeKeys],
        &["sort", "sort_ro"],
        "weights may lie on any node, so BY and GET are refused as in a Redis Cluster",
    ),
];

impl Place {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Redis => "on a second redis-server",
            Node => "on a node",
            WholeDatabase => "through the proxy, on a whole database",
            OneHashTag => "through the proxy, under one hash tag",
            FreeKeys => "through the proxy, with free keys",
        }
    }

    #[must_use]
    pub fn database(self) -> u16 {
        if self == WholeDatabase { 1 } else { 0 }
    }

    /// A key (or a pattern for keys) as it is spelled here.
    #[must_use]
    pub fn spell(self, key: &[u8]) -> Vec<u8> {
        if self == OneHashTag { [b"{t}", key].concat() } else { key.to_vec() }
    }

    /// Whether the request can be asked here: its command is there, and the answer can be the same.
    #[must_use]
    pub fn asks(self, words: &[Vec<u8>]) -> bool {
        self == Redis || is_here(words) && !self.leaves_out(words)
    }

    /// Whether it can be asked between MULTI and EXEC, too: behind a proxy nothing that concerns every shard,
    /// and all keys of one slot.
    #[must_use]
    pub fn queues(self, words: &[Vec<u8>]) -> bool {
        let request = OwnedRequest::new(words);
        let Ok(row) = lookup::resolve(request.view()) else { return true };
        let everywhere = matches!(row.proxy, Policy::EveryShard(_) | Policy::Scan);
        match self {
            Redis | Node | FreeKeys => true,
            // Its own shard holds all of the database, but not all databases.
            WholeDatabase => row.id != Id::Flushall,
            // Something else where a key belongs has no tag, and so another slot than the rest.
            OneHashTag => {
                let keys = keys::positions(row, request.view()).into_iter().flatten();
                let mut slots = keys.map(|index| spread_slot(&words[index]));
                !everywhere && slots.all(|slot| slot == spread_slot(&self.spell(b"")))
            }
        }
    }

    fn leaves_out(self, words: &[Vec<u8>]) -> bool {
        let listed = |(places, names, _): &(&[Place], &[&str], &str)| {
            places.contains(&self) && names.iter().any(|name| is(words, name))
        };
        LEFT_OUT.iter().any(listed) || self.copies_between_databases(words) || self.crosses_slots(words)
    }

    /// COPY with DB names a database that may lie elsewhere.
    fn copies_between_databases(self, words: &[Vec<u8>]) -> bool {
        PROXY.contains(&self)
            && is(words, "copy")
            && words.iter().any(|word| word.eq_ignore_ascii_case(b"db"))
    }

    /// Keys in several slots, and no command that the proxy splits: refused, where one server would answer. (Under one
    /// hash tag that is a request in which something else stands where a key belongs.)
    fn crosses_slots(self, words: &[Vec<u8>]) -> bool {
        if !matches!(self, OneHashTag | FreeKeys) {
            return false;
        }
        let request = OwnedRequest::new(words);
        // With too few words it is refused before anybody looks for keys.
        let Ok(row) = lookup::resolve(request.view()) else { return false };
        if matches!(row.proxy, Policy::Split(_)) {
            return false;
        }
        let Ok(positions) = keys::positions(row, request.view()) else { return false };
        let mut slots = positions.map(|index| spread_slot(&words[index]));
        slots.next().is_some_and(|first| slots.any(|slot| slot != first))
    }
}

/// Whether a request's command has its handler already (one that nobody knows is asked, too).
fn is_here(words: &[Vec<u8>]) -> bool {
    let request = OwnedRequest::new(words);
    let top = lookup::find(&words[0]).is_none_or(Command::is_here);
    top && lookup::find_in(request.view()).is_none_or(Command::is_here)
}
