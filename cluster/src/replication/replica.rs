//! The replica's end of a replication link: from nothing to following a primary, and back again whenever the link breaks.
//!
//! The problem: a primary may be away, busy, old, protected, hung, empty after a restart, or no server at all, and the link may
//! break behind any byte. Whatever happens, the replica must either go on from exactly the position it holds or take
//! everything anew, and never give up what it holds for a promise that is not kept.
//!
//! The idea: one [`State`], fed with what happens and the time, answering with [`Effect`]s that its shell performs. The way
//! is that of PSYNC2: PING, AUTH, what it says of itself (REPLCONF), PSYNC; then the primary continues the stream, or sends a
//! snapshot first. What the replica holds (a [`Point`]) changes in three places only: when a snapshot is in force, when
//! the primary calls the history by a new name, and with what was applied. A snapshot that never comes to its end changes
//! nothing, so the next attempt may still continue from the old position.
//!
//! A primary that changes places with one of its replicas (FAILOVER) comes here as well: it asks the other end to lead
//! ([`Replica::ask_to_lead`]) with the very question that makes it a replica. Whether it was heard is not always known; then
//! it asks whether the other end leads, and never a second time that it shall.
//!
//! What it does not do: it opens no connection, reads no clock, and does not look into the stream or the snapshot.

mod line;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, fmt, time::Duration};

use super::{ACKS_EVERY_READ, HistoryId, Offset};
use crate::{
    Epoch, ShardId,
    shard::{Member, Position},
};
use line::{Answer, Head, Line};

/// So long after it last said something a replica says that it is alive.
const WORD_EVERY: Duration = Duration::from_secs(1);
/// The first attempt after a break waits at most so long, each further one at most twice as long.
const RETRY: Duration = Duration::from_millis(100);
/// As [`RETRY`], at the primary of a member: it may learn only now that it is one, and the shard stands still until it is followed.
const RETRY_MEMBER: Duration = Duration::from_millis(4);
/// No attempt waits longer.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// After so many failures in a row the wait is the longest.
const FAILURES_FOR_LONGEST: u32 = 8;

/// A place in a history: everything up to `offset` is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub history: HistoryId,
    pub offset: Offset,
}

/// What a replica tells its primary of itself.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Introduction {
    /// Where clients reach it.
    pub port: u16,
    /// None: the primary takes the address that it sees.
    pub address: Option<String>,
    /// None: the default user.
    pub user: Option<String>,
    /// None: no AUTH.
    pub password: Option<String>,
    /// Of a cluster: then the primary is to be one of the same.
    pub member: Option<MemberWords>,
}

/// What a member of a shard says of itself: its primary counts what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberWords {
    pub cluster_id: String,
    pub shard: ShardId,
    /// It takes no stream of an epoch below.
    pub epoch: Epoch,
    pub member: Member,
    /// That of the last EPOCH record it holds.
    pub position_epoch: Epoch,
}

/// Without the password.
impl fmt::Debug for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introduction")
            .field("port", &self.port)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// How the bytes of a snapshot end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// After so many.
    Counted(u64),
    /// Before this mark, which is random: no snapshot contains it.
    Marked([u8; line::MARK_BYTES]),
}

/// What the shell is to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a connection to the primary; then [`Replica::connected`] or [`Replica::lost`].
    Connect,
    Send(Vec<u8>),
    /// Begin to build a data set beside the present one.
    BeginLoad(Form),
    /// The first so many of the bytes that were taken are the snapshot's next ones.
    Load(usize),
    /// The snapshot is here whole: finish the data set, then [`Replica::built`] or [`Replica::lost`].
    EndLoad,
    /// The new data set takes the place of the old one. None: its primary knows no histories.
    Adopt(Option<Point>),
    /// The primary goes on from what is held. Some: it calls the history by this name from here on.
    Continue(Option<HistoryId>),
    /// The first so many of the bytes that were taken are the stream's next ones.
    Apply(usize),
    /// Close the connection, drop a snapshot that is being built, and tell the operator.
    HangUp(Loss),
    /// The other end leads, as it was asked to.
    Handed,
    /// It does not, and nobody will ask it again.
    NotHanded,
}

