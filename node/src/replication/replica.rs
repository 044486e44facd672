//! Following a primary: the shell of [`slotway_cluster::replication::replica`].
//!
//! One task of the keyspace thread holds the connection to the primary, for as long as the node has one ([`Following`]).
//! What is said when, what is held and when to try again is the machine's to decide; here its effects are performed:
//! a snapshot becomes a data set beside the present one ([`loading`]) and takes its place in one step, the stream is cut
//! into units ([`units`]) and executed ([`apply`]), and the same bytes go to this node's own replicas and its log
//! ([`crate::feed::Feed::relay`]).
//!
//! A command that changes whom the node follows changes what clients see at once, and rings; the task, which runs
//! behind the command's turn, then closes the old link before it does anything else.

mod apply;
mod loading;
mod place;
mod report;
mod role;
mod units;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use slotway_cluster::{
    member::may_acknowledge,
    replication::replica::{Effect, Form, Loss, Phase, Replica},
};
use slotway_link::End;
use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
    time::sleep,
};

use super::handing;
use crate::{
    client::{Class, Client, Fate, Standing},
    identity,
    node::{self, Node},
    thread::Thread,
};
use loading::{Loading, Word};
use units::Units;

pub(crate) use place::{LINEAGE, position as position_of_file};
pub(crate) use role::{Following, Primary};

/// Bytes read at once: one turn's work.
const READ_BYTES: usize = 64 * 1024;
/// Acknowledgements that a primary does not take. More, and it is none any more.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Follows whom the node is told to follow, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let changed = Rc::clone(&thread.node.borrow().following.changed);
    loop {
        let primary = thread.node.borrow().following.primary().cloned();
        let Some(primary) = primary else {
            changed.notified().await;
            continue;
        };
        let mut link = Link::new(&thread, primary);
        tokio::select! {
            // First: behind it nothing of the old link may be applied.
            biased;
            () = changed.notified() => {}
            () = link.run() => {}
        }
        link.close().await;
    }
}

/// The link to one primary, through all of its connections.
struct Link<'t> {
    thread: &'t Thread,
    primary: Primary,
    socket: Socket,
    /// What has come and the machine has not taken.
    input: Vec<u8>,
    /// What the socket has not taken.
    output: Vec<u8>,
    units: Units,
    room: apply::Room,
    loading: Option<Loading>,
    /// Not wanted any more, and not ended yet.
    retired: Option<Loading>,
}

enum Socket {
    None,
    Wanted,
    /// The client is what CLIENT LIST shows of it, and what its commands run as.
    Open(TcpStream, Rc<Client>),
}

/// What a link waits for.
enum Happening {
    Due,
    Connected(TcpStream),
    Readable,
    Writable,
    Told(Word),
    /// The helper takes bytes again.
    Room,
    /// Writes need not wait any more.
    Relieved,
    /// The primary is to hear what is held.
    Owes,
    Lost(Loss),
}

