//! One client's connection: read, execute, write the replies, sleep.
//!
//! A connection is a task that the runtime wakes when its socket has news or when somebody calls
//! [`Client::wake`]. It reads what has arrived into the thread's shared buffer ([`input`]). A small read is executed and
//! answered together with those of the other clients that are awake ([`wave`]), a large one at once, as far as a turn
//! goes ([`batch`]). Only what is unfinished belongs to the connection: the rest of a request that has not arrived
//! whole, and replies that the socket did not take. An idle connection holds no buffer.
//!
//! What holds for every request here: once warm nothing is allocated, clocks are read a few times per turn or wave, and
//! no memory is shared between threads. Memory grows with bytes that came, never with what was only announced.
//!
//! Fairness: a turn ends after [`TURN_REQUESTS_MAX`] requests or [`TURN_OUTPUT_BYTES`] of replies; then the other
//! connections have theirs.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    ops::Range,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

use slotway_cluster::replication::primary::Event;
use slotway_resp::{ProtocolError, write};
use tokio::net::TcpStream;

use crate::{
    call::Millis,
    client::{Blocked, Client, Fate},
    desk::INPUT_BYTES,
    feed::Position,
    node::Node,
    output::{Output, is_over_limit},
    replication::{self, Handed},
    splices::Splice,
    thread::Thread,
};

mod batch;
mod input;
mod wave;

pub(crate) use wave::{Wave, run_all as run_waves};

/// Requests of one connection in one turn.
const TURN_REQUESTS_MAX: usize = 1024;
/// Bytes of replies after which a turn ends and is written.
const TURN_OUTPUT_BYTES: usize = 256 * 1024;
/// Bytes of replies that may wait for a client before no more of its requests are executed, where
/// `client-output-buffer-limit` sets no limit. So wide because a client may send a long pipeline to its end before
/// it reads the first reply, and would wait for ever if that were more.
const WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One connection. Shared by its task and the wave that its last read is in.
pub(crate) struct Connection {
    stream: TcpStream,
    client: Rc<Client>,
    rest: Option<Box<input::Rest>>,
    output: Output,
    place: Place,
}

/// Where the last read is.
enum Place {
    /// Executed, or in [`Connection::rest`].
    Own,
    /// On the desk, to be executed with the wave. The task was woken since, for whatever reason: it will be woken again
    /// behind the wave, and look then.
    InWave { woken: bool },
    /// Executed with a wave, and with that the connection ended.
    Ended(End),
}

/// How a step ended.
enum Step {
    /// Nothing to do until something happens.
    Sleep,
    Worked,
}

/// Why a connection ends.
enum End {
    /// The client closed it, or the network did.
    Gone,
    /// Everything that was to be sent is sent.
    Done,
    /// [`Fate::CloseNow`]: whoever decided it has logged why.
    Cut,
    OutputLimit,
    InputLimit,
    /// It goes on as a replica's link.
    Departs,
}

/// Serves the client until it goes or is to be closed.
pub(crate) async fn run(connection: Connection, thread: Rc<Thread>) {
    let client = Rc::clone(&connection.client);
    let connection = Rc::new(RefCell::new(connection));
    let end = poll_fn(|context| poll(&connection, &thread, context)).await;
    connection.borrow().report(&end);
    if let Ok(connection) = Rc::try_unwrap(connection) {
        let Connection { stream, rest, .. } = connection.into_inner();
        if let End::Departs = end {
            let unread = rest.map_or_else(Vec::new, |rest| rest.bytes);
            replication::link::serve(Handed { stream, client: Rc::clone(&client), unread }, &thread).await;
        } else {
            thread.part(stream);
        }
    }
    let node = &mut *thread.node.borrow_mut();
    client.transaction.discard(&mut node.keyspace);
    if client.blocked.get() == Blocked::Waiting {
        node.tell_primary(Event::Leaves { waiter: replication::waiter(&client) });
    }
    node.clients.remove(client.id);
}

