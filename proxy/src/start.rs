//! Starts and stops the data path: listeners, data threads, and what they share.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use slotway_cluster::{Topology, health::AtWork, slot::DATABASES};
use slotway_config::{ProxyConfig, Settings, Upstream};
use slotway_link::{Acceptor, BindError, Credentials};
use tokio::{
    runtime::LocalRuntime,
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};

use crate::{
    accept, files,
    message::{MESSAGES_MAX, Message},
    metrics::{Counters, Scrape},
    routes::Epochs,
    shared::Shared,
    thread,
};

/// How the data path hears of the topology and of nodes, and says what it hears from nodes.
#[derive(Debug)]
pub struct Topologies {
    /// Always holds the newest.
    pub newest: Arc<ArcSwap<Topology>>,
    /// Its version; marked whenever it was replaced, once it can be read.
    pub versions: watch::Receiver<u64>,
    /// Told whenever a node's behaviour says that the newest may be out of date.
    pub stale: Arc<Notify>,
    /// Always says which primaries are at one long command, and will answer.
    pub at_work: Arc<ArcSwap<AtWork>>,
}

/// A running data path.
pub struct Proxy {
    shared: Arc<Shared>,
    accepting: JoinSet<()>,
    threads: Vec<JoinHandle<()>>,
    senders: Vec<mpsc::Sender<Message>>,
}

/// Why the data path did not start.
#[derive(Debug)]
pub enum StartError {
    Bind(BindError),
    /// The system refused a thread, a runtime or random numbers.
    System(io::Error),
    Metrics(prometheus::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Bind(error) => error.fmt(f),
            StartError::System(error) => write!(f, "cannot start a data thread: {error}"),
            StartError::Metrics(error) => write!(f, "cannot register metrics: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Proxy {
    /// Listens and serves. Called within the runtime that is to accept; data threads bring their own.
    pub fn start(
        config: &ProxyConfig,
        topologies: Topologies,
        registry: &prometheus::Registry,
    ) -> Result<Proxy, StartError> {
        let listening = slotway_link::bind_for_clients(&config.settings, &config.bind, config.port)
            .map_err(StartError::Bind)?;
        let shared = Arc::new(shared(config, topologies, listening.port).map_err(StartError::System)?);
        registry.register(Box::new(Scrape::new(Arc::clone(&shared)))).map_err(StartError::Metrics)?;

        let mut senders = Vec::new();
        let mut threads = Vec::new();
        for number in 0..config.threads {
            let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
            senders.push(sender);
            threads.push(spawn(Arc::clone(&shared), number, receiver).map_err(StartError::System)?);
        }
        let weak = senders.iter().map(mpsc::Sender::downgrade).collect();
        shared.threads.set(weak).unwrap_or_else(|_| unreachable!("set once, here"));
        let acceptor = Acceptor::new(listening).map_err(StartError::System)?;
        let mut accepting = JoinSet::new();
        accepting.spawn(accept::run(Arc::clone(&shared), acceptor, senders.clone()));
        Ok(Proxy { shared, accepting, threads, senders })
    }

    /// The client port that is really listened on.
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// Connected clients.
    pub fn clients(&self) -> usize {
        self.shared.connected()
    }

    /// The settings in force; CONFIG SET changes them, and so may whoever holds this (SIGHUP).
    pub fn settings(&self) -> Arc<ArcSwap<Settings>> {
        Arc::clone(&self.shared.settings)
    }

    /// Stops accepting, lets what is in flight be answered, and ends. Clients that are still connected when `patience`
    /// is over are cut. Returns when all threads have ended.
    pub async fn stop(mut self, patience: Duration) {
        self.accepting.shutdown().await;
        self.senders.clear();
        let threads = std::mem::take(&mut self.threads);
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        let mut joined = tokio::task::spawn_blocking(join);
        if tokio::time::timeout(patience, &mut joined).await.is_err() {
            tracing::warn!(
                clients = self.clients(),
                "clients were still connected when the time to stop was over"
            );
            self.shared.cut_clients.store(true, Ordering::Relaxed);
            // Only a thread that panicked fails here, and it has taken the process with it.
            let _ = joined.await;
        }
    }
}

/// Clients of a data thread that panicked would wait for ever, and its requests may be half written to shared links: the
/// process ends with it, so that whoever started it starts a fresh one.
struct EndsProcess;

impl Drop for EndsProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a data thread panicked: the process ends");
            std::process::abort();
        }
    }
}

fn spawn(
    shared: Arc<Shared>,
    number: usize,
    messages: mpsc::Receiver<Message>,
) -> io::Result<JoinHandle<()>> {
    let runtime =
        move || tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    std::thread::Builder::new().name(format!("data-{number}")).spawn(move || {
        let _guard = EndsProcess;
        let runtime: LocalRuntime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a data thread has no runtime"),
        };
        runtime.block_on(thread::run(shared, number, messages));
    })
}

fn shared(config: &ProxyConfig, topologies: Topologies, port: u16) -> io::Result<Shared> {
    let (run_id, seed) = random()?;
    let mut settings = config.settings.clone();
    files::fit(&mut settings);
    Ok(Shared {
        topology: topologies.newest,
        versions: topologies.versions,
        epochs: match config.upstream {
            Upstream::Topology => Epochs::Kept,
            Upstream::Backends(_) | Upstream::Cluster(_) => Epochs::None,
        },
        stale: topologies.stale,
        at_work: topologies.at_work,
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        databases: match config.upstream {
            Upstream::Cluster(_) => 1,
            Upstream::Backends(_) | Upstream::Topology => DATABASES,
        },
        node_credentials: node_credentials(config),
        counters: (0..config.threads).map(|_| Arc::new(Counters::default())).collect(),
        threads: OnceLock::new(),
        clients: (0..config.threads).map(|_| AtomicUsize::new(0)).collect(),
        clients_refused: AtomicU64::new(0),
        cut_clients: AtomicBool::new(false),
        settings_change: Mutex::default(),
        pause: Mutex::default(),
        next_client_id: AtomicU64::new(1),
        started: Instant::now(),
        port,
        announce: config.announce.clone().unwrap_or_default(),
        run_id,
        seed,
    })
}

/// A password for the nodes, or else the members' secret: members may send requests whose keys lie in several slots of
/// one node, which a managed node refuses to others. A control group's nodes take links from members only.
fn node_credentials(config: &ProxyConfig) -> Option<Credentials> {
    let by_secret = config.secret.as_ref().map(|secret| Credentials::member(secret.reveal()));
    if config.upstream == Upstream::Topology && by_secret.is_some() {
        return by_secret;
    }
    let by_password = config.node_password.as_ref().map(|password| Credentials {
        user: config.node_user.clone(),
        password: password.reveal().to_owned(),
    });
    by_password.or(by_secret)
}

/// A run id and a seed.
fn random() -> io::Result<(String, u64)> {
    use std::io::Read;
    let mut bytes = [0; 28];
    std::fs::File::open(PathBuf::from("/dev/urandom"))?.read_exact(&mut bytes)?;
    let (seed, id) = bytes.split_at(8);
    let seed = u64::from_le_bytes(seed.try_into().expect("eight bytes"));
    Ok((id.iter().map(|byte| format!("{byte:02x}")).collect(), seed))
}
