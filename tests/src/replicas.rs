//! Servers that replicate: a Slotway node or a redis-server as a value, and everything it holds as text, to be compared.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use slotway_resp::{Frame, Limits, write};
use tempfile::TempDir;

use crate::{
    bench::{ask::info_field, process::free_port},
    cluster::{slotway, wait_until},
};

/// Requests sent before their replies are read.
const PIPELINE: usize = 500;
/// Nothing here takes longer to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of its own, in a directory of its own. Ends with the value.
#[derive(Debug)]
pub struct Server {
    command: Command,
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Server {
    /// A Slotway node.
    pub fn node(flags: &[&str]) -> Server {
        let mut command = slotway();
        command.arg("node");
        Server::start(command, flags)
    }

    /// A redis-server that saves nothing.
    pub fn redis(flags: &[&str]) -> Server {
        let mut command = Command::new("redis-server");
        command.args(["--save", ""]);
        Server::start(command, flags)
    }

    fn start(mut command: Command, flags: &[&str]) -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        let port = free_port().expect("a free port");
        let log = std::fs::File::create(dir.path().join("log")).expect("a log");
        command.args(["--port", &port.to_string(), "--dir"]).arg(dir.path()).args(flags);
        command.stdout(log.try_clone().expect("a log")).stderr(log).stdin(Stdio::null());
        let child = command.spawn().expect("a server");
        let server = Server { command, child, port, dir };
        server.wait_until_it_listens();
        server
    }

    fn wait_until_it_listens(&self) {
        wait_until("it listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// As `kill -9` and a supervisor do it: the same command on the same port and in the same directory, at once.
    pub fn kill_and_start_again(&mut self) {
        self.child.kill().expect("it runs");
        self.wait();
        self.child = self.command.spawn().expect("a server");
        self.wait_until_it_listens();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, request: &str) -> Frame {
        self.client().ask(request)
    }

    /// A field of INFO as a number.
    pub fn info(&self, name: &str) -> u64 {
        info_field(&self.info_text(), name).unwrap_or_else(|| panic!("INFO has no {name}"))
    }

    pub fn info_text(&self) -> String {
        let text = self.ask("INFO everything");
        text.as_str().expect("a text").to_owned()
    }

    pub fn follow(&self, primary: &Server) {
        self.follow_port(primary.port);
    }

    pub fn follow_port(&self, port: u16) {
        assert_eq!(self.ask(&format!("REPLICAOF 127.0.0.1 {port}")).as_str(), Some("OK"));
    }

    /// Waits until it holds everything that `primary` has written.
    pub fn catch_up(&self, primary: &Server) {
        wait_until("the replica holds everything", || {
            let text = self.info_text();
            text.contains("master_link_status:up")
                && info_field(&text, "slave_repl_offset") == Some(primary.info("master_repl_offset"))
        });
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) {
        self.child.wait().expect("a child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is asked in words.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        Client::of(TcpStream::connect(("127.0.0.1", port)).expect("a connection"))
    }

    /// Of a connection that there is.
    pub fn of(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("a socket");
        Client { stream, received: Vec::new() }
    }

    /// A request of words with spaces between.
    pub fn ask(&mut self, request: &str) -> Frame {
        self.ask_words(&request.split(' ').collect::<Vec<_>>())
    }

    pub fn ask_words<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Frame {
        let mut bytes = Vec::new();
        write::request(&mut bytes, words);
        self.send(&bytes);
        self.reply()
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it is sent");
    }

    /// The next reply.
    pub fn reply(&mut self) -> Frame {
        loop {
            let limits = Limits { bulk_bytes_max: usize::MAX, ..Limits::CLIENT };
            if let Some((frame, len)) = Frame::parse(&self.received, &limits).expect("a reply") {
                self.received.drain(..len);
                return frame;
            }
            assert!(self.read_more() > 0, "closed before the reply");
        }
    }

    /// All of them, many at a time.
    pub fn ask_all(&mut self, requests: &[Vec<Vec<u8>>]) -> Vec<Frame> {
        let mut replies = Vec::with_capacity(requests.len());
        for some in requests.chunks(PIPELINE) {
            let mut bytes = Vec::new();
            some.iter().for_each(|words| write::request(&mut bytes, words));
            self.send(&bytes);
            replies.extend(some.iter().map(|_| self.reply()));
        }
        replies
    }

    /// The next bytes up to and with a line end.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line = self.received.drain(..=end).collect();
                return String::from_utf8(line).expect("a text").trim_end().to_owned();
            }
            assert!(self.read_more() > 0, "closed before the line's end");
        }
    }

