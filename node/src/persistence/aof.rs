//! The append-only log: every change on disk, in order, so that a node that is killed comes back with its data.
//!
//! The way of a change: the feed's bytes ([`crate::feed`]) go at the end of each turn into a [`line`], at whose other
//! end a thread of the log's own writes and syncs them ([`writer`]). The keyspace thread never waits for the disk. What
//! does wait, with `appendfsync always`, are replies: the log holds the [`crate::gate::Gate`] and releases it up to what is
//! synced, so one sync serves everything that came meanwhile. When the line is full writers wait, too, and readers are
//! served.
//!
//! An error of the disk is told to writers (`-MISCONF`) until it is over; what was taken before is kept and tried again,
//! and its replies stay at the gate: a write is acknowledged late or never, but not wrongly. That is where this node
//! differs from redis-server, which ends itself with `always`.
//!
//! On the disk the log is a directory as Redis 7 has it: [`manifest`], [`store`]. It begins at a base, which [`rewrite`]
//! makes anew when the log has grown; at a start [`load`] reads it.

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::Duration,
};

use slotway_cluster::replication::{Offset, record::Mark};
use slotway_config::{Key, Settings};
use tokio::sync::{Notify, oneshot};

use crate::{
    call::Millis,
    condition::Trouble,
    feed::{Listener, Position},
    gate::Holder,
    latency::Event,
    membership::LedBy,
    node::{self, Node},
    pause::Congested,
    thread::Thread,
    timing,
};

pub(crate) mod disk;
mod line;
pub(crate) mod load;
mod manifest;
pub(crate) mod reload;
pub(crate) mod report;
pub(crate) mod rewrite;
mod rewrites;
#[cfg(test)]
pub(crate) mod simulated;
mod store;
mod units;
mod writer;

use self::{
    disk::Disk,
    line::{Begun, Fsync, Line, Manner, Order, QUEUE_BYTES_MAX, Slow},
    manifest::Names,
    rewrites::Rewrites,
    store::{Increment, Sizes, Store},
    writer::{Loop, Writer},
};

pub(crate) use self::{store::StoreError, units::Stands};

/// The log of one node.
pub(crate) struct Log {
    /// None: the node has not been started on a disk.
    store: Option<Arc<Store>>,
    state: State,
    pub(crate) rewrites: Rewrites,
    /// Bytes of all files but the one that is written to.
    closed_bytes: u64,
    /// Writers wait for the line.
    is_full: bool,
    /// What writes the last of a log that was turned off, as long as replies may wait for it.
    closing: Vec<Writing>,
    /// Threads that have nothing left to write.
    ending: Vec<JoinHandle<()>>,
    /// Rung when the log is turned on or off, has its base, or is written in another manner.
    changed: Arc<Notify>,
    /// Rung when a rewrite is to begin.
    wanted: Arc<Notify>,
    /// Where in its shard's stream the log stood that was loaded.
    pub(crate) stands: Option<Stands>,
    /// Where it stands behind what was handed over, as a reader counts; None: a reader does not know.
    marked: Option<Offset>,
}

enum State {
    Off,
    /// Written, but without a base, so it counts for nothing yet.
    Starting(Writing),
    On(Writing),
}

struct Writing {
    line: Arc<Line>,
    thread: JoinHandle<()>,
    /// How many of the writer's doubts about its files a base has settled.
    doubts_settled: u64,
}

impl Writing {
    /// Whether the files may lack something of what was written: what stands behind it cannot be relied upon, until a base
    /// replaces them.
    fn is_doubtful(&self) -> bool {
        self.line.progress().doubts.load(Relaxed) > self.doubts_settled
    }

    fn has_ended(&self) -> bool {
        self.line.progress().has_ended() || self.thread.is_finished()
    }

    /// Whether all that was put into the line is on the disk. Asked when it has ended.
    fn is_whole(&self) -> bool {
        is_whole_on_disk(&self.line, self.doubts_settled)
    }
}

/// See [`Writing::is_whole`].
fn is_whole_on_disk(line: &Line, doubts_settled: u64) -> bool {
    let progress = line.progress();
    let is_doubtful = progress.doubts.load(Relaxed) > doubts_settled;
    progress.has_ended() && progress.failure().is_none() && !is_doubtful
}

