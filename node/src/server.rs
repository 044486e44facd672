//! Starts a node, runs it, stops it.
//!
//! [`start`] binds the addresses and reports what is wrong with them before any thread exists; then one thread runs a
//! current-thread runtime with everything on it: accepting, clients, housekeeping. Others reach it only through
//! [`Running`]. Stopping is orderly: no new clients, what has arrived is executed and answered, then the thread ends;
//! every task is owned by the one that waits for it here. Data on disk are loaded first; meanwhile clients are told to wait.

use std::{fmt, io, os::fd::AsRawFd, pin::pin, rc::Rc, sync::Arc, thread::JoinHandle};

use slotway_cluster::pulse::{Boot, wire::Part};
use slotway_config::{Key, NodeConfig, Settings};
use slotway_link::{Acceptor, BindError, End, Listening};
use tokio::{
    net::TcpStream,
    runtime::LocalOptions,
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
};

use crate::{
    advice,
    bounds::Bounds,
    client::{Client, Fate},
    connection::{self, Connection},
    housekeeping,
    membership::{KeptIn, Membership},
    metrics::Published,
    migrate,
    node::{self, Node},
    pause::Purpose,
    persistence::{
        aof,
        loading::{self, LoadError},
        save,
    },
    pulse::{self, PulseThread},
    replication, shard,
    shutdown::{self, Cause, Wish},
    thread::Thread,
    vitals::Vitals,
};

/// Orders that may wait for the keyspace thread.
const ORDERS_MAX: usize = 16;

/// Why a node does not start.
#[derive(Debug)]
pub enum StartError {
    Bind(BindError),
    /// `node.json` cannot be used; says why.
    Membership(String),
    /// What is on disk cannot be used; says why.
    Persistence(String),
    /// The system gives no thread or no runtime.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind(error) => error.fmt(f),
            StartError::Membership(text) | StartError::Persistence(text) => f.write_str(text),
            StartError::System(error) => write!(f, "cannot start the keyspace thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Why a node that was started has ended, though nobody asked it to.
#[derive(Debug)]
pub enum EndError {
    /// Its data cannot be loaded; says why, and what to do.
    Data(String),
    /// `node.json` cannot be written.
    NodeFile(io::Error),
    System(io::Error),
    Panic,
}

impl fmt::Display for EndError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndError::Data(text) => f.write_str(text),
            EndError::NodeFile(error) => write!(f, "cannot write node.json: {error}"),
            EndError::System(error) => write!(f, "a thread of the node cannot run: {error}"),
            EndError::Panic => f.write_str("a thread of the node ended in a panic"),
        }
    }
}

impl std::error::Error for EndError {}

/// A node that runs. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Running {
    port: u16,
    pulse_port: Option<u16>,
    log_level: watch::Receiver<String>,
    published: Arc<Published>,
    #[cfg(test)]
    pub(crate) vitals: Arc<Vitals>,
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<Result<(), EndError>>>,
}

/// What another thread asks of the keyspace thread.
#[derive(Debug)]
enum Order {
    Stop(Cause),
    Adopt(Box<Settings>),
}

/// Binds, starts the keyspace thread and returns while it serves.
///
/// # Errors
/// An address that cannot be listened on, a `node.json` that cannot be read, no thread.
pub fn start(config: NodeConfig) -> Result<Running, StartError> {
    let disk = Arc::new(aof::disk::System::new(&config.dir));
    start_on(config, disk)
}

