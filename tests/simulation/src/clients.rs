//! Clients: what they ask, when they asked it, and what they were answered.
//!
//! A client belongs to a proxy and keeps one request or several open. Every request is written down with the moments of its invocation and
//! its answer; what was answered `-INDETERMINATE` stays open for ever: it may take effect later, once.

use std::{collections::BTreeMap, time::Duration};

use slotway_cluster::session::{Reply, sender::Kind};

use crate::{
    history::{Moment, NEVER, counter, register},
    stream::{COUNTERS, Key, LOCK, PAIR, REGISTERS, Stream},
};

/// Number of a request in the order of invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Incr(Key),
    Get(Key),
    /// Nobody else writes this value.
    Set(Key, u64),
    /// `MULTI INCR INCR EXEC`.
    IncrPair,
    /// `MGET` of the pair.
    GetPair,
    /// `GETSET`: what its effect answers is not what it answers.
    Swap(Key, u64),
    /// `SETNX` of the lock: nothing changes where it is held.
    SetNx(u64),
    /// `DEL` of the lock.
    Release,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Values(Vec<u64>),
    /// May have run, may still run.
    Indeterminate,
    /// Has not run, and will not.
    TryAgain,
}

#[derive(Debug, Clone)]
pub struct Op {
    pub id: OpId,
    pub client: usize,
    pub call: Call,
    pub invoked: Moment,
    pub invoked_at: Duration,
    pub answered: Option<(Moment, Answer)>,
    /// Whether it may lie in some node's socket.
    pub was_sent: bool,
}

#[derive(Debug, Clone)]
pub struct Client {
    pub proxy: usize,
    pub think: Duration,
}

/// All requests of a run.
#[derive(Debug, Default)]
pub struct Book {
    pub ops: Vec<Op>,
    moment: Moment,
}

impl Answer {
    pub fn of(reply: &Reply) -> Answer {
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        let text = String::from_utf8(bytes).unwrap_or_default();
        let values = text.lines().filter_map(|line| line.strip_prefix(':')?.parse().ok());
        Answer::Values(values.collect())
    }
}

impl Call {
    pub fn is_write(self) -> bool {
        match self {
            Call::Incr(_)
            | Call::Set(..)
            | Call::IncrPair
            | Call::Swap(..)
            | Call::SetNx(_)
            | Call::Release => true,
            Call::Get(_) | Call::GetPair => false,
        }
    }

    pub fn kind(self) -> Kind {
        match self {
            Call::Incr(_) | Call::Set(..) | Call::SetNx(_) | Call::Release => Kind::Write,
            Call::IncrPair | Call::Swap(..) => Kind::LongWrite,
            Call::Get(_) | Call::GetPair => Kind::Read,
        }
    }

    /// The key, or the first of the pair.
    pub fn key(self) -> Key {
        match self {
            Call::Incr(key) | Call::Get(key) | Call::Set(key, _) | Call::Swap(key, _) => key,
            Call::IncrPair | Call::GetPair => PAIR[0],
            Call::SetNx(_) | Call::Release => LOCK,
        }
    }

    /// How many values its answer has.
    pub fn answers(self) -> usize {
        match self {
            Call::Set(..) => 0,
            Call::Incr(_) | Call::Get(_) | Call::Swap(..) | Call::SetNx(_) | Call::Release => 1,
            Call::IncrPair | Call::GetPair => 2,
        }
    }

    /// As its reply stands on a link.
    pub fn reply(self, values: &[u64]) -> Reply {
        let numbers: String = values.iter().map(|value| format!(":{value}\r\n")).collect();
        match (self.kind(), values) {
            (Kind::Write, []) => Reply::of(b"+OK\r\n"),
            (Kind::Write, _) => Reply::of(numbers.as_bytes()),
            (Kind::LongWrite | Kind::Read, _) => {
                Reply::of(format!("*{}\r\n{numbers}", values.len()).as_bytes())
            }
        }
    }
}

impl Book {
    pub fn invoke(&mut self, client: usize, now: Duration, call: impl FnOnce(OpId) -> Call) -> OpId {
        let id = OpId(u32::try_from(self.ops.len()).unwrap_or(u32::MAX));
        let invoked = self.next_moment();
        self.ops.push(Op {
            id,
            client,
            call: call(id),
            invoked,
            invoked_at: now,
            answered: None,
            was_sent: false,
        });
        id
    }

