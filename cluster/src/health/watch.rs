//! One voter's watch: what it has seen of every node, and the [`Opinion`] that follows.

use std::{collections::BTreeMap, time::Duration};

use super::{BUSY_DOWN_AFTER, Opinion, PING_EVERY, SILENCE, at_work::BUSY_AFTER};
use crate::{
    ids::NodeId,
    pulse::wire::{Part, Status},
    shard::Incarnation,
};

/// A tick that comes later than this after the one before says that the observer itself stood still.
const LATE: Duration = Duration::from_millis(300);

const _: () =
    assert!(LATE.as_millis() >= 2 * PING_EVERY.as_millis() && LATE.as_millis() < SILENCE.as_millis());

/// What was seen on the link to a node.
#[derive(Debug, Clone, Copy)]
pub enum Sight<'s> {
    /// A connection was opened: somebody's kernel lives, which is not a word of the node.
    Connected,
    Pong(&'s Status),
    /// The connection was refused, reset or closed.
    Broken,
}

/// What one voter has seen of the nodes.
#[derive(Debug)]
pub struct Watch {
    busy_down_after: Duration,
    ticked: Duration,
    nodes: BTreeMap<NodeId, Watched>,
}

#[derive(Debug)]
struct Watched {
    /// Since when this observer has looked without a pause.
    since: Duration,
    heard: Option<Heard>,
    link: Link,
    /// The life in which the log has it; None: the log knows none.
    expected: Option<Incarnation>,
    told: Opinion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Whole,
    Broken,
}

/// Of the last Pong.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Duration,
    incarnation: Incarnation,
    is_loading: bool,
    busy_for: Duration,
}

impl Watch {
    pub fn new(now: Duration) -> Watch {
        Watch { busy_down_after: BUSY_DOWN_AFTER, ticked: now, nodes: BTreeMap::new() }
    }

    pub fn set_busy_down_after(&mut self, after: Duration) {
        self.busy_down_after = after;
    }

    /// Watches these nodes from now on and no others. Each with the life that the log has it in: of a shard's primary that of the
    /// rule, of others the one last logged.
    pub fn set_nodes<'n>(
        &mut self,
        nodes: impl IntoIterator<Item = (&'n NodeId, Option<Incarnation>)>,
        now: Duration,
    ) {
        let mut before = std::mem::take(&mut self.nodes);
        for (node, expected) in nodes {
            let watched = before.remove(node).unwrap_or(Watched {
                since: now,
                heard: None,
                link: Link::Whole,
                expected,
                told: Opinion::Unknown,
            });
            self.nodes.insert(node.clone(), Watched { expected, ..watched });
        }
    }

    /// Something was seen. The opinion that changed by it.
    pub fn see(&mut self, node: &NodeId, sight: Sight<'_>, now: Duration) -> Option<Opinion> {
        let watched = self.nodes.get_mut(node)?;
        match sight {
            Sight::Connected => watched.link = Link::Whole,
            Sight::Broken => watched.link = Link::Broken,
            Sight::Pong(status) => {
                watched.link = Link::Whole;
                let busy_for = status.busy.as_ref().map_or(0, |busy| busy.for_ms);
                watched.heard = Some(Heard {
                    at: now,
                    incarnation: status.incarnation,
                    is_loading: status.part == Part::Loading,
                    busy_for: Duration::from_millis(busy_for),
                });
            }
        }
        watched.change(self.busy_down_after, now)
    }

    /// Time has passed: the opinions that changed by it.
    pub fn tick(&mut self, now: Duration) -> Vec<(NodeId, Opinion)> {
        let was_paused = now.saturating_sub(self.ticked) > LATE;
        self.ticked = now;
        let changed = self.nodes.iter_mut().filter_map(|(node, watched)| {
            if was_paused {
                watched.since = now;
            }
            Some((node.clone(), watched.change(self.busy_down_after, now)?))
        });
        changed.collect()
    }

    /// As of the last event.
    pub fn opinion(&self, node: &NodeId) -> Opinion {
        self.nodes.get(node).map_or(Opinion::Unknown, |watched| watched.told)
    }

    /// All of them, to renew them with the leader.
    pub fn opinions(&self) -> Vec<(NodeId, Opinion)> {
        self.nodes.iter().map(|(node, watched)| (node.clone(), watched.told)).collect()
    }
}

impl Watched {
    fn change(&mut self, busy_down_after: Duration, now: Duration) -> Option<Opinion> {
        let opinion = self.opinion(busy_down_after, now);
        (std::mem::replace(&mut self.told, opinion) != opinion).then_some(opinion)
    }

