//! Starts a node, runs it, stops it.
//!
//! [`start`] binds the addresses and reports what is wrong with them before any thread exists; then one thread runs a
//! current-thread runtime with everything on it: accepting, clients, housekeeping. Others reach it only through
//! [`Running`]. Stopping is orderly: no new clients, what has arrived is executed and answered, then the thread ends;
//! every task is owned by the one that waits for it here.

use std::{fmt, io, os::fd::AsRawFd, rc::Rc, sync::Arc, thread::JoinHandle, time::Duration};

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
    client::{Client, Fate},
    connection::{self, Connection},
    housekeeping,
    membership::Membership,
    metrics::Published,
    node::{self, Node},
    persistence::aof,
    replication,
    thread::Thread,
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

/// A node that runs. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Running {
    port: u16,
    log_level: watch::Receiver<String>,
    published: Arc<Published>,
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// What another thread asks of the keyspace thread.
#[derive(Debug)]
enum Order {
    Stop,
    Adopt(Box<Settings>),
}

/// Binds, starts the keyspace thread and returns while it serves.
///
/// # Errors
/// An address that cannot be listened on, a `node.json` that cannot be read, no thread.
pub fn start(config: NodeConfig) -> Result<Running, StartError> {
    let NodeConfig { mut settings, bind, port, secret, dir, .. } = config;
    let membership = Membership::load(&dir).map_err(StartError::Membership)?;
    let mut log = aof::Log::default();
    let opened = log.open(Arc::new(aof::disk::System::new(&dir)), &settings);
    opened.map_err(|error| StartError::Persistence(error.to_string()))?;
    let listening = slotway_link::bind_for_clients(&settings, &bind, port).map_err(StartError::Bind)?;
    let port = listening.port;
    let recorded = settings.record(Key::Port, &port.to_string());
    debug_assert!(recorded.is_ok(), "a port is a valid value of port");
    advice::apply(&mut settings);

    let published = Arc::new(Published::default());
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let for_thread = Arc::clone(&published);
    let (log_level_changes, log_level) = watch::channel(settings.text(Key::Loglevel).to_owned());
    let thread = std::thread::Builder::new()
        .name("keyspace".into())
        .spawn(move || {
            let mut node = Node::new(settings, secret, membership, port);
            node.log_level = Some(log_level_changes);
            node.persistence.log = log;
            if let Err(error) = run(node, listening, received, for_thread) {
                tracing::error!(%error, "the keyspace thread cannot run");
            }
        })
        .map_err(StartError::System)?;
    Ok(Running { port, log_level, published, orders, thread: Some(thread) })
}

impl Running {
    /// The client port, also when 0 was asked for.
    pub fn port(&self) -> u16 {
        self.port
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

    /// Asks it to stop: no new clients, what has arrived is answered. Then wait for [`Running::ended`].
    pub fn stop(&self) {
        // Full: an order to stop is among those that wait, or follows them. Closed: it has ended.
        let _ = self.orders.try_send(Order::Stop);
    }

    /// Returns once the node has ended: after [`Running::stop`], or because a client said SHUTDOWN.
    pub async fn ended(&self) {
        self.orders.closed().await;
    }

    /// Waits on this thread until the node has ended. False: it ended in a panic.
    pub fn join(mut self) -> bool {
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The keyspace thread from beginning to end.
fn run(
    node: Node,
    listening: Listening,
    orders: mpsc::Receiver<Order>,
    published: Arc<Published>,
) -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let port = listening.port;
        let acceptor = Acceptor::new(listening)?;
        let (thread, helper) = Thread::new(node)?;
        let thread = Rc::new(thread);
        thread.node.borrow_mut().memory.note_startup();
        aof::load::start(&thread, Arc::default()).await.map_err(io::Error::other)?;
        // Loading is nobody's role.
        thread.node.borrow_mut().take_role();
        let mut background = JoinSet::new();
        background.spawn_local(aof::run(Rc::clone(&thread)));
        background.spawn_local(aof::rewrite::run(Rc::clone(&thread)));
        background.spawn_local(housekeeping::run(Rc::clone(&thread), published));
        background.spawn_local(connection::run_waves(Rc::clone(&thread)));
        background.spawn_local(replication::primary::run(Rc::clone(&thread)));
        background.spawn_local(replication::replica::run(Rc::clone(&thread)));
        tracing::info!(port, "ready to accept connections on port {port}");
        let tasks = serve(Rc::clone(&thread), acceptor, orders, &mut background).await;
        drain(&thread, tasks).await;
        background.abort_all();
        while let Some(ended) = background.join_next().await {
            report(ended);
        }
        let writers = {
            let node = &mut *thread.node.borrow_mut();
            thread.deliver(node);
            node.persistence.log.close()
        };
        // The helper ends when the last sender is gone.
        drop(thread);
        for writer in writers {
            let written = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(written, Ok(Ok(()))) {
                tracing::error!("a thread that writes the append-only log has panicked");
            }
        }
        let helped = tokio::task::spawn_blocking(move || helper.join()).await;
        if !matches!(helped, Ok(Ok(()))) {
            tracing::error!("the helper that frees memory has panicked");
        }
        tracing::info!("stopped");
        Ok(())
    })
}

/// Accepts and serves until somebody orders a stop. Returns the connections that are left. What runs in the
/// background ends only in a panic.
async fn serve(
    thread: Rc<Thread>,
    mut acceptor: Acceptor,
    mut orders: mpsc::Receiver<Order>,
    background: &mut JoinSet<()>,
) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    let shutdown = Rc::clone(&thread.node.borrow().stop);
    loop {
        tokio::select! {
            (stream, peer) = acceptor.accept() => welcome(&thread, &mut connections, stream, peer),
            Some(ended) = connections.join_next() => report(ended),
            Some(ended) = background.join_next() => report(ended),
            order = orders.recv() => match order {
                Some(Order::Adopt(settings)) => adopt(&mut thread.node.borrow_mut(), &settings),
                Some(Order::Stop) | None => break,
            },
            () = shutdown.notified() => break,
        }
    }
    connections
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
fn report(ended: Result<(), JoinError>) {
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
    let adopted = node.settings.adopt(fresh);
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
    let patience = {
        let node = &mut *thread.node.borrow_mut();
        node.unpause();
        node.give_up_waits();
        node.ask_for_last_acks();
        thread.deliver(node);
        for client in node.clients.iter() {
            client.decide(Fate::Finish);
        }
        Duration::from_secs(u64::try_from(node.settings.integer(Key::ShutdownTimeout)).unwrap_or(0))
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
