//! `slotway proxy` as a user starts it in front of servers that are already there.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use slotway_resp::{Frame, Version};
use tempfile::TempDir;

use crate::cluster::{http_get, slotway, wait_until};
use crate::crowd::client::Client;
use crate::real_cluster::server::free_port;
use crate::syscall::die_with_parent;

/// How often a proxy is started on another port because somebody took one between looking and listening.
const STARTS_MAX: usize = 5;

/// A running proxy. Dropping it kills it.
#[derive(Debug)]
pub struct Front {
    child: Child,
    port: u16,
    admin_port: u16,
    dir: TempDir,
}

impl Front {
    /// Starts a proxy with these flags and waits until it answers PING, which needs no backend.
    #[must_use]
    pub fn start(flags: &[&str]) -> Front {
        Front::start_with(flags, None)
    }

    fn start_with(flags: &[&str], topology: Option<&[u8]>) -> Front {
        for _ in 0..STARTS_MAX {
            let mut front = Front::launch(flags, topology);
            let mut answers = false;
            wait_until("the proxy answers or ends", || {
                answers = Client::connect(front.port, Version::Resp2)
                    .and_then(|mut client| client.ask("PING"))
                    .is_ok();
                answers || !matches!(front.child.try_wait(), Ok(None))
            });
            if answers {
                return front;
            }
            if !front.said().contains("in use") {
                panic!("`slotway proxy {flags:?}` ended at its start:\n{}", front.said());
            }
        }
        panic!("no free ports for a proxy");
    }

    /// In front of a cluster of which one or some nodes are named.
    #[must_use]
    pub fn of_cluster(seeds: &str, flags: &[&str]) -> Front {
        Front::start(&[&["--cluster", seeds], flags].concat())
    }

    /// In front of plain servers.
    #[must_use]
    pub fn of_servers(backends: &str, flags: &[&str]) -> Front {
        Front::start(&[&["--backends", backends, "--kind", "redis"], flags].concat())
    }

    /// With this `topology.json`, and nobody who would tell it of another.
    #[must_use]
    pub fn of_topology(topology: &[u8], flags: &[&str]) -> Front {
        Front::start_with(flags, Some(topology))
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A plain client of it.
    #[must_use]
    pub fn client(&self, version: Version) -> Client {
        Client::connect(self.port, version).expect("the proxy takes clients")
    }

    /// One request on a connection of its own.
    #[must_use]
    pub fn ask(&self, request: &str) -> Frame {
        self.client(Version::Resp2)
            .ask(request)
            .unwrap_or_else(|error| panic!("{request}: {error}\n{}", self.said()))
    }

    /// GET of the admin API.
    #[must_use]
    pub fn get(&self, path: &str) -> (u16, String) {
        http_get(self.admin_port, path)
    }

    fn launch(flags: &[&str], topology: Option<&[u8]>) -> Front {
        let dir = tempfile::tempdir().expect("a directory for the proxy");
        if let Some(topology) = topology {
            fs::write(dir.path().join("topology.json"), topology).expect("a topology");
        }
        let log = File::create(dir.path().join("log")).expect("a log");
        let (port, admin_port) = (free_port(), free_port());
        let mut command = slotway();
        command.args(["proxy", "--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--admin-port", &admin_port.to_string(), "--dir"]).arg(dir.path()).args(flags);
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a log")).stdout(log);
        die_with_parent(&mut command);
        let child = command.spawn().expect("slotway is built");
        Front { child, port, admin_port, dir }
    }

    /// The end of its log.
    #[must_use]
    pub fn said(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(30).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the proxy's last words:\n{}", self.said());
        }
        // Both only fail when it has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
