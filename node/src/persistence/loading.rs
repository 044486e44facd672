//! Reading the data at a start, while clients are told to wait.
//!
//! Reading, checking and building is the work of another thread ([`read`]); the keyspace thread only inserts what comes in
//! batches, and answers its clients meanwhile: `-LOADING`, INFO with how far it is, SHUTDOWN. So a file is read as fast as one
//! core can build its values, and no client waits for the thread.
//!
//! A file that cannot be read to its end, for whatever reason, is none to start with: the node says what is wrong with
//! it, changes nothing, and ends. To serve what was readable would look like loss to clients, and the next save would make
//! it one.

pub(crate) mod read;

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use slotway_cluster::{Database, Position};
use slotway_config::Key;
use tokio::sync::mpsc;

use self::read::{Batch, Expired, Facts, Meter, Rules, Stop};
use super::{aof, save};
use crate::{
    call::Millis,
    condition::Trouble,
    membership::LedBy,
    node::{self, Node},
    rdb::read::ReadError,
    replication::replica::position_of_file,
    thread::Thread,
};

/// Batches of keys that may wait to be inserted.
const BATCHES_MAX: usize = 8;

/// What INFO says while data are loaded.
#[derive(Debug)]
pub(crate) struct Loading {
    pub(crate) began: Millis,
    pub(crate) meter: Arc<Meter>,
}

/// What the last load brought.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    /// `rdb_last_load_keys_loaded`
    pub(crate) keys: u64,
    /// `rdb_last_load_keys_expired`
    pub(crate) expired: u64,
    /// What the file said of itself.
    pub(crate) facts: Facts,
    /// Where in its shard's stream a log stood.
    pub(crate) stands: Option<aof::Stands>,
}

impl Loaded {
    /// Where in their shard's stream the data say that they stand.
    pub(crate) fn position(&self) -> Option<Position> {
        self.stands.as_ref().map(|stands| stands.position).or_else(|| position_of_file(&self.facts))
    }
}

/// Why the data are not there.
#[derive(Debug)]
pub(crate) enum LoadError {
    Snapshot(PathBuf, Flaw),
    Log(aof::load::LoadError),
}

