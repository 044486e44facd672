//! Requests and sessions of proxies: what runs, what waits, what was run before, and the gate for replies.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use slotway_cluster::{
    Epoch, Incarnation,
    mutants::{Mutant, left_out},
    replication::Offset,
    session::{Author, Counter, Greeting, Judged, Known, Number, Rebuilt, Reply, SessionId, sender::Kind},
};

use super::{Asked, Link, Process, Waiting, Withheld};
use crate::{
    clients::{Answer, OpId},
    net::{ConnId, Side, Word},
    stream::{Key, LOCK, Outcome, What, Write, slot},
    tell,
    world::World,
};

/// What may happen to a request now.
enum May {
    Run,
    Wait,
    /// Not here: whoever is behind fetches.
    Stale,
}

impl World {
    pub(super) fn read_word(&mut self, node: usize, conn: ConnId, word: Word) {
        match word {
            Word::Sync { shard, epoch, member, held, history } => {
                self.replica_comes(node, conn, (shard, epoch), member, (held, history));
            }
            Word::Ack(held) => self.replica_acks(node, conn, held),
            Word::Link { epoch, version, session } => self.proxy_comes(node, conn, (epoch, version), session),
            Word::Request(op, next) => {
                let is_write = self.book.op(op).call.is_write();
                let Some(process) = self.process(node) else { return };
                let Some(link) = process.links.get_mut(&conn) else { return };
                link.owed.push_back(op);
                if let (Some(counter), Some(next)) = (&mut link.counter, next) {
                    counter.jump(next);
                }
                let author = link.counter.as_mut().filter(|_| is_write).map(Counter::count);
                let what = Asked::Request { op, author, floor: next.map(|next| next.floor) };
                self.take(node, Waiting { conn, what });
            }
            Word::End => {
                self.replica_goes(node, conn);
                self.drop_link(node, conn);
                self.close(conn, Side::Callee);
            }
            Word::Continue { .. }
            | Word::SnapshotBegun
            | Word::Snapshot(_)
            | Word::Units(_)
            | Word::Torn(_)
            | Word::NotNow { .. }
            | Word::Linked
            | Word::Session(_)
            | Word::Reply(..)
            | Word::Stale { .. } => {}
        }
    }

    /// I2: a link carries the epoch and the version of the topology that its proxy goes by.
    fn proxy_comes(
        &mut self,
        node: usize,
        conn: ConnId,
        (epoch, version): (Epoch, u64),
        session: Option<Greeting>,
    ) {
        let Some(process) = self.process(node) else { return };
        let (own_epoch, own_version) = process.known();
        if epoch < own_epoch {
            self.send(conn, Side::Caller, Word::Stale { op: None, epoch: own_epoch, version: own_version });
            return;
        }
        let (owed, early) = (VecDeque::new(), BTreeMap::new());
        process.links.insert(conn, Link { epoch, version, counter: None, owed, early });
        match session {
            None => self.send(conn, Side::Caller, Word::Linked),
            Some(greeting) => self.take(node, Waiting { conn, what: Asked::Session(greeting) }),
        }
    }

    /// Nothing of what was read here is executed or answered any more.
    fn drop_link(&mut self, node: usize, conn: ConnId) {
        let Some(process) = self.process(node) else { return };
        process.links.remove(&conn);
        process.waiting.retain(|waiting| waiting.conn != conn);
        process.withheld.retain(|reply| reply.conn != conn);
        process.session_links.retain(|_, of| *of != conn);
    }

    /// Behind whatever of its connection waits, unless that waits for another key alone: as a connection does not read on while it waits.
    fn take(&mut self, node: usize, new: Waiting) {
        let key = self.key_of(&new.what);
        let Some(process) = &self.nodes[node].process else { return };
        let held = process.held_key;
        let mut before = process.waiting.iter().filter(|waiting| waiting.conn == new.conn);
        let waits = before.any(|waiting| {
            let other = self.key_of(&waiting.what);
            held.is_none() || other != held || other == key
        });
        if waits {
            let Some(process) = self.process(node) else { return };
            process.waiting.push_back(new);
        } else {
            self.try_request(node, new);
        }
    }