    /// False if it was answered before: by a deadline, and this comes too late.
    pub fn answer(&mut self, id: OpId, answer: Answer) -> bool {
        let moment = self.next_moment();
        let op = self.op_mut(id);
        if op.answered.is_some() {
            return false;
        }
        op.answered = Some((moment, answer));
        true
    }

    pub fn op(&self, id: OpId) -> &Op {
        &self.ops[usize::try_from(id.0).unwrap_or(usize::MAX)]
    }

    pub fn op_mut(&mut self, id: OpId) -> &mut Op {
        &mut self.ops[usize::try_from(id.0).unwrap_or(usize::MAX)]
    }

    /// How many requests of a kind were told this.
    pub fn told(&self, wanted: &Answer, of: fn(Call) -> bool) -> usize {
        let was_told = |op: &&Op| op.answered.as_ref().is_some_and(|(_, answer)| answer == wanted);
        self.ops.iter().filter(|op| of(op.call)).filter(was_told).count()
    }

    fn next_moment(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }

    /// Whether one copy of each key could have answered all this.
    ///
    /// # Errors
    /// Which key could not, and why.
    pub fn check(&self) -> Result<(), String> {
        for key in COUNTERS {
            counter::check(&self.of_counter(key)).map_err(|why| format!("counter {key}: {why}"))?;
        }
        for key in REGISTERS {
            register::check(&self.of_register(key)).map_err(|why| format!("register {key}: {why}"))?;
        }
        counter::check(&self.of_pair()?).map_err(|why| format!("the pair: {why}"))
    }

