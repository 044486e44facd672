//! One connection to a server: connect, AUTH, HELLO, then one request and its reply at a time, each with a deadline.
//!
//! For everything that is not the proxy's data path: learning a topology, handing it out, health questions, tests.
//! After a deadline has passed or bytes made no sense nobody can tell which reply the next bytes belong to: the
//! connection is then broken for good and says so, and its owner opens a new one (see [`crate::Backoff`]).

use std::{fmt, io, time::Duration};

use slotway_resp::{Frame, Limits, Version, write};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

/// Replies larger than this are refused: nothing that this connection is used for is near it.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

const LIMITS: Limits = Limits {
    bulk_bytes_max: REPLY_BYTES_MAX,
    words_max: 1024 * 1024,
    inline_bytes_max: 64 * 1024,
    nesting_max: 32,
    unauthenticated: false,
};

/// Bytes of room made for each read.
const READ_BYTES: usize = 16 * 1024;

/// Where to connect and as whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port`
    pub address: String,
    pub credentials: Option<Credentials>,
    pub version: Version,
}

/// What AUTH says. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// None: the default user.
    pub user: Option<String>,
    pub password: String,
}

/// The user as which members of a cluster authenticate at a node, with the members' secret as password.
pub const MEMBER: &str = "slotway";

impl Credentials {
    /// Those of a member of the cluster with this secret.
    pub fn member(secret: &str) -> Credentials {
        Credentials { user: Some(MEMBER.to_owned()), password: secret.to_owned() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub enum LinkError {
    /// Not reached: nothing was sent.
    Connect(io::Error),
    /// Reached, but it refused AUTH or HELLO; the text is its own.
    Refused(String),
    /// The deadline passed. A request that was sent may or may not have been executed.
    Timeout,
    /// The connection ended. A request that was sent may or may not have been executed.
    Closed,
    /// What came back is no RESP.
    Protocol(String),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Connect(error) => write!(f, "cannot connect: {error}"),
            LinkError::Refused(text) => write!(f, "refused: {text}"),
            LinkError::Timeout => f.write_str("no reply before the deadline"),
            LinkError::Closed => f.write_str("the connection was closed"),
            LinkError::Protocol(text) => write!(f, "no valid reply: {text}"),
        }
    }
}

impl std::error::Error for LinkError {}

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes received, not yet taken as replies.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Out-of-band pushes that came between replies; the newest [`PUSHES_MAX`].
    pushes: std::collections::VecDeque<Frame>,
    broken: bool,
}

/// Pushes kept for [`Connection::take_push`].
const PUSHES_MAX: usize = 1024;

impl Connection {
    /// Connects and introduces itself, all within `patience`.
    pub async fn open(target: &Target, patience: Duration) -> Result<Connection, LinkError> {
        let deadline = Instant::now() + patience;
        let connecting = TcpStream::connect(target.address.as_str());
        let stream = match tokio::time::timeout_at(deadline, connecting).await {
            Err(_) => return Err(LinkError::Connect(io::ErrorKind::TimedOut.into())),
            Ok(Err(error)) => return Err(LinkError::Connect(error)),
            Ok(Ok(stream)) => stream,
        };
        stream.set_nodelay(true).map_err(LinkError::Connect)?;
        let mut connection = Connection {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            pushes: std::collections::VecDeque::new(),
            broken: false,
        };
        connection.introduce(target, deadline).await?;
        Ok(connection)
    }

    /// Sends one request and waits for its reply, at most `patience`. An error reply is a reply.
    pub async fn request<W: AsRef<[u8]>>(
        &mut self,
        words: &[W],
        patience: Duration,
    ) -> Result<Frame, LinkError> {
        self.request_until(words, Instant::now() + patience).await
    }

