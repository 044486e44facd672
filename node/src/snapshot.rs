//! One snapshot: a walk over the keyspace, as a whole RDB stream, into whatever takes it. The base of a log may also be
//! commands ([`Wording`]), with nothing around them.
//!
//! There is no second process: the keyspace's own thread writes the snapshot in pieces of about a millisecond, with its
//! clients in between, while the walk ([`crate::keyspace::walk`]) sees to it that every key is written as it was when the
//! snapshot began. The pieces go through a short queue to whoever keeps them, a file's thread or a replica's connection;
//! when that is slow, the walk waits, and its clients do not notice.
//!
//! How much of the thread it may have is decided by [`Duty`]: a share of a seventh while clients are served, more when they overwrite
//! faster than it goes on, everything while nobody is served.
//!
//! What clients overwrite before the walk has come there is kept as it was, in memory. That has a limit,
//! `snapshot-memory-max`; past it, writes wait until a snapshot for a disk has caught up, and a snapshot for a replica is
//! given up, because clients come before a replica that is too slow for them. It holds, too, while no piece can be written
//! because nobody takes the last ones: clients go on overwriting then.

mod duty;

use std::{
    io::{self, Write},
    pin::pin,
    time::{Duration, Instant},
};

use slotway_commands::info::REDIS_VERSION;
use slotway_config::Key;
use slotway_link::clock;
use tokio::sync::mpsc;

use crate::{
    keyspace::walk::{Progress, Scope, WalkId, Wording},
    node::{self, Node},
    pause::Congested,
    rdb::{self, Checksum, write},
    thread::Thread,
};
use duty::{Duty, Others, Pressure};

/// Pieces that may wait for the sink.
pub(crate) const QUEUE_PIECES: usize = 8;

/// How often what is set aside is looked at while the snapshot waits.
const WEIGH_EVERY: Duration = Duration::from_millis(10);

/// A snapshot hurries the more the nearer to one so many-th of all memory is what it keeps of old values: its clients are slower
/// then for a shorter time, and the node grows by about as much at most.
const SET_ASIDE_PART: usize = 10;

/// Who the snapshot is for, which says what gives way when clients overwrite faster than it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Writes wait.
    Disk,
    /// The snapshot is given up.
    Replica,
}

/// Why a snapshot came to no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Whoever took it takes no more, and knows why.
    SinkGone,
    /// More than `snapshot-memory-max` would have been kept for it.
    TooMuchSetAside,
}

/// What was learned about a snapshot that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Taken {
    pub(crate) bytes: u64,
    /// The most that was set aside for it at once.
    pub(crate) set_aside_bytes_max: usize,
}

/// All snapshots that are under way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Snapshots {
    /// They share the thread.
    pub(crate) running: u32,
    /// The most that was set aside for one of them.
    pub(crate) set_aside_bytes_max: usize,
    /// The longest that others had to wait for a piece, since none was running.
    pub(crate) longest_piece: Duration,
    /// The most of the processor that a piece took: what the others would wait for on a core of their own.
    pub(crate) longest_piece_cpu: Duration,
}

/// A snapshot of what there was when it began. It must be run: from its beginning on the keyspace keeps old values for it.
#[must_use = "the keyspace keeps old values for it until it has run"]
pub(crate) struct Snapshot {
    walk: WalkId,
    wording: Wording,
    aim: Aim,
    /// What was written and not taken yet: at first the header.
    head: Vec<u8>,
    /// None: `rdbchecksum no`.
    checksum: Option<Checksum>,
    is_at_end: bool,
    taken: Taken,
}

impl Snapshot {
    /// Begins: the stream will hold everything as it is now. `facts` are said in its header besides what always is. None:
    /// as many walks as may be are under way.
    pub(crate) fn begin(node: &mut Node, aim: Aim, facts: &[(&str, &[u8])]) -> Option<Snapshot> {
        let now = node::now();
        let form = rdb::Form::new(&node.keyspace.settings, now);
        let checksum = node.settings.flag(Key::Rdbchecksum).then(Checksum::new);
        let mut snapshot = Snapshot::begin_in(node, aim, Wording::Records(form), checksum)?;
        let created = (now.0 / 1000).to_string();
        let used = node.memory.last().allocated.to_string();
        let mut all: Vec<(&str, &[u8])> = vec![
            ("redis-ver", REDIS_VERSION.as_bytes()),
            ("redis-bits", b"64"),
            ("ctime", created.as_bytes()),
            ("used-mem", used.as_bytes()),
        ];
        all.extend_from_slice(facts);
        write::header(&mut snapshot.head, &all);
        Some(snapshot)
    }

