//! A primary's snapshot becomes a data set, beside the present one.
//!
//! The bytes go to a helper thread, which reads and checks them and builds entries; the keyspace thread only
//! inserts these into a keyspace that nobody sees yet. Both ways are short queues: a slow helper makes the primary wait, a busy keyspace
//! thread the helper. What never comes to its end is thrown away.

use std::io::{self, Read};

use slotway_cluster::{Database, Placement, replication::Lineage, slot::DATABASES};
use tokio::{sync::mpsc, task::JoinHandle};

use super::place::LINEAGE;
use crate::{
    call::Millis,
    keyspace::{Keyspace, load::Record},
    node::Node,
    rdb::read::{Item, Reader},
};

/// Reads of the socket that may wait for the helper.
const CHUNKS_MAX: usize = 16;
/// Batches that may wait for the keyspace thread.
const BATCHES_MAX: usize = 8;
/// Keys of a batch: inserted in well under a millisecond.
const BATCH_KEYS: usize = 256;

/// What the helper tells.
pub(super) enum Word {
    Keys(Vec<Record>),
    /// The snapshot was read to its end. The stream behind it begins in this database, and has these names.
    End(Database, Option<Lineage>),
    Failed(String),
}

pub(super) struct Loading {
    /// None: all has come.
    chunks: Option<mpsc::Sender<Vec<u8>>>,
    words: mpsc::Receiver<Word>,
    helper: JoinHandle<()>,
    /// None: it is in force.
    fresh: Option<Keyspace>,
}

impl Loading {
    /// Of a snapshot for this node.
    pub(super) fn begin(node: &Node) -> Loading {
        let placement = node.membership.adopted().map(|adopted| adopted.topology.placement.clone());
        let placement: Placement = placement.unwrap_or_default();
        let fresh = Keyspace::new(placement, node.identity.scan_seed, node.keyspace.settings);
        let (chunks, received) = mpsc::channel(CHUNKS_MAX);
        let (told, words) = mpsc::channel(BATCHES_MAX);
        let (seed, settings) = (fresh.seed(), fresh.settings);
        let fresh = Some(fresh);
        let helper = tokio::task::spawn_blocking(move || {
            let chunks = Chunks { chunks: received, present: Vec::new(), read: 0 };
            read(Reader::new(chunks, seed, settings), &told);
        });
        Loading { chunks: Some(chunks), words, helper, fresh }
    }

    /// Bytes of the snapshot. There must be room.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if let Some(chunks) = &self.chunks {
            // Refused only by a helper that has ended: its last word says why.
            let _ = chunks.try_send(bytes.to_vec());
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.chunks.as_ref().is_some_and(|chunks| chunks.capacity() > 0 || chunks.is_closed())
    }

    /// No more bytes come.
    pub(super) fn end(&mut self) {
        self.chunks = None;
    }

    /// The helper has as much to do as it may have.
    pub(super) fn is_full(&self) -> bool {
        self.chunks.as_ref().is_some_and(|chunks| chunks.capacity() == 0)
    }

    /// For waiting for a word and for room at once.
    pub(super) fn both(&mut self) -> (Option<&mpsc::Sender<Vec<u8>>>, &mut mpsc::Receiver<Word>) {
        (self.chunks.as_ref(), &mut self.words)
    }

    /// Inserts keys that were read.
    ///
    /// # Errors
    /// A key came twice.
    pub(super) fn insert(&mut self, keys: Vec<Record>, now: Millis) -> Result<(), String> {
        let Some(fresh) = &mut self.fresh else { return Ok(()) };
        for record in keys {
            if fresh.load(record, now).is_err() {
                return Err("a key comes twice".to_owned());
            }
        }
        Ok(())
    }

    /// What was built.
    pub(super) fn take(&mut self) -> Option<Keyspace> {
        self.fresh.take()
    }

    /// Ends the helper and waits for it; what was built and not taken is for the caller to throw away.
    pub(super) async fn stop(self) -> Option<Keyspace> {
        let Loading { chunks, words, helper, fresh } = self;
        drop((chunks, words));
        if helper.await.is_err() {
            tracing::error!("the thread that reads a snapshot has panicked");
        }
        fresh
    }
}

/// What the helper tells next; may be dropped.
pub(super) async fn word(words: &mut mpsc::Receiver<Word>) -> Word {
    let gone = || Word::Failed("the thread that reads it has ended".to_owned());
    words.recv().await.unwrap_or_else(gone)
}

/// Waits until the helper takes bytes; may be dropped.
pub(super) async fn room(chunks: Option<&mpsc::Sender<Vec<u8>>>) {
    match chunks {
        // Closed: the helper's last word says why.
        Some(chunks) => drop(chunks.reserve().await),
        None => std::future::pending().await,
    }
}

/// The helper.
fn read(mut reader: Reader<Chunks>, told: &mpsc::Sender<Word>) {
    let mut keys = Vec::with_capacity(BATCH_KEYS);
    let (mut database, mut lineage) = (Database(0), None);
    let last = loop {
        match reader.next() {
            Ok(Some(Item::Key(record))) => {
                keys.push(record);
                if keys.len() == BATCH_KEYS {
                    let full = std::mem::replace(&mut keys, Vec::with_capacity(BATCH_KEYS));
                    if told.blocking_send(Word::Keys(full)).is_err() {
                        // Not wanted any more.
                        return;
                    }
                }
            }
            Ok(Some(Item::Aux { name, value })) if name == b"repl-stream-db" => {
                database = stream_database(&value).unwrap_or(database);
            }
            Ok(Some(Item::Aux { name, value })) if name == LINEAGE.as_bytes() => {
                lineage = serde_json::from_slice(&value).ok();
            }
            Ok(Some(Item::Aux { .. } | Item::Resize { .. })) => {}
            Ok(None) => break Word::End(database, lineage),
            Err(error) => break Word::Failed(error.to_string()),
        }
    };
    if matches!(last, Word::End(..)) && told.blocking_send(Word::Keys(keys)).is_err() {
        return;
    }
    let _ = told.blocking_send(last);
}

/// What a primary that follows another says of the stream that it passes on.
fn stream_database(value: &[u8]) -> Option<Database> {
    let number = u8::try_from(slotway_resp::number::integer(value)?).ok()?;
    (number < DATABASES).then_some(Database(number))
}

/// The snapshot's bytes as a file.
struct Chunks {
    chunks: mpsc::Receiver<Vec<u8>>,
    present: Vec<u8>,
    read: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.present.len() {
            match self.chunks.blocking_recv() {
                Some(next) => (self.present, self.read) = (next, 0),
                None => return Ok(0),
            }
        }
        let rest = &self.present[self.read..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        Ok(len)
    }
}
