//! The line between the keyspace thread and the thread that writes the log.
//!
//! The keyspace thread puts bytes and orders in and never waits; the writer takes everything at once, so that what has
//! gathered while the disk was busy is written and synced together (group commit). Bytes lie one behind the other in one
//! buffer until an order stands between them: a line has few pieces, and at most [`QUEUE_BYTES_MAX`] and a turn's bytes,
//! because writers wait when it is full.
//!
//! A sleeping writer is woken by the first bytes. Where no reply waits for the disk it then looks at the line every
//! [`LINGER`] as long as there is something, instead of being woken for each turn of the node.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use tokio::sync::{Notify, oneshot};

use super::store::Increment;
use crate::feed::Position;

/// Bytes that may wait for the disk before writers wait, too.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long bytes may lie in the line when no reply waits for them.
const LINGER: Duration = Duration::from_millis(2);
/// So many bytes are written at once all the same.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// When what was written is forced to the disk: `appendfsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fsync {
    Always,
    EverySecond,
    Never,
}

impl Fsync {
    pub(crate) fn named(name: &str) -> Fsync {
        match name {
            "always" => Fsync::Always,
            "no" => Fsync::Never,
            _ => Fsync::EverySecond,
        }
    }
}

/// How the writer goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) fsync: Fsync,
    /// A save or rewrite runs, and `no-appendfsync-on-rewrite` leaves the disk to it.
    pub(crate) holds_syncs: bool,
    /// `aof-timestamp-enabled`
    pub(crate) notes_time: bool,
    /// What takes longer is told: `latency-monitor-threshold`.
    pub(crate) slow: Duration,
}

/// The longest times since they were last asked for, of those that were too long; zero: there were none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slow {
    pub(super) write: Duration,
    /// With `appendfsync always`.
    pub(super) sync: Duration,
}

/// What the writer is to do, in order.
pub(super) enum Order {
    /// Whole units, which end there.
    Append(Vec<u8>, Position),
    /// What follows goes to another file.
    Begin(Increment, oneshot::Sender<std::io::Result<Begun>>),
    /// Write and sync what is there; told whether that succeeded.
    Sync(oneshot::Sender<bool>),
    /// Write and sync what is there, then end.
    Close,
}

/// Another file has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// Of the file that was closed.
    pub(super) len: u64,
    /// [`Progress::doubts`] up to there: all of them are about files that a base replaces.
    pub(super) doubts: u64,
}

pub(crate) struct Line {
    waiting: Mutex<Waiting>,
    ready: Condvar,
    pub(super) progress: Progress,
    /// Rung when there is progress.
    pub(crate) news: Notify,
}

struct Waiting {
    orders: VecDeque<Order>,
    /// Of the orders, and of what the writer has taken and not written.
    bytes: usize,
    manner: Manner,
    sleep: Sleep,
}

/// What wakes the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Awake,
    /// Something urgent does.
    Lingering,
    /// Anything does.
    Deep,
}

/// How far the writer is: written by it, read by the keyspace thread.
#[derive(Default)]
pub(crate) struct Progress {
    synced: AtomicU64,
    /// Bytes of the file that is written to.
    pub(crate) file_bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) delayed_syncs: AtomicU64,
    /// Something is written and not synced.
    pub(crate) owes_sync: AtomicBool,
    /// How often a sync has failed where what it was to sync was no longer at hand: the file may lack it.
    pub(super) doubts: AtomicU64,
    /// The writer has closed its file, and says nothing more.
    has_ended: AtomicBool,
    /// The keyspace thread waits for progress even if no reply does.
    is_awaited: AtomicBool,
    has_failed: AtomicBool,
    failure: Mutex<String>,
    slow: Mutex<Slow>,
}

impl Progress {
    pub(super) fn starting_at(position: Position) -> Progress {
        let progress = Progress::default();
        progress.has_synced(position);
        progress
    }

    pub(crate) fn synced(&self) -> Position {
        Position(self.synced.load(Relaxed))
    }

    pub(super) fn has_synced(&self, until: Position) {
        self.synced.store(until.0, Relaxed);
    }

    pub(super) fn end(&self) {
        self.has_ended.store(true, Release);
    }

