//! A data thread: its clients, its links, its copy of the topology, its clock.
//!
//! Each data thread is a current-thread runtime that owns everything it touches: nothing on the way of a request takes
//! a lock or writes to memory that another thread writes to. What all threads share ([`crate::shared::Shared`]) is
//! looked at once per read batch and copied when it changed.

use std::{
    cell::{Cell, Ref, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Instant,
};

use arc_swap::Cache;
use slotway_cluster::{Epoch, Placement, ShardId, Slot, Topology, topology::Kind};
use slotway_config::Settings;
use slotway_link::Credentials;
use slotway_resp::Parser;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use crate::{
    client::{self, Client, Fate, Stall},
    follow::{self, Follow, plan::News},
    inbox,
    lease::Leases,
    limits::Limits,
    link::{self, Link, LinkKey},
    local,
    message::Message,
    metrics::Counters,
    pause::{Ebb, Pause},
    read_from::ReadFrom,
    routes::Routes,
    shared::Shared,
    turn::{self, Turn},
};

mod links;
mod sweep;

/// CLIENT LIST and KILL copy what is known of all clients: so many at a time.
const LISTINGS_MAX: usize = 1;

/// Buffers of replies kept for the next client that needs one, and the largest that is kept.
const SPARE_BUFFERS_MAX: usize = 64;
const SPARE_BUFFER_BYTES_MAX: usize = 256 * 1024;

type Watched<T> = RefCell<Cache<Arc<arc_swap::ArcSwap<T>>, Arc<T>>>;

pub(crate) struct Thread {
    /// Which of the proxy's data threads it is, from 0.
    number: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) turn: Turn,
    pub(crate) read_buffer: RefCell<Vec<u8>>,
    pub(crate) listings: Semaphore,
    pub(crate) leases: Leases,
    pub(crate) pause: Cell<Pause>,
    /// Who pauses waits for it.
    pub(crate) writes_over: Ebb,
    pub(crate) follow: Follow,
    /// A client's request may be waiting for somebody to own its slot.
    pub(crate) has_homeless: Cell<bool>,
    /// The limits' own, at hand for every request.
    pub(crate) read_from: Cell<ReadFrom>,
    parser: RefCell<Parser>,
    started: Instant,
    now_us: Cell<u64>,
    random: Cell<u64>,
    /// The topology's, by which the routes were made.
    version: Cell<u64>,
    topology: Watched<Topology>,
    settings: Watched<Settings>,
    limits: RefCell<Limits>,
    routes: RefCell<Routes>,
    links: RefCell<HashMap<LinkKey, (Rc<Link>, AbortHandle)>>,
    clients: RefCell<HashMap<u64, Rc<Client>>>,
    spare_buffers: RefCell<Vec<Vec<u8>>>,
    tasks: RefCell<JoinSet<()>>,
}

