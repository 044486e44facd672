//! How much memory the process uses, as the allocator counts it.
//!
//! jemalloc keeps its sums per thread and adds them up when it is asked to; that costs microseconds, so the numbers
//! are refreshed by housekeeping and, for INFO, when they are older than [`FRESH`].

use std::time::{Duration, Instant};

use tikv_jemalloc_ctl::{epoch, stats};

/// How old a number may be when INFO prints it.
const FRESH: Duration = Duration::from_millis(100);

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

#[derive(Debug, Default)]
pub(crate) struct Memory {
    reading: Reading,
    read_at: Option<Instant>,
    /// INFO's `used_memory_peak`.
    pub(crate) peak: u64,
    /// `used_memory` when the node started: what it needs without data.
    pub(crate) startup: u64,
}

impl Memory {
    /// The numbers, at most [`FRESH`] old.
    pub(crate) fn read(&mut self) -> Reading {
        #[allow(clippy::disallowed_methods, reason = "a shell: the age of a cached number")]
        let now = Instant::now();
        if self.read_at.is_none_or(|then| now - then >= FRESH) {
            self.reading = read();
            self.read_at = Some(now);
            self.peak = self.peak.max(self.reading.allocated);
        }
        self.reading
    }

    /// The numbers of the last [`Memory::read`].
    pub(crate) fn last(&self) -> Reading {
        self.reading
    }

    /// Notes what the process needs before it holds data.
    pub(crate) fn note_startup(&mut self) {
        self.startup = self.read().allocated;
    }
}

fn read() -> Reading {
    // Without the epoch the numbers would be those of the last time.
    if epoch::advance().is_err() {
        return Reading::default();
    }
    let number = |outcome: Result<usize, _>| outcome.ok().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    Reading {
        allocated: number(stats::allocated::read()),
        active: number(stats::active::read()),
        resident: number(stats::resident::read()),
    }
}
