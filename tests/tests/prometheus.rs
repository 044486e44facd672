//! A real Prometheus scrapes a cluster and finds what dashboards and alerts are written against.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use slotway_tests::cluster::{UpCluster, ask, http_get, wait_until};

/// How long Prometheus may take for one answer of a target. Machines that run tests are busy.
const SCRAPE: &str = "2s";

/// Prometheus with a directory of its own. Dropping it stops it.
struct Prometheus {
    child: Child,
    port: u16,
    log: tempfile::NamedTempFile,
}

impl Prometheus {
    fn start(dir: &Path, jobs: &[(&str, Vec<u16>)]) -> Prometheus {
        let config = dir.join("prometheus.yml");
        fs::write(&config, configuration(jobs)).expect("the configuration is written");
        let log = tempfile::NamedTempFile::new_in(dir).expect("a log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().expect("a second handle of the log"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run prometheus: {error}; ./test --tools installs it"));
        let mut started = Prometheus { child, port: 0, log };
        wait_until("Prometheus listens", || {
            assert!(matches!(started.child.try_wait(), Ok(None)), "Prometheus ended:\n{}", started.said());
            started.port = started.listening().unwrap_or(0);
            started.port != 0
        });
        started
    }

    /// It chose a free port by itself; its log says which.
    fn listening(&self) -> Option<u16> {
        let log = self.said();
        let line = log.lines().find(|line| line.contains("Listening on"))?;
        line.split("address=127.0.0.1:").nth(1)?.split_whitespace().next()?.parse().ok()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// The series that a query finds: labels and value of each.
    fn query(&self, name: &str) -> Vec<(Value, String)> {
        let (status, body) = http_get(self.port, &format!("/api/v1/query?query={name}"));
        // Until it has read its own store it answers 503.
        if status != 200 {
            return Vec::new();
        }
        // The body may come in chunks; what is between the outer braces is the JSON.
        let json = &body[body.find('{').unwrap_or(0)..body.rfind('}').map_or(0, |end| end + 1)];
        let answer: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {body}"));
        let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let value = |series: &Value| series["value"][1].as_str().unwrap_or_default().to_owned();
        series.iter().map(|series| (series["metric"].clone(), value(series))).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(jobs: &[(&str, Vec<u16>)]) -> String {
    let mut text =
        format!("global:\n  scrape_interval: {SCRAPE}\n  scrape_timeout: {SCRAPE}\nscrape_configs:\n");
    for (name, ports) in jobs {
        let targets: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        text.push_str(&format!(
            "  - job_name: {name}\n    static_configs:\n      - targets: [{}]\n",
            targets.join(", ")
        ));
    }
    text
}

/// Two shards with a replica each, and some traffic.
fn busy_cluster() -> (UpCluster, Vec<u16>) {
    let cluster = UpCluster::start(&["--shards", "2", "--replicas", "1"]);
    for number in 0..50 {
        let said = ask(cluster.port(), &format!("SET key:{number} value")).expect("a reply");
        assert_eq!(said, "+OK");
    }
    let nodes = (0..4).map(|index| cluster.port_of("nodes", index, "admin_port")).collect();
    (cluster, nodes)
}

#[test]
fn prometheus_scrapes_the_proxy_and_every_node() {
    let (cluster, nodes) = busy_cluster();
    let dir = tempfile::tempdir().unwrap();
    let jobs = [("slotway-proxy", vec![cluster.admin_port()]), ("slotway-node", nodes)];
    let prometheus = Prometheus::start(dir.path(), &jobs);

    wait_until("every target is up", || {
        let found = prometheus.query("up");
        found.len() == 5 && found.iter().all(|(_, value)| value == "1")
    });
    let all = |name: &str, count: usize| {
        wait_until(&format!("{count} series of {name}"), || prometheus.query(name).len() == count);
        prometheus.query(name)
    };
    for (labels, value) in all("redis_up", 4) {
        assert_eq!((labels["job"].as_str(), value.as_str()), (Some("slotway-node"), "1"));
    }
    all("redis_memory_used_bytes", 4);
    all("redis_connected_clients", 4);
    wait_until("the proxy's requests are counted", || {
        let found = prometheus.query("slotway_proxy_requests_total");
        found.iter().any(|(labels, value)| {
            labels["command"] == "set" && labels["outcome"] == "ok" && value.parse().unwrap_or(0.0) >= 50.0
        })
    });
    assert!(!prometheus.query("slotway_proxy_request_seconds_bucket").is_empty());
}

/// Names that redis_exporter made familiar, whatever promtool thinks of them.
const FAMILIAR: [&str; 2] = ["redis_rdb_current_bgsave_duration_sec ", "redis_rdb_last_bgsave_duration_sec "];

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let (cluster, nodes) = busy_cluster();
    let dir = tempfile::tempdir().unwrap();
    for port in nodes.into_iter().chain([cluster.admin_port()]) {
        let (status, text) = http_get(port, "/metrics");
        assert_eq!(status, 200, "{text}");
        let file = dir.path().join("metrics");
        fs::write(&file, &text).unwrap();
        let checked = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap_or_else(|error| panic!("cannot run promtool: {error}; ./test --tools installs it"));
        let said = String::from_utf8_lossy(&checked.stderr);
        let own: Vec<&str> =
            said.lines().filter(|line| !FAMILIAR.iter().any(|name| line.starts_with(name))).collect();
        assert!(own.is_empty(), "port {port}: {own:?}\n{text}");
    }
}

#[test]
fn the_scrape_configuration_that_is_shipped_is_valid() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/prometheus.yml");
    let checked = Command::new("promtool").args(["check", "config"]).arg(&shipped).output();
    let checked =
        checked.unwrap_or_else(|error| panic!("cannot run promtool: {error}; ./test --tools installs it"));
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
}
