//! What the pulse thread and the keyspace thread of a node share.
//!
//! The pulse answers for the node while the keyspace thread is at a long command, and what it answers must be true. So they share
//! a few numbers, each written by one of them, and two letterboxes that never block and never grow: orders for the
//! keyspace thread, of which only the newest of each kind counts, and what that thread last told of itself.
//!
//! **A promise covers every acknowledgement sent before it** (I4). The pulse raises `seen` and then reads the position; the keyspace thread
//! publishes a position and then reads `seen`, and lets nothing leave if that is higher than its own epoch. In the one order that all
//! sequentially consistent accesses have, either the pulse's raise comes first, and nothing leaves, or the publishing does, and the
//! promise tells of it. A weaker order would allow both to read the old value; a test with racing threads would notice.
//!
//! A lease is (epoch, end), read together: the end of another epoch's lease says nothing.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use slotway_cluster::{
    Entry, Epoch, Member, NodeId, Position, Rule,
    pulse::{
        Order, Orders,
        wire::{Part, UpstreamState},
    },
    replication::Offset,
};
use tokio::sync::Notify;

mod pair;
mod progress;

use self::pair::Pair;
pub(crate) use self::progress::{Look, Progress};

/// Shared by the two threads.
#[derive(Debug)]
pub(crate) struct Vitals {
    /// The highest epoch promised or seen.
    seen: AtomicU64,
    /// Written by the pulse: epoch, and end as nanoseconds of the clock.
    lease: Pair,
    /// Written by the keyspace thread: epoch and offset.
    position: Pair,
    /// As a primary: what is committed. Written by the keyspace thread.
    committed: AtomicU64,
    /// As a replica: what the primary of this epoch called committed in its last heartbeat. Written by the pulse.
    told_committed: Pair,
    keys: AtomicU64,
    memory_bytes: AtomicU64,
    pub(crate) progress: Progress,
    orders: Mutex<Letterbox>,
    /// Rung for the keyspace thread.
    for_keyspace: Notify,
    told: Mutex<Told>,
    /// Rung for the pulse.
    for_pulse: Notify,
}

/// What the keyspace thread tells the pulse of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Index of the log that it follows.
    pub(crate) index: u64,
    pub(crate) part: Part,
    /// The rules by which the lease of this epoch counts; both, while a proposal is open. The pulse takes them before it shows the proposal.
    pub(crate) rules: (Epoch, Vec<Rule>),
    pub(crate) proposal: Option<Entry>,
    pub(crate) upstream: Option<Upstream>,
}

/// As a replica: how the link to the primary is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    pub(crate) node: NodeId,
    pub(crate) state: UpstreamState,
    /// When this state began, or when the primary was last heard.
    pub(crate) since: Duration,
}

/// Orders that wait for the keyspace thread. Of each kind the newest.
#[derive(Debug, Default)]
struct Letterbox {
    follow: Option<Box<Orders>>,
    /// With the moment before which nothing is served.
    activate: Option<(Epoch, Duration)>,
    stop: Option<(Epoch, u64)>,
    unheard: Option<(Epoch, Vec<Member>)>,
}

impl Default for Told {
    fn default() -> Told {
        Told {
            index: 0,
            part: Part::None,
            rules: (Epoch::default(), Vec::new()),
            proposal: None,
            upstream: None,
        }
    }
}

impl Default for Vitals {
    fn default() -> Vitals {
        Vitals {
            seen: AtomicU64::new(0),
            lease: Pair::default(),
            position: Pair::default(),
            committed: AtomicU64::new(0),
            told_committed: Pair::default(),
            keys: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
            progress: Progress::default(),
            orders: Mutex::default(),
            for_keyspace: Notify::new(),
            told: Mutex::default(),
            for_pulse: Notify::new(),
        }
    }
}

/// What both threads read.
impl Vitals {
    /// The highest epoch promised or seen. To be read behind [`Vitals::publish`] before an acknowledgement or a reply leaves.
    #[inline]
    pub(crate) fn seen(&self) -> Epoch {
        Epoch(self.seen.load(SeqCst))
    }

    /// This epoch exists. Wakes both threads if they did not know; true: they did not.
    pub(crate) fn see(&self, epoch: Epoch) -> bool {
        let is_news = self.seen.fetch_max(epoch.0, SeqCst) < epoch.0;
        if is_news {
            self.for_keyspace.notify_one();
            self.for_pulse.notify_one();
        }
        is_news
    }

    /// How much of the shard's stream this node holds: for a promise, to be read behind [`Vitals::see`].
    pub(crate) fn position(&self) -> Position {
        let (epoch, offset) = self.position.get();
        Position { epoch: Epoch(epoch), offset: Offset(offset) }
    }

    /// The lease: its epoch and its end. ZERO: none; MAX: none is needed.
    pub(crate) fn lease(&self) -> (Epoch, Duration) {
        let (epoch, until) = self.lease.get();
        (Epoch(epoch), duration(until))
    }
}