impl Thread {
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Rc<Thread> {
        let mut topology = Cache::new(Arc::clone(&shared.topology));
        let mut settings = Cache::new(Arc::clone(&shared.settings));
        let routes = Routes::new(Arc::clone(topology.load()), shared.epochs);
        let limits = Limits::of(settings.load(), shared.counters.len());
        let counters = Arc::clone(&shared.counters[number]);
        Rc::new(Thread {
            number,
            counters,
            turn: Turn::default(),
            read_buffer: RefCell::new(vec![0; inbox::SHARED_BYTES]),
            listings: Semaphore::new(LISTINGS_MAX),
            leases: Leases::default(),
            pause: Cell::default(),
            writes_over: Ebb::default(),
            follow: Follow::default(),
            has_homeless: Cell::new(false),
            read_from: Cell::new(limits.read_from),
            parser: RefCell::default(),
            started: shared.started,
            now_us: Cell::new(0),
            random: Cell::new(shared.seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            version: Cell::new(routes.topology.version),
            topology: RefCell::new(topology),
            settings: RefCell::new(settings),
            limits: RefCell::new(limits),
            routes: RefCell::new(routes),
            links: RefCell::default(),
            clients: RefCell::default(),
            spare_buffers: RefCell::default(),
            tasks: RefCell::default(),
            shared,
        })
    }

    /// Reads the clock and what the threads share: once per read batch.
    pub(crate) fn tick(&self) {
        let elapsed = self.started.elapsed();
        self.now_us.set(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        let mut topology = self.topology.borrow_mut();
        let topology = topology.load();
        if !Arc::ptr_eq(topology, &self.routes.borrow().topology) {
            let fresh = Routes::new(Arc::clone(topology), self.shared.epochs);
            self.version.set(fresh.topology.version);
            let former = self.routes.replace(fresh);
            self.follow.hurry();
            if !self.routes.borrow_mut().keep_links_of(former) {
                self.settle_clients();
                self.follow.look_at_links();
            }
        }
        let mut settings = self.settings.borrow_mut();
        let settings = settings.load();
        if !Arc::ptr_eq(settings, &self.limits.borrow().of) {
            *self.limits.borrow_mut() = Limits::of(settings, self.shared.counters.len());
            self.read_from.set(self.limits.borrow().read_from);
        }
    }

    /// The topology has changed: a client that is owed replies waits for them before it sends anything more, so that its
    /// requests for one key never travel on two links at a time.
    fn settle_clients(&self) {
        for client in self.clients.borrow().values() {
            client.end_homelessness();
            // A large request goes on where it began.
            let streams = client.upload.borrow().as_ref().is_some_and(|upload| upload.is_open());
            if client.replies.borrow().outstanding() > 0 && !streams {
                client.stall.set(Some(Stall::Order));
                client.stopped_early.set(true);
            }
        }
    }

    /// Takes a copy of the pause that is in force; if none is, the clients that waited go on.
    pub(crate) fn look_at_pause(&self) {
        let shared = *self.shared.pause.lock().unwrap_or_else(PoisonError::into_inner);
        self.pause.set(shared.at(self.now_us()));
        if self.pause.get().is_none() {
            self.clients.borrow().values().for_each(|client| client.end_pause(self.now_us()));
            self.writes_over.look();
        }
    }

    /// Whether a write that was taken on until then has not been answered.
    pub(crate) fn owes_write(&self, until_us: u64) -> bool {
        self.follow.owes_write(until_us) || self.all_links().iter().any(|link| link.owes_write(until_us))
    }

    /// Microseconds on the thread's clock, as of the last [`Thread::tick`].
    pub(crate) fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    /// A number for jitter, sampling and choosing among equals (xorshift64*; nothing secret hangs on it).
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn limits(&self) -> Ref<'_, Limits> {
        self.limits.borrow()
    }

    pub(crate) fn placement(&self) -> Ref<'_, Placement> {
        Ref::map(self.routes.borrow(), |routes| &routes.topology.placement)
    }

