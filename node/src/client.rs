//! What the node knows of each of its clients: the state that commands read and change, and the list of all.
//!
//! A client belongs to one connection, but CLIENT LIST reads it and CLIENT KILL ends it from another. All of this
//! happens on one thread, so its fields are cells: no locks, and a request of one client never waits for another.
//! The connection's task sleeps until its socket has news or until somebody calls [`Client::wake`].

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
    task::Waker,
};

use slotway_cluster::{Database, replication::Offset};
use slotway_commands::Id;
use slotway_link::End;
use slotway_resp::Version;

use crate::{
    call::Millis,
    feed::Position,
    keyspace::Keyspace,
    membership::{LinkSaid, Reads},
    replication::Introduction,
    transaction::Transaction,
};

/// The number that CLIENT ID answers: never used twice in the life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) u64);

/// Who the client proved to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A password is set and it has not given it: only AUTH, HELLO, QUIT and RESET.
    Stranger,
    /// The default user.
    User,
    /// A proxy or another node: gave the members' secret.
    Member,
    /// Whom this node follows: the connection was made by this end.
    Primary,
}

/// Which replies are dropped: what CLIENT REPLY asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replies {
    On,
    Off,
    /// That of the present request.
    Skip,
    /// That of the request behind the present one.
    SkipNext,
    /// Both.
    SkipBoth,
}

impl Replies {
    fn drops_present(self) -> bool {
        matches!(self, Replies::Off | Replies::Skip | Replies::SkipBoth)
    }

    /// What holds when the next request comes.
    fn behind_present(self) -> Replies {
        match self {
            Replies::On | Replies::Skip => Replies::On,
            Replies::Off => Replies::Off,
            Replies::SkipNext | Replies::SkipBoth => Replies::Skip,
        }
    }
}

/// What kind of client it is to CLIENT LIST and to limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Normal,
    /// Follows this node's stream.
    Replica,
    /// Whom this node follows.
    Primary,
}

/// Whether its next request waits for what others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    No,
    /// In WAIT or MIGRATE, which stands unread at the front of what came.
    Waiting,
    /// It may go on: so many replicas.
    Answered(usize),
    /// It may go on: [`Client::late_reply`] has what it is to be told.
    Replied,
    /// It was in WAIT when the node became a replica: it is told so, and closed.
    Broken,
}

/// How long the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    /// Until what has already arrived is executed and answered: the node is stopping.
    Finish,
    /// As a client until the replies written so far are sent, then as a replica's link: PSYNC.
    Departs,
    /// Until the replies written so far are sent: QUIT, a broken protocol, CLIENT KILL of itself.
    CloseAfterReply,
    /// No byte longer: CLIENT KILL, a limit.
    CloseNow,
}

/// One client.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) peer: End,
    pub(crate) local: End,
    pub(crate) descriptor: i32,
    pub(crate) created: Millis,

    pub(crate) database: Cell<Database>,
    pub(crate) version: Cell<Version>,
    pub(crate) standing: Cell<Standing>,
    pub(crate) replies: Cell<Replies>,
    pub(crate) fate: Cell<Fate>,
    pub(crate) class: Cell<Class>,
    pub(crate) blocked: Cell<Blocked>,
    /// The reply to the request in which it is blocked.
    pub(crate) late_reply: RefCell<Vec<u8>>,
    /// How far the stream had come when its last request had run; kept while somebody listens.
    pub(crate) seen: Cell<Offset>,
    /// How far the feed had come then: what a log counts by.
    pub(crate) fed: Cell<Position>,
    /// What it says of itself with REPLCONF, and what it asks for.
    pub(crate) introduction: RefCell<Option<Box<Introduction>>>,
    pub(crate) no_evict: Cell<bool>,
    pub(crate) no_touch: Cell<bool>,
    pub(crate) reads: Cell<Reads>,
    /// What a proxy's link was made for.
    pub(crate) link: Cell<Option<LinkSaid>>,
    pub(crate) name: RefCell<Vec<u8>>,
    pub(crate) library_name: RefCell<Vec<u8>>,
    pub(crate) library_version: RefCell<Vec<u8>>,
    pub(crate) transaction: Transaction,

    /// When its last request arrived.
    pub(crate) active: Cell<Millis>,
    pub(crate) last_command: Cell<Option<Id>>,
    /// Bytes of a request that has not arrived whole, and the room around them.
    pub(crate) input_bytes: Cell<usize>,
    pub(crate) input_room_bytes: Cell<usize>,
    /// Bytes of replies that its socket did not take yet, and in how many pieces.
    pub(crate) output_bytes: Cell<usize>,
    pub(crate) output_pieces: Cell<usize>,
    /// Its next command waits for the end of a pause.
    pub(crate) is_paused: Cell<bool>,
    /// What [`Clients`] has counted of its memory.
    counted_bytes: Cell<usize>,
    /// Since when more than the soft limit has waited without a break.
    pub(crate) over_soft_limit: Cell<Option<Millis>>,

    waker: RefCell<Option<Waker>>,
}