    /// As [`Snapshot::begin`], as commands for a log.
    pub(crate) fn begin_commands(node: &mut Node) -> Option<Snapshot> {
        let mut snapshot = Snapshot::begin_in(node, Aim::Disk, Wording::Commands, None)?;
        if node.settings.flag(Key::AofTimestampEnabled) {
            write!(snapshot.head, "#TS:{}\r\n", node::now().0 / 1000).expect("memory takes every byte");
        }
        Some(snapshot)
    }

    fn begin_in(node: &mut Node, aim: Aim, wording: Wording, checksum: Option<Checksum>) -> Option<Snapshot> {
        let walk = node.keyspace.begin_walk(Scope::All, wording)?;
        if node.snapshots.running == 0 {
            node.snapshots.longest_piece = Duration::ZERO;
            node.snapshots.longest_piece_cpu = Duration::ZERO;
        }
        node.snapshots.running += 1;
        let (head, taken) = (Vec::new(), Taken::default());
        Some(Snapshot { walk, wording, aim, head, checksum, is_at_end: false, taken })
    }

    /// [`Running::run`], at once.
    pub(crate) async fn run(self, thread: &Thread, sink: mpsc::Sender<Vec<u8>>) -> Result<Taken, Broken> {
        self.start(thread).run(sink).await
    }

    /// From here on it leaves nothing behind, however it ends.
    pub(crate) fn start(self, thread: &Thread) -> Running<'_> {
        Running { snapshot: self, thread, is_congested: false }
    }

    /// Writes it to its end at once; nobody is served meanwhile.
    pub(crate) fn run_now(mut self, node: &mut Node, out: &mut impl Write) -> io::Result<Taken> {
        let mut outcome = Ok(());
        while !self.is_at_end && outcome.is_ok() {
            outcome = out.write_all(&self.next_piece(node, duty::PIECE_BYTES_MAX));
        }
        self.leave(node);
        outcome.map(|()| self.taken)
    }

    pub(crate) fn walk(&self) -> WalkId {
        self.walk
    }

    /// It is not run.
    pub(crate) fn give_up(self, node: &mut Node) {
        self.leave(node);
    }

    /// About so many bytes more.
    fn next_piece(&mut self, node: &mut Node, bytes: usize) -> Vec<u8> {
        let mut piece = std::mem::take(&mut self.head);
        piece.reserve(bytes + bytes / 8);
        let progress = node.keyspace.walk(self.walk, &mut piece, bytes);
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&piece);
        }
        if progress == Progress::Ended {
            self.is_at_end = true;
            match self.wording {
                Wording::Records(_) => write::end(&mut piece, self.checksum.take()),
                Wording::Commands => {}
            }
        }
        self.taken.bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        piece
    }

    fn leave(&self, node: &mut Node) {
        node.keyspace.end_walk(self.walk);
        node.snapshots.running -= 1;
        if node.snapshots.running == 0 {
            node.snapshots.set_aside_bytes_max = 0;
        }
    }
}

/// A snapshot that is being written while others run. Leaves nothing behind, however it ends.
pub(crate) struct Running<'t> {
    snapshot: Snapshot,
    thread: &'t Thread,
    /// Writes wait for it.
    is_congested: bool,
}

/// A piece, and what was seen while it was written.
struct Piece {
    bytes: Vec<u8>,
    began: Instant,
    ended: Instant,
    /// Commands executed before it.
    commands: u64,
    /// Snapshots that share the thread.
    snapshots: u32,
    pressure: Pressure,
    /// `rdb-key-save-delay`
    delay: Duration,
}