/// Why a link was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// No connection was made; says why.
    Unreachable(String),
    /// The other end, the network or CLIENT KILL closed it.
    Closed,
    /// `repl-timeout` passed without a byte.
    Silent,
    /// It answered with this error.
    Refused(String),
    /// What it said makes no sense where it was said.
    Garbage(String),
    /// Its snapshot cannot be read; says why.
    Snapshot(String),
    /// Its stream cannot be applied; says why.
    Stream(String),
    /// It knows of this epoch, and this end follows an earlier one.
    Stale(Epoch),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Unreachable(why) => write!(f, "it cannot be reached: {why}"),
            Loss::Closed => f.write_str("the connection was closed"),
            Loss::Silent => f.write_str("nothing was heard for repl-timeout"),
            Loss::Refused(text) => write!(f, "it answered: {text}"),
            Loss::Garbage(text) => write!(f, "it does not speak the protocol: {text}"),
            Loss::Snapshot(why) => write!(f, "its snapshot cannot be loaded: {why}"),
            Loss::Stream(why) => write!(f, "its stream cannot be applied: {why}"),
            Loss::Stale(epoch) => {
                write!(f, "it knows of epoch {epoch}, which is later than the one it was asked for")
            }
        }
    }
}

/// How far the link is, as INFO and ROLE have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Connect,
    Connecting,
    Handshake,
    Sync,
    Connected,
}

impl Phase {
    /// ROLE's word.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::Connecting => "connecting",
            Phase::Handshake => "handshake",
            Phase::Sync => "sync",
            Phase::Connected => "connected",
        }
    }
}

/// The link to one primary, through all of its connections.
#[derive(Debug)]
pub struct Replica {
    state: State,
    /// None: nothing that any primary could continue.
    held: Option<Point>,
    introduction: Introduction,
    silence_max: Duration,
    /// When the present attempt last brought anything.
    heard: Duration,
    /// When the primary was last told something.
    spoke: Duration,
    /// Attempts in a row that did not end in a stream.
    failures: u32,
    /// The primary wants to know of every read.
    acknowledges_reads: bool,
    /// Of a member: what it may acknowledge ([`Replica::hold`]).
    promised: Option<Position>,
    /// How much of the stream this end has on its disk; None: it keeps no log, or nobody knows.
    on_disk: Option<Offset>,
    asks: Asks,
    /// When it was first to be connected to.
    began: Duration,
}

/// What PSYNC asks of the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// The stream.
    Stream,
    /// To lead instead of this end, and then the stream.
    ToLead,
    /// It was asked to lead and nobody knows what became of that: the stream, if it does.
    WhetherItLeads,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// No connection, until then.
    Waiting {
        until: Duration,
    },
    Connecting,
    /// The primary owes answers to these, in this order.
    Greeting {
        owed: VecDeque<Step>,
    },
    /// It owes the answer to PSYNC.
    Asked,
    /// It sends a snapshot of this point; None: it did not say.
    Receiving {
        point: Option<Point>,
        body: Body,
    },
    /// All of it is here.
    Building {
        point: Option<Point>,
    },
    Streaming,
}

/// What a replica says before it asks for the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Ping,
    Auth,
    Port,
    Address,
    Member,
    Capabilities,
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// Its head has not come: the primary is making it.
    Announced,
    Counted {
        left: u64,
    },
    Marked([u8; line::MARK_BYTES]),
}

/// What became of bytes that have come.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// So many at the front are done with; bring the others again, with more behind them.
    pub bytes: usize,
    pub effects: Vec<Effect>,
}

impl Taken {
    fn of(bytes: usize, effects: Vec<Effect>) -> Taken {
        Taken { bytes, effects }
    }
}

impl Replica {
    /// Follows a primary from `now` on. `held` is what may be continued, if anything may.
    pub fn new(held: Option<Point>, silence_max: Duration, now: Duration) -> Replica {
        Replica {
            state: State::Waiting { until: now },
            held,
            introduction: Introduction::default(),
            silence_max,
            heard: now,
            spoke: now,
            failures: 0,
            acknowledges_reads: false,
            promised: None,
            on_disk: None,
            asks: Asks::Stream,
            began: now,
        }
    }