impl<'t> Link<'t> {
    fn new(thread: &'t Thread, primary: Primary) -> Link<'t> {
        let node = &mut *thread.node.borrow_mut();
        node.following.begin(&node.replication, &node.settings, node.handing.asks());
        Link {
            thread,
            primary,
            socket: Socket::None,
            input: Vec::with_capacity(READ_BYTES),
            output: Vec::new(),
            units: Units::default(),
            room: apply::Room::default(),
            loading: None,
            retired: None,
        }
    }

    async fn run(&mut self) {
        loop {
            if let Some(loading) = self.retired.take() {
                self.throw_away(loading).await;
            }
            let happening = self.next().await;
            self.handle(happening);
            // Others have their turns between two reads, however much the primary sends.
            tokio::task::yield_now().await;
        }
    }

    /// Ends it for good.
    async fn close(mut self) {
        self.hang_up();
        self.thread.node.borrow_mut().following.end();
        for loading in [self.loading.take(), self.retired.take()].into_iter().flatten() {
            self.throw_away(loading).await;
        }
    }

    /// What was loaded is freed where garbage is.
    async fn throw_away(&self, loading: Loading) {
        if let Some(fresh) = loading.stop().await {
            let node = &mut *self.thread.node.borrow_mut();
            node.keyspace.throw_away(fresh);
            self.thread.end_turn(node);
        }
    }

    async fn next(&mut self) -> Happening {
        let wait = self.thread.node.borrow().following.until_due();
        match &mut self.socket {
            Socket::None => {
                sleep(wait).await;
                Happening::Due
            }
            Socket::Wanted => {
                let from =
                    self.thread.node.borrow().settings.text(slotway_config::Key::BindSourceAddr).to_owned();
                tokio::select! {
                    connected = connect(&self.primary, &from) => match connected {
                        Ok(stream) => Happening::Connected(stream),
                        Err(error) => {
                            let kinds = [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset];
                            self.thread.node.borrow_mut().following.is_turned_away = kinds.contains(&error.kind());
                            Happening::Lost(Loss::Unreachable(error.to_string()))
                        }
                    },
                    () = sleep(wait) => Happening::Due,
                }
            }
            Socket::Open(stream, client) => {
                let may_read = may_read(self.thread, self.loading.as_ref(), client);
                let owes = Rc::clone(&self.thread.node.borrow().following.owes);
                let has_output = !self.output.is_empty();
                tokio::select! {
                    biased;
                    happening = news_of(client) => happening,
                    happening = news_of_loading(self.loading.as_mut()) => happening,
                    () = owes.notified() => Happening::Owes,
                    _ = stream.writable(), if has_output => Happening::Writable,
                    _ = stream.readable(), if may_read => Happening::Readable,
                    () = sleep(wait) => Happening::Due,
                }
            }
        }
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Due => {
                let is_reading = match &self.socket {
                    Socket::Open(_, client) => may_read(self.thread, self.loading.as_ref(), client),
                    Socket::None | Socket::Wanted => true,
                };
                self.decide(|machine, now| {
                    if !is_reading {
                        machine.was_busy(now);
                    }
                    machine.tick(now, random())
                });
            }
            Happening::Connected(stream) => self.begin(stream),
            Happening::Owes => self.pay_word(),
            Happening::Readable => self.read(),
            Happening::Writable => self.flush(),
            Happening::Told(word) => self.heed(word),
            Happening::Room | Happening::Relieved => {
                self.decide(|machine, now| {
                    machine.was_busy(now);
                    Vec::new()
                });
            }
            Happening::Lost(why) => self.lose(why),
        }
    }

    /// Has the machine decide, and does what it says.
    fn decide(&mut self, act: impl FnOnce(&mut Replica, Duration) -> Vec<Effect>) {
        let effects = {
            let node = &mut *self.thread.node.borrow_mut();
            let on_disk = node.stream_on_disk();
            let now = node.following.now();
            let machine = node.following.machine();
            machine.map(|machine| (machine.note_disk(on_disk), act(machine, now)).1).unwrap_or_default()
        };
        self.perform(&[], effects);
    }

    fn lose(&mut self, why: Loss) {
        self.decide(|machine, now| machine.lost(why, now, random()));
    }

    /// Says what is held, if it is to be said.
    fn pay_word(&mut self) {
        let owed = self.thread.node.borrow_mut().following.take_owed();
        if let Some(held) = owed {
            self.decide(|machine, now| machine.hold(held, now));
        }
    }

    /// A member takes nothing of an epoch that is over, and says nothing to its primary (I2): what is read here was published
    /// by the pulse before it promised.
    fn is_over(&self) -> Option<Loss> {
        let node = self.thread.node.borrow();
        let (epoch, seen) = (node.following.epoch?, node.vitals.seen());
        (!may_acknowledge(epoch, seen)).then_some(Loss::Stale(seen))
    }

    /// `bytes` are those that the effects speak of.
    fn perform(&mut self, bytes: &[u8], effects: Vec<Effect>) {
        let is_lost = effects.iter().any(|effect| matches!(effect, Effect::HangUp(_)));
        for effect in effects {
            match effect {
                Effect::Connect => self.socket = Socket::Wanted,
                Effect::Send(words) => self.send(&words),
                Effect::BeginLoad(form) => self.begin_loading(form),
                Effect::Load(len) => {
                    if let Some(loading) = &mut self.loading {
                        loading.add(&bytes[..len]);
                    }
                    self.thread.node.borrow_mut().following.loaded(len);
                }
                Effect::EndLoad => {
                    if let Some(loading) = &mut self.loading {
                        loading.end();
                    }
                }
                Effect::Adopt(point) => {
                    let adopted = self.thread.node.borrow_mut().adopt(point, &mut self.loading);
                    self.retired = adopted;
                    self.select();
                }
                Effect::Continue(renamed) => {
                    self.thread.node.borrow_mut().continue_as(renamed);
                    self.select();
                }
                Effect::Apply(len) => {
                    self.units.add(&bytes[..len]);
                    self.apply();
                }
                Effect::HangUp(why) => {
                    tracing::warn!(primary = %self.primary, "lost the primary: {why}");
                    self.note_loss(&why);
                    self.hang_up();
                }
                Effect::Handed => handing::done(&mut self.thread.node.borrow_mut()),
                Effect::NotHanded => {
                    handing::abort(&mut self.thread.node.borrow_mut(), "the replica does not take over");
                }
            }
        }
        let node = &mut *self.thread.node.borrow_mut();
        node.heed_following();
        if is_lost {
            // Whether a primary is dead is judged by what its replicas say of it, too.
            node.tell_pulse();
        }
    }

