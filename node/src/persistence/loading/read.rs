//! The thread that reads a snapshot: makes batches of keys that only need to be inserted.

use std::{
    io::Read,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    call::Millis,
    keyspace::{Settings, load::Record, seed::Seed},
    rdb::read::{Item, ReadError, Reader},
};

/// Keys of one batch, at most.
const BATCH_KEYS: usize = 256;
/// Bytes of the file after which a batch is full.
const BATCH_BYTES: u64 = 1 << 20;

/// What the reading thread and the keyspace thread tell each other.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) total_bytes: AtomicU64,
    pub(crate) loaded_bytes: AtomicU64,
    /// What the file says of the memory that its data took.
    pub(crate) used_memory: AtomicU64,
    /// `key-load-delay`: for tests.
    pub(crate) delay_micros: AtomicI64,
}

/// How keys are taken.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) seed: Seed,
    pub(crate) settings: Settings,
    pub(crate) expired: Expired,
}

/// What becomes of keys whose deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    /// A primary need not load them.
    DroppedAt(Millis),
    /// To delete them is for the primary, or for the log that follows, to say.
    Kept,
}

/// Keys in the order of the file.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) records: Vec<Record>,
    /// Keys that were dropped between them.
    pub(crate) expired: u64,
}

/// What a file says of itself, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts(Vec<(Vec<u8>, Vec<u8>)>);

impl Facts {
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| &value[..])
    }

    fn number(&self, name: &str) -> Option<u64> {
        std::str::from_utf8(self.get(name)?).ok()?.parse().ok()
    }
}

/// Whether whoever takes batches wants no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Yes,
    No,
}

/// Reads a snapshot to its end, or until it is told to stop.
pub(crate) fn all(
    source: impl Read,
    rules: Rules,
    meter: &Meter,
    mut take: impl FnMut(Batch) -> Stop,
) -> Result<Facts, ReadError> {
    let mut reader = Reader::new(source, rules.seed, rules.settings);
    let mut facts = Facts::default();
    let (mut batch, mut begins) = (Batch::default(), 0);
    while let Some(item) = reader.next()? {
        match item {
            Item::Key(record) => {
                delay(meter);
                match rules.expired {
                    Expired::DroppedAt(now) if record.entry.deadline().is_some_and(|at| at < now) => {
                        batch.expired += 1;
                    }
                    Expired::DroppedAt(_) | Expired::Kept => batch.records.push(record),
                }
            }
            Item::Aux { name, value } => {
                facts.0.push((name, value));
                meter.used_memory.store(facts.number("used-mem").unwrap_or(0), Relaxed);
            }
            Item::Resize { database, keys, deadlines } => {
                tracing::debug!(database = database.0, keys, deadlines, "a database of the snapshot");
            }
        }
        meter.loaded_bytes.store(reader.offset(), Relaxed);
        if batch.records.len() >= BATCH_KEYS || reader.offset() - begins >= BATCH_BYTES {
            begins = reader.offset();
            if take(std::mem::take(&mut batch)) == Stop::Yes {
                return Ok(facts);
            }
        }
    }
    take(batch);
    if reader.skipped_empty() > 0 {
        tracing::warn!(
            keys = reader.skipped_empty(),
            "the snapshot has collections without elements: left out"
        );
    }
    Ok(facts)
}

/// A negative number of microseconds is one microsecond each so many keys, which is as good as none.
fn delay(meter: &Meter) {
    if let Ok(micros @ 1..) = u64::try_from(meter.delay_micros.load(Relaxed)) {
        std::thread::sleep(Duration::from_micros(micros));
    }
}
