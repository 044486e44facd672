//! A bare client: bytes out, replies in, each with a deadline. Replies are compared as short texts: see [`shown`].

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use slotway_resp::{Frame, Limits, Scanner, write};

/// Nothing here takes this long unless it is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
    scanner: Scanner,
}

impl Peer {
    pub(crate) fn connect(port: u16) -> Peer {
        Peer::of(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    pub(crate) fn of(stream: TcpStream) -> Peer {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Peer { stream, received: Vec::new(), scanner: Scanner::default() }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Requests, each a line of words parted by spaces, in one write.
    pub(crate) fn send(&mut self, lines: &[&str]) {
        let mut bytes = Vec::new();
        lines.iter().for_each(|line| write::request(&mut bytes, &words(line)));
        self.send_bytes(&bytes);
    }

    /// The next reply.
    pub(crate) fn frame(&mut self) -> Frame {
        self.next().expect("the connection was closed before the reply")
    }

    /// As [`Peer::ask`]; None: the other end does not answer.
    pub(crate) fn try_ask(&mut self, line: &str) -> Option<String> {
        let mut bytes = Vec::new();
        write::request(&mut bytes, &words(line));
        self.stream.write_all(&bytes).ok()?;
        self.next().map(|frame| shown(&frame))
    }

    /// The next reply as text.
    pub(crate) fn read(&mut self) -> String {
        shown(&self.frame())
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(&[line]);
        self.read()
    }

    #[track_caller]
    pub(crate) fn check(&mut self, line: &str, reply: &str) {
        assert_eq!(self.ask(line), reply, "{line}");
    }

    /// Pipelines the left sides and expects the right sides in this order.
    #[track_caller]
    pub(crate) fn check_all(&mut self, exchanges: &[(&str, &str)]) {
        let lines: Vec<&str> = exchanges.iter().map(|(line, _)| *line).collect();
        self.send(&lines);
        for (line, reply) in exchanges {
            assert_eq!(self.read(), *reply, "{line}");
        }
    }

    /// The proxy has closed and nothing more came before.
    #[track_caller]
    pub(crate) fn check_closed(&mut self) {
        if let Some(frame) = self.next() {
            panic!("still open: {}", shown(&frame));
        }
    }

    /// No more requests will come.
    pub(crate) fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// None: closed.
    fn next(&mut self) -> Option<Frame> {
        let mut chunk = [0; 64 * 1024];
        loop {
            if let Some(scanned) = self.scanner.next(&self.received, &Limits::REPLY).unwrap() {
                let (frame, len) = Frame::parse(&self.received, &Limits::REPLY).unwrap().unwrap();
                assert_eq!(len, scanned.len);
                self.received.drain(..len);
                return Some(frame);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => {
                    panic!("no reply within {DEADLINE:?}: {error}; so far {:?}", self.received.escape_ascii())
                }
            }
        }
    }
}

/// The words of a line, parted by single spaces.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// A reply as a short text: `+OK`, `-ERR no`, `:1`, a bulk as it is, `nil`, `[a b]`, `{a=b}`, and `_` for RESP3's null.
pub(crate) fn shown(frame: &Frame) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let list = |frames: &[Frame]| frames.iter().map(shown).collect::<Vec<_>>().join(" ");
    match frame {
        Frame::Simple(bytes) => format!("+{}", text(bytes)),
        Frame::Error(bytes) | Frame::BulkError(bytes) => format!("-{}", text(bytes)),
        Frame::Integer(number) => format!(":{number}"),
        Frame::Bulk(bytes) | Frame::Verbatim { text: bytes, .. } => text(bytes),
        Frame::NullBulk | Frame::NullArray => "nil".to_owned(),
        Frame::Null => "_".to_owned(),
        Frame::Array(frames) => format!("[{}]", list(frames)),
        Frame::Set(frames) => format!("~[{}]", list(frames)),
        Frame::Push(frames) => format!(">[{}]", list(frames)),
        Frame::Map(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{}={}", shown(key), shown(value))).collect();
            format!("{{{}}}", pairs.join(" "))
        }
        Frame::Double(number) => format!(",{number}"),
        Frame::Boolean(value) => format!("#{value}"),
        Frame::BigNumber(digits) => format!("({}", text(digits)),
    }
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