    fn key_of(&self, what: &Asked) -> Option<Key> {
        match what {
            Asked::Request { op, .. } => Some(self.book.op(*op).call.key()),
            Asked::Session(_) => None,
        }
    }

    /// What may happen to a request of this connection, by a reading of the clock.
    fn may(&self, node: usize, waiting: &Waiting, clock: Duration) -> May {
        let Some(process) = &self.nodes[node].process else { return May::Wait };
        let Some(link) = process.links.get(&waiting.conn) else { return May::Wait };
        let (epoch, version) = process.known();
        if link.version > version {
            return May::Wait;
        }
        if link.epoch < epoch || !process.is_primary(&self.nodes[node].id) {
            return May::Stale;
        }
        let is_write = matches!(waiting.what, Asked::Request { op, .. } if self.book.op(op).call.is_write());
        let has_copies = !(process.too_few_copies && is_write);
        let key = self.key_of(&waiting.what);
        let is_held = key.is_some() && key == process.held_key;
        if process.may_answer(clock) && has_copies && !is_held { May::Run } else { May::Wait }
    }

    fn try_request(&mut self, node: usize, waiting: Waiting) {
        let clock = self.clock_for_requests(node);
        match self.may(node, &waiting, clock) {
            May::Run => match waiting.what {
                Asked::Request { op, author, floor } => {
                    self.run_request(node, waiting.conn, op, (author, floor));
                }
                Asked::Session(greeting) => self.greet(node, waiting.conn, &greeting),
            },
            May::Wait => {
                if let Some(process) = self.process(node) {
                    process.waiting.push_back(waiting);
                }
            }
            May::Stale => {
                let Some(process) = self.process(node) else { return };
                let (epoch, version) = process.known();
                match waiting.what {
                    Asked::Request { op, .. } => {
                        let word = Word::Stale { op: Some(op), epoch, version };
                        self.reply_in_turn(node, waiting.conn, op, word);
                    }
                    Asked::Session(_) => {
                        self.send(waiting.conn, Side::Caller, Word::Stale { op: None, epoch, version });
                    }
                }
            }
        }
    }

    /// I6: a reading that was taken after the request was read from its socket.
    fn clock_for_requests(&self, node: usize) -> Duration {
        match &self.nodes[node].process {
            Some(process) if left_out(Mutant::LeaseByOldClock) => process.keys_desk.looked_at,
            _ => self.clock(node),
        }
    }

    /// Requests that waited, in their order.
    pub(super) fn try_waiting(&mut self, node: usize) {
        let Some(process) = self.process(node) else { return };
        let waiting = std::mem::take(&mut process.waiting);
        for one in waiting {
            self.take(node, one);
        }
    }

    pub fn hold_key(&mut self, node: usize, key: Option<Key>) {
        if let Some(process) = self.process(node) {
            process.held_key = key;
        }
    }

    // --- sessions ----------------------------------------------------------------------------------------------------

    /// SESSION runs: the older link of the session is closed first, so that nothing unread in its socket runs later.
    fn greet(&mut self, node: usize, conn: ConnId, greeting: &Greeting) {
        let Some(process) = self.process(node) else { return };
        let older = process.session_links.insert(greeting.session, conn).filter(|older| *older != conn);
        if let Some(older) = older.filter(|_| !left_out(Mutant::OldSocketRuns)) {
            tell!(self, "n{} closes the older link of {:?}", node + 1, greeting.session);
            self.drop_link(node, older);
            self.close(older, Side::Callee);
        }
        let Some(process) = self.process(node) else { return };
        let greeted = process.sessions.greet(&process.stream.table, greeting);
        let (counter, known) = greeted.expect("a run has few sessions");
        if let Some(link) = process.links.get_mut(&conn) {
            link.counter = Some(counter);
        }
        process.session_links.insert(greeting.session, conn);
        tell!(self, "n{} answers SESSION {greeting:?}: {known:?}", node + 1);
        self.withhold_known(node, conn, &known);
    }

