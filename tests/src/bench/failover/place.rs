//! Where a client or a process is: on this machine's network, or in a network of its own that can be cut.
//!
//! A network has no name and no file: it is held by the descriptor of a place and by the processes that live there, and goes with the last of
//! them, however the campaign ends.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::syscall::{enter_network, leave_network, live_in_network};

/// How long an HTTP call may take: the longest waits for a job.
const HTTP_MAX: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, Default)]
pub enum Place {
    /// The machine's own network.
    #[default]
    Here,
    Apart(Arc<File>),
}

impl Place {
    /// A new network, with nothing in it.
    ///
    /// # Errors
    /// Without root's rights.
    pub fn apart() -> io::Result<Place> {
        // In a thread that ends: this one stays where it is.
        let made = thread::spawn(|| {
            leave_network()?;
            File::open("/proc/thread-self/ns/net")
        });
        let network = made.join().map_err(|_| io::Error::other("a thread panicked"))??;
        Ok(Place::Apart(Arc::new(network)))
    }

    /// Moves the calling thread there, for good.
    ///
    /// # Errors
    /// Without root's rights.
    pub fn enter(&self) -> io::Result<()> {
        match self {
            Place::Here => Ok(()),
            Place::Apart(network) => enter_network(&**network),
        }
    }

    /// What is started by `command` lives there.
    pub fn house(&self, command: &mut Command) {
        if let Place::Apart(network) = self {
            live_in_network(command, network);
        }
    }

    /// Runs `action` there.
    ///
    /// # Errors
    /// The action's own, and without root's rights.
    pub fn run<T: Send>(&self, action: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        match self {
            Place::Here => action(),
            Place::Apart(_) => thread::scope(|scope| {
                let ran = scope.spawn(|| {
                    self.enter()?;
                    action()
                });
                ran.join().map_err(|_| io::Error::other("a thread panicked"))?
            }),
        }
    }
}

/// An address, and from where it is reached.
#[derive(Clone, Debug)]
pub struct Door {
    pub place: Place,
    pub address: SocketAddr,
}

impl Door {
    #[must_use]
    pub fn here(port: u16) -> Door {
        Door { place: Place::Here, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// # Errors
    /// When nobody accepts in time.
    pub fn connect(&self, within: Duration) -> io::Result<TcpStream> {
        let stream = self.place.run(|| TcpStream::connect_timeout(&self.address, within))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// One HTTP call; its status and its body, which is JSON or null.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn call(&self, method: &str, path: &str) -> io::Result<(u16, Value)> {
        let mut stream = self.connect(Duration::from_secs(1))?;
        stream.set_read_timeout(Some(HTTP_MAX))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let whole = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
            let status = head.split(' ').nth(1)?.parse().ok()?;
            Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
        });
        whole.ok_or_else(|| io::Error::other(format!("no HTTP: {answer}")))
    }
}
