//! Clients: what they ask, when they asked it, and what they were answered.
//!
//! A client belongs to a proxy and keeps one request or several open. Every request is written down with the moments of its invocation and
//! its answer; what was answered `-INDETERMINATE` stays open for ever: it may take effect later, once.

use std::time::Duration;

use crate::{
    history::{Moment, NEVER, counter, register},
    stream::{COUNTERS, Key, PAIR, REGISTERS},
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

impl Call {
    pub fn is_write(self) -> bool {
        match self {
            Call::Incr(_) | Call::Set(..) | Call::IncrPair => true,
            Call::Get(_) | Call::GetPair => false,
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
                    (Call::Set(key, value), _) if key == wanted => register::Seen::Wrote(value),
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