    /// What SESSION is answered tells of writes: it waits for them like any reply.
    fn withhold_known(&mut self, node: usize, conn: ConnId, known: &Known) {
        let Some(process) = self.process(node) else { return };
        let saw = process.stream.end();
        let offset = if left_out(Mutant::SessionUngated) { Offset(0) } else { saw };
        let word = Word::Session(known.bulk());
        process.withheld.push_back(Withheld { offset, saw, conn, word });
        self.release(node);
    }

    /// A numbered write runs at most once.
    fn run_request(
        &mut self,
        node: usize,
        conn: ConnId,
        op: OpId,
        (author, floor): (Option<Author>, Option<Number>),
    ) {
        let Some(author) = author else { return self.execute(node, conn, op, None) };
        let Some(process) = self.process(node) else { return };
        if let Some(floor) = floor {
            process.sessions.raise_floor(author.session, floor);
        }
        match process.sessions.judge(&process.stream.table, author) {
            Judged::Run => self.execute(node, conn, op, Some(author)),
            Judged::Settled(reply) => {
                let (word, saw) = (Word::Reply(op, Answer::of(reply)), process.stream.end());
                process.withheld.push_back(Withheld { offset: saw, saw, conn, word });
                self.release(node);
            }
            Judged::Refused(why) => {
                self.break_rule("sessions", format!("{op:?} of {author:?} is refused: {why:?}"));
            }
        }
    }

    /// The log says that this life of a proxy is over.
    pub(super) fn forget_proxy(&mut self, node: usize, proxy: Incarnation) {
        let Some(process) = self.process(node) else { return };
        if process.serving.is_none() {
            return;
        }
        let ours = |(session, conn): (&SessionId, &ConnId)| (session.proxy == proxy).then_some(*conn);
        let links: Vec<ConnId> = process.session_links.iter().filter_map(ours).collect();
        for conn in links {
            self.drop_link(node, conn);
            self.close(conn, Side::Callee);
        }
        let Some(process) = self.process(node) else { return };
        if let Some(marker) = process.sessions.gone(&mut process.stream.table, proxy) {
            process.stream.append_marker(&marker);
            tell!(self, "n{} forgets {proxy}", node + 1);
            self.publish_position(node);
        }
    }

    // --- execution ---------------------------------------------------------------------------------------------------

    fn execute(&mut self, node: usize, conn: ConnId, op: OpId, author: Option<Author>) {
        let call = self.book.op(op).call;
        let length = 10 + self.chance.below(50);
        self.i6_i7_who_executes_is_the_latest_and_holds_all_that_was_shown(node, op);
        if self.chance.per_mille(self.plan.expires_per_mille) {
            self.expire_lock(node);
        }
        let Some(process) = self.process(node) else { return };
        let Outcome { effects, values, yields } = process.stream.outcome(call);
        let changes = !effects.is_empty();
        let about = slot(call.key());
        let reply = call.reply(&values);
        if changes {
            let rebuilt = match call.kind() {
                Kind::LongWrite => Rebuilt::Not,
                Kind::Read | Kind::Write => Rebuilt::ByReplay,
            };
            let stream = &mut process.stream;
            let marker = process.sessions.unit(&mut stream.table, author, about, (reply, rebuilt));
            if let Some(marker) = marker {
                stream.append_marker(&marker);
            }
            stream.append(What::Write(Write { op, effects, values: values.clone(), yields }), length);
        } else if let Some(author) = author {
            process.sessions.changed_nothing(&process.stream.table, author, about, reply);
        }
        let offset = process.stream.end();
        let is_dirty = left_out(Mutant::DirtyReads) && !call.is_write();
        process.withheld.push_back(Withheld {
            offset: if is_dirty { Offset(0) } else { offset },
            saw: offset,
            conn,
            word: Word::Reply(op, Answer::Values(values)),
        });
        tell!(self, "n{} runs {op:?} {call:?} at {offset} as {author:?}", node + 1);
        if changes {
            self.publish_position(node);
        } else {
            self.release(node);
        }
    }

