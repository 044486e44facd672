//! Does what [`super::Saves`] decides: begins saves, carries them out, ends them.
//!
//! A save begins where it is asked for, within the command, so that it holds exactly what was there then; a task of the
//! thread writes it while clients are served, and another thread keeps the file. SAVE, and the end of the node, write it at
//! once instead.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    rc::Rc,
};

use slotway_config::Key;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinError,
};

use super::{
    Ended, Outcome,
    file::{self, Complete, Syncs, Unfinished},
};
use crate::{
    condition::Trouble,
    keyspace::walk::WalkId,
    node::{self, Node},
    snapshot::{Aim, Broken, QUEUE_PIECES, Snapshot, Taken},
    thread::Thread,
};

/// What commands leave for the task that saves.
pub(crate) struct Desk {
    /// A save that was begun, by its number.
    begun: Option<(u64, Snapshot)>,
    /// That of the save that was begun last.
    walk: Option<WalkId>,
    news: Rc<Notify>,
    /// Saves up to this number are not wanted any more.
    cancelled: watch::Sender<u64>,
}

impl Default for Desk {
    fn default() -> Desk {
        Desk { begun: None, walk: None, news: Rc::default(), cancelled: watch::Sender::new(0) }
    }
}

impl Desk {
    /// What the save that is under way, or the last one, walks by.
    pub(crate) fn walk(&self) -> Option<WalkId> {
        self.walk
    }
}

/// As many walks as may be are under way.
#[derive(Debug)]
pub(crate) struct TooManyWalks;

/// Why there is no new file.
#[derive(Debug)]
enum Failure {
    Cancelled,
    File(io::Error),
    Walk(Broken),
    Panic(JoinError),
}

/// Begins a save that goes on while clients are served.
pub(crate) fn begin(node: &mut Node) -> Result<(), TooManyWalks> {
    let place = node.place_in_stream();
    let snapshot = Snapshot::begin(node, Aim::Disk, &place.facts()).ok_or(TooManyWalks)?;
    let (keys, changes) = (node.keys(), node.keyspace.stats.changes);
    let number = node.persistence.saves.begin(keys, changes, node::now());
    let desk = &mut node.persistence.desk;
    debug_assert!(desk.begun.is_none(), "one save at a time");
    desk.walk = Some(snapshot.walk());
    desk.begun = Some((number, snapshot));
    desk.news.notify_one();
    tracing::info!(keys, "background saving started");
    Ok(())
}

/// The save that is under way is not wanted any more.
pub(crate) fn cancel(node: &mut Node) {
    let Some(present) = node.persistence.saves.present() else { return };
    let number = present.number;
    node.persistence.desk.cancelled.send_replace(number);
    if let Some((_, snapshot)) = node.persistence.desk.begun.take() {
        snapshot.give_up(node);
    }
    node.persistence.saves.end(number, Ended::Cancelled, &mut node.keyspace.stats.changes, node::now());
    tracing::info!("the save that was under way was stopped");
}

/// Saves at once; nobody is served meanwhile.
pub(crate) fn save_now(node: &mut Node) -> io::Result<()> {
    let (target, syncs) = (target(node), syncs(node));
    let mut file = Unfinished::create(&target, syncs)?;
    let walks = || io::Error::other("as many walks as may be are under way");
    let place = node.place_in_stream();
    let snapshot = Snapshot::begin(node, Aim::Disk, &place.facts()).ok_or_else(walks)?;
    snapshot.run_now(node, &mut file)?;
    file.finish()?;
    node.persistence.saves.saved_now(&mut node.keyspace.stats.changes, node::now());
    judge(node);
    tracing::info!(file = %target.display(), keys = node.keys(), "saved on disk");
    Ok(())
}

/// FLUSHALL was said: a save of what was is stopped, and with save points the file follows at once. At the end of a turn, so
/// that no transaction is cut in two.
#[cold]
pub(crate) fn after_flush(node: &mut Node) {
    node.persistence.flushes = node.keyspace.flushes;
    if node.persistence.loading.is_some() {
        return;
    }
    cancel(node);
    if !node.settings.save_points().is_empty() && begin(node).is_err() {
        node.persistence.saves.schedule();
    }
}

