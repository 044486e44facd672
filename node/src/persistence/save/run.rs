//! Does what [`super::Saves`] decides: begins saves, carries them out, ends them.
//!
//! A save begins where it is asked for, within the command, so that it holds exactly what was there then; a task of the
//! thread writes it while clients are served, and another thread keeps the file. SAVE, and the end of the node, write it at
//! once instead.
//!
//! A save that is cancelled is not waited for, whatever its file's thread hangs on: that thread learns at its end that the
//! file is not wanted. The next save waits for it, so that there is one such thread at a time.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use slotway_config::Key;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::{JoinError, JoinHandle},
};

use super::{
    Ended, Outcome,
    file::{self, Complete, Fate, Incoming, Place, Syncs, Unfinished},
};
use crate::{
    condition::Trouble,
    keyspace::walk::WalkId,
    node::{self, Node},
    persistence::aof,
    snapshot::{Aim, Broken, QUEUE_PIECES, Running, Snapshot, Taken},
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
    place: Arc<Place>,
}

/// The thread that keeps a file, until its end was seen.
type Keeper = Option<JoinHandle<io::Result<Fate>>>;

impl Default for Desk {
    fn default() -> Desk {
        let cancelled = watch::Sender::new(0);
        Desk { begun: None, walk: None, news: Rc::default(), cancelled, place: Arc::default() }
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
    aof::adjust(node);
    tracing::info!(keys, "background saving started");
    Ok(())
}

/// The save that is under way is not wanted any more. Its file may still be put in place in this moment, but not behind one
/// that is asked for from now on.
pub(crate) fn cancel(node: &mut Node) {
    let Some(present) = node.persistence.saves.present() else { return };
    let number = present.number;
    node.persistence.desk.cancelled.send_replace(number);
    if let Some((_, snapshot)) = node.persistence.desk.begun.take() {
        snapshot.give_up(node);
    }
    node.persistence.saves.end(number, Ended::Cancelled, &mut node.keyspace.stats.changes, node::now());
    aof::adjust(node);
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
    // One that is under way is older than this one.
    cancel(node);
    file.finish(&node.persistence.desk.place, || true)?;
    node.persistence.saved_at = node.position_in_stream();
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
    let mut keeper = None;
    loop {
        news.notified().await;
        let begun = thread.node.borrow_mut().persistence.desk.begun.take();
        let Some((number, snapshot)) = begun else { continue };
        let wish = Wish { number, cancelled: cancelled.clone() };
        let outcome = tokio::select! {
            biased;
            _ = cancelled.wait_for(|last| *last >= number) => Err(Failure::Cancelled),
            outcome = save(&thread, wish, snapshot, &mut keeper) => outcome,
        };
        conclude(&mut thread.node.borrow_mut(), number, outcome);
    }
}

/// Knows whether a save is wanted.
struct Wish {
    number: u64,
    cancelled: watch::Receiver<u64>,
}

impl Wish {
    fn is_wanted(&self) -> bool {
        *self.cancelled.borrow() < self.number
    }
}

/// May be dropped at any point: then `keeper` is the thread that is to be waited for before the next save.
async fn save(
    thread: &Thread,
    wish: Wish,
    snapshot: Snapshot,
    keeper: &mut Keeper,
) -> Result<Taken, Failure> {
    let mut running = snapshot.start(thread);
    if let Some(before) = keeper {
        // It was cancelled: how it ended matters to nobody.
        let _ = running.until(before).await.map_err(Failure::Walk)?;
        *keeper = None;
    }
    let (keeping, outcome) = write(thread, wish, running, keeper).await;
    let kept = keeping.await;
    *keeper = None;
    match (kept, outcome) {
        (Err(panic), _) => Err(Failure::Panic(panic)),
        (Ok(Err(error)), _) => Err(Failure::File(error)),
        (Ok(Ok(Fate::GivenUp)), Ok(_)) => Err(Failure::Cancelled),
        (Ok(Ok(_)), outcome) => outcome.map_err(Failure::Walk),
    }
}

/// To the last piece; what became of the file only its thread knows.
async fn write<'k>(
    thread: &Thread,
    wish: Wish,
    running: Running<'_>,
    keeper: &'k mut Keeper,
) -> (&'k mut JoinHandle<io::Result<Fate>>, Result<Taken, Broken>) {
    let (target, syncs, place) = {
        let node = &*thread.node.borrow();
        (target(node), syncs(node), Arc::clone(&node.persistence.desk.place))
    };
    let (sink, pieces) = mpsc::channel(QUEUE_PIECES);
    let (complete, verdict) = oneshot::channel();
    let keeping = keeper.insert(tokio::task::spawn_blocking(move || {
        let file = Unfinished::create(&target, syncs)?;
        file::receive(file, Incoming { pieces, verdict }, &place, || wish.is_wanted())
    }));
    let outcome = running.run(sink).await;
    match &outcome {
        // Gone already: then it says why.
        Ok(_) => drop(complete.send(Complete)),
        Err(_) => drop(complete),
    }
    (keeping, outcome)
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
    aof::adjust(node);
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

#[cfg(test)]
mod tests;