fn poll(connection: &Rc<RefCell<Connection>>, thread: &Thread, context: &mut Context<'_>) -> Poll<End> {
    let this = &mut *connection.borrow_mut();
    this.client.register(context.waker());
    // The first step works, the second finds nothing more and leaves word where to be woken.
    for _ in 0..2 {
        match this.step(connection, thread, context) {
            Ok(Step::Worked) => {}
            Ok(Step::Sleep) => return Poll::Pending,
            Err(end) => return Poll::Ready(end),
        }
    }
    // There is more, but others come first: also those whose sockets the runtime has not asked for news yet, which
    // is why this is no plain wake.
    let yielded = pin!(tokio::task::yield_now()).poll(context);
    debug_assert!(yielded.is_pending(), "a yield lets others run");
    Poll::Pending
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, client: Rc<Client>) -> Connection {
        Connection { stream, client, rest: None, output: Output::default(), place: Place::Own }
    }

    /// `me` is what holds this connection.
    fn step(
        &mut self,
        me: &Rc<RefCell<Connection>>,
        thread: &Thread,
        context: &mut Context<'_>,
    ) -> Result<Step, End> {
        match std::mem::replace(&mut self.place, Place::Own) {
            Place::Own => {}
            Place::InWave { .. } => {
                self.place = Place::InWave { woken: true };
                return Ok(Step::Sleep);
            }
            Place::Ended(end) => return Err(end),
        }
        let fate = self.client.fate.get();
        if fate == Fate::CloseNow {
            return Err(End::Cut);
        }
        if !self.output.is_empty() {
            let released = thread.node.borrow().gate.released();
            self.flush(released)?;
            // What waits at the gate needs no socket: the gate wakes the task.
            if self.output.is_ready(released) && self.wait_until_writable(context)? {
                return Ok(Step::Worked);
            }
        }
        if fate == Fate::Departs {
            return if self.output.is_empty() { Err(End::Departs) } else { Ok(Step::Sleep) };
        }
        if fate == Fate::CloseAfterReply {
            return if self.output.is_empty() { Err(End::Done) } else { Ok(Step::Sleep) };
        }
        if self.output.bytes() > WAITING_BYTES_MAX || self.client.is_paused.get() {
            return Ok(Step::Sleep);
        }
        if self.client.blocked.get() == Blocked::Waiting {
            return self.read_ahead(thread, context);
        }
        match self.read_and_execute(me, thread, context) {
            // A client that sends no more still gets what waits at the gate.
            Poll::Ready(Err(End::Gone)) if self.is_owed(thread) => {
                self.client.decide(Fate::CloseAfterReply);
                Ok(Step::Sleep)
            }
            Poll::Ready(outcome) => outcome,
            Poll::Pending if fate == Fate::Finish && self.output.is_empty() => Err(End::Done),
            Poll::Pending => Ok(Step::Sleep),
        }
    }

    /// Whether replies wait, and not for the socket.
    fn is_owed(&self, thread: &Thread) -> bool {
        !self.output.is_empty() && !self.output.is_ready(thread.node.borrow().gate.released())
    }

    /// The end of a turn: limits, then the way out for its replies, which are `replies` of `output`, as soon as `until`
    /// is released.
    fn conclude(
        &mut self,
        node: &mut Node,
        output: &mut Vec<u8>,
        (replies, until): (Range<usize>, Position),
        now: Millis,
    ) -> Result<(), End> {
        let (len, room) = self
            .rest
            .as_ref()
            .map_or((0, 0), |rest| (rest.bytes.len(), rest.bytes.capacity() - rest.bytes.len()));
        self.client.input_bytes.set(len);
        self.client.input_room_bytes.set(room);
        // What is queued behind MULTI is not executed yet either.
        if len + self.client.transaction.bytes() > node.bounds.input_bytes_max {
            node.statistics.cut_for_input += 1;
            return Err(End::InputLimit);
        }
        let splices = if node.splices.is_empty() { Vec::new() } else { node.splices.take(&replies) };
        let bytes = replies.len() + splices.iter().map(|splice| splice.text.len()).sum::<usize>();
        if self.is_over_output_limit(bytes, node.bounds.output.normal, now) {
            node.statistics.cut_for_output += 1;
            return Err(End::OutputLimit);
        }
        node.statistics.output_bytes += u64::try_from(bytes).unwrap_or(0);
        node.statistics.writes += 1;
        let released = node.gate.released();
        if !replies.is_empty() && until > released {
            node.gate.wait(until, &self.client);
        }
        let sent = match splices.is_empty() {
            true => self.send(output, (replies, until), released),
            false => self.send_spliced(output, splices, (replies, until), released),
        };
        node.statistics.output_bytes_peak = node.statistics.output_bytes_peak.max(self.output.bytes());
        self.client.output_bytes.set(self.output.bytes());
        self.client.output_pieces.set(self.output.pieces());
        if node.bounds.clients_bytes_max != 0 {
            node.clients.count(&self.client);
            if node.clients.counted_bytes() > node.bounds.clients_bytes_max {
                node.evict_clients();
            }
        }
        sent
    }

    fn answer_protocol_error(&self, node: &mut Node, broken: &ProtocolError, output: &mut Vec<u8>) {
        tracing::debug!(peer = %self.client.peer, error = %broken, "closing a client that broke the protocol");
        node.statistics.broken_protocols += 1;
        write::error(output, format!("ERR {broken}").as_bytes());
        self.client.decide(Fate::CloseAfterReply);
    }

    /// Sends the turn's replies: at once if the line is free and they are released, else behind what waits.
    fn send(
        &mut self,
        output: &mut Vec<u8>,
        (replies, until): (Range<usize>, Position),
        released: Position,
    ) -> Result<(), End> {
        if replies.is_empty() {
            return Ok(());
        }
        if until > released {
            self.wait_with(output, (replies, until), 0);
            return Ok(());
        }
        if !self.output.is_empty() {
            self.output.push(&output[replies], until);
            return self.flush(released);
        }
        match self.stream.try_write(&output[replies.clone()]) {
            Ok(len) if len == replies.len() => Ok(()),
            Ok(len) => {
                self.wait_with(output, (replies, until), len);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                self.wait_with(output, (replies, until), 0);
                Ok(())
            }
            Err(_) => Err(End::Gone),
        }
    }

    /// As [`Connection::send`], of replies with long strings in them.
    fn send_spliced(
        &mut self,
        output: &[u8],
        splices: Vec<Splice>,
        (replies, until): (Range<usize>, Position),
        released: Position,
    ) -> Result<(), End> {
        let mut start = replies.start;
        for Splice { at, text } in splices {
            self.output.push(&output[start..at], until);
            self.output.push_text(text, until);
            start = at;
        }
        self.output.push(&output[start..replies.end], until);
        self.flush(released)
    }

    /// Queues the turn's replies from byte `sent` on. Large ones are not copied: they keep the buffer in which they
    /// are the last.
    fn wait_with(&mut self, output: &mut Vec<u8>, (replies, until): (Range<usize>, Position), sent: usize) {
        let start = replies.start + sent;
        if replies.len() > TURN_OUTPUT_BYTES && replies.end == output.len() {
            let fresh = Vec::with_capacity(INPUT_BYTES);
            self.output.push_owned(std::mem::replace(output, fresh), start, until);
        } else {
            self.output.push(&output[start..replies.end], until);
        }
    }

    /// Writes what waits and is released, as far as the socket takes it.
    fn flush(&mut self, released: Position) -> Result<(), End> {
        let write = |slices: &[io::IoSlice<'_>]| self.stream.try_write_vectored(slices);
        self.output.flush(released, write).map_err(|_| End::Gone)?;
        self.client.output_bytes.set(self.output.bytes());
        self.client.output_pieces.set(self.output.pieces());
        Ok(())
    }

    /// Asks to be woken when the socket takes more. True: it does already.
    fn wait_until_writable(&self, context: &mut Context<'_>) -> Result<bool, End> {
        match self.stream.poll_write_ready(context) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(_)) => Err(End::Gone),
            Poll::Pending => Ok(false),
        }
    }

    fn is_over_output_limit(
        &self,
        fresh_bytes: usize,
        limit: slotway_config::OutputLimit,
        now: Millis,
    ) -> bool {
        let mut since = self.client.over_soft_limit.get();
        let over = is_over_limit(limit, self.output.bytes() + fresh_bytes, &mut since, now);
        self.client.over_soft_limit.set(since);
        over
    }

    fn report(&self, end: &End) {
        let client = &self.client;
        match end {
            End::Gone | End::Done | End::Cut | End::Departs => {}
            End::OutputLimit => tracing::warn!(
                peer = %client.peer, id = client.id.0, waiting_bytes = self.output.bytes(),
                "closing a client that reached client-output-buffer-limit"
            ),
            End::InputLimit => tracing::warn!(
                peer = %client.peer, id = client.id.0, request_bytes = client.input_bytes.get(),
                "closing a client that reached client-query-buffer-limit"
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
