//! Counters: INCR returns what it made, GET what there is.
//!
//! Nothing but increments writes the key, so its states are 0, 1, 2 ... in this order, and an answer tells at which of them its request took
//! effect: an increment that returned v between v - 1 and v, a read of v at v. What is left to check is that no request that began after
//! another was answered took effect at an earlier state, that no two increments made the same state, and that every state that somebody
//! saw was made by somebody: by an increment of unknown outcome that had begun by then, if by nobody else, each making one at most.

use std::collections::BTreeSet;

use super::{Moment, NEVER};

/// One request and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub invoked: Moment,
    /// [`NEVER`]: of unknown outcome.
    pub answered: Moment,
    pub seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Made(u64),
    MadeUnknown,
    Read(u64),
}

/// # Errors
/// What no single counter could have answered.
pub fn check(requests: &[Request]) -> Result<(), String> {
    let known = |request: &&Request| state(request).is_some();
    let mut by_invocation: Vec<&Request> = requests.iter().filter(known).collect();
    by_invocation.sort_by_key(|request| request.invoked);
    let mut by_answer = by_invocation.clone();
    by_answer.sort_by_key(|request| request.answered);

    let mut made = BTreeSet::new();
    let mut answered = by_answer.iter().peekable();
    let mut reached = 0;
    for request in &by_invocation {
        while let Some(earlier) = answered.next_if(|earlier| earlier.answered < request.invoked) {
            reached = reached.max(state(earlier).unwrap_or(0));
        }
        match request.seen {
            Seen::Made(0) => return Err(format!("{request:?} made nothing")),
            Seen::Made(to) if to <= reached => {
                return Err(format!("{request:?} began when {reached} had been answered"));
            }
            Seen::Made(to) if !made.insert(to) => return Err(format!("{to} was made twice")),
            Seen::Read(at) if at < reached => {
                return Err(format!("{request:?} began when {reached} had been answered: a stale read"));
            }
            Seen::Made(_) | Seen::Read(_) | Seen::MadeUnknown => {}
        }
    }
    gaps_are_filled(requests, &by_answer, &made)
}

/// States that were seen and that no answered increment made. Whoever made one had begun before anybody who saw it, or a later one,
/// was answered.
fn gaps_are_filled(requests: &[Request], by_answer: &[&Request], made: &BTreeSet<u64>) -> Result<(), String> {
    let mut unknown: Vec<Moment> =
        requests.iter().filter(|one| one.seen == Seen::MadeUnknown).map(|one| one.invoked).collect();
    unknown.sort_unstable();
    let highest = by_answer.iter().filter_map(|request| state(request)).max().unwrap_or(0);
    let mut makers_needed = 0;
    for gap in (1..=highest).filter(|at| !made.contains(at)) {
        makers_needed += 1;
        let seen_by = by_answer.iter().find(|request| state(request) >= Some(gap));
        let deadline = seen_by.map_or(NEVER, |request| request.answered);
        let makers = unknown.partition_point(|&invoked| invoked < deadline);
        if makers < makers_needed {
            return Err(format!(
                "{gap} was seen, and {makers_needed} states up to it were made by nobody who was answered; {makers} of unknown outcome had begun"
            ));
        }
    }
    Ok(())
}

fn state(request: &Request) -> Option<u64> {
    match request.seen {
        Seen::Made(to) => Some(to),
        Seen::Read(at) => Some(at),
        Seen::MadeUnknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{self, Chance};

    fn made(invoked: Moment, answered: Moment, to: u64) -> Request {
        Request { invoked, answered, seen: Seen::Made(to) }
    }

    fn read(invoked: Moment, answered: Moment, at: u64) -> Request {
        Request { invoked, answered, seen: Seen::Read(at) }
    }

    fn unknown(invoked: Moment) -> Request {
        Request { invoked, answered: NEVER, seen: Seen::MadeUnknown }
    }

    #[test]
    fn increments_and_reads_in_some_order_are_a_counter() {
        assert_eq!(
            check(&[made(1, 2, 1), read(3, 4, 1), made(5, 8, 3), made(6, 7, 2), read(9, 10, 3)]),
            Ok(())
        );
        assert_eq!(check(&[unknown(1), made(2, 3, 2), read(4, 5, 2)]), Ok(()), "the unknown one made 1");
        assert_eq!(check(&[unknown(1), read(2, 3, 0), read(4, 5, 1)]), Ok(()));
        assert_eq!(check(&[unknown(1), unknown(2), read(3, 4, 0)]), Ok(()), "nobody made anything");
    }

    #[test]
    fn what_is_no_counter_is_found() {
        let check = |requests: &[Request], why: &str| {
            let refused = check(requests).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        };
        check(&[made(1, 2, 1), read(3, 4, 0)], "stale read");
        check(&[made(1, 2, 1), made(3, 4, 1)], "began when 1");
        check(&[made(1, 4, 1), made(2, 3, 1)], "made twice");
        check(&[made(1, 2, 1), made(3, 4, 3)], "nobody");
        check(&[made(1, 2, 2), unknown(3)], "nobody");
        check(&[unknown(1), made(2, 3, 3)], "nobody");
        check(&[unknown(1), read(2, 3, 1), read(4, 5, 2)], "nobody");
        check(&[read(1, 2, 5)], "nobody");
    }

    #[test]
    fn the_argument_says_the_same_as_a_search_of_all_orders() {
        let mut chance = Chance::from_seed(11);
        let mut verdicts = [0, 0];
        for _ in 0..20_000 {
            let requests = search::random(&mut chance, |chance, invoked, answered| match chance.below(5) {
                0 => unknown(invoked),
                1 | 2 => made(invoked, answered, 1 + chance.below(3)),
                _ => read(invoked, answered, chance.below(4)),
            });
            let times = |one: &Request| (one.invoked, one.answered);
            let step = |state: u64, one: &Request| match one.seen {
                Seen::Made(to) => (to == state + 1).then_some(to),
                Seen::MadeUnknown => Some(state + 1),
                Seen::Read(at) => (at == state).then_some(state),
            };
            let possible = search::is_linearizable(&requests, times, 0, step);
            assert_eq!(check(&requests).is_ok(), possible, "{requests:?}");
            verdicts[usize::from(possible)] += 1;
        }
        assert!(verdicts.iter().all(|&count| count > 1000), "{verdicts:?}");
    }
}
