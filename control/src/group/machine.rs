//! The state that the log leads to, as openraft's state machine: [`Cluster`], applied entry by entry, told to whoever watches.

use std::{path::PathBuf, sync::Arc};

use openraft::{
    AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, StorageIOError,
    storage::RaftStateMachine,
};
use slotway_cluster::{
    Cluster,
    control::Outcome,
    events::{self, News},
};
use tokio::sync::{mpsc, watch};

use super::{
    kind::{Kind, LogEntry, LogId, Membership, SnapshotMeta, StorageError},
    snapshot::{self, SnapshotError, Stored},
    storage::Disk,
};

#[derive(Debug)]
pub(super) struct Machine {
    dir: PathBuf,
    disk: Disk,
    cluster: Cluster,
    applied: Option<LogId>,
    membership: Membership,
    /// The one in the file.
    snapshot: Arc<std::sync::Mutex<Option<Stored>>>,
    told: watch::Sender<Arc<Cluster>>,
    news: Teller,
}

/// What entries tell when they are applied for the first time.
#[derive(Debug)]
pub(super) struct Teller {
    /// Entries up to here were in the log when this proxy started: old stories.
    pub(super) behind: u64,
    pub(super) to: mpsc::Sender<News>,
}

/// Writes down the state as it was when it was asked for.
#[derive(Debug)]
pub(super) struct SnapshotBuilder {
    dir: PathBuf,
    disk: Disk,
    stored: Stored,
    snapshot: Arc<std::sync::Mutex<Option<Stored>>>,
}

impl Machine {
    /// From the snapshot in `dir`, if there is one.
    pub(super) fn open(
        dir: PathBuf,
        disk: Disk,
        news: Teller,
    ) -> Result<(Machine, watch::Receiver<Arc<Cluster>>), SnapshotError> {
        let stored = snapshot::load(&dir)?;
        let (cluster, applied, membership) = match &stored {
            Some(Stored { meta, cluster }) => {
                (cluster.clone(), meta.last_log_id, meta.last_membership.clone())
            }
            None => (Cluster::default(), None, Membership::default()),
        };
        let (told, hears) = watch::channel(Arc::new(cluster.clone()));
        let snapshot = Arc::new(std::sync::Mutex::new(stored));
        Ok((Machine { dir, disk, cluster, applied, membership, snapshot, told, news }, hears))
    }

    fn apply_one(&mut self, entry: LogEntry) -> Option<Outcome> {
        self.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(decided) => {
                let is_new = entry.log_id.index > self.news.behind;
                let before = is_new.then(|| self.cluster.clone());
                let outcome = self.cluster.apply(entry.log_id.index, &decided);
                match &outcome {
                    Outcome::Done => {
                        tracing::debug!(index = entry.log_id.index, ?decided, "decided");
                        let news = before.map(|before| events::of_entry(&before, &decided, &self.cluster));
                        self.pass_on(news.unwrap_or_default());
                    }
                    Outcome::Again => {}
                    Outcome::Refused(why) => {
                        tracing::debug!(index = entry.log_id.index, ?decided, %why, "refused");
                    }
                }
                Some(outcome)
            }
            EntryPayload::Membership(membership) => {
                self.membership = Membership::new(Some(entry.log_id), membership);
                None
            }
        }
    }

    /// The log waits for nobody who listens.
    fn pass_on(&self, news: Vec<News>) {
        for one in news {
            if let Err(error) = self.news.to.try_send(one) {
                tracing::debug!(%error, "an event is told to nobody");
            }
        }
    }

    fn tell(&self) {
        let is_news = self.told.borrow().index != self.cluster.index;
        if is_news {
            self.told.send_replace(Arc::new(self.cluster.clone()));
        }
    }
}

impl RaftStateMachine<Kind> for Machine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Option<Outcome>>, StorageError>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let outcomes = entries.into_iter().map(|entry| self.apply_one(entry)).collect();
        self.tell();
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let index = self.applied.map_or(0, |applied| applied.index);
        let meta = SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: format!("{index}"),
        };
        let stored = Stored { meta, cluster: self.cluster.clone() };
        SnapshotBuilder {
            dir: self.dir.clone(),
            disk: self.disk.clone(),
            stored,
            snapshot: Arc::clone(&self.snapshot),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cluster>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        cluster: Box<Cluster>,
    ) -> Result<(), StorageError> {
        let stored = Stored { meta: meta.clone(), cluster: *cluster };
        keep(&self.dir, &self.disk, &stored).await?;
        self.cluster = stored.cluster.clone();
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        *lock(&self.snapshot) = Some(stored);
        self.tell();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Kind>>, StorageError> {
        Ok(lock(&self.snapshot).clone().map(as_snapshot))
    }
}

impl RaftSnapshotBuilder<Kind> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Kind>, StorageError> {
        keep(&self.dir, &self.disk, &self.stored).await?;
        *lock(&self.snapshot) = Some(self.stored.clone());
        Ok(as_snapshot(self.stored.clone()))
    }
}

async fn keep(dir: &std::path::Path, disk: &Disk, stored: &Stored) -> Result<(), StorageError> {
    let (dir, kept) = (dir.to_owned(), stored.clone());
    let written = disk.insist(move || snapshot::store(&dir, &kept)).await;
    written.map_err(|error| {
        StorageIOError::write_snapshot(Some(stored.meta.signature()), AnyError::new(&error)).into()
    })
}

fn as_snapshot(stored: Stored) -> Snapshot<Kind> {
    Snapshot { meta: stored.meta, snapshot: Box::new(stored.cluster) }
}

/// Each change is one step: a panic leaves it whole.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
