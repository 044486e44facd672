//! A node: a process with two threads around the real machines, and what outlives it.
//!
//! The pulse thread drives [`Pulse`], the keyspace thread [`Shard`]. Each has a line of what came in and a line of effects that it has not
//! performed yet; it performs one thing after the other, and now and then something else happens in between ([`crate::plan::Plan`] says
//! how often): a message to the other thread, a pause of the process, its death. What the two share is [`Vitals`].

mod life;

mod pulse_thread;

mod keyspace;

mod requests;

mod replicas;

mod replica;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use slotway_cluster::{
    Entry, Epoch, Incarnation, Member, NodeId, Position,
    member::{self, Shard},
    mutants::{Mutant, left_out},
    pulse::{
        self, Lease, Order, Pulse,
        wire::{Orders, Part},
    },
    replication::Offset,
    session::{self, Author, Counter, Greeting, Number, SessionId},
};

pub use life::Disk;
pub use pulse_thread::PulseIn;

use crate::{
    clients::OpId,
    net::{ConnId, Word},
    stream::{Key, Stream},
    world::{Happening, World},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thread {
    Pulse,
    Keyspace,
}

#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    pub disk: Disk,
    /// Parts per million by which its clock runs too fast.
    pub drift_ppm: i64,
    /// Counts its processes.
    pub life: u32,
    pub process: Option<Process>,
    /// Stopped by a signal: until when.
    pub paused_until: Option<Duration>,
}

#[derive(Debug)]
pub struct Process {
    pub incarnation: Incarnation,
    pub pulse: Pulse,
    pub pulse_desk: Desk<PulseIn, pulse::Effect>,
    pub shard: Shard,
    pub keys_desk: Desk<KeysIn, member::Effect>,
    pub vitals: Vitals,
    /// As the keyspace machine last said.
    pub part: Part,
    pub proposal: Option<Entry>,
    pub busy_until: Duration,
    pub stream: Stream,
    /// What of it is on the disk, if that matters.
    pub synced: Offset,
    /// What was told to the machine and sent to replicas.
    pub told: Offset,
    pub orders: Option<Orders>,
    pub leading: Option<Epoch>,
    pub serving: Option<Epoch>,
    pub too_few_copies: bool,
    pub committed: Offset,
    /// Requests that were read and wait to be executed.
    pub waiting: VecDeque<Waiting>,
    /// Requests on this key wait, whatever else goes on.
    pub held_key: Option<Key>,
    /// What this primary knows of sessions, and by which connection each comes.
    pub sessions: session::Primary,
    pub session_links: BTreeMap<SessionId, ConnId>,
    /// Replies that wait at the gate.
    pub withheld: VecDeque<Withheld>,
    pub links: BTreeMap<ConnId, Link>,
    pub replicas: BTreeMap<ConnId, replicas::Downstream>,
    pub following: Option<(Member, Epoch)>,
    pub upstream: Option<replica::Upstream>,
    pub primary_heard: Duration,
    pub ack_waits: Option<(Epoch, Position)>,
    pub handshake_epoch: Epoch,
}

/// What both threads see at once.
#[derive(Debug)]
pub struct Vitals {
    pub promised: Epoch,
    pub lease: Lease,
    pub position: Position,
    pub busy_since: Option<Duration>,
}

/// What a thread has before it.
#[derive(Debug)]
pub struct Desk<I, E> {
    pub inbox: VecDeque<I>,
    pub todo: VecDeque<E>,
    is_woken: bool,
    /// The clock as it was when the thread last came back from waiting.
    pub looked_at: Duration,
    is_asleep: bool,
}

/// What the keyspace thread is told or reads.
#[derive(Debug)]
pub enum KeysIn {
    Order(Order),
    Seen(Epoch),
    /// On a connection that somebody else made.
    Word(ConnId, Word),
    /// On the connection to the primary.
    Upstream(ConnId, Word),
    /// The log says that this life of a proxy is over.
    ProxyGone(Incarnation),
    Tick,
}

/// A proxy's data link.
#[derive(Debug)]
pub struct Link {
    pub epoch: Epoch,
    /// Requests wait for orders of this version.
    pub version: u64,
    /// Once SESSION was answered.
    pub counter: Option<Counter>,
    /// Requests that were read, and what is answered out of turn: replies leave in the order of requests.
    pub owed: VecDeque<OpId>,
    pub early: BTreeMap<OpId, Word>,
}

/// What waits to be executed.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub conn: ConnId,
    pub what: Asked,
}

#[derive(Debug, Clone)]
pub enum Asked {
    Request {
        op: OpId,
        /// A write on a link of a session.
        author: Option<Author>,
        /// Below it the proxy has every reply.
        floor: Option<Number>,
    },
    Session(Greeting),
}

/// What came of having a thread look at its desk.
#[derive(Debug, Clone, Copy)]
enum Step {
    Nothing,
    Did,
    /// For the disk.
    Waits(Duration),
}

#[derive(Debug)]
pub struct Withheld {
    /// It leaves once this is committed.
    pub offset: Offset,
    /// What it could have seen.
    pub saw: Offset,
    pub conn: ConnId,
    pub word: Word,
}

impl<I, E> Default for Desk<I, E> {
    fn default() -> Desk<I, E> {
        Desk {
            inbox: VecDeque::new(),
            todo: VecDeque::new(),
            is_woken: false,
            looked_at: Duration::ZERO,
            is_asleep: true,
        }
    }
}

