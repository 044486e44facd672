//! The sending end: does what [`slotway_cluster::replication::primary`] decides, and tells it what happens.
//!
//! It holds what the decisions do not need: the attached connections ([`Link`], each served by its own task in
//! [`super::link`]) and the bytes that go into the stream beside what is fed, PING and REPLCONF GETACK. Those go there
//! only between units, behind all that was executed.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use slotway_cluster::replication::{
    HistoryId, Offset, Refusal,
    primary::{
        Counts, Cut, Effect, Event, Limit, LinkId, Own, Primary as Machine, Replica, Rules, WaiterId, Wanted,
    },
};
use slotway_commands::errors;
use slotway_config::{Key, Settings};
use slotway_resp::write;
use tokio::sync::Notify;

use super::{
    backlog::Backlog,
    introduction::{Asked, Introduction},
};
use crate::{
    client::{Blocked, Client, ClientId, Fate},
    condition::Trouble,
    feed::{Listener, Position, Source},
    identity,
    node::{self, Node},
    persistence::aof::{self, OnDisk},
    thread::Thread,
};

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

/// The sending end of a node.
#[derive(Debug)]
pub(crate) struct Primary {
    machine: Machine,
    links: BTreeMap<LinkId, Rc<Link>>,
    /// What goes into the stream at the end of the turn.
    asides: Vec<&'static [u8]>,
    /// Rings when the machine is to be asked earlier than was said.
    alarm: Rc<Notify>,
    began: Instant,
}

/// One attached connection, known to its task and to the node.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) client: Rc<Client>,
    pub(crate) introduction: Introduction,
    /// What its task is to do next.
    pub(crate) order: Cell<Order>,
    /// Of a member: it has said what it holds.
    pub(crate) is_attached: Cell<bool>,
}

/// What a link's task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    #[default]
    None,
    Synchronise,
    /// Let the replica see that somebody is here.
    KeepAlive,
    /// Go on from here.
    Resume(Offset),
}

impl Primary {
    pub(crate) fn new(settings: &Settings) -> Primary {
        Primary {
            machine: Machine::new(rules(settings)),
            links: BTreeMap::new(),
            asides: Vec::new(),
            alarm: Rc::default(),
            began: node::instant(),
        }
    }

    /// By the machine's clock.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Attached replicas, in the order in which they connected.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = (&Replica, &Link)> + Clone {
        let known = self.machine.replicas().iter();
        known.filter_map(|replica| Some((replica, &**self.links.get(&replica.link)?)))
    }

    pub(crate) fn replica(&self, link: LinkId) -> Option<&Replica> {
        self.machine.replicas().iter().find(|replica| replica.link == link)
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    #[inline]
    pub(crate) fn has_asides(&self) -> bool {
        !self.asides.is_empty()
    }

    /// A replica's socket took the stream up to `offset`.
    pub(crate) fn took(&mut self, link: LinkId, offset: Offset) {
        self.machine.took(link, offset);
    }
}

impl Node {
    /// The stream's next whole units: kept for the replicas, and their tasks woken.
    pub(crate) fn feed_replicas(&mut self, units: &[u8]) {
        if self.replication.backlog.is_some() {
            self.replication.append(units);
            self.replication.written = self.replication.offset;
            self.stream_grew();
        }
    }

    /// What goes into the stream beside what is fed. Of a replica nothing does: its stream is its primary's, to the byte.
    pub(crate) fn feed_asides(&mut self) {
        let asides = std::mem::take(&mut self.replication.primary.asides);
        if self.keyspace.feed.source() == Source::Primary {
            return;
        }
        for bytes in asides {
            // A member's log holds the whole stream, so that its place is known when it is read.
            if self.seat.is_some() {
                aof::hand_over(self, None, bytes);
            }
            self.replication.append(bytes);
        }
        self.stream_grew();
        if self.seat.is_some() {
            self.stream_has_grown();
        }
    }

    /// The stream has come to another offset: the replicas' tasks look what there is for them.
    pub(super) fn stream_grew(&mut self) {
        let primary = &mut self.replication.primary;
        let effects = primary.machine.grew(self.replication.offset, primary.now());
        primary.links.values().for_each(|link| link.client.wake());
        self.perform(effects);
        self.trim_backlog();
    }

    fn trim_backlog(&mut self) {
        let size_bytes = self.settings.bytes(Key::ReplBacklogSize);
        let needed_from = self.replication.primary.machine.needed_from();
        if let Some(backlog) = &mut self.replication.backlog {
            backlog.trim(size_bytes, needed_from);
        }
    }

