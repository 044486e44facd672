//! A whole cluster for a test: `slotway up` on free ports in a directory of its own, gone when the test ends.
//!
//! The program under test is the one that was built beside the test (or `SLOTWAY_BIN`). It is stopped the way `up` stops
//! its own children, by closing the pipe that is its standard input, so that a test that fails leaves nothing behind.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything in a test may take: far more than it does, since machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at a condition that is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// Every port a free one.
const FREE_PORTS: [&str; 8] =
    ["--port", "0", "--admin-port", "0", "--sentinel-port", "0", "--node-port", "0"];

/// A running `slotway up`. Dropping it stops it.
#[derive(Debug)]
pub struct UpCluster {
    child: Child,
    dir: PathBuf,
    /// Removed behind the cluster, unless the directory belongs to the test.
    _own_dir: Option<TempDir>,
}

impl UpCluster {
    /// Starts a cluster and waits until every slot is served. `flags` go behind those for free ports.
    pub fn start(flags: &[&str]) -> UpCluster {
        let dir = tempfile::tempdir().expect("a directory for the cluster");
        let mut cluster = UpCluster::start_in(dir.path(), flags);
        cluster._own_dir = Some(dir);
        cluster
    }

    /// With settings of its children, as their environment.
    pub fn start_with(flags: &[&str], environment: &[(&str, &str)]) -> UpCluster {
        let dir = tempfile::tempdir().expect("a directory for the cluster");
        let mut command = up(dir.path(), flags);
        command.envs(environment.iter().copied());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {:?}: {error}", binary()));
        let mut cluster = UpCluster { child, dir: dir.path().to_owned(), _own_dir: Some(dir) };
        cluster.wait_until_ready();
        cluster
    }

    /// The same in a directory that outlives the cluster.
    pub fn start_in(dir: &Path, flags: &[&str]) -> UpCluster {
        let mut cluster = UpCluster::launch(dir, flags);
        cluster.wait_until_ready();
        cluster
    }

    /// Starts without waiting.
    pub fn launch(dir: &Path, flags: &[&str]) -> UpCluster {
        let child =
            up(dir, flags).spawn().unwrap_or_else(|error| panic!("cannot start {:?}: {error}", binary()));
        UpCluster { child, dir: dir.to_owned(), _own_dir: None }
    }

    /// Waits until `up.json` says that every slot is served.
    pub fn wait_until_ready(&mut self) {
        self.wait_for("every slot is served", |file| (file["ready"] == true).then_some(()));
    }

