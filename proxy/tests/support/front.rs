//! A proxy inside the test's own process, on a free port, ended with the test.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use slotway_cluster::{
    Epoch, NodeId, Placement, ShardId, SlotRange, Topology,
    health::AtWork,
    topology::{Kind, Node, Shard},
};
use slotway_config::ProxyConfig;
use slotway_proxy::{Proxy, Topologies};
use tokio::sync::watch;

use crate::peer::Peer;

pub(crate) struct Front {
    pub(crate) port: u16,
    pub(crate) topology: Arc<ArcSwap<Topology>>,
    versions: watch::Sender<u64>,
    at_work: Arc<ArcSwap<AtWork>>,
    pub(crate) registry: prometheus::Registry,
    proxy: Option<Proxy>,
    runtime: tokio::runtime::Runtime,
}

/// How long a front that is dropped waits for what is in flight.
const PATIENCE: Duration = Duration::from_millis(100);

impl Front {
    /// In front of plain servers on these ports, which hold equal ranges of slots in this order.
    pub(crate) fn of(backends: &[u16]) -> Front {
        Front::with(backends, &[])
    }

    /// As [`Front::of`], with settings of the proxy.
    pub(crate) fn with(backends: &[u16], settings: &[(&str, &str)]) -> Front {
        let addresses: Vec<String> = backends.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut flags = vec![("port", "0"), ("bind", "127.0.0.1"), ("threads", "2")];
        let backends = addresses.join(",");
        flags.push(("backends", &backends));
        flags.retain(|(name, _)| settings.iter().all(|(given, _)| given != name));
        flags.extend(settings);
        let flags = flags.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let config = ProxyConfig::load(None, std::iter::empty(), flags).unwrap();
        Front::before(&config, topology(1, &addresses))
    }

    /// As a proxy of a control group, which has decided this so far.
    pub(crate) fn of_group(topology: Topology, settings: &[(&str, &str)]) -> Front {
        let mut flags = vec![("port", "0"), ("bind", "127.0.0.1"), ("threads", "1")];
        flags.retain(|(name, _)| settings.iter().all(|(given, _)| given != name));
        flags.extend(settings);
        let flags = flags.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let config = ProxyConfig::load(None, std::iter::empty(), flags).unwrap();
        Front::before(&config, topology)
    }

    fn before(config: &ProxyConfig, topology: Topology) -> Front {
        let versions = watch::Sender::new(topology.version);
        let topology = Arc::new(ArcSwap::from_pointee(topology));
        let topologies = Topologies {
            newest: Arc::clone(&topology),
            versions: versions.subscribe(),
            stale: Arc::default(),
            at_work: Arc::default(),
        };
        let at_work = Arc::clone(&topologies.at_work);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let registry = prometheus::Registry::new();
        let proxy = runtime.block_on(async { Proxy::start(config, topologies, &registry).unwrap() });
        Front { port: proxy.port(), topology, versions, at_work, registry, proxy: Some(proxy), runtime }
    }

    /// The control group has decided this.
    pub(crate) fn learn(&self, topology: Topology) {
        let version = topology.version;
        self.topology.store(Arc::new(topology));
        self.versions.send_replace(version);
    }

    /// Pulses say that these primaries are at one long command, each in its epoch; of the others, that they are not.
    pub(crate) fn hears_of_work(&self, nodes: &[(u16, u64)]) {
        let node = |(port, epoch): &(u16, u64)| (format!("127.0.0.1:{port}"), Epoch(*epoch));
        self.at_work.store(Arc::new(nodes.iter().map(node).collect()));
    }

    /// A new client.
    pub(crate) fn client(&self) -> Peer {
        Peer::connect(self.port)
    }

    pub(crate) fn clients(&self) -> usize {
        self.proxy.as_ref().map_or(0, Proxy::clients)
    }

    /// Stops as the program does on SIGTERM.
    pub(crate) fn stop(&mut self, patience: Duration) {
        if let Some(proxy) = self.proxy.take() {
            self.runtime.block_on(proxy.stop(patience));
        }
    }

    /// The sum of a metric's samples whose labels are these.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let metrics =
            families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
        let wanted = |metric: &&prometheus::proto::Metric| {
            let has = |(name, value): &(&str, &str)| {
                metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
            };
            labels.iter().all(has)
        };
        metrics
            .filter(wanted)
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop(PATIENCE);
    }
}

/// One shard for each address, as `--backends` makes them.
pub(crate) fn topology(version: u64, addresses: &[String]) -> Topology {
    let id = |number: usize| NodeId(format!("n{}", number + 1));
    let node =
        |(number, addr): (usize, &String)| Node { id: id(number), addr: addr.clone(), admin_addr: None };
    let shard = |(number, range): (usize, SlotRange)| Shard {
        id: ShardId(u32::try_from(number + 1).unwrap()),
        kind: Kind::Redis,
        epoch: Epoch(1),
        primary: id(number),
        replicas: Vec::new(),
        slots: vec![range],
    };
    Topology {
        version,
        cluster_id: "c".repeat(40),
        placement: Placement::default(),
        nodes: addresses.iter().enumerate().map(node).collect(),
        shards: SlotRange::equal(addresses.len()).into_iter().enumerate().map(shard).collect(),
        proxies: Vec::new(),
    }
}
