//! What becomes of requests whose connection broke: sent again over the next one, or given up. Pure.
//!
//! A request that was sent may have run. A read may run twice; a write may not, and what is known of its outcome is nothing. The order of a
//! client's own requests stays: what ran behind another must not be seen by it.

use std::collections::HashSet;

/// What becomes of a request whose connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Send it again (or for the first time) over the next connection.
    Keep,
    /// Take it out; the caller answers its waiter.
    Fail,
}

/// One request as [`fates_after_break`] sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broken {
    pub(crate) sent: bool,
    /// None: nobody waits for it any more.
    pub(crate) client: Option<u64>,
    /// May change something, so that running it twice is not running it once.
    pub(crate) write: bool,
    /// Means nothing on another connection: what is watched or queued there is gone.
    pub(crate) bound: bool,
    /// It was in flight at an earlier failover of its shard. At two of them it may be what brings nodes down.
    pub(crate) worn: bool,
}

/// What may be sent again after the connection broke: requests that were never sent, and reads, unless a later write
/// of the same client was sent too: it may have run, and a read must not see what came after it. Nothing is sent a third
/// time that two failovers have met.
pub(crate) fn fates_after_break(requests: &[Broken]) -> Vec<Fate> {
    let mut writers: HashSet<u64> = HashSet::new();
    let mut fates: Vec<Fate> = requests
        .iter()
        .rev()
        .map(|request| {
            let Some(client) = request.client else { return Fate::Fail };
            if request.sent && request.write {
                writers.insert(client);
            }
            let lost = request.bound || request.sent && (request.worn || writers.contains(&client));
            if lost { Fate::Fail } else { Fate::Keep }
        })
        .collect();
    fates.reverse();
    fates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_unsent_writes_survive_a_break() {
        let request = |sent, client, write| Broken { sent, client, write, bound: false, worn: false };
        let fates = fates_after_break(&[
            request(true, Some(1), false),
            request(true, Some(1), true),
            request(true, Some(1), false),
            request(true, Some(2), false),
            request(true, None, false),
            request(false, Some(1), true),
        ]);
        assert_eq!(fates, [Fate::Fail, Fate::Fail, Fate::Keep, Fate::Keep, Fate::Fail, Fate::Keep]);
    }

    #[test]
    fn what_is_bound_to_a_connection_does_not_survive_it() {
        let request = |sent, write, bound| Broken { sent, client: Some(1), write, bound, worn: false };
        let fates = fates_after_break(&[
            request(true, false, false),
            request(true, false, true),
            request(false, true, true),
            request(false, true, false),
        ]);
        assert_eq!(fates, [Fate::Keep, Fate::Fail, Fate::Fail, Fate::Keep]);
    }

    #[test]
    fn what_two_failovers_have_met_is_not_sent_a_third_time() {
        let request = |sent, worn| Broken { sent, client: Some(1), write: false, bound: false, worn };
        let fates = fates_after_break(&[request(true, false), request(true, true), request(false, true)]);
        assert_eq!(fates, [Fate::Keep, Fate::Fail, Fate::Keep]);
    }
}