    /// Makes a replica's link of a client that said PSYNC or SYNC. None: it said neither.
    pub(crate) fn attach_replica(&mut self, client: &Rc<Client>) -> Option<Rc<Link>> {
        let introduction = client.introduction.take().map(|said| *said)?;
        let asked = introduction.asked?;
        let wanted = match asked {
            Asked::Sync => Wanted::Everything,
            Asked::Psync(wanted) => wanted,
        };
        let id = LinkId(client.id.0);
        let (name, acks) = (introduction.name(&client.peer), introduction.acks());
        let counts = match self.seat.is_none() || introduction.member.is_some() {
            true => Counts::Yes,
            false => Counts::No,
        };
        let (order, is_attached) = (Cell::default(), Cell::default());
        let link = Rc::new(Link { id, client: Rc::clone(client), introduction, order, is_attached });
        let replication = &mut self.replication;
        replication.primary.links.insert(id, Rc::clone(&link));
        let backlog = replication.backlog.as_ref().map(|backlog| backlog.range());
        let lineage = replication.lineage.clone();
        self.tell_primary(Event::Attached {
            link: id,
            name,
            acks,
            counts,
            wanted,
            lineage: &lineage,
            backlog,
        });
        if link.order.get() == Order::Synchronise {
            self.statistics.syncs.full += 1;
        }
        Some(link)
    }

    /// Its connection has ended.
    pub(crate) fn detach_replica(&mut self, link: LinkId) {
        self.replication.primary.links.remove(&link);
        self.tell_primary(Event::Gone { link });
        self.trim_backlog();
    }

    /// There is a stream from here on: a replica is to be sent everything.
    pub(crate) fn begin_stream(&mut self) {
        if self.replication.backlog.is_none() {
            // What this node wrote while nobody listened has no place in any history.
            self.replication.begin_anew(HistoryId::from_random(identity::random()));
            tracing::info!(history = %self.replication.lineage.present(), "a replica came: the backlog begins");
        }
        self.keep_backlog();
    }

    /// The stream that this node held when it ended goes on.
    pub(crate) fn keep_stream(&mut self) {
        self.keep_backlog();
    }

    /// From here on the stream is counted and kept: there is a backlog, and what is fed goes there. The one without the
    /// other would be a stream with holes.
    pub(super) fn keep_backlog(&mut self) {
        let replication = &mut self.replication;
        replication.backlog.get_or_insert_with(|| Backlog::new(replication.offset));
        if !self.keyspace.feed.listens(Listener::Backlog) {
            self.keyspace.feed.listen(Listener::Backlog);
        }
    }

    /// Closes all links of replicas: the stream they follow is another from here on, or has another name, which they learn
    /// when they come back.
    pub(crate) fn cut_replicas(&mut self) {
        for link in self.replication.primary.links.values() {
            link.client.decide(Fate::CloseNow);
        }
    }

    /// Something happened that the sending end has to know.
    pub(crate) fn tell_primary(&mut self, event: Event<'_>) {
        let primary = &mut self.replication.primary;
        let before = primary.machine.wake_at();
        let effects = primary.machine.on(event, primary.now());
        if primary.machine.wake_at().is_some_and(|at| before.is_none_or(|before| at < before)) {
            primary.alarm.notify_one();
        }
        self.perform(effects);
        self.ending.hear_of_replica();
        self.handing.hear_of_replica();
    }

    /// Whether every replica has acknowledged the stream up to here.
    pub(crate) fn replicas_hold(&self, offset: Offset) -> bool {
        self.replication.primary.machine.replicas().iter().all(|replica| replica.acked >= offset)
    }

    /// The settings have changed.
    pub(crate) fn follow_replication_settings(&mut self) {
        let primary = &mut self.replication.primary;
        let effects = primary.machine.follow(rules(&self.settings), primary.now());
        primary.alarm.notify_one();
        self.perform(effects);
        self.trim_backlog();
    }

    /// Answers all who are in WAIT as things stand.
    pub(crate) fn give_up_waits(&mut self) {
        let effects = self.replication.primary.machine.give_up_waits();
        self.perform(effects);
    }

    /// The node is a replica from now on: what those in WAIT wait for is no longer its to count. They are told so, and
    /// closed.
    pub(crate) fn break_waits(&mut self) {
        for effect in self.replication.primary.machine.give_up_waits() {
            match effect {
                Effect::Answer { waiter, .. } | Effect::AnswerOfDisks { waiter, .. } => {
                    self.unblock(waiter, Blocked::Broken);
                }
                other => self.perform(vec![other]),
            }
        }
    }

