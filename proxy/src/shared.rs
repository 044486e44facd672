//! What all data threads share. None of it is touched per request.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use slotway_cluster::{Topology, health::AtWork};
use slotway_config::{Key, Settings};
use slotway_link::Credentials;
use tokio::sync::{Notify, mpsc, watch};

use crate::{message::Message, metrics::Counters, pause::Pause, routes::Epochs};

pub(crate) struct Shared {
    pub(crate) topology: Arc<ArcSwap<Topology>>,
    /// Changes whenever the topology does.
    pub(crate) versions: watch::Receiver<u64>,
    pub(crate) epochs: Epochs,
    /// Told when a node redirected a request or a link to it broke: the topology may be out of date.
    pub(crate) stale: Arc<Notify>,
    /// Primaries at one long command.
    pub(crate) at_work: Arc<ArcSwap<AtWork>>,
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    /// How many databases a client may select: a Redis Cluster has one.
    pub(crate) databases: u8,
    pub(crate) node_credentials: Option<Credentials>,
    /// One per data thread.
    pub(crate) counters: Vec<Arc<Counters>>,
    /// How threads speak to each other; emptied when the proxy stops.
    pub(crate) threads: OnceLock<Vec<mpsc::WeakSender<Message>>>,
    /// Connected clients of each data thread.
    pub(crate) clients: Vec<AtomicUsize>,
    /// Connections refused because of `maxclients`.
    pub(crate) clients_refused: AtomicU64,
    /// The time to answer what is in flight is over.
    pub(crate) cut_clients: AtomicBool,
    /// Held while CONFIG SET makes new settings of the present ones.
    pub(crate) settings_change: Mutex<()>,
    /// What CLIENT PAUSE has asked for last; the threads have copies.
    pub(crate) pause: Mutex<Pause>,
    pub(crate) next_client_id: AtomicU64,
    pub(crate) started: Instant,
    /// The client port.
    pub(crate) port: u16,
    /// `host` that other proxies' clients may use; empty: the address they came to.
    pub(crate) announce: String,
    /// 40 hexadecimal digits, new at every start.
    pub(crate) run_id: String,
    pub(crate) seed: u64,
}

impl Shared {
    /// Connected clients of all threads.
    pub(crate) fn connected(&self) -> usize {
        self.clients.iter().map(|clients| clients.load(Ordering::Relaxed)).sum()
    }

    /// The data thread with the fewest clients, and its count. A proxy has at least one.
    pub(crate) fn least_loaded(&self) -> (usize, &AtomicUsize) {
        let counts = self.clients.iter().enumerate();
        counts
            .min_by_key(|(_, clients)| clients.load(Ordering::Relaxed))
            .expect("a proxy has at least one data thread")
    }

    pub(crate) fn needs_password(&self) -> bool {
        !self.settings.load().text(Key::Requirepass).is_empty()
    }
}
