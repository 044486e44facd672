//! In which order the requests of one client may leave again once some of them were sent back.
//!
//! While a request that a node refused looks for its way, the client sends nothing new. But what it had sent before is
//! under way: behind the refused one on the same link (it may run first), or refused as well (it may be due sooner). Two
//! requests that touch a common key, at least one of them a write, must not change places. So each request of the client that
//! looks for its way, and each that was under way behind one, leaves a [`Trail`] here until it is answered:
//!
//! - it leaves only when every earlier one that it collides with has been answered, or went out on the same link before it;
//! - and when every later one that was already sent has been answered. If that one ran, the earlier one never will.
//!
//! A client may have tens of thousands of requests, or keys of one request, on their way. So no question looks at all of them:
//! trails are listed by what they touch and where they are, and each question asks for the first or the last of a list. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::replies::Ticket;

/// One request's place in [`Order`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TrailId(u64);

/// A link, told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub(crate) usize);

/// What a request touches, and whether it may write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Uses {
    /// Hashes of its keys.
    pub(crate) keys: Vec<u64>,
    /// The whole database (FLUSHALL, DBSIZE), whatever keys it names.
    pub(crate) everything: bool,
    pub(crate) write: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// What a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Key(u64),
    /// Trails that touch the whole database.
    Everything,
    /// Trails that touch anything.
    Anything,
}

/// Trails of one topic at one place, reads or writes.
type List = (Topic, Place, bool);

#[derive(Debug)]
struct Trail {
    /// Counts as tickets do, without a wrap. The parts of one request have one number.
    turn: i64,
    uses: Uses,
    place: Place,
    overtaken: bool,
}

/// The trails of one client.
#[derive(Debug, Default)]
pub(crate) struct Order {
    trails: BTreeMap<TrailId, Trail>,
    /// Each trail stands in the lists of all that it touches; what was overtaken is in nobody's way any more and in none.
    lists: BTreeSet<(List, i64, TrailId)>,
    /// The ticket whose turn is 0, while there are trails.
    first: Ticket,
    next: u64,
    /// Links that were looked through for what is under way there, and the ticket that the client's next request had then.
    noticed: BTreeMap<LinkId, Ticket>,
    /// How often a list was asked.
    #[cfg(test)]
    looks: std::cell::Cell<usize>,
}

impl Uses {
    /// Where a trail of this stands.
    fn own_topics(&self) -> impl Iterator<Item = Topic> {
        let touches = self.everything || !self.keys.is_empty();
        let everything = self.everything.then_some(Topic::Everything);
        let anything = touches.then_some(Topic::Anything);
        self.keys.iter().map(|&key| Topic::Key(key)).chain(everything).chain(anything)
    }

    /// Where the trails stand that touch the same.
    fn common_topics(&self) -> impl Iterator<Item = Topic> {
        let last = match (self.everything, self.keys.is_empty()) {
            (true, _) => Some(Topic::Anything),
            (false, true) => None,
            (false, false) => Some(Topic::Everything),
        };
        let keys = if self.everything { &[][..] } else { &self.keys };
        keys.iter().map(|&key| Topic::Key(key)).chain(last)
    }

    /// Of the others that touch the same, those with which the outcome depends on which runs first: a read, writes only.
    fn kinds(&self) -> &'static [bool] {
        if self.write { &[false, true] } else { &[true] }
    }
}

impl Order {
    pub(crate) fn begin(&mut self, ticket: Ticket, uses: Uses, place: Place) -> TrailId {
        if self.trails.is_empty() {
            self.first = ticket;
        }
        let id = TrailId(self.next);
        self.next += 1;
        let trail = Trail { turn: ticket.since(self.first), uses, place, overtaken: false };
        self.trails.insert(id, trail);
        self.enlist(id);
        id
    }

    /// It was sent, or has come back.
    pub(crate) fn is_at(&mut self, id: TrailId, place: Place) {
        if self.trails.get(&id).is_none_or(|trail| trail.overtaken || trail.place == place) {
            return;
        }
        self.strike(id);
        if let Some(trail) = self.trails.get_mut(&id) {
            trail.place = place;
        }
        self.enlist(id);
    }