    /// The node stops: replicas are asked how far they are, and have until the end of `shutdown-timeout` to hold everything.
    /// A replica asks nobody: the question would stand in its primary's stream.
    pub(crate) fn ask_for_last_acks(&mut self) {
        let primary = &self.replication.primary;
        if self.makes_its_stream() && !primary.links.is_empty() {
            self.ask_for_acks();
        }
    }

    /// The stream's offset behind everything executed so far, once it is handed on: what waits for the end of the turn goes
    /// there before anything else does.
    #[inline]
    pub(crate) fn executed_offset(&self) -> Offset {
        match self.waiting_bytes() {
            0 => self.replication.written,
            waiting => Offset(self.replication.offset.0 + waiting),
        }
    }

    /// The stream's offset at the end of this turn, if nothing more is executed in it.
    pub(crate) fn coming_offset(&self) -> Offset {
        Offset(self.replication.offset.0 + self.waiting_bytes())
    }

    /// Bytes that wait for the end of the turn to go into the stream. What only the log is fed is not counted.
    #[inline]
    fn waiting_bytes(&self) -> u64 {
        let feed = &self.keyspace.feed;
        match self.replication.backlog {
            Some(_) => feed.position().0 - feed.taken().0,
            None => 0,
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Resume { link, from } => {
                    self.statistics.syncs.partial += 1;
                    self.order(link, Order::Resume(from));
                }
                Effect::Synchronise { link, because } => {
                    self.report_refusal(link, because);
                    self.order(link, Order::Synchronise);
                }
                Effect::KeepAlive { link } => self.order(link, Order::KeepAlive),
                Effect::Cut { link, why } => self.cut(link, why),
                // A replica's stream is its primary's: nothing is added to it, and its end is kept.
                Effect::Ping | Effect::AskForAcks | Effect::FreeBacklog if !self.makes_its_stream() => {}
                // It has said where its stream ends.
                Effect::Ping | Effect::AskForAcks
                    if self.seat.as_ref().is_some_and(|seat| seat.has_stopped()) => {}
                // A member of a shard keeps it: it may be asked for at any time.
                Effect::FreeBacklog if self.seat.is_some() => {}
                Effect::Ping => self.replication.primary.asides.push(PING),
                Effect::AskForAcks => self.ask_for_acks(),
                Effect::Answer { waiter, replicas } => self.unblock(waiter, Blocked::Answered(replicas)),
                Effect::AnswerOfDisks { waiter, own, replicas } => {
                    let mut reply = Vec::new();
                    write_disks(&mut reply, own, replicas);
                    self.answer_waiter(waiter, reply);
                }
                Effect::NoDisk { waiter } => {
                    let mut reply = Vec::new();
                    write::error(&mut reply, errors::WAITAOF_WITHOUT_LOG.as_bytes());
                    self.answer_waiter(waiter, reply);
                }
                Effect::FreeBacklog => self.free_backlog(),
                Effect::TooFewReplicas(true) => self.condition.note(Trouble::TooFewReplicas),
                Effect::TooFewReplicas(false) => self.condition.forget(&Trouble::TooFewReplicas),
            }
        }
    }

    fn unblock(&self, waiter: WaiterId, how: Blocked) {
        if let Some(client) = self.clients.get(ClientId(waiter.0)) {
            client.blocked.set(how);
            client.wake();
        }
    }

    fn answer_waiter(&self, waiter: WaiterId, reply: Vec<u8>) {
        if let Some(client) = self.clients.get(ClientId(waiter.0)) {
            client.answer(reply);
        }
    }

    /// Tells the machine how far the log is on this node's disk.
    pub(crate) fn tell_own_disk(&mut self) {
        self.tell_primary(Event::OwnDisk(match aof::on_disk(self) {
            OnDisk::NoLog => None,
            OnDisk::Nothing => Some(0),
            OnDisk::Until(Position(until)) => Some(until),
        }));
    }

    /// A client waits until disks hold what was written up to here, in the stream and in the feed.
    pub(crate) fn wait_for_disks(
        &mut self,
        client: &Client,
        (replicas, is_own_wanted): (usize, bool),
        (offset, mark): (Offset, Position),
        patience: Option<Duration>,
    ) {
        client.blocked.set(Blocked::Waiting);
        let (waiter, own) = (waiter(client), Own { mark: mark.0, is_wanted: is_own_wanted });
        if let Some(line) = self.persistence.log.line() {
            line.expect_news();
        }
        self.tell_own_disk();
        self.tell_primary(Event::WaitsForDisks { waiter, replicas, offset, own, patience });
    }

    /// Of a replica: how much of its primary's stream is on its disk. None: it has no log, or what is there is older than
    /// its being a replica.
    pub(super) fn stream_on_disk(&self) -> Option<Offset> {
        let feed = &self.keyspace.feed;
        let OnDisk::Until(until) = aof::on_disk(self) else { return None };
        if feed.source() != Source::Primary || until < feed.drawn_from() {
            return None;
        }
        let missing = feed.position().0 - until.0;
        self.coming_offset().0.checked_sub(missing).map(Offset)
    }

    fn order(&self, link: LinkId, order: Order) {
        if let Some(link) = self.replication.primary.links.get(&link) {
            link.order.set(order);
            link.client.wake();
        }
    }

    /// Once for all that wait in this turn.
    fn ask_for_acks(&mut self) {
        let asides = &mut self.replication.primary.asides;
        if !asides.contains(&GETACK) {
            asides.push(GETACK);
        }
    }

    fn report_refusal(&mut self, link: LinkId, because: Option<Refusal>) {
        let Some(because) = because else { return };
        self.statistics.syncs.refused += 1;
        tracing::info!(id = link.0, ?because, "a replica cannot go on where it stopped");
    }

    fn cut(&mut self, link: LinkId, why: Cut) {
        let Some(link) = self.replication.primary.links.get(&link) else { return };
        let (peer, id) = (&link.client.peer, link.id.0);
        match why {
            Cut::Silent => tracing::warn!(%peer, id, "giving up a replica that was silent for repl-timeout"),
            Cut::TooSlow { waiting_bytes } => {
                self.statistics.cut_for_output += 1;
                tracing::warn!(
                    %peer, id, waiting_bytes,
                    "closing a replica that reached client-output-buffer-limit"
                );
            }
        }
        link.client.decide(Fate::CloseNow);
    }

    fn free_backlog(&mut self) {
        self.keyspace.feed.leave(Listener::Backlog);
        self.replication.backlog = None;
        // What is written from here on is not counted, so the offsets of this name end here.
        self.replication.begin_anew(HistoryId::from_random(identity::random()));
        tracing::info!("the backlog is freed: no replica for repl-backlog-ttl");
    }

    fn tick_primary(&mut self) {
        let primary = &mut self.replication.primary;
        let effects = primary.machine.tick(primary.now());
        self.perform(effects);
        self.trim_backlog();
    }
}

