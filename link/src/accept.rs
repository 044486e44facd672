//! Accepting: connections of all listening sockets in turn, and the options each one gets.
//!
//! A process without a free file descriptor cannot accept, and the kernel would report the same waiting connection
//! again at once: the loop rests for `REST` then, so that it does not take the processor from the clients it has.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use crate::{end::End, listen::Listening, unix::UnixAcceptor};

/// How long accepting rests after an error of the process (no descriptor, no memory).
const REST: Duration = Duration::from_millis(100);

/// Takes connections from every address of one port, and from a Unix socket.
#[derive(Debug)]
pub struct Acceptor {
    listeners: Vec<TcpListener>,
    unix: Option<UnixAcceptor>,
    /// The listener asked first; it moves on, so that a busy address does not starve another.
    next: usize,
}

impl Acceptor {
    /// Within a runtime: hands it the sockets.
    pub fn new(listening: Listening) -> io::Result<Acceptor> {
        let listeners =
            listening.sockets.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?;
        let unix = listening.unix.map(UnixAcceptor::new).transpose()?;
        Ok(Acceptor { listeners, unix, next: 0 })
    }

    /// The next connection. Errors of a single connection are passed over; others are logged and waited out. May be
    /// dropped at any point without losing a connection.
    pub async fn accept(&mut self) -> (TcpStream, End) {
        loop {
            match self.accept_any().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn accept_any(&mut self) -> io::Result<(TcpStream, End)> {
        poll_fn(|context| {
            // The Unix socket has the place behind the others.
            let places = self.listeners.len() + 1;
            for _ in 0..places {
                self.next = (self.next + 1) % places;
                if let Poll::Ready(outcome) = self.poll_accept(self.next, context) {
                    return Poll::Ready(outcome);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn poll_accept(&self, place: usize, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, End)>> {
        match (self.listeners.get(place), &self.unix) {
            (Some(listener), _) => {
                listener.poll_accept(context).map_ok(|(stream, peer)| (stream, End::Tcp(peer)))
            }
            (None, Some(unix)) => {
                let stream = ready!(unix.poll_accept(context))?;
                let (peer, _) = End::both(&stream)?;
                Poll::Ready(Ok((stream, peer)))
            }
            (None, None) => Poll::Pending,
        }
    }
}

/// The connection broke before it was taken: nobody's trouble but its own.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// What every RESP connection wants: no delay of small packets, and (Redis's `tcp-keepalive`, None = 0) probes that
/// find a peer that is gone: the first after `keepalive`, then every third of it, three in all. A Unix socket
/// needs none of it.
pub fn tune(stream: &TcpStream, keepalive: Option<Duration>) -> io::Result<()> {
    let socket = SockRef::from(stream);
    if socket.local_addr()?.is_unix() {
        return Ok(());
    }
    stream.set_nodelay(true)?;
    if let Some(idle) = keepalive {
        let interval = (idle / 3).max(Duration::from_secs(1));
        let probes = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(3);
        socket.set_tcp_keepalive(&probes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn connections_of_every_address_are_accepted() {
        let hosts = ["127.0.0.1", "127.0.0.2"]
            .map(|host| slotway_config::Bind { host: host.to_owned(), optional: false });
        let listening = crate::listen::bind(&hosts, 0, "--port", 16).unwrap();
        let port = listening.port;
        let mut acceptor = Acceptor::new(listening).unwrap();
        for host in &hosts {
            let client = TcpStream::connect((host.host.as_str(), port)).await.unwrap();
            let (stream, peer) = acceptor.accept().await;
            assert_eq!(peer, End::Tcp(client.local_addr().unwrap()));
            tune(&stream, Some(Duration::from_secs(300))).unwrap();
            assert!(stream.nodelay().unwrap());
        }
    }
}
