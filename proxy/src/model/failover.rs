//! The same machines when the primary of a shard is replaced: [`Flight`] and what survives of it, [`Replies`], [`Order`].
//!
//! One client, one shard, a link for each reign. A primary runs what it has, answers or withholds the answer; it parks, and it is
//! replaced: then it says STALE to what it has not run, or nothing ever again. Connections break, and the proxy learns of
//! a reign late. Whatever happens: replies come in their order, each once; no write runs twice; requests that collide run in
//! the order in which they were asked; what was in flight at two failovers is not sent a third time; and no client
//! reads STALE.

use std::collections::VecDeque;

use proptest::prelude::*;

use crate::{
    follow::order::{End, Leave, LinkId, Order, Place, TrailId, Uses},
    link::{
        fates::{Broken, Fate, fates_after_break},
        flight::Flight,
    },
    replies::{Heard, Replies, Ticket},
};

const LOST: &str = "-INDETERMINATE\r\n";
const STALE: &str = "-STALE 2 2\r\n";

/// What happens next; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Ask {
        key: u64,
        write: bool,
    },
    SocketTakes {
        link: usize,
        count: usize,
    },
    /// Runs, and keeps the replies for now.
    NodeRuns {
        link: usize,
        count: usize,
    },
    /// Releases replies, or refuses what it did not run.
    NodeAnswers {
        link: usize,
        count: usize,
    },
    Park,
    Unpark,
    Break {
        link: usize,
    },
    /// Another primary, of which the proxy does not know yet.
    Replace,
    Learn,
    /// A link of an earlier reign has been silent for too long.
    GiveUp {
        link: usize,
    },
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let link = || 0..3usize;
    prop_oneof![
        8 => (0..3u64, any::<bool>()).prop_map(|(key, write)| Step::Ask { key, write }),
        6 => (link(), 1..20usize).prop_map(|(link, count)| Step::SocketTakes { link, count }),
        5 => (link(), 1..5usize).prop_map(|(link, count)| Step::NodeRuns { link, count }),
        5 => (link(), 1..5usize).prop_map(|(link, count)| Step::NodeAnswers { link, count }),
        1 => Just(Step::Park),
        1 => Just(Step::Unpark),
        1 => link().prop_map(|link| Step::Break { link }),
        1 => Just(Step::Replace),
        2 => Just(Step::Learn),
        1 => link().prop_map(|link| Step::GiveUp { link }),
        4 => Just(Step::Leave),
    ]
}

/// A request that was taken on, by its number.
struct Request {
    key: u64,
    write: bool,
    ticket: Ticket,
    trail: Option<TrailId>,
    told: Option<String>,
    /// The reigns in which a connection was lost on which it was.
    lost_in: Vec<usize>,
    times_run: usize,
    ran_at: Option<usize>,
}

/// A link, and the node at its end as this connection sees it.
#[derive(Default)]
struct Link {
    flight: Flight<usize>,
    received: Vec<u8>,
    withheld: VecDeque<usize>,
}

/// What looks for its way, and in which reign it was refused. None: no node refused it.
struct Stray {
    id: usize,
    refused_in: Option<usize>,
}

#[derive(Default)]
struct World {
    replies: Replies,
    order: Order,
    requests: Vec<Request>,
    /// By reign: the last is the present one.
    links: Vec<Link>,
    /// The reign that the proxy knows.
    known: usize,
    parked: bool,
    strays: Vec<Stray>,
    runs: usize,
}

impl World {
    fn new() -> World {
        World { links: vec![Link::default()], ..World::default() }
    }

    fn run(&mut self, step: Step) {
        // The latest links are the likeliest to have something.
        let at = |link: usize, count: usize| (count - 1).saturating_sub(link);
        let count = self.links.len();
        match step {
            Step::Ask { key, write } => self.ask(key, write),
            Step::SocketTakes { link, count: bytes } => self.socket_takes(at(link, count), bytes),
            Step::NodeRuns { link, count: many } => {
                (0..many).for_each(|_| _ = self.node_runs(at(link, count)));
            }
            Step::NodeAnswers { link, count: many } => {
                (0..many).for_each(|_| self.node_answers(at(link, count)));
            }
            Step::Park => self.parked = true,
            Step::Unpark => self.parked = false,
            Step::Break { link } => self.lose(at(link, count)),
            Step::Replace if count < 6 => {
                // What the one before has not released it never will: it closes that connection.
                let last = count - 1;
                if !self.links[last].withheld.is_empty() {
                    self.lose(last);
                }
                self.parked = false;
                self.links.push(Link::default());
            }
            Step::Replace => {}
            Step::Learn => self.learn(),
            Step::GiveUp { link } => {
                if at(link, count) < self.known {
                    self.lose(at(link, count));
                    self.collect();
                }
            }
            Step::Leave => self.leave(),
        }
    }

