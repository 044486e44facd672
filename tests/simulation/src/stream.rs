//! A node's data and the stream that made it: units with byte lengths, EPOCH records between them, a few keys.
//!
//! What a real node keeps as bytes is a list of [`Unit`]s here. Each carries a digest of everything up to its end, so that "this log
//! extends that one" is one comparison. The list goes back to the beginning, for the checks; what a node can still *send* begins
//! at `backlog_first`.

use std::rc::Rc;

use slotway_cluster::{
    Epoch, Position,
    replication::{HistoryId, Lineage, Offset, Range},
};

use crate::clients::{Call, OpId};

/// Two counters, two registers, and a pair of counters that transactions raise together.
pub const KEYS: usize = 6;
pub type Key = usize;
pub const COUNTERS: [Key; 2] = [0, 1];
pub const REGISTERS: [Key; 2] = [2, 3];
pub const PAIR: [Key; 2] = [4, 5];

/// One request's or transaction's effects, or an EPOCH record: applied whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub start: Offset,
    pub end: Offset,
    pub what: What,
    /// Of everything up to `end`.
    pub digest: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Epoch { epoch: Epoch, history: HistoryId },
    Write { op: OpId, effects: Vec<(Key, u64)> },
}

#[derive(Debug, Clone)]
pub struct Stream {
    pub units: Vec<Rc<Unit>>,
    pub keys: [u64; KEYS],
    pub lineage: Lineage,
    pub backlog_first: Offset,
    /// Of the last EPOCH record.
    epoch: Epoch,
}

impl Stream {
    pub fn empty(history: HistoryId) -> Stream {
        Stream {
            units: Vec::new(),
            keys: [0; KEYS],
            lineage: Lineage::new(history, Epoch(0), Offset(0)),
            backlog_first: Offset(0),
            epoch: Epoch(0),
        }
    }

    pub fn end(&self) -> Offset {
        self.units.last().map_or(Offset(0), |unit| unit.end)
    }

    pub fn digest(&self) -> u64 {
        self.units.last().map_or(0, |unit| unit.digest)
    }

    /// I9: the epoch of the last EPOCH record held, and the end of the last unit.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.end() }
    }

    pub fn backlog(&self) -> Range {
        Range { first: self.backlog_first, end: self.end() }
    }

    /// Digest of everything up to `offset`; None where no unit ends.
    pub fn digest_at(&self, offset: Offset) -> Option<u64> {
        if offset == Offset(0) {
            return Some(0);
        }
        let at = self.units.binary_search_by_key(&offset, |unit| unit.end).ok()?;
        Some(self.units[at].digest)
    }

    /// What follows upon `offset`, which may lie within a unit only if a rule was left out: then its rest comes first.
    pub fn behind(&self, offset: Offset) -> Vec<Rc<Unit>> {
        let at = self.units.partition_point(|unit| unit.end <= offset);
        let mut units: Vec<Rc<Unit>> = self.units[at..].to_vec();
        if let Some(first) = units.first_mut()
            && first.start < offset
        {
            *first = Rc::new(first.rest(offset));
        }
        units
    }

    /// A new unit of this length at the end.
    pub fn append(&mut self, what: What, length: u64) -> Rc<Unit> {
        let start = self.end();
        let digest = digest(self.digest(), start, &what);
        let unit = Rc::new(Unit { start, end: Offset(start.0 + length), what, digest });
        self.apply(&unit);
        unit
    }

    /// A unit that follows upon what is here.
    pub fn apply(&mut self, unit: &Rc<Unit>) {
        debug_assert_eq!(unit.start, self.end(), "a stream has no holes");
        match &unit.what {
            What::Epoch { epoch, history } => {
                self.lineage.rename(*history, *epoch, unit.start);
                self.epoch = *epoch;
            }
            What::Write { effects, .. } => {
                for &(key, value) in effects {
                    self.keys[key] = value;
                }
            }
        }
        self.units.push(Rc::clone(unit));
    }

    /// Forgets what no longer fits into a backlog of so many bytes.
    pub fn trim_backlog(&mut self, bytes: u64) {
        let least = Offset(self.end().0.saturating_sub(bytes));
        if least > self.backlog_first {
            let at = self.units.partition_point(|unit| unit.end < least);
            self.backlog_first = self.units.get(at).map_or(least, |unit| unit.end);
        }
    }

    /// Only what ends by `offset` remains: what a disk kept.
    pub fn cut(&mut self, offset: Offset, unnamed: HistoryId) {
        let kept: Vec<Rc<Unit>> = self.units.iter().take_while(|unit| unit.end <= offset).cloned().collect();
        let first = self.lineage.eras().next().map_or(unnamed, |era| era.history);
        let mut shorter = Stream::empty(first);
        kept.iter().for_each(|unit| shorter.apply(unit));
        // No backlog outlives a process.
        shorter.backlog_first = shorter.end();
        *self = shorter;
    }

    /// Whether an op's write is here, and how often.
    pub fn count(&self, wanted: OpId) -> usize {
        let has = |unit: &&Rc<Unit>| matches!(unit.what, What::Write { op, .. } if op == wanted);
        self.units.iter().filter(has).count()
    }

    /// What a request makes of the keys: the effects (none of a read) and the answer.
    pub fn outcome(&self, call: Call) -> (Vec<(Key, u64)>, Vec<u64>) {
        match call {
            Call::Incr(key) => (vec![(key, self.keys[key] + 1)], vec![self.keys[key] + 1]),
            Call::Get(key) => (vec![], vec![self.keys[key]]),
            Call::Set(key, value) => (vec![(key, value)], vec![]),
            Call::IncrPair => {
                let values = PAIR.map(|key| self.keys[key] + 1);
                (PAIR.iter().copied().zip(values).collect(), values.to_vec())
            }
            Call::GetPair => (vec![], PAIR.map(|key| self.keys[key]).to_vec()),
        }
    }
}

