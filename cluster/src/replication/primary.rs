//! The sending end: who is attached, how far each has come, who is too slow, who waits for acknowledgements.
//!
//! A replica attaches by saying what it holds. It goes on from there, or it is sent everything: a snapshot, then what
//! was written since the snapshot's first instant. From then on it is a place in the stream that moves when its socket
//! takes bytes, and another one that moves when it acknowledges. All of this is known here by numbers only; the bytes
//! are the shell's, which tells what happened ([`Event`]) and does what is decided ([`Effect`]).
//!
//! What does not come from outside comes with time: pings, keep-alives while a snapshot is made, links that have
//! gone silent, clients whose WAIT is over, a backlog that nobody has used for long. [`Primary::wake_at`] says when to ask again.
//!
//! A replica that lost its link often is back before the loss is noticed. Two links of one replica are one replica where
//! replicas are counted.

use std::time::Duration;

use super::history::{HistoryId, Lineage, Offset, Range, Refusal};

/// How often silence, lag and limits are looked at, and keep-alives sent.
pub const ROUND: Duration = Duration::from_secs(1);

/// One replica's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// A client that waits for acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaiterId(pub u64);

/// What the settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub ping_period: Duration,
    /// Silence after which a link is given up.
    pub timeout: Duration,
    /// After so long without replicas the backlog is freed; None: never.
    pub backlog_ttl: Option<Duration>,
    /// Without so many good replicas there are no writes; 0: they are not counted.
    pub replicas_min: usize,
    /// A replica is good if it was heard this short a time ago, in whole seconds.
    pub lag_seconds_max: u64,
    /// What may wait for a replica.
    pub waiting: Limit,
}

/// Bytes that may wait for one replica; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    pub hard_bytes: u64,
    /// No more than these for longer than `soft_time` without a break.
    pub soft_bytes: u64,
    pub soft_time: Duration,
}

/// How a replica acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// It said SYNC and will say nothing more.
    Never,
    /// And when it is asked.
    EverySecond,
    /// After every read, unasked.
    EveryRead,
}

/// Whether a replica is one to clients in WAIT, and to `min-replicas-to-write`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    Yes,
    /// Of a shard only members count.
    No,
}

/// What a replica wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Everything,
    /// It holds so many bytes of this history.
    Rest {
        history: HistoryId,
        held: Offset,
    },
}

/// How far a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// For a snapshot to begin.
    Waiting,
    /// Its snapshot is made, and nothing is sent yet.
    Filing,
    /// Its snapshot is sent.
    Sending,
    /// The snapshot is sent; the stream follows upon its first acknowledgement.
    Loading,
    Online,
    /// Nothing more is sent; its connection is about to end.
    Cut,
}

/// Why a link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing was heard for `repl-timeout`.
    Silent,
    /// It does not take the stream as fast as it is made.
    TooSlow { waiting_bytes: u64 },
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A connection has become a replica's. `name` is what the replica calls itself, if it does: two links of one name
    /// are one replica.
    Attached {
        link: LinkId,
        name: Option<Name>,
        acks: Acks,
        counts: Counts,
        wanted: Wanted,
        lineage: &'a Lineage,
        backlog: Option<Range>,
    },
    /// A snapshot of the data at this offset was begun. `filed`: into a file first.
    Begun {
        link: LinkId,
        at: Offset,
        filed: bool,
    },
    /// The socket is given the snapshot, or took some of it.
    Moved {
        link: LinkId,
    },
    /// The snapshot is sent. `awaits_ack`: the replica cannot tell its end from what follows unless nothing does.
    Sent {
        link: LinkId,
        awaits_ack: bool,
    },
    /// The replica has applied so much.
    Acked {
        link: LinkId,
        offset: Offset,
    },
    /// The replica has this much on its own disk (`FACK`).
    Synced {
        link: LinkId,
        offset: Offset,
    },
    /// The replica said anything else.
    Heard {
        link: LinkId,
    },
    Gone {
        link: LinkId,
    },
    /// A client wants so many replicas to hold so much; None: however long it takes.
    Waits {
        waiter: WaiterId,
        replicas: usize,
        offset: Offset,
        patience: Option<Duration>,
    },
    /// A client wants so many replicas to have so much on their disks, and perhaps this node to have it on its own: there it
    /// is known by another mark, since what a node's log holds is counted otherwise than what its replicas are sent.
    WaitsForDisks {
        waiter: WaiterId,
        replicas: usize,
        offset: Offset,
        own: Own,
        patience: Option<Duration>,
    },
    /// This node's own disk has what is before this mark; None: it keeps no log.
    OwnDisk(Option<u64>),
    /// It wants nothing any more.
    Leaves {
        waiter: WaiterId,
    },
    /// This node makes the stream from now on (true), or takes it from a primary.
    Leads(bool),
}

