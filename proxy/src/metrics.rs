//! What a data thread counts, and how Prometheus sees it.
//!
//! Each data thread owns one [`Counters`]: only it writes (a plain load and store, no locked instruction), the scrape
//! adds the threads up. Nothing is formatted or hashed before somebody scrapes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus::{
    core::{Collector, Desc},
    proto::{Bucket, Counter as CounterValue, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};
use slotway_cluster::ShardId;
use slotway_commands::{Id, table::COMMANDS};

use crate::{errors::INNER, link::Load, shared::Shared};

/// Upper bounds of the buckets of backend latency, microseconds.
const BUCKETS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// A number that one thread counts up and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Only the owning thread may call this.
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// For what goes up and down. Only the owning thread may call this.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one data thread has counted since the start.
#[derive(Debug)]
pub(crate) struct Counters {
    requests: Box<[Counter]>,
    errors: Box<[Counter]>,
    latency_buckets: [Counter; BUCKETS_US.len() + 1],
    latency_sum_us: Counter,
    pub(crate) unknown: Counter,
    pub(crate) protocol_errors: Counter,
    pub(crate) timeouts: Counter,
    pub(crate) indeterminate: Counter,
    pub(crate) refused_busy: Counter,
    pub(crate) leases_refused: Counter,
    pub(crate) streamed: Counter,
    /// By place in [`INNER`].
    pub(crate) redirects: [Counter; INNER.len()],
    /// Clients that had the beginning of a reply when the rest of it was lost.
    pub(crate) replies_torn: Counter,
    pub(crate) clients_cut_output: Counter,
    pub(crate) clients_cut_input: Counter,
    pub(crate) clients_cut_stalled: Counter,
    pub(crate) bytes_from_clients: Counter,
    pub(crate) bytes_to_clients: Counter,
    pub(crate) bytes_from_nodes: Counter,
    pub(crate) bytes_to_nodes: Counter,
    /// Written once a second: bytes of requests that are not whole or wait, of commands that wait for EXEC, and of replies
    /// that their clients have not read.
    pub(crate) unparsed_bytes: Counter,
    pub(crate) queued_bytes: Counter,
    pub(crate) unread_bytes: Counter,
    /// Written by the sweep, some twenty times a second.
    present: Mutex<Present>,
}

/// How things stand at present.
#[derive(Debug, Default)]
pub(crate) struct Present {
    pub(crate) links: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Leased links by node and what they are doing.
    pub(crate) leases: BTreeMap<(Arc<str>, &'static str), u64>,
    pub(crate) held: BTreeMap<ShardId, u64>,
    /// Requests that wait for replies or for being sent, and their bytes, by node.
    pub(crate) in_flight: BTreeMap<Arc<str>, (u64, u64)>,
}

impl Present {
    pub(crate) fn add_load(&mut self, node: &Arc<str>, load: Load) {
        let (requests, bytes) = self.in_flight.entry(Arc::clone(node)).or_default();
        *requests += load.requests;
        *bytes += load.bytes;
    }
}

impl Default for Counters {
    fn default() -> Self {
        let per_command = || (0..Id::COUNT).map(|_| Counter::default()).collect();
        Counters {
            requests: per_command(),
            errors: per_command(),
            latency_buckets: Default::default(),
            latency_sum_us: Counter::default(),
            unknown: Counter::default(),
            protocol_errors: Counter::default(),
            timeouts: Counter::default(),
            indeterminate: Counter::default(),
            refused_busy: Counter::default(),
            leases_refused: Counter::default(),
            streamed: Counter::default(),
            redirects: Default::default(),
            replies_torn: Counter::default(),
            clients_cut_output: Counter::default(),
            clients_cut_input: Counter::default(),
            clients_cut_stalled: Counter::default(),
            bytes_from_clients: Counter::default(),
            bytes_to_clients: Counter::default(),
            bytes_from_nodes: Counter::default(),
            bytes_to_nodes: Counter::default(),
            unparsed_bytes: Counter::default(),
            queued_bytes: Counter::default(),
            unread_bytes: Counter::default(),
            present: Mutex::default(),
        }
    }
}

impl Counters {
    /// A request of a client was taken on.
    pub(crate) fn request(&self, id: Id) {
        self.requests[id.index()].add(1);
    }

    /// A node answered after `us` microseconds.
    pub(crate) fn backend(&self, id: Id, error: bool, us: u64) {
        if error {
            self.errors[id.index()].add(1);
        }
        let bucket = BUCKETS_US.iter().position(|&bound| us <= bound).unwrap_or(BUCKETS_US.len());
        self.latency_buckets[bucket].add(1);
        self.latency_sum_us.add(us);
    }

    pub(crate) fn set_present(&self, present: Present) {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = present;
    }

    /// Requests that waited for their shard's primary when the sweep last looked.
    pub(crate) fn held_requests(&self) -> u64 {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).held.values().sum()
    }

    /// Requests taken on since the start.
    pub(crate) fn total_requests(&self) -> u64 {
        self.requests.iter().map(Counter::get).sum()
    }
}