/// What is wrong with a snapshot.
#[derive(Debug)]
pub(crate) enum Flaw {
    Open(io::Error),
    Read(ReadError),
    /// A key of this name in this database was there before.
    Duplicate(String, Database),
    /// The thread that reads has ended without a word.
    Panic,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Snapshot(file, flaw) => write!(
                f,
                "cannot load {}: {flaw}; nothing was changed. Put another copy of the file in its place, or move it away to \
                 start without data; redis-check-rdb says more about a file",
                file.display()
            ),
            LoadError::Log(error) => write!(f, "cannot load the append-only log: {error}"),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Open(error) => write!(f, "it cannot be opened: {error}"),
            Flaw::Read(error) => error.fmt(f),
            Flaw::Duplicate(key, database) => {
                write!(f, "key '{key}' in database {} stands there twice", database.0)
            }
            Flaw::Panic => f.write_str("the thread that reads it has panicked"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Loads what the node has on disk: the log, if `appendonly` is on, else the snapshot. After an error the node must not
/// serve.
pub(crate) async fn at_start(thread: &Thread) -> Result<(), LoadError> {
    let (target, is_log) = {
        let node = &*thread.node.borrow();
        (save::run::target(node), node.settings.flag(Key::Appendonly))
    };
    remove_leftovers(&target);
    if is_log {
        let meter = enter(&mut thread.node.borrow_mut(), 0);
        aof::load::start(thread, meter).await.map_err(LoadError::Log)?;
        let node = &mut *thread.node.borrow_mut();
        let stands = node.persistence.log.stands.take();
        leave(node, Loaded { stands, ..Loaded::default() });
        return Ok(());
    }
    let opened = File::open(&target).and_then(|file| Ok((file.metadata()?.len(), file)));
    let loaded = match opened {
        Ok((bytes, file)) => {
            tracing::info!(file = %target.display(), bytes, "loading the data");
            let meter = enter(&mut thread.node.borrow_mut(), bytes);
            snapshot(thread, file, meter).await
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(Flaw::Open(error)),
    };
    let loaded = loaded.map_err(|flaw| LoadError::Snapshot(target, flaw))?;
    leave(&mut thread.node.borrow_mut(), loaded);
    Ok(())
}

fn remove_leftovers(target: &Path) {
    let directory = target.parent().unwrap_or(Path::new("."));
    match save::file::remove_leftovers(directory) {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => tracing::info!(files = removed.join(" "), "removed what an unfinished save had left"),
        Err(error) => tracing::warn!(%error, "cannot remove what unfinished saves have left"),
    }
}

/// The node loads: clients are told to wait. Also what a replica does with its primary's data. Returns what whoever reads
/// tells how far it is.
pub(crate) fn enter(node: &mut Node, total_bytes: u64) -> Arc<Meter> {
    let meter = Arc::new(Meter::default());
    meter.total_bytes.store(total_bytes, Relaxed);
    meter.delay_micros.store(node.settings.integer(Key::KeyLoadDelay), Relaxed);
    node.persistence.loading = Some(Loading { began: node::now(), meter: Arc::clone(&meter) });
    node.condition.note(Trouble::Loading);
    meter
}

/// It has all its data.
pub(crate) fn leave(node: &mut Node, loaded: Loaded) {
    node.persistence.loading = None;
    node.persistence.loaded = loaded;
    node.condition.forget(&Trouble::Loading);
}

/// A key of a snapshot that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twice {
    /// Is a flaw of the snapshot.
    Refused,
    /// Is what the snapshot has.
    Replaced,
}

/// DEBUG RELOAD: reads the snapshot at once, on top of what is there; nobody is served meanwhile.
pub(crate) fn reload(node: &mut Node, twice: Twice) -> Result<(), LoadError> {
    let target = save::run::target(node);
    let read = File::open(&target).map_err(Flaw::Open).and_then(|file| read_at_once(node, file, twice));
    node.persistence.loaded = read.map_err(|flaw| LoadError::Snapshot(target, flaw))?;
    Ok(())
}

fn read_at_once(node: &mut Node, file: File, twice: Twice) -> Result<Loaded, Flaw> {
    let rules = rules(node, Expired::DroppedAt(node::now()));
    let (mut loaded, mut outcome) = (Loaded::default(), Ok(()));
    let facts = read::all(file, rules, &Meter::default(), |batch| {
        outcome = insert(node, batch, twice, &mut loaded);
        if outcome.is_ok() { Stop::No } else { Stop::Yes }
    });
    outcome?;
    loaded.facts = facts.map_err(Flaw::Read)?;
    Ok(loaded)
}

/// How keys of a file are taken into this keyspace.
pub(crate) fn rules(node: &Node, expired: Expired) -> Rules {
    Rules { seed: node.keyspace.seed(), settings: node.keyspace.settings, expired }
}

/// Whether its keys go by the word of another node: of its primary, or, of a member of a shard, of whoever leads that.
fn is_led(node: &Node) -> bool {
    let is_member = node.membership.adopted().is_some_and(|adopted| adopted.led_by == LedBy::Orders);
    is_member || node.following.primary().is_some()
}

/// Loads a snapshot into the keyspace, which is empty.
async fn snapshot(thread: &Thread, file: File, meter: Arc<Meter>) -> Result<Loaded, Flaw> {
    let began = node::now();
    // What the primary has not deleted it may still change.
    let expired = match is_led(&thread.node.borrow()) {
        true => Expired::Kept,
        false => Expired::DroppedAt(began),
    };
    let rules = rules(&thread.node.borrow(), expired);
    let (sender, mut batches) = mpsc::channel(BATCHES_MAX);
    let reading =
        tokio::task::spawn_blocking(move || read::all(file, rules, &meter, |batch| send(&sender, batch)));
    let mut loaded = Loaded::default();
    while let Some(batch) = batches.recv().await {
        insert(&mut thread.node.borrow_mut(), batch, Twice::Refused, &mut loaded)?;
        tokio::task::yield_now().await;
    }
    loaded.facts = reading.await.map_err(|_| Flaw::Panic)?.map_err(Flaw::Read)?;
    let millis = node::now().0.saturating_sub(began.0);
    tracing::info!(keys = loaded.keys, expired = loaded.expired, millis, "the data are loaded");
    Ok(loaded)
}

fn send(sender: &mpsc::Sender<Batch>, batch: Batch) -> Stop {
    match sender.blocking_send(batch) {
        Ok(()) => Stop::No,
        // Whoever wanted it has found a flaw, or ends.
        Err(_) => Stop::Yes,
    }
}

fn insert(node: &mut Node, batch: Batch, twice: Twice, loaded: &mut Loaded) -> Result<(), Flaw> {
    let now = node::now();
    loaded.expired += batch.expired;
    for record in batch.records {
        loaded.keys += 1;
        let Err(record) = node.keyspace.load(record, now) else { continue };
        let (database, name) = (record.database, record.entry.key().to_vec());
        let is_new = twice == Twice::Replaced && {
            node.keyspace.delete(node.keyspace.key(database, &name), now);
            node.keyspace.load(record, now).is_ok()
        };
        if !is_new {
            return Err(Flaw::Duplicate(String::from_utf8_lossy(&name).into_owned(), database));
        }
    }
    Ok(())
}
