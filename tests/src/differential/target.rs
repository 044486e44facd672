//! The two servers of a run, and connections to them.
//!
//! The redis-server is Debian's 7.0 on a socket file in a directory of its own; node and cluster are the program as a user
//! starts it. All are gone when the run ends, however it ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use slotway_resp::{Limits, Scanner, Version, write};
use tempfile::TempDir;

use crate::bench::process::free_port;
use crate::cluster::{PATIENCE, UpCluster, slotway};
use crate::syscall::die_with_parent;

/// What both servers are told.
const SETTINGS: [&str; 2] = ["--enable-debug-command", "yes"];

/// How often a node is started anew because somebody else took its port.
const STARTS_MAX: usize = 5;

/// Between two looks at a server that starts.
const LOOK: Duration = Duration::from_millis(5);

/// A server that runs as long as this lives.
#[derive(Debug)]
pub enum Server {
    Process { child: Child, address: Address, dir: TempDir },
    Cluster(UpCluster),
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Address {
    File(PathBuf),
    Port(u16),
}

impl Server {
    #[must_use]
    pub fn redis() -> Server {
        Server::redis_with(&[])
    }

    /// With more settings: names, each with `--` before it, and values.
    #[must_use]
    pub fn redis_with(settings: &[&str]) -> Server {
        let dir = tempfile::tempdir().expect("a directory for the socket");
        let socket = dir.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&socket).args(settings);
        let address = Address::File(socket);
        let child = launch(command, &dir).expect("redis-server is installed: it is the judge of these tests");
        let mut server = Server::Process { child, address, dir };
        assert!(server.answers_in_time(), "redis-server does not answer");
        server
    }

    #[must_use]
    pub fn node() -> Server {
        for _ in 0..STARTS_MAX {
            let dir = tempfile::tempdir().expect("a directory for the node");
            let port = free_port().expect("a free port");
            let mut command = slotway();
            command.args(["node", "--bind", "127.0.0.1", "--admin-port", "off", "--port"]);
            command.arg(port.to_string()).arg("--dir").arg(dir.path());
            let child = launch(command, &dir).expect("slotway is built");
            let mut server = Server::Process { child, address: Address::Port(port), dir };
            if server.answers_in_time() {
                return server;
            }
        }
        panic!("no node could be started");
    }

    /// A proxy in front of three nodes.
    #[must_use]
    pub fn cluster() -> Server {
        Server::Cluster(UpCluster::start(&["--shards", "3", "--replicas", "0", "--proxies", "1"]))
    }

    #[must_use]
    pub fn address(&self) -> Address {
        match self {
            Server::Process { address, .. } => address.clone(),
            Server::Cluster(cluster) => Address::Port(cluster.port()),
        }
    }

    /// Where it keeps its files.
    ///
    /// # Panics
    /// Of a cluster, which has several such places.
    #[must_use]
    pub fn dir(&self) -> &Path {
        match self {
            Server::Process { dir, .. } => dir.path(),
            Server::Cluster(_) => panic!("a cluster's nodes have a directory each"),
        }
    }

    /// False: it ended before it answered.
    fn answers_in_time(&mut self) -> bool {
        let address = self.address();
        let Server::Process { child, .. } = self else { return true };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if Connection::open(&address, Version::Resp2, 0).is_ok() {
                return true;
            }
            if !matches!(child.try_wait(), Ok(None)) {
                return false;
            }
            thread::sleep(LOOK);
        }
        false
    }
}

fn launch(mut command: Command, dir: &TempDir) -> io::Result<Child> {
    command.args(SETTINGS).current_dir(dir.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    die_with_parent(&mut command);
    command.spawn()
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Server::Process { child, .. } = self {
            // Both only fail when it has ended already.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

/// A connection that sends requests and hands out replies as the bytes they are.
#[derive(Debug)]
pub struct Connection {
    /// Either kind of socket.
    stream: File,
    received: Vec<u8>,
}

impl Connection {
    /// # Errors
    /// When nobody listens, or the server does not agree to version or database.
    pub fn open(address: &Address, version: Version, database: u16) -> io::Result<Connection> {
        let mut connection = Connection::connect(address)?;
        let hello = if version == Version::Resp3 { "3" } else { "2" };
        connection.must(&["HELLO", hello])?;
        connection.must(&["SELECT", &database.to_string()])?;
        Ok(connection)
    }

    /// A connection on which nothing was said yet.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(address: &Address) -> io::Result<Connection> {
        let stream = match address {
            Address::File(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                OwnedFd::from(stream)
            }
            Address::Port(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                OwnedFd::from(stream)
            }
        };
        Ok(Connection { stream: File::from(stream), received: Vec::new() })
    }

    /// A request that no server refuses.
    ///
    /// # Errors
    /// When it was refused all the same, or the connection broke.
    pub fn must(&mut self, words: &[&str]) -> io::Result<()> {
        self.send(&[words])?;
        let reply = self.reply()?;
        if reply.starts_with(b"-") { Err(io::Error::other(reply.escape_ascii().to_string())) } else { Ok(()) }
    }

    /// Sends all of them at once.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn send<W: AsRef<[u8]>>(&mut self, requests: &[impl AsRef<[W]>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for words in requests {
            write::request(&mut bytes, words.as_ref());
        }
        self.stream.write_all(&bytes)
    }

    /// The bytes of the next reply.
    ///
    /// # Errors
    /// When the connection broke, nothing came in time, or what came is no RESP.
    pub fn reply(&mut self) -> io::Result<Vec<u8>> {
        let mut scanner = Scanner::default();
        let mut chunk = [0; 64 << 10];
        loop {
            if let Some(found) = scanner.next(&self.received, &Limits::REPLY).map_err(io::Error::other)? {
                let rest = self.received.split_off(found.len);
                return Ok(std::mem::replace(&mut self.received, rest));
            }
            let len = self.stream.read(&mut chunk)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.extend_from_slice(&chunk[..len]);
        }
    }
}