/// Asks the machine when it wants to be asked, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let alarm = Rc::clone(&thread.node.borrow().replication.primary.alarm);
    loop {
        let rest = {
            let primary = &thread.node.borrow().replication.primary;
            primary.machine.wake_at().map(|at| at.saturating_sub(primary.now()))
        };
        match rest {
            Some(rest) => {
                // Either will do: that it is time, or that it is time earlier.
                let _ = tokio::time::timeout(rest, alarm.notified()).await;
            }
            None => alarm.notified().await,
        }
        let node = &mut *thread.node.borrow_mut();
        node.tick_primary();
        thread.deliver(node);
    }
}

/// WAITAOF's answer.
pub(crate) fn write_disks(out: &mut Vec<u8>, own: bool, replicas: usize) {
    write::array(out, 2);
    write::integer(out, i64::from(own));
    write::integer(out, i64::try_from(replicas).unwrap_or(i64::MAX));
}

/// The client as one that waits.
pub(crate) fn waiter(client: &Client) -> WaiterId {
    WaiterId(client.id.0)
}

fn rules(settings: &Settings) -> Rules {
    let number = |key| u64::try_from(settings.integer(key)).unwrap_or(0);
    let seconds = |key| Duration::from_secs(number(key));
    let replica = settings.output_limits().replica;
    let hard_bytes = match replica.hard_bytes {
        0 => 0,
        // As in Redis: the backlog is kept anyway, so being behind by less costs nothing.
        bytes => bytes.max(settings.bytes(Key::ReplBacklogSize)),
    };
    Rules {
        ping_period: seconds(Key::ReplPingReplicaPeriod),
        timeout: seconds(Key::ReplTimeout),
        backlog_ttl: Some(seconds(Key::ReplBacklogTtl)).filter(|ttl| !ttl.is_zero()),
        replicas_min: settings.count(Key::MinReplicasToWrite),
        lag_seconds_max: number(Key::MinReplicasMaxLag),
        waiting: Limit {
            hard_bytes,
            soft_bytes: replica.soft_bytes,
            soft_time: Duration::from_secs(replica.soft_seconds),
        },
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.id).finish_non_exhaustive()
    }
}
