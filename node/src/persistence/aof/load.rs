//! Reads the log back: the base, then the increments, and the keyspace is what it was.
//!
//! A thread reads the files: builds the keys of a base that is a snapshot ([`crate::rdb`]), and cuts everything else into
//! commands ([`super::units`]). The keyspace thread inserts the former and runs the latter, in groups whose
//! entries are fetched from memory together, as those of a client are. Between two batches other tasks have their turn.
//!
//! What runs here has no client, no limits and no statistics, and is not fed again. Keys past their deadline are there
//! until the log says that they were deleted: the node that wrote it saw them.
//!
//! The end of the last file may be missing: the process was killed, or the power went, while it was written. With
//! `aof-load-truncated yes` the file is cut behind its last whole unit; what is behind was never acknowledged with
//! `appendfsync always`. Anything else that is wrong is refused, with its offset: nobody can say what it was.

use std::{
    fmt, io,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use slotway_commands::Id;
use slotway_config::Key;
use slotway_link::End;
use tokio::sync::mpsc;

use super::{
    disk::DiskFile,
    store::{Sizes, Store, StoreError},
    units::{Batch, Corrupt, Stands, Units},
};
use crate::{
    client::{Client, ClientId},
    desk::GROUP,
    execute::{self, Found},
    keyspace::{Expired, Place, Settings, load::Record, seed::Seed},
    node::{self, Node},
    persistence::loading::read::Meter,
    rdb::read::{Item, Reader as Snapshot},
    thread::Thread,
};

/// How a snapshot begins.
const MAGIC: &[u8] = b"REDIS";
/// Bytes read at once.
const PIECE_BYTES: usize = 512 * 1024;
/// Keys of a base that are inserted together.
const KEYS_PER_BATCH: usize = 256;
/// Batches that may wait for the keyspace thread.
const BATCHES_MAX: usize = 8;

/// Why the log cannot be loaded.
#[derive(Debug)]
pub(crate) enum LoadError {
    Store(StoreError),
    Corrupt(String, Corrupt),
    /// It ends in the midst of a unit, there, and may not: it is not the last file, or `aof-load-truncated` is `no`.
    Truncated(String, u64, WhyNot),
    Snapshot(String, String),
    Io(String, io::Error),
    /// The thread that reads has ended without a word.
    Panic,
}

/// Why a truncated file is not cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhyNot {
    Forbidden,
    NotTheLast,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = "make a backup of the append-only directory, then mend it with redis-check-aof --fix on the manifest";
        match self {
            LoadError::Store(error) => error.fmt(f),
            LoadError::Corrupt(path, corrupt) => write!(f, "{path}: {corrupt}; {hint}"),
            LoadError::Truncated(path, offset, WhyNot::Forbidden) => write!(
                f,
                "{path}: unexpected end of file, the last whole unit ends at offset {offset}; {hint}, or set aof-load-truncated to yes"
            ),
            LoadError::Truncated(path, offset, WhyNot::NotTheLast) => write!(
                f,
                "{path}: unexpected end of file, the last whole unit ends at offset {offset}, and it is not the last file of the log; {hint}"
            ),
            LoadError::Snapshot(path, what) => write!(f, "{path}: {what}"),
            LoadError::Io(path, error) => write!(f, "{path}: {error}"),
            LoadError::Panic => f.write_str("the thread that reads the append-only files has panicked"),
        }
    }
}

impl std::error::Error for LoadError {}

/// What the reading thread sends.
enum Piece {
    Keys(Vec<Record>),
    Commands(Batch),
    /// Behind the last file.
    Stands(Stands),
    Failed(LoadError),
}

/// Loads the log that the node's settings name, if there is one. Returns what its files hold; None: there is none.
pub(crate) async fn load(thread: &Thread, progress: Arc<Meter>) -> Result<Option<Sizes>, LoadError> {
    let Some(store) = thread.node.borrow().persistence.log.store.clone() else { return Ok(None) };
    if store.manifest().files().next().is_none() {
        return Ok(None);
    }
    let sizes = store.sizes().map_err(LoadError::Store)?;
    progress.total_bytes.store(sizes.all_bytes, Relaxed);
    let (pieces, mut received) = mpsc::channel(BATCHES_MAX);
    let reader = {
        let node = &*thread.node.borrow();
        let (seed, settings) = (node.keyspace.seed(), node.keyspace.settings);
        let may_cut = node.settings.flag(Key::AofLoadTruncated);
        Reader { store: Arc::clone(&store), pieces, progress, seed, settings, may_cut }
    };
    let reading = tokio::task::spawn_blocking(move || reader.run());
    let mut room = Room::new();
    let stats = thread.node.borrow().keyspace.stats;
    thread.node.borrow_mut().keyspace.expired = Expired::Present;
    thread.node.borrow_mut().persistence.log.stands = None;
    let mut outcome = Ok(());
    while let Some(piece) = received.recv().await {
        match piece {
            Piece::Keys(records) => {
                let (node, now) = (&mut *thread.node.borrow_mut(), node::now());
                for record in records {
                    // What stands twice in a base that is checked by its sum was twice in the keyspace: it cannot be.
                    let is_new = node.keyspace.load(record, now).is_ok();
                    debug_assert!(is_new, "a snapshot holds a key once");
                }
            }
            Piece::Commands(batch) => {
                let node = &mut *thread.node.borrow_mut();
                room.run(node, &batch);
                thread.end_turn(node);
            }
            Piece::Stands(stands) => thread.node.borrow_mut().persistence.log.stands = Some(stands),
            Piece::Failed(error) => outcome = Err(error),
        }
        tokio::task::yield_now().await;
    }
    {
        let keyspace = &mut thread.node.borrow_mut().keyspace;
        keyspace.expired = Expired::default();
        // What was read changes nothing and asks for nothing.
        keyspace.stats = stats;
    }
    reading.await.map_err(|_| LoadError::Panic)?;
    outcome?;
    // A tail may have been cut off.
    store.sizes().map(Some).map_err(LoadError::Store)
}