impl Running<'_> {
    /// Writes it into `sink`, piece by piece, while the thread serves its clients. The sink closes behind the last piece,
    /// and also when there is none to come: only what is returned says which.
    pub(crate) async fn run(mut self, sink: mpsc::Sender<Vec<u8>>) -> Result<Taken, Broken> {
        let mut duty = Duty::new(node::instant());
        loop {
            // Asked for a place first: a piece that cannot be taken away would only lie in memory.
            let Ok(place) = self.until(sink.reserve()).await? else { return Err(Broken::SinkGone) };
            let piece = self.next_piece(&duty)?;
            place.send(piece.bytes);
            if self.snapshot.is_at_end {
                return Ok(self.snapshot.taken);
            }
            // Whoever else can run does, before this comes back.
            tokio::task::yield_now().await;
            let others = self.others_since(piece.commands);
            let rest = duty.rest(piece.began, piece.ended, others, piece.snapshots, piece.pressure);
            if !(rest + piece.delay).is_zero() {
                self.until(tokio::time::sleep_until((piece.ended + rest + piece.delay).into())).await?;
            }
        }
    }

    /// Waits for something, and looks meanwhile at what is set aside.
    pub(crate) async fn until<T>(&mut self, event: impl Future<Output = T>) -> Result<T, Broken> {
        let mut event = pin!(event);
        loop {
            if let Ok(output) = tokio::time::timeout(WEIGH_EVERY, event.as_mut()).await {
                return Ok(output);
            }
            let thread = self.thread;
            self.weigh(&mut thread.node.borrow_mut())?;
        }
    }

    fn next_piece(&mut self, duty: &Duty) -> Result<Piece, Broken> {
        let node = &mut *self.thread.node.borrow_mut();
        let delay =
            Duration::from_micros(u64::try_from(node.settings.integer(Key::RdbKeySaveDelay)).unwrap_or(0));
        // What is delayed is each key: so few bytes are few keys.
        let bytes = if delay.is_zero() { duty.piece_bytes() } else { 1 };
        let (commands, began, cpu) = (node.statistics.commands, node::instant(), clock::thread_cpu());
        let keys = node.keyspace.walked_keys(self.snapshot.walk);
        let bytes = self.snapshot.next_piece(node, bytes);
        let ended = node::instant();
        let cpu = clock::thread_cpu() - cpu;
        let snapshots = &mut node.snapshots;
        snapshots.longest_piece = ended.duration_since(began).max(snapshots.longest_piece);
        snapshots.longest_piece_cpu = cpu.max(snapshots.longest_piece_cpu);
        let keys = node.keyspace.walked_keys(self.snapshot.walk) - keys;
        let delay = delay.saturating_mul(u32::try_from(keys).unwrap_or(u32::MAX));
        let pressure = self.weigh(node)?;
        Ok(Piece { bytes, began, ended, commands, snapshots: node.snapshots.running, pressure, delay })
    }

    /// Looks at what is set aside.
    fn weigh(&mut self, node: &mut Node) -> Result<Pressure, Broken> {
        let bytes = node.keyspace.set_aside_bytes(self.snapshot.walk);
        let taken = &mut self.snapshot.taken;
        taken.set_aside_bytes_max = taken.set_aside_bytes_max.max(bytes);
        node.snapshots.set_aside_bytes_max = node.snapshots.set_aside_bytes_max.max(bytes);
        let max = usize::try_from(node.settings.bytes(Key::SnapshotMemoryMax)).unwrap_or(usize::MAX);
        // What was flushed was there before: whoever gave up for its sake would have to begin anew, and gains nothing.
        let bytes = node.keyspace.overwritten_bytes(self.snapshot.walk);
        match self.snapshot.aim {
            Aim::Replica if bytes > max => return Err(Broken::TooMuchSetAside),
            Aim::Disk if bytes > max && !self.is_congested => {
                self.is_congested = true;
                node.congest(Congested::Snapshot);
                tracing::warn!(
                    bytes,
                    "writes wait: a save has set aside as much as snapshot-memory-max allows"
                );
            }
            // Soon: a writer waits for little to be written, not for half of everything.
            Aim::Disk if bytes <= max - max / 16 && self.is_congested => {
                self.is_congested = false;
                node.relieve(Congested::Snapshot);
            }
            Aim::Disk | Aim::Replica => {}
        }
        let used = usize::try_from(node.memory.last().allocated).unwrap_or(usize::MAX);
        Ok(Pressure::of(bytes, max.min(used / SET_ASIDE_PART)))
    }

    /// Whether somebody was served since so many commands had been.
    fn others_since(&self, commands: u64) -> Others {
        match self.thread.node.borrow().statistics.commands == commands {
            true => Others::Idle,
            false => Others::Busy,
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let node = &mut *self.thread.node.borrow_mut();
        if self.is_congested {
            node.relieve(Congested::Snapshot);
        }
        self.snapshot.leave(node);
    }
}

#[cfg(test)]
mod tests;