/// As [`start`], with the append-only log on this disk.
pub(crate) fn start_on(config: NodeConfig, disk: Arc<dyn aof::disk::Disk>) -> Result<Running, StartError> {
    let NodeConfig { mut settings, bind, port, pulse_port, secret, dir, .. } = config;
    let membership = Membership::load(&dir).map_err(StartError::Membership)?;
    let mut log = aof::Log::default();
    let opened = log.open(disk, &settings);
    opened.map_err(|error| StartError::Persistence(error.to_string()))?;
    let listening = slotway_link::bind_for_clients(&settings, &bind, port).map_err(StartError::Bind)?;
    let backlog = u32::try_from(settings.count(Key::TcpBacklog)).unwrap_or(u32::MAX);
    let bind_pulse = |port| slotway_link::bind(&bind, port, "--pulse-port", backlog);
    let pulse_listening = pulse_port.map(bind_pulse).transpose().map_err(StartError::Bind)?;
    let port = listening.port;
    let pulse_port = pulse_listening.as_ref().map(|listening| listening.port);
    for (key, port) in [(Key::Port, Some(port)), (Key::PulsePort, pulse_port)] {
        let recorded = port.map(|port| settings.record(key, &port.to_string()));
        debug_assert!(recorded.is_none_or(|recorded| recorded.is_ok()), "a port is a valid value");
    }
    advice::apply(&mut settings);

    let vitals = Arc::new(Vitals::default());
    let pulse = match (pulse_listening, &secret) {
        (Some(listening), Some(secret)) => Some(pulse::Given {
            listening,
            secret: secret.clone(),
            keepalive: Bounds::of(&settings).keepalive,
            vitals: Arc::clone(&vitals),
            keeper: Arc::clone(&membership.keeper),
        }),
        _ => None,
    };
    let pulse = pulse.map(pulse::start).transpose().map_err(StartError::System)?;
    let published = Arc::new(Published::new(Arc::clone(&vitals)));
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let (for_thread, for_node) = (Arc::clone(&published), Arc::clone(&vitals));
    let (log_level_changes, log_level) = watch::channel(settings.text(Key::Loglevel).to_owned());
    let thread = std::thread::Builder::new()
        .name("keyspace".into())
        .spawn(move || {
            let mut node = Node::new(settings, secret, membership, port);
            node.log_level = Some(log_level_changes);
            node.persistence.log = log;
            node.vitals = for_node;
            node.pulse_port = pulse_port;
            run(node, listening, (received, pulse), for_thread)
        })
        .map_err(StartError::System)?;
    Ok(Running {
        port,
        pulse_port,
        log_level,
        published,
        #[cfg(test)]
        vitals,
        orders,
        thread: Some(thread),
    })
}

impl Running {
    /// The client port, also when 0 was asked for.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The pulse port, if it has one.
    pub fn pulse_port(&self) -> Option<u16> {
        self.pulse_port
    }

    /// The node's metrics, for `/metrics`.
    pub fn registry(&self) -> prometheus::Registry {
        crate::metrics::registry(Arc::clone(&self.published))
    }

    /// Takes over freshly read settings, as far as a running node can.
    pub async fn adopt(&self, settings: Settings) {
        // A node that has ended needs no settings.
        let _ = self.orders.send(Order::Adopt(Box::new(settings))).await;
    }

    /// The setting `loglevel`, and word of its changes: logging belongs to the program, not to the node.
    pub fn log_level(&self) -> watch::Receiver<String> {
        self.log_level.clone()
    }

    /// Tells whether the node has its data and serves.
    pub fn readiness(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let published = Arc::clone(&self.published);
        move || published.is_ready()
    }

    /// Asks it to stop: no new clients, what has arrived is answered, what is to be saved is saved. Then wait for
    /// [`Running::ended`]; a node that cannot save goes on.
    pub fn stop(&self, cause: Cause) {
        // Full: an order to stop is among those that wait, or follows them. Closed: it has ended.
        let _ = self.orders.try_send(Order::Stop(cause));
    }

    /// Returns once the node has ended: after [`Running::stop`], or because a client said SHUTDOWN.
    pub async fn ended(&self) {
        self.orders.closed().await;
    }

    /// Waits on this thread until the node has ended.
    ///
    /// # Errors
    /// Its data could not be loaded, or it ended in a panic.
    pub fn join(mut self) -> Result<(), EndError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or(Err(EndError::Panic))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop(Cause::Abandoned);
    }
}