/// The log is read, if the node has one, and goes on behind what was read.
pub(crate) async fn start(thread: &Thread, progress: Arc<Meter>) -> Result<(), LoadError> {
    if !thread.node.borrow().settings.flag(Key::Appendonly) {
        return Ok(());
    }
    let sizes = load(thread, progress).await?;
    let node = &mut *thread.node.borrow_mut();
    super::go_on(node, sizes.unwrap_or_default())
        .map_err(|error| LoadError::Io("the append-only directory".into(), error))
}

/// What the commands run with.
struct Room {
    client: Rc<Client>,
    places: Vec<Place>,
    out: Vec<u8>,
}

impl Room {
    fn new() -> Room {
        let nowhere = End::Tcp(([0, 0, 0, 0], 0).into());
        let client = Client::new(ClientId(0), nowhere.clone(), nowhere, -1, node::now());
        Room { client: Rc::new(client), places: Vec::new(), out: Vec::new() }
    }

    fn run(&mut self, node: &mut Node, batch: &Batch) {
        let now = node::now();
        for group in batch.commands.chunks(GROUP) {
            self.places.clear();
            // One place for each command that names a key, in order.
            let keys = group.iter().filter_map(|logged| {
                Some((logged.database, slotway_commands::keys::first(logged.row, batch.request(logged))?))
            });
            node.keyspace.prefetch(keys, &mut self.places);
            let mut next = 0;
            // Behind a SWAPDB keys lie elsewhere.
            let mut moved = false;
            for logged in group {
                let request = batch.request(logged);
                let has_key = slotway_commands::keys::first(logged.row, request).is_some();
                let places = if has_key && !moved { &self.places[next..=next] } else { &[] };
                next += usize::from(has_key);
                self.client.database.set(logged.database);
                self.out.clear();
                let found = Found { row: Some(logged.row), places };
                if let Err(refusal) = execute::replay(node, &self.client, request, found, now, &mut self.out)
                {
                    // It ran when it was logged: settings, or the version, have changed since.
                    let command = request.word(0).escape_ascii();
                    tracing::warn!(%command, %refusal, "a command of the append-only log was refused");
                }
                moved |= logged.row.id == Id::Swapdb;
            }
        }
    }
}

/// Reads the files, on a thread of its own.
struct Reader {
    store: Arc<Store>,
    pieces: mpsc::Sender<Piece>,
    progress: Arc<Meter>,
    seed: Seed,
    settings: Settings,
    may_cut: bool,
}

/// Whether there is somebody who wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    More,
    Nothing,
}

/// What follows a snapshot in its file: what of it is at hand, and the file.
type Behind = (Units, Box<dyn DiskFile>);

impl Reader {
    fn run(&self) {
        if let Err(error) = self.read_all() {
            // Who waited for it may have given up.
            let _ = self.pieces.blocking_send(Piece::Failed(error));
        }
    }

    fn read_all(&self) -> Result<(), LoadError> {
        let manifest = self.store.manifest();
        let paths: Vec<String> = manifest.files().map(|entry| self.store.path(&entry.name)).collect();
        // An increment that was listed when the power went, before its first byte, does not make the one before it
        // complete: that one was still written to if nobody could tell whether the list had reached the disk.
        let mut last = paths.len();
        while last > 0 && self.len(&paths[last - 1])? == 0 {
            last -= 1;
        }
        let mut stands = None;
        for (index, path) in paths.iter().enumerate() {
            if self.read_file(path, index + 1 >= last, &mut stands)? == Wanted::Nothing {
                return Ok(());
            }
        }
        if let Some(stands) = stands {
            self.send(Piece::Stands(stands));
        }
        Ok(())
    }

    fn len(&self, path: &str) -> Result<u64, LoadError> {
        let len = self.store.disk.len(path).map_err(|error| LoadError::Io(path.to_owned(), error))?;
        Ok(len.unwrap_or(0))
    }

