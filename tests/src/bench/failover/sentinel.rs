//! The control: redis-server with two replicas and three Redis Sentinels, under the same attacks.
//!
//! Processes stand on the hosts that Slotway's have ([`Network`]); clients ask sentinels who leads, as client libraries do, and change over as soon as
//! one says so. Clients that were cut off with the first primary hear only the sentinel on their side.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    apart::Links,
    load::Side,
    network::Network,
    place::Door,
    slotway::LANES,
    speak::Asker,
    system::{System, WHOLE_MAX, send, wait},
};
use crate::{
    cluster::is_running,
    syscall::{Signal, die_with_parent},
};

const SERVERS: [&str; 3] = ["n1", "n2", "n3"];
const SENTINELS: [&str; 3] = ["p1", "p2", "p3"];
const WITH_MOST: &str = "clients";
const WITH_FEW: &str = "few";

const PORT: u16 = 7001;
const SENTINEL_PORT: u16 = 26379;

/// The name of the group.
const GROUP: &str = "group";

/// How often clients ask who leads.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// When a sentinel calls a server down.
#[derive(Clone, Copy, Debug)]
pub enum DownAfter {
    Default,
    Millis(u64),
}

/// Dropping it kills all of it.
#[derive(Debug)]
pub struct Sentinel {
    network: Network,
    children: Vec<(&'static str, Child)>,
    down_after: DownAfter,
    /// Who leads, as told to each side.
    leads: [Arc<AtomicUsize>; 2],
    is_over: Arc<AtomicBool>,
    dir: TempDir,
}

impl Sentinel {
    /// Starts it and waits until all of it serves.
    ///
    /// # Errors
    /// When networks cannot be made here, redis-server is not installed, or it does not serve.
    pub fn start(links: Links, down_after: DownAfter) -> io::Result<Sentinel> {
        let network = Network::new(&[&SERVERS[..], &SENTINELS, &[WITH_MOST, WITH_FEW, "relay"]].concat())?;
        if let Links::Slow(by) = links {
            for from in SERVERS {
                for to in SERVERS.into_iter().filter(|to| *to != from) {
                    network.delay(from, to, PORT, by)?;
                }
            }
        }
        let mut group = Sentinel {
            network,
            children: Vec::new(),
            down_after,
            leads: [Arc::default(), Arc::default()],
            is_over: Arc::default(),
            dir: tempfile::Builder::new().prefix("slotway-failover-").tempdir()?,
        };
        for server in SERVERS {
            group.start_server(server)?;
        }
        wait("replicas follow", WHOLE_MAX, || group.followers(SERVERS[0]) == Some(2))?;
        for sentinel in SENTINELS {
            group.start_sentinel(sentinel)?;
        }
        wait("the sentinels know each other and the replicas", WHOLE_MAX, || {
            SENTINELS.iter().all(|sentinel| group.is_informed(sentinel))
        })?;
        group.keep_told(0, &SENTINELS[..2]);
        group.keep_told(1, &SENTINELS[2..]);
        Ok(group)
    }

    fn start_server(&mut self, name: &'static str) -> io::Result<()> {
        let own = self.network.address(name)?.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", &own, "--port", &PORT.to_string(), "--protected-mode", "no", "--save", ""]);
        command.args(["--appendonly", "yes", "--enable-debug-command", "yes"]);
        command.args(["--replica-announce-ip", &own, "--repl-diskless-sync-delay", "0"]);
        if name != SERVERS[0] {
            let first = self.network.address(SERVERS[0])?.to_string();
            command.args(["--replicaof", &first, &PORT.to_string()]);
        }
        self.spawn(name, command)
    }

    fn start_sentinel(&mut self, name: &'static str) -> io::Result<()> {
        let (own, first) = (self.network.address(name)?, self.network.address(SERVERS[0])?);
        let mut text = format!(
            "bind {own}\nport {SENTINEL_PORT}\nprotected-mode no\nsentinel monitor {GROUP} {first} {PORT} 2\n"
        );
        if let DownAfter::Millis(millis) = self.down_after {
            text += &format!(
                "sentinel down-after-milliseconds {GROUP} {millis}\nsentinel failover-timeout {GROUP} 6000\n"
            );
        }
        let dir = self.dir.path().join(name);
        fs::create_dir_all(&dir)?;
        let config = dir.join("sentinel.conf");
        fs::write(&config, text)?;
        let mut command = Command::new("redis-server");
        command.arg(config).arg("--sentinel");
        self.spawn(name, command)
    }

