//! Whom a node follows, and what that makes of it: REPLICAOF, promotion, a snapshot put in force.

use std::{
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use slotway_cluster::{
    Database, Epoch, Position,
    replication::{
        HistoryId, Lineage, Offset,
        primary::Event,
        replica::{Form, Introduction, Phase, Point, Replica},
    },
};
use slotway_config::{Key, Settings};
use tokio::sync::Notify;

use super::loading::Loading;
use crate::{
    condition::Trouble,
    feed::Source,
    identity,
    keyspace::Expired,
    membership::MEMBER,
    node::{self, Node},
    persistence::aof,
    replication::{Replication, handing::Asks},
};

/// Where a primary is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Primary {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Primary {
    /// `host:port`, an IPv6 address in brackets.
    pub(crate) fn parse(address: &str) -> Option<Primary> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Primary { host, port: port.parse().ok()? })
    }
}

/// Whom the node follows, and how far that is.
pub(crate) struct Following {
    primary: Option<Primary>,
    /// That of the present link; there is none until its task has begun.
    machine: Option<Replica>,
    /// Rung when `primary` has changed.
    pub(super) changed: Rc<Notify>,
    /// The beginning of time, as far as links are concerned.
    began: Instant,
    /// What the stream has selected, also while the link is broken.
    database: Database,
    /// The same of the stream behind the snapshot that is being loaded.
    will_select: Database,
    /// What the snapshot that is being loaded says of its stream's names.
    will_descend: Option<Lineage>,
    pub(super) transfer: Option<Transfer>,
    pub(super) last_phase: Option<Phase>,
    /// Since when a link that was up is down.
    pub(super) down_since: Option<Duration>,
    /// Commands of a primary that failed here: `unexpected_error_replies`.
    pub(crate) unexpected_errors: u64,
    /// Bytes that primaries have sent: `total_net_repl_input_bytes`.
    pub(crate) read_bytes: u64,
    /// A member is to say that it holds so much.
    owed: Option<Position>,
    /// Rung when that is so.
    pub(super) owes: Rc<Notify>,
    /// The last attempt, or the last link, was ended by the primary or its machine.
    pub(super) is_turned_away: bool,
    /// The epoch whose primary is followed, as of the present link; None: not as a member.
    pub(super) epoch: Option<Epoch>,
}

/// A snapshot on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    /// None: the primary did not know.
    pub(super) total_bytes: Option<u64>,
    pub(super) read_bytes: u64,
}

impl Following {
    /// `replicaof`, or nobody.
    pub(crate) fn new(settings: &Settings) -> Following {
        let primary = settings.replica_of().map(|(host, port)| Primary { host: host.to_owned(), port });
        Following {
            primary,
            machine: None,
            changed: Rc::new(Notify::new()),
            began: node::instant(),
            database: Database::default(),
            will_select: Database::default(),
            will_descend: None,
            transfer: None,
            last_phase: None,
            down_since: None,
            unexpected_errors: 0,
            read_bytes: 0,
            owed: None,
            owes: Rc::new(Notify::new()),
            is_turned_away: false,
            epoch: None,
        }
    }

    /// To be said to the primary: so much is held.
    pub(crate) fn owe_word(&mut self, held: Position) {
        self.owed = Some(held);
        self.owes.notify_one();
    }

    pub(super) fn take_owed(&mut self) -> Option<Position> {
        self.owed.take()
    }

    /// Whom the node follows; None: it is a primary.
    pub(crate) fn primary(&self) -> Option<&Primary> {
        self.primary.as_ref()
    }

