//! A node in this process, a redis-server beside it, and a client that speaks raw RESP to either.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use slotway_config::NodeConfig;
use slotway_node::{Cause, Running};
use slotway_resp::{Frame, Limits, write};
use tempfile::TempDir;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A node on a free port with a directory of its own. Stopped when it goes out of scope.
pub(crate) struct TestNode {
    pub(crate) running: Option<Running>,
    pub(crate) port: u16,
    pub(crate) dir: PathBuf,
}

impl TestNode {
    pub(crate) fn start(flags: &[(&str, &str)]) -> TestNode {
        let dir = fresh_dir();
        TestNode::start_in(&dir, flags)
    }

    pub(crate) fn start_in(dir: &Path, flags: &[(&str, &str)]) -> TestNode {
        let running = slotway_node::start(config(dir, flags)).unwrap();
        TestNode { port: running.port(), running: Some(running), dir: dir.to_owned() }
    }

    pub(crate) fn client(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap())
    }

    /// The value of a metric without labels, as `/metrics` would show it.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.running.as_ref().unwrap().registry().gather();
        let family = families.iter().find(|family| family.name() == name);
        let metric = &family.unwrap_or_else(|| panic!("no metric {name}")).get_metric()[0];
        // A metric is one or the other; the one that it is not reads as zero.
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    /// Stops it in order and waits.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop(Cause::Terminate);
            running.join().unwrap();
        }
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Settings of a node in `dir` on a free port of 127.0.0.1.
pub(crate) fn config(dir: &Path, flags: &[(&str, &str)]) -> NodeConfig {
    let given = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut all =
        vec![("port".to_owned(), "0".to_owned()), ("dir".to_owned(), dir.to_str().unwrap().to_owned())];
    for flag in flags.iter().map(given) {
        all.retain(|(name, _)| *name != flag.0);
        all.push(flag);
    }
    NodeConfig::load(None, std::iter::empty(), all).unwrap()
}

/// An empty directory that no other test has.
pub(crate) fn fresh_dir() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("node-{}-{number}", std::process::id()));
    // An earlier process of this number may have left one, with data in it.
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A connection that sends bytes and reads replies.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    received: Vec<u8>,
}

/// The two kinds of sockets.
pub(crate) trait Socket: Read + Write {
    fn set_patience(&self, patience: Duration);
}

impl Socket for TcpStream {
    fn set_patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
        self.set_write_timeout(Some(patience)).unwrap();
        self.set_nodelay(true).unwrap();
    }
}

impl Socket for UnixStream {
    fn set_patience(&self, patience: Duration) {
        self.set_read_timeout(Some(patience)).unwrap();
        self.set_write_timeout(Some(patience)).unwrap();
    }
}

impl<S: Socket> Client<S> {
    pub(crate) fn new(stream: S) -> Client<S> {
        stream.set_patience(PATIENCE);
        Client { stream, received: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request and reads its reply.
    pub(crate) fn call(&mut self, words: &[&str]) -> Frame {
        let mut bytes = Vec::new();
        write::request(&mut bytes, words);
        self.send(bytes);
        self.reply()
    }

    /// As [`Client::call`], words split at spaces.
    pub(crate) fn say(&mut self, line: &str) -> Frame {
        self.call(&line.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn reply(&mut self) -> Frame {
        loop {
            if let Some((frame, len)) = Frame::parse(&self.received, &Limits::REPLY).unwrap() {
                self.received.drain(..len);
                return frame;
            }
            assert!(self.receive().expect("a reply before the deadline"), "closed instead of a reply");
        }
    }

    /// Reads until the other end closes; what came before is returned.
    pub(crate) fn until_closed(&mut self) -> Vec<u8> {
        while self.receive().unwrap_or_else(|error| {
            assert!(error.kind() != io::ErrorKind::WouldBlock, "still open");
            false
        }) {}
        std::mem::take(&mut self.received)
    }

    /// False: closed.
    fn receive(&mut self) -> io::Result<bool> {
        let mut piece = [0; 64 * 1024];
        let len = self.stream.read(&mut piece)?;
        self.received.extend_from_slice(&piece[..len]);
        Ok(len > 0)
    }
}

/// Waits until it is so; fails at the deadline.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

pub(crate) fn ok() -> Frame {
    Frame::Simple(b"OK".to_vec())
}

pub(crate) fn error(text: &str) -> Frame {
    Frame::Error(text.as_bytes().to_vec())
}

pub(crate) fn bulk(text: &str) -> Frame {
    Frame::Bulk(text.as_bytes().to_vec())
}

/// The text of a bulk, a verbatim or a simple string.
pub(crate) fn text(frame: &Frame) -> String {
    let bytes = match frame {
        Frame::Bulk(bytes) | Frame::Simple(bytes) | Frame::Error(bytes) => bytes,
        Frame::Verbatim { text, .. } => text,
        other => panic!("no text: {other:?}"),
    };
    String::from_utf8(bytes.clone()).unwrap()
}

/// A redis-server that listens on a socket file only, and ends with the test.
pub(crate) struct Redis {
    child: Child,
    dir: PathBuf,
    /// Goes with the server.
    own: Option<TempDir>,
    /// Kept open, lest the server write into a closed pipe.
    _log: BufReader<ChildStdout>,
}

impl Redis {
    pub(crate) fn start(flags: &[&str]) -> Redis {
        let own = tempfile::tempdir().unwrap();
        let mut redis = Redis::start_in(own.path(), flags);
        redis.own = Some(own);
        redis
    }

    /// In a directory that has perhaps been used before, with a path short enough for a socket.
    pub(crate) fn start_in(dir: &Path, flags: &[&str]) -> Redis {
        let dir = dir.to_owned();
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--daemonize", "no"])
            .args(flags)
            .current_dir(&dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server must be installed: it is the judge of these tests");
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("ready to accept connections at") {
            assert!(log.read_line(&mut said).unwrap() > 0, "redis-server ended: {said}");
        }
        Redis { child, dir, own: None, _log: log }
    }

    pub(crate) fn client(&self) -> Client<UnixStream> {
        Client::new(UnixStream::connect(self.socket()).unwrap())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
