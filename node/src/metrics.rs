//! The node's metrics, under the names that redis_exporter made familiar.
//!
//! The keyspace thread counts in plain numbers ([`crate::statistics`]); housekeeping copies them, a few times a
//! second, into cells that the HTTP thread may read. So a metric costs the path of a request nothing. All rows are in
//! [`ROWS`]; the values of a round are published one by one, so two metrics of one scrape may be of neighbouring rounds.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto,
};
use slotway_cluster::{Database, slot::DATABASES};
use slotway_commands::{Id, table::COMMANDS};
use slotway_config::Key;

use slotway_link::boottime;

use crate::{call::Millis, node::Node, persistence::save::Outcome, replication::report, vitals::Vitals};

/// How a number moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// One metric without labels.
struct Row {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    value: fn(&Node, Millis) -> u64,
}

use Kind::{Counter, Gauge};

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "redis_aof_base_size_bytes", help: "Bytes of the append-only files when they were last begun anew", kind: Gauge, value: |node, _| node.persistence.log.rewrites.base_bytes },
    Row { name: "redis_aof_current_size_bytes", help: "Bytes of the append-only files", kind: Gauge, value: |node, _| node.persistence.log.facts().current_bytes },
    Row { name: "redis_aof_enabled", help: "1 while changes are logged", kind: Gauge, value: |node, _| u64::from(node.persistence.log.facts().is_enabled) },
    Row { name: "redis_aof_rewrite_in_progress", help: "1 while the append-only files are written anew", kind: Gauge, value: |node, _| u64::from(node.persistence.log.rewrites.is_running()) },
    Row { name: "redis_blocked_clients", help: "Clients whose command waits", kind: Gauge, value: |node, _| as_u64(node.clients.iter().filter(|client| client.is_blocked()).count()) },
    Row { name: "redis_client_output_buffer_limit_disconnections_total", help: "Clients closed at client-output-buffer-limit", kind: Counter, value: |node, _| node.statistics.cut_for_output },
    Row { name: "redis_client_query_buffer_limit_disconnections_total", help: "Clients closed at client-query-buffer-limit", kind: Counter, value: |node, _| node.statistics.cut_for_input },
    Row { name: "redis_commands_processed_total", help: "Commands executed", kind: Counter, value: |node, _| node.statistics.commands },
    Row { name: "redis_config_maxclients", help: "The setting maxclients", kind: Gauge, value: |node, _| as_u64(node.bounds.clients_max) },
    Row { name: "redis_connected_clients", help: "Clients connected", kind: Gauge, value: |node, _| as_u64(node.clients.len()) },
    Row { name: "redis_connected_slaves", help: "Replicas attached", kind: Gauge, value: |node, _| report::connected(node) },
    Row { name: "redis_connections_received_total", help: "Connections accepted", kind: Counter, value: |node, _| node.statistics.connections_received },
    Row { name: "redis_error_replies_total", help: "Error replies sent", kind: Counter, value: |node, _| node.statistics.errors },
    Row { name: "redis_evicted_keys_total", help: "Keys deleted because of maxmemory", kind: Counter, value: |node, _| node.keyspace.stats.evicted },
    Row { name: "redis_expired_keys_total", help: "Keys deleted because their time was up", kind: Counter, value: |node, _| node.keyspace.stats.expired },
    Row { name: "redis_keyspace_hits_total", help: "Look-ups that found a key", kind: Counter, value: |node, _| node.keyspace.stats.hits },
    Row { name: "redis_keyspace_misses_total", help: "Look-ups that found none", kind: Counter, value: |node, _| node.keyspace.stats.misses },
    Row { name: "redis_loading_dump_file", help: "1 while data are loaded", kind: Gauge, value: |node, _| u64::from(node.persistence.loading.is_some()) },
    Row { name: "redis_master_last_io_seconds", help: "Seconds since the primary last sent something; 0 on a primary", kind: Gauge, value: |node, _| node.seconds_since_primary() },
    Row { name: "redis_master_link_up", help: "1 while this replica follows its primary's stream", kind: Gauge, value: |node, _| u64::from(node.following.is_connected()) },
    Row { name: "redis_master_repl_offset", help: "Bytes of the stream that replicas follow", kind: Gauge, value: |node, _| node.replication.offset.0 },
    Row { name: "redis_memory_max_bytes", help: "The setting maxmemory; 0: no limit", kind: Gauge, value: |node, _| node.settings.bytes(Key::Maxmemory) },
    Row { name: "redis_memory_used_bytes", help: "Memory given out by the allocator", kind: Gauge, value: |node, _| node.memory.last().allocated },
    Row { name: "redis_memory_used_peak_bytes", help: "Its greatest value", kind: Gauge, value: |node, _| node.memory.peak },
    Row { name: "redis_memory_used_rss_bytes", help: "Memory backed by pages", kind: Gauge, value: |node, _| node.memory.last().resident },
    Row { name: "redis_net_input_bytes_total", help: "Bytes received from clients", kind: Counter, value: |node, _| node.statistics.input_bytes },
    Row { name: "redis_net_output_bytes_total", help: "Bytes of replies", kind: Counter, value: |node, _| node.statistics.output_bytes },
    Row { name: "redis_rdb_bgsave_in_progress", help: "1 while a snapshot is being saved", kind: Gauge, value: |node, _| u64::from(node.persistence.saves.present().is_some()) },
    Row { name: "redis_rdb_changes_since_last_save", help: "Changes that are in memory only", kind: Gauge, value: |node, _| node.keyspace.stats.changes },
    Row { name: "redis_rdb_current_bgsave_duration_sec", help: "Seconds since the present save began; 0 without one", kind: Gauge, value: |node, now| node.persistence.saves.present().map_or(0, |present| now.0.saturating_sub(present.began.0) / 1000) },
    Row { name: "redis_rdb_last_bgsave_duration_sec", help: "Seconds that the last save took", kind: Gauge, value: |node, _| node.persistence.saves.took_seconds().unwrap_or(0) },
    Row { name: "redis_rdb_last_bgsave_status", help: "1 if the last save succeeded", kind: Gauge, value: |node, _| u64::from(node.persistence.saves.outcome() == Outcome::Good) },
    Row { name: "redis_rdb_last_cow_size_bytes", help: "Most bytes of old values that the last save kept", kind: Gauge, value: |node, _| node.persistence.saves.set_aside_bytes_max() },
    Row { name: "redis_rdb_last_save_timestamp_seconds", help: "When the last save succeeded, seconds since 1970", kind: Gauge, value: |node, _| node.persistence.saves.succeeded().0 / 1000 },
    Row { name: "redis_rejected_connections_total", help: "Connections refused at maxclients", kind: Counter, value: |node, _| node.statistics.connections_rejected },
    Row { name: "redis_replication_backlog_bytes", help: "Bytes of the stream kept for replicas that come back", kind: Gauge, value: |node, _| node.replication.backlog.as_ref().map_or(0, |backlog| backlog.len()) },
    Row { name: "redis_start_time_seconds", help: "When the process started, seconds since 1970", kind: Gauge, value: |node, _| node.started_at.0 / 1000 },
    Row { name: "redis_up", help: "1 while the node serves", kind: Gauge, value: |_, _| 1 },
    Row { name: "redis_uptime_in_seconds", help: "Seconds since the start", kind: Gauge, value: |node, now| now.0.saturating_sub(node.started_at.0) / 1000 },
    Row { name: "slotway_node_broken_protocols_total", help: "Clients closed because they broke the protocol", kind: Counter, value: |node, _| node.statistics.broken_protocols },
    Row { name: "slotway_node_denied_logins_total", help: "Wrong passwords", kind: Counter, value: |node, _| node.statistics.denied_logins },
    Row { name: "slotway_node_epoch", help: "Epoch of the node's shard; 0 without a cluster", kind: Gauge, value: |node, _| epoch(node) },
    Row { name: "slotway_node_idle_disconnections_total", help: "Clients closed at timeout", kind: Counter, value: |node, _| node.statistics.cut_for_idling },
    Row { name: "slotway_node_log_delayed_syncs_total", help: "Syncs of the append-only file that took two seconds or longer", kind: Counter, value: |node, _| node.persistence.log.facts().delayed_syncs },
    Row { name: "slotway_node_log_failing", help: "1 while the append-only file cannot be written", kind: Gauge, value: |node, _| u64::from(node.persistence.log.facts().has_failed) },
    Row { name: "slotway_node_log_queue_bytes", help: "Bytes that wait to be written to the append-only file", kind: Gauge, value: |node, _| node.persistence.log.facts().buffer_bytes },
    Row { name: "slotway_node_log_syncs_total", help: "Syncs of the append-only file", kind: Counter, value: |node, _| node.persistence.log.facts().syncs },
    Row { name: "slotway_node_topology_version", help: "Version of the topology the node follows; 0 without one", kind: Gauge, value: |node, _| node.membership.adopted().map_or(0, |adopted| adopted.topology.version) },
];