    /// How far the link is; None: the node is a primary.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.primary.as_ref()?;
        Some(self.machine.as_ref().map_or(Phase::Connect, Replica::phase))
    }

    /// Whether everything that the primary executes is executed here as soon as it is known.
    pub(crate) fn is_connected(&self) -> bool {
        self.phase() == Some(Phase::Connected)
    }

    /// The database that the stream has selected: where whoever continues it begins.
    pub(crate) fn database(&self) -> Database {
        self.database
    }

    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn machine(&mut self) -> Option<&mut Replica> {
        self.machine.as_mut()
    }

    pub(super) fn machine_ref(&self) -> Option<&Replica> {
        self.machine.as_ref()
    }

    pub(super) fn until_due(&self) -> Duration {
        let due = self.machine.as_ref().map_or(Duration::MAX, Replica::due);
        due.saturating_sub(self.now())
    }

    /// A link begins, of a node whose stream is this one.
    pub(super) fn begin(&mut self, replication: &Replication, settings: &Settings, asks: Asks) {
        let held = Point { history: replication.lineage.present(), offset: replication.offset };
        let mut machine = Replica::new(Some(held), patience(settings), self.now());
        if asks == Asks::ToLead {
            machine.ask_to_lead();
        }
        self.machine = Some(machine);
    }

    /// Gives the present link up for a new one.
    pub(crate) fn begin_anew(&self) {
        self.changed.notify_one();
    }

    pub(super) fn end(&mut self) {
        self.owed = None;
        self.machine = None;
        self.transfer = None;
    }

    pub(super) fn read(&mut self, bytes: usize) {
        self.read_bytes = self.read_bytes.saturating_add(as_u64(bytes));
    }

    pub(super) fn begin_loading(&mut self, form: Form) {
        let total_bytes = match form {
            Form::Counted(bytes) => Some(bytes),
            Form::Marked(_) => None,
        };
        self.transfer = Some(Transfer { total_bytes, read_bytes: 0 });
    }

    pub(super) fn loaded(&mut self, bytes: usize) {
        if let Some(transfer) = &mut self.transfer {
            transfer.read_bytes = transfer.read_bytes.saturating_add(as_u64(bytes));
        }
    }

    /// The stream has selected this database.
    pub(super) fn selected(&mut self, database: Database) {
        self.database = database;
    }

    /// The stream behind the snapshot begins in this database, and has these names.
    pub(super) fn will_select(&mut self, database: Database, lineage: Option<Lineage>) {
        self.will_select = database;
        self.will_descend = lineage;
    }
}

/// What a snapshot says of its stream's names, if it is about this history; otherwise nothing earlier is known.
pub(super) fn lineage_of(history: HistoryId, offset: Offset, said: Option<Lineage>) -> Lineage {
    said.filter(|lineage| lineage.present() == history)
        .unwrap_or_else(|| Lineage::new(history, Epoch::default(), offset))
}

