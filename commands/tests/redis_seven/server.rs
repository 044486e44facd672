//! A redis-server 7.0 for one test: on a Unix socket of its own (no port, so none to share), nothing on disk, ended
//! with the value.

#![allow(clippy::disallowed_methods, reason = "a process is waited for, with a deadline")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use slotway_resp::{Frame, Limits, Version, write};

const START_MAX: Duration = Duration::from_secs(20);

static STARTED: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Server {
    _process: Process,
    stream: UnixStream,
    unread: Vec<u8>,
}

/// Ended when dropped, also when the server never came up.
struct Process {
    child: Child,
    socket: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Server {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("slotway-commands-{}-{number}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--daemonize", "no", "--unixsocket"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server (7.0) must be installed: the table is compared with it");
        let mut process = Process { child, socket };
        let deadline = Instant::now() + START_MAX;
        let stream = loop {
            match UnixStream::connect(&process.socket) {
                Ok(stream) => break stream,
                Err(error) => {
                    let ended = process.child.try_wait().expect("the process was started");
                    assert!(ended.is_none(), "redis-server has ended: {ended:?}");
                    assert!(Instant::now() < deadline, "redis-server does not listen: {error}");
                    std::thread::yield_now();
                }
            }
        };
        Server { _process: process, stream, unread: Vec::new() }
    }

    /// One request and its reply.
    pub(crate) fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Frame {
        self.send(words);
        self.receive()
    }

    pub(crate) fn speak(&mut self, version: Version) {
        let number = if version == Version::Resp2 { "2" } else { "3" };
        self.ask(&["hello", number]);
    }

    pub(crate) fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        let mut bytes = Vec::new();
        write::request(&mut bytes, words);
        self.stream.write_all(&bytes).expect("redis-server has gone");
    }

    pub(crate) fn receive(&mut self) -> Frame {
        let mut chunk = [0; 1 << 16];
        loop {
            if let Some((frame, len)) = Frame::parse(&self.unread, &Limits::REPLY).expect("a reply") {
                self.unread.drain(..len);
                return frame;
            }
            let len = self.stream.read(&mut chunk).expect("redis-server has gone");
            assert!(len > 0, "redis-server has closed the connection");
            self.unread.extend_from_slice(&chunk[..len]);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}