    /// Waits for an out-of-band push (a subscription's message, say), at most `patience`.
    pub async fn take_push(&mut self, patience: Duration) -> Result<Frame, LinkError> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        match self.frame(Instant::now() + patience).await? {
            push @ Frame::Push(_) => Ok(push),
            _ => Err(self.break_off(LinkError::Protocol("a reply that nobody asked for".into()))),
        }
    }

    /// Whether an earlier request ended in a way after which no other can be sent.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    async fn introduce(&mut self, target: &Target, deadline: Instant) -> Result<(), LinkError> {
        if let Some(Credentials { user, password }) = &target.credentials {
            let words = match user {
                Some(user) => vec!["AUTH", user, password],
                None => vec!["AUTH", password],
            };
            self.expect_no_error(&words, deadline).await?;
        }
        match target.version {
            // Every server starts with RESP2, and some know no HELLO.
            Version::Resp2 => Ok(()),
            Version::Resp3 => self.expect_no_error(&["HELLO", "3"], deadline).await,
        }
    }

    async fn expect_no_error(&mut self, words: &[&str], deadline: Instant) -> Result<(), LinkError> {
        match self.request_until(words, deadline).await? {
            Frame::Error(text) => Err(LinkError::Refused(String::from_utf8_lossy(&text).into_owned())),
            _ => Ok(()),
        }
    }

    async fn request_until<W: AsRef<[u8]>>(
        &mut self,
        words: &[W],
        deadline: Instant,
    ) -> Result<Frame, LinkError> {
        if self.broken {
            return Err(LinkError::Closed);
        }
        // Broken until the reply is here: this future may be dropped half-way.
        self.broken = true;
        self.output.clear();
        write::request(&mut self.output, words);
        match tokio::time::timeout_at(deadline, self.stream.write_all(&self.output)).await {
            Err(_) => return Err(LinkError::Timeout),
            Ok(Err(_)) => return Err(LinkError::Closed),
            Ok(Ok(())) => {}
        }
        loop {
            match self.frame(deadline).await? {
                push @ Frame::Push(_) => {
                    if self.pushes.len() == PUSHES_MAX {
                        self.pushes.pop_front();
                    }
                    self.pushes.push_back(push);
                }
                reply => {
                    self.broken = false;
                    return Ok(reply);
                }
            }
        }
    }

    /// The next frame of any kind.
    async fn frame(&mut self, deadline: Instant) -> Result<Frame, LinkError> {
        loop {
            match Frame::parse(&self.input, &LIMITS) {
                Err(error) => return Err(self.break_off(LinkError::Protocol(error.text))),
                Ok(Some((frame, len))) => {
                    self.input.drain(..len);
                    return Ok(frame);
                }
                Ok(None) => {}
            }
            if self.input.len() > REPLY_BYTES_MAX {
                return Err(self.break_off(LinkError::Protocol("a reply past 64 MiB".into())));
            }
            self.input.reserve(READ_BYTES);
            match tokio::time::timeout_at(deadline, self.stream.read_buf(&mut self.input)).await {
                Err(_) => return Err(self.break_off(LinkError::Timeout)),
                Ok(Err(_) | Ok(0)) => return Err(self.break_off(LinkError::Closed)),
                Ok(Ok(_)) => {}
            }
        }
    }

    fn break_off(&mut self, error: LinkError) -> LinkError {
        self.broken = true;
        error
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A server that answers each read with the next of `answers`, then closes (an empty one: stays silent).
    fn server(answers: &[&'static str]) -> (Target, std::thread::JoinHandle<Vec<u8>>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers = answers.to_vec();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            for answer in answers {
                let mut buffer = [0; 1024];
                let len = stream.read(&mut buffer).unwrap();
                seen.extend_from_slice(&buffer[..len]);
                stream.write_all(answer.as_bytes()).unwrap();
                if answer.is_empty() {
                    // Silent until the other end has given up.
                    while stream.read(&mut buffer).is_ok_and(|len| len > 0) {}
                }
            }
            seen
        });
        (Target { address, credentials: None, version: Version::Resp2 }, thread)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn it_authenticates_says_hello_and_asks() {
        let (mut target, thread) =
            server(&["+OK\r\n", "%1\r\n+proto\r\n:3\r\n", ">1\r\n+x\r\n$3\r\nbar\r\n"]);
        target.credentials = Some(Credentials { user: Some("slotway".into()), password: "secret".into() });
        target.version = Version::Resp3;
        let mut connection = Connection::open(&target, PATIENCE).await.unwrap();
        let reply = connection.request(&["GET", "foo"], PATIENCE).await.unwrap();
        assert_eq!(reply, Frame::Bulk(b"bar".to_vec()));
        assert!(matches!(connection.take_push(PATIENCE).await.unwrap(), Frame::Push(_)));
        let seen = String::from_utf8(thread.join().unwrap()).unwrap();
        assert!(seen.starts_with("*3\r\n$4\r\nAUTH\r\n$7\r\nslotway\r\n$6\r\nsecret\r\n"), "{seen}");
        assert!(!format!("{target:?}").contains("\"secret\""), "a password is never printed");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_that_refuses_the_password_is_told_from_one_that_is_gone() {
        let (mut target, _thread) = server(&["-WRONGPASS invalid\r\n"]);
        target.credentials = Some(Credentials { user: None, password: "x".into() });
        let error = Connection::open(&target, PATIENCE).await.unwrap_err();
        assert_eq!(error.to_string(), "refused: WRONGPASS invalid");

        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = Target { address: free.to_string(), credentials: None, version: Version::Resp2 };
        assert!(matches!(Connection::open(&target, PATIENCE).await, Err(LinkError::Connect(_))));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn after_a_deadline_or_garbage_the_connection_is_broken() {
        let (target, _thread) = server(&[""]);
        let mut connection = Connection::open(&target, PATIENCE).await.unwrap();
        let late = connection.request(&["PING"], Duration::from_millis(20)).await;
        assert!(matches!(late, Err(LinkError::Timeout)));
        assert!(connection.is_broken());
        assert!(matches!(connection.request(&["PING"], PATIENCE).await, Err(LinkError::Closed)));

        let (target, _thread) = server(&["hello there\r\n"]);
        let mut connection = Connection::open(&target, PATIENCE).await.unwrap();
        let garbage = connection.request(&["PING"], PATIENCE).await;
        assert!(matches!(garbage, Err(LinkError::Protocol(_))), "{garbage:?}");
    }
}