/// What INFO says of the log, beside what [`Rewrites`] knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    pub(crate) is_enabled: bool,
    pub(crate) has_failed: bool,
    pub(crate) current_bytes: u64,
    pub(crate) buffer_bytes: u64,
    pub(crate) pending_syncs: u64,
    pub(crate) delayed_syncs: u64,
    pub(crate) syncs: u64,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            store: None,
            state: State::Off,
            rewrites: Rewrites::default(),
            closed_bytes: 0,
            is_full: false,
            closing: Vec::new(),
            ending: Vec::new(),
            changed: Arc::default(),
            wanted: Arc::default(),
            stands: None,
            marked: None,
        }
    }
}

impl Log {
    /// Takes the log's place on the disk, as the settings name it. Reads its manifest; nothing is written unless the log
    /// of an older version is found.
    pub(crate) fn open(&mut self, disk: Arc<dyn Disk>, settings: &Settings) -> Result<(), StoreError> {
        let names = Names {
            directory: settings.text(Key::Appenddirname).to_owned(),
            file: settings.text(Key::Appendfilename).to_owned(),
        };
        self.store = Some(Arc::new(Store::open(disk, names)?));
        Ok(())
    }

    fn writing(&self) -> Option<&Writing> {
        match &self.state {
            State::Off => None,
            State::Starting(writing) | State::On(writing) => Some(writing),
        }
    }

    /// The line to the writer, as long as the log is written.
    pub(crate) fn line(&self) -> Option<&Arc<Line>> {
        self.writing().map(|writing| &writing.line)
    }

    pub(crate) fn facts(&self) -> Facts {
        let Some(line) = self.line() else { return Facts::default() };
        let progress = line.progress();
        Facts {
            is_enabled: true,
            has_failed: progress.failure().is_some(),
            current_bytes: self.closed_bytes + progress.file_bytes.load(Relaxed),
            buffer_bytes: u64::try_from(line.bytes()).unwrap_or(u64::MAX),
            pending_syncs: u64::from(progress.owes_sync.load(Relaxed)),
            delayed_syncs: progress.delayed_syncs.load(Relaxed),
            syncs: progress.syncs.load(Relaxed),
        }
    }

    /// Has a thread write to `file`, which holds `len` bytes.
    fn write_to(
        &self,
        file: Box<dyn disk::DiskFile>,
        len: u64,
        from: Position,
        manner: Manner,
    ) -> std::io::Result<Writing> {
        let store = self.store.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        let line = Arc::new(Line::new(manner, from));
        let work = Loop::new(Arc::clone(&line), Arc::clone(store), Writer::new(file, len, from));
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || work.run())?;
        Ok(Writing { line, thread, doubts_settled: 0 })
    }

    fn is_doubtful(&self) -> bool {
        self.writing().is_some_and(Writing::is_doubtful)
    }

    /// There is no base before what is written: nothing of it would be found.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.state, State::Starting(_))
    }

    /// Has all that was handed over written and synced. Told whether that succeeded; of a writer that has panicked nothing
    /// is heard. None: there is no log.
    pub(crate) fn sync(&self) -> Option<oneshot::Receiver<bool>> {
        let (done, is_done) = oneshot::channel();
        self.writing()?.line.order(Order::Sync(done));
        Some(is_done)
    }

    /// What follows goes to another file: asked of the writer, told when it has happened.
    fn begin_increment(&mut self) -> Option<oneshot::Receiver<std::io::Result<Begun>>> {
        let increment = self.increment();
        self.marked = None;
        let (done, begun) = oneshot::channel();
        self.writing()?.line.order(Order::Begin(increment, done));
        Some(begun)
    }

    /// Where the log goes on while a base is written.
    fn increment(&self) -> Increment {
        match self.state {
            State::Off => Increment::None,
            State::Starting(_) => Increment::OnItsWay,
            State::On(_) => Increment::Listed,
        }
    }

    fn end_writing(&mut self) {
        if let State::Starting(writing) | State::On(writing) = std::mem::replace(&mut self.state, State::Off)
        {
            writing.line.order(Order::Close);
            self.closing.push(writing);
        }
        self.ending.retain(|thread| !thread.is_finished());
        self.changed.notify_one();
    }

    /// The node stops: what is to be waited for.
    pub(crate) fn close(&mut self) -> Closing {
        let is_found = matches!(self.state, State::On(_));
        self.end_writing();
        Closing {
            writings: std::mem::take(&mut self.closing),
            threads: std::mem::take(&mut self.ending),
            is_found,
        }
    }
}