/// What a client wants of this node's own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    pub mark: u64,
    pub is_wanted: bool,
}

/// What a replica calls itself: its address as it announced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub ip: core::net::IpAddr,
    pub port: u16,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The replica goes on from here.
    Resume {
        link: LinkId,
        from: Offset,
    },
    /// It needs everything: begin a snapshot; if none can be begun, let it see that somebody is here, and this is said
    /// again in a while.
    Synchronise {
        link: LinkId,
        because: Option<Refusal>,
    },
    /// Let the replica see that somebody is here.
    KeepAlive {
        link: LinkId,
    },
    Cut {
        link: LinkId,
        why: Cut,
    },
    /// Into the stream.
    Ping,
    /// Into the stream, behind what waits to go there.
    AskForAcks,
    Answer {
        waiter: WaiterId,
        replicas: usize,
    },
    AnswerOfDisks {
        waiter: WaiterId,
        /// Whether this node's own disk has it.
        own: bool,
        replicas: usize,
    },
    /// It wants this node to have it on its disk, and there is no log any more.
    NoDisk {
        waiter: WaiterId,
    },
    FreeBacklog,
    /// From now on writes are refused (true), or no longer.
    TooFewReplicas(bool),
}

/// One attached replica.
#[derive(Debug, Clone, Copy)]
pub struct Replica {
    pub link: LinkId,
    pub stage: Stage,
    pub acks: Acks,
    /// Its socket took the stream up to here.
    pub sent: Offset,
    /// It has applied it up to here.
    pub acked: Offset,
    /// It has it on its disk up to here.
    pub synced: Offset,
    /// When it was heard of last.
    pub heard: Duration,
    name: Option<Name>,
    counts: Counts,
    over_soft_limit: Option<Duration>,
}

/// A client in WAIT or WAITAOF.
#[derive(Debug, Clone, Copy)]
struct Wait {
    waiter: WaiterId,
    replicas: usize,
    offset: Offset,
    /// WAITAOF
    own: Option<Own>,
    until: Option<Duration>,
}

/// The state of the sending end.
#[derive(Debug)]
pub struct Primary {
    rules: Rules,
    leads: bool,
    replicas: Vec<Replica>,
    waits: Vec<Wait>,
    own_disk: Option<u64>,
    /// How far the stream has come.
    end: Offset,
    ping_at: Duration,
    round_at: Duration,
    /// Since when there is no replica while there is a backlog.
    alone_since: Option<Duration>,
    too_few: bool,
}

impl Primary {
    pub fn new(rules: Rules) -> Primary {
        Primary {
            rules,
            leads: true,
            replicas: Vec::new(),
            waits: Vec::new(),
            own_disk: None,
            end: Offset::default(),
            ping_at: Duration::ZERO,
            round_at: Duration::ZERO,
            alone_since: None,
            too_few: false,
        }
    }

    pub fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// Clients in WAIT and WAITAOF.
    pub fn waits(&self) -> usize {
        self.waits.len()
    }

    /// Whether somebody wants to know how far this node's own disk is.
    pub fn is_own_disk_awaited(&self) -> bool {
        self.waits.iter().any(|wait| wait.own.is_some())
    }

    /// What is before this offset no replica has to be sent any more.
    pub fn needed_from(&self) -> Offset {
        self.replicas
            .iter()
            .filter(|replica| replica.is_fed())
            .map(|replica| replica.sent)
            .min()
            .unwrap_or(self.end)
    }

