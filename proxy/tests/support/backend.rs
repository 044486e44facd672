//! What stands behind the proxy: real redis-servers, and fake ones that do what a script says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use slotway_resp::{Frame, Limits};
use socket2::{Domain, Socket, Type};

use crate::peer::{DEADLINE, Peer};

/// A redis-server of its own, ended with the test.
pub(crate) struct Redis {
    pub(crate) port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Redis {
    pub(crate) fn start() -> Redis {
        Redis::with(&[])
    }

    /// With settings as on redis-server's command line.
    pub(crate) fn with(settings: &[&str]) -> Redis {
        // Somebody else may take the port between the look and the start.
        (0..8).find_map(|_| Redis::try_start(free_port(), settings)).expect("redis-server does not start")
    }

    /// None: the port was taken.
    fn try_start(port: u16, settings: &[&str]) -> Option<Redis> {
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--daemonize",
                "no",
                "--dir",
            ])
            .arg(dir.path())
            .args(settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need redis-server 7.0 (Debian: redis-server)");
        let mut redis = Redis { port, child, _dir: dir };
        // Whoever answers on the port could be somebody else; its own words are surely its own.
        let mut log = BufReader::new(redis.child.stdout.take()?).lines();
        log.find(|line| line.as_ref().is_ok_and(|line| line.contains("Ready to accept connections")))?
            .ok()?;
        Some(redis)
    }

    /// A connection past the proxy.
    pub(crate) fn client(&self) -> Peer {
        Peer::connect(self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A port on which nobody listens, and which nobody else gets.
pub(crate) struct Closed {
    pub(crate) port: u16,
    socket: Socket,
}

impl Closed {
    pub(crate) fn new() -> Closed {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        Closed { port, socket }
    }

    /// From now on somebody listens.
    pub(crate) fn open(self, script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Fake {
        self.socket.listen(64).unwrap();
        Fake::listen(self.socket.into(), Fake::introduced(script))
    }
}

/// A server that does what its script says with each connection.
pub(crate) struct Fake {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

/// One connection of the proxy to a fake server.
pub(crate) struct Conn {
    /// Counts from 0.
    pub(crate) number: usize,
    stream: TcpStream,
    received: Vec<u8>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// `script` runs for each connection once it has been introduced; at its end the connection is closed.
    pub(crate) fn start(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Fake {
        Fake::start_raw(Fake::introduced(script))
    }

    /// As [`Fake::start`], but the script sees what a link says first, too.
    pub(crate) fn start_raw(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Fake {
        Fake::listen(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    fn introduced(
        script: impl Fn(&mut Conn) + Send + Sync + 'static,
    ) -> impl Fn(&mut Conn) + Send + Sync + 'static {
        move |conn| {
            if conn.welcome() {
                script(conn);
            }
        }
    }

    fn listen(listener: TcpListener, script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Fake {
        let fake = Fake {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            log: Arc::default(),
            stopped: Arc::default(),
        };
        let (connections, log, stopped) =
            (Arc::clone(&fake.connections), Arc::clone(&fake.log), Arc::clone(&fake.stopped));
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(3 * DEADLINE)).unwrap();
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let mut conn = Conn { number, stream, received: Vec::new(), log: Arc::clone(&log) };
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(&mut conn));
            }
        });
        fake
    }

    /// Connections that were taken so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// All requests so far, each as one line, introductions left out.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// How many requests so far were this one.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.log().iter().filter(|seen| *seen == line).count()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // The listening thread looks at it when somebody comes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Conn {
    /// Answers what a link says before its first request. False: it went away.
    pub(crate) fn welcome(&mut self) -> bool {
        while let Some(words) = self.words() {
            match words[0].as_str() {
                "PING" => {
                    self.reply("+PONG\r\n");
                    return true;
                }
                "HELLO" => self.reply("%1\r\n+proto\r\n:3\r\n"),
                _ => self.reply("+OK\r\n"),
            }
        }
        false
    }

    /// The next request as one line. None: the proxy has closed.
    pub(crate) fn next(&mut self) -> Option<String> {
        let line = self.words()?.join(" ");
        self.note(&line);
        Some(line)
    }

    /// For a script that tells introductions from requests itself.
    pub(crate) fn note(&self, line: &str) {
        self.log.lock().unwrap().push(line.to_owned());
    }

    /// Waits until the proxy closes; what it sends is noted, not answered.
    pub(crate) fn stay_silent(&mut self) {
        while self.next().is_some() {}
    }

    /// For a script that reads bytes, not requests.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Whether the proxy is still there may not matter to a script.
    pub(crate) fn reply(&mut self, bytes: &str) {
        let _ = self.stream.write_all(bytes.as_bytes());
    }

    /// Answers every request with its own words as a bulk.
    pub(crate) fn echo(&mut self) {
        while let Some(line) = self.next() {
            self.reply(&bulk(&line));
        }
    }

    /// As [`Conn::next`], but not noted.
    pub(crate) fn words(&mut self) -> Option<Vec<String>> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some((Frame::Array(frames), len)) = Frame::parse(&self.received, &Limits::REPLY).unwrap() {
                self.received.drain(..len);
                let text = |frame: &Frame| String::from_utf8_lossy(frame.as_bytes().unwrap()).into_owned();
                return Some(frames.iter().map(text).collect());
            }
            match self.stream.read(&mut chunk) {
                Ok(count) if count > 0 => self.received.extend_from_slice(&chunk[..count]),
                _ => return None,
            }
        }
    }
}

pub(crate) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
