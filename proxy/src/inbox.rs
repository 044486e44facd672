//! Reading without a buffer per connection: all connections of a data thread read into one shared buffer.
//!
//! Most reads bring whole requests or whole replies, which are consumed at once; only an unfinished rest is kept, by
//! the connection it belongs to. So ten thousand idle clients hold no read buffers, and the bytes that are parsed are
//! warm in the cache. A rest that grows large (a big value on its way) is read into directly.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    net::tcp::OwnedReadHalf,
};

/// Bytes of the shared buffer of a data thread.
pub(crate) const SHARED_BYTES: usize = 64 * 1024;

/// A rest longer than this is not copied in front of the next read, but read into.
const SMALL_REST_BYTES: usize = 8 * 1024;

/// A rest with more room than this, most of it unused, gives it back.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// What one connection has read and not consumed.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    rest: Vec<u8>,
}

impl Inbox {
    /// Bytes kept for this connection.
    pub(crate) fn bytes(&self) -> usize {
        self.rest.len()
    }

    /// Reads once. Ready with the bytes read and all unconsumed bytes handed to `consume`, which returns how many it
    /// consumed. `Ok(0)`: the peer has closed its side.
    pub(crate) fn poll_read(
        &mut self,
        shared: &mut [u8],
        reader: &mut OwnedReadHalf,
        context: &mut Context<'_>,
        consume: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        if self.rest.len() > SMALL_REST_BYTES {
            // Room grows with what has come, never to what was announced: a vector doubles what it has.
            self.rest.reserve(SHARED_BYTES);
            let count = ready!(read_behind(reader, context, &mut self.rest))?;
            if count > 0 {
                self.reconsider(consume);
            }
            return Poll::Ready(Ok(count));
        }
        let before = self.rest.len();
        let count = ready!(read(reader, context, &mut shared[before..]))?;
        if count > 0 {
            shared[..before].copy_from_slice(&self.rest);
            let whole = &shared[..before + count];
            let consumed = consume(whole);
            self.rest.clear();
            self.keep(&whole[consumed..]);
        }
        Poll::Ready(Ok(count))
    }

    /// Hands out the unconsumed bytes again: the connection may go on where it had to stop.
    pub(crate) fn reconsider(&mut self, consume: impl FnOnce(&[u8]) -> usize) {
        let consumed = consume(&self.rest);
        self.rest.drain(..consumed);
        if self.rest.is_empty() {
            self.rest = Vec::new();
        } else if self.rest.capacity() > KEPT_BYTES_MAX && self.rest.len() < self.rest.capacity() / 4 {
            self.rest.shrink_to_fit();
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.rest = Vec::new();
        } else {
            self.rest.extend_from_slice(rest);
        }
    }
}

fn read(reader: &mut OwnedReadHalf, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(reader).poll_read(context, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Reads into the spare room of `bytes`, which need not be zeroed for that.
fn read_behind(
    reader: &mut OwnedReadHalf,
    context: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    // The future holds nothing between two polls: dropping it loses nothing.
    std::pin::pin!(reader.read_buf(bytes)).poll(context)
}