/// The keyspace thread from beginning to end.
fn run(
    node: Node,
    listening: Listening,
    (orders, pulse): (mpsc::Receiver<Order>, Option<PulseThread>),
    published: Arc<Published>,
) -> Result<(), EndError> {
    let (wakes, rests) = (Arc::clone(&node.vitals), Arc::clone(&node.vitals));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(move || wakes.progress.wakes())
        .on_thread_park(move || rests.progress.rests())
        .build_local(LocalOptions::default())
        .map_err(EndError::System)?;
    let outcome = runtime.block_on(async {
        let acceptor = Acceptor::new(listening).map_err(EndError::System)?;
        let (thread, helper) = Thread::new(node).map_err(EndError::System)?;
        let thread = Rc::new(thread);
        thread.node.borrow_mut().memory.note_startup();
        let mut background = JoinSet::new();
        background.spawn_local(aof::run(Rc::clone(&thread)));
        background.spawn_local(aof::rewrite::run(Rc::clone(&thread)));
        background.spawn_local(aof::reload::run(Rc::clone(&thread)));
        background.spawn_local(migrate::run(Rc::clone(&thread)));
        background.spawn_local(housekeeping::run(Rc::clone(&thread), Arc::clone(&published)));
        background.spawn_local(connection::run_waves(Rc::clone(&thread)));
        background.spawn_local(replication::primary::run(Rc::clone(&thread)));
        background.spawn_local(replication::handing::run(Rc::clone(&thread)));
        background.spawn_local(save::run::run(Rc::clone(&thread)));
        background.spawn_local(shutdown::run::run(Rc::clone(&thread)));
        let mut served = Served { thread, acceptor, orders, pulse, published };
        let (tasks, outcome) = served.run(&mut background).await;
        let Served { thread, pulse, .. } = served;
        drain(&thread, tasks).await;
        shutdown::run::finish(&mut thread.node.borrow_mut());
        background.abort_all();
        while let Some(ended) = background.join_next().await {
            report(ended);
        }
        close(&thread, pulse, outcome.is_ok()).await;
        let parting = thread.parting.take();
        // The helper ends when the last sender is gone.
        drop(thread);
        let helped = tokio::task::spawn_blocking(move || helper.join()).await;
        if !matches!(helped, Ok(Ok(()))) {
            tracing::error!("the helper that frees memory has panicked");
        }
        tracing::info!("stopped");
        drop(parting);
        outcome
    });
    // What hangs on a disk is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Waits until everything is on the disk and nobody promises anything any more, and notes what that means for the next start.
async fn close(thread: &Thread, pulse: Option<PulseThread>, has_its_data: bool) {
    if let Some(pulse) = pulse {
        let pulse = pulse.stop();
        let stopped = tokio::task::spawn_blocking(move || pulse.join()).await;
        if !matches!(stopped, Ok(Ok(_))) {
            tracing::error!("the pulse thread has panicked");
        }
    }
    let (closing, patience) = {
        let node = &mut *thread.node.borrow_mut();
        thread.deliver(node);
        aof::mark_now(node);
        (node.persistence.log.close(), shutdown::run::patience(node).max(shutdown::run::DISK_PATIENCE_MIN))
    };
    let closed = tokio::task::spawn_blocking(move || closing.wait());
    let is_log_whole = match tokio::time::timeout(patience, closed).await {
        Ok(is_whole) => is_whole.unwrap_or(false),
        Err(_) => {
            tracing::error!("the disk does not answer: ending without the last of the append-only log");
            false
        }
    };
    let node = &*thread.node.borrow();
    let is_saved = node.saves_at_end
        && node.keyspace.stats.changes == 0
        && node.persistence.saved_at == node.position_in_stream();
    let kept_in = match node.settings.flag(Key::Appendonly) {
        true => is_log_whole.then_some(KeptIn::Log),
        false => is_saved.then_some(KeptIn::Snapshot),
    };
    if let Some(kept_in) = kept_in.filter(|_| has_its_data) {
        node.end_life(kept_in);
    }
}

/// What is waited for while the node serves.
struct Served {
    thread: Rc<Thread>,
    acceptor: Acceptor,
    orders: mpsc::Receiver<Order>,
    pulse: Option<PulseThread>,
    published: Arc<Published>,
}

impl Served {
    /// Accepts and serves until somebody orders a stop, or the data turn out to be unreadable. Returns the connections that
    /// are left. What runs in the background ends only in a panic.
    async fn run(&mut self, background: &mut JoinSet<()>) -> (JoinSet<()>, Result<(), EndError>) {
        let Served { thread, acceptor, orders, pulse, published } = self;
        let mut connections = JoinSet::new();
        let vitals = Arc::clone(&thread.node.borrow().vitals);
        vitals.tell(|told| told.part = Part::Loading);
        let born = thread.node.borrow_mut().be_born();
        let is_born = match born {
            Ok(boot) => begin(pulse.as_mut(), boot),
            Err(error) => return (connections, Err(EndError::NodeFile(error))),
        };
        let asked = Rc::clone(&thread.node.borrow().stop);
        let mut loading = pin!(load(thread, published));
        let mut is_loading = true;
        loop {
            tokio::select! {
                (stream, peer) = acceptor.accept() => welcome(thread, &mut connections, stream, peer),
                Some(ended) = connections.join_next() => report(ended),
                Some(ended) = background.join_next() => report(ended),
                () = end_of(pulse.as_mut()) => return (connections, Err(EndError::Panic)),
                loaded = &mut loading, if is_loading => {
                    is_loading = false;
                    if let Err(error) = loaded {
                        return (connections, Err(EndError::Data(error.to_string())));
                    }
                    vitals.tell(|told| told.part = Part::None);
                    let came_back = match is_born {
                        true => Ok(None),
                        false => thread.node.borrow_mut().come_back().map(Some),
                    };
                    match came_back {
                        Ok(boot) => begin(pulse.as_mut(), boot),
                        Err(error) => return (connections, Err(EndError::NodeFile(error))),
                    };
                    thread.node.borrow_mut().resume_stream();
                    // Loading is nobody's role.
                    thread.node.borrow_mut().take_role();
                    background.spawn_local(replication::replica::run(Rc::clone(thread)));
                    thread.node.borrow_mut().return_to_seat();
                    background.spawn_local(shard::run(Rc::clone(thread)));
                }
                order = orders.recv() => match order {
                    Some(Order::Adopt(settings)) => adopt(&mut thread.node.borrow_mut(), &settings),
                    Some(Order::Stop(cause)) => {
                        let node = &mut *thread.node.borrow_mut();
                        let wish = Wish::of(cause, node);
                        shutdown::run::begin(node, wish, None);
                    }
                    None => break,
                },
                () = asked.notified() => break,
            }
        }
        (connections, Ok(()))
    }
}

/// Tells the pulse who the process is, once that is known. Returns whether it is.
fn begin(pulse: Option<&mut PulseThread>, boot: Option<Boot>) -> bool {
    let is_known = boot.is_some();
    if let (Some(pulse), Some(boot)) = (pulse, boot) {
        pulse.begin(boot);
    }
    is_known
}

/// Ready when the pulse thread, if there is one, has ended although nobody asked it to.
async fn end_of(pulse: Option<&mut PulseThread>) {
    match pulse {
        Some(pulse) => pulse.ended().await,
        None => std::future::pending().await,
    }
}

/// Loads what is on disk; then the node is ready.
async fn load(thread: &Rc<Thread>, published: &Published) -> Result<(), LoadError> {
    loading::at_start(thread).await?;
    published.set_ready();
    let port = thread.node.borrow().port;
    tracing::info!(port, "ready to accept connections on port {port}");
    Ok(())
}

/// A new connection: counted, refused if there are too many, else given its task.
fn welcome(thread: &Rc<Thread>, connections: &mut JoinSet<()>, stream: TcpStream, peer: End) {
    let node = &mut *thread.node.borrow_mut();
    if node.clients.len() >= node.bounds.clients_max {
        node.statistics.connections_rejected += 1;
        // A fresh socket takes a line at once, or its client is past caring.
        let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
        return;
    }
    node.statistics.connections_received += 1;
    let Ok((_, local)) = End::both(&stream) else { return };
    if let Err(error) = slotway_link::tune(&stream, node.bounds.keepalive) {
        tracing::debug!(%peer, %error, "a connection broke before it was served");
        return;
    }
    let id = node.clients.next_id();
    let client = Rc::new(Client::new(id, peer, local, stream.as_raw_fd(), node::now()));
    client.standing.set(node.fresh_standing());
    node.clients.insert(Rc::clone(&client));
    connections.spawn_local(connection::run(Connection::new(stream, client), Rc::clone(thread)));
}

/// A task has ended. In a panic: then nobody knows what state a half-executed command left behind, and the node
/// ends too, rather than go on with data that may be wrong.
pub(crate) fn report(ended: Result<(), JoinError>) {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(()) | Err(Err(_)) => {}
        Err(Ok(panic)) => {
            tracing::error!("a command ended in a panic: the node stops");
            std::panic::resume_unwind(panic);
        }
    }
}

