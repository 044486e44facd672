//! How much memory the process uses, as the allocator counts it.
//!
//! jemalloc keeps its sums per thread and adds them up when it is asked to; that costs microseconds, so the exact
//! numbers are read by housekeeping and for INFO only. `maxmemory` needs a number for every command: [`Memory::used`] takes the last exact one and adds what this thread has been given and has given
//! back since, and what the helper has freed. That is three loads, and wrong by no more than what other threads
//! did since the last reading.
//!
//! What was handed to the helper counts as free at once ([`Freed`]): otherwise eviction would go on until the helper
//! had come to it, and delete far more than it has to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tikv_jemalloc_ctl::{
    epoch, stats,
    thread::{self, ThreadLocal},
};

/// The allocator's numbers, bytes. All zero where the program runs on another allocator (tests).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// Given out to the program: INFO's `used_memory`.
    pub(crate) allocated: u64,
    /// In pages that hold something.
    pub(crate) active: u64,
    /// Mapped and backed by memory.
    pub(crate) resident: u64,
}

/// What the helper has to do with memory; shared with it.
#[derive(Debug, Default)]
pub(crate) struct Freed {
    /// About how many bytes were handed to it.
    promised: AtomicU64,
    /// For how many of them it has kept the promise.
    kept: AtomicU64,
    /// All that its thread has freed, as the allocator counts.
    bytes: AtomicU64,
}

impl Freed {
    /// On the keyspace thread.
    pub(crate) fn promise(&self, bytes: u64) {
        self.promised.fetch_add(bytes, Relaxed);
    }

    /// On the helper, after it has freed what was promised.
    pub(crate) fn keep(&self, bytes: u64) {
        let freed = thread::deallocatedp::read().map_or(0, |counter| counter.get());
        self.bytes.store(freed, Relaxed);
        self.kept.fetch_add(bytes, Relaxed);
    }

    fn outstanding(&self) -> u64 {
        self.promised.load(Relaxed).wrapping_sub(self.kept.load(Relaxed))
    }
}

/// The allocator's counters of one thread.
struct Counters {
    allocated: ThreadLocal<u64>,
    deallocated: ThreadLocal<u64>,
}

pub(crate) struct Memory {
    reading: Reading,
    /// INFO's `used_memory_peak`.
    pub(crate) peak: u64,
    /// `used_memory` when the node started: what it needs without data.
    pub(crate) startup: u64,
    pub(crate) freed: Arc<Freed>,
    counters: Option<Counters>,
    /// What [`Memory::change`] was at the last exact reading.
    change_then: u64,
}

impl Memory {
    /// To be made, and read, on the thread that owns the data.
    pub(crate) fn new() -> Memory {
        let counters = || {
            let (allocated, deallocated) = (thread::allocatedp::read(), thread::deallocatedp::read());
            Some(Counters { allocated: allocated.ok()?, deallocated: deallocated.ok()? })
        };
        Memory {
            reading: Reading::default(),
            peak: 0,
            startup: 0,
            freed: Arc::default(),
            counters: counters(),
            change_then: 0,
        }
    }

    /// The numbers of this moment.
    pub(crate) fn read(&mut self) -> Reading {
        self.reading = read();
        self.change_then = self.change();
        self.peak = self.peak.max(self.reading.allocated);
        self.reading
    }

    /// The numbers of the last [`Memory::read`].
    pub(crate) fn last(&self) -> Reading {
        self.reading
    }

    /// The allocator's own sums by its own names, bytes.
    pub(crate) fn allocator(&self) -> [(&'static str, u64); 6] {
        let _ = epoch::advance();
        [
            ("allocated", number(stats::allocated::read())),
            ("active", number(stats::active::read())),
            ("metadata", number(stats::metadata::read())),
            ("resident", number(stats::resident::read())),
            ("mapped", number(stats::mapped::read())),
            ("retained", number(stats::retained::read())),
        ]
    }

    /// Bytes in use now, without those that the helper is about to free.
    #[inline]
    pub(crate) fn used(&self) -> u64 {
        let change = self.change().wrapping_sub(self.change_then);
        let used = self.reading.allocated.wrapping_add(change).wrapping_sub(self.freed.outstanding());
        // Below zero: a promise was greater than what it was about.
        if used > i64::MAX.unsigned_abs() { 0 } else { used }
    }

    /// What this thread and the helper have done to the memory in use so far, modulo 2^64.
    #[inline]
    fn change(&self) -> u64 {
        let Some(Counters { allocated, deallocated }) = &self.counters else { return 0 };
        allocated.get().wrapping_sub(deallocated.get()).wrapping_sub(self.freed.bytes.load(Relaxed))
    }

    /// Notes what the process needs before it holds data.
    pub(crate) fn note_startup(&mut self) {
        self.startup = self.read().allocated;
    }
}

/// A sum of the allocator; 0: it does not tell.
fn number(outcome: tikv_jemalloc_ctl::Result<usize>) -> u64 {
    outcome.ok().and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

fn read() -> Reading {
    // Without the epoch the numbers would be those of the last time.
    if epoch::advance().is_err() {
        return Reading::default();
    }
    Reading {
        allocated: number(stats::allocated::read()),
        active: number(stats::active::read()),
        resident: number(stats::resident::read()),
    }
}