/// Databases with metrics of their own.
const DATABASE_COUNT: usize = DATABASES as usize;

/// The numbers of the last round of housekeeping, for other threads to read.
#[derive(Debug)]
pub(crate) struct Published {
    is_ready: AtomicBool,
    rows: Vec<AtomicU64>,
    keys: [AtomicU64; DATABASE_COUNT],
    expiring_keys: [AtomicU64; DATABASE_COUNT],
    /// By [`Id`].
    calls: Vec<AtomicU64>,
    /// Replicas and how far each is behind. They come and go, so this alone takes a lock, for as long as it takes to
    /// write a few numbers.
    lags: Mutex<Vec<(String, u64)>>,
    /// Shared with the pulse thread.
    vitals: Arc<Vitals>,
}

impl Published {
    pub(crate) fn new(vitals: Arc<Vitals>) -> Published {
        Published {
            vitals,
            is_ready: AtomicBool::new(false),
            rows: ROWS.iter().map(|_| AtomicU64::new(0)).collect(),
            keys: Default::default(),
            expiring_keys: Default::default(),
            calls: (0..Id::COUNT).map(|_| AtomicU64::new(0)).collect(),
            lags: Mutex::default(),
        }
    }

    /// Whether the node has its data and serves.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Relaxed)
    }

    /// It has loaded what it had on disk.
    pub(crate) fn set_ready(&self) {
        self.is_ready.store(true, Relaxed);
    }

    /// On the keyspace thread.
    pub(crate) fn publish(&self, node: &Node, now: Millis) {
        self.is_ready.store(node.persistence.loading.is_none(), Relaxed);
        for (cell, row) in self.rows.iter().zip(ROWS) {
            cell.store((row.value)(node, now), Relaxed);
        }
        for (database, (keys, expiring)) in (0..DATABASES).zip(self.keys.iter().zip(&self.expiring_keys)) {
            keys.store(node.keyspace.len(Database(database)), Relaxed);
            expiring.store(node.keyspace.deadlines(Database(database)), Relaxed);
        }
        for (row, uses) in node.statistics.uses() {
            self.calls[row.id.index()].store(uses.calls, Relaxed);
        }
        let mut lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        lags.clear();
        lags.extend(report::lags(node));
        self.vitals.publish_size(node.keys(), node.memory.last().allocated);
    }
}