    /// Whether this log, which is in force in the end, has every acknowledged write once, with the answer that its client was given, no refused one, and others
    /// at most once; and what a client asked one after the other stands there in this order.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_log(&self, log: &Stream, is_whole: bool) -> Result<(), String> {
        let mut found: BTreeMap<OpId, Vec<(usize, &Vec<u64>)>> = BTreeMap::new();
        for (at, write) in log.writes().enumerate() {
            found.entry(write.op).or_default().push((at, &write.values));
        }
        for op in self.ops.iter().filter(|op| op.call.is_write()) {
            let stands = found.get(&op.id).map(Vec::as_slice).unwrap_or_default();
            let is_right = match (&op.answered, stands) {
                (Some((_, Answer::Values(values))), [(_, made)]) => values == *made,
                // A lock that was held, or was not: there was nothing to change.
                (Some((_, Answer::Values(values))), []) => {
                    op.call.key() == LOCK && values == &[0] || !is_whole
                }
                (Some((_, Answer::TryAgain)), stands) => stands.is_empty(),
                (Some((_, Answer::Indeterminate)) | None, stands) => stands.len() <= 1,
                (Some((_, Answer::Values(_))), _) => false,
            };
            if !is_right {
                return Err(format!("{op:?} stands so in the log: {stands:?}"));
            }
        }
        self.check_order(log, &found)
    }

    /// What a client asks one after the other of a key is done one after the other, whether or not it waited for answers.
    fn check_order(
        &self,
        log: &Stream,
        found: &BTreeMap<OpId, Vec<(usize, &Vec<u64>)>>,
    ) -> Result<(), String> {
        // Every value of a key is made once: where. The lock is not read.
        let made: BTreeMap<(Key, u64), usize> = log
            .writes()
            .enumerate()
            .flat_map(|(at, write)| write.effects.iter().map(move |effect| (*effect, at + 1)))
            .collect();
        let mut reached: BTreeMap<(usize, Key), (usize, OpId)> = BTreeMap::new();
        for op in &self.ops {
            let Some((_, Answer::Values(values))) = &op.answered else { continue };
            let key = op.call.key();
            let stands = found.get(&op.id).and_then(|stands| stands.first());
            let (at, is_write) = match (stands, op.call) {
                (Some((at, _)), _) => (at + 1, true),
                (None, Call::Get(_) | Call::GetPair) => {
                    (made.get(&(key, values[0])).copied().unwrap_or(0), false)
                }
                (None, _) => continue,
            };
            let before = reached.entry((op.client, key)).or_insert((0, op.id));
            if at < before.0 || (is_write && at == before.0) {
                return Err(format!(
                    "{op:?} took effect at {at}, and {:?} of the same client at {}",
                    before.1, before.0
                ));
            }
            *before = (at, op.id);
        }
        Ok(())
    }

    fn of_counter(&self, wanted: Key) -> Vec<counter::Request> {
        self.counted(|call, values| match (call, values) {
            (Call::Incr(key), values) if key == wanted => {
                Some(values.map_or(counter::Seen::MadeUnknown, |values| counter::Seen::Made(values[0])))
            }
            (Call::Get(key), Some(values)) if key == wanted => Some(counter::Seen::Read(values[0])),
            _ => None,
        })
    }

    /// Both halves are always seen alike; so the pair is one counter.
    fn of_pair(&self) -> Result<Vec<counter::Request>, String> {
        for op in &self.ops {
            if let (Call::IncrPair | Call::GetPair, Some((_, Answer::Values(values)))) =
                (op.call, &op.answered)
                && values[0] != values[1]
            {
                return Err(format!("half of a transaction was seen in keys {PAIR:?}: {op:?}"));
            }
        }
        Ok(self.counted(|call, values| match (call, values) {
            (Call::IncrPair, values) => {
                Some(values.map_or(counter::Seen::MadeUnknown, |values| counter::Seen::Made(values[0])))
            }
            (Call::GetPair, Some(values)) => Some(counter::Seen::Read(values[0])),
            _ => None,
        }))
    }

    fn counted(
        &self,
        seen: impl Fn(Call, Option<&Vec<u64>>) -> Option<counter::Seen>,
    ) -> Vec<counter::Request> {
        let known = self.outcomes();
        known
            .filter_map(|(op, answered, values)| {
                Some(counter::Request { invoked: op.invoked, answered, seen: seen(op.call, values)? })
            })
            .collect()
    }

    fn of_register(&self, wanted: Key) -> Vec<register::Request> {
        self.outcomes()
            .filter_map(|(op, answered, values)| {
                let seen = match (op.call, values) {
                    (Call::Set(key, value) | Call::Swap(key, value), _) if key == wanted => {
                        register::Seen::Wrote(value)
                    }
                    (Call::Get(key), Some(values)) if key == wanted => register::Seen::Read(values[0]),
                    _ => return None,
                };
                Some(register::Request { invoked: op.invoked, answered, seen })
            })
            .collect()
    }

    /// Each request that ran or may run, when it was answered, and with what.
    fn outcomes(&self) -> impl Iterator<Item = (&Op, Moment, Option<&Vec<u64>>)> {
        self.ops.iter().filter_map(|op| match &op.answered {
            Some((moment, Answer::Values(values))) => Some((op, *moment, Some(values))),
            Some((_, Answer::Indeterminate)) | None => Some((op, NEVER, None)),
            Some((_, Answer::TryAgain)) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(ops: &[(Call, Answer)]) -> Book {
        let mut book = Book::default();
        for (call, answer) in ops {
            let id = book.invoke(0, Duration::ZERO, |_| *call);
            book.answer(id, answer.clone());
        }
        book
    }

    #[test]
    fn a_lost_write_a_stale_read_and_half_a_transaction_are_found() {
        let values = |values: &[u64]| Answer::Values(values.to_vec());
        let set = |value| (Call::Set(2, value), values(&[]));
        let get = |value| (Call::Get(2), values(&[value]));
        assert_eq!(book(&[set(7), get(7), set(8), get(8)]).check(), Ok(()));
        assert!(book(&[set(7), get(0)]).check().is_err());
        assert!(book(&[set(7), set(8), get(7)]).check().is_err());
        let incr = |value| (Call::Incr(0), values(&[value]));
        assert!(book(&[incr(1), incr(1)]).check().is_err());
        let unknown = (Call::Incr(0), Answer::Indeterminate);
        assert_eq!(book(&[unknown.clone(), incr(2)]).check(), Ok(()));
        assert!(book(&[unknown, incr(3)]).check().is_err(), "applied twice");
        assert!(book(&[(Call::Incr(0), Answer::TryAgain), incr(2)]).check().is_err(), "ran all the same");
        assert!(
            book(&[(Call::IncrPair, values(&[1, 1])), (Call::GetPair, values(&[1, 0]))]).check().is_err()
        );
    }
}