    /// Takes over changed settings.
    pub fn follow(&mut self, rules: Rules, now: Duration) -> Vec<Effect> {
        self.rules = rules;
        self.ping_at = self.ping_at.min(now + rules.ping_period);
        let mut effects = Vec::new();
        self.judge(now, &mut effects);
        effects
    }

    /// Replicas that hold the stream up to `offset`.
    pub fn holders(&self, offset: Offset) -> usize {
        self.count(|replica| replica.acked >= offset)
    }

    /// Replicas that have the stream up to `offset` on their disks.
    pub fn disks(&self, offset: Offset) -> usize {
        self.count(|replica| replica.synced >= offset)
    }

    /// Replicas heard of within `lag_seconds_max`.
    pub fn good(&self, now: Duration) -> usize {
        self.count(|replica| replica.lag_seconds(now) <= self.rules.lag_seconds_max)
    }

    /// The stream has come to `end`. Called for everything written, so it allocates nothing as long as nobody is too slow.
    pub fn grew(&mut self, end: Offset, now: Duration) -> Vec<Effect> {
        self.end = end;
        let mut effects = Vec::new();
        self.look_for_slow(now, &mut effects);
        effects
    }

    /// A replica's socket took the stream up to `offset`.
    pub fn took(&mut self, link: LinkId, offset: Offset) {
        let (end, soft_bytes) = (self.end, self.rules.waiting.soft_bytes);
        if let Some(replica) = self.find(link) {
            replica.sent = offset;
            if end.since(offset) <= soft_bytes {
                replica.over_soft_limit = None;
            }
        }
    }