impl<I, E> Desk<I, E> {
    /// As if the thread had just come back from waiting when the process was stopped.
    pub fn look(&mut self, clock: Duration) {
        self.is_asleep = false;
        self.looked_at = clock;
    }
}

impl Node {
    pub fn member(&self) -> Option<Member> {
        self.process.as_ref().map(|process| Member::new(&self.id, process.incarnation))
    }
}

impl Process {
    /// What this node says it holds.
    pub fn position(&self) -> Position {
        let mut position = self.stream.position();
        if left_out(Mutant::EpochByHandshake) {
            position.epoch = position.epoch.max(self.handshake_epoch);
        }
        position
    }
}

impl World {
    /// A node's own clock, which runs a little too fast or too slow.
    pub fn clock(&self, node: usize) -> Duration {
        let micros = i64::try_from(self.now.as_micros()).unwrap_or(i64::MAX);
        let drift = micros / 1000 * self.nodes[node].drift_ppm / 1000;
        // Nobody's clock starts where another's does.
        let start = Duration::from_secs(1 + 10 * u64::try_from(node).unwrap_or(0));
        start + Duration::from_micros(u64::try_from(micros + drift).unwrap_or(0))
    }

    pub fn process(&mut self, node: usize) -> Option<&mut Process> {
        self.nodes[node].process.as_mut()
    }

    pub fn is_alive(&self, node: usize, life: u32) -> bool {
        self.nodes[node].life == life && self.nodes[node].process.is_some()
    }

    /// Has a thread look at its desk, soon.
    pub fn wake(&mut self, node: usize, thread: Thread) {
        let life = self.nodes[node].life;
        let Some(process) = self.process(node) else { return };
        let is_woken = match thread {
            Thread::Pulse => &mut process.pulse_desk.is_woken,
            Thread::Keyspace => &mut process.keys_desk.is_woken,
        };
        if !std::mem::replace(is_woken, true) {
            let soon = Duration::from_micros(5 + self.chance.below(40));
            self.plan_in(soon, Happening::Run { node, life, thread });
        }
    }

    pub fn tell_keys(&mut self, node: usize, what: KeysIn) {
        if let Some(process) = self.process(node) {
            process.keys_desk.inbox.push_back(what);
            self.wake(node, Thread::Keyspace);
        }
    }

    pub fn run_thread(&mut self, node: usize, life: u32, thread: Thread) {
        if !self.is_alive(node, life) {
            return;
        }
        let (now, clock) = (self.now, self.clock(node));
        let paused_until = self.nodes[node].paused_until;
        let Some(process) = self.process(node) else { return };
        let stands_until = match thread {
            Thread::Keyspace if process.busy_until > now => Some(process.busy_until.max(now)),
            Thread::Keyspace | Thread::Pulse => None,
        };
        if let Some(until) = paused_until.max(stands_until) {
            self.plan_at(until, Happening::Run { node, life, thread });
            return;
        }
        let (is_asleep, is_woken, looked_at) = match thread {
            Thread::Pulse => {
                let desk = &mut process.pulse_desk;
                (&mut desk.is_asleep, &mut desk.is_woken, &mut desk.looked_at)
            }
            Thread::Keyspace => {
                let desk = &mut process.keys_desk;
                (&mut desk.is_asleep, &mut desk.is_woken, &mut desk.looked_at)
            }
        };
        *is_woken = false;
        if std::mem::replace(is_asleep, false) {
            *looked_at = clock;
        }
        self.work(node, life, thread);
    }

    fn work(&mut self, node: usize, life: u32, thread: Thread) {
        loop {
            let step = match thread {
                Thread::Pulse => self.pulse_step(node),
                Thread::Keyspace => self.keyspace_step(node),
            };
            if self.violation.is_some() || !self.is_alive(node, life) {
                return;
            }
            let gap = match step {
                Step::Nothing => break,
                Step::Did if self.chance.per_mille(self.plan.gap_per_mille) => {
                    Some(self.chance.between(Duration::ZERO, self.plan.gap_max))
                }
                Step::Did => None,
                Step::Waits(wait) => Some(wait),
            };
            if let Some(gap) = gap {
                let Some(process) = self.process(node) else { return };
                match thread {
                    Thread::Pulse => process.pulse_desk.is_woken = true,
                    Thread::Keyspace => process.keys_desk.is_woken = true,
                }
                self.plan_in(gap, Happening::Run { node, life, thread });
                return;
            }
        }
        let Some(process) = self.process(node) else { return };
        match thread {
            Thread::Pulse => process.pulse_desk.is_asleep = true,
            Thread::Keyspace => process.keys_desk.is_asleep = true,
        }
    }

    pub fn tick_thread(&mut self, node: usize, life: u32, thread: Thread) {
        if !self.is_alive(node, life) {
            return;
        }
        self.plan_in(self.plan.tick, Happening::Tick { node, life, thread });
        match thread {
            Thread::Pulse => self.tell_pulse(node, PulseIn::Tick),
            Thread::Keyspace => {
                let Some(process) = self.process(node) else { return };
                if !process.keys_desk.inbox.iter().any(|what| matches!(what, KeysIn::Tick)) {
                    self.tell_keys(node, KeysIn::Tick);
                }
            }
        }
    }
}