    /// A client that has anything on its way asks nothing more.
    fn ask(&mut self, key: u64, write: bool) {
        if self.requests.iter().any(|request| request.trail.is_some() && request.told.is_none()) {
            return;
        }
        let earlier = |link: &Link| !link.flight.is_empty();
        if self.links[..self.known].iter().any(earlier) {
            return;
        }
        let ticket = self.replies.expect(Heard::Heard);
        let id = self.requests.len();
        self.requests.push(Request {
            key,
            write,
            ticket,
            trail: None,
            told: None,
            lost_in: Vec::new(),
            times_run: 0,
            ran_at: None,
        });
        self.send(self.known, id);
    }

    fn send(&mut self, link: usize, id: usize) {
        let lost_in = &self.requests[id].lost_in;
        assert!(lost_in.len() < 2, "sent a third time: {lost_in:?}");
        self.links[link].flight.push(id, |bytes| bytes.extend_from_slice(format!("{id};").as_bytes()));
    }

    fn socket_takes(&mut self, link: usize, count: usize) {
        if link < self.known {
            // Of a reign that is over nothing more is sent.
            return;
        }
        let Link { flight, received, .. } = &mut self.links[link];
        let count = count.min(flight.unsent().len());
        received.extend_from_slice(&flight.unsent()[..count]);
        flight.wrote(count);
    }

    /// The next whole request of this connection.
    fn next_request(&mut self, link: usize) -> Option<usize> {
        let received = &mut self.links[link].received;
        let end = received.iter().position(|&byte| byte == b';')?;
        let id = std::str::from_utf8(&received[..end]).unwrap().parse().unwrap();
        received.drain(..=end);
        Some(id)
    }

    fn node_runs(&mut self, link: usize) -> Option<()> {
        if link + 1 < self.links.len() || self.parked {
            return None;
        }
        let id = self.next_request(link)?;
        let request = &mut self.requests[id];
        request.times_run += 1;
        assert!(!request.write || request.times_run == 1, "a write ran twice");
        request.ran_at = Some(self.runs);
        self.runs += 1;
        self.links[link].withheld.push_back(id);
        Some(())
    }

    fn node_answers(&mut self, link: usize) {
        if let Some(id) = self.links[link].withheld.pop_front() {
            assert_eq!(self.links[link].flight.answered(), Some(id), "replies are told to whoever asked");
            self.tell(id, &format!(":{id}\r\n"), End::Ran);
        } else if link + 1 < self.links.len()
            && let Some(id) = self.next_request(link)
        {
            let (refused, _) = self.links[link].flight.answered_astray().expect("it was sent");
            assert_eq!(refused, id);
            self.strays.push(Stray { id, refused_in: Some(link) });
            self.enter(id);
            self.notice(link);
        }
    }

    /// The connection is gone, and with it what the node had of it.
    fn lose(&mut self, link: usize) {
        let Link { flight, received, withheld } = &mut self.links[link];
        received.clear();
        withheld.clear();
        let requests = &mut self.requests;
        let broken: Vec<Broken> = flight
            .iter_mut()
            .map(|(sent, &mut id)| {
                let lost_in = &mut requests[id].lost_in;
                let worn = sent && lost_in.iter().any(|&before| before != link);
                if sent && !lost_in.contains(&link) {
                    lost_in.push(link);
                }
                Broken { sent, client: Some(1), write: requests[id].write, bound: false, worn }
            })
            .collect();
        let mut fates = fates_after_break(&broken).into_iter();
        let failed = flight.sift(|_, _| fates.next().unwrap_or(Fate::Fail));
        failed.into_iter().for_each(|id| self.tell(id, LOST, End::Ran));
    }

    fn learn(&mut self) {
        self.known = self.links.len() - 1;
        self.collect();
    }

