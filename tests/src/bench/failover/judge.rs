//! What the clients saw, held against what is there afterwards.
//!
//! Three verdicts that no user forgives: **lost** (acknowledged, and not there), **doubled** (there twice, or more often than asked for), and
//! **wrong** (half a transaction, a write that was refused and is there all the same, an answer that no single copy of the data could
//! have given in that order).

use std::collections::{BTreeMap, BTreeSet};

use slotway_history::{NEVER as UNANSWERED, counter, register};

use super::{
    load::Record,
    request::{ACCOUNTS, Became, COUNTERS, LISTS, REGISTERS, Request, What, amount},
};

/// All that is there at the end.
#[derive(Debug, Default)]
pub struct Contents {
    /// By number; 0 is nothing.
    pub registers: Vec<u64>,
    pub counters: Vec<u64>,
    pub lists: Vec<Vec<u64>>,
    /// Of those that were asked for.
    pub once: BTreeMap<u64, u64>,
    pub accounts: Vec<i64>,
    pub transfers: Vec<u64>,
}

#[derive(Debug, Default)]
pub struct Judgement {
    pub lost: u64,
    pub doubled: u64,
    pub wrong: u64,
    /// The first of each kind, in words.
    pub words: Vec<String>,
}

/// How many findings are put into words.
const WORDS_MAX: usize = 12;

impl Judgement {
    fn lost(&mut self, what: String) {
        self.lost += 1;
        self.say("lost", &what);
    }

    fn doubled(&mut self, what: String) {
        self.doubled += 1;
        self.say("doubled", &what);
    }

    fn wrong(&mut self, what: String) {
        self.wrong += 1;
        self.say("wrong", &what);
    }

    fn say(&mut self, kind: &str, what: &str) {
        if self.words.len() < WORDS_MAX {
            self.words.push(format!("{kind}: {what}"));
        }
    }

    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.wrong == 0
    }
}

