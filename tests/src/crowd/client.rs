//! A plain client: no cluster mode, one connection, requests one after the other or pipelined.

use std::io;

use slotway_resp::{Frame, Limits, Version};

use crate::differential::target::{Address, Connection};

/// A connection and the replies on it, as values.
#[derive(Debug)]
pub struct Client(Connection);

impl Client {
    /// # Errors
    /// When nobody listens on the port, or RESP3 is refused.
    pub fn connect(port: u16, version: Version) -> io::Result<Client> {
        let mut client = Client(Connection::connect(&Address::Port(port))?);
        if version == Version::Resp3 {
            client.0.must(&["HELLO", "3"])?;
        }
        Ok(client)
    }

    /// One request, its words separated by spaces.
    ///
    /// # Errors
    /// When the connection broke or nothing came in time. An error reply is a reply.
    pub fn ask(&mut self, request: &str) -> io::Result<Frame> {
        self.send(&[request])?;
        self.reply()
    }

    /// Requests sent at once, and their replies.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_all<R: AsRef<str>>(&mut self, requests: &[R]) -> io::Result<Vec<Frame>> {
        self.send(requests)?;
        requests.iter().map(|_| self.reply()).collect()
    }

    /// Words that may be empty or hold spaces.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_words(&mut self, words: &[&str]) -> io::Result<Frame> {
        self.0.send(&[words])?;
        self.reply()
    }

    /// Sends without waiting for replies.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn send<R: AsRef<str>>(&mut self, requests: &[R]) -> io::Result<()> {
        let requests: Vec<Vec<&str>> =
            requests.iter().map(|request| request.as_ref().split(' ').collect()).collect();
        self.0.send(&requests)
    }

    /// The next reply.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn reply(&mut self) -> io::Result<Frame> {
        let bytes = self.0.reply()?;
        let parsed = Frame::parse(&bytes, &Limits::REPLY).map_err(io::Error::other)?;
        parsed.map(|(frame, _)| frame).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
