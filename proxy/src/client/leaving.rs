//! Whether a client has left that is not read at present.
//!
//! A client of whose large request the rest is held back is not read, so the end of its stream would be seen only when the
//! pause or the hold ends, and the link that it leased would be kept for somebody who is gone. The socket tells without being
//! read that its peer sends no more. That alone does not end a request: what was sent before may hold all the rest of it, and a
//! client that only closed its sending side is answered. So what waits in the socket is counted.
//!
//! Who had more to send than the socket has room for is noticed later: its end stands behind what nobody reads.

use std::{
    future::Future,
    io,
    os::fd::AsFd,
    pin::pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{Interest, ReadBuf},
    net::{TcpStream, tcp::OwnedReadHalf},
};

/// More than a socket holds (`net.ipv4.tcp_rmem` ends at 6 MiB by default). Where it holds more a client that has left is
/// noticed at the end of the hold.
const COUNTED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A second look at a socket that somebody else reads.
pub(super) struct Leaving {
    socket: TcpStream,
}

impl Leaving {
    pub(super) fn of(reader: &OwnedReadHalf) -> io::Result<Leaving> {
        // A descriptor of its own has a readiness of its own: taking notice of it here hides nothing from the reader.
        let own = reader.as_ref().as_fd().try_clone_to_owned()?;
        Ok(Leaving { socket: TcpStream::from_std(own.into())? })
    }

    /// Ready: fewer bytes than `missing` have come, and no more will.
    pub(super) fn poll_gone(&self, context: &mut Context<'_>, missing: usize) -> Poll<()> {
        ready!(self.poll_closed(context));
        let gone = self.count(context, missing) < missing.min(COUNTED_BYTES_MAX);
        if gone { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready: no more will come, whatever waits in the socket.
    pub(super) fn poll_closed(&self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if ready!(self.socket.poll_read_ready(context)).is_err() {
                return Poll::Ready(());
            }
            let ready = ready!(pin!(self.socket.ready(Interest::READABLE)).poll(context));
            if ready.is_ok_and(|ready| ready.is_read_closed()) {
                return Poll::Ready(());
            }
            // Bytes, which the reader will take some time: to be woken by what comes behind them, they have to be forgotten.
            let _forgotten = self
                .socket
                .try_io(Interest::READABLE, || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) });
        }
    }

    /// Bytes that wait in the socket, as far as they matter; of one that was reset none do.
    fn count(&self, context: &mut Context<'_>, missing: usize) -> usize {
        let mut bytes = vec![0; missing.min(COUNTED_BYTES_MAX)];
        match self.socket.poll_peek(context, &mut ReadBuf::new(&mut bytes)) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        }
    }
}