    /// A key whose time is over is deleted by the node itself.
    fn expire_lock(&mut self, node: usize) {
        let Some(process) = self.process(node) else { return };
        let stream = &mut process.stream;
        if stream.keys[LOCK] == 0 {
            return;
        }
        let own = (Reply::Ok, Rebuilt::ByReplay);
        if let Some(marker) = process.sessions.unit(&mut stream.table, None, None, own) {
            stream.append_marker(&marker);
        }
        stream.append(What::Own { effects: vec![(LOCK, 0)] }, 20);
        self.publish_position(node);
    }

    /// Replies leave in order, each once all that it could have seen is committed, and on the own disk if that matters, while there is a
    /// lease and no promise to take nothing more of this epoch.
    pub(super) fn release(&mut self, node: usize) {
        let keeps = self.nodes[node].disk.keeps;
        loop {
            let clock = self.clock_for_requests(node);
            let Some(process) = self.process(node) else { return };
            let synced = if keeps { process.synced } else { process.stream.end() };
            let open_to = process.committed.min(synced);
            let may_leave = |reply: &Withheld| reply.offset <= open_to;
            // Offsets only grow; but what was not asked to wait does not wait for other connections either.
            let at = match left_out(Mutant::DirtyReads) || left_out(Mutant::SessionUngated) {
                false => process.withheld.front().is_some_and(may_leave).then_some(0),
                true => process.withheld.iter().position(may_leave),
            };
            let Some(at) = at.filter(|_| process.may_answer(clock)) else { return };
            let Some(Withheld { conn, word, saw, .. }) = process.withheld.remove(at) else { return };
            self.i3_a_reply_tells_only_of_what_is_committed(node, &word, saw);
            match word {
                Word::Reply(op, _) => self.reply_in_turn(node, conn, op, word),
                word => self.send(conn, Side::Caller, word),
            }
        }
    }

    /// What is answered before its turn waits for those that were asked before it.
    fn reply_in_turn(&mut self, node: usize, conn: ConnId, op: OpId, word: Word) {
        let Some(process) = self.process(node) else { return };
        let Some(link) = process.links.get_mut(&conn) else { return };
        link.early.insert(op, word);
        let mut words = Vec::new();
        while let Some(word) = link.owed.front().and_then(|op| link.early.remove(op)) {
            link.owed.pop_front();
            words.push(word);
        }
        for word in words {
            self.send(conn, Side::Caller, word);
        }
    }

    /// Withheld replies never leave; who waits for one sees the end of the connection. Whoever was not executed is referred.
    pub(super) fn depose(&mut self, node: usize) {
        self.close_replicas(node);
        let Some(process) = self.process(node) else { return };
        process.serving = None;
        process.leading = None;
        let withheld: Vec<ConnId> = process.withheld.drain(..).map(|reply| reply.conn).collect();
        for conn in withheld {
            let Some(process) = self.process(node) else { return };
            if process.links.contains_key(&conn) {
                self.drop_link(node, conn);
                self.close(conn, Side::Callee);
            }
        }
        self.try_waiting(node);
    }
}

impl Process {
    /// The epoch and the version of the orders that this node goes by.
    pub fn known(&self) -> (Epoch, u64) {
        let known =
            |orders: &slotway_cluster::pulse::wire::Orders| (orders.state.epoch, orders.topology.version);
        self.orders.as_ref().map_or((Epoch(0), 0), known)
    }

    fn is_primary(&self, me: &slotway_cluster::NodeId) -> bool {
        self.orders.as_ref().is_some_and(|orders| {
            let primary = &orders.state.rule.primary;
            primary.node == *me && primary.incarnation == self.incarnation
        })
    }

    /// Serves, with a lease that has not run out, and nothing higher was promised.
    fn may_answer(&self, clock: Duration) -> bool {
        let Some(epoch) = self.serving else { return false };
        self.vitals.lease.allows(epoch, self.vitals.promised, clock)
    }
}
