//! Starting and stopping the control group of one proxy process.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use prometheus::Registry;
use slotway_cluster::{Topology, topology::Kind};
use slotway_config::{Address, BackendKind, ProxyConfig, Upstream};
use slotway_link::Credentials;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    cluster_watch, discover,
    metrics::Metrics,
    shared::{Access, OwnAddresses, Shared, View},
    topology_file::{self, FileError},
    watch::{self as watching, Learning},
};

/// A running control group. Dropping it ends its tasks; [`Control::stop`] also waits for them.
pub struct Control {
    pub(crate) shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// Why it cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "{} holds no topology.json: give --backends ADDR,ADDR,... or --cluster ADDR,ADDR,... , or let `slotway up` form a \
         cluster there",
        .0.display()
    )]
    NoTopology(PathBuf),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Control {
    /// Finds the first topology and starts to watch its nodes, on the runtime this is called in. Backends need not be
    /// reachable.
    pub fn start(config: &ProxyConfig, registry: &Registry) -> Result<Control, StartError> {
        let configured_kind = match config.kind {
            BackendKind::Auto => None,
            BackendKind::Slotway => Some(Kind::Slotway),
            BackendKind::Redis => Some(Kind::Redis),
            BackendKind::Cluster => Some(Kind::Cluster),
        };
        let texts = |addresses: &[Address]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut seeds = None;
        let (topology, learning) = match &config.upstream {
            Upstream::Backends(addresses) => {
                let topology = discover::from_backends(&texts(addresses), configured_kind);
                (topology, Learning::On { kind: configured_kind })
            }
            Upstream::Cluster(addresses) => {
                let seeds = seeds.insert(texts(addresses));
                (cluster_watch::unknown(seeds), Learning::Off)
            }
            Upstream::Topology => (from_dir(config)?, Learning::Off),
        };
        let access = Access { secret: config.secret.clone(), credentials: credentials(config) };
        let shared = Arc::new(Shared::new(topology, access, Metrics::register(registry)));
        let mut tasks = JoinSet::new();
        tasks.spawn(watching::run(Arc::clone(&shared), learning));
        if let Some(seeds) = seeds {
            tasks.spawn(cluster_watch::run(Arc::clone(&shared), seeds));
        }
        Ok(Control { shared, tasks })
    }

    /// The cell that always holds the newest topology: data threads read it through an `arc_swap::Cache`.
    pub fn topology(&self) -> Arc<ArcSwap<Topology>> {
        self.shared.cell()
    }

    /// Whoever was redirected by a node or lost a link to one says so here (`notify_one`): the topology may be out of date.
    /// Remembered until somebody listens, never waited for.
    pub fn stale_topology(&self) -> Arc<Notify> {
        self.shared.stale()
    }

    /// The version of the newest topology, for whoever wants to wait for a change.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.shared.versions()
    }

    /// Says under which address clients reach this proxy, once that is known (port 0), and how many it has. A proxy that
    /// the topology does not list yet is added to it.
    pub fn introduce(&self, own: OwnAddresses, clients: Arc<dyn Fn() -> usize + Send + Sync>) {
        self.shared.introduce(own, clients);
    }

    /// What the admin API answers from.
    pub fn view(&self) -> View {
        View(Arc::clone(&self.shared))
    }

    /// Ends the tasks and waits for them.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

fn from_dir(config: &ProxyConfig) -> Result<Topology, StartError> {
    topology_file::load(&config.dir).map_err(|error| match error {
        FileError::Absent(_) => StartError::NoTopology(config.dir.clone()),
        other => StartError::File(other),
    })
}

fn credentials(config: &ProxyConfig) -> Option<Credentials> {
    let password = config.node_password.as_ref()?.reveal().to_owned();
    Some(Credentials { user: config.node_user.clone(), password })
}