    /// The next so many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            assert!(self.read_more() > 0, "closed too early");
        }
        self.received.drain(..count).collect()
    }

    /// Reads once. 0: the other end has closed.
    pub fn read_more(&mut self) -> usize {
        let mut room = vec![0; 64 * 1024];
        let len = match self.stream.read(&mut room) {
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}"),
        };
        self.received.extend_from_slice(&room[..len]);
        len
    }

    /// Whether nothing more comes within a while.
    pub fn is_silent_for(&mut self, a_while: Duration) -> bool {
        self.stream.set_read_timeout(Some(a_while)).expect("a timeout");
        let mut byte = [0];
        let silent = matches!(self.stream.peek(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        silent && self.received.is_empty()
    }
}

/// By database and key: type, deadline and value as text. How values are encoded is a server's own business.
pub type Contents = BTreeMap<(u8, Vec<u8>), String>;

/// Everything that a server holds.
pub fn contents(server: &Server) -> Contents {
    let mut client = server.client();
    let mut found = Contents::new();
    for database in 0..16 {
        client.ask(&format!("SELECT {database}"));
        let keys = client.ask("KEYS *");
        let keys: Vec<Vec<u8>> =
            keys.as_array().expect("keys").iter().filter_map(|key| Some(key.as_bytes()?.to_vec())).collect();
        let ask_each = |client: &mut Client, command: &str| {
            let requests: Vec<Vec<Vec<u8>>> =
                keys.iter().map(|key| vec![command.as_bytes().to_vec(), key.clone()]).collect();
            client.ask_all(&requests)
        };
        let types = ask_each(&mut client, "TYPE");
        let deadlines = ask_each(&mut client, "PEXPIRETIME");
        let reads: Vec<Vec<Vec<u8>>> = keys
            .iter()
            .zip(&types)
            .map(|(key, kind)| read_whole(kind.as_str().unwrap_or("?"), key))
            .collect();
        let values = client.ask_all(&reads);
        for (((key, kind), deadline), value) in keys.iter().zip(&types).zip(&deadlines).zip(&values) {
            let kind = kind.as_str().unwrap_or("?");
            let text = format!("{kind} until {:?}: {}", deadline.as_integer(), sorted(kind, value));
            found.insert((database, key.clone()), text);
        }
    }
    found
}

fn read_whole(kind: &str, key: &[u8]) -> Vec<Vec<u8>> {
    let words: &[&str] = match kind {
        "string" => &["GET", ""],
        "hash" => &["HGETALL", ""],
        "list" => &["LRANGE", "", "0", "-1"],
        "set" => &["SMEMBERS", ""],
        "zset" => &["ZRANGE", "", "0", "-1", "WITHSCORES"],
        _ => &["TYPE", ""],
    };
    words.iter().map(|word| if word.is_empty() { key.to_vec() } else { word.as_bytes().to_vec() }).collect()
}

/// Members and fields in the order of their bytes: a set has none.
fn sorted(kind: &str, value: &Frame) -> String {
    let Some(elements) = value.as_array() else { return format!("{value:?}") };
    let mut texts: Vec<String> = match kind {
        "hash" => elements.chunks(2).map(|pair| format!("{pair:?}")).collect(),
        _ => elements.iter().map(|element| format!("{element:?}")).collect(),
    };
    if matches!(kind, "hash" | "set") {
        texts.sort();
    }
    texts.join(" ")
}

/// Panics with the first few differences.
pub fn assert_same(one: &Contents, other: &Contents) {
    let mut differences = Vec::new();
    for key in one.keys().chain(other.keys()) {
        if one.get(key) != other.get(key) && differences.len() < 5 {
            let name = String::from_utf8_lossy(&key.1).into_owned();
            differences.push(format!("db{} {name}: {:?} and {:?}", key.0, one.get(key), other.get(key)));
        }
    }
    assert!(differences.is_empty(), "{} and {} keys: {differences:#?}", one.len(), other.len());
}
