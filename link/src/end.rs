//! The two ends of an accepted connection, as CLIENT LIST shows them and CLIENT KILL names them.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use socket2::SockRef;
use tokio::net::TcpStream;

/// One end. Shown as `host:port`, or, of a Unix socket, as its path and the port 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Tcp(SocketAddr),
    Unix(Arc<str>),
}

impl End {
    /// The peer's end and ours. The peer of a Unix socket has no name of its own: it goes by ours.
    pub fn both(stream: &TcpStream) -> io::Result<(End, End)> {
        let socket = SockRef::from(stream);
        let local = socket.local_addr()?;
        match local.as_socket() {
            Some(local) => Ok((End::Tcp(stream.peer_addr()?), End::Tcp(local))),
            None => {
                let path = local.as_pathname().map(|path| path.display().to_string()).unwrap_or_default();
                let end = End::Unix(path.into());
                Ok((end.clone(), end))
            }
        }
    }

    /// It is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            End::Tcp(address) => address.ip().is_loopback(),
            End::Unix(_) => true,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Tcp(address) => address.fmt(f),
            End::Unix(path) => write!(f, "{path}:0"),
        }
    }
}
