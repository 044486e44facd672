//! One non-blocking connection with its two buffers, as all the lean tools use it.
//!
//! Input is read into a buffer of fixed size and used from its start; what is left of an unfinished frame moves to
//! the front. Output is collected and written once; only when the kernel takes no more is the socket waited for.
//! Nothing here allocates once the output buffer has grown to its size.

use crate::syscall::{Epoll, Interest};
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// Room for the input of one read. A frame must fit.
pub const INPUT_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    token: u64,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    written: usize,
    stuck: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Bytes,
    Nothing,
    /// The other side closed, the connection broke, or a frame is larger than the input buffer.
    Closed,
}

impl Connection {
    /// Takes the socket over and registers it: its events will carry `token`.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    pub fn register(
        stream: TcpStream,
        epoll: &Epoll,
        token: u64,
        input_bytes: usize,
    ) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        epoll.add(&stream, token)?;
        Ok(Connection {
            stream,
            token,
            input: vec![0; input_bytes],
            filled: 0,
            output: Vec::with_capacity(64 * 1024),
            written: 0,
            stuck: false,
        })
    }

    #[inline]
    pub fn receive(&mut self) -> Received {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => Received::Closed,
            Ok(bytes) => {
                self.filled += bytes;
                Received::Bytes
            }
            Err(error) if is_later(&error) => Received::Nothing,
            Err(_) => Received::Closed,
        }
    }

    /// What was received and not yet consumed.
    #[inline]
    #[must_use]
    pub fn input(&self) -> &[u8] {
        &self.input[..self.filled]
    }

    #[inline]
    pub fn consume(&mut self, bytes: usize) {
        if bytes < self.filled {
            self.input.copy_within(bytes..self.filled, 0);
        }
        self.filled -= bytes;
    }

    /// Where replies or requests are collected until `flush`.
    #[inline]
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Input to read and output to append to, at once: an echo of sorts.
    #[inline]
    pub fn both(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.input[..self.filled], &mut self.output)
    }

    /// Bytes collected and not yet taken by the kernel.
    #[inline]
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.output.len() - self.written
    }

    /// Writes what was collected. What the kernel does not take waits until the socket is writable: call again then.
    ///
    /// # Errors
    /// When the connection is broken.
    #[inline]
    pub fn flush(&mut self, epoll: &Epoll) -> io::Result<()> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if is_later(&error) => return self.wait_for_room(epoll),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        if self.stuck {
            self.stuck = false;
            epoll.rearm(&self.stream, self.token, Interest::Read)?;
        }
        Ok(())
    }

    #[cold]
    fn wait_for_room(&mut self, epoll: &Epoll) -> io::Result<()> {
        self.output.drain(..self.written);
        self.written = 0;
        if !self.stuck {
            self.stuck = true;
            epoll.rearm(&self.stream, self.token, Interest::ReadWrite)?;
        }
        Ok(())
    }
}

/// Not now, but the connection is well. (An interrupted call is repeated by the next event, too.)
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