/// A registry that holds the node's metrics.
pub(crate) fn registry(published: Arc<Published>) -> Registry {
    let registry = Registry::new();
    let registered = registry.register(Box::new(NodeCollector::new(published)));
    registered.expect("an empty registry takes a collector whose names differ; a test registers it");
    registry
}

/// Reads the cells when the registry is scraped.
struct NodeCollector {
    published: Arc<Published>,
    descriptions: Vec<Desc>,
}

const KEYS: (&str, &str) = ("redis_db_keys", "Keys of a database");
const CALLS: (&str, &str) = ("redis_commands_total", "Executions of a command");
const LAGS: (&str, &str) =
    ("slotway_node_replication_lag_bytes", "Bytes of the stream that a replica has not acknowledged");
const LEASE: (&str, &str) = (
    "slotway_node_lease_seconds_left",
    "How long this node may still serve as a primary; 0: not at all, +Inf: without replicas it needs no lease",
);
const EXPIRING_KEYS: (&str, &str) = ("redis_db_keys_expiring", "Keys of a database that have a deadline");

impl NodeCollector {
    fn new(published: Arc<Published>) -> NodeCollector {
        let describe = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|&label| label.to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, Default::default())
                .expect("the rows' names are valid; a test describes them")
        };
        let mut descriptions: Vec<Desc> = ROWS.iter().map(|row| describe(row.name, row.help, &[])).collect();
        for (name, help) in [KEYS, EXPIRING_KEYS] {
            descriptions.push(describe(name, help, &["db"]));
        }
        descriptions.push(describe(CALLS.0, CALLS.1, &["cmd"]));
        descriptions.push(describe(LAGS.0, LAGS.1, &["replica"]));
        descriptions.push(describe(LEASE.0, LEASE.1, &[]));
        NodeCollector { published, descriptions }
    }
}