/// The log of a node that stops.
pub(crate) struct Closing {
    writings: Vec<Writing>,
    threads: Vec<JoinHandle<()>>,
    /// It has a base, so the next start finds it.
    is_found: bool,
}

impl Closing {
    /// Waits until everything is written. True: the next start finds all of it on the disk.
    pub(crate) fn wait(self) -> bool {
        let mut is_whole = self.is_found;
        let join = |thread: JoinHandle<()>| {
            let joined = thread.join().is_ok();
            if !joined {
                tracing::error!("a thread that writes the append-only log has panicked");
            }
            joined
        };
        for Writing { line, thread, doubts_settled } in self.writings {
            is_whole &= join(thread) && is_whole_on_disk(&line, doubts_settled);
        }
        for thread in self.threads {
            is_whole &= join(thread);
        }
        is_whole
    }
}

/// Whether something beside the log is written.
fn is_disk_busy(node: &Node) -> bool {
    node.persistence.saves.present().is_some() || node.persistence.log.rewrites.is_running()
}

/// How the writer goes about it at present.
fn manner(node: &Node) -> Manner {
    let settings = &node.settings;
    let is_disk_busy = is_disk_busy(node);
    Manner {
        fsync: Fsync::named(settings.text(Key::Appendfsync)),
        holds_syncs: is_disk_busy && settings.flag(Key::NoAppendfsyncOnRewrite),
        notes_time: settings.flag(Key::AofTimestampEnabled),
        slow: Duration::from_nanos(node.bounds.latency_nanos),
    }
}

/// The keyspace is what the log says: from now on every change is written behind it.
pub(crate) fn go_on(node: &mut Node, sizes: Sizes) -> std::io::Result<()> {
    let manner = manner(node);
    let position = node.keyspace.feed.position();
    let log = &mut node.persistence.log;
    let store = Arc::clone(log.store.as_ref().ok_or(std::io::ErrorKind::NotFound)?);
    let (file, len) = store.last_increment()?;
    log.state = State::On(log.write_to(file, len, position, manner)?);
    log.marked = None;
    log.closed_bytes = sizes.all_bytes.saturating_sub(len);
    log.rewrites.base_bytes = sizes.base_bytes;
    log.changed.notify_one();
    node.keyspace.feed.listen(Listener::Log);
    node.keyspace.feed.select_anew();
    hold_gate(node);
    Ok(())
}

/// The setting `appendonly` has perhaps changed.
pub(crate) fn switch(node: &mut Node) -> std::io::Result<()> {
    if node.condition.has(&Trouble::Loading) || node.persistence.log.store.is_none() {
        return Ok(());
    }
    match node.settings.flag(Key::Appendonly) {
        true => turn_on(node),
        false => {
            turn_off(node);
            Ok(())
        }
    }
}

/// `CONFIG SET appendonly yes`: the changes from now on are written beside a base that is still to be made.
fn turn_on(node: &mut Node) -> std::io::Result<()> {
    let manner = manner(node);
    let position = node.keyspace.feed.position();
    let log = &mut node.persistence.log;
    if log.writing().is_some() {
        return Ok(());
    }
    let store = Arc::clone(log.store.as_ref().ok_or(std::io::ErrorKind::NotFound)?);
    // The base that may be under way has no increment behind it, or that of a log that was turned off.
    log.rewrites.cancel();
    let file = store.increment_on_its_way()?;
    log.state = State::Starting(log.write_to(file, 0, position, manner)?);
    log.closed_bytes = 0;
    log.marked = None;
    log.rewrites.schedule();
    log.changed.notify_one();
    log.wanted.notify_one();
    node.keyspace.feed.listen(Listener::Log);
    node.keyspace.feed.select_anew();
    Ok(())
}

/// `CONFIG SET appendonly no`. Replies that wait for the disk go on doing so, until the last is written: [`hear_the_last`].
fn turn_off(node: &mut Node) {
    let log = &mut node.persistence.log;
    if log.writing().is_none() {
        return;
    }
    node.keyspace.feed.leave(Listener::Log);
    let log = &mut node.persistence.log;
    log.rewrites.cancel();
    log.end_writing();
    if std::mem::take(&mut log.is_full) {
        node.relieve(Congested::Log);
    }
    node.condition.forget(&Trouble::LogFailed(String::new()));
}