impl Client {
    pub(crate) fn new(id: ClientId, peer: End, local: End, descriptor: i32, now: Millis) -> Client {
        Client {
            id,
            peer,
            local,
            descriptor,
            created: now,
            database: Cell::default(),
            version: Cell::default(),
            standing: Cell::new(Standing::User),
            replies: Cell::new(Replies::On),
            fate: Cell::new(Fate::Open),
            class: Cell::new(Class::Normal),
            blocked: Cell::new(Blocked::No),
            late_reply: RefCell::default(),
            seen: Cell::default(),
            fed: Cell::default(),
            introduction: RefCell::default(),
            no_evict: Cell::new(false),
            no_touch: Cell::new(false),
            reads: Cell::default(),
            link: Cell::default(),
            name: RefCell::default(),
            library_name: RefCell::default(),
            library_version: RefCell::default(),
            transaction: Transaction::default(),
            active: Cell::new(now),
            last_command: Cell::new(None),
            input_bytes: Cell::new(0),
            input_room_bytes: Cell::new(0),
            output_bytes: Cell::new(0),
            output_pieces: Cell::new(0),
            is_paused: Cell::new(false),
            counted_bytes: Cell::new(0),
            over_soft_limit: Cell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// One that is connected to nothing.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Client {
        let address = End::Tcp(([127, 0, 0, 1], 6379).into());
        Client::new(ClientId(1), address.clone(), address, 9, Millis(0))
    }

    /// Remembers how to wake the connection's task. It is the same from poll to poll, so this costs a comparison.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut registered = self.waker.borrow_mut();
        if !registered.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *registered = Some(waker.clone());
        }
    }

    /// Lets the connection's task look at the client again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Sets how it goes on and lets its task know. A client that is being closed is not opened again.
    pub(crate) fn decide(&self, fate: Fate) {
        let current = self.fate.get();
        let stronger = match fate {
            Fate::Open => false,
            Fate::Departs => current == Fate::Open,
            Fate::Finish => matches!(current, Fate::Open | Fate::Departs),
            Fate::CloseAfterReply => current != Fate::CloseNow,
            Fate::CloseNow => true,
        };
        if stronger {
            self.fate.set(fate);
            self.wake();
        }
    }

    /// Takes back what was written from `start` on, if the client wants no reply to the present request.
    pub(crate) fn drop_unwanted(&self, start: usize, out: &mut Vec<u8>) {
        if self.replies.get().drops_present() {
            out.truncate(start);
        }
    }

    /// The present request is done with, and its reply written or dropped.
    pub(crate) fn next_reply(&self) {
        self.replies.set(self.replies.get().behind_present());
    }

    /// The state of a fresh connection, as RESET has it; `standing` is a fresh client's.
    pub(crate) fn reset(&self, standing: Standing, keyspace: &mut Keyspace) {
        self.transaction.discard(keyspace);
        self.database.set(Database::default());
        self.version.set(Version::default());
        self.standing.set(standing);
        // RESET turns replies on again and is itself answered; unless it was the one to be skipped.
        self.replies.set(match self.replies.get() {
            Replies::On | Replies::Off | Replies::SkipNext => Replies::On,
            Replies::Skip | Replies::SkipBoth => Replies::Skip,
        });
        self.no_evict.set(false);
        self.no_touch.set(false);
        self.reads.set(Reads::Owner);
        self.name.borrow_mut().clear();
    }

    /// Whether its buffers and its idling are its own business: many depend on it.
    pub(crate) fn is_spared(&self) -> bool {
        self.standing.get() == Standing::Member || self.class.get() != Class::Normal
    }

    /// The user name that CLIENT LIST shows.
    pub(crate) fn user(&self) -> &'static str {
        match self.standing.get() {
            Standing::Stranger | Standing::User => "default",
            Standing::Member => crate::membership::MEMBER,
            Standing::Primary => "(superuser)",
        }
    }

    /// Bytes that this client holds: for `tot-mem` and the sums in INFO.
    pub(crate) fn memory_bytes(&self) -> usize {
        let input = self.input_bytes.get() + self.input_room_bytes.get() + self.transaction.bytes();
        size_of::<Client>() + input + self.output_bytes.get()
    }

    /// The line of CLIENT LIST, without its line end.
    pub(crate) fn describe(&self, keyspace: &Keyspace, now: Millis, line: &mut Vec<u8>) {
        let seconds_since = |then: Millis| now.0.saturating_sub(then.0) / 1000;
        let mut write = |text: fmt::Arguments<'_>| {
            use std::io::Write;
            let written = line.write_fmt(text);
            debug_assert!(written.is_ok(), "a Vec takes every byte");
        };
        write(format_args!(
            "id={} addr={} laddr={} fd={}",
            self.id.0, self.peer, self.local, self.descriptor
        ));
        write(format_args!(" name={}", String::from_utf8_lossy(&self.name.borrow())));
        write(format_args!(" age={} idle={}", seconds_since(self.created), seconds_since(self.active.get())));
        write(format_args!(" flags={} db={}", self.flags(keyspace), self.database.get().0));
        write(format_args!(" sub=0 psub=0 ssub=0 multi={}", self.queued_requests()));
        write(format_args!(" qbuf={} qbuf-free={}", self.input_bytes.get(), self.input_room_bytes.get()));
        write(format_args!(" argv-mem=0 multi-mem={} rbs=0 rbp=0 obl=0", self.transaction.bytes()));
        write(format_args!(" oll={} omem={}", self.output_pieces.get(), self.output_bytes.get()));
        write(format_args!(" tot-mem={} events={}", self.memory_bytes(), self.events()));
        write(format_args!(" cmd={}", self.last_command_name()));
        write(format_args!(" user={} redir=-1 resp={}", self.user(), self.protocol()));
        write(format_args!(" lib-name={}", String::from_utf8_lossy(&self.library_name.borrow())));
        write(format_args!(" lib-ver={}", String::from_utf8_lossy(&self.library_version.borrow())));
    }

    /// 2 or 3.
    pub(crate) fn protocol(&self) -> i64 {
        match self.version.get() {
            Version::Resp2 => 2,
            Version::Resp3 => 3,
        }
    }

    /// Requests behind MULTI; -1: there is none.
    fn queued_requests(&self) -> i64 {
        match self.transaction.is_open() {
            true => i64::try_from(self.transaction.requests()).unwrap_or(i64::MAX),
            false => -1,
        }
    }

    /// The request that it is blocked in has its reply.
    pub(crate) fn answer(&self, reply: Vec<u8>) {
        *self.late_reply.borrow_mut() = reply;
        self.blocked.set(Blocked::Replied);
        self.wake();
    }

    /// Its next request waits for something else than its bytes.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_paused.get() || self.blocked.get() == Blocked::Waiting
    }

    /// Redis's letters: a replica `S`, the node's primary `M`, in a transaction `x`, a watched key has changed `d`, closing after the reply `c`, closing now
    /// `A`, not evicted `e`, does not touch keys `T`, nothing special `N`.
    fn flags(&self, keyspace: &Keyspace) -> String {
        let mut flags = String::new();
        match self.class.get() {
            Class::Normal => {}
            Class::Replica => flags.push('S'),
            Class::Primary => flags.push('M'),
        }
        if self.transaction.is_open() {
            flags.push('x');
        }
        if self.transaction.has_seen_change(keyspace) {
            flags.push('d');
        }
        if self.is_blocked() {
            flags.push('b');
        }
        match self.fate.get() {
            Fate::Open | Fate::Finish | Fate::Departs => {}
            Fate::CloseAfterReply => flags.push('c'),
            Fate::CloseNow => flags.push('A'),
        }
        if self.no_evict.get() {
            flags.push('e');
        }
        if self.no_touch.get() {
            flags.push('T');
        }
        if flags.is_empty() {
            flags.push('N');
        }
        flags
    }

    fn events(&self) -> &'static str {
        match self.output_bytes.get() {
            0 => "r",
            _ => "rw",
        }
    }

    fn last_command_name(&self) -> &'static str {
        self.last_command.get().map_or("NULL", |id| slotway_commands::Command::row(id).name)
    }
}

