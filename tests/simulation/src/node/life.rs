//! The beginning and the end of a process, and the disk, which outlives it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use slotway_cluster::{
    Epoch, Incarnation,
    member::Shard,
    mutants::{Mutant, left_out},
    pulse::{Boot, Identity, Lease, Life, Pulse, wire::Part},
    replication::{HistoryId, Offset},
    session,
};

use super::{Desk, Process, Thread, Vitals};
use crate::{
    net::{ConnId, End, Side, Word},
    stream::Stream,
    tell,
    world::{Happening, World},
};

#[derive(Debug, Default)]
pub struct Disk {
    /// `appendfsync always`: acknowledgements and promises wait until they are on the disk, and a life goes on over a restart.
    pub keeps: bool,
    pub identity: Option<Identity>,
    pub promised: Epoch,
    pub incarnation: Option<Incarnation>,
    pub stream: Option<Stream>,
}

impl World {
    pub fn start_node(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        self.nodes[node].life += 1;
        let (life, clock) = (self.nodes[node].life, self.clock(node));
        let mut name = [0; 20];
        name[..8].copy_from_slice(&self.chance.draw().to_be_bytes());
        let drawn = Incarnation(self.chance.draw());
        let disk = &mut self.nodes[node].disk;
        let goes_on = disk.keeps || left_out(Mutant::KeepIncarnationEmpty);
        let kept = disk.incarnation.filter(|_| goes_on);
        let incarnation = kept.unwrap_or(drawn);
        disk.incarnation = Some(incarnation);
        let stream = disk.stream.take().filter(|_| disk.keeps);
        let stream = stream.unwrap_or_else(|| Stream::empty(HistoryId::from_random(name)));
        let life_of = kept.map_or(Life::New, |_| Life::Kept { promised: disk.promised });
        let boot = Boot { incarnation, identity: disk.identity.clone(), life: life_of };
        let process = Process {
            incarnation,
            pulse: Pulse::new(&boot, clock),
            pulse_desk: Desk::default(),
            shard: Shard::new(&boot, stream.position()),
            keys_desk: Desk::default(),
            vitals: Vitals {
                promised: kept.map_or(Epoch(0), |_| disk.promised),
                lease: Lease::default(),
                position: stream.position(),
                busy_since: None,
            },
            part: Part::None,
            proposal: None,
            busy_until: Duration::ZERO,
            synced: stream.end(),
            told: stream.end(),
            stream,
            orders: None,
            leading: None,
            serving: None,
            too_few_copies: false,
            committed: Offset(0),
            waiting: VecDeque::new(),
            held_key: None,
            sessions: session::Primary::default(),
            session_links: BTreeMap::new(),
            withheld: VecDeque::new(),
            links: BTreeMap::new(),
            replicas: BTreeMap::new(),
            following: None,
            upstream: None,
            primary_heard: self.now,
            ack_waits: None,
            handshake_epoch: Epoch(0),
        };
        tell!(self, "n{} starts as {incarnation} with {}", node + 1, process.vitals.position);
        self.nodes[node].process = Some(process);
        self.nodes[node].paused_until = None;
        for thread in [Thread::Pulse, Thread::Keyspace] {
            let soon = self.chance.between(Duration::ZERO, self.plan.tick);
            self.plan_in(soon, Happening::Tick { node, life, thread });
        }
    }

    /// kill -9: the kernel closes its connections; what was written and not synced may or may not be found again.
    pub fn crash_node(&mut self, node: usize) {
        let Some(mut process) = self.nodes[node].process.take() else { return };
        tell!(self, "n{} dies", node + 1);
        self.nodes[node].paused_until = None;
        let written = process.told.0.min(process.stream.end().0);
        let unsynced = written.saturating_sub(process.synced.0);
        let kept = Offset(process.synced.0 + self.chance.below(unsynced + 1));
        process.stream.cut(kept, HistoryId::NONE);
        self.nodes[node].disk.stream = Some(process.stream);
        let conns: Vec<(ConnId, bool)> = {
            let ours = |end: End| end == End::Node(node);
            let conns = self.net.conns.iter();
            let conns = conns.filter(|(_, conn)| conn.callee == node || ours(conn.caller));
            conns.map(|(id, conn)| (*id, ours(conn.caller))).collect()
        };
        for (conn, is_caller) in conns {
            // Unread bytes in its sockets make a reset of the end: what it had sent may be lost, too.
            if let Some(found) = self.net.conns.get_mut(&conn) {
                let pipe = found.pipe(if is_caller { Side::Callee } else { Side::Caller });
                let kept = self.chance.index(pipe.words.len() + 1);
                pipe.lose_behind(kept);
            }
            self.close(conn, if is_caller { Side::Caller } else { Side::Callee });
        }
        for proxy in 0..self.proxies.len() {
            if self.net.reaches(End::Node(node), End::Proxy(proxy)) {
                let (life, delay) = (self.proxies[proxy].life, self.delay());
                self.plan_in(delay, Happening::Refused { proxy, life, node });
            }
        }
    }

    /// SIGSTOP. Half of the time it strikes right behind a look at the clock.
    pub fn pause_node(&mut self, node: usize, for_long: Duration) {
        let (until, clock) = (self.now + for_long, self.clock(node));
        let has_looked = self.chance.per_mille(500);
        tell!(self, "n{} is stopped for {for_long:?}", node + 1);
        self.nodes[node].paused_until = Some(until);
        let Some(process) = self.process(node) else { return };
        if has_looked {
            process.keys_desk.look(clock);
            process.pulse_desk.look(clock);
        }
    }

    pub fn resume_node(&mut self, node: usize) {
        self.nodes[node].paused_until = None;
        // Which of its threads runs first is chance.
        self.wake(node, Thread::Keyspace);
        self.wake(node, Thread::Pulse);
    }

    /// A command that takes this long.
    pub fn busy_node(&mut self, node: usize, for_long: Duration) {
        let now = self.now;
        tell!(self, "n{} is busy for {for_long:?}", node + 1);
        let Some(process) = self.process(node) else { return };
        process.busy_until = now + for_long;
        process.vitals.busy_since = Some(now);
    }

    /// A word on a connection to this node, if it is the process that was called.
    pub fn node_hears(&mut self, node: usize, life: u32, conn: ConnId, word: Word) {
        if self.is_alive(node, life) {
            self.tell_keys(node, super::KeysIn::Word(conn, word));
        } else {
            self.close(conn, Side::Callee);
        }
    }
}