impl Unit {
    /// The first half of a unit with several effects, as a reader that does not wait for its end would apply it.
    pub fn first_half(&self) -> Option<Unit> {
        let What::Write { op, effects } = &self.what else { return None };
        if effects.len() < 2 {
            return None;
        }
        let what = What::Write { op: *op, effects: effects[..1].to_vec() };
        let end = Offset(self.start.0 + (self.end.0 - self.start.0) / 2);
        Some(Unit { start: self.start, end, digest: self.digest ^ 1, what })
    }

    fn rest(&self, from: Offset) -> Unit {
        let what = match &self.what {
            What::Write { op, effects } => What::Write { op: *op, effects: effects[1..].to_vec() },
            epoch @ What::Epoch { .. } => epoch.clone(),
        };
        Unit { start: from, end: self.end, what, digest: self.digest }
    }
}

fn digest(before: u64, start: Offset, what: &What) -> u64 {
    let word = match what {
        What::Epoch { epoch, .. } => epoch.0 ^ (1 << 63),
        What::Write { op, effects } => {
            effects.iter().fold(u64::from(op.0), |sum, (_, value)| sum.rotate_left(17) ^ value)
        }
    };
    let mixed = (before ^ start.0.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ word;
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ops: &[u32]) -> Stream {
        let mut stream = Stream::empty(HistoryId::from_random([1; 20]));
        stream.append(What::Epoch { epoch: Epoch(1), history: HistoryId::from_random([2; 20]) }, 30);
        for &op in ops {
            let (effects, _) = stream.outcome(Call::IncrPair);
            stream.append(What::Write { op: OpId(op), effects }, 10);
        }
        stream
    }

    #[test]
    fn a_log_that_extends_another_has_its_digest_there() {
        let (short, long, other) = (written(&[1, 2]), written(&[1, 2, 3]), written(&[1, 4, 3]));
        assert_eq!(long.digest_at(short.end()), Some(short.digest()));
        assert_ne!(other.digest_at(short.end()), Some(short.digest()));
        assert_eq!(long.digest_at(Offset(41)), None);
    }

    #[test]
    fn halves_of_a_unit_make_the_whole() {
        let whole = written(&[1, 2]);
        let mut replica = written(&[1]);
        let half = whole.units[2].first_half().unwrap();
        replica.apply(&Rc::new(half));
        assert_eq!((replica.keys[PAIR[0]], replica.keys[PAIR[1]]), (2, 1));
        whole.behind(replica.end()).iter().for_each(|unit| replica.apply(unit));
        assert_eq!((replica.keys, replica.digest()), (whole.keys, whole.digest()));
    }

    #[test]
    fn a_position_is_of_the_last_epoch_record_and_a_cut_keeps_whole_units() {
        let mut stream = written(&[1, 2, 3]);
        stream.cut(Offset(59), HistoryId::NONE);
        assert_eq!(stream.position(), Position { epoch: Epoch(1), offset: Offset(50) });
        assert_eq!(stream.keys[PAIR[0]], 2);
    }
}
