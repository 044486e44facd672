//! A redis-server of the system, on a socket in a directory of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use slotway_resp::{Limits, Scanner, Version, write};

pub(super) struct Oracle {
    server: Child,
    directory: PathBuf,
    stream: UnixStream,
}

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

static STARTED: AtomicU32 = AtomicU32::new(0);

impl Oracle {
    pub(super) fn start(version: Version) -> Oracle {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("slotway-oracle-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the socket");
        let socket = directory.join("socket");
        let server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(&socket)
            .current_dir(&directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let deadline = Instant::now() + START;
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "redis-server does not answer: {error}"),
            }
            std::thread::yield_now();
        };
        let mut oracle = Oracle { server, directory, stream };
        if version == Version::Resp3 {
            oracle.ask(&[b"HELLO".to_vec(), b"3".to_vec()]);
        }
        oracle
    }

    /// Sends one request and returns its reply's bytes.
    pub(super) fn ask(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let mut request = Vec::new();
        write::request(&mut request, words);
        self.stream.write_all(&request).expect("redis-server reads");
        let (mut reply, mut scanner) = (Vec::new(), Scanner::default());
        let mut chunk = vec![0; 64 << 10];
        loop {
            let len = self.stream.read(&mut chunk).expect("redis-server answers");
            assert_ne!(len, 0, "redis-server hung up after {words:?}");
            reply.extend_from_slice(&chunk[..len]);
            if scanner.next(&reply, &Limits::CLIENT).expect("RESP").is_some() {
                return reply;
            }
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