    fn spawn(&mut self, name: &'static str, mut command: Command) -> io::Result<()> {
        let dir = self.dir.path().join(name);
        fs::create_dir_all(&dir)?;
        fs::create_dir_all(self.dir.path().join("logs"))?;
        let log = File::create(self.dir.path().join("logs").join(format!("{name}.log")))?;
        command.current_dir(&dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.network.place(name)?.house(&mut command);
        die_with_parent(&mut command);
        self.children.push((name, command.spawn()?));
        Ok(())
    }

    /// Replicas that a server says are online.
    fn followers(&self, server: &str) -> Option<usize> {
        let door = self.network.door(WITH_MOST, server, PORT).ok()?;
        let reply = Asker::connect(&door).ok()?.must(&["INFO", "replication"]).ok()?;
        Some(reply.as_str()?.matches("state=online").count())
    }

    fn is_informed(&self, sentinel: &str) -> bool {
        let ask = || {
            let door = self.network.door(WITH_MOST, sentinel, SENTINEL_PORT).ok()?;
            let mut asker = Asker::connect(&door).ok()?;
            let quorum = asker.must(&["SENTINEL", "CKQUORUM", GROUP]).ok()?;
            let replicas = asker.must(&["SENTINEL", "REPLICAS", GROUP]).ok()?;
            Some(quorum.as_str()?.contains("3 usable") && replicas.as_array()?.len() == 2)
        };
        ask() == Some(true)
    }

    /// A side's clients ask these sentinels, one after the other, all the time.
    fn keep_told(&self, side: usize, sentinels: &[&str]) {
        let from = [WITH_MOST, WITH_FEW][side];
        let doors: Vec<Door> =
            sentinels.iter().filter_map(|name| self.network.door(from, name, SENTINEL_PORT).ok()).collect();
        let servers = self.servers();
        let (leads, is_over) = (Arc::clone(&self.leads[side]), Arc::clone(&self.is_over));
        thread::spawn(move || {
            while !is_over.load(Relaxed) {
                if let Some(server) = doors.iter().find_map(|door| leader(door, &servers)) {
                    leads.store(server, Relaxed);
                }
                thread::park_timeout(ASK_EVERY);
            }
        });
    }

    fn servers(&self) -> Vec<String> {
        let addresses = SERVERS.iter().filter_map(|server| self.network.address(server).ok());
        addresses.map(|address| address.to_string()).collect()
    }
}

/// Which of the servers leads, says a sentinel.
fn leader(door: &Door, servers: &[String]) -> Option<usize> {
    let reply = Asker::connect(door).ok()?.must(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]).ok()?;
    let address = reply.as_array()?.first()?.as_str()?.to_owned();
    servers.iter().position(|server| *server == address)
}

impl System for Sentinel {
    fn sides(&self) -> Vec<Side> {
        let side = |name, from, lanes, leads: &Arc<AtomicUsize>| {
            let doors = SERVERS.iter().filter_map(|server| self.network.door(from, server, PORT).ok());
            Side { name, doors: doors.collect(), lanes, leads: Some(Arc::clone(leads)) }
        };
        vec![
            side("most", WITH_MOST, LANES * 2 / 3, &self.leads[0]),
            side("few", WITH_FEW, LANES / 3, &self.leads[1]),
        ]
    }

    fn primary(&self) -> io::Result<String> {
        let servers = self.servers();
        let doors =
            SENTINELS.iter().filter_map(|name| self.network.door(WITH_MOST, name, SENTINEL_PORT).ok());
        let mut told = doors.filter_map(|door| leader(&door, &servers));
        told.next().map(|at| SERVERS[at].to_owned()).ok_or_else(|| io::Error::other("no sentinel answers"))
    }

    fn signal(&self, id: &str, signal: Signal) -> io::Result<()> {
        let child = self.children.iter().find(|(name, _)| *name == id).map(|(_, child)| child.id());
        send(child.ok_or_else(|| io::Error::other(format!("no process {id}")))?, signal)
    }

    fn cut(&self, from: &[&str], to: &[&str]) -> io::Result<()> {
        self.network.cut(from, to)
    }

    fn heal(&self) -> io::Result<()> {
        self.network.heal()
    }

    fn own_door(&self, id: &str) -> io::Result<Door> {
        self.network.door(WITH_MOST, id, PORT)
    }

    fn is_whole(&self) -> bool {
        let servers = self.children.iter().filter(|(name, _)| name.starts_with('n'));
        let living = servers.filter(|(_, child)| is_running(child.id())).count();
        self.primary().is_ok_and(|primary| self.followers(&primary) >= Some(living.saturating_sub(1)))
    }

    fn reader(&self) -> io::Result<Door> {
        self.own_door(&self.primary()?)
    }

    fn directory(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        for (_, child) in &mut self.children {
            // Both only fail when it has ended already.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}
