//! Two numbers that one thread writes and another reads together, without a lock.
//!
//! The first changes seldom (an epoch), the second often (an offset, a time). While the first stays, a write is one store. When it
//! changes the writer makes the turn odd, writes both, and makes the turn even; who reads across that begins again.
//!
//! All accesses are sequentially consistent: what a story says of "publishes, then reads" on one side and the other
//! (`super::Vitals`) is about these cells, too.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Written by one thread only.
#[derive(Debug, Default)]
pub(super) struct Pair {
    turn: AtomicU64,
    first: AtomicU64,
    second: AtomicU64,
}

impl Pair {
    pub(super) fn set(&self, first: u64, second: u64) {
        // This thread is the only writer: what it reads here is what it wrote.
        if self.first.load(SeqCst) == first {
            self.second.store(second, SeqCst);
            return;
        }
        self.turn.fetch_add(1, SeqCst);
        self.first.store(first, SeqCst);
        self.second.store(second, SeqCst);
        self.turn.fetch_add(1, SeqCst);
    }

    #[inline]
    pub(super) fn get(&self) -> (u64, u64) {
        loop {
            let turn = self.turn.load(SeqCst);
            let numbers = (self.first.load(SeqCst), self.second.load(SeqCst));
            if turn.is_multiple_of(2) && self.turn.load(SeqCst) == turn {
                return numbers;
            }
            // The writer may have lost its processor between two stores.
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_sees_the_numbers_of_two_writes() {
        let pair = Pair::default();
        let last = 40_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=last {
                    // The first changes each fourth time.
                    pair.set(number / 4, number);
                }
            });
            let mut before = (0, 0);
            while before.1 < last {
                let now = pair.get();
                assert!(now.1 / 4 == now.0, "{now:?}");
                assert!(now >= before, "{now:?} behind {before:?}");
                before = now;
            }
        });
    }
}