#[must_use]
pub fn judge(record: &Record, contents: &Contents) -> Judgement {
    let mut judgement = Judgement::default();
    once(record, contents, &mut judgement);
    for list in 0..LISTS {
        let asked = of(record, |what| what == What::Push { list });
        let there = contents.lists.get(index(list)).map_or(&[][..], Vec::as_slice);
        unique(&format!("list {list}"), &asked, there, &mut judgement);
    }
    let transfers = of(record, |what| matches!(what, What::Transfer { .. }));
    unique("transfers", &transfers, &contents.transfers, &mut judgement);
    balances(record, contents, &mut judgement);
    for counter in 0..COUNTERS {
        count(record, counter, contents.counters.get(index(counter)).copied().unwrap_or(0), &mut judgement);
    }
    for register in 0..REGISTERS {
        let last = contents.registers.get(index(register)).copied().unwrap_or(0);
        if let Err(why) = register::check(&register_history(record, register, last)) {
            judgement.wrong(format!("register {register}: {why}"));
        }
    }
    judgement
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn of(record: &Record, wanted: impl Fn(What) -> bool) -> Vec<&Request> {
    record.requests.iter().filter(|request| wanted(request.what)).collect()
}

fn once(record: &Record, contents: &Contents, judgement: &mut Judgement) {
    for request in of(record, |what| what == What::Once) {
        let there = contents.once.get(&request.number).copied();
        match (request.became, there) {
            (Became::Done(_), None) => judgement.lost(format!("once:{}, {request:?}", request.number)),
            (Became::Refused(_) | Became::NotSent, Some(_)) => {
                judgement.wrong(format!("once:{} is there, {request:?}", request.number));
            }
            (_, Some(other)) if other != request.number => {
                judgement.wrong(format!("once:{} is {other}", request.number));
            }
            (Became::Done(_) | Became::Refused(_) | Became::Unknown(_) | Became::NotSent, _) => {}
        }
    }
}

/// Values that were pushed to one list, each by one request.
fn unique(name: &str, asked: &[&Request], there: &[u64], judgement: &mut Judgement) {
    let mut times: BTreeMap<u64, u64> = BTreeMap::new();
    for value in there {
        *times.entry(*value).or_default() += 1;
    }
    for (value, times) in times.iter().filter(|(_, times)| **times > 1) {
        judgement.doubled(format!("{name}: {value} is there {times} times"));
    }
    let mut strangers: BTreeSet<u64> = times.keys().copied().collect();
    for request in asked {
        let is_there = strangers.remove(&request.number);
        match request.became {
            Became::Done(_) if !is_there => judgement.lost(format!("{name}: {request:?}")),
            Became::Done(length) if length > 0 && there.get(index(length - 1)) != Some(&request.number) => {
                judgement.wrong(format!("{name}: not where the answer said, {request:?}"));
            }
            Became::Refused(_) | Became::NotSent if is_there => {
                judgement.wrong(format!("{name}: refused and there, {request:?}"));
            }
            Became::Done(_) | Became::Refused(_) | Became::Unknown(_) | Became::NotSent => {}
        }
    }
    for stranger in strangers {
        judgement.wrong(format!("{name}: nobody pushed {stranger}"));
    }
}

/// The balances must be what the transfers that are there make of nothing.
fn balances(record: &Record, contents: &Contents, judgement: &mut Judgement) {
    let mut expected = vec![0_i64; index(ACCOUNTS)];
    for number in &contents.transfers {
        let moved = i64::try_from(amount(*number)).unwrap_or(0);
        if let Some(What::Transfer { from, to }) =
            record.requests.get(index(*number)).map(|request| request.what)
        {
            expected[index(from)] -= moved;
            expected[index(to)] += moved;
        }
    }
    if expected != contents.accounts {
        judgement.wrong(format!(
            "half a transaction: balances {:?}, the transfers make {expected:?}",
            contents.accounts
        ));
    }
}

fn count(record: &Record, counter: u64, last: u64, judgement: &mut Judgement) {
    let asked = of(record, |what| what == What::Increment { counter });
    let done = asked.iter().filter(|request| matches!(request.became, Became::Done(_))).count();
    let unknown = asked.iter().filter(|request| matches!(request.became, Became::Unknown(_))).count();
    let (done, unknown) = (u64::try_from(done).unwrap_or(0), u64::try_from(unknown).unwrap_or(0));
    if last < done {
        judgement.lost += done - last - 1;
        return judgement.lost(format!("counter {counter}: {done} acknowledged, it is {last}"));
    }
    if last > done + unknown {
        judgement.doubled += last - done - unknown - 1;
        return judgement
            .doubled(format!("counter {counter}: {done} acknowledged, {unknown} unknown, it is {last}"));
    }
    let mut history: Vec<counter::Request> = asked
        .iter()
        .filter_map(|request| {
            let (answered, seen) = match request.became {
                Became::Done(to) => (request.answered, counter::Seen::Made(to)),
                Became::Unknown(_) => (UNANSWERED, counter::Seen::MadeUnknown),
                Became::Refused(_) | Became::NotSent => return None,
            };
            Some(counter::Request { invoked: request.sent, answered, seen })
        })
        .collect();
    let after = end(record);
    history.push(counter::Request { invoked: after, answered: after + 1, seen: counter::Seen::Read(last) });
    if let Err(why) = counter::check(&history) {
        judgement.wrong(format!("counter {counter}: {why}"));
    }
}

fn register_history(record: &Record, wanted: u64, last: u64) -> Vec<register::Request> {
    let mut history: Vec<register::Request> = record
        .requests
        .iter()
        .filter_map(|request| {
            let (answered, seen) = match (request.what, request.became) {
                (What::Set { register }, Became::Done(_)) if register == wanted => {
                    (request.answered, register::Seen::Wrote(request.number))
                }
                (What::Set { register }, Became::Unknown(_)) if register == wanted => {
                    (UNANSWERED, register::Seen::Wrote(request.number))
                }
                (What::Get { register }, Became::Done(value)) if register == wanted => {
                    (request.answered, register::Seen::Read(value))
                }
                _ => return None,
            };
            Some(register::Request { invoked: request.sent, answered, seen })
        })
        .collect();
    let after = end(record);
    history.push(register::Request { invoked: after, answered: after + 1, seen: register::Seen::Read(last) });
    history
}

/// After everything that was sent and answered.
fn end(record: &Record) -> u64 {
    let moments = record.requests.iter().flat_map(|request| [request.sent, request.answered]);
    moments.filter(|moment| *moment != super::request::NEVER).max().unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::failover::request::NEVER;

    /// A history in which request `n` is the `n`-th row, one after the other.
    fn record(rows: &[(What, Became)]) -> Record {
        let request = |(at, (what, became)): (usize, &(What, Became))| {
            let number = u64::try_from(at).unwrap();
            let answered = if matches!(became, Became::Done(_)) { number * 10 + 5 } else { NEVER };
            Request { number, what: *what, due: 0, sent: number * 10, answered, became: *became }
        };
        let requests = rows.iter().enumerate().map(request).collect();
        Record { requests, sides: vec![0], errors: Vec::new() }
    }

    fn contents() -> Contents {
        Contents {
            registers: vec![0; index(REGISTERS)],
            counters: vec![0; index(COUNTERS)],
            lists: vec![Vec::new(); index(LISTS)],
            accounts: vec![0; index(ACCOUNTS)],
            ..Contents::default()
        }
    }

    const READ: (What, Became) = (What::Get { register: 0 }, Became::Done(0));
    const DONE: Became = Became::Done(0);
    const UNKNOWN: Became = Became::Unknown(0);

    fn check(rows: &[(What, Became)], change: impl Fn(&mut Contents), expected: (u64, u64, u64)) {
        let mut contents = contents();
        change(&mut contents);
        let found = judge(&record(&[&[READ], rows].concat()), &contents);
        assert_eq!((found.lost, found.doubled, found.wrong), expected, "{:?}", found.words);
    }

    #[test]
    fn what_is_there_as_it_was_acknowledged_is_clean() {
        check(&[(What::Once, DONE)], |there| there.once = BTreeMap::from([(1, 1)]), (0, 0, 0));
        check(&[(What::Push { list: 3 }, Became::Done(1))], |there| there.lists[3] = vec![1], (0, 0, 0));
        check(&[(What::Increment { counter: 2 }, Became::Done(1))], |there| there.counters[2] = 1, (0, 0, 0));
        check(&[(What::Set { register: 0 }, DONE)], |there| there.registers[0] = 1, (0, 0, 0));
        let transfer = (What::Transfer { from: 1, to: 2 }, DONE);
        let moved = |there: &mut Contents| {
            there.transfers = vec![1];
            (there.accounts[1], there.accounts[2]) = (-2, 2);
        };
        check(&[transfer], moved, (0, 0, 0));
    }

    #[test]
    fn what_is_of_unknown_outcome_may_be_there_or_not_but_not_twice() {
        for times in 0..=1 {
            check(&[(What::Push { list: 0 }, UNKNOWN)], |there| there.lists[0] = vec![1; times], (0, 0, 0));
        }
        check(&[(What::Push { list: 0 }, UNKNOWN)], |there| there.lists[0] = vec![1; 2], (0, 1, 0));
        check(&[(What::Increment { counter: 0 }, UNKNOWN)], |there| there.counters[0] = 1, (0, 0, 0));
        check(&[(What::Increment { counter: 0 }, UNKNOWN)], |there| there.counters[0] = 2, (0, 1, 0));
    }

    #[test]
    fn a_loss_is_found_in_every_kind() {
        check(&[(What::Once, DONE)], |_| {}, (1, 0, 0));
        check(&[(What::Push { list: 0 }, Became::Done(1))], |_| {}, (1, 0, 0));
        let two = [(What::Increment { counter: 0 }, Became::Done(1)); 2];
        check(&two, |_| {}, (2, 0, 0));
        check(&[(What::Transfer { from: 0, to: 1 }, DONE)], |_| {}, (1, 0, 0));
        check(&[(What::Set { register: 0 }, DONE)], |_| {}, (0, 0, 1));
    }

    #[test]
    fn what_was_refused_must_not_be_there() {
        check(&[(What::Once, Became::Refused(0))], |there| there.once = BTreeMap::from([(1, 1)]), (0, 0, 1));
        check(&[(What::Push { list: 0 }, Became::NotSent)], |there| there.lists[0] = vec![1], (0, 0, 1));
        check(&[(What::Increment { counter: 0 }, Became::Refused(0))], |t| t.counters[0] = 1, (0, 1, 0));
    }

    #[test]
    fn half_a_transaction_and_a_stale_read_are_wrong() {
        let transfer = (What::Transfer { from: 1, to: 2 }, DONE);
        let half = |there: &mut Contents| {
            there.transfers = vec![1];
            there.accounts[1] = -2;
        };
        check(&[transfer], half, (0, 0, 1));
        let rows = [(What::Set { register: 0 }, DONE), READ];
        check(&rows, |there| there.registers[0] = 1, (0, 0, 1));
    }
}