    /// Waits until `up.json` is as `found` wants it.
    pub fn wait_for<T>(&mut self, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.file().as_ref().and_then(&found) {
                return found;
            }
            if let Some(status) = self.child.try_wait().expect("the state of `slotway up`") {
                panic!("`slotway up` ended ({status}) before {what}\n{}", self.logs());
            }
            assert!(
                Instant::now() < deadline,
                "waited in vain until {what}: {:#?}\n{}",
                self.file(),
                self.logs()
            );
            thread::sleep(LOOK);
        }
    }

    /// `up.json`, once it is there; that of an earlier `up` in the same directory is not taken for this one's.
    pub fn file(&self) -> Option<Value> {
        let text = fs::read(self.dir.join("up.json")).ok()?;
        let file: Value = serde_json::from_slice(&text).expect("up.json is whole whenever it is read");
        (file["pid"] == self.pid()).then_some(file)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process id of `slotway up` itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The client port of the first proxy.
    pub fn port(&self) -> u16 {
        self.port_of("proxies", 0, "port")
    }

    /// The admin port of the first proxy.
    pub fn admin_port(&self) -> u16 {
        self.port_of("proxies", 0, "admin_port")
    }

    /// Any port of `up.json`: `port_of("nodes", 2, "admin_port")`.
    pub fn port_of(&self, part: &str, index: usize, name: &str) -> u16 {
        let file = self.file().expect("up.json is there");
        let port = file[part][index][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {part}[{index}].{name} in {file:#}"));
        u16::try_from(port).expect("a port")
    }

    /// Process ids of all children that run.
    pub fn children(&self) -> Vec<u32> {
        let file = self.file().expect("up.json is there");
        let rows = ["proxies", "nodes"]
            .into_iter()
            .flat_map(|part| file[part].as_array().cloned().unwrap_or_default());
        rows.filter_map(|row| u32::try_from(row["pid"].as_u64()?).ok()).collect()
    }

    /// The row of a child, by its id (`n1`, `p1`).
    pub fn row(file: &Value, id: &str) -> Option<Value> {
        let rows = ["proxies", "nodes"]
            .into_iter()
            .flat_map(|part| file[part].as_array().cloned().unwrap_or_default());
        rows.into_iter().find(|row| row["id"] == id)
    }

    /// Kills a child without warning; returns the process id it had.
    pub fn kill(&self, id: &str) -> u32 {
        let file = self.file().expect("up.json is there");
        let pid = UpCluster::row(&file, id).and_then(|row| row["pid"].as_u64());
        let pid = pid
            .and_then(|pid| u32::try_from(pid).ok())
            .unwrap_or_else(|| panic!("{id} does not run: {file:#}"));
        signal("KILL", pid);
        pid
    }

    /// GET of the first proxy's admin API.
    pub fn get(&self, path: &str) -> (u16, String) {
        http_get(self.admin_port(), path)
    }

    /// GET, as JSON.
    pub fn get_json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Waits for `slotway up` to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of `slotway up`") {
                return status;
            }
            assert!(Instant::now() < deadline, "`slotway up` does not end\n{}", self.logs());
            thread::sleep(LOOK);
        }
    }

    /// Stops everything cleanly.
    pub fn stop(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.wait()
    }

    fn logs(&self) -> String {
        let mut text = String::new();
        let files =
            fs::read_dir(self.dir.join("logs")).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in files.chain([self.dir.join("up.log")]) {
            let log = fs::read_to_string(&path).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(10).collect();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            text.push_str(&format!("--- {}\n{tail}\n", path.display()));
        }
        text
    }
}

impl Drop for UpCluster {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(LOOK);
        }
        // Its children then end by themselves. Whether this works or not, there is nothing more to be done.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that starts a cluster in `dir`, not yet run. What it says goes to `DIR/up.log`.
pub fn up(dir: &Path, flags: &[&str]) -> Command {
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("up.log")).expect("a log");
    let mut command = slotway();
    command
        .arg("up")
        .args(FREE_PORTS)
        .arg("--dir")
        .arg(dir)
        .args(flags)
        .env("SLOTWAY_PARENT_PIPE", "1")
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log);
    command
}

/// The program under test, without settings of whoever runs the tests.
pub fn slotway() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SLOTWAY")) {
        command.env_remove(name);
    }
    command
}

/// From now on this is the program under test.
pub fn use_binary(path: PathBuf) {
    // The first who says so is right: a process tests one program.
    let _chosen = CHOSEN.set(path);
}

static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// What was chosen, `SLOTWAY_BIN`, or the `slotway` that lies in the directory above the test's own.
pub fn binary() -> PathBuf {
    if let Some(path) = CHOSEN.get() {
        return path.clone();
    }
    if let Some(path) = std::env::var_os("SLOTWAY_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the path of the test");
    let beside = test.ancestors().skip(1).map(|dir| dir.join("slotway")).find(|path| path.is_file());
    beside.unwrap_or_else(|| panic!("no `slotway` above {}: build it, or set SLOTWAY_BIN", test.display()))
}

/// Sends a signal by its name.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().expect("kill");
    assert!(status.success(), "cannot send {name} to {pid}");
}

/// Whether a process runs (one that ended and was not yet waited for does not).
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(LOOK);
    }
}

/// One HTTP request; status and body.
pub fn http_get(port: u16, path: &str) -> (u16, String) {
    try_http_get(port, path).unwrap_or_else(|error| panic!("GET {path} of port {port}: {error}"))
}

fn try_http_get(port: u16, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let whole = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    whole.ok_or_else(|| io::Error::other(format!("no HTTP: {answer}")))
}

/// One request to a RESP port as inline words, and the first line of its reply.
pub fn ask(port: u16, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
