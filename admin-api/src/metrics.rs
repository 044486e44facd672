//! `/metrics`: the registry as text, with the numbers every Prometheus process brings (`process_*`).
//!
//! Each crate registers its own metrics; here are only those of the process as a whole, read from /proc at each
//! scrape. Names and meanings: Prometheus, "Writing client libraries", process metrics.

use std::{fs, sync::Mutex};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus::{
    Counter, Gauge, Registry, TextEncoder,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use slotway_cluster::view::{ErrorCode, ErrorView};

use crate::answers;

/// Ticks per second of the times in /proc: the same on every Linux that user programs see (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn encode(registry: &Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            answers::refuse(ErrorView::new(ErrorCode::Unavailable, format!("cannot encode: {error}")))
        }
    }
}

/// Adds the `process_*` metrics. A registry that has them already keeps the ones it has.
pub(crate) fn register_process(registry: &Registry) {
    if let Err(error) = registry.register(Box::new(Process::new())) {
        tracing::debug!(%error, "the process metrics are registered already");
    }
}

struct Process {
    cpu: Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    threads: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    start_time: Gauge,
    /// Two scrapes at once would each add the same seconds to `cpu`.
    one_at_a_time: Mutex<()>,
}

impl Process {
    fn new() -> Process {
        let gauge = |name, help| Gauge::new(name, help).expect("the name is valid");
        Process {
            cpu: Counter::new("process_cpu_seconds_total", "User and system CPU time spent, in seconds.")
                .expect("the name is valid"),
            resident: gauge("process_resident_memory_bytes", "Resident memory, in bytes."),
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory, in bytes."),
            threads: gauge("process_threads", "Threads of the process."),
            open_fds: gauge("process_open_fds", "Open file descriptors."),
            max_fds: gauge("process_max_fds", "Most file descriptors that may be open."),
            start_time: gauge("process_start_time_seconds", "When the process started, in Unix seconds."),
            one_at_a_time: Mutex::new(()),
        }
    }

    fn parts(&self) -> [&dyn Collector; 7] {
        [
            &self.cpu,
            &self.resident,
            &self.virtual_memory,
            &self.threads,
            &self.open_fds,
            &self.max_fds,
            &self.start_time,
        ]
    }

    /// A number that cannot be read stays what it was: a scrape never fails for it.
    fn refresh(&self) {
        if let Some(seconds) = cpu_seconds() {
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            let kib = |name: &str| field(&status, name).map(|kib| kib * 1024.0);
            set(&self.resident, kib("VmRSS:"));
            set(&self.virtual_memory, kib("VmSize:"));
            set(&self.threads, field(&status, "Threads:"));
        }
        set(&self.open_fds, open_fds());
        set(
            &self.max_fds,
            fs::read_to_string("/proc/self/limits").ok().and_then(|t| field(&t, "Max open files")),
        );
        set(&self.start_time, start_time());
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _alone = self.one_at_a_time.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.refresh();
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}

fn set(gauge: &Gauge, value: Option<f64>) {
    if let Some(value) = value {
        gauge.set(value);
    }
}

/// The number behind `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// Field `index` of /proc/self/stat, counted from 0 behind the name (which may hold spaces).
fn stat(index: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    text.rsplit_once(") ")?.1.split_whitespace().nth(index)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    Some((stat(11)? + stat(12)?) / TICKS_PER_SECOND)
}

fn start_time() -> Option<f64> {
    let boot = field(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
    Some(boot + stat(19)? / TICKS_PER_SECOND)
}

fn open_fds() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // The directory itself is open while it is read.
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
}