impl Collector for NodeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let rows = ROWS.iter().zip(&self.published.rows);
        let mut families: Vec<_> = rows
            .map(|(row, cell)| {
                family((row.name, row.help), row.kind, vec![metric(row.kind, cell.load(Relaxed), None)])
            })
            .collect();
        for (names, cells) in [(KEYS, &self.published.keys), (EXPIRING_KEYS, &self.published.expiring_keys)] {
            let databases = cells.iter().enumerate();
            let label = |number| Some(("db", format!("db{number}")));
            let metrics = databases.map(|(number, cell)| metric(Gauge, cell.load(Relaxed), label(number)));
            families.push(family(names, Gauge, metrics.collect()));
        }
        let calls = COMMANDS.iter().zip(&self.published.calls).map(|(row, cell)| (row, cell.load(Relaxed)));
        let used = calls.filter(|(_, calls)| *calls > 0);
        let metrics = used.map(|(row, calls)| metric(Counter, calls, Some(("cmd", row.name.to_owned()))));
        families.push(family(CALLS, Counter, metrics.collect()));
        let lags = self.published.lags.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics =
            lags.iter().map(|(replica, lag)| metric(Gauge, *lag, Some(("replica", replica.clone()))));
        families.push(family(LAGS, Gauge, metrics.collect()));
        families.push(family(LEASE, Gauge, vec![gauge(lease_seconds(&self.published.vitals, boottime()))]));
        families
    }
}

fn family((name, help): (&str, &str), kind: Kind, metrics: Vec<proto::Metric>) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(match kind {
        Counter => proto::MetricType::COUNTER,
        Gauge => proto::MetricType::GAUGE,
    });
    family.set_metric(metrics);
    family
}

fn metric(kind: Kind, value: u64, label: Option<(&str, String)>) -> proto::Metric {
    #[allow(
        clippy::cast_precision_loss,
        reason = "metrics are floating point; above 2^53 the last digits are lost"
    )]
    let value = value as f64;
    let mut metric = proto::Metric::default();
    match kind {
        Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        Gauge => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    if let Some((name, value)) = label {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        metric.set_label(vec![pair]);
    }
    metric
}

fn gauge(value: f64) -> proto::Metric {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    let mut metric = proto::Metric::default();
    metric.set_gauge(gauge);
    metric
}

/// Read when it is asked for: in a round of housekeeping it may run out.
fn lease_seconds(vitals: &Vitals, now: Duration) -> f64 {
    match vitals.lease() {
        (_, Duration::MAX) => f64::INFINITY,
        (_, until) => until.saturating_sub(now).as_secs_f64(),
    }
}

fn epoch(node: &Node) -> u64 {
    node.membership.adopted().and_then(|adopted| adopted.shard()).map_or(0, |shard| shard.epoch.0)
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_sorted_unique_helped_and_named_by_convention() {
        for pair in ROWS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} is out of order", pair[1].name);
        }
        for row in ROWS {
            assert!(!row.help.is_empty(), "{}", row.name);
            assert_eq!(row.kind == Counter, row.name.ends_with("_total"), "{}", row.name);
        }
    }

    #[test]
    fn a_lease_is_shown_as_the_seconds_that_are_left() {
        let vitals = Vitals::default();
        let (one, ms) = (slotway_cluster::Epoch(1), Duration::from_millis);
        assert_eq!(lease_seconds(&vitals, ms(0)), 0.0);
        vitals.set_lease(one, ms(1300), ms(1000));
        assert!((lease_seconds(&vitals, ms(1050)) - 0.25).abs() < 1e-9);
        assert_eq!(lease_seconds(&vitals, ms(1301)), 0.0);
        vitals.set_lease(one, Duration::MAX, ms(1301));
        assert_eq!(lease_seconds(&vitals, ms(2000)), f64::INFINITY);
    }

    #[test]
    fn a_registry_shows_what_was_published() {
        let published = Arc::new(Published::new(Arc::default()));
        published.keys[3].store(42, Relaxed);
        let families = registry(published).gather();
        let keys = families.iter().find(|family| family.name() == "redis_db_keys").unwrap();
        assert_eq!(keys.get_metric().len(), DATABASE_COUNT);
        assert!(keys.get_metric().iter().any(|metric| metric.get_gauge().get_value() == 42.0));
        assert_eq!(
            families.len(),
            ROWS.len() + 3,
            "a command that was never called has no line, nor has a replica"
        );
    }
}