/// All clients, in the order in which they connected.
#[derive(Default)]
pub(crate) struct Clients {
    by_id: BTreeMap<ClientId, Rc<Client>>,
    last_id: u64,
    /// The sum of what was counted.
    bytes: usize,
}

impl Clients {
    /// The id of the next client.
    pub(crate) fn next_id(&mut self) -> ClientId {
        self.last_id += 1;
        ClientId(self.last_id)
    }

    pub(crate) fn insert(&mut self, client: Rc<Client>) {
        self.by_id.insert(client.id, client);
    }

    pub(crate) fn remove(&mut self, id: ClientId) {
        if let Some(client) = self.by_id.remove(&id) {
            self.bytes -= client.counted_bytes.get();
        }
    }

    /// Counts what a client's buffers hold now, for [`Clients::evict`].
    pub(crate) fn count(&mut self, client: &Client) {
        let bytes =
            if client.is_spared() || client.fate.get() == Fate::CloseNow { 0 } else { client.memory_bytes() };
        self.bytes = self.bytes - client.counted_bytes.replace(bytes) + bytes;
    }

    /// All that is counted, bytes.
    pub(crate) fn counted_bytes(&self) -> usize {
        self.bytes
    }

    /// Counts all anew and closes those with the largest buffers until the others hold no more than `bytes_max`
    /// (`maxmemory-clients`). Spared are those that asked for it, members, whose links serve many, and replicas, which have a limit of their own. Returns how many
    /// were closed.
    pub(crate) fn evict(&mut self, bytes_max: usize) -> u64 {
        let mut clients: Vec<Rc<Client>> = self.by_id.values().map(Rc::clone).collect();
        clients.iter().for_each(|client| self.count(client));
        if self.bytes <= bytes_max {
            return 0;
        }
        clients.retain(|client| client.counted_bytes.get() > 0 && !client.no_evict.get());
        clients.sort_unstable_by_key(|client| std::cmp::Reverse(client.counted_bytes.get()));
        let mut evicted = 0;
        for client in clients {
            if self.bytes <= bytes_max {
                break;
            }
            tracing::info!(
                peer = %client.peer, id = client.id.0, bytes = client.counted_bytes.get(),
                "closing a client because all clients together reached maxmemory-clients"
            );
            client.decide(Fate::CloseNow);
            self.count(&client);
            evicted += 1;
        }
        evicted
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, id: ClientId) -> Option<&Rc<Client>> {
        self.by_id.get(&id)
    }

