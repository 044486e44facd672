//! Registers: SET writes a value that nobody else writes, GET reads one.
//!
//! Since a value tells its write, the requests of one value belong together: the write and its reads, with nothing of another value between.
//! (The argument is Gibbons' and Korach's.) If a request of a value was answered before another of the same value began, the value was
//! there for the whole time between: from the first answer to the last invocation. Two values cannot be there at the same time. A value
//! whose requests all overlap needs only a moment, anywhere between the last invocation and the first answer; that whole span must not
//! lie within the time of another value.
//!
//! A write of unknown outcome that nobody read may as well not have been; one that was read took effect before that.

use std::collections::BTreeMap;

use super::{Moment, NEVER};

/// One request and what became of it. Nobody writes 0, which is what there is in the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub invoked: Moment,
    /// [`NEVER`]: of unknown outcome.
    pub answered: Moment,
    pub seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Wrote(u64),
    Read(u64),
}

/// When the requests of one value happened.
#[derive(Debug, Clone, Copy)]
struct Span {
    value: u64,
    written: Option<Moment>,
    was_read: bool,
    first_answer: Moment,
    last_invocation: Moment,
}

/// # Errors
/// What no single register could have answered.
pub fn check(requests: &[Request]) -> Result<(), String> {
    let spans = spans(requests)?;
    let needed = |span: &&Span| span.was_read || span.first_answer != NEVER;
    // A value that was there for a time, and one that needs a moment.
    let (times, moments): (Vec<&Span>, Vec<&Span>) =
        spans.iter().filter(needed).partition(|span| span.first_answer < span.last_invocation);
    for (at, one) in times.iter().enumerate() {
        for other in &times[at + 1..] {
            if one.first_answer < other.last_invocation && other.first_answer < one.last_invocation {
                return Err(format!(
                    "{} and {} were there at the same time: {one:?}, {other:?}",
                    one.value, other.value
                ));
            }
        }
        for other in &moments {
            if one.first_answer < other.last_invocation && other.first_answer < one.last_invocation {
                return Err(format!(
                    "{} was written and over while {} was there: {other:?}, {one:?}",
                    other.value, one.value
                ));
            }
        }
    }
    Ok(())
}

fn spans(requests: &[Request]) -> Result<Vec<Span>, String> {
    let mut spans = BTreeMap::from([(
        0,
        Span { value: 0, written: Some(0), was_read: false, first_answer: 0, last_invocation: 0 },
    )]);
    for request in requests {
        let value = match request.seen {
            Seen::Wrote(value) | Seen::Read(value) => value,
        };
        let span = spans.entry(value).or_insert(Span {
            value,
            written: None,
            was_read: false,
            first_answer: NEVER,
            last_invocation: 0,
        });
        match request.seen {
            Seen::Wrote(_) if span.written.is_some() => return Err(format!("{value} was written twice")),
            Seen::Wrote(_) => span.written = Some(request.invoked),
            Seen::Read(_) => span.was_read = true,
        }
        span.first_answer = span.first_answer.min(request.answered);
        span.last_invocation = span.last_invocation.max(request.invoked);
    }
    for span in spans.values() {
        match span.written {
            None => return Err(format!("{} was read, and nobody wrote it", span.value)),
            Some(written) if span.first_answer < written => {
                return Err(format!("{} was read before it was written", span.value));
            }
            Some(_) => {}
        }
    }
    Ok(spans.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{self, Chance};

    fn wrote(invoked: Moment, answered: Moment, value: u64) -> Request {
        Request { invoked, answered, seen: Seen::Wrote(value) }
    }

    fn read(invoked: Moment, answered: Moment, value: u64) -> Request {
        Request { invoked, answered, seen: Seen::Read(value) }
    }

    #[test]
    fn writes_and_reads_in_some_order_are_a_register() {
        assert_eq!(check(&[read(1, 2, 0), wrote(3, 6, 7), read(4, 5, 0), read(7, 8, 7)]), Ok(()));
        assert_eq!(check(&[wrote(1, 9, 7), wrote(2, 8, 8), read(3, 4, 8), read(5, 6, 7)]), Ok(()));
        assert_eq!(check(&[wrote(1, NEVER, 7), read(2, 3, 0), read(4, 5, 7)]), Ok(()), "late, and once");
        assert_eq!(check(&[wrote(1, NEVER, 7), wrote(2, 3, 8), read(4, 5, 8)]), Ok(()), "never");
    }

    #[test]
    fn what_is_no_register_is_found() {
        let check = |requests: &[Request], why: &str| {
            let refused = check(requests).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        };
        check(&[wrote(1, 2, 7), read(3, 4, 0)], "while 0 was there");
        check(&[wrote(1, 2, 7), wrote(3, 4, 8), read(5, 6, 7)], "while 7 was there");
        check(&[wrote(1, NEVER, 7), read(2, 3, 7), read(4, 5, 0)], "while 0 was there");
        check(&[wrote(1, 9, 7), wrote(2, 10, 8), read(3, 4, 7), read(5, 6, 8), read(7, 8, 7)], "8");
        check(&[read(1, 2, 7)], "nobody wrote");
        check(&[read(1, 2, 7), wrote(3, 4, 7)], "before");
    }

    #[test]
    fn the_argument_says_the_same_as_a_search_of_all_orders() {
        let mut chance = Chance::from_seed(12);
        let mut verdicts = [0, 0];
        for _ in 0..20_000 {
            let mut value = 0;
            let requests = search::random(&mut chance, |chance, invoked, answered| match chance.below(5) {
                0 | 1 => {
                    value += 1;
                    wrote(invoked, if chance.below(3) == 0 { NEVER } else { answered }, value)
                }
                _ => read(invoked, answered, chance.below(value + 2)),
            });
            let times = |one: &Request| (one.invoked, one.answered);
            let step = |state: u64, one: &Request| match one.seen {
                Seen::Wrote(value) => Some(value),
                Seen::Read(value) => (value == state).then_some(state),
            };
            let possible = search::is_linearizable(&requests, times, 0, step);
            assert_eq!(check(&requests).is_ok(), possible, "{requests:?}");
            verdicts[usize::from(possible)] += 1;
        }
        assert!(verdicts.iter().all(|&count| count > 1000), "{verdicts:?}");
    }
}