/// The side of the keyspace thread.
impl Vitals {
    /// So much is held, at a unit's end.
    #[inline]
    pub(crate) fn publish(&self, position: Position) {
        self.position.set(position.epoch.0, position.offset.0);
    }

    /// Whether this node may execute and answer as the primary of `epoch`. `now` was read after the requests were (I6).
    #[inline]
    pub(crate) fn holds_lease(&self, epoch: Epoch, now: Duration) -> bool {
        let (of, until) = self.lease.get();
        of == epoch.0 && now < duration(until)
    }

    /// As a primary: what is committed, for the heartbeats.
    #[inline]
    pub(crate) fn publish_committed(&self, committed: Offset) {
        self.committed.store(committed.0, Relaxed);
    }

    /// As a replica: what the primary of an epoch last called committed.
    pub(crate) fn told_committed(&self) -> (Epoch, Offset) {
        let (epoch, offset) = self.told_committed.get();
        (Epoch(epoch), Offset(offset))
    }

    /// Each round of housekeeping.
    pub(crate) fn publish_size(&self, keys: u64, memory_bytes: u64) {
        self.keys.store(keys, Relaxed);
        self.memory_bytes.store(memory_bytes, Relaxed);
    }

    /// Changes what the pulse tells others of this node, and has it told.
    pub(crate) fn tell(&self, change: impl FnOnce(&mut Told)) {
        let mut told = lock(&self.told);
        let before = told.clone();
        change(&mut told);
        let is_news = *told != before;
        drop(told);
        if is_news {
            self.for_pulse.notify_one();
        }
    }

    /// Ready when orders wait, a higher epoch was seen, more is committed, or a lease was granted to a node that had none.
    pub(crate) async fn news_for_keyspace(&self) {
        self.for_keyspace.notified().await;
    }

    /// The orders that wait, in the order in which they are to be obeyed.
    pub(crate) fn take_orders(&self) -> impl Iterator<Item = Order> + use<> {
        let Letterbox { follow, activate, stop, unheard } = std::mem::take(&mut *lock(&self.orders));
        let activate = activate.map(|(epoch, not_before)| Order::Activate { epoch, not_before });
        let stop = stop.map(|(epoch, version)| Order::Stop { epoch, version });
        let unheard = unheard.map(|(epoch, members)| Order::Unheard { epoch, members });
        follow.map(Order::Follow).into_iter().chain(activate).chain(stop).chain(unheard)
    }
}

/// The side of the pulse.
impl Vitals {
    /// Until then the node may serve in `epoch`.
    pub(crate) fn set_lease(&self, epoch: Epoch, until: Duration, now: Duration) {
        let had_one = self.holds_lease(epoch, now);
        self.lease.set(epoch.0, u64::try_from(until.as_nanos()).unwrap_or(u64::MAX));
        if !had_one && now < until {
            self.for_keyspace.notify_one();
        }
    }

    pub(crate) fn committed(&self) -> Offset {
        Offset(self.committed.load(Relaxed))
    }

    /// The primary of `epoch` calls so much committed.
    pub(crate) fn heard_committed(&self, epoch: Epoch, committed: Offset) {
        let is_news = self.told_committed.get() != (epoch.0, committed.0);
        self.told_committed.set(epoch.0, committed.0);
        if is_news {
            // Who reads from this replica may wait for it.
            self.for_keyspace.notify_one();
        }
    }

    /// Keys, and bytes of memory.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.keys.load(Relaxed), self.memory_bytes.load(Relaxed))
    }

    /// Lays an order into the letterbox, in place of an older one of its kind, and wakes the keyspace thread.
    pub(crate) fn order(&self, order: Order) {
        let mut waiting = lock(&self.orders);
        match order {
            Order::Follow(orders) => {
                let version = orders.topology.version;
                if waiting.follow.as_ref().is_none_or(|known| known.topology.version <= version) {
                    waiting.follow = Some(orders);
                }
            }
            Order::Activate { epoch, not_before } => {
                // Told twice, the first counts: its wait is the one that is over first.
                if waiting.activate.is_none_or(|(known, _)| known < epoch) {
                    waiting.activate = Some((epoch, not_before));
                }
            }
            Order::Stop { epoch, version } => waiting.stop = waiting.stop.max(Some((epoch, version))),
            Order::Unheard { epoch, members } => waiting.unheard = Some((epoch, members)),
        }
        drop(waiting);
        self.for_keyspace.notify_one();
    }

    /// Ready when [`Vitals::told`] has changed, or a higher epoch was seen.
    pub(crate) async fn news_for_pulse(&self) {
        self.for_pulse.notified().await;
    }

    /// What the keyspace thread last told of itself.
    pub(crate) fn told(&self) -> Told {
        lock(&self.told).clone()
    }
}

/// A thread that panicked has ended the node; what it left is whole, because nothing in here is changed in steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn duration(nanos: u64) -> Duration {
    if nanos == u64::MAX { Duration::MAX } else { Duration::from_nanos(nanos) }
}

#[cfg(test)]
pub(crate) mod tests;