/// Adds the threads up for a scrape.
pub(crate) struct Scrape {
    shared: Arc<Shared>,
    descs: Vec<Desc>,
}

impl Scrape {
    pub(crate) fn new(shared: Arc<Shared>) -> Scrape {
        let desc =
            |(name, help): (&str, &str)| Desc::new(name.into(), help.into(), Vec::new(), Default::default());
        Scrape { shared, descs: NAMES.into_iter().filter_map(|row| desc(row).ok()).collect() }
    }

    fn sum(&self, read: impl Fn(&Counters) -> u64) -> u64 {
        self.shared.counters.iter().map(|counters| read(counters)).sum()
    }

    fn requests(&self) -> Vec<Metric> {
        let rows = COMMANDS.iter().flat_map(|row| {
            let index = row.id.index();
            let received = self.sum(|counters| counters.requests[index].get());
            // A split request counts once, an error of each of its parts counts.
            let failed = self.sum(|counters| counters.errors[index].get()).min(received);
            let name = row.name;
            [("ok", received - failed), ("error", failed)]
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(move |(outcome, count)| counter(&[("command", name), ("outcome", outcome)], count))
        });
        let unknown = self.sum(|counters| counters.unknown.get());
        let unknown =
            (unknown > 0).then(|| counter(&[("command", "unknown"), ("outcome", "error")], unknown));
        rows.chain(unknown).collect()
    }

    fn latency(&self) -> Metric {
        let mut histogram = Histogram::default();
        let mut cumulative = 0;
        let mut buckets = Vec::new();
        for (index, &bound_us) in BUCKETS_US.iter().enumerate() {
            cumulative += self.sum(|counters| counters.latency_buckets[index].get());
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(cumulative);
            bucket.set_upper_bound(seconds(bound_us));
            buckets.push(bucket);
        }
        cumulative += self.sum(|counters| counters.latency_buckets[BUCKETS_US.len()].get());
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative);
        histogram.set_sample_sum(seconds(self.sum(|counters| counters.latency_sum_us.get())));
        let mut metric = Metric::default();
        metric.set_label(labels(&[("phase", "backend")]));
        metric.set_histogram(histogram);
        metric
    }

    /// What waits for clients.
    fn buffers(&self) -> Vec<Metric> {
        let row = |direction: &str, read: fn(&Counters) -> &Counter| {
            gauge(&[("direction", direction)], self.sum(|counters| read(counters).get()))
        };
        vec![
            row("in", |counters| &counters.unparsed_bytes),
            row("queued", |counters| &counters.queued_bytes),
            row("out", |counters| &counters.unread_bytes),
        ]
    }

    /// All threads' links together.
    fn present(&self) -> Present {
        let mut all = Present::default();
        for counters in &self.shared.counters {
            let present = counters.present.lock().unwrap_or_else(PoisonError::into_inner);
            for (link, count) in &present.links {
                *all.links.entry(link.clone()).or_default() += count;
            }
            for (lease, count) in &present.leases {
                *all.leases.entry(lease.clone()).or_default() += count;
            }
            for (shard, count) in &present.held {
                *all.held.entry(*shard).or_default() += count;
            }
            for (node, (requests, bytes)) in &present.in_flight {
                all.add_load(node, Load { requests: *requests, bytes: *bytes });
            }
        }
        all
    }
}

impl Present {
    fn links(&self) -> Vec<Metric> {
        by_node_and_state(&self.links)
    }

    fn leases(&self) -> Vec<Metric> {
        by_node_and_state(&self.leases)
    }

    fn held(&self) -> Vec<Metric> {
        self.held.iter().map(|(shard, count)| gauge(&[("shard", &shard.to_string())], *count)).collect()
    }

    fn in_flight(&self, read: impl Fn(&(u64, u64)) -> u64) -> Vec<Metric> {
        self.in_flight.iter().map(|(node, load)| gauge(&[("node", node)], read(load))).collect()
    }
}

/// Names and help texts, in the order in which [`Scrape::collect`] brings them.
const NAMES: [(&str, &str); 17] = [
    ("slotway_proxy_requests_total", "Requests of clients, by command and outcome"),
    (
        "slotway_proxy_request_seconds",
        "Time until a node's reply was read, from when the proxy took the request on",
    ),
    ("slotway_proxy_clients", "Connected clients"),
    ("slotway_proxy_links", "Links to nodes, by node and state"),
    ("slotway_proxy_held_requests", "Requests that wait because no primary of their shard serves"),
    ("slotway_proxy_redirects_total", "Redirections of nodes that clients did not see, by kind"),
    ("slotway_proxy_bytes_total", "Bytes, by direction"),
    ("slotway_proxy_topology_version", "Version of the topology that requests are routed by"),
    ("slotway_proxy_errors_total", "Errors that the proxy itself answered, by kind"),
    ("slotway_proxy_clients_cut_total", "Clients that the proxy disconnected or refused, by limit"),
    ("slotway_proxy_in_flight_requests", "Requests that wait for a node's reply or for being sent, by node"),
    ("slotway_proxy_in_flight_bytes", "Bytes of these requests, by node"),
    (
        "slotway_proxy_client_buffer_bytes",
        "Bytes that wait for a client: of requests not whole, of commands before EXEC, of replies not read",
    ),
    (
        "slotway_proxy_leased_links",
        "Links for single clients (WATCH, large transactions and requests), by node and state: leased, free, leaving",
    ),
    (
        "slotway_proxy_leases_refused_total",
        "Requests refused because all links that may be leased were in use",
    ),
    (
        "slotway_proxy_replies_torn_total",
        "Clients disconnected because the rest of a large reply was lost when they had its beginning",
    ),
    ("slotway_proxy_requests_streamed_total", "Large requests that were passed on as they came"),
];

