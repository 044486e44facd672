//! A Slotway cluster of one shard under attack: `slotway up`, as a user starts it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    api::Api,
    load::Side,
    place::Door,
    system::{System, WHOLE_MAX, send, wait},
};
use crate::{
    cluster::{is_running, slotway},
    syscall::{Signal, send_signal},
};

/// Clients, as connections.
pub const LANES: usize = 24;

/// How often a cluster is started on other ports because somebody took one.
const STARTS_MAX: usize = 20;

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Shape {
    pub replicas: usize,
    pub proxies: usize,
    pub durability: &'static str,
    pub restart: bool,
    pub appendonly: bool,
    /// Settings that `up` has no flag for.
    pub environment: Vec<(&'static str, &'static str)>,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            replicas: 2,
            proxies: 3,
            durability: "quorum",
            restart: false,
            appendonly: true,
            environment: Vec::new(),
        }
    }
}

/// A running `slotway up`. Dropping it kills all of it.
#[derive(Debug)]
pub struct Slotway {
    up: Child,
    shape: Shape,
    /// First client port, first admin port, first Sentinel port, first node port.
    ports: [u16; 4],
    dir: TempDir,
}

impl Slotway {
    /// Starts it and waits until all of it serves.
    ///
    /// # Errors
    /// With the end of what it said, if it does not.
    pub fn start(shape: Shape) -> io::Result<Slotway> {
        let mut last = io::Error::other("never tried");
        for _ in 0..STARTS_MAX {
            let dir = tempfile::Builder::new().prefix("slotway-failover-").tempdir()?;
            let ports = block_of_ports();
            let up = launch(&shape, ports, dir.path())?;
            let mut cluster = Slotway { up, shape: shape.clone(), ports, dir };
            match cluster.wait_until_whole() {
                Ok(()) => return Ok(cluster),
                Err(error) => last = error,
            }
            if !last.to_string().contains("in use") {
                break;
            }
        }
        Err(last)
    }

    /// Starts it again on what it left, on the ports that it had.
    ///
    /// # Errors
    /// As [`Slotway::start`].
    pub fn start_again(&mut self) -> io::Result<()> {
        let mut last = Ok(());
        for _ in 0..STARTS_MAX {
            let _gone = fs::remove_file(self.dir.path().join("up.json"));
            self.up = launch(&self.shape, self.ports, self.dir.path())?;
            last = self.wait_until_whole();
            // A killed process is gone for its parent a moment before its ports are free.
            if !last.as_ref().is_err_and(|error| error.to_string().contains("in use")) {
                break;
            }
        }
        last
    }

    fn wait_until_whole(&mut self) -> io::Result<()> {
        let mut ended = None;
        let waited = wait("all of the cluster serves", WHOLE_MAX, || {
            ended = self.up.try_wait().ok().flatten();
            ended.is_some() || self.file().is_some_and(|file| file["ready"] == true) && self.is_whole()
        });
        match (waited, ended) {
            (Ok(_), None) => Ok(()),
            (Ok(_), Some(status)) => {
                Err(io::Error::other(format!("`slotway up` ended ({status}): {}", self.said())))
            }
            (Err(error), _) => {
                let view = self.api().get("/v1/shards").unwrap_or_default();
                Err(io::Error::other(format!("{error}; {view}; {}", self.said())))
            }
        }
    }