    /// Those with this id or a later one.
    pub(crate) fn from(&self, id: ClientId) -> impl Iterator<Item = &Rc<Client>> {
        self.by_id.range(id..).map(|(_, client)| client)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<Client>> {
        self.by_id.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        let address = End::Tcp("127.0.0.1:6379".parse().unwrap());
        Client::new(ClientId(7), address.clone(), address, 9, Millis(1_000))
    }

    #[test]
    fn a_client_that_is_being_closed_is_not_opened_again() {
        let client = client();
        for (decided, expected) in [
            (Fate::Finish, Fate::Finish),
            (Fate::CloseAfterReply, Fate::CloseAfterReply),
            (Fate::Finish, Fate::CloseAfterReply),
            (Fate::CloseNow, Fate::CloseNow),
            (Fate::CloseAfterReply, Fate::CloseNow),
            (Fate::Open, Fate::CloseNow),
        ] {
            client.decide(decided);
            assert_eq!(client.fate.get(), expected);
        }
    }

    #[test]
    fn a_reply_is_dropped_as_long_as_it_was_asked_for() {
        use Replies::{Off, On, Skip, SkipBoth, SkipNext};
        for (during, dropped, behind) in [
            (On, false, On),
            (Off, true, Off),
            (Skip, true, On),
            (SkipNext, false, Skip),
            (SkipBoth, true, Skip),
        ] {
            let client = client();
            client.replies.set(during);
            let mut out = b"+before\r\n+reply\r\n".to_vec();
            client.drop_unwanted(9, &mut out);
            assert_eq!(out.len() == 9, dropped, "{during:?}");
            client.next_reply();
            assert_eq!(client.replies.get(), behind, "{during:?}");
        }
    }

    #[test]
    fn a_line_of_client_list_has_the_fields_of_redis_7_2_in_its_order() {
        let client = client();
        client.name.borrow_mut().extend_from_slice(b"worker");
        let mut line = Vec::new();
        let keyspace = Keyspace::new(
            slotway_cluster::Placement::default(),
            [7; 16],
            crate::keyspace::Settings::default(),
        );
        client.describe(&keyspace, Millis(61_500), &mut line);
        let line = String::from_utf8(line).unwrap();
        let names: Vec<&str> = line.split(' ').filter_map(|field| Some(field.split_once('=')?.0)).collect();
        assert_eq!(
            names.join(" "),
            "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp \
             obl oll omem tot-mem events cmd user redir resp lib-name lib-ver"
        );
        assert!(line.contains(" name=worker age=60 idle=60 flags=N db=0 "), "{line}");
    }
}
