//! In which order the requests of one client may leave again once some of them were sent back.
//!
//! While a request that a node refused looks for its way, the client sends nothing new. But what it had sent before is
//! under way: behind the refused one on the same link (it may run first), or refused as well (it may be due sooner). Two
//! requests that touch a common key, at least one of them a write, must not change places. So each request of the client that
//! looks for its way, and each that was under way behind one, leaves a [`Trail`] here until it is answered:
//!
//! - it leaves only when every earlier one that it collides with has been answered, or went out on the same link before it;
//! - and when every later one that was already sent has been answered. If that one ran, the earlier one never will. Pure.

use crate::replies::Ticket;

/// One request's place in [`Order`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrailId(u64);

/// A link, told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkId(pub(crate) usize);

/// What a request touches: hashes of its keys, and whether it may write. None at all: the whole database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Uses {
    pub(crate) keys: Vec<u64>,
    pub(crate) write: bool,
}

impl Uses {
    /// The outcome depends on which of the two runs first.
    fn collides_with(&self, other: &Uses) -> bool {
        let everything = |uses: &Uses| uses.write && uses.keys.is_empty();
        (self.write || other.write)
            && (everything(self) || everything(other) || self.keys.iter().any(|key| other.keys.contains(key)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Looks for its way.
    Waits,
    /// On this link, without an answer so far.
    Sent(LinkId),
}

/// How a request came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It ran, or may have.
    Ran,
    /// It did not, and never will.
    Refused,
}

/// Whether a request that waits may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    Now,
    NotYet,
    /// A later request of the client that it must not follow has run.
    Never,
}

#[derive(Debug)]
struct Trail {
    id: TrailId,
    ticket: Ticket,
    uses: Uses,
    place: Place,
    overtaken: bool,
}

/// The trails of one client.
#[derive(Debug, Default)]
pub(crate) struct Order {
    trails: Vec<Trail>,
    next: u64,
}

impl Order {
    pub(crate) fn begin(&mut self, ticket: Ticket, uses: Uses, place: Place) -> TrailId {
        let id = TrailId(self.next);
        self.next += 1;
        self.trails.push(Trail { id, ticket, uses, place, overtaken: false });
        id
    }

    /// It was sent, or has come back.
    pub(crate) fn is_at(&mut self, id: TrailId, place: Place) {
        if let Some(trail) = self.trails.iter_mut().find(|trail| trail.id == id) {
            trail.place = place;
        }
    }

    pub(crate) fn may_leave(&self, id: TrailId, to: LinkId) -> Leave {
        let Some(own) = self.trails.iter().find(|trail| trail.id == id) else { return Leave::Now };
        if own.overtaken {
            return Leave::Never;
        }
        let in_the_way = |other: &Trail| {
            let sent_there = other.place == Place::Sent(to);
            let earlier = other.ticket.is_before(own.ticket) && !sent_there;
            let later = own.ticket.is_before(other.ticket) && other.place != Place::Waits;
            (earlier || later) && other.uses.collides_with(&own.uses)
        };
        if self.trails.iter().any(in_the_way) { Leave::NotYet } else { Leave::Now }
    }

    pub(crate) fn is_overtaken(&self, id: TrailId) -> bool {
        self.trails.iter().any(|trail| trail.id == id && trail.overtaken)
    }