/// Begins a save if one is due.
pub(crate) fn look(node: &mut Node) {
    let changes = node.keyspace.stats.changes;
    let why = node.persistence.saves.due(node.settings.save_points(), changes, node::now());
    let is_free = node.persistence.loading.is_none() && !node.persistence.log.rewrites.is_running();
    if let Some(why) = why
        && is_free
    {
        tracing::info!("saving: {why}");
        // Without a walk to be had it stays due.
        let _ = begin(node);
    }
}

/// What a failed save forbids, as the settings have it.
pub(crate) fn judge(node: &mut Node) {
    let refuses = node.persistence.saves.outcome() == Outcome::Failed
        && node.settings.flag(Key::StopWritesOnBgsaveError)
        && !node.settings.save_points().is_empty();
    match refuses {
        true => node.condition.note(Trouble::SnapshotFailed),
        false => node.condition.forget(&Trouble::SnapshotFailed),
    }
}

/// Carries out what was begun, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let (news, mut cancelled) = {
        let desk = &thread.node.borrow().persistence.desk;
        (Rc::clone(&desk.news), desk.cancelled.subscribe())
    };
    loop {
        news.notified().await;
        let begun = thread.node.borrow_mut().persistence.desk.begun.take();
        let Some((number, snapshot)) = begun else { continue };
        let outcome = save(&thread, number, snapshot, &mut cancelled).await;
        conclude(&mut thread.node.borrow_mut(), number, outcome);
    }
}

async fn save(
    thread: &Thread,
    number: u64,
    snapshot: Snapshot,
    cancelled: &mut watch::Receiver<u64>,
) -> Result<Taken, Failure> {
    let (target, syncs) = {
        let node = &*thread.node.borrow();
        (target(node), syncs(node))
    };
    let (sink, pieces) = mpsc::channel(QUEUE_PIECES);
    let (complete, verdict) = oneshot::channel();
    let writing = tokio::task::spawn_blocking(move || file::receive(&target, syncs, pieces, verdict));
    let outcome = tokio::select! {
        biased;
        _ = cancelled.wait_for(|last| *last >= number) => Err(Failure::Cancelled),
        outcome = snapshot.run(thread, sink) => outcome.map_err(Failure::Walk),
    };
    match &outcome {
        // Gone already: then it says why below.
        Ok(_) => drop(complete.send(Complete)),
        Err(_) => drop(complete),
    }
    match (writing.await, outcome) {
        (Err(panic), _) => Err(Failure::Panic(panic)),
        (_, Err(Failure::Cancelled)) => Err(Failure::Cancelled),
        (Ok(Err(error)), _) => Err(Failure::File(error)),
        (Ok(Ok(_)), outcome) => outcome,
    }
}

fn conclude(node: &mut Node, number: u64, outcome: Result<Taken, Failure>) {
    let file = target(node);
    let ended = match outcome {
        Ok(taken) => {
            let (bytes, set_aside_bytes) = (taken.bytes, taken.set_aside_bytes_max);
            tracing::info!(file = %file.display(), bytes, set_aside_bytes, "background saving finished");
            Ended::Saved { set_aside_bytes_max: u64::try_from(set_aside_bytes).unwrap_or(u64::MAX) }
        }
        Err(Failure::Cancelled) => Ended::Cancelled,
        Err(failure) => {
            tracing::error!(file = %file.display(), %failure, "background saving failed; the file before it stays");
            Ended::Failed
        }
    };
    node.persistence.saves.end(number, ended, &mut node.keyspace.stats.changes, node::now());
    judge(node);
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Cancelled => f.write_str("it was not wanted any more"),
            Failure::File(error) => error.fmt(f),
            Failure::Walk(Broken::SinkGone) => f.write_str("its file takes no more"),
            Failure::Walk(Broken::TooMuchSetAside) => f.write_str("it would have kept too many old values"),
            Failure::Panic(panic) => write!(f, "the thread that writes it has panicked: {panic}"),
        }
    }
}

/// The file that `dir` and `dbfilename` name.
pub(crate) fn target(node: &Node) -> PathBuf {
    Path::new(node.settings.text(Key::Dir)).join(node.settings.text(Key::Dbfilename))
}

fn syncs(node: &Node) -> Syncs {
    match node.settings.flag(Key::RdbSaveIncrementalFsync) {
        true => Syncs::AlsoOnTheWay,
        false => Syncs::AtTheEnd,
    }
}
