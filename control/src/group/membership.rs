//! Who sits in the group and who votes, decided from what the log says of proxies. Pure.
//!
//! The list of proxies in the log is the wish; the leader brings openraft's membership in line with it one step at a time: who is no longer a
//! proxy loses its seat, and who has caught up votes, up to [`VOTERS_MAX`]. So whoever leads next goes on where the last one stopped.

use std::collections::BTreeSet;

use slotway_cluster::ProxyId;

use super::kind::SeatId;

/// More voters make each decision slower and no loss of two more bearable; further proxies learn.
pub const VOTERS_MAX: usize = 5;

/// A learner with so few entries missing votes: the rest is there before the vote is decided.
const CAUGHT_UP: u64 = 64;

/// A seat, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) seat: SeatId,
    pub(super) proxy: ProxyId,
    pub(super) is_voter: bool,
    /// Entries of the log that it is not known to hold.
    pub(super) missing: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A voter or a learner.
    Remove(SeatId),
    Promote(SeatId),
}

/// The next step of the leader at `own`; None: all is as it should be, or nothing can be done now.
pub(super) fn next_step(seats: &[Seen], proxies: &BTreeSet<ProxyId>, own: SeatId) -> Option<Step> {
    // Without any proxy in the log nobody has been named yet.
    if proxies.is_empty() {
        return None;
    }
    let voters = seats.iter().filter(|one| one.is_voter).count();
    let mut gone = seats.iter().filter(|one| !proxies.contains(&one.proxy));
    // Last the leader itself, and never the last voter.
    let others = gone.clone().find(|one| one.seat != own && (!one.is_voter || voters > 1));
    if let Some(one) = others.or_else(|| gone.find(|one| !one.is_voter || voters > 1)) {
        return Some(Step::Remove(one.seat));
    }
    let ready = |one: &&Seen| !one.is_voter && one.missing <= CAUGHT_UP && proxies.contains(&one.proxy);
    let next = seats.iter().find(ready).filter(|_| voters < VOTERS_MAX)?;
    Some(Step::Promote(next.seat))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(number: u64) -> ProxyId {
        ProxyId(format!("p{number}"))
    }

    /// Seats 1.. of proxies p1..: `v` votes, `l` has caught up, `b` is behind.
    fn check(seats: &str, proxies: &[u64], own: SeatId, expected: Option<Step>) {
        let seen: Vec<Seen> = (1u64..)
            .zip(seats.chars())
            .map(|(seat, kind)| Seen {
                seat,
                proxy: proxy(seat),
                is_voter: kind == 'v',
                missing: if kind == 'b' { 1000 } else { 3 },
            })
            .collect();
        let proxies = proxies.iter().copied().map(proxy).collect();
        assert_eq!(next_step(&seen, &proxies, own), expected, "{seats} {proxies:?}");
    }

    #[test]
    fn who_has_caught_up_votes_up_to_five() {
        check("v", &[1], 1, None);
        check("vl", &[1, 2], 1, Some(Step::Promote(2)));
        check("vb", &[1, 2], 1, None);
        check("vbl", &[1, 2, 3], 1, Some(Step::Promote(3)));
        check("vvvvl", &[1, 2, 3, 4, 5], 1, Some(Step::Promote(5)));
        check("vvvvvl", &[1, 2, 3, 4, 5, 6], 1, None);
    }

    #[test]
    fn who_is_no_proxy_any_more_loses_its_seat_and_its_place_is_taken() {
        check("vvv", &[1, 2], 1, Some(Step::Remove(3)));
        check("vvvvvl", &[1, 2, 4, 5, 6], 1, Some(Step::Remove(3)));
        check("vlb", &[1, 2], 1, Some(Step::Remove(3)));
        check("vvl", &[2, 3], 1, Some(Step::Remove(1)));
        check("vvv", &[2], 1, Some(Step::Remove(3)));
    }

    #[test]
    fn the_last_voter_stays_and_a_group_without_names_is_left_alone() {
        check("v", &[9], 1, None);
        check("vl", &[2], 1, Some(Step::Promote(2)));
        check("vv", &[], 1, None);
    }
}
