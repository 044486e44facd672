//! How each of the compared systems is started: one function per system, settings for a fair comparison.
//!
//! Nothing is persisted by anyone, every system runs with one thread of work, and a peer is otherwise left at its
//! defaults: what a user gets.

use super::failure::{Failure, While};
use super::process::{MEASURED, OTHERS, Process, Scratch, free_port};
use crate::syscall::Core;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

pub const REDIS: &str = "redis-server";
pub const NUTCRACKER: &str = "nutcracker";
pub const NUTCRACKER_512: &str = "nutcracker -m 512";
pub const LIMIT_NULL: &str = "limit-null";
pub const LIMIT_MUX: &str = "limit-mux";
pub const SLOTWAY_NODE: &str = "slotway node";
pub const SLOTWAY_PROXY: &str = "slotway proxy";

/// Backends behind a measured proxy.
const BACKENDS: usize = 3;

/// Where the programs are, and where their files go.
#[derive(Debug)]
pub struct Peers {
    /// The product's binary.
    pub slotway: PathBuf,
    /// The limits' binaries lie here.
    pub tools: PathBuf,
    /// Further arguments of the product, in every measurement.
    pub arguments: Vec<String>,
    /// Arguments of the product measured beside it, each as a system of its own.
    pub variants: Vec<Vec<String>>,
    pub value_bytes: usize,
    pub scratch: Scratch,
}

impl Peers {
    /// # Errors
    /// As [`Process::start`], here and below.
    pub fn redis(&self, core: Core) -> Result<Process, Failure> {
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(self.scratch.path());
        Process::start(REDIS, command, port, core, &self.scratch)
    }

    /// The redis-servers that every measured proxy stands in front of.
    ///
    /// # Errors
    /// As above.
    pub fn backends(&self) -> Result<Vec<Process>, Failure> {
        (0..BACKENDS).map(|_| self.redis(OTHERS)).collect()
    }

    /// The node as it is, and one for each variant.
    ///
    /// # Errors
    /// As above.
    pub fn nodes(&self) -> Result<Vec<Process>, Failure> {
        self.with_variants(SLOTWAY_NODE, |name, variant| self.node(name, variant))
    }

    /// # Errors
    /// As above.
    pub fn node(&self, name: &str, variant: &[String]) -> Result<Process, Failure> {
        let port = free_port()?;
        let directory = self.scratch.path().join(format!("node-{port}"));
        fs::create_dir_all(&directory).during("creating a node's directory")?;
        let mut command = Command::new(&self.slotway);
        command.args(["node", "--port", &port.to_string(), "--admin-port", "0", "--dir"]).arg(directory);
        command.args(["--save", "", "--appendonly", "no"]).args(&self.arguments).args(variant);
        Process::start(name, command, port, MEASURED, &self.scratch)
    }

    /// The proxy as it is, and one for each variant.
    ///
    /// # Errors
    /// As above.
    pub fn proxies(&self, backends: &[Process]) -> Result<Vec<Process>, Failure> {
        let backends = addresses(backends).join(",");
        self.with_variants(SLOTWAY_PROXY, |name, variant| {
            self.proxy(name, ["--backends", &backends], variant)
        })
    }

    /// A proxy in front of the Redis Cluster of which one node has this address.
    ///
    /// # Errors
    /// As above.
    pub fn proxy_of_cluster(&self, seed: &str) -> Result<Process, Failure> {
        self.proxy(SLOTWAY_PROXY, ["--cluster", seed], &[])
    }

    fn proxy(&self, name: &str, behind: [&str; 2], variant: &[String]) -> Result<Process, Failure> {
        let port = free_port()?;
        let directory = self.scratch.path().join(format!("proxy-{port}"));
        fs::create_dir_all(&directory).during("creating a proxy's directory")?;
        let mut command = Command::new(&self.slotway);
        command.args(["proxy", "--port", &port.to_string(), "--admin-port", "0", "--sentinel-port", "0"]);
        command.args(behind).arg("--dir").arg(directory).args(&self.arguments).args(variant);
        Process::start(name, command, port, MEASURED, &self.scratch)
    }

    /// Debian's nutcracker, with its default buffers of 16 KiB or buffers of `mbuf_bytes`.
    ///
    /// # Errors
    /// As above.
    pub fn nutcracker(&self, backends: &[Process], mbuf_bytes: Option<u32>) -> Result<Process, Failure> {
        let (port, statistics) = (free_port()?, free_port()?);
        let config = self.scratch.path().join(format!("nutcracker-{port}.yml"));
        let mut text = format!(
            "bench:\n  listen: 127.0.0.1:{port}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  \
             auto_eject_hosts: false\n  servers:\n"
        );
        for address in addresses(backends) {
            text += &format!("   - {address}:1\n");
        }
        fs::write(&config, text).during("writing nutcracker's configuration")?;
        let mut command = Command::new("nutcracker");
        command.args(["-s", &statistics.to_string(), "-c"]).arg(config);
        let mut name = NUTCRACKER.to_owned();
        if let Some(bytes) = mbuf_bytes {
            command.args(["-m", &bytes.to_string()]);
            name += &format!(" -m {bytes}");
        }
        Process::start(&name, command, port, MEASURED, &self.scratch)
    }

    /// # Errors
    /// As above.
    pub fn limit_null(&self) -> Result<Process, Failure> {
        let port = free_port()?;
        let mut command = Command::new(self.tools.join("slotway-limit-null"));
        command.args(["--port", &port.to_string(), "--value-bytes", &self.value_bytes.to_string()]);
        Process::start(LIMIT_NULL, command, port, MEASURED, &self.scratch)
    }

    /// # Errors
    /// As above.
    pub fn limit_mux(&self, backends: &[Process]) -> Result<Process, Failure> {
        let port = free_port()?;
        let mut command = Command::new(self.tools.join("slotway-limit-mux"));
        command.args(["--port", &port.to_string(), "--backends", &addresses(backends).join(",")]);
        Process::start(LIMIT_MUX, command, port, MEASURED, &self.scratch)
    }

    fn with_variants(
        &self,
        name: &str,
        start: impl Fn(&str, &[String]) -> Result<Process, Failure>,
    ) -> Result<Vec<Process>, Failure> {
        let mut all = vec![start(name, &[])?];
        for variant in &self.variants {
            all.push(start(&variant.join(" "), variant)?);
        }
        Ok(all)
    }
}

fn addresses(backends: &[Process]) -> Vec<String> {
    backends.iter().map(|backend| format!("127.0.0.1:{}", backend.port())).collect()
}