    pub(crate) fn may_leave(&self, id: TrailId, to: LinkId) -> Leave {
        let Some(own) = self.trails.get(&id) else { return Leave::Now };
        if own.overtaken {
            return Leave::Never;
        }
        let in_the_way = |topic: Topic| {
            self.places(topic).any(|place| {
                own.uses.kinds().iter().any(|&write| {
                    let list = (topic, place, write);
                    let earlier = place != Place::Sent(to) && self.has_before(list, own.turn);
                    earlier || place != Place::Waits && self.has_behind(list, own.turn)
                })
            })
        };
        if own.uses.common_topics().any(in_the_way) { Leave::NotYet } else { Leave::Now }
    }

    pub(crate) fn is_overtaken(&self, id: TrailId) -> bool {
        self.trails.get(&id).is_some_and(|trail| trail.overtaken)
    }

    /// It was answered.
    pub(crate) fn ended(&mut self, id: TrailId, end: End) {
        self.strike(id);
        let Some(ended) = self.trails.remove(&id) else { return };
        if self.trails.is_empty() {
            self.noticed.clear();
        }
        if end == End::Refused {
            return;
        }
        for topic in ended.uses.common_topics() {
            for &write in ended.uses.kinds() {
                let list = (topic, Place::Waits, write);
                while let Some(other) = self.first_before(list, ended.turn) {
                    self.strike(other);
                    if let Some(trail) = self.trails.get_mut(&other) {
                        trail.overtaken = true;
                    }
                }
            }
        }
    }

