//! A redis-server that others can follow.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::support::{Client, fresh_dir};

/// A redis-server on a port of 127.0.0.1; ends with the test.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) port: u16,
    dir: PathBuf,
    /// Kept open, lest the server write into a closed pipe.
    _log: BufReader<ChildStdout>,
}

impl RedisServer {
    pub(crate) fn start(flags: &[&str]) -> RedisServer {
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(server) = RedisServer::start_on(port, &fresh_dir(), flags) {
                return server;
            }
        }
    }

    /// None: somebody else has taken the port meanwhile.
    pub(crate) fn start_on(port: u16, dir: &std::path::Path, flags: &[&str]) -> Option<RedisServer> {
        let mut child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(flags)
            .current_dir(dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server must be installed: it is the judge of these tests");
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ready to accept connections") {
            if log.read_line(&mut said).unwrap() == 0 {
                assert!(said.contains("bind"), "redis-server ended: {said}");
                let _ = child.wait();
                return None;
            }
        }
        Some(RedisServer { child, port, dir: dir.to_owned(), _log: log })
    }

    pub(crate) fn client(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap())
    }

    /// STOP or CONT.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