/// SIGHUP's settings.
fn adopt(node: &mut Node, fresh: &Settings) {
    let before = node.settings.clone();
    let adopted = node.settings.adopt(fresh);
    if let Err(error) = node.heed_syncing() {
        tracing::error!(%error, "the settings stay as they are: node.json would still say that everything is synced");
        node.settings = before;
        return;
    }
    if adopted.changed.contains(&Key::Maxclients) {
        // More than the system allows may have been written there.
        advice::apply(&mut node.settings);
    }
    if let Err(error) = aof::switch(node) {
        tracing::warn!(%error, "cannot turn the append-only log on");
    }
    node.settings_changed();
    let names = |keys: &[Key]| keys.iter().map(|key| key.name()).collect::<Vec<_>>().join(", ");
    tracing::info!(changed = %names(&adopted.changed), "read the settings anew");
    if !adopted.need_restart.is_empty() {
        tracing::warn!(settings = %names(&adopted.need_restart), "changed, but need a restart to take effect");
    }
}

/// Lets every client have the replies to what it has already sent, as long as `shutdown-timeout` allows.
async fn drain(thread: &Rc<Thread>, mut connections: JoinSet<()>) {
    thread.parting.replace(Some(Vec::new()));
    let patience = {
        let node = &mut *thread.node.borrow_mut();
        node.unpause(Purpose::Operator);
        node.unpause(Purpose::Ending);
        node.give_up_waits();
        match node.ending.is_hasty() {
            true => node.cut_replicas(),
            false => node.ask_for_last_acks(),
        }
        thread.deliver(node);
        for client in node.clients.iter() {
            client.decide(Fate::Finish);
        }
        shutdown::run::patience(node)
    };
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(patience, all_ended).await.is_err() {
        tracing::warn!(clients = connections.len(), "stopping although clients have not taken their replies");
        connections.shutdown().await;
    }
}
