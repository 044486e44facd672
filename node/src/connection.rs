//! One client's connection: read a batch, execute it, write its replies, sleep.
//!
//! A connection is a task that the runtime wakes when its socket has news or when somebody calls
//! [`Client::wake`]. One turn reads what has arrived into the thread's shared buffer, finds, looks up and executes
//! the requests in place ([`batch`]; a small read together with those of other clients, [`wave`]), and writes all
//! replies with one system call. Only what is unfinished belongs to the connection: the rest of a request that has not
//! arrived whole, and replies that the socket did not take. An idle connection holds no buffer.
//!
//! What holds for every request here: once warm nothing is allocated, no clock is read but once per turn, and no
//! memory is shared between threads. Memory grows with bytes that came, never with what was only announced.
//!
//! Fairness: a turn ends after [`TURN_REQUESTS_MAX`] requests or [`TURN_OUTPUT_BYTES`] of replies; then the other
//! connections have theirs.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use slotway_resp::{Parser, ProtocolError, write};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::{
    call::Millis,
    client::{Client, Fate, Standing},
    desk::{Desk, INPUT_BYTES},
    node::{self, Node},
    output::{Output, is_over_limit},
    thread::Thread,
};

mod batch;
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
/// An unfinished request of more than this has a buffer of its own; a smaller one is copied back into the shared
/// one, where more requests can follow it.
const OWN_BUFFER_BYTES: usize = INPUT_BYTES / 2;
/// A read of at most this is small: it brings few requests and waits for others in the wave.
const SMALL_READ_BYTES: usize = 512;
/// Room that a read into the shared buffer finds at least.
const READ_ROOM_BYTES: usize = INPUT_BYTES / 2;

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    client: Rc<Client>,
    rest: Option<Box<Rest>>,
    output: Output,
    place: Place,
}

/// Where its last read is.
enum Place {
    /// Executed, or in [`Connection::rest`].
    Own,
    /// On the desk, to be executed with the wave. True: the socket has had news since.
    InWave { unread: bool },
    /// It left the wave, and the connection is to end.
    Ended(End),
}

/// What has arrived and is not executed yet.
struct Rest {
    bytes: Vec<u8>,
    parser: Parser,
    /// Whole requests are among it: go on without reading.
    runnable: bool,
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
}

