//! The world of a run: everything there is, the line of what will happen, and the loop that lets it happen.
//!
//! Whatever takes time is a [`Happening`] at a moment of virtual time. Those of one moment happen in the order in which they were
//! planned; so with [`Chance`] as the only source of choice, a seed is a run. What happens is told in [`crate::node`], [`crate::proxy`],
//! [`crate::group`] and [`crate::weather`]; here is the clockwork.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Duration,
};

use slotway_cluster::{
    Entry, Incarnation,
    pulse::wire::{FromNode, ToNode},
};

use crate::{
    chance::Chance,
    clients::{Book, Client, OpId},
    group::Group,
    invariants::{Violation, Witness},
    net::{ConnId, End, Net, Side, Word},
    node::{Node, Thread},
    plan::Plan,
    proxy::Proxy,
    weather::Fault,
};

/// What will happen.
#[derive(Debug)]
pub enum Happening {
    /// A thread of a node goes on, if the process is still in that life.
    Run {
        node: usize,
        life: u32,
        thread: Thread,
    },
    /// The thread's timer.
    Tick {
        node: usize,
        life: u32,
        thread: Thread,
    },
    /// What was written by a node has reached its disk.
    Synced {
        node: usize,
        life: u32,
        end: u64,
    },
    /// The first word that is under way on a connection arrives.
    Arrive {
        conn: ConnId,
        to: Side,
    },
    ToPulse {
        node: usize,
        from: End,
        word: ToNode,
    },
    FromPulse {
        node: usize,
        life: u32,
        to: End,
        word: FromNode,
    },
    /// A proxy's pulse connection to a node was refused or reset.
    Refused {
        proxy: usize,
        life: u32,
        node: usize,
    },
    /// A proposal reaches the log.
    Commit {
        entry: Entry,
    },
    Learn {
        proxy: usize,
        life: u32,
    },
    ProxyTick {
        proxy: usize,
        life: u32,
    },
    /// A proxy tries again what it holds.
    Pump {
        proxy: usize,
        life: u32,
    },
    Opinions {
        from: usize,
        to: usize,
        opinions: crate::proxy::Opinions,
    },
    /// Nodes learn that this life of a proxy is over.
    ProxyGone {
        proxy: Incarnation,
    },
    /// A client thinks of its next request.
    Ask {
        client: usize,
    },
    /// A request has been held for as long as a proxy may.
    Expire {
        op: OpId,
    },
    /// An operator removes a node; it is seen whether it is gone; another comes in its place.
    Removal,
    Leaves {
        node: usize,
        looks: u32,
    },
    Joins {
        node: usize,
    },
    /// The weather changes.
    Weather,
    Ends {
        fault: Fault,
    },
    /// No more faults: everything heals.
    Heal,
    /// Everything should be available.
    Judge,
}

struct Planned {
    at: Duration,
    number: u64,
    what: Happening,
}

pub struct World {
    pub now: Duration,
    pub chance: Chance,
    pub plan: Plan,
    pub net: Net,
    pub nodes: Vec<Node>,
    pub proxies: Vec<Proxy>,
    pub clients: Vec<Client>,
    pub book: Book,
    pub group: Group,
    pub witness: Witness,
    pub violation: Option<Violation>,
    pub is_over: bool,
    /// When the storm ended.
    pub healed_at: Option<Duration>,
    pub happened: u64,
    pub trace: Option<Vec<String>>,
    line: BinaryHeap<Reverse<Planned>>,
    planned: u64,
}

/// Tells a line of the story, if anybody listens.
#[macro_export]
macro_rules! tell {
    ($world:expr, $($text:tt)*) => {
        if $world.trace.is_some() {
            let line = format!($($text)*);
            $world.told(line);
        }
    };
}

impl World {
    pub fn new(plan: Plan, trace: bool) -> World {
        let chance = Chance::from_seed(plan.seed);
        World {
            now: Duration::from_secs(1),
            chance,
            plan,
            net: Net::default(),
            nodes: Vec::new(),
            proxies: Vec::new(),
            clients: Vec::new(),
            book: Book::default(),
            group: Group::default(),
            witness: Witness::default(),
            violation: None,
            is_over: false,
            healed_at: None,
            happened: 0,
            trace: trace.then(Vec::new),
            line: BinaryHeap::new(),
            planned: 0,
        }
    }

    /// Lets everything happen until the end, or until a rule is broken.
    pub fn run(&mut self) {
        while self.violation.is_none() && !self.is_over && self.step() {}
    }

    /// The next thing happens. False if nothing is left.
    pub fn step(&mut self) -> bool {
        let Some(Reverse(next)) = self.line.pop() else { return false };
        self.now = self.now.max(next.at);
        self.happened += 1;
        self.happen(next.what);
        true
    }

    pub fn run_until(&mut self, until: Duration) {
        while self.violation.is_none() && !self.is_over {
            match self.line.peek() {
                Some(Reverse(next)) if next.at <= until => self.step(),
                _ => break,
            };
        }
        self.now = self.now.max(until);
    }

    pub fn plan_at(&mut self, at: Duration, what: Happening) {
        self.planned += 1;
        self.line.push(Reverse(Planned { at, number: self.planned, what }));
    }

    pub fn plan_in(&mut self, wait: Duration, what: Happening) {
        self.plan_at(self.now + wait, what);
    }

    /// A rule is broken: the run ends.
    pub fn break_rule(&mut self, rule: &'static str, how: String) {
        tell!(self, "BROKEN {rule}: {how}");
        self.violation.get_or_insert(Violation { rule, how });
    }

