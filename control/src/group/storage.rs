//! The journal as openraft's log storage.
//!
//! Nothing is reported before it is synced. A disk that refuses a write (full, failing) does not end the group: the write is tried again until
//! it works. Meanwhile this member holds still, as one that is cut off does; the others elect another leader, and who proposes
//! here is told why ([`Disk::trouble`]). Writes run on a thread for blocking work: a slow disk must not delay heartbeats of others.

use std::{
    fmt::Debug,
    fs::File,
    io,
    ops::RangeBounds,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use openraft::{
    AnyError, LogState, OptionalSend, RaftLogReader, StorageIOError,
    storage::{LogFlushed, RaftLogStorage},
};
use tokio::sync::watch;

use super::{
    journal::{Journal, JournalError, Log, Record},
    kind::{Kind, LogEntry, LogId, StorageError, Vote},
};

/// Between two attempts at a write that the disk refuses.
const RETRY: Duration = Duration::from_millis(200);

/// How far the log is known to be committed: not synced and not needed, but who starts without a majority knows more by it.
const COMMITTED_FILE: &str = "raft.committed";

/// What all writers to the data directory share: whether the disk takes anything, and whether to go on trying.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    trouble: Arc<watch::Sender<Option<String>>>,
    stopping: Arc<watch::Sender<bool>>,
}

#[derive(Debug, Clone)]
pub(super) struct LogStore {
    journal: Arc<Mutex<Journal>>,
    log: Arc<RwLock<Log>>,
    committed: Arc<File>,
    disk: Disk,
}

impl Disk {
    pub(super) fn new() -> Disk {
        let (trouble, stopping) = (watch::channel(None).0, watch::channel(false).0);
        Disk { trouble: Arc::new(trouble), stopping: Arc::new(stopping) }
    }

    /// What the disk says to the write that is being tried; None: no write waits.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Writes that wait for the disk are given up.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Does `work` on a thread for blocking work until it succeeds, or until the group stops.
    pub(super) async fn insist<T: Send + 'static>(
        &self,
        work: impl Fn() -> io::Result<T> + Send + Sync + 'static,
    ) -> io::Result<T> {
        let (work, mut stopping) = (Arc::new(work), self.stopping.subscribe());
        loop {
            let attempt = Arc::clone(&work);
            let outcome = tokio::task::spawn_blocking(move || attempt()).await.map_err(io::Error::other)?;
            let error = match outcome {
                Ok(value) => {
                    if self.trouble.send_replace(None).is_some() {
                        tracing::info!("the disk takes what the control group writes again");
                    }
                    return Ok(value);
                }
                // No disk would ever take it.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
                Err(error) => error,
            };
            if self.trouble.send_replace(Some(error.to_string())).is_none() {
                tracing::error!(%error, "the disk refuses what the control group writes; trying again until it works");
            }
            let stop = tokio::time::timeout(RETRY, stopping.wait_for(|stopping| *stopping)).await;
            if stop.is_ok() {
                return Err(error);
            }
        }
    }
}

impl LogStore {
    pub(super) fn open(dir: &Path, disk: Disk) -> Result<LogStore, JournalError> {
        let (journal, log) = Journal::open(dir)?;
        let path = dir.join(COMMITTED_FILE);
        let committed = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let committed = committed.map_err(|source| JournalError::Open { path, source })?;
        Ok(LogStore {
            journal: Arc::new(Mutex::new(journal)),
            log: Arc::new(RwLock::new(log)),
            committed: Arc::new(committed),
            disk,
        })
    }

    /// First to the disk, then where readers see it.
    async fn write(&self, record: Record) -> io::Result<()> {
        let (journal, written) = (Arc::clone(&self.journal), record.clone());
        self.disk.insist(move || lock(&journal).write(&written)).await?;
        self.log.write().unwrap_or_else(PoisonError::into_inner).apply(record);
        Ok(())
    }

    fn read<T>(&self, what: impl FnOnce(&Log) -> T) -> T {
        what(&self.log.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Of the last entry that is there.
    pub(super) fn last_index(&self) -> u64 {
        self.read(|log| log.last()).map_or(0, |last| last.index)
    }

    #[cfg(test)]
    pub(super) fn leave_room(&self, bytes: u64) {
        lock(&self.journal).leave_room(bytes);
    }
}

impl RaftLogReader<Kind> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<LogEntry>, StorageError> {
        Ok(self.read(|log| log.entries.range(range).map(|(_, entry)| entry.clone()).collect()))
    }
}

impl RaftLogStorage<Kind> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<Kind>, StorageError> {
        Ok(self.read(|log| LogState { last_purged_log_id: log.purged, last_log_id: log.last() }))
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.write(Record::Vote(*vote))
            .await
            .map_err(|error| StorageIOError::write_vote(AnyError::new(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.read(|log| log.vote))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        // A mistake here costs nothing but knowledge that comes back by itself.
        let text = serde_json::to_vec(&committed).unwrap_or_default();
        if let Some(frame) = super::journal::framed(&text) {
            let _ = self.committed.write_all_at(&frame, 0);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let mut bytes = [0; COMMITTED_BYTES];
        let len = self.committed.read_at(&mut bytes, 0).unwrap_or(0);
        let known: Option<LogId> = super::journal::unframed(&bytes[..len])
            .and_then(|text| serde_json::from_slice(text).ok())
            .flatten();
        // What the log does not hold cannot be applied.
        Ok(self.read(|log| known.filter(|id| Some(*id) <= log.last() && Some(*id) >= log.purged)))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Kind>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().collect();
        callback.log_io_completed(self.write(Record::Entries(entries)).await);
        Ok(())
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        self.write(Record::Truncate(from.index))
            .await
            .map_err(|error| StorageIOError::write_logs(AnyError::new(&error)).into())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let write = |error| StorageIOError::write_logs(AnyError::new(&error)).into();
        self.write(Record::Purge(upto)).await.map_err(write)?;
        let (journal, log) = (Arc::clone(&self.journal), self.read(Log::clone));
        self.disk.insist(move || lock(&journal).rewrite_if_long(&log)).await.map_err(write)
    }
}

/// A log id is two numbers and some names.
const COMMITTED_BYTES: usize = 1024;

/// A panic while the lock was held left a journal whose next write begins where the last good one ended.
fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}