    pub(crate) fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.routes.borrow().topology)
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.shared.settings.load_full()
    }

    /// Index of the shard that owns the slot.
    pub(crate) fn owner(&self, slot: Slot) -> Option<usize> {
        self.routes.borrow().map.owner(slot)
    }

    pub(crate) fn shard_count(&self) -> usize {
        self.routes.borrow().shards.len()
    }

    pub(crate) fn shard_ids(&self) -> Vec<ShardId> {
        self.routes.borrow().shards.iter().map(|route| route.id).collect()
    }

    /// What the nodes are. A proxy stands in front of one kind.
    pub(crate) fn kind(&self) -> Kind {
        self.routes.borrow().topology.shards.first().map_or(Kind::Slotway, |shard| shard.kind)
    }

    pub(crate) fn node_credentials(&self) -> Option<Credentials> {
        self.shared.node_credentials.clone()
    }

    /// `host:port` of a shard's primary.
    pub(crate) fn address(&self, shard: usize) -> Arc<str> {
        Arc::clone(&self.routes.borrow().shards[shard].address)
    }

    /// 0: the shard has none.
    pub(crate) fn epoch(&self, shard: usize) -> Epoch {
        self.routes.borrow().shards[shard].epoch
    }

    /// Whether the primary at this address is at one long command, and serves in this epoch. For the sweep.
    pub(crate) fn is_at_work(&self, address: &str, epoch: Epoch) -> bool {
        self.shared.at_work.load().has(address, epoch)
    }

    /// That of the shard that the node at this address belongs to. 0: it has none.
    pub(crate) fn epoch_at(&self, address: &Arc<str>) -> Epoch {
        self.routes.borrow().epoch_at(address)
    }

    /// What is known of the shard with this id.
    pub(crate) fn known(&self, id: ShardId) -> News {
        let routes = self.routes.borrow();
        let epoch = routes.route(id).map_or(Epoch(0), |route| route.epoch);
        News { epoch, version: routes.topology.version }
    }

    /// The shard with this id.
    pub(crate) fn shard_with(&self, id: ShardId) -> Option<usize> {
        self.routes.borrow().place(id)
    }

    /// Whether the node at this address is the primary of any shard.
    pub(crate) fn is_primary(&self, address: &str) -> bool {
        self.routes.borrow().primary_of(address).is_some()
    }

    /// The addresses of a shard's replicas.
    pub(crate) fn replicas(&self, shard: usize) -> Ref<'_, [Arc<str>]> {
        Ref::map(self.routes.borrow(), |routes| &*routes.shards[shard].replicas)
    }

    pub(crate) fn shard_id(&self, shard: usize) -> ShardId {
        self.routes.borrow().shards[shard].id
    }

    pub(crate) fn add_client(&self, client: &Rc<Client>) {
        self.clients.borrow_mut().insert(client.id, Rc::clone(client));
    }

    /// The connection with this id has ended.
    pub(crate) fn forget_client(&self, id: u64) {
        self.clients.borrow_mut().remove(&id);
        self.shared.clients[self.number].fetch_sub(1, Ordering::Relaxed);
    }

    /// This thread's clients, oldest first.
    pub(crate) fn clients(&self) -> Vec<Rc<Client>> {
        let mut clients: Vec<Rc<Client>> = self.clients.borrow().values().cloned().collect();
        clients.sort_by_key(|client| client.id);
        clients
    }

    /// Runs a task of this thread until it ends or the thread stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.tasks.borrow_mut().spawn_local(task);
    }

    /// The parser for clients of whom no request has come in part.
    pub(crate) fn parser(&self) -> Parser {
        self.parser.take()
    }

    /// It is idle again.
    pub(crate) fn keep_parser(&self, parser: Parser) {
        self.parser.replace(parser);
    }

    /// Takes back the buffer of a client that has sent everything: idle clients hold none.
    pub(crate) fn recycle(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        let mut spare = self.spare_buffers.borrow_mut();
        if buffer.capacity() > 0
            && buffer.capacity() <= SPARE_BUFFER_BYTES_MAX
            && spare.len() < SPARE_BUFFERS_MAX
        {
            spare.push(std::mem::take(buffer));
        } else {
            *buffer = Vec::new();
        }
    }

    /// A buffer for a client that is about to be answered.
    pub(crate) fn lend(&self, buffer: &mut Vec<u8>) {
        if buffer.capacity() == 0
            && let Some(spare) = self.spare_buffers.borrow_mut().pop()
        {
            *buffer = spare;
        }
    }

    /// Lets go of tasks that have ended. One that panicked takes the thread with it: what it left behind (a request half
    /// written to a shared link) cannot be trusted.
    fn reap(&self) {
        while let Some(ended) = self.tasks.borrow_mut().try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

/// Runs a data thread until it is told to stop and its clients have been answered or cut.
pub(crate) async fn run(shared: Arc<Shared>, number: usize, mut messages: mpsc::Receiver<Message>) {
    let thread = Thread::new(shared, number);
    thread.spawn(turn::write_what_is_marked(Rc::clone(&thread)));
    thread.spawn(follow::run(Rc::clone(&thread)));
    let mut versions = thread.shared.versions.clone();
    let mut sweep = tokio::time::interval(sweep::INTERVAL);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sweeps: u32 = 0;
    let mut stopping = false;
    while !(stopping && thread.clients.borrow().is_empty()) {
        tokio::select! {
            message = messages.recv(), if !stopping => match message {
                Some(message) => receive(&thread, message),
                None => {
                    // Whoever sends messages is gone: the proxy stops. The sweep sees when the last client has left.
                    stopping = true;
                    thread.clients().iter().for_each(|client| client.decide(Fate::Drain));
                }
            },
            _ = sweep.tick() => {
                sweeps = sweeps.wrapping_add(1);
                thread.sweep(sweeps);
            }
            // What waits for another topology does not wait for the clock, too.
            Ok(()) = versions.changed() => {
                sweeps = sweeps.wrapping_add(1);
                thread.sweep(sweeps);
                sweep.reset_after(link::primacy::GRACE);
            }
        }
        thread.reap();
    }
    let mut tasks = std::mem::take(&mut *thread.tasks.borrow_mut());
    tasks.shutdown().await;
}

fn receive(thread: &Rc<Thread>, message: Message) {
    match message {
        Message::Client { stream, id } => accept(thread, stream, id),
        Message::ListClients { answer } => {
            thread.tick();
            let cards = thread.clients().iter().map(|client| client.card(thread)).collect();
            // Whoever asked may be gone.
            let _ = answer.send(cards);
        }
        Message::LookAtPause { answer } => {
            thread.tick();
            thread.look_at_pause();
            thread.spawn(local::pause::answer_when_in_force(Rc::clone(thread), answer));
        }
        Message::KillClients { ids } => {
            thread.clients().iter().filter(|client| ids.contains(&client.id)).for_each(|client| {
                client.decide(Fate::CloseNow);
            });
        }
    }
}

fn accept(thread: &Rc<Thread>, stream: std::net::TcpStream, id: u64) {
    thread.tick();
    let keepalive = thread.limits().keepalive;
    let ready = TcpStream::from_std(stream).and_then(|stream| {
        slotway_link::tune(&stream, keepalive)?;
        Ok(stream)
    });
    match ready {
        Ok(stream) => thread.spawn(client::drive::run(Rc::clone(thread), stream, id)),
        Err(error) => {
            tracing::debug!(%error, "an accepted connection broke at once");
            thread.forget_client(id);
        }
    }
}
