//! One redis-server of Debian's package, as a child of the test: plain, or a member of a cluster.
//!
//! It can be killed, stopped, continued and started again on the same port with the same files, and it is gone with the
//! test, however that ends. Its ports lie below the range from which the kernel takes the ports of outgoing connections:
//! while it is down, nobody's connection can take its port by chance.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use slotway_resp::{Frame, Version};

use crate::cluster::{is_running, signal, wait_until};
use crate::crowd::client::Client;
use crate::syscall::die_with_parent;

/// Ports for servers: below the usual range of outgoing connections, above what services of a machine use.
const PORTS: std::ops::Range<u32> = 12_000..32_000;

/// How often a server is started on other ports because somebody took one between looking and listening.
const STARTS_MAX: usize = 5;

/// A redis-server. Dropping it kills it.
#[derive(Debug)]
pub struct RedisServer {
    /// None: it was killed and not started again.
    child: Option<Child>,
    paused: bool,
    /// When this process was seen to have become master.
    pub(super) promoted: Cell<Option<Instant>>,
    port: u16,
    dir: PathBuf,
    flags: Vec<String>,
}

impl RedisServer {
    /// A server that keeps every write it acknowledged over a `kill -9`: its log is written before it answers.
    #[must_use]
    pub fn plain(dir: &Path) -> RedisServer {
        RedisServer::start(dir, || {
            ["--save", "", "--appendonly", "yes", "--appendfsync", "no"].map(str::to_owned).to_vec()
        })
    }

    /// A member of a cluster that is yet to be formed.
    #[must_use]
    pub fn member(dir: &Path, node_timeout_ms: u32) -> RedisServer {
        RedisServer::start(dir, || {
            let mut flags =
                ["--save", "", "--appendonly", "no", "--cluster-enabled", "yes"].map(str::to_owned).to_vec();
            flags.extend(["--cluster-node-timeout".to_owned(), node_timeout_ms.to_string()]);
            flags.extend(["--cluster-port".to_owned(), free_port().to_string()]);
            flags.extend(["--repl-diskless-sync-delay", "0"].map(str::to_owned));
            flags
        })
    }

    fn start(dir: &Path, flags: impl Fn() -> Vec<String>) -> RedisServer {
        for _ in 0..STARTS_MAX {
            let port = free_port();
            let dir = dir.join(port.to_string());
            fs::create_dir_all(&dir).expect("a directory for the server");
            let mut server = RedisServer {
                child: None,
                paused: false,
                promoted: Cell::new(None),
                port,
                dir,
                flags: flags(),
            };
            server.launch();
            if server.answers_in_time() {
                return server;
            }
        }
        panic!("no redis-server could be started");
    }

    /// Starts it again, with the files it has, and waits until it answers.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "port {} is killed before it starts again", self.port);
        self.launch();
        assert!(self.answers_in_time(), "redis-server ended at its start:\n{}", self.said());
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.paused = false;
        self.promoted.set(None);
        if let Some(mut child) = self.child.take() {
            // Both only fail when it has ended already.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }

    /// SIGSTOP: its connections stay open and nothing is answered.
    pub fn pause(&mut self) {
        signal("STOP", self.pid());
        self.paused = true;
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        signal("CONT", self.pid());
        self.paused = false;
    }

    /// Whether it runs and is not paused.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.paused && self.child.as_ref().is_some_and(|child| is_running(child.id()))
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// One request (words separated by spaces) on a connection of its own.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn try_ask(&self, request: &str) -> io::Result<Frame> {
        Client::connect(self.port, Version::Resp2)?.ask(request)
    }

    /// The same of a server that is there.
    #[must_use]
    pub fn ask(&self, request: &str) -> Frame {
        self.try_ask(request)
            .unwrap_or_else(|error| panic!("{request} to port {}: {error}\n{}", self.port, self.said()))
    }

    /// Words that may be empty.
    #[must_use]
    pub fn ask_words(&self, words: &[&str]) -> Frame {
        let reply = Client::connect(self.port, Version::Resp2).and_then(|mut client| client.ask_words(words));
        reply.unwrap_or_else(|error| panic!("{words:?} to port {}: {error}", self.port))
    }

    /// A request that may not fail.
    pub fn must(&self, request: &str) -> Frame {
        let reply = self.ask(request);
        assert!(reply.as_error().is_none(), "{request} to port {}: {reply:?}\n{}", self.port, self.said());
        reply
    }

    /// A text, as of INFO.
    #[must_use]
    pub fn text(&self, request: &str) -> String {
        self.must(request).as_str().unwrap_or_default().to_owned()
    }

    /// Of a server that runs.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map(Child::id).expect("the server runs")
    }

    fn launch(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).expect("a log");
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port"]).arg(self.port.to_string()).args(&self.flags);
        command
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a log"))
            .stdout(log);
        die_with_parent(&mut command);
        self.child = Some(command.spawn().expect("redis-server is installed; ./test --tools installs it"));
    }

    /// False: it ended before it answered.
    fn answers_in_time(&mut self) -> bool {
        let mut answers = false;
        wait_until("redis-server answers or ends", || {
            answers = matches!(self.try_ask("PING"), Ok(Frame::Simple(_) | Frame::Error(_)));
            answers || !self.is_up()
        });
        answers
    }

    fn said(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(20).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of [`PORTS`] on which nobody listens. Test processes begin at different places, so that they seldom meet.
#[must_use]
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let width = PORTS.end - PORTS.start;
    for _ in 0..width {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        let offset = std::process::id().wrapping_mul(211).wrapping_add(step) % width;
        let port = u16::try_from(PORTS.start + offset).expect("the range lies below 65536");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("every port from {} to {} is taken", PORTS.start, PORTS.end);
}