    /// A file that holds anything says where the log stands behind it, or that this is not known.
    fn read_file(&self, path: &str, is_last: bool, stands: &mut Option<Stands>) -> Result<Wanted, LoadError> {
        let failed = |error| LoadError::Io(path.to_owned(), error);
        let mut file = self.store.disk.open(path).map_err(failed)?;
        let mut units = Units::new(0);
        read_up_to(&mut *file, MAGIC.len(), units.room()).map_err(failed)?;
        if units.room() == MAGIC {
            match self.read_snapshot(path, file)? {
                Some(behind) => (units, file) = behind,
                None => return Ok(Wanted::Nothing),
            }
        }
        // What was not read to its end has a rest that is none: nothing may be cut off then.
        if self.cut(path, &mut *file, &mut units)? == Wanted::Nothing {
            return Ok(Wanted::Nothing);
        }
        if units.whole_until() > 0 {
            *stands = units.stands().cloned();
        }
        if units.has_rest() {
            self.cut_off(path, &mut *file, units.whole_until(), is_last)?;
        }
        Ok(Wanted::More)
    }

    /// The file begins with a snapshot. What follows it is commands: before Redis 7 a log was one file. None: nobody
    /// wants more.
    fn read_snapshot(&self, path: &str, file: Box<dyn DiskFile>) -> Result<Option<Behind>, LoadError> {
        let mut reader = Snapshot::new(io::Read::chain(MAGIC, file), self.seed, self.settings);
        let mut records = Vec::with_capacity(KEYS_PER_BATCH);
        let mut counted = 0;
        loop {
            let item =
                reader.next().map_err(|error| LoadError::Snapshot(path.to_owned(), error.to_string()))?;
            match item {
                Some(Item::Key(record)) => records.push(record),
                Some(Item::Aux { .. } | Item::Resize { .. }) => {}
                None => break,
            }
            if records.len() >= KEYS_PER_BATCH {
                let batch = std::mem::replace(&mut records, Vec::with_capacity(KEYS_PER_BATCH));
                self.count(reader.offset() - std::mem::replace(&mut counted, reader.offset()));
                if self.send(Piece::Keys(batch)) == Wanted::Nothing {
                    return Ok(None);
                }
            }
        }
        if self.send(Piece::Keys(records)) == Wanted::Nothing {
            return Ok(None);
        }
        let offset = reader.offset();
        self.count(offset - counted);
        let (chained, behind) = reader.into_parts();
        let mut units = Units::new(offset);
        units.room().extend_from_slice(&behind);
        Ok(Some((units, chained.into_inner().1)))
    }

    /// Cuts the file up to its end, unless nobody wants more before.
    fn cut(&self, path: &str, file: &mut dyn DiskFile, units: &mut Units) -> Result<Wanted, LoadError> {
        loop {
            let (before, piece) = (units.whole_until(), PIECE_BYTES.max(units.rest_bytes()));
            let read = read_up_to(file, piece, units.room());
            let read = read.map_err(|error| LoadError::Io(path.to_owned(), error))?;
            let batch = units.cut().map_err(|corrupt| LoadError::Corrupt(path.to_owned(), corrupt))?;
            self.count(units.whole_until() - before);
            if !batch.commands.is_empty() && self.send(Piece::Commands(batch)) == Wanted::Nothing {
                return Ok(Wanted::Nothing);
            }
            if read == 0 {
                return Ok(Wanted::More);
            }
        }
    }

    fn send(&self, piece: Piece) -> Wanted {
        match self.pieces.blocking_send(piece) {
            Ok(()) => Wanted::More,
            Err(_) => Wanted::Nothing,
        }
    }

    fn count(&self, bytes: u64) {
        self.progress.loaded_bytes.fetch_add(bytes, Relaxed);
    }

    /// The file ends in the midst of a unit.
    fn cut_off(
        &self,
        path: &str,
        file: &mut dyn DiskFile,
        whole_until: u64,
        is_last: bool,
    ) -> Result<(), LoadError> {
        if !is_last || !self.may_cut {
            let why = if is_last { WhyNot::Forbidden } else { WhyNot::NotTheLast };
            return Err(LoadError::Truncated(path.to_owned(), whole_until, why));
        }
        tracing::warn!(
            path,
            whole_until,
            "the append-only file ends in the midst of a command or transaction, which is cut off (aof-load-truncated)"
        );
        // Synced, so that nothing is ever written behind what comes back.
        let cut = file.truncate(whole_until).and_then(|()| file.sync());
        cut.map_err(|error| LoadError::Io(path.to_owned(), error))
    }
}

/// Appends at most `len` bytes; fewer only at the file's end.
fn read_up_to(file: &mut dyn DiskFile, len: usize, into: &mut Vec<u8>) -> io::Result<usize> {
    use io::Read;
    into.reserve_exact(len);
    file.take(u64::try_from(len).unwrap_or(u64::MAX)).read_to_end(into)
}