    /// Nothing of the client looks for its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.trails.is_empty()
    }

    /// Whether the link may have something of the client's under way that has no trail; from now on it is taken to have
    /// none, until the client sends more. `next` is the ticket of its next request.
    pub(crate) fn is_news(&mut self, link: LinkId, next: Ticket) -> bool {
        self.noticed.insert(link, next) != Some(next)
    }

    fn count_look(&self) {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
    }

    fn enlist(&mut self, id: TrailId) {
        let Some(trail) = self.trails.get(&id) else { return };
        for topic in trail.uses.own_topics() {
            self.lists.insert(((topic, trail.place, trail.uses.write), trail.turn, id));
        }
    }

    fn strike(&mut self, id: TrailId) {
        let Some(trail) = self.trails.get(&id).filter(|trail| !trail.overtaken) else { return };
        for topic in trail.uses.own_topics() {
            self.lists.remove(&((topic, trail.place, trail.uses.write), trail.turn, id));
        }
    }

    /// Where the trails of the topic are: few places, however many trails.
    fn places(&self, topic: Topic) -> impl Iterator<Item = Place> {
        let mut from = ((topic, Place::Waits, false), i64::MIN, TrailId(0));
        std::iter::from_fn(move || {
            self.count_look();
            let &((found, place, _), ..) = self.lists.range(from..).next()?;
            let last = (topic, place, true);
            from = (last, i64::MAX, TrailId(u64::MAX));
            (found == topic).then_some(place)
        })
    }

    fn first_before(&self, list: List, turn: i64) -> Option<TrailId> {
        self.count_look();
        let range = (list, i64::MIN, TrailId(0))..(list, turn, TrailId(0));
        self.lists.range(range).next().map(|&(.., id)| id)
    }

    fn has_before(&self, list: List, turn: i64) -> bool {
        self.first_before(list, turn).is_some()
    }

    fn has_behind(&self, list: List, turn: i64) -> bool {
        self.count_look();
        let range = (list, turn, TrailId(u64::MAX))..=(list, i64::MAX, TrailId(u64::MAX));
        self.lists.range(range).next().is_some()
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
        Uses { keys: keys.to_vec(), everything: keys.is_empty(), write }
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
    fn what_counts_the_keys_waits_for_writes_and_what_touches_nothing_does_not() {
        let tickets = tickets(4);
        let mut order = Order::default();
        let set = order.begin(tickets[0], uses(&[7], true), Place::Waits);
        let dbsize = order.begin(tickets[1], uses(&[], false), Place::Sent(HERE));
        let ping = order.begin(tickets[2], Uses::default(), Place::Waits);
        let get = order.begin(tickets[3], uses(&[8], false), Place::Waits);
        assert_eq!(order.may_leave(set, HERE), Leave::NotYet, "DBSIZE may run first");
        assert_eq!([order.may_leave(ping, HERE), order.may_leave(get, HERE)], [Leave::Now; 2]);
        order.ended(ping, End::Ran);
        assert!(!order.is_overtaken(set));
        order.ended(dbsize, End::Ran);
        assert_eq!(order.may_leave(set, HERE), Leave::Never);
    }

    #[test]
    fn what_a_client_has_on_a_link_is_looked_for_once_until_it_sends_more() {
        let tickets = tickets(3);
        let mut order = Order::default();
        let id = order.begin(tickets[0], uses(&[7], true), Place::Waits);
        let news = [(HERE, 1), (HERE, 1), (THERE, 1), (HERE, 2)]
            .map(|(link, next)| order.is_news(link, tickets[next]));
        assert_eq!(news, [true, false, true, true]);
        order.ended(id, End::Refused);
        assert!(order.is_news(HERE, tickets[2]), "nothing is known when nothing is under way");
    }

    /// With a look at every other one for each, any of these would take millions.
    #[test]
    fn thousands_on_their_way_cost_a_few_looks_for_each_of_their_keys() {
        const COUNT: u16 = 4_000;
        let mut pipeline = tickets(usize::from(COUNT));
        let together = vec![pipeline[0]; pipeline.len()];
        let one_key = |_: u64| vec![7];
        let own_key = |n: u64| vec![n];
        let many_keys = |_: u64| (0..u64::from(COUNT)).collect();
        check_work(&pipeline, own_key);
        check_work(&pipeline, one_key);
        check_work(&together, own_key);
        check_work(&together, one_key);
        pipeline.truncate(4);
        check_work(&pipeline, many_keys);
    }

    /// Requests leave one behind the other, come back, and leave again.
    fn check_work(tickets: &[Ticket], keys: impl Fn(u64) -> Vec<u64>) {
        let mut order = Order::default();
        let begin = |(n, &ticket)| {
            order.begin(ticket, Uses { keys: keys(n), everything: false, write: true }, Place::Waits)
        };
        let ids: Vec<TrailId> = (0..).zip(tickets).map(begin).collect();
        let count: usize = order.trails.values().map(|trail| trail.uses.keys.len()).sum();
        for to in [HERE, THERE] {
            for &id in &ids {
                assert_eq!(order.may_leave(id, to), Leave::Now);
                order.is_at(id, Place::Sent(to));
            }
            if to == HERE {
                ids.iter().for_each(|&id| order.is_at(id, Place::Waits));
            }
        }
        ids.iter().for_each(|&id| order.ended(id, End::Ran));
        assert!(order.lists.is_empty());
        let looks = order.looks.get();
        assert!(looks <= 60 * count, "{looks} looks for {count} keys");
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

    fn touches((key, write): (u64, bool)) -> Uses {
        if key == 3 { uses(&[], write) } else { uses(&[key], write) }
    }

    proptest! {
        #[test]
        fn requests_that_collide_run_in_their_order_or_not_at_all(
            // Key 3 stands for all of them.
            touched in prop::collection::vec((0..4u64, any::<bool>()), 12),
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let tickets = tickets(12);
            let mut order = Order::default();
            // All were sent to node 0 at first.
            let ids: Vec<TrailId> = (0..12)
                .map(|n| order.begin(tickets[n], touches(touched[n]), Place::Sent(LinkId(0))))
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
                    let (one, other) = (touched[later], touched[earlier]);
                    let collide = (one.0 == other.0 || one.0 == 3 || other.0 == 3) && (one.1 || other.1);
                    prop_assert!(!(collide && earlier < later), "{earlier} ran behind {later}");
                }
            }
        }
    }
}
