//! A node's data and the stream that made it: units with byte lengths, EPOCH records between them, a few keys.
//!
//! What a real node keeps as bytes is a list of [`Unit`]s here. Each carries a digest of everything up to its end, so that "this log
//! extends that one" is one comparison. The list goes back to the beginning, for the checks; what a node can still *send* begins
//! at `backlog_first`.

use std::rc::Rc;

use slotway_cluster::{
    Epoch, Position,
    mutants::{Mutant, left_out},
    replication::{HistoryId, Lineage, Offset, Range},
    session::{Marker, Reply, Table},
    slot::Slot,
};

use crate::clients::{Call, OpId};

/// Two counters, two registers, a pair of counters that transactions raise together, and a lock.
pub const KEYS: usize = 7;
pub type Key = usize;
pub const COUNTERS: [Key; 2] = [0, 1];
pub const REGISTERS: [Key; 2] = [2, 3];
pub const PAIR: [Key; 2] = [4, 5];
pub const LOCK: Key = 6;

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
    Epoch {
        epoch: Epoch,
        history: HistoryId,
    },
    Write(Write),
    /// Of sessions: its word, as it stands on the wire.
    Marker(Vec<u8>),
    /// What the node changes by itself: the lock expires.
    Own {
        effects: Vec<(Key, u64)>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub op: OpId,
    pub effects: Vec<(Key, u64)>,
    /// What the client is answered; the wire does not carry it.
    pub values: Vec<u64>,
    /// What executing these effects answers, which may be something else.
    pub yields: Reply,
}

/// What a request makes of the keys.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// None of a read, or where there was nothing to change.
    pub effects: Vec<(Key, u64)>,
    pub values: Vec<u64>,
    pub yields: Reply,
}

#[derive(Debug, Clone)]
pub struct Stream {
    pub units: Vec<Rc<Unit>>,
    pub keys: [u64; KEYS],
    pub lineage: Lineage,
    pub backlog_first: Offset,
    /// Sessions, as the stream tells them.
    pub table: Table,
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
            table: Table::default(),
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

    /// A new unit of this length at the end. Of sessions the table knows already: a primary feeds it with what it writes.
    pub fn append(&mut self, what: What, length: u64) -> Rc<Unit> {
        let start = self.end();
        let digest = digest(self.digest(), start, &what);
        let unit = Rc::new(Unit { start, end: Offset(start.0 + length), what, digest });
        self.push(&unit);
        unit
    }

    /// What a primary says of sessions.
    pub fn append_marker(&mut self, marker: &Marker) {
        let length = u64::try_from(marker.unit().len()).unwrap_or(0);
        self.append(What::Marker(marker.word()), length);
    }

    /// A unit that follows upon what is here.
    pub fn apply(&mut self, unit: &Rc<Unit>) {
        debug_assert_eq!(unit.start, self.end(), "a stream has no holes");
        let heard = match &unit.what {
            What::Epoch { .. } => Ok(()),
            What::Write(write) => self.table.unit(write.slot(), write.yields.clone()),
            What::Own { .. } => self.table.unit(None, Reply::Ok),
            What::Marker(word) => self.table.hear(&Marker::parse(word).expect("a marker came whole")),
        };
        heard.expect("a stream does not contradict itself");
        self.push(unit);
    }

    fn push(&mut self, unit: &Rc<Unit>) {
        match &unit.what {
            What::Epoch { epoch, history } => {
                self.lineage.rename(*history, *epoch, unit.start);
                self.epoch = *epoch;
                self.table.begin_epoch();
            }
            What::Write(Write { effects, .. }) | What::Own { effects } => {
                for &(key, value) in effects {
                    self.keys[key] = value;
                }
            }
            What::Marker(_) => {}
        }
        self.units.push(Rc::clone(unit));
    }