/// `repl-timeout`
fn patience(settings: &Settings) -> Duration {
    Duration::from_secs(u64::try_from(settings.integer(Key::ReplTimeout)).unwrap_or(0))
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Node {
    /// A managed node follows its shard's primary, or is it.
    pub(crate) fn follow_topology(&mut self) {
        let Some(adopted) = self.membership.adopted() else { return };
        let primary = adopted.shard().and_then(|shard| adopted.topology.node(&shard.primary));
        let address = primary.filter(|_| !adopted.is_primary());
        match address.and_then(|node| Primary::parse(&node.addr)) {
            Some(primary) if self.following.primary.as_ref() == Some(&primary) => {}
            Some(primary) => self.follow(primary),
            None => self.follow_nobody(),
        }
    }

    /// Follows a primary from now on. What the node holds stays until a snapshot of the primary is whole.
    pub(crate) fn follow(&mut self, primary: Primary) {
        tracing::info!(%primary, "following a primary");
        let shown = format!("{} {}", primary.host, primary.port);
        self.following.primary = Some(primary);
        // Whether this node can still feed them is known when its own link is up; until then it takes nobody back. Else
        // two nodes that follow each other would both believe that all is well.
        self.cut_replicas();
        self.role_changed(&shown);
    }

    /// Is a primary from now on. Its stream goes on under a new name, by which those who followed the old primary up to
    /// here may follow this node without a snapshot.
    pub(crate) fn follow_nobody(&mut self) {
        if self.following.primary.take().is_none() {
            return;
        }
        let (history, start) = (HistoryId::from_random(identity::random()), self.replication.offset);
        tracing::info!(%history, offset = %start, "this node is a primary now");
        let epoch = self.replication.lineage.epoch();
        self.replication.lineage.rename(history, epoch, start);
        // They learn the new name when they come back.
        self.cut_replicas();
        self.role_changed("");
    }

    /// Follows nobody, and is no primary for that.
    pub(crate) fn stop_following(&mut self) {
        if self.following.primary.take().is_some() {
            self.cut_replicas();
            self.role_changed("");
        }
    }

    /// Whether what is executed here is the stream, and nobody else's.
    pub(crate) fn makes_its_stream(&self) -> bool {
        let leads = self.seat.as_ref().is_none_or(|seat| seat.leads().is_some());
        leads && self.following.primary.is_none()
    }

    pub(crate) fn makes_or_follows_a_stream(&self) -> bool {
        self.makes_its_stream() || self.following.primary.is_some()
    }

    /// `shown` is what CONFIG GET replicaof says.
    fn role_changed(&mut self, shown: &str) {
        let recorded = self.settings.record(Key::Replicaof, shown);
        debug_assert!(recorded.is_ok(), "{shown:?} was read as host and port before");
        self.following.last_phase = None;
        self.following.down_since = None;
        self.take_role();
        self.following.changed.notify_one();
    }

    /// Whose changes the stream tells of, and who deletes what is past its deadline.
    pub(crate) fn take_role(&mut self) {
        // A transaction may hold the command.
        self.keyspace.feed.end_unit();
        let leads = self.makes_its_stream();
        let source = if leads { Source::Own } else { Source::Primary };
        // Only an activated primary lets keys expire.
        let expires = leads && self.seat.as_ref().is_none_or(|seat| seat.expires());
        self.keyspace.feed.draw_from(source);
        self.keyspace.expired = if expires { Expired::Deleted } else { Expired::Hidden };
        self.tell_primary(Event::Leads(leads));
        if !leads {
            self.break_waits();
        }
        self.heed_following();
    }

    /// What a replica refuses follows from its settings and from how far its link is.
    pub(crate) fn heed_following(&mut self) {
        let phase = self.following.phase();
        let now = self.following.now();
        if phase == Some(Phase::Connected) {
            self.following.down_since = None;
        } else if self.following.last_phase == Some(Phase::Connected) {
            self.following.down_since = Some(now);
        }
        if phase != Some(Phase::Sync) {
            self.following.transfer = None;
        }
        self.following.last_phase = phase;
        let is_stale = !matches!(phase, None | Some(Phase::Connected));
        // Of a member's data only the shard's stream is the source, whether it follows somebody just now or not.
        let is_led = self.seat.as_ref().is_some_and(|seat| seat.leads().is_none());
        let is_read_only = phase.is_some() && self.settings.flag(Key::ReplicaReadOnly);
        let troubles = [
            (Trouble::ReadOnly, is_led || is_read_only),
            (Trouble::PrimaryLost, is_stale && !self.settings.flag(Key::ReplicaServeStaleData)),
        ];
        for (trouble, is_there) in troubles {
            match (self.condition.has(&trouble), is_there) {
                (false, true) => self.condition.note(trouble),
                (true, false) => self.condition.forget(&trouble),
                (true, true) | (false, false) => {}
            }
        }
        let patience = patience(&self.settings);
        if let Some(machine) = self.following.machine() {
            machine.be_patient_for(patience);
        }
    }

    /// What it tells a primary of itself.
    pub(super) fn introduction(&self) -> Introduction {
        let text = |key| Some(self.settings.text(key).to_owned()).filter(|text| !text.is_empty());
        let port = match self.settings.port(Key::ReplicaAnnouncePort) {
            0 => self.port,
            port => port,
        };
        // Members know each other by the cluster's secret.
        let (user, password) = match (&self.secret, self.membership.adopted()) {
            (Some(secret), Some(_)) => (Some(MEMBER.to_owned()), Some(secret.reveal().to_owned())),
            _ => (text(Key::Masteruser), text(Key::Masterauth)),
        };
        let member = self.member_words();
        Introduction { port, address: text(Key::ReplicaAnnounceIp), user, password, member }
    }

    /// Puts the data set of a snapshot in force. Returns what is left of its loading.
    pub(super) fn adopt(&mut self, point: Option<Point>, loading: &mut Option<Loading>) -> Option<Loading> {
        let mut loading = loading.take();
        let lineage = self.following.will_descend.take();
        if let Some(fresh) = loading.as_mut().and_then(Loading::take) {
            self.keyspace.take_contents_of(fresh);
        }
        if self.seat.is_some() {
            self.deliver();
            self.keyspace.feed.leap();
        }
        self.following.database = self.following.will_select;
        // What they follow is no more.
        self.cut_replicas();
        // Of a primary without histories nobody can continue anything: the name is one that nobody knows.
        let fresh_name = || Point { history: HistoryId::from_random(identity::random()), offset: Offset(0) };
        let Point { history, offset } = point.unwrap_or_else(fresh_name);
        self.start_at(lineage_of(history, offset, lineage), offset);
        self.stream_grew();
        self.keyspace.feed.select_anew();
        aof::begin_anew(self);
        self.seat_was_replaced();
        tracing::info!(%history, %offset, keys = self.keys(), "the primary's snapshot is in force");
        loading
    }

    /// The primary goes on from what is held.
    pub(super) fn continue_as(&mut self, renamed: Option<HistoryId>) {
        if let Some(history) = renamed {
            let (epoch, start) = (self.replication.lineage.epoch(), self.replication.offset);
            self.replication.lineage.rename(history, epoch, start);
            self.cut_replicas();
        }
        self.keep_backlog();
        let (history, offset) = (self.replication.lineage.present(), self.replication.offset);
        tracing::info!(%history, %offset, "the primary continues from what is held");
    }

    /// The stream is another one, of which this is the place. A replica always keeps the end of its primary's stream: it
    /// may be promoted.
    pub(super) fn start_at(&mut self, lineage: Lineage, offset: Offset) {
        let replication = &mut self.replication;
        replication.lineage = lineage;
        replication.offset = offset;
        replication.written = offset;
        replication.backlog = None;
        self.keep_backlog();
    }
}