    fn note_loss(&self, why: &Loss) {
        let node = &mut *self.thread.node.borrow_mut();
        match why {
            Loss::Closed | Loss::Refused(_) => node.following.is_turned_away = true,
            Loss::Silent => node.following.is_turned_away = false,
            Loss::Stale(epoch) => node.saw_epoch(*epoch),
            Loss::Unreachable(_) | Loss::Garbage(_) | Loss::Snapshot(_) | Loss::Stream(_) => {}
        }
    }

    /// There is a connection.
    fn begin(&mut self, stream: TcpStream) {
        let begun = {
            let node = &mut *self.thread.node.borrow_mut();
            introduce(node, &stream)
        };
        match begun {
            Ok(client) => {
                self.socket = Socket::Open(stream, client);
                let introduction = {
                    let node = &mut *self.thread.node.borrow_mut();
                    let introduction = node.introduction();
                    node.following.epoch = introduction.member.as_ref().map(|member| member.epoch);
                    introduction
                };
                self.decide(|machine, now| machine.connected(introduction, now));
            }
            Err(error) => self.lose(Loss::Unreachable(error.to_string())),
        }
    }

    fn read(&mut self) {
        let Socket::Open(stream, _) = &mut self.socket else { return };
        self.input.reserve(READ_BYTES);
        // Polled once, and woken by nobody: who waits for more waits for it to be readable. What this has over `try_read_buf` is
        // that a read which has not filled its room tells that nothing is left, so that this is not asked again.
        let mut context = Context::from_waker(Waker::noop());
        let read = pin!(stream.read_buf(&mut self.input)).poll(&mut context);
        match read {
            Poll::Ready(Ok(0)) => self.lose(Loss::Closed),
            Poll::Ready(Ok(len)) => {
                self.thread.node.borrow_mut().following.read(len);
                self.take();
            }
            Poll::Pending => {}
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Poll::Ready(Err(_)) => self.lose(Loss::Closed),
        }
    }

    /// Brings the machine what it has not taken, until it takes no more.
    fn take(&mut self) {
        loop {
            let input = std::mem::take(&mut self.input);
            let taken = {
                let following = &mut self.thread.node.borrow_mut().following;
                let now = following.now();
                let Some(machine) = following.machine() else { return };
                machine.received(&input, now, random())
            };
            let is_still = taken.bytes == 0 && taken.effects.is_empty();
            self.perform(&input, taken.effects);
            self.input = input;
            match self.socket {
                // What a lost connection has brought is nobody's.
                Socket::None | Socket::Wanted => self.input.clear(),
                Socket::Open(..) => drop(self.input.drain(..taken.bytes)),
            }
            if is_still || self.input.is_empty() {
                return;
            }
        }
    }

    /// Executes the units that are whole.
    fn apply(&mut self) {
        if let Some(over) = self.is_over() {
            return self.lose(over);
        }
        let Socket::Open(_, client) = &self.socket else { return };
        let client = Rc::clone(client);
        let found = self.units.find();
        let asked = {
            let node = &mut *self.thread.node.borrow_mut();
            let before = client.database.get();
            let asked = apply::run(node, &client, &self.units, &mut self.room);
            let behind = client.database.get();
            node.following.selected(behind);
            node.keyspace.feed.relay(self.units.whole_bytes(), (before, behind));
            self.thread.end_turn(node);
            self.units.drop_whole();
            asked
        };
        let offset = self.thread.node.borrow().replication.offset;
        self.decide(|machine, now| {
            let mut effects = machine.applied(offset, now);
            if asked == apply::Asked::Offset && effects.is_empty() {
                effects = machine.acknowledge(now);
            }
            effects
        });
        self.pay_word();
        if let Err(broken) = found {
            self.lose(Loss::Stream(broken.to_string()));
        }
    }

    /// The client's commands run in the database that the stream has selected.
    fn select(&self) {
        if let Socket::Open(_, client) = &self.socket {
            client.database.set(self.thread.node.borrow().following.database());
        }
    }

    fn begin_loading(&mut self, form: Form) {
        let node = &mut *self.thread.node.borrow_mut();
        tracing::info!(primary = %self.primary, "receiving a snapshot from the primary");
        node.following.begin_loading(form);
        self.loading = Some(Loading::begin(node));
    }