    /// What no socket has seen is taken from links of earlier reigns.
    fn collect(&mut self) {
        for link in 0..self.known {
            if !self.links[link].flight.owes_replies() && self.order.is_idle() {
                let (earlier, later) = self.links.split_at_mut(self.known);
                earlier[link].flight.hand_over(&mut later[0].flight, |_| true);
            }
            let taken = self.links[link].flight.take_unsent(|_, _| true);
            if taken.is_empty() {
                continue;
            }
            self.notice(link);
            for (id, _) in taken {
                self.enter(id);
                self.strays.push(Stray { id, refused_in: None });
            }
        }
    }

    fn enter(&mut self, id: usize) {
        let request = &mut self.requests[id];
        match request.trail {
            Some(trail) => self.order.is_at(trail, Place::Waits),
            None => request.trail = Some(self.order.begin(request.ticket, request.uses(), Place::Waits)),
        }
    }

    /// What is under way on the link may run before what looks for its way.
    fn notice(&mut self, link: usize) {
        let (requests, order) = (&mut self.requests, &mut self.order);
        self.links[link].flight.for_each(|&mut id, _| {
            let request = &mut requests[id];
            if request.trail.is_none() {
                let place = Place::Sent(LinkId(link));
                request.trail = Some(order.begin(request.ticket, request.uses(), place));
            }
        });
    }

    fn leave(&mut self) {
        let mut strays = std::mem::take(&mut self.strays);
        strays.sort_by(|one, other| self.requests[one.id].ticket.order(self.requests[other.id].ticket));
        for stray in strays {
            let Some(trail) = self.requests[stray.id].trail else { panic!("it was entered") };
            let leave = match stray.refused_in {
                Some(reign) if reign >= self.known => Leave::NotYet,
                _ => self.order.may_leave(trail, LinkId(self.known)),
            };
            match leave {
                Leave::Now => {
                    self.order.is_at(trail, Place::Sent(LinkId(self.known)));
                    self.send(self.known, stray.id);
                }
                Leave::NotYet => self.strays.push(stray),
                Leave::Never => self.tell(stray.id, LOST, End::Refused),
            }
        }
    }

    fn tell(&mut self, id: usize, reply: &str, end: End) {
        assert_ne!(reply, STALE);
        let request = &mut self.requests[id];
        assert_eq!(request.told.replace(reply.to_owned()), None, "told once");
        if let Some(trail) = request.trail {
            self.order.ended(trail, end);
        }
        self.replies.deliver(request.ticket, reply.as_bytes());
    }

    /// Everything is healed, and everything that is under way comes to its end.
    fn finish(&mut self) {
        self.parked = false;
        self.learn();
        while self.requests.iter().any(|request| request.told.is_none()) {
            for link in 0..self.links.len() {
                if link < self.known {
                    self.lose(link);
                    self.collect();
                }
                self.leave();
                self.socket_takes(link, usize::MAX);
                while self.node_runs(link).is_some() {
                    self.node_answers(link);
                }
                while !self.links[link].withheld.is_empty() {
                    self.node_answers(link);
                }
            }
        }
        assert!(self.replies.outstanding() == 0 && self.strays.is_empty());
    }

    /// Those that collide ran in the order in which they were asked.
    fn check_order(&self) {
        let answered = |request: &&Request| request.told.as_deref().is_some_and(|told| told != LOST);
        let ran = |request: &Request| request.ran_at.filter(|_| answered(&request) || request.write);
        for (at, later) in self.requests.iter().enumerate() {
            for earlier in &self.requests[..at] {
                let collide = earlier.key == later.key && (earlier.write || later.write);
                if let (true, Some(first), Some(second)) = (collide, ran(earlier), ran(later)) {
                    assert!(first < second, "a later request was overtaken by an earlier one");
                }
            }
        }
    }
}

impl Request {
    fn uses(&self) -> Uses {
        Uses { keys: vec![self.key], everything: false, write: self.write }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn replaced_primaries_are_noticed_by_their_pause_only(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.run(step));
        world.finish();
        world.check_order();
        let told = |request: &Request| request.told.clone().expect("told in the end");
        let expected: String = world.requests.iter().map(told).collect();
        let output = std::mem::take(world.replies.output());
        prop_assert_eq!(String::from_utf8(output).unwrap(), expected);
        // Nothing is of unknown outcome that was not on its way when something was lost, or behind what was.
        let unharmed = world.requests.iter().all(|request| request.lost_in.is_empty());
        let overtaken = world.requests.iter().any(|request| request.trail.is_some());
        if unharmed && !overtaken {
            prop_assert!(world.requests.iter().all(|request| request.told.as_deref() != Some(LOST)));
        }
    }
}