impl Collector for Scrape {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let each =
            |label, rows: &[(&str, u64)]| rows.iter().map(|(v, n)| counter(&[(label, v)], *n)).collect();
        let sum = |read: fn(&Counters) -> &Counter| self.sum(|counters| read(counters).get());
        let bytes = each(
            "direction",
            &[
                ("from_clients", sum(|c| &c.bytes_from_clients)),
                ("to_clients", sum(|c| &c.bytes_to_clients)),
                ("from_nodes", sum(|c| &c.bytes_from_nodes)),
                ("to_nodes", sum(|c| &c.bytes_to_nodes)),
            ],
        );
        let errors = each(
            "kind",
            &[
                ("protocol", sum(|c| &c.protocol_errors)),
                ("timeout", sum(|c| &c.timeouts)),
                ("indeterminate", sum(|c| &c.indeterminate)),
                ("busy", sum(|c| &c.refused_busy)),
            ],
        );
        let cut = each(
            "limit",
            &[
                ("client-output-buffer-limit", sum(|c| &c.clients_cut_output)),
                ("client-query-buffer-limit", sum(|c| &c.clients_cut_input)),
                ("request-timeout-ms", sum(|c| &c.clients_cut_stalled)),
                ("maxclients", self.shared.clients_refused.load(Ordering::Relaxed)),
            ],
        );
        let redirects: Vec<(String, u64)> = INNER
            .iter()
            .enumerate()
            .map(|(index, code)| (code.to_lowercase(), self.sum(|counters| counters.redirects[index].get())))
            .collect();
        let redirects: Vec<(&str, u64)> =
            redirects.iter().map(|(code, count)| (code.as_str(), *count)).collect();
        let present = self.present();
        let clients = self.shared.connected() as u64;
        let version = self.shared.topology.load().version;
        let values = [
            (MetricType::COUNTER, self.requests()),
            (MetricType::HISTOGRAM, vec![self.latency()]),
            (MetricType::GAUGE, vec![gauge(&[], clients)]),
            (MetricType::GAUGE, present.links()),
            (MetricType::GAUGE, present.held()),
            (MetricType::COUNTER, each("kind", &redirects)),
            (MetricType::COUNTER, bytes),
            (MetricType::GAUGE, vec![gauge(&[], version)]),
            (MetricType::COUNTER, errors),
            (MetricType::COUNTER, cut),
            (MetricType::GAUGE, present.in_flight(|(requests, _)| *requests)),
            (MetricType::GAUGE, present.in_flight(|(_, bytes)| *bytes)),
            (MetricType::GAUGE, self.buffers()),
            (MetricType::GAUGE, present.leases()),
            (MetricType::COUNTER, vec![counter(&[], sum(|c| &c.leases_refused))]),
            (MetricType::COUNTER, vec![counter(&[], sum(|c| &c.replies_torn))]),
            (MetricType::COUNTER, vec![counter(&[], sum(|c| &c.streamed))]),
        ];
        let families = NAMES.into_iter().zip(values).filter(|(_, (_, metrics))| !metrics.is_empty());
        families
            .map(|((name, help), (kind, metrics))| {
                let mut family = MetricFamily::default();
                family.set_name(name.into());
                family.set_help(help.into());
                family.set_field_type(kind);
                family.set_metric(metrics);
                family
            })
            .collect()
    }
}

fn by_node_and_state(counts: &BTreeMap<(Arc<str>, &'static str), u64>) -> Vec<Metric> {
    let rows = counts.iter();
    rows.map(|((node, state), count)| gauge(&[("node", node), ("state", state)], *count)).collect()
}

fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    let label = |&(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.into());
        pair.set_value(value.into());
        pair
    };
    pairs.iter().map(label).collect()
}

fn counter(pairs: &[(&str, &str)], count: u64) -> Metric {
    let mut value = CounterValue::default();
    value.set_value(float(count));
    let mut metric = Metric::default();
    metric.set_label(labels(pairs));
    metric.set_counter(value);
    metric
}

fn gauge(pairs: &[(&str, &str)], count: u64) -> Metric {
    let mut value = Gauge::default();
    value.set_value(float(count));
    let mut metric = Metric::default();
    metric.set_label(labels(pairs));
    metric.set_gauge(value);
    metric
}

#[allow(
    clippy::cast_precision_loss,
    reason = "Prometheus counts in floats; past 2^53 the last digits do not matter"
)]
fn float(count: u64) -> f64 {
    count as f64
}

fn seconds(us: u64) -> f64 {
    float(us) / 1e6
}