    /// Stops it as a user does, and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> io::Result<()> {
        drop(self.up.stdin.take());
        wait("`slotway up` ends", WHOLE_MAX, || !matches!(self.up.try_wait(), Ok(None))).map(drop)
    }

    /// `kill -9` of everything, `up` first so that it mourns nobody.
    pub fn kill_all(&mut self) {
        let children = self.children();
        // Whoever has ended already cannot be killed.
        let _ended = self.up.kill();
        let _status = self.up.wait();
        for (_, pid) in &children {
            let _ended = send_signal(*pid, Signal::Kill);
        }
        let _gone = wait("all processes are gone", Duration::from_secs(10), || {
            children.iter().all(|(_, pid)| !is_running(*pid))
        });
    }

    /// Ids and process ids of all children that run, nodes first.
    #[must_use]
    pub fn children(&self) -> Vec<(String, u32)> {
        let file = self.file().unwrap_or_default();
        let rows = ["nodes", "proxies"].into_iter();
        let rows = rows.flat_map(|part| file[part].as_array().cloned().unwrap_or_default());
        let running = rows.filter_map(|row| {
            let pid = u32::try_from(row["pid"].as_u64()?).ok()?;
            Some((row["id"].as_str()?.to_owned(), pid))
        });
        running.filter(|(_, pid)| is_running(*pid)).collect()
    }

    /// # Errors
    /// When no such process runs.
    pub fn pid(&self, id: &str) -> io::Result<u32> {
        let found = self.children().into_iter().find(|(child, _)| child == id);
        found.map(|(_, pid)| pid).ok_or_else(|| io::Error::other(format!("{id} does not run")))
    }

    /// What it says of itself.
    #[must_use]
    pub fn api(&self) -> Api {
        Api(self.doors(self.ports[1]))
    }

    /// As many as there are proxies, from this port on.
    fn doors(&self, first: u16) -> Vec<Door> {
        (0..self.shape.proxies).map(|nth| Door::here(first + u16::try_from(nth).unwrap_or(0))).collect()
    }

    /// The client ports of the proxies.
    #[must_use]
    pub fn client_doors(&self) -> Vec<Door> {
        self.doors(self.ports[0])
    }

    /// The nodes that run.
    fn living(&self) -> usize {
        self.children().iter().filter(|(id, _)| id.starts_with('n')).count()
    }

    fn file(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.dir.path().join("up.json")).ok()?).ok()
    }

    fn said(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("up.log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        last.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }
}

impl System for Slotway {
    fn sides(&self) -> Vec<Side> {
        vec![Side { name: "clients", doors: self.client_doors(), lanes: LANES, leads: None }]
    }

    fn primary(&self) -> io::Result<String> {
        self.api().primary()
    }

    fn signal(&self, id: &str, signal: Signal) -> io::Result<()> {
        send(self.pid(id)?, signal)
    }

    fn cut(&self, _: &[&str], _: &[&str]) -> io::Result<()> {
        Err(io::Error::other("`slotway up` has one network"))
    }

    fn heal(&self) -> io::Result<()> {
        Ok(())
    }

    fn own_door(&self, id: &str) -> io::Result<Door> {
        let file = self.file().unwrap_or_default();
        let rows = file["nodes"].as_array().cloned().unwrap_or_default();
        let port = rows.iter().find(|row| row["id"] == id).and_then(|row| row["port"].as_u64());
        let port = port.and_then(|port| u16::try_from(port).ok());
        port.map(Door::here).ok_or_else(|| io::Error::other(format!("no node {id}")))
    }

    fn is_whole(&self) -> bool {
        self.api().is_whole(self.living().saturating_sub(1))
    }

    fn reader(&self) -> io::Result<Door> {
        Api::open_door(&self.client_doors())
    }

    fn directory(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Slotway {
    fn drop(&mut self) {
        self.kill_all();
    }
}

fn launch(shape: &Shape, ports: [u16; 4], dir: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(dir.join("up.log"))?;
    let mut command: Command = slotway();
    command.args(["up", "--shards", "1", "--dir"]).arg(dir);
    for (flag, value) in ["--port", "--admin-port", "--sentinel-port", "--node-port"].into_iter().zip(ports) {
        command.args([flag, &value.to_string()]);
    }
    command.args(["--replicas", &shape.replicas.to_string(), "--proxies", &shape.proxies.to_string()]);
    command.args(["--durability", shape.durability]);
    command.args(["--appendonly", if shape.appendonly { "yes" } else { "no" }]);
    if !shape.restart {
        command.arg("--no-restart");
    }
    command.envs(shape.environment.iter().copied());
    // Its children end when this pipe closes, however the campaign ends.
    command.env("SLOTWAY_PARENT_PIPE", "1").stdin(Stdio::piped());
    command.stdout(log.try_clone()?).stderr(log).spawn()
}

/// Ports that nobody is likely to use: fixed ones, so that a cluster can be started again, below those that the kernel gives away. Whether
/// they are free `up` finds out.
fn block_of_ports() -> [u16; 4] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs());
    let own =
        std::process::id().wrapping_mul(7919).wrapping_add(u32::try_from(seconds % 100_000).unwrap_or(0));
    let nth = own.wrapping_add(NEXT.fetch_add(1, Relaxed)) % 140;
    // Each block of five: proxies and nodes at 3000 + 5 n (and 10000 and 1000 above), the rest between.
    let base = u16::try_from(nth * 5).unwrap_or(0);
    [5000 + base, 6800 + base, 7600 + base, 8400 + base]
}

/// Keeps a directory of logs when something was found in it.
///
/// # Errors
/// When it cannot be copied.
pub fn keep_logs(from: &Path, name: &str) -> io::Result<PathBuf> {
    let stamp = Instant::now().elapsed().as_nanos();
    let to = std::env::temp_dir().join(format!("slotway-found-{}-{name}-{stamp}", std::process::id()));
    fs::create_dir_all(&to)?;
    let logs = from.join("logs");
    for entry in fs::read_dir(if logs.is_dir() { &logs } else { from })? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(to)
}