    /// As it is once it has been a snapshot on the wire.
    pub fn carried(&self) -> Stream {
        let mut table = Table::default();
        if !left_out(Mutant::SnapshotWithoutSessions) {
            for marker in self.table.markers() {
                let marker = Marker::parse(&marker.word()).expect("a snapshot is whole");
                table.hear(&marker).expect("a snapshot does not contradict itself");
            }
        }
        Stream { table, ..self.clone() }
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
        if left_out(Mutant::FilesWithoutSessions) {
            shorter.table = Table::default();
        }
        // No backlog outlives a process.
        shorter.backlog_first = shorter.end();
        *self = shorter;
    }

    /// Clients' writes in their order.
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.units.iter().filter_map(|unit| match &unit.what {
            What::Write(write) => Some(write),
            What::Epoch { .. } | What::Marker(_) | What::Own { .. } => None,
        })
    }

    pub fn outcome(&self, call: Call) -> Outcome {
        let keys = &self.keys;
        let (effects, values, yields) = match call {
            Call::Incr(key) => {
                let made = keys[key] + 1;
                (vec![(key, made)], vec![made], integer(made))
            }
            Call::Get(key) => (vec![], vec![keys[key]], Reply::Ok),
            Call::Set(key, value) => (vec![(key, value)], vec![], Reply::Ok),
            Call::Swap(key, value) => (vec![(key, value)], vec![keys[key]], Reply::Ok),
            Call::IncrPair => {
                let values = PAIR.map(|key| keys[key] + 1);
                (PAIR.iter().copied().zip(values).collect(), values.to_vec(), integer(values[1]))
            }
            Call::GetPair => (vec![], PAIR.map(|key| keys[key]).to_vec(), Reply::Ok),
            Call::SetNx(value) if keys[LOCK] == 0 => (vec![(LOCK, value)], vec![1], integer(1)),
            Call::Release if keys[LOCK] != 0 => (vec![(LOCK, 0)], vec![1], integer(1)),
            Call::SetNx(_) | Call::Release => (vec![], vec![0], integer(0)),
        };
        Outcome { effects, values, yields }
    }
}

fn integer(value: u64) -> Reply {
    Reply::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Every key has a slot of its own, but for the pair.
pub fn slot(key: Key) -> Option<Slot> {
    Slot::new(u16::try_from(if key == PAIR[1] { PAIR[0] } else { key }).ok()?)
}

impl Write {
    fn slot(&self) -> Option<Slot> {
        slot(self.effects.first()?.0)
    }
}

impl Unit {
    /// The first half of a unit with several effects, as a reader that does not wait for its end would apply it.
    pub fn first_half(&self) -> Option<Unit> {
        let What::Write(write) = &self.what else { return None };
        if write.effects.len() < 2 {
            return None;
        }
        let what = What::Write(Write { effects: write.effects[..1].to_vec(), ..write.clone() });
        let end = Offset(self.start.0 + (self.end.0 - self.start.0) / 2);
        Some(Unit { start: self.start, end, digest: self.digest ^ 1, what })
    }

    fn rest(&self, from: Offset) -> Unit {
        let what = match &self.what {
            What::Write(write) => {
                What::Write(Write { effects: write.effects[1..].to_vec(), ..write.clone() })
            }
            whole @ (What::Epoch { .. } | What::Marker(_) | What::Own { .. }) => whole.clone(),
        };
        Unit { start: from, end: self.end, what, digest: self.digest }
    }
}

fn digest(before: u64, start: Offset, what: &What) -> u64 {
    let word = match what {
        What::Epoch { epoch, .. } => epoch.0 ^ (1 << 63),
        What::Write(Write { op, effects, .. }) => {
            effects.iter().fold(u64::from(op.0), |sum, (_, value)| sum.rotate_left(17) ^ value)
        }
        What::Marker(word) => {
            word.iter().fold(1_u64 << 62, |sum, byte| sum.rotate_left(9) ^ u64::from(*byte))
        }
        What::Own { .. } => 1 << 61,
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
            let Outcome { effects, values, yields } = stream.outcome(Call::IncrPair);
            stream.append(What::Write(Write { op: OpId(op), effects, values, yields }), 10);
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
