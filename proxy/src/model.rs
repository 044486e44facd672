//! The pure machines of the data path together ([`Replies`], [`Gather`], [`Flight`]), driven by random schedules and
//! compared with the simplest thing that could be right: a list of requests, each with what it was told.
//!
//! One client, three links. A node takes the bytes that a link wrote and answers whole requests in order; connections
//! break, requests time out or are withdrawn. Whatever happens, the client's bytes are the replies of the requests that
//! it wanted to hear, in their order, each once; no write reaches a node twice; and a transaction reaches it whole, in one
//! piece, or does not run. Replies may come in pieces, cut anywhere; if the rest of one is lost when the client has its
//! beginning, the client has read all before it and nothing behind.

use std::collections::HashMap;

use proptest::prelude::*;
use slotway_commands::row::MergeRule;

use crate::{
    gather::{Gather, Merge},
    link::{
        fates::{Broken, fates_after_break},
        flight::Flight,
    },
    replies::{Heard, Replies, Ticket},
};

mod failover;

const LINKS: usize = 3;
const LOST: &str = "-LOST\r\n";

/// What happens next; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Ask {
        link: usize,
        write: bool,
        heard: bool,
    },
    /// A transaction: several replies, of which the last one counts.
    AskPiece {
        link: usize,
        commands: usize,
        heard: bool,
    },
    AskAll {
        heard: bool,
    },
    /// Every link brings elements of one array.
    AskKeys {
        heard: bool,
    },
    Say {
        heard: bool,
    },
    SocketTakes {
        link: usize,
        count: usize,
    },
    NodeAnswers {
        link: usize,
        count: usize,
    },
    /// The beginning of a reply, or more of the one that has begun.
    NodeSends {
        link: usize,
        count: usize,
    },
    Break {
        link: usize,
    },
    TimeOut {
        link: usize,
    },
    Withdraw {
        link: usize,
        count: usize,
    },
    TakeBack {
        link: usize,
    },
    ClientReads {
        count: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let link = || 0..LINKS;
    prop_oneof![
        6 => (link(), any::<bool>(), any::<bool>()).prop_map(|(link, write, heard)| Step::Ask { link, write, heard }),
        2 => (link(), 1..4usize, any::<bool>())
            .prop_map(|(link, commands, heard)| Step::AskPiece { link, commands, heard }),
        2 => any::<bool>().prop_map(|heard| Step::AskAll { heard }),
        2 => any::<bool>().prop_map(|heard| Step::AskKeys { heard }),
        1 => any::<bool>().prop_map(|heard| Step::Say { heard }),
        6 => (link(), 1..60usize).prop_map(|(link, count)| Step::SocketTakes { link, count }),
        6 => (link(), 1..5usize).prop_map(|(link, count)| Step::NodeAnswers { link, count }),
        6 => (link(), 1..6usize).prop_map(|(link, count)| Step::NodeSends { link, count }),
        1 => link().prop_map(|link| Step::Break { link }),
        1 => link().prop_map(|link| Step::TimeOut { link }),
        1 => (link(), 1..4usize).prop_map(|(link, count)| Step::Withdraw { link, count }),
        1 => link().prop_map(|link| Step::TakeBack { link }),
        2 => (1..100usize).prop_map(|count| Step::ClientReads { count }),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    /// None: has been told already.
    told: Option<(Ticket, Option<u32>)>,
    id: usize,
    write: bool,
}

/// A node as one connection sees it: what came and was not answered yet.
#[derive(Debug, Default)]
struct Node {
    received: Vec<u8>,
    /// What has not come of the reply that has begun.
    rest: Option<String>,
}

/// What a request is to be told, as far as it has been.
#[derive(Debug)]
enum Expected {
    One(Option<String>),
    /// The sum of its parts, or the first error.
    Sum(Vec<Option<String>>),
    /// All elements of its parts, or the first error.
    Keys(Vec<Option<String>>),
}

#[derive(Default)]
struct World {
    replies: Replies,
    flights: [Flight<Waiter>; LINKS],
    nodes: [Node; LINKS],
    /// By id, in the order of requests.
    requests: Vec<(Expected, Heard)>,
    /// The writes among them, and how often a node may have executed each.
    writes: HashMap<usize, usize>,
    output: Vec<u8>,
    /// The request whose reply was torn: the client has left.
    torn: Option<usize>,
}

fn heard(heard: bool) -> Heard {
    if heard { Heard::Heard } else { Heard::Muted }
}

impl World {
    fn run(&mut self, step: Step) {
        if self.torn.is_some() {
            return;
        }
        match step {
            Step::Ask { link, write, heard: wanted } => {
                let id = self.requests.len();
                let ticket = self.replies.expect(heard(wanted));
                self.requests.push((Expected::One(None), heard(wanted)));
                if write {
                    self.writes.insert(id, 0);
                }
                self.push(link, Waiter { told: Some((ticket, None)), id, write });
            }
            Step::AskPiece { link, commands, heard: wanted } => {
                let id = self.requests.len();
                let ticket = self.replies.expect(heard(wanted));
                self.requests.push((Expected::One(None), heard(wanted)));
                self.writes.insert(id, 0);
                let waiter = Waiter { told: Some((ticket, None)), id, write: true };
                let piece = format!("{}{id};", format!("{id},;").repeat(commands));
                self.flights[link].push(waiter, |bytes| bytes.extend_from_slice(piece.as_bytes()));
            }
            Step::AskAll { heard } => {
                self.ask_all(MergeRule::Sum, Expected::Sum(vec![None; LINKS]), heard);
            }
            Step::AskKeys { heard } => {
                self.ask_all(MergeRule::Concat, Expected::Keys(vec![None; LINKS]), heard);
            }
            Step::Say { heard: wanted } => {
                let text = format!("+said {}\r\n", self.requests.len());
                self.replies.say(heard(wanted), |out| out.extend_from_slice(text.as_bytes()));
                self.requests.push((Expected::One(Some(text)), heard(wanted)));
            }
            Step::SocketTakes { link, count } => {
                let flight = &mut self.flights[link];
                let count = count.min(flight.unsent().len());
                self.nodes[link].received.extend_from_slice(&flight.unsent()[..count]);
                flight.wrote(count);
            }
            Step::NodeAnswers { link, count } => (0..count).for_each(|_| self.answer(link)),
            Step::NodeSends { link, count } => self.send_in_part(link, count),
            Step::Break { link } => self.break_link(link),
            Step::TimeOut { link } => self.time_out(link),
            Step::Withdraw { link, count } => {
                let mut left = count;
                let withdrawn = self.flights[link].withdraw(|_| {
                    left = left.saturating_sub(1);
                    left > 0
                });
                withdrawn.into_iter().for_each(|waiter| self.tell(waiter, LOST));
            }
            Step::TakeBack { link } => {
                if let Some(waiter) = self.flights[link].take_back() {
                    self.tell(waiter, LOST);
                }
            }
            Step::ClientReads { count } => {
                let mut left = count;
                while left > 0 && !self.replies.unsent().is_empty() {
                    let count = left.min(self.replies.unsent().len());
                    self.output.extend_from_slice(&self.replies.unsent()[..count]);
                    self.replies.wrote(count);
                    left -= count;
                }
            }
        }
    }

    fn push(&mut self, link: usize, waiter: Waiter) {
        self.flights[link]
            .push(waiter, |bytes| bytes.extend_from_slice(format!("{};", waiter.id).as_bytes()));
    }

    fn ask_all(&mut self, rule: MergeRule, expected: Expected, wanted: bool) {
        let id = self.requests.len();
        let ticket = self.replies.gather(Gather::new(LINKS, Merge::Rule(rule), 0), heard(wanted));
        self.requests.push((expected, heard(wanted)));
        for (part, link) in (0u32..).zip(0..LINKS) {
            self.push(link, Waiter { told: Some((ticket, Some(part))), id, write: false });
        }
    }

    /// The node executes the next whole request that it has. The reply; None: there is none that a client hears.
    fn execute(&mut self, link: usize) -> Option<String> {
        let received = &mut self.nodes[link].received;
        let end = received.iter().position(|&byte| byte == b';')?;
        let text = String::from_utf8(received[..end].to_vec()).unwrap();
        received.drain(..=end);
        let waiter = *self.flights[link].oldest().expect("a whole request was sent");
        if let Some(id) = text.strip_suffix(',') {
            assert_eq!(waiter.id.to_string(), id, "nothing comes between the commands of a piece");
            return None;
        }
        let id: usize = text.parse().unwrap();
        assert_eq!(waiter.id, id, "replies are told to whoever asked");
        self.executed(id);
        Some(match (&self.requests[id].0, waiter.told) {
            (Expected::Keys(_), Some((_, Some(part)))) => elements(id, part as usize + 1),
            _ => format!(":{id}\r\n"),
        })
    }

    /// The next reply arrives, or the rest of the one that has begun.
    fn answer(&mut self, link: usize) {
        let rest = self.nodes[link].rest.take();
        let begun = rest.is_some();
        let Some(reply) = rest.or_else(|| self.execute(link)) else { return };
        let waiter = self.flights[link].answered().expect("a whole request was sent");
        match waiter.told {
            Some((ticket, None)) if begun => self.replies.deliver_rest(ticket, reply.as_bytes()),
            Some((ticket, Some(part))) if begun => self.replies.deliver_part(ticket, part, reply.as_bytes()),
            _ => self.tell(waiter, &reply),
        }
    }

    /// At most `count` bytes of a reply arrive, and not the last.
    fn send_in_part(&mut self, link: usize, count: usize) {
        let begun = self.nodes[link].rest.take();
        let fresh = begun.is_none();
        let Some(reply) = begun.or_else(|| self.execute(link)) else { return };
        let waiter = *self.flights[link].oldest().expect("it was sent");
        if let Some((_, part)) = waiter.told.filter(|_| fresh) {
            let told = reply.clone();
            match (part, &mut self.requests[waiter.id].0) {
                (None, Expected::One(known)) => *known = Some(told),
                (Some(part), Expected::Sum(parts) | Expected::Keys(parts)) => {
                    parts[part as usize] = Some(told);
                }
                _ => panic!("a part of what has none, or the whole of parts"),
            }
        }
        let (piece, rest) = reply.split_at(count.min(reply.len() - 1));
        match waiter.told {
            Some((ticket, None)) => self.replies.deliver_piece(ticket, piece.as_bytes()),
            Some((ticket, Some(part))) => self.replies.deliver_piece_of_part(ticket, part, piece.as_bytes()),
            None => {}
        }
        self.nodes[link].rest = Some(rest.to_owned());
    }

    /// No more will come of the reply that has begun on this link. False: the client had its beginning.
    fn interrupt(&mut self, waiter: Waiter) -> bool {
        let Some((ticket, part)) = waiter.told else { return true };
        if self.replies.restart(ticket, part).is_err() {
            self.torn = Some(waiter.id);
            return false;
        }
        match (part, &mut self.requests[waiter.id].0) {
            (None, Expected::One(told)) => *told = None,
            (Some(part), Expected::Sum(parts) | Expected::Keys(parts)) => parts[part as usize] = None,
            _ => panic!("a part of what has none, or the whole of parts"),
        }
        true
    }

    fn executed(&mut self, id: usize) {
        if let Some(times) = self.writes.get_mut(&id) {
            *times += 1;
        }
    }

    fn break_link(&mut self, link: usize) {
        if self.nodes[link].rest.take().is_some() {
            let waiter = *self.flights[link].oldest().expect("its reply had begun");
            if !self.interrupt(waiter) {
                return;
            }
        }
        // What the node had received it may have executed: a write among it must never come again.
        let received = std::mem::take(&mut self.nodes[link].received);
        let whole = received.split(|&byte| byte == b';').rev().skip(1);
        // Of a piece without its end nothing runs.
        for id in whole.filter_map(|id| String::from_utf8(id.to_vec()).unwrap().parse().ok()) {
            self.executed(id);
        }
        let requests: Vec<Broken> = self.flights[link]
            .iter_mut()
            .map(|(sent, waiter)| Broken {
                sent,
                client: waiter.told.map(|_| 1),
                write: waiter.write,
                bound: false,
                worn: false,
            })
            .collect();
        let mut fates = fates_after_break(&requests).into_iter();
        let failed = self.flights[link].sift(|_, _| fates.next().unwrap());
        failed.into_iter().for_each(|waiter| self.tell(waiter, LOST));
    }

    /// The oldest request that was sent and not told is told that it took too long; its reply is dropped later.
    fn time_out(&mut self, link: usize) {
        let waiting = self.flights[link].iter_mut().enumerate();
        let late = { waiting }.find(|(_, (sent, waiter))| *sent && waiter.told.is_some()).map(
            |(number, (_, waiter))| {
                let told = *waiter;
                waiter.told = None;
                (number, told)
            },
        );
        let Some((number, told)) = late else { return };
        let begun = number == 0 && self.nodes[link].rest.is_some();
        if !begun || self.interrupt(told) {
            self.tell(told, LOST);
        }
    }

    fn tell(&mut self, waiter: Waiter, reply: &str) {
        let Some((ticket, part)) = waiter.told else { return };
        match (part, &mut self.requests[waiter.id].0) {
            (None, Expected::One(told)) => {
                assert_eq!(told.replace(reply.to_owned()), None, "told once");
                self.replies.deliver(ticket, reply.as_bytes());
            }
            (Some(part), Expected::Sum(parts) | Expected::Keys(parts)) => {
                assert_eq!(parts[part as usize].replace(reply.to_owned()), None, "told once");
                self.replies.deliver_part(ticket, part, reply.as_bytes());
            }
            _ => panic!("a part of what has none, or the whole of parts"),
        }
    }

    /// Everything that is still under way comes to its end.
    fn finish(&mut self) {
        if self.torn.is_some() {
            return;
        }
        for link in 0..LINKS {
            self.run(Step::SocketTakes { link, count: usize::MAX });
            while !self.flights[link].is_empty() {
                self.answer(link);
            }
            assert_eq!(self.flights[link].bytes_held(), 0);
        }
        self.run(Step::ClientReads { count: usize::MAX });
        assert!(self.replies.is_settled());
        assert_eq!((self.replies.outstanding(), self.replies.bytes()), (0, 0));
    }

    /// What the client should have read; of a torn reply some of it, and nothing behind.
    fn expected_output(&self) -> String {
        let told = |id: usize| match &self.requests[id].0 {
            Expected::One(reply) => reply.clone().expect("told in the end"),
            Expected::Sum(parts) | Expected::Keys(parts)
                if parts.iter().any(|part| part.as_deref() == Some(LOST)) =>
            {
                LOST.to_owned()
            }
            Expected::Sum(_) => format!(":{}\r\n", id * LINKS),
            Expected::Keys(_) => elements(id, LINKS * (LINKS + 1) / 2),
        };
        let until = self.torn.map_or(self.requests.len(), |torn| torn + 1);
        (0..until).filter(|&id| self.requests[id].1 == Heard::Heard).map(told).collect()
    }
}

/// An array of one element, several times.
fn elements(id: usize, count: usize) -> String {
    format!("*{count}\r\n{}", format!(":{id}\r\n").repeat(count))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_client_reads_its_replies_in_order_whatever_happens(steps in prop::collection::vec(step(), 1..300)) {
        let mut world = World::default();
        steps.into_iter().for_each(|step| world.run(step));
        world.finish();
        let output = String::from_utf8(std::mem::take(&mut world.output)).unwrap();
        match world.torn {
            None => prop_assert_eq!(output, world.expected_output()),
            Some(_) => prop_assert!(world.expected_output().starts_with(&output)),
        }
        prop_assert!(world.writes.values().all(|&times| times <= 1), "a write was executed twice");
    }
}