    /// It was answered.
    pub(crate) fn ended(&mut self, id: TrailId, end: End) {
        let Some(at) = self.trails.iter().position(|trail| trail.id == id) else { return };
        let ended = self.trails.swap_remove(at);
        if end == End::Refused {
            return;
        }
        for other in &mut self.trails {
            other.overtaken |= other.place == Place::Waits
                && other.ticket.is_before(ended.ticket)
                && other.uses.collides_with(&ended.uses);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replies::{Heard, Replies};

    const HERE: LinkId = LinkId(1);
    const THERE: LinkId = LinkId(2);

    fn uses(keys: &[u64], write: bool) -> Uses {
        Uses { keys: keys.to_vec(), write }
    }

    fn tickets(count: usize) -> Vec<Ticket> {
        let mut replies = Replies::default();
        (0..count).map(|_| replies.expect(Heard::Heard)).collect()
    }

    #[test]
    fn requests_for_one_key_leave_in_their_order_and_on_one_link() {
        let tickets = tickets(2);
        let mut order = Order::default();
        let first = order.begin(tickets[0], uses(&[7], true), Place::Waits);
        let second = order.begin(tickets[1], uses(&[7], false), Place::Waits);
        assert_eq!(order.may_leave(second, HERE), Leave::NotYet);
        assert_eq!(order.may_leave(first, HERE), Leave::Now);
        order.is_at(first, Place::Sent(HERE));
        assert_eq!(order.may_leave(second, HERE), Leave::Now);
        assert_eq!(order.may_leave(second, THERE), Leave::NotYet);
        order.ended(first, End::Ran);
        assert_eq!(order.may_leave(second, THERE), Leave::Now);
    }

    #[test]
    fn requests_for_different_keys_and_reads_do_not_wait_for_each_other() {
        let tickets = tickets(3);
        let mut order = Order::default();
        order.begin(tickets[0], uses(&[7], false), Place::Waits);
        let other = order.begin(tickets[1], uses(&[8], true), Place::Waits);
        let read = order.begin(tickets[2], uses(&[7], false), Place::Waits);
        assert_eq!([order.may_leave(other, HERE), order.may_leave(read, THERE)], [Leave::Now; 2]);
        let tickets = super::tests::tickets(2);
        let mut order = Order::default();
        order.begin(tickets[0], uses(&[], true), Place::Waits);
        let any = order.begin(tickets[1], uses(&[9], false), Place::Waits);
        assert_eq!(order.may_leave(any, HERE), Leave::NotYet, "a flush touches every key");
    }

    #[test]
    fn what_was_overtaken_never_runs() {
        for (first, second, end, expected) in [
            (true, true, End::Ran, Leave::Never),
            (true, false, End::Ran, Leave::Never),
            (false, true, End::Ran, Leave::Never),
            (false, false, End::Ran, Leave::Now),
            (true, true, End::Refused, Leave::Now),
        ] {
            let tickets = tickets(2);
            let mut order = Order::default();
            let first = order.begin(tickets[0], uses(&[7], first), Place::Waits);
            let second_write = second;
            let second = order.begin(tickets[1], uses(&[7], second), Place::Sent(HERE));
            if second_write {
                assert_eq!(order.may_leave(first, THERE), Leave::NotYet, "while the other is under way");
            }
            order.ended(second, end);
            assert_eq!(order.may_leave(first, THERE), expected);
            assert_eq!(order.is_overtaken(first), expected == Leave::Never);
        }
    }

    /// Two nodes run what reaches them or send it back, in any order of events.
    #[derive(Debug, Clone)]
    enum Step {
        Leave { request: usize, link: usize },
        Answer { link: usize, refused: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..12usize, 0..2usize).prop_map(|(request, link)| Step::Leave { request, link }),
            (0..2usize, any::<bool>()).prop_map(|(link, refused)| Step::Answer { link, refused }),
        ]
    }

    proptest! {
        #[test]
        fn requests_that_collide_run_in_their_order_or_not_at_all(
            touched in prop::collection::vec((0..3u64, any::<bool>()), 12),
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let tickets = tickets(12);
            let mut order = Order::default();
            // All were sent to node 0 at first.
            let ids: Vec<TrailId> = (0..12)
                .map(|n| order.begin(tickets[n], uses(&[touched[n].0], touched[n].1), Place::Sent(LinkId(0))))
                .collect();
            let mut links: [Vec<usize>; 2] = [(0..12).collect(), Vec::new()];
            let mut waiting: Vec<usize> = Vec::new();
            let mut ran: Vec<usize> = Vec::new();
            for step in steps {
                match step {
                    Step::Leave { request, link } => {
                        let Some(at) = waiting.iter().position(|&waits| waits == request) else { continue };
                        match order.may_leave(ids[request], LinkId(link)) {
                            Leave::NotYet => {}
                            Leave::Now => {
                                waiting.remove(at);
                                links[link].push(request);
                                order.is_at(ids[request], Place::Sent(LinkId(link)));
                            }
                            Leave::Never => {
                                waiting.remove(at);
                                order.ended(ids[request], End::Refused);
                            }
                        }
                    }
                    Step::Answer { link, refused } if !links[link].is_empty() => {
                        let request = links[link].remove(0);
                        if refused {
                            order.is_at(ids[request], Place::Waits);
                            waiting.push(request);
                        } else {
                            order.ended(ids[request], End::Ran);
                            ran.push(request);
                        }
                    }
                    Step::Answer { .. } => {}
                }
            }
            for (at, &later) in ran.iter().enumerate() {
                for &earlier in &ran[at + 1..] {
                    let collide = touched[later].0 == touched[earlier].0 && (touched[later].1 || touched[earlier].1);
                    prop_assert!(!(collide && earlier < later), "{earlier} ran behind {later}");
                }
            }
        }
    }
}