/// All keys are others now, and no change led to them: the log begins anew with a base that is still to be made. Until then
/// a start reads the old one.
pub(crate) fn begin_anew(node: &mut Node) {
    if node.persistence.log.writing().is_none() {
        return;
    }
    turn_off(node);
    if let Err(error) = turn_on(node) {
        tracing::error!(%error, "the append-only file cannot be begun anew");
        node.condition.note(Trouble::LogFailed(error.to_string()));
    }
}

/// Settings, or what else runs on the disk, have perhaps changed: to be called whenever that is so.
pub(crate) fn adjust(node: &mut Node) {
    let manner = manner(node);
    if let Some(line) = node.persistence.log.line() {
        line.set_manner(manner);
        hold_gate(node);
        // What is relied upon may reach further now.
        node.persistence.log.changed.notify_one();
    }
}

/// Replies wait for the disk with `appendfsync always`.
fn hold_gate(node: &mut Node) {
    if !node.persistence.log.closing.is_empty() {
        return;
    }
    let waits = matches!(node.persistence.log.state, State::On(_)) && manner(node).fsync == Fsync::Always;
    match waits {
        true => node.gate.hold_from(Holder::Log, node.keyspace.feed.position()),
        false => node.gate.open(Holder::Log),
    }
}

/// Hands the log what was fed: whole units, which follow the present end of the stream. `selection` is for the log alone.
pub(crate) fn hand_over(node: &mut Node, selection: Option<Vec<u8>>, units: &[u8]) {
    let mark = match node.is_marking() {
        true => mark(node, selection.is_some()),
        false => None,
    };
    if selection.is_none() && mark.is_none() {
        append(node, units);
    } else {
        let mut all = selection.unwrap_or_default();
        all.extend_from_slice(&mark.map(|mark| mark.unit()).unwrap_or_default());
        all.extend_from_slice(units);
        append(node, &all);
    }
    let end = node.replication.offset.plus(units.len());
    let log = &mut node.persistence.log;
    log.marked = log.marked.map(|_| end);
}

/// Has the log say how far the stream has come, if its reader would count something else.
pub(crate) fn mark_now(node: &mut Node) {
    if node.is_marking()
        && let Some(mark) = mark(node, false)
    {
        append(node, &mark.unit());
    }
}

/// What is to stand before what the log is handed next, if its reader would count from somewhere else: a file begins, a snapshot was
/// put in force, the log was off.
fn mark(node: &mut Node, is_reordered: bool) -> Option<Mark> {
    let offset = node.replication.offset;
    let known = node.persistence.log.marked.replace(offset);
    let lineage = &node.replication.lineage;
    let mark = Mark { epoch: lineage.epoch_at(offset), offset, history: lineage.present() };
    (is_reordered || known != Some(offset)).then_some(mark)
}

impl Node {
    /// Whether the log is to say how far a stream has come: that of a shard, whose member this node is.
    fn is_marking(&self) -> bool {
        let is_member = self.membership.adopted().is_some_and(|adopted| adopted.led_by == LedBy::Orders);
        is_member && self.replication.backlog.is_some() && self.persistence.log.writing().is_some()
    }
}

/// Puts bytes into the line: whole units.
fn append(node: &mut Node, units: &[u8]) {
    let end = node.keyspace.feed.position();
    let log = &mut node.persistence.log;
    let Some(writing) = log.writing() else { return };
    if writing.line.append(units, end) > QUEUE_BYTES_MAX && !log.is_full {
        writing.line.expect_news();
        log.is_full = true;
        node.congest(Congested::Log);
        // The writer may have been faster than this.
        hear(node);
    }
}

/// Up to where the log is synced, if everything is synced before it is relied upon. Before its base is there nothing is: a
/// start would not find it.
pub(crate) fn synced(node: &Node) -> Option<Position> {
    let log = &node.persistence.log;
    let writing = log.writing().filter(|_| manner(node).fsync == Fsync::Always)?;
    match log.state {
        State::On(_) if log.closing.is_empty() && !log.is_doubtful() => {
            Some(writing.line.progress().synced())
        }
        State::On(_) | State::Off | State::Starting(_) => Some(Position(0)),
    }
}

/// How far what was fed is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDisk {
    NoLog,
    /// Nothing that could be relied upon: a base is missing, or something before it.
    Nothing,
    Until(Position),
}

pub(crate) fn on_disk(node: &Node) -> OnDisk {
    let log = &node.persistence.log;
    match (log.writing(), &log.state) {
        (None, _) => OnDisk::NoLog,
        (Some(writing), State::On(_)) if !writing.is_doubtful() => {
            OnDisk::Until(writing.line.progress().synced())
        }
        (Some(_), _) => OnDisk::Nothing,
    }
}

