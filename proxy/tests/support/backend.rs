//! What stands behind the proxy: real redis-servers, and fake ones that do what a script says.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use slotway_resp::{Frame, Limits};

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
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need redis-server 7.0 (Debian: redis-server)");
        let mut redis = Redis { port, child, _dir: dir };
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if redis.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "redis-server does not listen on {port}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
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

/// A port on which nobody listens at present.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
        Fake::start_on(0, script)
    }

    pub(crate) fn start_on(port: u16, script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Fake {
        Fake::start_raw(port, move |conn| {
            if conn.welcome() {
                script(conn);
            }
        })
    }

    /// As [`Fake::start_on`], but the script sees what a link says first, too.
    pub(crate) fn start_raw(port: u16, script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
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
        self.log.lock().unwrap().push(line.clone());
        Some(line)
    }

    /// Waits until the proxy closes; what it sends is noted, not answered.
    pub(crate) fn stay_silent(&mut self) {
        while self.next().is_some() {}
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

    fn words(&mut self) -> Option<Vec<String>> {
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
