//! Writes the log anew: what the keyspace is, instead of how it came to be so.
//!
//! At one instant the writer is told to go on in a new increment, and a snapshot of the keyspace begins
//! ([`crate::snapshot`]). When the snapshot is on the disk as a base, a manifest that names the two replaces the one
//! before, and the old files go. Until then they are the log, and go on being it if anything fails or the power goes.
//!
//! When the log is turned on while the node runs it has no old files; then the log counts from its first base on, and
//! until there is one it is tried again.

use std::{
    fmt, io,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use slotway_config::Key;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinError,
};

use super::{
    State, adjust, hear, hold_gate, is_rewrite_due,
    manifest::BaseFormat,
    mark_now,
    rewrites::Ended,
    store::{Increment, Store},
};
use crate::{
    node::{self, Node},
    snapshot::{Aim, Broken, QUEUE_PIECES, Running, Snapshot},
    thread::Thread,
};

/// With `aof-rewrite-incremental-fsync` the base is synced each time so much of it is written: no sync takes long then.
const SYNC_STEP_BYTES: usize = 4 * 1024 * 1024;

/// How often it is looked whether the log has grown enough.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why the log is as it was.
#[derive(Debug)]
enum Failure {
    /// Nobody wants it any more.
    Cancelled,
    TooManyWalks,
    Walk(Broken),
    File(io::Error),
    /// The log's thread has ended.
    WriterGone,
    Panic(JoinError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Cancelled => f.write_str("it is not wanted any more"),
            Failure::TooManyWalks => f.write_str("as many walks as may be are under way"),
            Failure::Walk(broken) => write!(f, "{broken:?}"),
            Failure::File(error) => error.fmt(f),
            Failure::WriterGone => f.write_str("the thread that writes the log has ended"),
            Failure::Panic(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::File(error)
    }
}

/// The log is a new base and what follows it.
struct Written {
    base_bytes: u64,
    increment: Increment,
    /// Of the writer, about files that the base has replaced.
    doubts: u64,
}

/// BGREWRITEAOF: one begins now, and is carried out by [`run`].
pub(crate) fn begin(node: &mut Node) {
    note_begun(node);
    node.persistence.log.wanted.notify_one();
}

fn note_begun(node: &mut Node) {
    node.persistence.log.rewrites.begin(node::now());
    adjust(node);
    tracing::info!("the append-only log is written anew");
}

/// Begins rewrites when they are due, and carries them out, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let wanted = Arc::clone(&thread.node.borrow().persistence.log.wanted);
    loop {
        tokio::select! {
            () = wanted.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let is_begun = {
            let node = &mut *thread.node.borrow_mut();
            if is_rewrite_due(node, node::now()) {
                note_begun(node);
            }
            node.persistence.log.rewrites.is_running()
        };
        if is_begun {
            let outcome = rewrite(&thread).await;
            conclude(&thread, outcome).await;
        }
    }
}

async fn rewrite(thread: &Rc<Thread>) -> Result<Written, Failure> {
    let (store, snapshot, format, begun, increment, syncs_in_steps) = {
        let node = &mut *thread.node.borrow_mut();
        if node.persistence.log.rewrites.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        // What was fed up to now goes before the order, what the snapshot does not hold behind it.
        thread.deliver(node);
        let store = node.persistence.log.store.as_ref().map(Arc::clone);
        let store = store.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        // From here on nothing may fail before the snapshot is run: old values are kept for it.
        let (format, snapshot) = match node.settings.flag(Key::AofUseRdbPreamble) {
            true => (BaseFormat::Snapshot, Snapshot::begin(node, Aim::Disk, &[("aof-base", b"1")])),
            false => (BaseFormat::Commands, Snapshot::begin_commands(node)),
        };
        let snapshot = snapshot.ok_or(Failure::TooManyWalks)?;
        node.keyspace.feed.select_anew();
        let (begun, increment) = {
            let log = &mut node.persistence.log;
            (log.begin_increment(), log.increment())
        };
        mark_now(node);
        (store, snapshot, format, begun, increment, node.settings.flag(Key::AofRewriteIncrementalFsync))
    };
    let mut running = snapshot.start(thread);
    let mut doubts = 0;
    if let Some(begun) = begun {
        // A disk that hangs is waited for here, too, and what is set aside meanwhile is bounded.
        let begun = running.until(begun).await.map_err(Failure::Walk)?;
        let begun = begun.map_err(|_| Failure::WriterGone)??;
        thread.node.borrow_mut().persistence.log.closed_bytes += begun.len;
        doubts = begun.doubts;
    }
    let base_bytes = write_base(thread, running, &store, syncs_in_steps).await?;
    let cancellation = thread.node.borrow().persistence.log.rewrites.cancellation();
    let adopt = move || store.adopt_base(format, increment, &cancellation);
    let adopted = tokio::task::spawn_blocking(adopt).await;
    // Meanwhile, too, the log may have been turned off, and on again.
    if thread.node.borrow().persistence.log.rewrites.is_cancelled() {
        return Err(Failure::Cancelled);
    }
    adopted.map_err(Failure::Panic)??;
    Ok(Written { base_bytes, increment, doubts })
}

/// Returns the base's length.
async fn write_base(
    thread: &Rc<Thread>,
    running: Running<'_>,
    store: &Arc<Store>,
    syncs_in_steps: bool,
) -> Result<u64, Failure> {
    let (sink, pieces) = mpsc::channel(QUEUE_PIECES);
    let (complete, is_complete) = oneshot::channel();
    let store = Arc::clone(store);
    let keeping = tokio::task::spawn_blocking(move || keep(&store, pieces, is_complete, syncs_in_steps));
    let ran = tokio::select! {
        ran = running.run(sink) => ran.map_err(Failure::Walk),
        () = cancelled(thread) => Err(Failure::Cancelled),
    };
    match ran {
        // Whoever keeps it has failed if it does not listen, and says why.
        Ok(_) => _ = complete.send(()),
        // Whoever keeps it waits for this word, and learns so that it does not come.
        Err(_) => drop(complete),
    }
    let kept = keeping.await.map_err(Failure::Panic)?;
    match (ran, kept) {
        (Ok(taken), Ok(())) => {
            let set_aside = u64::try_from(taken.set_aside_bytes_max).unwrap_or(u64::MAX);
            thread.node.borrow_mut().persistence.log.rewrites.set_aside_bytes_max = set_aside;
            Ok(taken.bytes)
        }
        // A sink that is gone has its own reason.
        (Ok(_) | Err(Failure::Walk(Broken::SinkGone)), Err(error)) => Err(error.into()),
        (Err(failure), _) => Err(failure),
    }
}

/// On a thread of its own: the pieces as a file. It is complete when that is said; pieces may also end because
/// whoever made them has given up.
fn keep(
    store: &Store,
    mut pieces: mpsc::Receiver<Vec<u8>>,
    is_complete: oneshot::Receiver<()>,
    syncs_in_steps: bool,
) -> io::Result<()> {
    let mut file = store.begin_base()?;
    let mut unsynced = 0;
    let mut write = || {
        while let Some(piece) = pieces.blocking_recv() {
            file.write_all(&piece)?;
            unsynced += piece.len();
            if syncs_in_steps && unsynced >= SYNC_STEP_BYTES {
                file.sync()?;
                unsynced = 0;
            }
        }
        Ok(())
    };
    let written: io::Result<()> = write();
    let written = written.and_then(|()| match is_complete.blocking_recv() {
        Ok(()) => file.sync(),
        Err(_) => Err(io::ErrorKind::Interrupted.into()),
    });
    if written.is_err() {
        store.give_up_base();
    }
    written
}

async fn cancelled(thread: &Thread) {
    let cancelled = thread.node.borrow().persistence.log.rewrites.cancelled();
    while !thread.node.borrow().persistence.log.rewrites.is_cancelled() {
        cancelled.notified().await;
    }
}

async fn conclude(thread: &Rc<Thread>, outcome: Result<Written, Failure>) {
    let store = {
        let node = &mut *thread.node.borrow_mut();
        let now = node::now();
        let log = &mut node.persistence.log;
        let store = match outcome {
            Ok(Written { base_bytes, increment, doubts }) => {
                log.state = match (std::mem::replace(&mut log.state, State::Off), increment) {
                    (State::Starting(writing), Increment::OnItsWay) => State::On(writing),
                    (other, _) => other,
                };
                if let State::Starting(writing) | State::On(writing) = &mut log.state {
                    writing.doubts_settled = doubts;
                }
                log.closed_bytes = base_bytes;
                let written = log.line().map_or(0, |line| line.progress().file_bytes.load(Relaxed));
                log.rewrites.base_bytes = base_bytes + written;
                log.rewrites.end(Ended::Written, now);
                tracing::info!(base_bytes, "the append-only log is written anew: done");
                hold_gate(node);
                hear(node);
                let keeps_history = node.settings.flag(Key::AofDisableAutoGc);
                node.persistence.log.store.clone().filter(|_| !keeps_history)
            }
            Err(Failure::Cancelled) => {
                log.rewrites.end(Ended::Cancelled, now);
                None
            }
            Err(failure) => {
                tracing::error!(%failure, "the append-only log could not be written anew");
                log.rewrites.end(Ended::Failed, now);
                if matches!(log.state, State::Starting(_)) {
                    log.rewrites.schedule();
                }
                None
            }
        };
        // The disk is the log's alone again.
        adjust(node);
        store
    };
    let Some(store) = store else { return };
    let collected = tokio::task::spawn_blocking(move || store.collect_history()).await;
    if let Ok(Err(error)) = collected {
        tracing::warn!(%error, "cannot delete files that the append-only log no longer needs");
    }
}