    /// Whether everything that it will ever say is said.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Acquire)
    }

    pub(super) fn fail(&self, why: Option<String>) {
        let has_failed = why.is_some();
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = why.unwrap_or_default();
        self.has_failed.store(has_failed, Relaxed);
    }

    /// Something took too long.
    pub(super) fn note_slow(&self, slow: Slow) {
        let mut known = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        known.write = known.write.max(slow.write);
        known.sync = known.sync.max(slow.sync);
    }

    pub(super) fn take_slow(&self) -> Slow {
        std::mem::take(&mut *self.slow.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the last attempt to write or sync failed; None: it did not.
    pub(crate) fn failure(&self) -> Option<String> {
        let has_failed = self.has_failed.load(Relaxed);
        has_failed.then(|| self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Line {
    pub(super) fn new(manner: Manner, from: Position) -> Line {
        let orders = VecDeque::new();
        Line {
            waiting: Mutex::new(Waiting { orders, bytes: 0, manner, sleep: Sleep::Awake }),
            ready: Condvar::new(),
            progress: Progress::starting_at(from),
            news: Notify::new(),
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The next progress is told, whatever the manner. To be called before it is looked how far the writer is: what it has told
    /// before this is seen then, what comes behind rings.
    pub(crate) fn expect_news(&self) {
        self.progress.is_awaited.swap(true, AcqRel);
    }

    /// Rings if anybody waits for it. Behind everything that is to be seen then.
    pub(super) fn tell(&self, fsync: Fsync, is_news: bool) {
        let is_awaited = self.progress.is_awaited.swap(false, AcqRel);
        if fsync == Fsync::Always || is_news || is_awaited {
            self.news.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait to be written.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Appends a copy of `units`, which end at `end`. Returns how many bytes wait now.
    pub(super) fn append(&self, units: &[u8], end: Position) -> usize {
        let mut waiting = self.lock();
        waiting.bytes += units.len();
        match waiting.orders.back_mut() {
            Some(Order::Append(bytes, last)) => {
                bytes.extend_from_slice(units);
                *last = end;
            }
            _ => waiting.orders.push_back(Order::Append(units.to_vec(), end)),
        }
        let bytes = waiting.bytes;
        let wakes = match waiting.sleep {
            Sleep::Awake => false,
            Sleep::Lingering => waiting.manner.fsync == Fsync::Always || bytes >= LINGER_BYTES_MAX,
            Sleep::Deep => true,
        };
        self.wake_if(wakes, waiting);
        bytes
    }

    pub(super) fn order(&self, order: Order) {
        let mut waiting = self.lock();
        waiting.orders.push_back(order);
        self.wake_if(true, waiting);
    }

    pub(super) fn set_manner(&self, manner: Manner) {
        let mut waiting = self.lock();
        if waiting.manner != manner {
            waiting.manner = manner;
            self.wake_if(true, waiting);
        }
    }

    fn wake_if(&self, wakes: bool, mut waiting: MutexGuard<'_, Waiting>) {
        if wakes && waiting.sleep != Sleep::Awake {
            waiting.sleep = Sleep::Awake;
            drop(waiting);
            self.ready.notify_one();
        }
    }

    /// On the writer: everything that is there, as soon as there is something, or nothing after `patience`.
    pub(super) fn take(&self, patience: Option<Duration>, into: &mut VecDeque<Order>) -> Manner {
        let mut waiting = self.lock();
        if waiting.orders.is_empty() {
            waiting.sleep = Sleep::Deep;
            let sleeps = |waiting: &mut Waiting| waiting.sleep != Sleep::Awake;
            waiting = match patience {
                None => self.ready.wait_while(waiting, sleeps).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    self.ready
                        .wait_timeout_while(waiting, patience, sleeps)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        waiting.sleep = Sleep::Awake;
        std::mem::swap(&mut waiting.orders, into);
        waiting.manner
    }

    /// On the writer: `bytes` that were taken are written.
    pub(super) fn done(&self, bytes: usize) {
        self.lock().bytes -= bytes;
    }

    /// On the writer: lets more gather for a moment if no reply waits for it.
    pub(super) fn linger(&self) {
        let mut waiting = self.lock();
        let is_urgent = |waiting: &Waiting| {
            waiting.manner.fsync == Fsync::Always
                || waiting.bytes >= LINGER_BYTES_MAX
                || waiting.orders.iter().any(|order| !matches!(order, Order::Append(..)))
        };
        if !is_urgent(&waiting) {
            waiting.sleep = Sleep::Lingering;
            let sleeps = |waiting: &mut Waiting| waiting.sleep != Sleep::Awake;
            let woken = self.ready.wait_timeout_while(waiting, LINGER, sleeps);
            woken.unwrap_or_else(PoisonError::into_inner).0.sleep = Sleep::Awake;
        }
    }
}
