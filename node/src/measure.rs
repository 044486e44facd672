//! The keyspace alone, without a server around it, for `benches/keyspace_cost.rs`; and a node without sockets, for tests
//! that read its feed ([`Alone`]). Not part of the node.

use slotway_cluster::{Database, Placement};
use slotway_resp::write;

use crate::call::Millis;
use crate::keyspace::{Deadline, Key, Keyspace, Place, Settings};

mod alone;
mod snapshot;

pub use alone::Alone;
pub use snapshot::Loading;

/// Database 0 of a keyspace and what a batch needs.
pub struct Subject {
    keyspace: Keyspace,
    places: Vec<Place>,
    out: Vec<u8>,
}

const NOW: Millis = Millis(1_700_000_000_000);
const DATABASE: Database = Database(0);

/// What is done with each key of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act<'v> {
    Get,
    Set(&'v [u8]),
}

impl Subject {
    /// `prefetch`: whether batches bring their entries into the caches first.
    pub fn new(prefetch: bool) -> Subject {
        let settings = Settings { prefetch, ..Settings::default() };
        let keyspace = Keyspace::new(Placement::default(), *b"a keyspace alone", settings);
        Subject { keyspace, places: Vec::new(), out: Vec::new() }
    }

    pub fn set_prefetch(&mut self, prefetch: bool) {
        self.keyspace.settings.prefetch = prefetch;
    }

    /// As a batch of requests on a connection: places first, then each request. Returns the bytes of all replies.
    pub fn batch<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]> + Clone, act: Act<'_>) -> usize {
        self.places.clear();
        self.out.clear();
        self.keyspace.prefetch(keys.clone().map(|key| (DATABASE, key)), &mut self.places);
        for (nth, bytes) in keys.enumerate() {
            let key = Key { bytes, place: self.places[nth] };
            match act {
                Act::Get => match self.keyspace.read(key, NOW).and_then(|entry| entry.text()) {
                    Some(text) => write::bulk(&mut self.out, text),
                    None => write::null(&mut self.out, slotway_resp::Version::Resp2),
                },
                Act::Set(value) => {
                    self.keyspace.set_text(key, value, Deadline::Clear, NOW);
                    write::simple(&mut self.out, "OK");
                }
            }
        }
        self.out.len()
    }

    pub fn len(&self) -> u64 {
        self.keyspace.len(DATABASE)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