    pub fn told(&mut self, line: String) {
        let at = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>10.4} {line}", at.as_secs_f64()));
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Run { node, life, thread } => self.run_thread(node, life, thread),
            Happening::Tick { node, life, thread } => self.tick_thread(node, life, thread),
            Happening::Synced { node, life, end } => self.synced(node, life, end),
            Happening::Arrive { conn, to } => self.arrive(conn, to),
            Happening::ToPulse { node, from, word } => self.pulse_hears(node, from, word),
            Happening::FromPulse { node, life, to, word } => self.heard_from_pulse(node, life, to, word),
            Happening::Refused { proxy, life, node } => self.proxy_refused(proxy, life, node),
            Happening::Commit { entry } => self.commit(entry),
            Happening::Learn { proxy, life } => self.learn(proxy, life),
            Happening::ProxyTick { proxy, life } => self.proxy_tick(proxy, life),
            Happening::Pump { proxy, life } => self.pump(proxy, life),
            Happening::Opinions { from, to, opinions } => self.hear_opinions(from, to, opinions),
            Happening::ProxyGone { proxy } => self.proxy_is_gone(proxy),
            Happening::Ask { client } => self.ask(client),
            Happening::Expire { op } => self.expire(op),
            Happening::Removal => self.part_with_one(),
            Happening::Leaves { node, looks } => self.see_whether_gone(node, looks),
            Happening::Joins { node } => self.add(node),
            Happening::Weather => self.change_weather(),
            Happening::Ends { fault } => self.end_fault(fault),
            Happening::Heal => self.heal(),
            Happening::Judge => self.judge(),
        }
    }

    // --- the network -------------------------------------------------------------------------------------------------

    /// How long something is under way.
    pub fn delay(&mut self) -> Duration {
        let (least, most) = self.plan.delay;
        let far = self.chance.per_mille(self.plan.slow_per_mille);
        self.chance.between(least, if far { most * 20 } else { most })
    }

    /// Says a word on a connection, unless this direction has ended.
    pub fn send(&mut self, conn: ConnId, to: Side, word: Word) {
        let delay = self.delay();
        self.send_late(conn, to, word, delay);
    }

    pub fn send_late(&mut self, conn: ConnId, to: Side, word: Word, delay: Duration) {
        let at = self.now + delay;
        let Some(found) = self.net.conns.get_mut(&conn) else { return };
        let pipe = found.pipe(to);
        if pipe.is_closed {
            return;
        }
        pipe.is_closed = matches!(word, Word::End);
        let at = pipe.push(at, word);
        self.plan_at(at, Happening::Arrive { conn, to });
    }

    fn arrive(&mut self, id: ConnId, to: Side) {
        let now = self.now;
        let Some(conn) = self.net.conns.get_mut(&id) else { return };
        let (from, end) = conn.way(to);
        let (callee, life) = (conn.callee, conn.callee_life);
        if self.net.cuts.contains(&(from, end)) {
            return;
        }
        let pipe = conn.pipe(to);
        let Some((at, _)) = pipe.words.front() else { return };
        if *at > now {
            return;
        }
        let Some((_, word)) = pipe.words.pop_front() else { return };
        let is_end = matches!(word, Word::End);
        match to {
            Side::Callee => self.node_hears(callee, life, id, word),
            Side::Caller => match end {
                End::Node(node) => self.caller_hears(node, id, word),
                End::Proxy(proxy) => self.proxy_hears(proxy, id, word),
                End::Group => {}
            },
        }
        if is_end {
            self.forget_if_over(id);
        }
    }

    /// A connection ends by itself: what is under way is lost from somewhere on, then both sides see the end.
    pub fn break_conn(&mut self, id: ConnId) {
        for to in [Side::Callee, Side::Caller] {
            let Some(conn) = self.net.conns.get_mut(&id) else { return };
            let pipe = conn.pipe(to);
            let kept = self.chance.index(pipe.words.len() + 1);
            pipe.lose_behind(kept);
            self.send(id, to, Word::End);
        }
    }

    /// One side ends it; the other sees that behind what was under way.
    pub fn close(&mut self, id: ConnId, by: Side) {
        let other = match by {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        };
        self.send(id, other, Word::End);
        if let Some(conn) = self.net.conns.get_mut(&id) {
            let own = conn.pipe(by);
            own.words.clear();
            own.is_closed = true;
        }
        self.forget_if_over(id);
    }

    fn forget_if_over(&mut self, id: ConnId) {
        let over = |conn: &crate::net::Conn| {
            conn.is_over() && conn.to_callee.words.is_empty() && conn.to_caller.words.is_empty()
        };
        if self.net.conns.get(&id).is_some_and(over) {
            self.net.conns.remove(&id);
        }
    }

    /// Behind a change of what reaches whom: what waited arrives.
    pub fn flush_ways(&mut self) {
        let ids: Vec<(ConnId, usize, usize)> = {
            let conns = self.net.conns.iter();
            conns.map(|(id, conn)| (*id, conn.to_callee.words.len(), conn.to_caller.words.len())).collect()
        };
        for (conn, to_callee, to_caller) in ids {
            for _ in 0..to_callee {
                self.plan_in(Duration::ZERO, Happening::Arrive { conn, to: Side::Callee });
            }
            for _ in 0..to_caller {
                self.plan_in(Duration::ZERO, Happening::Arrive { conn, to: Side::Caller });
            }
        }
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        self.number == other.number
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Planned) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