/// Tells those who wait for this disk (WAITAOF).
fn tell_waiters(node: &mut Node) {
    if !node.replication.primary.machine().is_own_disk_awaited() {
        return;
    }
    // The next progress is to be heard of, too.
    if let Some(line) = node.persistence.log.line() {
        line.expect_news();
    }
    node.tell_own_disk();
}

/// Notes what took the writer too long.
fn note_slow(node: &mut Node, Slow { write, sync }: Slow) {
    let beside = match is_disk_busy(node) {
        true => Event::LogWriteBesideSnapshot,
        false => Event::LogWriteAlone,
    };
    let now = node::now();
    for (event, took) in [(Event::LogWrite, write), (beside, write), (Event::LogSync, sync)] {
        if !took.is_zero() {
            timing::note_event(node, event, took, now);
        }
    }
}

/// Takes note of how far the writer is.
pub(crate) fn hear(node: &mut Node) {
    hear_the_last(node);
    tell_waiters(node);
    let log = &mut node.persistence.log;
    let Some(line) = log.line().map(Arc::clone) else { return };
    if log.is_full {
        line.expect_news();
    }
    let progress = line.progress();
    let synced = progress.synced();
    if log.is_doubtful() {
        if !log.rewrites.is_running() {
            log.rewrites.schedule();
        }
    } else if log.closing.is_empty() {
        node.gate.release(Holder::Log, synced);
    }
    let known = node.condition.has(&Trouble::LogFailed(String::new()));
    match progress.failure() {
        Some(why) => node.condition.note(Trouble::LogFailed(why)),
        None if known => node.condition.forget(&Trouble::LogFailed(String::new())),
        None => {}
    }
    let log = &mut node.persistence.log;
    if log.is_full && line.bytes() <= QUEUE_BYTES_MAX / 2 {
        log.is_full = false;
        node.relieve(Congested::Log);
    }
    let slow = progress.take_slow();
    if slow != Slow::default() {
        note_slow(node, slow);
    }
}

/// Takes note of logs that were turned off: replies wait until all of them are closed. Those that tell of what could not be
/// written are never told.
fn hear_the_last(node: &mut Node) {
    let log = &mut node.persistence.log;
    if log.closing.is_empty() {
        return;
    }
    let (ended, closing): (Vec<_>, Vec<_>) =
        std::mem::take(&mut log.closing).into_iter().partition(Writing::has_ended);
    log.closing = closing;
    let is_whole = ended.iter().all(Writing::is_whole);
    log.ending.extend(ended.into_iter().map(|writing| writing.thread));
    if !is_whole {
        node.gate.cut();
    }
    hold_gate(node);
}

/// Whether a rewrite should begin now.
pub(crate) fn is_rewrite_due(node: &mut Node, now: Millis) -> bool {
    let is_other_running = node.persistence.saves.present().is_some();
    let growth = match node.persistence.log.state {
        State::On(_) => Some(rewrites::Growth {
            bytes: node.persistence.log.facts().current_bytes,
            bytes_min: node.settings.bytes(Key::AutoAofRewriteMinSize),
            percent: u64::try_from(node.settings.integer(Key::AutoAofRewritePercentage)).unwrap_or(0),
        }),
        State::Off | State::Starting(_) => None,
    };
    // Half of the data would be the base of all that follows.
    let is_loading = node.persistence.loading.is_some();
    !is_other_running && !is_loading && node.persistence.log.rewrites.is_due(growth, now)
}

/// Of no line there are none.
async fn news_of(line: Option<&Line>) {
    match line {
        Some(line) => line.news.notified().await,
        None => std::future::pending().await,
    }
}

/// Takes the writer's news, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let changed = Arc::clone(&thread.node.borrow().persistence.log.changed);
    loop {
        let (closing, line) = {
            let log = &thread.node.borrow().persistence.log;
            let closing = log.closing.first().map(|writing| Arc::clone(&writing.line));
            (closing, log.line().map(Arc::clone))
        };
        tokio::select! {
            () = news_of(closing.as_deref()) => {}
            () = news_of(line.as_deref()) => {}
            () = changed.notified() => {}
        }
        let node = &mut *thread.node.borrow_mut();
        hear(node);
        if node.seat.is_some() {
            node.tell_growth();
            thread.deliver(node);
        }
    }
}

#[cfg(test)]
mod tests;