    /// Decides what follows from an event.
    pub fn on(&mut self, event: Event<'_>, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Attached { link, name, acks, counts, wanted, lineage, backlog } => {
                let verdict = match wanted {
                    Wanted::Everything => Err(None),
                    Wanted::Rest { history, held } => {
                        lineage.may_continue(history, held, backlog).map(|()| held).map_err(Some)
                    }
                };
                self.attach(link, (name, counts), acks, verdict, now, &mut effects);
            }
            Event::Begun { link, at, filed } => {
                self.progress(link, if filed { Stage::Filing } else { Stage::Sending }, now);
                self.took(link, at);
            }
            Event::Moved { link } => self.progress(link, Stage::Sending, now),
            Event::Sent { link, awaits_ack } => {
                self.progress(link, if awaits_ack { Stage::Loading } else { Stage::Online }, now);
            }
            Event::Acked { link, offset } => self.acknowledge(link, offset, now),
            Event::Heard { link } => {
                if let Some(replica) = self.find(link) {
                    replica.heard = now;
                }
            }
            Event::Gone { link } => {
                self.replicas.retain(|replica| replica.link != link);
                if self.replicas.is_empty() {
                    self.alone_since.get_or_insert(now);
                }
            }
            Event::Synced { link, offset } => {
                let offset = offset.min(self.end);
                if let Some(replica) = self.find(link) {
                    replica.synced = replica.synced.max(offset);
                }
            }
            Event::Waits { waiter, replicas, offset, patience } => {
                let until = patience.map(|patience| now.saturating_add(patience));
                self.waits.push(Wait { waiter, replicas, offset, own: None, until });
                let asks = |replica: &Replica| replica.acked < offset && replica.acks == Acks::EverySecond;
                if self.leads && self.replicas.iter().any(asks) {
                    effects.push(Effect::AskForAcks);
                }
            }
            Event::WaitsForDisks { waiter, replicas, offset, own, patience } => {
                let until = patience.map(|patience| now.saturating_add(patience));
                self.waits.push(Wait { waiter, replicas, offset, own: Some(own), until });
                // Also who says unasked what it holds says of its disk only when it is asked, or a second later.
                let asks = |replica: &Replica| replica.synced < offset && replica.acks != Acks::Never;
                if self.leads && self.replicas.iter().any(asks) {
                    effects.push(Effect::AskForAcks);
                }
            }
            Event::OwnDisk(until) => self.own_disk = until,
            Event::Leaves { waiter } => self.waits.retain(|wait| wait.waiter != waiter),
            Event::Leads(leads) => {
                self.leads = leads;
                self.ping_at = now + self.rules.ping_period;
                if self.replicas.is_empty() {
                    self.alone_since = Some(now);
                }
            }
        }
        self.settle(now, &mut effects);
        self.judge(now, &mut effects);
        effects
    }

    /// Decides what follows from the time.
    pub fn tick(&mut self, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.leads && !self.replicas.is_empty() && now >= self.ping_at {
            self.ping_at = now + self.rules.ping_period;
            effects.push(Effect::Ping);
        }
        if now >= self.round_at {
            self.round_at = now + ROUND;
            self.round(now, &mut effects);
        }
        self.settle(now, &mut effects);
        self.judge(now, &mut effects);
        effects
    }

    /// When [`Primary::tick`] has something to do. None: nothing is to come unless something happens.
    pub fn wake_at(&self) -> Option<Duration> {
        let waits = self.waits.iter().filter_map(|wait| wait.until).min();
        let attached = !self.replicas.is_empty();
        let ping = (attached && self.leads).then_some(self.ping_at);
        let round = attached.then_some(self.round_at);
        [waits, ping, round, self.backlog_until()].into_iter().flatten().min()
    }

    /// Answers all waits as things stand: the node stops, or follows a primary from now on.
    pub fn give_up_waits(&mut self) -> Vec<Effect> {
        let waits = std::mem::take(&mut self.waits);
        waits.into_iter().map(|wait| self.answer(wait).1).collect()
    }

    fn attach(
        &mut self,
        link: LinkId,
        (name, counts): (Option<Name>, Counts),
        acks: Acks,
        verdict: Result<Offset, Option<Refusal>>,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let (stage, held) = match verdict {
            Ok(held) => (Stage::Online, held),
            Err(_) => (Stage::Waiting, Offset::default()),
        };
        effects.push(match verdict {
            Ok(from) => Effect::Resume { link, from },
            Err(because) => Effect::Synchronise { link, because },
        });
        if self.replicas.is_empty() {
            self.ping_at = now + self.rules.ping_period;
            self.round_at = now + ROUND;
            self.alone_since = None;
        }
        self.replicas.push(Replica {
            link,
            stage,
            acks,
            sent: held,
            acked: held,
            synced: Offset::default(),
            heard: now,
            name,
            counts,
            over_soft_limit: None,
        });
    }

    fn progress(&mut self, link: LinkId, stage: Stage, now: Duration) {
        if let Some(replica) = self.find(link).filter(|replica| replica.stage != Stage::Cut) {
            replica.stage = stage;
            replica.heard = now;
        }
    }

    fn acknowledge(&mut self, link: LinkId, offset: Offset, now: Duration) {
        // No replica holds what was never written, whatever it says.
        let offset = offset.min(self.end);
        let Some(replica) = self.find(link) else { return };
        replica.heard = now;
        match replica.stage {
            Stage::Waiting | Stage::Filing | Stage::Sending | Stage::Cut => return,
            Stage::Loading => replica.stage = Stage::Online,
            Stage::Online => {}
        }
        replica.acked = replica.acked.max(offset);
    }

    /// What is done about every second.
    fn round(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        for replica in &mut self.replicas {
            let link = replica.link;
            if replica.acks != Acks::Never
                && replica.is_heard_of()
                && now.saturating_sub(replica.heard) > self.rules.timeout
            {
                replica.stage = Stage::Cut;
                effects.push(Effect::Cut { link, why: Cut::Silent });
            }
            match replica.stage {
                Stage::Waiting => effects.push(Effect::Synchronise { link, because: None }),
                Stage::Filing => effects.push(Effect::KeepAlive { link }),
                Stage::Sending | Stage::Loading | Stage::Online | Stage::Cut => {}
            }
        }
        self.look_for_slow(now, effects);
        if self.backlog_until().is_some_and(|until| now >= until) {
            self.alone_since = None;
            effects.push(Effect::FreeBacklog);
        }
    }

    fn backlog_until(&self) -> Option<Duration> {
        // A replica keeps it: it may be promoted, and its own replicas come to it then.
        let since = self.alone_since.filter(|_| self.leads)?;
        Some(since.saturating_add(self.rules.backlog_ttl?))
    }

    /// Cuts those who have more waiting than they may.
    fn look_for_slow(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let (limit, end) = (self.rules.waiting, self.end);
        for replica in self.replicas.iter_mut().filter(|replica| replica.is_fed()) {
            let waiting_bytes = end.since(replica.sent);
            if limit.is_passed(waiting_bytes, &mut replica.over_soft_limit, now) {
                replica.stage = Stage::Cut;
                effects.push(Effect::Cut { link: replica.link, why: Cut::TooSlow { waiting_bytes } });
            }
        }
    }

    /// Answers the clients whose wait is over.
    fn settle(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if self.waits.is_empty() {
            return;
        }
        let waits = std::mem::take(&mut self.waits);
        for wait in waits {
            if wait.own.is_some_and(|own| own.is_wanted) && self.own_disk.is_none() {
                effects.push(Effect::NoDisk { waiter: wait.waiter });
                continue;
            }
            let (is_enough, answer) = self.answer(wait);
            if is_enough || wait.until.is_some_and(|until| now >= until) {
                effects.push(answer);
            } else {
                self.waits.push(wait);
            }
        }
    }

    /// Whether what a client waits for is so, and what it is told.
    fn answer(&self, wait: Wait) -> (bool, Effect) {
        let waiter = wait.waiter;
        match wait.own {
            None => {
                let replicas = self.holders(wait.offset);
                (replicas >= wait.replicas, Effect::Answer { waiter, replicas })
            }
            Some(Own { mark, is_wanted }) => {
                let own = self.own_disk.is_some_and(|until| until >= mark);
                let replicas = self.disks(wait.offset);
                let is_enough = replicas >= wait.replicas && own >= is_wanted;
                (is_enough, Effect::AnswerOfDisks { waiter, own, replicas })
            }
        }
    }

    /// Tells when the replicas have become too few for writes, or enough.
    fn judge(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let counted = self.leads && self.rules.replicas_min > 0 && self.rules.lag_seconds_max > 0;
        let too_few = counted && self.good(now) < self.rules.replicas_min;
        if too_few != self.too_few {
            self.too_few = too_few;
            effects.push(Effect::TooFewReplicas(too_few));
        }
    }

    /// Replicas online of which this holds, each once however many links it has.
    fn count(&self, holds: impl Fn(&Replica) -> bool) -> usize {
        let counts = |replica: &Replica| {
            replica.stage == Stage::Online && replica.counts == Counts::Yes && holds(replica)
        };
        let is_first = |at: usize, replica: &Replica| {
            let same = |other: &Replica| other.name.is_some() && other.name == replica.name && counts(other);
            !self.replicas[..at].iter().any(same)
        };
        let all = self.replicas.iter().enumerate();
        all.filter(|(at, replica)| counts(replica) && is_first(*at, replica)).count()
    }

    fn find(&mut self, link: LinkId) -> Option<&mut Replica> {
        self.replicas.iter_mut().find(|replica| replica.link == link)
    }
}

impl Replica {
    /// Whole seconds since it was heard of.
    pub fn lag_seconds(&self, now: Duration) -> u64 {
        now.saturating_sub(self.heard).as_secs()
    }

    /// Whether the stream is kept for it.
    fn is_fed(&self) -> bool {
        !matches!(self.stage, Stage::Waiting | Stage::Cut)
    }

    /// Whether silence says anything: a replica that waits for a snapshot has nothing to say.
    fn is_heard_of(&self) -> bool {
        matches!(self.stage, Stage::Sending | Stage::Loading | Stage::Online)
    }
}

impl Limit {
    fn is_passed(self, bytes: u64, over_since: &mut Option<Duration>, now: Duration) -> bool {
        if self.hard_bytes != 0 && bytes > self.hard_bytes {
            return true;
        }
        if self.soft_bytes == 0 || bytes <= self.soft_bytes {
            *over_since = None;
            return false;
        }
        now.saturating_sub(*over_since.get_or_insert(now)) > self.soft_time
    }
}

#[cfg(test)]
mod tests;
