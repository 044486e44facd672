//! Starting and stopping the control group of one proxy process.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use prometheus::Registry;
use slotway_cluster::{Topology, health::AtWork, slot::Placement, topology::Kind};
use slotway_config::{Address, BackendKind, ProxyConfig, Upstream};
use slotway_link::{BindError, Credentials};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    cluster_watch,
    conduct::{WISHES_MAX, Wish},
    discover, group,
    membership::Membership,
    metrics::Metrics,
    shared::{Access, OwnAddresses, Shared, View},
    topology_file::{self, FileError},
    watch::{self as watching, Learning},
};

/// A running control group. Dropping it ends its tasks; [`Control::stop`] also waits for them.
pub struct Control {
    pub(crate) shared: Arc<Shared>,
    tasks: JoinSet<()>,
    group: Group,
}

/// The consensus group, if there is one.
#[derive(Debug)]
enum Group {
    None,
    /// Until it is known where clients reach this proxy.
    Prepared(Box<Membership>, mpsc::Receiver<Wish>),
    Runs {
        /// Dropped or said: it is to end.
        stop: oneshot::Sender<()>,
        /// Why it ended, if nobody asked it to.
        failed: oneshot::Receiver<group::StartError>,
    },
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
    #[error(transparent)]
    Listen(#[from] BindError),
    #[error(transparent)]
    Group(#[from] group::StartError),
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
            Upstream::Topology if config.control_port.is_some() => return Control::prepare(config, registry),
            Upstream::Topology => (from_dir(config)?, Learning::Off),
        };
        let shared = Arc::new(Shared::new(topology, access(config), Metrics::register(registry)));
        let mut tasks = JoinSet::new();
        tasks.spawn(watching::run(Arc::clone(&shared), learning));
        if let Some(seeds) = seeds {
            tasks.spawn(cluster_watch::run(Arc::clone(&shared), seeds));
        }
        Ok(Control { shared, tasks, group: Group::None })
    }

    /// With a control port there is a group, which begins once this proxy can say where it is reached.
    fn prepare(config: &ProxyConfig, registry: &Registry) -> Result<Control, StartError> {
        let planned = match topology_file::load(&config.dir) {
            Ok(topology) => Some(topology),
            Err(FileError::Absent(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let membership = Membership::prepare(config, planned.clone())?;
        // Until the log says more, routes are those of the plan. Its version is the lowest, whatever the file says: versions are
        // the log's from here on.
        let routes = planned.unwrap_or_else(|| Topology {
            version: 0,
            cluster_id: String::new(),
            placement: Placement::default(),
            shards: Vec::new(),
            nodes: Vec::new(),
            proxies: Vec::new(),
        });
        let (wishes, heard) = mpsc::channel(WISHES_MAX);
        let routes = Topology { version: 0, ..routes };
        let shared = Shared::new(routes, access(config), Metrics::register(registry)).with_group(wishes);
        let group = Group::Prepared(Box::new(membership), heard);
        Ok(Control { shared: Arc::new(shared), tasks: JoinSet::new(), group })
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

    /// The cell that always says which primaries are at one long command. Without a control group nobody knows.
    pub fn at_work(&self) -> Arc<ArcSwap<AtWork>> {
        self.shared.at_work()
    }

    /// The version of the newest topology, for whoever wants to wait for a change.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.shared.versions()
    }

    /// Says under which address clients reach this proxy, once that is known (port 0), and how many it has. A proxy that
    /// the topology does not list yet is added to it. A control group begins, or is joined, now.
    pub fn introduce(&mut self, own: OwnAddresses, clients: Arc<dyn Fn() -> usize + Send + Sync>) {
        match std::mem::replace(&mut self.group, Group::None) {
            Group::Prepared(membership, wishes) => {
                let (stop, stopped) = oneshot::channel();
                let (failing, failed) = oneshot::channel();
                let shared = Arc::clone(&self.shared);
                self.tasks.spawn(async move {
                    let run = membership.run(shared, own, clients, (wishes, stopped));
                    if let Err(error) = run.await {
                        // Nobody who would be told is left: then nobody wants the group either.
                        let _ = failing.send(error);
                    }
                });
                self.group = Group::Runs { stop, failed };
            }
            present => {
                self.group = present;
                self.shared.introduce(own, clients);
            }
        }
    }

    /// Ready when the control group cannot begin or be joined; without one, never.
    pub async fn failed(&mut self) -> StartError {
        if let Group::Runs { failed, .. } = &mut self.group
            && let Ok(error) = failed.await
        {
            return error.into();
        }
        std::future::pending().await
    }

    /// What the admin API answers from.
    pub fn view(&self) -> View {
        View(Arc::clone(&self.shared))
    }

    /// Ends the tasks and waits for them; a control group ends in order.
    pub async fn stop(mut self) {
        if let Group::Runs { stop, .. } = self.group {
            let _ = stop.send(());
            while self.tasks.join_next().await.is_some() {}
        }
        self.tasks.shutdown().await;
    }
}

/// Why an operator's wish is not taken on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WishError {
    #[error("there is no control group here: the nodes decide themselves who leads")]
    NoGroup,
    #[error("proxy {} leads the control group: ask there", .0.as_deref().unwrap_or("(none)"))]
    NotLeader(Option<String>),
    #[error("too many wishes wait")]
    TooMany,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

fn access(config: &ProxyConfig) -> Access {
    Access { secret: config.secret.clone(), credentials: credentials(config) }
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
