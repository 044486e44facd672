//! What each field of INFO is on this node.

use std::{fs, rc::Rc};

use slotway_cluster::{Database, slot::DATABASES};
use slotway_commands::info::{REDIS_VERSION, human};
use slotway_config::Key;

use crate::{
    call::Millis,
    client::{Class, Client},
    handlers::latency,
    memory::Reading,
    node::Node,
    persistence::{self, aof},
    replication::report,
    statistics::Uses,
};

/// Fields of things that this version does not have, or that are not in use: Redis's value for "none".
const NOT_IN_USE: &[(&str, &str)] = &[
    ("acl_access_denied_channel", "0"),
    ("acl_access_denied_cmd", "0"),
    ("acl_access_denied_key", "0"),
    ("active_defrag_hits", "0"),
    ("active_defrag_key_hits", "0"),
    ("active_defrag_key_misses", "0"),
    ("active_defrag_misses", "0"),
    ("active_defrag_running", "0"),
    ("async_loading", "0"),
    ("clients_in_timeout_table", "0"),
    ("cluster_connections", "0"),
    ("current_active_defrag_time", "0"),
    ("dump_payload_sanitizations", "0"),
    ("instantaneous_input_repl_kbps", "0.00"),
    ("instantaneous_output_repl_kbps", "0.00"),
    ("io_threaded_reads_processed", "0"),
    ("io_threaded_writes_processed", "0"),
    ("io_threads_active", "0"),
    ("latest_fork_usec", "0"),
    ("lazyfree_pending_objects", "0"),
    ("lazyfreed_objects", "0"),
    ("mem_cluster_links", "0"),
    ("mem_not_counted_for_evict", "0"),
    ("migrate_cached_sockets", "0"),
    ("module_fork_in_progress", "0"),
    ("module_fork_last_cow_size", "0"),
    ("number_of_cached_scripts", "0"),
    ("number_of_functions", "0"),
    ("number_of_libraries", "0"),
    ("process_supervised", "no"),
    ("pubsub_channels", "0"),
    ("pubsub_patterns", "0"),
    ("pubsubshard_channels", "0"),
    ("redis_git_dirty", "0"),
    ("redis_git_sha1", "00000000"),
    ("reply_buffer_expands", "0"),
    ("reply_buffer_shrinks", "0"),
    ("slave_expires_tracked_keys", "0"),
    ("total_active_defrag_time", "0"),
    ("total_blocking_keys", "0"),
    ("total_blocking_keys_on_nokey", "0"),
    ("total_forks", "0"),
    ("tracking_clients", "0"),
    ("tracking_total_items", "0"),
    ("tracking_total_keys", "0"),
    ("tracking_total_prefixes", "0"),
    ("used_cpu_sys_children", "0.000000"),
    ("used_cpu_user_children", "0.000000"),
    ("used_memory_functions", "0"),
    ("used_memory_lua", "0"),
    ("used_memory_lua_human", "0B"),
    ("used_memory_scripts", "0"),
    ("used_memory_scripts_eval", "0"),
    ("used_memory_scripts_human", "0B"),
    ("used_memory_vm_eval", "0"),
    ("used_memory_vm_functions", "0"),
    ("used_memory_vm_total", "0"),
    ("used_memory_vm_total_human", "0B"),
];

/// The node at one moment.
pub(super) struct Facts<'a> {
    node: &'a Node,
    now: Millis,
    memory: Reading,
    /// Bytes that clients' connections hold.
    client_bytes: u64,
    /// Bytes of tables.
    table_bytes: u64,
    input_bytes_max: usize,
    output_bytes_max: usize,
    system_memory: u64,
    cpu: Cpu,
}