    fn opinion(&self, busy_down_after: Duration, now: Duration) -> Opinion {
        // What was heard before a pause of ours is old news, except that a life which is over does not come back.
        let is_another_life = |heard: &Heard| self.expected.is_some_and(|known| known != heard.incarnation);
        if self.heard.as_ref().is_some_and(is_another_life) {
            return Opinion::Restarted;
        }
        let heard = self.heard.filter(|heard| heard.at >= self.since);
        let watched_for = now.saturating_sub(self.since);
        if self.link == Link::Broken {
            return if watched_for < SILENCE { Opinion::Unknown } else { Opinion::Gone };
        }
        let quiet_since = heard.map_or(self.since, |heard| heard.at);
        if now.saturating_sub(quiet_since) >= SILENCE {
            return Opinion::Silent;
        }
        match heard {
            None => Opinion::Unknown,
            Some(heard) if heard.busy_for >= busy_down_after => Opinion::Stuck,
            Some(heard) if heard.is_loading => Opinion::Loading,
            Some(heard) if heard.busy_for >= BUSY_AFTER => Opinion::Busy,
            Some(_) => Opinion::Up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::status, *};
    use crate::pulse::wire::Busy;

    fn n1() -> NodeId {
        NodeId("n1".into())
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Watches from 0 on, ticking each 50 ms.
    struct Observer {
        watch: Watch,
        now: u64,
    }

    impl Observer {
        fn new() -> Observer {
            let mut watch = Watch::new(at(0));
            watch.set_nodes([(&n1(), Some(Incarnation(1)))], at(0));
            Observer { watch, now: 0 }
        }

        /// Time passes; `pong` comes each 100 ms.
        fn until(&mut self, ms: u64, pong: Option<&Status>) -> Opinion {
            while self.now < ms {
                self.now += 50;
                if let Some(status) = pong
                    && self.now.is_multiple_of(100)
                {
                    self.watch.see(&n1(), Sight::Pong(status), at(self.now));
                }
                self.watch.tick(at(self.now));
            }
            self.watch.opinion(&n1())
        }

        fn see(&mut self, sight: Sight<'_>) -> Option<Opinion> {
            self.watch.see(&n1(), sight, at(self.now))
        }
    }

    #[test]
    fn a_node_that_answers_is_up_and_one_that_stops_is_silent_after_a_whole_silence() {
        let mut observer = Observer::new();
        assert_eq!(observer.until(1000, Some(&status(1))), Opinion::Up);
        assert_eq!(observer.until(1550, None), Opinion::Up);
        assert_eq!(observer.until(1600, None), Opinion::Silent);
        assert_eq!(observer.see(Sight::Connected), None, "a connection is not a word");
        assert_eq!(observer.see(Sight::Pong(&status(1))), Some(Opinion::Up));
    }

    #[test]
    fn nobody_has_an_opinion_before_it_has_watched_for_a_whole_silence() {
        let mut observer = Observer::new();
        assert_eq!(observer.see(Sight::Broken), None);
        assert_eq!(observer.until(550, None), Opinion::Unknown);
        assert_eq!(observer.until(600, None), Opinion::Gone);
        let mut observer = Observer::new();
        assert_eq!(observer.until(550, None), Opinion::Unknown);
        assert_eq!(observer.until(600, None), Opinion::Silent);
    }

    #[test]
    fn a_broken_connection_is_death_at_once_until_there_is_another() {
        let mut observer = Observer::new();
        observer.until(1000, Some(&status(1)));
        assert_eq!(observer.see(Sight::Broken), Some(Opinion::Gone));
        assert_eq!(observer.see(Sight::Connected), Some(Opinion::Up), "not silent for long enough");
        assert_eq!(observer.until(1600, None), Opinion::Silent);
        assert_eq!(observer.see(Sight::Broken), Some(Opinion::Gone));
    }

    #[test]
    fn a_pause_of_the_observer_is_not_silence_of_the_node() {
        let mut observer = Observer::new();
        observer.until(1000, Some(&status(1)));
        // Nothing ran here for two seconds, not even this.
        observer.now = 3000;
        observer.watch.tick(at(3000));
        assert_eq!(observer.watch.opinion(&n1()), Opinion::Unknown);
        assert_eq!(observer.until(3550, None), Opinion::Unknown);
        assert_eq!(observer.until(3600, None), Opinion::Silent);
    }

    #[test]
    fn busy_is_not_down_before_its_time() {
        let mut observer = Observer::new();
        let busy = |ms| Status {
            busy: Some(Busy { for_ms: ms, command: "KEYS".into(), under_lease: true }),
            ..status(1)
        };
        assert_eq!(observer.until(1000, Some(&busy(100))), Opinion::Up);
        assert_eq!(observer.until(2000, Some(&busy(14_999))), Opinion::Busy);
        assert_eq!(observer.until(3000, Some(&busy(15_000))), Opinion::Stuck);
        observer.watch.set_busy_down_after(Duration::from_secs(60));
        assert_eq!(observer.until(4000, Some(&busy(15_000))), Opinion::Busy);
        let loading = Status { part: Part::Loading, ..status(1) };
        assert_eq!(observer.until(5000, Some(&loading)), Opinion::Loading);
    }

    #[test]
    fn another_life_is_known_at_once_and_until_the_log_knows_it() {
        let mut observer = Observer::new();
        assert_eq!(observer.see(Sight::Pong(&status(2))), Some(Opinion::Restarted));
        assert_eq!(observer.see(Sight::Broken), None, "the old life is over all the same");
        observer.watch.set_nodes([(&n1(), Some(Incarnation(2)))], at(0));
        assert_eq!(observer.see(Sight::Pong(&status(2))), Some(Opinion::Up));
    }

    #[test]
    fn only_what_the_log_lists_is_watched() {
        let mut observer = Observer::new();
        let n2 = NodeId("n2".into());
        observer.until(1000, Some(&status(1)));
        observer.watch.set_nodes([(&n2, None)], at(1000));
        assert_eq!(observer.see(Sight::Pong(&status(1))), None);
        assert_eq!(observer.watch.opinions(), [(n2, Opinion::Unknown)]);
    }
}
