//! A primary that says what the test tells it to.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use slotway_resp::write;

use crate::support::PATIENCE;

/// A history's name.
pub(crate) const HISTORY: &str = "0123456789abcdef0123456789abcdef01234567";
/// The mark behind a snapshot.
pub(crate) const MARK: &str = "fedcba9876543210fedcba9876543210fedcba98";

pub(crate) struct Fake {
    listener: TcpListener,
}

impl Fake {
    pub(crate) fn new() -> Fake {
        Fake { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The replica's next connection, until it has asked for the stream.
    pub(crate) fn accept(&self) -> FakeLink {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut link = FakeLink { stream, received: Vec::new() };
        link.greet();
        link
    }
}

pub(crate) struct FakeLink {
    stream: TcpStream,
    received: Vec<u8>,
}

impl FakeLink {
    fn greet(&mut self) {
        self.wait_for("PING");
        self.send("+PONG\r\n");
        self.wait_for("psync2");
        self.send("+OK\r\n+OK\r\n");
        self.wait_for("PSYNC");
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// A request of the stream.
    pub(crate) fn say(&mut self, line: &str) {
        self.send(request(line));
    }

    /// Waits until the replica has said this, whatever else it says. Returns all up to and including it.
    pub(crate) fn wait_for(&mut self, said: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.received).into_owned();
            if let Some(at) = text.find(said) {
                self.received.drain(..at + said.len());
                return text[..at + said.len()].to_owned();
            }
            let mut piece = [0; 4096];
            let len = self.stream.read(&mut piece).expect("the replica says something");
            assert!(len > 0, "closed instead of {said:?}; came {text:?}");
            self.received.extend_from_slice(&piece[..len]);
        }
    }

    /// Sends an empty data set and begins the stream at this offset.
    pub(crate) fn full_sync(&mut self, offset: u64) {
        self.send(format!("+FULLRESYNC {HISTORY} {offset}\r\n$EOF:{MARK}\r\n"));
        self.send(EMPTY);
        self.send(MARK);
        self.wait_for(&ack(offset));
    }
}

/// An RDB file without keys, and without a checksum.
pub(crate) const EMPTY: &[u8] = b"REDIS0010\xff\0\0\0\0\0\0\0\0";

pub(crate) fn request(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    write::request(&mut bytes, &line.split(' ').collect::<Vec<_>>());
    bytes
}

/// What a replica says that holds so much.
pub(crate) fn ack(offset: u64) -> String {
    String::from_utf8(request(&format!("REPLCONF ACK {offset}"))).unwrap()
}