/// Serves a client until it goes or is to be closed.
pub(crate) async fn run(connection: Connection, thread: Rc<Thread>) {
    let connection = Rc::new(RefCell::new(connection));
    let end = poll_fn(|context| poll(&connection, &thread, context)).await;
    let connection = connection.borrow();
    connection.report(&end);
    thread.node.borrow_mut().clients.remove(connection.client.id);
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
        let fate = self.client.fate.get();
        if fate == Fate::CloseNow {
            return Err(End::Cut);
        }
        match std::mem::replace(&mut self.place, Place::Own) {
            Place::Own => {}
            Place::Ended(end) => return Err(end),
            Place::InWave { unread } => {
                let unread = unread || self.stream.poll_read_ready(context).is_ready();
                self.place = Place::InWave { unread };
                return Ok(Step::Sleep);
            }
        }
        if !self.output.is_empty() {
            self.flush()?;
            if !self.output.is_empty() && self.wait_until_writable(context)? {
                return Ok(Step::Worked);
            }
        }
        if fate == Fate::CloseAfterReply {
            return if self.output.is_empty() { Err(End::Done) } else { Ok(Step::Sleep) };
        }
        if self.output.bytes() > WAITING_BYTES_MAX {
            return Ok(Step::Sleep);
        }
        match self.read_and_execute(me, thread, context) {
            Poll::Ready(outcome) => outcome.map(|()| Step::Worked),
            Poll::Pending if fate == Fate::Finish && self.output.is_empty() => Err(End::Done),
            Poll::Pending => Ok(Step::Sleep),
        }
    }

    /// What is left over from the last turn goes first, then what the socket has.
    fn read_and_execute(
        &mut self,
        me: &Rc<RefCell<Connection>>,
        thread: &Thread,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        match self.rest.take() {
            Some(rest) if rest.runnable => Poll::Ready(self.execute_own(thread, *rest)),
            Some(rest) if rest.bytes.len().saturating_add(rest.parser.missing()) > OWN_BUFFER_BYTES => {
                self.read_into_own_buffer(thread, context, rest)
            }
            rest => self.read_into_shared_buffer(me, thread, context, rest),
        }
    }

    /// Reads behind the beginning of a large request. The buffer grows by at most what has already come, whatever
    /// was announced.
    fn read_into_own_buffer(
        &mut self,
        thread: &Thread,
        context: &mut Context<'_>,
        mut rest: Box<Rest>,
    ) -> Poll<Result<(), End>> {
        if rest.bytes.capacity() - rest.bytes.len() < READ_ROOM_BYTES {
            let doubled = rest.bytes.len().max(INPUT_BYTES);
            rest.bytes.reserve_exact(rest.parser.missing().clamp(INPUT_BYTES, doubled));
        }
        match read(&mut self.stream, thread, context, &mut rest.bytes) {
            Poll::Ready(Ok(())) => Poll::Ready(self.execute_own(thread, *rest)),
            Poll::Ready(Err(end)) => Poll::Ready(Err(end)),
            Poll::Pending => {
                self.rest = Some(rest);
                Poll::Pending
            }
        }
    }

    /// Reads into the thread's buffer, behind the beginning of a request if one waits.
    fn read_into_shared_buffer(
        &mut self,
        me: &Rc<RefCell<Connection>>,
        thread: &Thread,
        context: &mut Context<'_>,
        rest: Option<Box<Rest>>,
    ) -> Poll<Result<(), End>> {
        if rest.is_some() {
            // Asked first, so that nothing is copied in vain.
            match self.stream.poll_read_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Gone)),
                Poll::Pending => {
                    self.rest = rest;
                    return Poll::Pending;
                }
            }
        }
        if thread.desk.borrow().input.len() > INPUT_BYTES - OWN_BUFFER_BYTES || thread.wave.borrow().is_full()
        {
            wave::run(thread);
        }
        let mut bytes = std::mem::take(&mut thread.desk.borrow_mut().input);
        let start = bytes.len();
        if let Some(rest) = &rest {
            bytes.extend_from_slice(&rest.bytes);
        }
        bytes.reserve(READ_ROOM_BYTES);
        let outcome = read(&mut self.stream, thread, context, &mut bytes);
        if let Poll::Ready(Ok(())) = outcome {
            return Poll::Ready(self.execute_shared(me, thread, bytes, start, rest));
        }
        bytes.truncate(start);
        thread.desk.borrow_mut().input = bytes;
        self.rest = rest;
        outcome
    }

    /// Executes what was read into the thread's buffer from `start` on, now or with the wave.
    fn execute_shared(
        &mut self,
        me: &Rc<RefCell<Connection>>,
        thread: &Thread,
        mut bytes: Vec<u8>,
        start: usize,
        rest: Option<Box<Rest>>,
    ) -> Result<(), End> {
        if rest.is_none() && self.may_join_wave(bytes.len() - start) {
            thread.wave.borrow_mut().push(me, start, bytes.len());
            thread.desk.borrow_mut().input = bytes;
            self.place = Place::InWave { unread: false };
            return Ok(());
        }
        if start > 0 {
            // Those who were first are served first; what was read here steps aside for so long.
            let own = bytes.split_off(start);
            thread.desk.borrow_mut().input = bytes;
            wave::run(thread);
            bytes = std::mem::take(&mut thread.desk.borrow_mut().input);
            bytes.extend_from_slice(&own);
        }
        let node = &mut *thread.node.borrow_mut();
        let desk = &mut *thread.desk.borrow_mut();
        let mut parser = match rest {
            Some(rest) => rest.parser,
            None => std::mem::take(&mut desk.parser),
        };
        let (served, now) = self.serve(node, desk, &bytes, &mut parser);
        if served.executed_bytes < bytes.len() {
            let bytes = bytes[served.executed_bytes..].to_vec();
            self.rest = Some(Box::new(Rest { bytes, parser, runnable: served.stopped }));
        } else {
            desk.parser = parser;
        }
        bytes.clear();
        desk.input = bytes;
        collect_garbage(thread, node);
        self.conclude(node, desk, served.broken, now)
    }

    /// Executes what is in a buffer of the connection's own.
    fn execute_own(&mut self, thread: &Thread, rest: Rest) -> Result<(), End> {
        let node = &mut *thread.node.borrow_mut();
        let desk = &mut *thread.desk.borrow_mut();
        let Rest { mut bytes, mut parser, .. } = rest;
        let (served, now) = self.serve(node, desk, &bytes, &mut parser);
        if served.executed_bytes < bytes.len() {
            if served.executed_bytes > 0 {
                bytes.drain(..served.executed_bytes);
                bytes.shrink_to(bytes.len().max(INPUT_BYTES));
            }
            self.rest = Some(Box::new(Rest { bytes, parser, runnable: served.stopped }));
        }
        collect_garbage(thread, node);
        self.conclude(node, desk, served.broken, now)
    }

    /// Executes a turn's requests. The parser is left ready for what was not executed.
    fn serve(
        &self,
        node: &mut Node,
        desk: &mut Desk,
        bytes: &[u8],
        parser: &mut Parser,
    ) -> (batch::Served, Millis) {
        desk.clear_output();
        let now = node::now();
        let served = batch::serve(node, &self.client, desk, bytes, parser, now);
        if served.stopped {
            // What is behind is parsed anew: the parser has already been further than the execution.
            *parser = Parser::default();
        } else {
            parser.rebase();
        }
        (served, now)
    }

    /// Whether what was read is small and nothing about the client asks for a turn of its own.
    fn may_join_wave(&self, len: usize) -> bool {
        len <= SMALL_READ_BYTES
            && self.output.is_empty()
            && self.client.fate.get() == Fate::Open
            && self.client.standing.get() != Standing::Stranger
    }

    /// Its requests of a wave are executed, their replies on the desk.
    fn leave_wave(&mut self, node: &mut Node, desk: &mut Desk, broken: Option<ProtocolError>, now: Millis) {
        let unread = matches!(self.place, Place::InWave { unread: true });
        self.place = match self.conclude(node, desk, broken, now) {
            Ok(()) => Place::Own,
            Err(end) => Place::Ended(end),
        };
        let is_at_rest = matches!(self.place, Place::Own)
            && self.rest.as_ref().is_none_or(|rest| !rest.runnable)
            && self.output.is_empty()
            && self.client.fate.get() == Fate::Open;
        if unread || !is_at_rest {
            self.client.wake();
        }
    }

    /// The end of a turn: limits, then the replies' way out.
    fn conclude(
        &mut self,
        node: &mut Node,
        desk: &mut Desk,
        broken: Option<ProtocolError>,
        now: Millis,
    ) -> Result<(), End> {
        if let Some(broken) = broken {
            node.statistics.broken_protocols += 1;
            self.answer_protocol_error(&broken, desk);
        }
        self.client.active.set(now);
        let (len, room) = match &self.rest {
            Some(rest) => (rest.bytes.len(), rest.bytes.capacity() - rest.bytes.len()),
            None => (0, 0),
        };
        self.client.input_bytes.set(len);
        self.client.input_room_bytes.set(room);
        if len > node.bounds.input_bytes_max {
            node.statistics.cut_for_input += 1;
            return Err(End::InputLimit);
        }
        if self.is_over_output_limit(desk.output.len(), node.bounds.output.normal, now) {
            node.statistics.cut_for_output += 1;
            return Err(End::OutputLimit);
        }
        node.statistics.output_bytes += u64::try_from(desk.output.len()).unwrap_or(0);
        node.statistics.writes += 1;
        let sent = self.send(desk);
        node.statistics.output_bytes_peak = node.statistics.output_bytes_peak.max(self.output.bytes());
        self.client.output_bytes.set(self.output.bytes());
        self.client.output_pieces.set(self.output.pieces());
        sent
    }

    fn answer_protocol_error(&self, broken: &ProtocolError, desk: &mut Desk) {
        tracing::debug!(peer = %self.client.peer, error = %broken, "closing a client that broke the protocol");
        write::error(&mut desk.output, format!("ERR {broken}").as_bytes());
        self.client.decide(Fate::CloseAfterReply);
    }

    /// Sends the turn's replies: at once if the line is free, else behind what waits.
    fn send(&mut self, desk: &mut Desk) -> Result<(), End> {
        if desk.output.is_empty() {
            return Ok(());
        }
        if !self.output.is_empty() {
            self.output.push(&desk.output);
            return self.flush();
        }
        match self.stream.try_write(&desk.output) {
            Ok(len) if len == desk.output.len() => Ok(()),
            Ok(len) => {
                self.wait_with(desk, len);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                self.wait_with(desk, 0);
                Ok(())
            }
            Err(_) => Err(End::Gone),
        }
    }

    /// Queues the turn's replies from `sent` on.
    fn wait_with(&mut self, desk: &mut Desk, sent: usize) {
        if desk.output.len() > TURN_OUTPUT_BYTES {
            let fresh = Vec::with_capacity(INPUT_BYTES);
            self.output.push_owned(std::mem::replace(&mut desk.output, fresh), sent);
        } else {
            self.output.push(&desk.output[sent..]);
        }
    }

    /// Writes what waits, as far as the socket takes it.
    fn flush(&mut self) -> Result<(), End> {
        self.output.flush(|bytes| self.stream.try_write(bytes)).map_err(|_| End::Gone)?;
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
            End::Gone | End::Done | End::Cut => {}
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

/// Lets the helper free what the turn deleted.
fn collect_garbage(thread: &Thread, node: &mut Node) {
    if let Some(garbage) = node.keyspace.take_garbage() {
        thread.collect(garbage);
    }
}

/// Appends what the socket has to `bytes`, as far as there is room.
///
/// Through `poll_read` and not `try_read`: when the room is not filled the runtime knows that the socket is empty, and
/// the next call does not ask the kernel.
fn read(
    stream: &mut TcpStream,
    thread: &Thread,
    context: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<Result<(), End>> {
    match ready!(pin!(stream.read_buf(bytes)).poll(context)) {
        Ok(0) | Err(_) => Poll::Ready(Err(End::Gone)),
        Ok(len) => {
            let statistics = &mut thread.node.borrow_mut().statistics;
            statistics.input_bytes += u64::try_from(len).unwrap_or(0);
            statistics.reads += 1;
            Poll::Ready(Ok(()))
        }
    }
}
