//! The backlog: the stream's last bytes, kept once for all replicas.
//!
//! A deque of blocks. The stream is appended to the last one; every replica is an offset into it and is written from the
//! blocks themselves ([`Backlog::slices`]), so a replica more copies nothing. From the front whole blocks are freed: those
//! that `repl-backlog-size` does not ask for and no replica still has to be sent. One freed block is kept for the
//! next, so that a steady stream allocates nothing.

use std::{collections::VecDeque, io::IoSlice};

use slotway_cluster::replication::{Offset, Range};

/// Bytes of a block: what a socket takes at once, more or less.
const BLOCK_BYTES: usize = 32 * 1024;

/// Memory beyond what is asked for: blocks are kept whole, and one is spare.
pub(crate) const SLACK_BYTES: u64 = 2 * 32 * 1024;

/// The stream's last bytes.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Neighbours in the stream; none is empty.
    blocks: VecDeque<Block>,
    end: Offset,
    spare: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Block {
    /// What came before it.
    start: Offset,
    bytes: Vec<u8>,
}

impl Backlog {
    /// Empty, of a stream that has come to `end`.
    pub(crate) fn new(end: Offset) -> Backlog {
        Backlog { blocks: VecDeque::new(), end, spare: None }
    }

    pub(crate) fn range(&self) -> Range {
        Range { first: self.blocks.front().map_or(self.end, |block| block.start), end: self.end }
    }

    /// Bytes that can be sent again.
    pub(crate) fn len(&self) -> u64 {
        self.range().end.since(self.range().first)
    }

    /// Memory of the blocks, bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.blocks.len() + usize::from(self.spare.is_some())) * BLOCK_BYTES
    }

    /// The stream goes on.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.blocks.back().map_or(0, |last| BLOCK_BYTES - last.bytes.len());
            if room == 0 {
                let bytes = self.spare.take().unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES));
                self.blocks.push_back(Block { start: self.end, bytes });
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            if let Some(last) = self.blocks.back_mut() {
                last.bytes.extend_from_slice(now);
            }
            self.end = self.end.plus(now.len());
            bytes = later;
        }
    }

    /// Frees what is beyond the last `size_bytes` and before `needed_from`.
    pub(crate) fn trim(&mut self, size_bytes: u64, needed_from: Offset) {
        while let Some(first) = self.blocks.front() {
            let behind = first.start.plus(first.bytes.len());
            if self.end.since(behind) < size_bytes || behind > needed_from {
                return;
            }
            if let Some(mut block) = self.blocks.pop_front() {
                block.bytes.clear();
                self.spare = Some(block.bytes);
            }
        }
    }

    /// Points `slices` at what follows behind `from`, as far as they reach. Returns how many there are; none: nothing
    /// follows.
    pub(crate) fn slices<'a>(&'a self, from: Offset, slices: &mut [IoSlice<'a>]) -> usize {
        debug_assert!(from >= self.range().first, "what a replica needs is never trimmed");
        let at = self.blocks.partition_point(|block| block.start.plus(block.bytes.len()) <= from);
        let mut count = 0;
        for (slice, block) in slices.iter_mut().zip(self.blocks.range(at..)) {
            let skip = usize::try_from(from.since(block.start)).unwrap_or(usize::MAX);
            *slice = IoSlice::new(&block.bytes[skip.min(block.bytes.len())..]);
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn behind(backlog: &Backlog, from: Offset) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let mut slices = [IoSlice::new(&[]); 3];
            let count = backlog.slices(from.plus(all.len()), &mut slices);
            if count == 0 {
                return all;
            }
            slices[..count].iter().for_each(|slice| all.extend_from_slice(slice));
        }
    }

    /// Byte number `n` of the stream.
    fn byte(n: u64) -> u8 {
        u8::try_from(n % 251).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_cursor_reads_the_stream_and_no_more_is_kept_than_is_needed(
            begin in 0_u64..1000,
            steps in prop::collection::vec((0_usize..60_000, 0_u64..90_000), 1..8),
            size in 16_384_u64..100_000,
        ) {
            let mut backlog = Backlog::new(Offset(begin));
            let (mut end, mut slowest) = (begin, begin);
            for (len, sent) in steps {
                let bytes: Vec<u8> = (end..).take(len).map(byte).collect();
                backlog.append(&bytes);
                end += u64::try_from(len).unwrap();
                slowest = (slowest + sent).min(end);
                backlog.trim(size, Offset(slowest));
                let Range { first, end: last } = backlog.range();
                prop_assert_eq!(last, Offset(end));
                prop_assert!(first <= Offset(slowest));
                prop_assert!(first.0 == begin || end - first.0 >= size.min(end - begin));
                let kept_max = size.max(end - slowest) + 2 * u64::try_from(BLOCK_BYTES).unwrap();
                prop_assert!(backlog.len() <= kept_max);
                for from in [first, Offset(slowest), last] {
                    let expected: Vec<u8> = (from.0..end).map(byte).collect();
                    prop_assert!(behind(&backlog, from) == expected);
                }
            }
        }
    }

    #[test]
    fn a_steady_stream_uses_its_blocks_again() {
        let mut backlog = Backlog::new(Offset(0));
        let mut most = 0;
        for _ in 0..1000 {
            backlog.append(&[b'x'; 10_000]);
            let end = backlog.range().end;
            backlog.trim(100_000, end);
            most = most.max(backlog.memory_bytes());
        }
        assert!(most <= 100_000 + 3 * BLOCK_BYTES, "{most}");
    }
}