    /// What the helper that reads the snapshot tells.
    fn heed(&mut self, word: Word) {
        let Some(loading) = &mut self.loading else { return };
        match word {
            Word::Keys(keys) => {
                if let Err(why) = loading.insert(keys, node::now()) {
                    self.lose(Loss::Snapshot(why));
                }
            }
            Word::End(database, lineage) => {
                self.thread.node.borrow_mut().following.will_select(database, lineage);
                self.decide(Replica::built);
                self.take();
            }
            Word::Failed(why) => self.lose(Loss::Snapshot(why)),
        }
    }

    fn send(&mut self, words: &[u8]) {
        if let Some(over) = self.is_over() {
            return self.lose(over);
        }
        self.output.extend_from_slice(words);
        self.flush();
    }

    fn flush(&mut self) {
        let Socket::Open(stream, _) = &self.socket else { return };
        while !self.output.is_empty() {
            match stream.try_write(&self.output) {
                Ok(len) => drop(self.output.drain(..len)),
                // A connection that is broken says so when it is read.
                Err(_) => break,
            }
        }
        if self.output.len() > OUTPUT_BYTES_MAX {
            self.lose(Loss::Closed);
        }
    }

    /// Nothing of the connection is left.
    fn hang_up(&mut self) {
        if let Socket::Open(_, client) = std::mem::replace(&mut self.socket, Socket::None) {
            self.thread.node.borrow_mut().clients.remove(client.id);
        }
        self.input.clear();
        self.output.clear();
        self.units.clear();
        self.retired = self.loading.take();
    }
}

/// Whether more of the primary can be worked off. If not, somebody tells when.
fn may_read(thread: &Thread, loading: Option<&Loading>, client: &Client) -> bool {
    let node = thread.node.borrow();
    let is_building = loading.is_some_and(|loading| !loading.has_room());
    // Writes wait for the disk.
    let is_held = !node.congestion.is_none() && node.following.phase() == Some(Phase::Connected);
    client.is_paused.set(is_held);
    !is_building && !is_held
}

/// Ready when CLIENT KILL or the end of a congestion concerns the link.
async fn news_of(client: &Client) -> Happening {
    let was_held = client.is_paused.get();
    poll_fn(|context| {
        client.register(context.waker());
        match client.fate.get() {
            Fate::CloseNow | Fate::CloseAfterReply => Poll::Ready(Happening::Lost(Loss::Closed)),
            Fate::Open | Fate::Finish | Fate::Departs if was_held && !client.is_paused.get() => {
                Poll::Ready(Happening::Relieved)
            }
            Fate::Open | Fate::Finish | Fate::Departs => Poll::Pending,
        }
    })
    .await
}

/// Ready when the helper has read something, or has room behind having had none.
async fn news_of_loading(loading: Option<&mut Loading>) -> Happening {
    match loading {
        None => std::future::pending().await,
        Some(loading) if loading.is_full() => {
            let (chunks, words) = loading.both();
            tokio::select! {
                word = loading::word(words) => Happening::Told(word),
                () = loading::room(chunks) => Happening::Room,
            }
        }
        Some(loading) => Happening::Told(loading::word(loading.both().1).await),
    }
}

/// The client of a connection to the primary, known to all.
fn introduce(node: &mut Node, stream: &TcpStream) -> io::Result<Rc<Client>> {
    slotway_link::tune(stream, node.bounds.keepalive)?;
    let (peer, local) = End::both(stream)?;
    let id = node.clients.next_id();
    let client = Client::new(id, peer, local, stream.as_raw_fd(), node::now());
    client.standing.set(Standing::Primary);
    client.class.set(Class::Primary);
    client.database.set(node.following.database());
    let client = Rc::new(client);
    node.clients.insert(Rc::clone(&client));
    Ok(client)
}

/// A name is resolved on another thread. `from` is `bind-source-addr`.
async fn connect(primary: &Primary, from: &str) -> io::Result<TcpStream> {
    if from.is_empty() {
        return TcpStream::connect((primary.host.as_str(), primary.port)).await;
    }
    let from: std::net::IpAddr = from.parse().map_err(io::Error::other)?;
    let mut last = io::Error::other("the name has no address of the kind of bind-source-addr");
    for address in tokio::net::lookup_host((primary.host.as_str(), primary.port)).await? {
        let socket = match address {
            SocketAddr::V4(_) if from.is_ipv4() => TcpSocket::new_v4()?,
            SocketAddr::V6(_) if from.is_ipv6() => TcpSocket::new_v6()?,
            SocketAddr::V4(_) | SocketAddr::V6(_) => continue,
        };
        socket.bind(SocketAddr::new(from, 0))?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn random() -> u64 {
    u64::from_le_bytes(identity::random())
}