impl<'a> Facts<'a> {
    pub(super) fn gather(node: &'a mut Node, now: Millis) -> Facts<'a> {
        let memory = node.memory.read();
        let clients = || node.clients.iter().filter(|client| client.class.get() == Class::Normal);
        let bytes: usize = clients().map(|client| client.memory_bytes()).sum();
        Facts {
            now,
            memory,
            client_bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            table_bytes: node.overhead_bytes(),
            input_bytes_max: clients().map(|client| client.input_bytes.get()).max().unwrap_or(0),
            output_bytes_max: clients().map(|client| client.output_bytes.get()).max().unwrap_or(0),
            system_memory: system_memory().unwrap_or(0),
            cpu: Cpu::read(),
            node,
        }
    }

    /// A field that is no pattern; None: this node does not report it.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let fixed =
            || NOT_IN_USE.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        self.server(name)
            .or_else(|| self.clients(name))
            .or_else(|| self.memory(name))
            .or_else(|| self.persistence(name))
            .or_else(|| aof::report::field(self.node, name, self.now))
            .or_else(|| self.stats(name))
            .or_else(|| self.replication(name))
            .or_else(|| self.cpu(name))
            .or_else(fixed)
    }

    /// The lines that a pattern stands for.
    pub(super) fn lines(&self, pattern: &str) -> Vec<(String, String)> {
        match pattern {
            "db*" => (0..DATABASES).filter_map(|number| self.database(Database(number))).collect(),
            "cmdstat_*" => self.node.statistics.uses().map(|(row, uses)| {
                let Uses { calls, rejected, failed, nanos } = uses;
                let micros = nanos / 1000;
                let each = ratio(nanos, calls * 1000);
                let value = format!("calls={calls},usec={micros},usec_per_call={each},rejected_calls={rejected},failed_calls={failed}");
                (format!("cmdstat_{}", row.name), value)
            }).collect(),
            "latency_percentiles_usec_*" => {
                let percentiles = self.node.settings.latency_percentiles();
                let statistics = &self.node.statistics;
                let timed = statistics.uses().filter_map(|(row, _)| Some((row.id, statistics.histogram(row.id)?)));
                timed.map(|(id, histogram)| latency::percentiles(id, histogram, percentiles)).collect()
            }
            "slave*" => report::replicas(self.node),
            "errorstat_*" => {
                let counts = self.node.statistics.errors_by_code();
                counts.map(|(code, count)| (format!("errorstat_{code}"), format!("count={count}"))).collect()
            }
            "listener*" => {
                let bind = self.node.settings.bind();
                let hosts: Vec<String> = bind.iter().map(|bind| format!("bind={}", bind.host)).collect();
                vec![("listener0".into(), format!("name=tcp,{},port={}", hosts.join(","), self.node.port))]
            }
            "master_sync_*" => self.node.sync_facts(),
            _ => Vec::new(),
        }
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = &Rc<Client>> {
        self.node.clients.iter().filter(move |client| client.class.get() == class)
    }

    /// None: no keys.
    fn database(&self, database: Database) -> Option<(String, String)> {
        let keyspace = &self.node.keyspace;
        let keys = keyspace.len(database);
        let (expires, ttl) = (keyspace.deadlines(database), keyspace.mean_ttl(database, self.now));
        (keys > 0)
            .then(|| (format!("db{}", database.0), format!("keys={keys},expires={expires},avg_ttl={ttl}")))
    }

    fn server(&self, name: &str) -> Option<String> {
        let uptime = self.now.0.saturating_sub(self.node.started_at.0) / 1000;
        let hz = || self.node.bounds.hz.to_string();
        Some(match name {
            "redis_version" => REDIS_VERSION.into(),
            "slotway_version" => env!("CARGO_PKG_VERSION").into(),
            "redis_build_id" => "0".into(),
            "redis_mode" | "cluster_enabled" => {
                let managed = self.node.membership.adopted().is_some();
                match (name, managed) {
                    ("redis_mode", true) => "cluster".into(),
                    ("redis_mode", false) => "standalone".into(),
                    (_, managed) => u8::from(managed).to_string(),
                }
            }
            "os" => operating_system(),
            "arch_bits" => usize::BITS.to_string(),
            "monotonic_clock" => "POSIX clock_gettime".into(),
            "multiplexing_api" => "epoll".into(),
            "atomicvar_api" => "c11-builtin".into(),
            "gcc_version" => "0.0.0".into(),
            "process_id" => std::process::id().to_string(),
            "run_id" => self.node.identity.run_id.clone(),
            "tcp_port" => self.node.port.to_string(),
            "slotway_pulse_port" => self.node.pulse_port?.to_string(),
            "slotway_incarnation" => {
                self.node.pulse_port?;
                self.node.identity.incarnation?.to_string()
            }
            "server_time_usec" => self.now.0.saturating_mul(1000).to_string(),
            "uptime_in_seconds" => uptime.to_string(),
            "uptime_in_days" => (uptime / 86_400).to_string(),
            "hz" | "configured_hz" => hz(),
            "lru_clock" => (self.now.0 / 1000 % (1 << 24)).to_string(),
            "executable" => std::env::current_exe().map_or(String::new(), |path| path.display().to_string()),
            "config_file" => String::new(),
            "shutdown_in_milliseconds" => self.node.ending.rest_millis(self.now)?.to_string(),
            _ => return None,
        })
    }

    fn clients(&self, name: &str) -> Option<String> {
        Some(match name {
            "connected_clients" => self.of_class(Class::Normal).count().to_string(),
            "blocked_clients" => {
                self.node.clients.iter().filter(|client| client.is_blocked()).count().to_string()
            }
            "maxclients" => self.node.bounds.clients_max.to_string(),
            "client_recent_max_input_buffer" => self.input_bytes_max.to_string(),
            "client_recent_max_output_buffer" => self.output_bytes_max.to_string(),
            _ => return None,
        })
    }

    fn memory(&self, name: &str) -> Option<String> {
        let Reading { allocated, active, resident } = self.memory;
        let (startup, peak) = (self.node.memory.startup, self.node.memory.peak);
        let overhead = startup.saturating_add(self.client_bytes).saturating_add(self.table_bytes);
        let dataset = allocated.saturating_sub(overhead);
        let maxmemory = self.node.settings.bytes(Key::Maxmemory);
        Some(match name {
            "used_memory" | "allocator_allocated" => allocated.to_string(),
            "used_memory_human" => human(allocated),
            "used_memory_rss" | "allocator_resident" => resident.to_string(),
            "used_memory_rss_human" => human(resident),
            "used_memory_peak" => peak.to_string(),
            "used_memory_peak_human" => human(peak),
            "used_memory_peak_perc" => percent(allocated, peak),
            "used_memory_overhead" => overhead.to_string(),
            "used_memory_startup" => startup.to_string(),
            "used_memory_dataset" => dataset.to_string(),
            "used_memory_dataset_perc" => percent(dataset, allocated.saturating_sub(startup)),
            "allocator_active" => active.to_string(),
            "total_system_memory" => self.system_memory.to_string(),
            "total_system_memory_human" => human(self.system_memory),
            "maxmemory" => maxmemory.to_string(),
            "maxmemory_human" => human(maxmemory),
            "maxmemory_policy" => self.node.settings.text(Key::MaxmemoryPolicy).to_owned(),
            "allocator_frag_ratio" => ratio(active, allocated),
            "allocator_frag_bytes" => active.saturating_sub(allocated).to_string(),
            "allocator_rss_ratio" => ratio(resident, active),
            "allocator_rss_bytes" => resident.saturating_sub(active).to_string(),
            "rss_overhead_ratio" => "1.00".into(),
            "rss_overhead_bytes" => "0".into(),
            "mem_fragmentation_ratio" => ratio(resident, allocated),
            "mem_fragmentation_bytes" => resident.saturating_sub(allocated).to_string(),
            "mem_clients_normal" => self.client_bytes.to_string(),
            "mem_allocator" => "jemalloc-5.3.1".into(),
            _ => return None,
        })
    }

    fn persistence(&self, name: &str) -> Option<String> {
        persistence::report::field(self.node, name, self.now)
    }

    fn stats(&self, name: &str) -> Option<String> {
        let statistics = &self.node.statistics;
        let keyspace = &self.node.keyspace.stats;
        Some(match name {
            "total_connections_received" => statistics.connections_received.to_string(),
            "total_commands_processed" => statistics.commands.to_string(),
            "instantaneous_ops_per_sec" => statistics.commands_per_second().to_string(),
            "total_net_input_bytes" => statistics.input_bytes.to_string(),
            "total_net_output_bytes" => statistics.output_bytes.to_string(),
            "instantaneous_input_kbps" => ratio(statistics.input_bytes_per_second(), 1024),
            "instantaneous_output_kbps" => ratio(statistics.output_bytes_per_second(), 1024),
            "rejected_connections" => statistics.connections_rejected.to_string(),
            "expired_keys" => keyspace.expired.to_string(),
            "evicted_clients" => statistics.evicted_clients.to_string(),
            "evicted_keys" => keyspace.evicted.to_string(),
            "total_eviction_exceeded_time" => self.node.exceeded.total().as_millis().to_string(),
            "current_eviction_exceeded_time" => self.node.exceeded.now().as_millis().to_string(),
            "total_net_repl_input_bytes" => self.node.following.read_bytes.to_string(),
            "unexpected_error_replies" => self.node.following.unexpected_errors.to_string(),
            "keyspace_hits" => keyspace.hits.to_string(),
            "keyspace_misses" => keyspace.misses.to_string(),
            "total_error_replies" => statistics.errors.to_string(),
            "total_reads_processed" => statistics.reads.to_string(),
            "total_writes_processed" => statistics.writes.to_string(),
            "acl_access_denied_auth" => statistics.denied_logins.to_string(),
            "client_query_buffer_limit_disconnections" => statistics.cut_for_input.to_string(),
            "client_output_buffer_limit_disconnections" => statistics.cut_for_output.to_string(),
            _ => return None,
        })
    }

    fn replication(&self, name: &str) -> Option<String> {
        if let Some(value) = self.node.replica_fact(name) {
            return Some(value);
        }
        let adopted = self.node.membership.adopted();
        let is_replica =
            self.node.following.primary().is_some() || adopted.is_some_and(|adopted| !adopted.is_primary());
        Some(match name {
            "role" => if is_replica { "slave" } else { "master" }.into(),
            "slotway_part"
            | "slotway_epoch"
            | "slotway_epoch_seen"
            | "slotway_position"
            | "slotway_lease_ms_left" => return self.node.seat_fact(name),
            _ => return report::field(self.node, name),
        })
    }

    fn cpu(&self, name: &str) -> Option<String> {
        Some(match name {
            "used_cpu_sys" | "used_cpu_sys_main_thread" => format!("{:.6}", self.cpu.system_s),
            "used_cpu_user" | "used_cpu_user_main_thread" => format!("{:.6}", self.cpu.user_s),
            _ => return None,
        })
    }
}

fn ratio(of: u64, through: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let ratio = if through == 0 { 0.0 } else { of as f64 / through as f64 };
    format!("{ratio:.2}")
}

fn percent(of: u64, whole: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let percent = if whole == 0 { 0.0 } else { of as f64 * 100.0 / whole as f64 };
    format!("{percent:.2}%")
}

fn operating_system() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {} {}", release.trim(), std::env::consts::ARCH)
}

/// Bytes of memory the machine has.
fn system_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kib.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Processor time of the whole process, seconds.
#[derive(Debug, Default)]
struct Cpu {
    user_s: f64,
    system_s: f64,
}

/// `/proc/PID/stat` counts in hundredths of a second, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

impl Cpu {
    fn read() -> Cpu {
        let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name stands in parentheses and may hold spaces; behind it follow fields 3, 4, ...
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
        let seconds = |number: usize| {
            let ticks: f64 =
                fields.split_whitespace().nth(number - 3).and_then(|ticks| ticks.parse().ok())?;
            Some(ticks / TICKS_PER_SECOND)
        };
        Cpu { user_s: seconds(14).unwrap_or(0.0), system_s: seconds(15).unwrap_or(0.0) }
    }
}