    /// The other end is to lead instead of this one. It is told so once; [`Effect::Handed`] or [`Effect::NotHanded`] tells what
    /// came of it, however long that takes. An end that does not let itself be asked, or for `repl-timeout` cannot be, does not lead.
    pub fn ask_to_lead(&mut self) {
        self.asks = Asks::ToLead;
    }

    /// What the replica holds, and would ask a primary to continue.
    pub fn held(&self) -> Option<Point> {
        self.held
    }

    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Waiting { .. } => Phase::Connect,
            State::Connecting => Phase::Connecting,
            State::Greeting { .. } | State::Asked => Phase::Handshake,
            State::Receiving { .. } | State::Building { .. } => Phase::Sync,
            State::Streaming => Phase::Connected,
        }
    }

    /// When the present attempt last brought anything.
    pub fn heard(&self) -> Duration {
        self.heard
    }

    /// `repl-timeout` may have changed.
    pub fn be_patient_for(&mut self, silence_max: Duration) {
        self.silence_max = silence_max;
    }

    /// When [`Replica::tick`] has something to do.
    pub fn due(&self) -> Duration {
        let silent = self.heard.saturating_add(self.silence_max);
        let word = self.spoke.saturating_add(WORD_EVERY);
        match &self.state {
            State::Waiting { until } => *until,
            State::Connecting | State::Greeting { .. } | State::Asked | State::Receiving { .. } => silent,
            State::Building { .. } => word,
            State::Streaming => silent.min(word),
        }
    }

    /// Time has passed. `random` is any number.
    pub fn tick(&mut self, now: Duration, random: u64) -> Vec<Effect> {
        let is_silent = now >= self.heard.saturating_add(self.silence_max);
        let has_long_been_quiet = now >= self.spoke.saturating_add(WORD_EVERY);
        match &self.state {
            State::Waiting { until } if now >= *until => {
                self.state = State::Connecting;
                self.heard = now;
                vec![Effect::Connect]
            }
            // It is this end that is busy.
            State::Building { .. } if has_long_been_quiet => {
                self.spoke = now;
                vec![Effect::Send(b"\n".to_vec())]
            }
            State::Waiting { .. } | State::Building { .. } => Vec::new(),
            State::Connecting
            | State::Greeting { .. }
            | State::Asked
            | State::Receiving { .. }
            | State::Streaming
                if is_silent =>
            {
                self.lost(Loss::Silent, now, random)
            }
            State::Streaming if has_long_been_quiet => self.acknowledge(now),
            State::Connecting
            | State::Greeting { .. }
            | State::Asked
            | State::Receiving { .. }
            | State::Streaming => Vec::new(),
        }
    }

    /// There is a connection.
    pub fn connected(&mut self, introduction: Introduction, now: Duration) -> Vec<Effect> {
        if self.state != State::Connecting {
            return Vec::new();
        }
        self.introduction = introduction;
        self.heard = now;
        self.acknowledges_reads = false;
        // Alone: a server that does not know PING is not told a password.
        self.state = State::Greeting { owed: VecDeque::from([Step::Ping]) };
        vec![Effect::Send(line::request(&["PING"]))]
    }

    /// There is no connection any more, or none was made, or what it brought cannot be used.
    pub fn lost(&mut self, why: Loss, now: Duration, random: u64) -> Vec<Effect> {
        if let State::Waiting { .. } = self.state {
            return Vec::new();
        }
        if matches!(why, Loss::Stream(_)) {
            // From the same place the same would come again: everything is asked for anew, and that costs much.
            self.held = None;
            self.failures = self.failures.max(FAILURES_FOR_LONGEST);
        }
        let first = if self.introduction.member.is_some() { RETRY_MEMBER } else { RETRY };
        let bound = first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        let mut effects = self.judge_handing(&why, now);
        let half = bound / 2;
        let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let until = now.saturating_add(half).saturating_add(Duration::from_millis(random % span));
        self.state = State::Waiting { until };
        effects.push(Effect::HangUp(why));
        effects
    }

    /// What a loss says of whether the other end leads.
    fn judge_handing(&mut self, why: &Loss, now: Duration) -> Vec<Effect> {
        let is_answer = matches!(why, Loss::Refused(_) | Loss::Garbage(_));
        let is_late = now >= self.began.saturating_add(self.silence_max);
        let is_asked = self.state == State::Asked;
        match (self.asks, is_asked) {
            (Asks::ToLead | Asks::WhetherItLeads, true) if is_answer => self.does_not_lead(),
            // Nobody has told it to. Else writers would wait for a dead one for ever.
            (Asks::ToLead, false) if is_answer || is_late => self.does_not_lead(),
            (Asks::ToLead, true) => {
                self.asks = Asks::WhetherItLeads;
                Vec::new()
            }
            (Asks::Stream | Asks::ToLead | Asks::WhetherItLeads, _) => Vec::new(),
        }
    }

    fn does_not_lead(&mut self) -> Vec<Effect> {
        self.asks = Asks::Stream;
        vec![Effect::NotHanded]
    }

    /// It streams to this end, so it leads.
    fn note_that_it_leads(&mut self) -> Vec<Effect> {
        match std::mem::replace(&mut self.asks, Asks::Stream) {
            Asks::Stream => Vec::new(),
            Asks::ToLead | Asks::WhetherItLeads => vec![Effect::Handed],
        }
    }

    /// This end was too busy to read: that nothing was heard means nothing.
    pub fn was_busy(&mut self, now: Duration) {
        self.heard = now;
    }

    /// Bytes have come: all that the last call did not take, and new ones behind.
    pub fn received(&mut self, bytes: &[u8], now: Duration, random: u64) -> Taken {
        self.heard = now;
        match &mut self.state {
            State::Waiting { .. } | State::Connecting | State::Building { .. } => Taken::of(0, Vec::new()),
            State::Streaming if bytes.is_empty() => Taken::of(0, Vec::new()),
            State::Streaming => Taken::of(bytes.len(), vec![Effect::Apply(bytes.len())]),
            State::Receiving { point, body: Body::Counted { left } } => {
                let len = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= u64::try_from(len).unwrap_or(0);
                let mut effects = if len > 0 { vec![Effect::Load(len)] } else { Vec::new() };
                if *left == 0 {
                    effects.push(Effect::EndLoad);
                    self.state = State::Building { point: *point };
                }
                Taken::of(len, effects)
            }
            &mut State::Receiving { point, body: Body::Marked(mark) } => match line::until_mark(bytes, &mark)
            {
                line::Cut::Here(len) => {
                    self.state = State::Building { point };
                    Taken::of(len + mark.len(), vec![Effect::Load(len), Effect::EndLoad])
                }
                line::Cut::NotBefore(0) => Taken::of(0, Vec::new()),
                line::Cut::NotBefore(len) => Taken::of(len, vec![Effect::Load(len)]),
            },
            State::Greeting { .. } | State::Asked | State::Receiving { body: Body::Announced, .. } => {
                match line::first(bytes) {
                    Line::Unfinished => Taken::of(0, Vec::new()),
                    Line::Endless => {
                        let why = "a line without an end".to_owned();
                        Taken::of(bytes.len(), self.lost(Loss::Garbage(why), now, random))
                    }
                    // A primary that works on something longer sends empty lines meanwhile.
                    Line::Whole { text: b"", end } => Taken::of(end, Vec::new()),
                    Line::Whole { text, end } => Taken::of(end, self.told(text, now, random)),
                }
            }
        }
    }

    /// The data set of the snapshot is built.
    pub fn built(&mut self, now: Duration) -> Vec<Effect> {
        let State::Building { point } = self.state else { return Vec::new() };
        self.held = point;
        self.promised = None;
        self.stream(now);
        let mut effects = vec![Effect::Adopt(point)];
        // A primary sends the stream only once it knows that the snapshot is in force.
        effects.extend(self.acknowledge(now));
        effects
    }

    /// Everything up to here is applied; a read has been worked off.
    pub fn applied(&mut self, offset: Offset, now: Duration) -> Vec<Effect> {
        let Some(held) = &mut self.held else { return Vec::new() };
        let is_new = held.offset != offset;
        held.offset = offset;
        let tells = self.acknowledges_reads && self.introduction.member.is_none();
        match is_new && tells && self.state == State::Streaming {
            true => self.acknowledge(now),
            false => Vec::new(),
        }
    }

    /// A member says what it holds only when it is let: behind this, which is said at once.
    pub fn hold(&mut self, held: Position, now: Duration) -> Vec<Effect> {
        self.promised = Some(held);
        self.acknowledge(now)
    }

    /// How much of the stream is on this end's disk: told with the next acknowledgement.
    pub fn note_disk(&mut self, until: Option<Offset>) {
        self.on_disk = until;
    }

    /// REPLCONF ACK, if there is somebody to tell: also what the stream asks for with GETACK. A member that has nothing to
    /// acknowledge yet shows that it is there.
    pub fn acknowledge(&mut self, now: Duration) -> Vec<Effect> {
        self.spoke = now;
        let (State::Streaming, Some(held)) = (&self.state, self.held) else { return Vec::new() };
        let (offset, epoch) = match (&self.introduction.member, self.promised) {
            (None, _) => (held.offset, None),
            (Some(_), Some(Position { epoch, offset })) => (offset, Some(epoch)),
            (Some(_), None) => return vec![Effect::Send(b"\n".to_vec())],
        };
        let (offset, epoch) = (offset.to_string(), epoch.map(|epoch| epoch.to_string()));
        let on_disk = self.on_disk.map(|until| until.to_string());
        let mut words = vec!["REPLCONF", "ACK", &offset];
        words.extend(epoch.iter().flat_map(|epoch| ["EPOCH", epoch.as_str()]));
        words.extend(on_disk.iter().flat_map(|until| ["FACK", until.as_str()]));
        vec![Effect::Send(line::request(&words))]
    }

    fn stream(&mut self, now: Duration) {
        self.state = State::Streaming;
        self.failures = 0;
        self.heard = now;
        self.spoke = now;
    }

    /// A line that is not empty, where one may come.
    fn told(&mut self, text: &[u8], now: Duration, random: u64) -> Vec<Effect> {
        match &mut self.state {
            State::Greeting { owed } => match owed.pop_front() {
                Some(step) => self.greeted(step, text, now, random),
                None => self.lost(garbage(text), now, random),
            },
            State::Asked => self.answered(text, now, random),
            State::Receiving { body, point } => match line::head(text) {
                // It cannot be a snapshot, which whoever builds it will say.
                Some(Head::Form(form @ Form::Counted(0))) => {
                    self.state = State::Building { point: *point };
                    vec![Effect::BeginLoad(form), Effect::EndLoad]
                }
                Some(Head::Form(form)) => {
                    *body = match form {
                        Form::Counted(left) => Body::Counted { left },
                        Form::Marked(mark) => Body::Marked(mark),
                    };
                    vec![Effect::BeginLoad(form)]
                }
                Some(Head::Error(text)) => self.lost(Loss::Refused(text), now, random),
                None => self.lost(garbage(text), now, random),
            },
            State::Waiting { .. } | State::Connecting | State::Building { .. } | State::Streaming => {
                Vec::new()
            }
        }
    }

    /// The answer to a step of the introduction.
    fn greeted(&mut self, step: Step, text: &[u8], now: Duration, random: u64) -> Vec<Effect> {
        let (code, is_error) = match text.first() {
            Some(b'+') => (b"".as_slice(), false),
            Some(b'-') => (text[1..].split(|&byte| byte == b' ').next().unwrap_or_default(), true),
            _ => return self.lost(garbage(text), now, random),
        };
        match (step, is_error) {
            // These say that it is a server, and that it wants a password first.
            (Step::Ping, true) if matches!(code, b"NOAUTH" | b"NOPERM") => self.introduce(now),
            (Step::Ping, false) => self.introduce(now),
            (Step::Ping | Step::Auth, true) => self.lost(refused(text), now, random),
            (_, true) if code == b"NOAUTH" => self.lost(refused(text), now, random),
            (Step::Member, false) => Vec::new(),
            (Step::Member, true) => {
                let why = line::stale(text).map_or_else(|| refused(text), Loss::Stale);
                self.lost(why, now, random)
            }
            // A primary that does not know a REPLCONF can do without it.
            (Step::Auth, false) | (Step::Port | Step::Address, _) => Vec::new(),
            (Step::Capabilities, _) => {
                self.acknowledges_reads = !is_error && line::has_word(text, ACKS_EVERY_READ);
                self.state = State::Asked;
                self.spoke = now;
                vec![Effect::Send(self.question())]
            }
        }
    }

    /// Everything about itself at once: the answers come in order.
    fn introduce(&mut self, now: Duration) -> Vec<Effect> {
        let Introduction { port, address, user, password, member } = &self.introduction;
        let (mut owed, mut words) = (VecDeque::new(), Vec::new());
        let mut say = |step, request: &[&str]| {
            owed.push_back(step);
            words.extend(line::request(request));
        };
        if let Some(password) = password {
            match user {
                Some(user) => say(Step::Auth, &["AUTH", user, password]),
                None => say(Step::Auth, &["AUTH", password]),
            }
        }
        say(Step::Port, &["REPLCONF", "listening-port", &port.to_string()]);
        if let Some(address) = address {
            say(Step::Address, &["REPLCONF", "ip-address", address]);
        }
        if let Some(MemberWords { cluster_id, shard, epoch, member, position_epoch }) = member {
            let (shard, epoch, incarnation) =
                (shard.to_string(), epoch.to_string(), member.incarnation.to_string());
            let position = position_epoch.to_string();
            let words =
                ["REPLCONF", "slotway", cluster_id, &shard, &epoch, &member.node.0, &incarnation, &position];
            say(Step::Member, &words);
        }
        let capabilities = ["REPLCONF", "capa", "eof", "capa", "psync2", "capa", ACKS_EVERY_READ];
        say(Step::Capabilities, &capabilities);
        self.state = State::Greeting { owed };
        self.spoke = now;
        vec![Effect::Send(words)]
    }

    fn question(&self) -> Vec<u8> {
        match self.held {
            Some(Point { history, offset }) => {
                let (history, byte) = (history.to_string(), offset.next_byte().to_string());
                let mut words = vec!["PSYNC", &history, &byte];
                if self.asks == Asks::ToLead {
                    words.push("FAILOVER");
                }
                line::request(&words)
            }
            None => line::request(&["PSYNC", "?", "-1"]),
        }
    }

    /// The answer to PSYNC.
    fn answered(&mut self, text: &[u8], now: Duration, random: u64) -> Vec<Effect> {
        match (line::answer(text), &mut self.held) {
            (Some(Answer::Full(point)), _) => {
                self.state = State::Receiving { point: Some(point), body: Body::Announced };
                self.note_that_it_leads()
            }
            (Some(Answer::Continue(history)), Some(held)) => {
                let renamed = history.filter(|&history| history != held.history);
                held.history = history.unwrap_or(held.history);
                self.stream(now);
                let mut effects = self.note_that_it_leads();
                effects.push(Effect::Continue(renamed));
                effects.extend(self.acknowledge(now));
                effects
            }
            (Some(Answer::Unknown), _) if self.asks != Asks::Stream => self.lost(refused(text), now, random),
            // A primary from before PSYNC. It names no place, so nothing of it can ever be continued.
            (Some(Answer::Unknown), _) => {
                self.state = State::Receiving { point: None, body: Body::Announced };
                self.spoke = now;
                vec![Effect::Send(line::request(&["SYNC"]))]
            }
            (Some(Answer::NotNow(text)), _) => self.lost(Loss::Refused(text), now, random),
            (Some(Answer::Continue(_)), None) | (None, _) => self.lost(garbage(text), now, random),
        }
    }
}

fn garbage(text: &[u8]) -> Loss {
    Loss::Garbage(line::quoted(text))
}

fn refused(text: &[u8]) -> Loss {
    Loss::Refused(line::quoted(&text[1..]))
}
