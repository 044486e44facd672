//! One client's connection: read a batch, execute it, write its replies, sleep.
//!
//! A connection is a task that the runtime wakes when its socket has news or when somebody calls
//! [`Client::wake`]. One turn reads what has arrived into the thread's shared buffer, finds, looks up and executes
//! the requests in place, and writes all replies with one system call. Only what is unfinished belongs to the
//! connection: the rest of a request that has not arrived whole, and replies that the socket did not take. An idle
//! connection holds no buffer.
//!
//! What holds for every request here: once warm nothing is allocated, no clock is read but once per turn, and no
//! memory is shared between threads. Memory grows with bytes that came, never with what was only announced.
//!
//! Fairness: a turn ends after [`TURN_REQUESTS_MAX`] requests or [`TURN_OUTPUT_BYTES`] of replies; then the other
//! connections have theirs.

use std::{
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
    client::{Client, Fate},
    desk::{Desk, INPUT_BYTES},
    node,
    output::{Output, is_over_limit},
    thread::Thread,
};

mod batch;

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

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    client: Rc<Client>,
    thread: Rc<Thread>,
    rest: Option<Box<Rest>>,
    output: Output,
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

/// Bytes to execute, wherever they were read.
struct Input {
    bytes: Vec<u8>,
    parser: Parser,
    /// `bytes` is the shared buffer, to be given back.
    shared: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, client: Rc<Client>, thread: Rc<Thread>) -> Connection {
        Connection { stream, client, thread, rest: None, output: Output::default() }
    }

    /// Serves the client until it goes or is to be closed.
    pub(crate) async fn run(mut self) {
        let end = poll_fn(|context| self.poll(context)).await;
        self.report(&end);
        let node = &mut *self.thread.node.borrow_mut();
        self.client.transaction.discard(&mut node.keyspace);
        node.clients.remove(self.client.id);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        self.client.register(context.waker());
        // The first step works, the second finds nothing more and leaves word where to be woken.
        for _ in 0..2 {
            match self.step(context) {
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

    fn step(&mut self, context: &mut Context<'_>) -> Result<Step, End> {
        let fate = self.client.fate.get();
        if fate == Fate::CloseNow {
            return Err(End::Cut);
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
        if self.output.bytes() > WAITING_BYTES_MAX || self.client.is_paused.get() {
            return Ok(Step::Sleep);
        }
        let input = match self.input(context) {
            Poll::Ready(input) => input?,
            Poll::Pending if fate == Fate::Finish && self.output.is_empty() => return Err(End::Done),
            Poll::Pending => return Ok(Step::Sleep),
        };
        self.turn(input)?;
        Ok(Step::Worked)
    }

    /// Executes what has arrived and sends the replies.
    fn turn(&mut self, input: Input) -> Result<(), End> {
        let thread = Rc::clone(&self.thread);
        let node = &mut *thread.node.borrow_mut();
        let desk = &mut *thread.desk.borrow_mut();
        // A turn that was cut short may have left replies to another client.
        desk.clear_output();
        let now = node::now();
        self.client.active.set(now);
        let Input { bytes, mut parser, shared } = input;
        let served = batch::serve(node, &self.client, desk, &bytes, &mut parser, now);
        if let Some(broken) = &served.broken {
            node.statistics.broken_protocols += 1;
            self.answer_protocol_error(broken, desk);
        }
        self.keep_rest(desk, bytes, parser, shared, &served);
        if let Some(garbage) = node.keyspace.take_garbage() {
            thread.collect(garbage);
        }
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
        if node.bounds.clients_bytes_max != 0 {
            node.clients.count(&self.client);
            if node.clients.counted_bytes() > node.bounds.clients_bytes_max {
                node.evict_clients();
            }
        }
        sent
    }

    /// Puts away what was not executed, and gives the shared buffers back.
    fn keep_rest(
        &mut self,
        desk: &mut Desk,
        mut bytes: Vec<u8>,
        mut parser: Parser,
        shared: bool,
        served: &batch::Served,
    ) {
        let left = bytes.len() - served.executed_bytes;
        if served.stopped {
            // What is behind is parsed anew: the parser has already been further than the execution.
            parser = Parser::default();
        } else {
            parser.rebase();
        }
        let runnable = served.stopped;
        if shared {
            if left == 0 {
                desk.parser = parser;
            } else {
                let bytes = bytes[served.executed_bytes..].to_vec();
                self.rest = Some(Box::new(Rest { bytes, parser, runnable }));
            }
            desk.input = bytes;
        } else if left > 0 {
            if served.executed_bytes > 0 {
                bytes.drain(..served.executed_bytes);
                bytes.shrink_to(left.max(INPUT_BYTES));
            }
            self.rest = Some(Box::new(Rest { bytes, parser, runnable }));
        }
    }

    fn answer_protocol_error(&self, broken: &ProtocolError, desk: &mut Desk) {
        tracing::debug!(peer = %self.client.peer, error = %broken, "closing a client that broke the protocol");
        write::error(&mut desk.output, format!("ERR {broken}").as_bytes());
        self.client.decide(Fate::CloseAfterReply);
    }

    /// The bytes of the next turn: what is left over, or what the socket has.
    fn input(&mut self, context: &mut Context<'_>) -> Poll<Result<Input, End>> {
        match &self.rest {
            Some(rest) if rest.runnable => Poll::Ready(Ok(self.take_rest(Vec::new()))),
            Some(rest) if rest.bytes.len().saturating_add(rest.parser.missing()) > OWN_BUFFER_BYTES => {
                self.read_into_own_buffer(context)
            }
            _ => self.read_into_shared_buffer(context),
        }
    }

    /// Reads into the thread's buffer, behind the beginning of a request if one waits.
    fn read_into_shared_buffer(&mut self, context: &mut Context<'_>) -> Poll<Result<Input, End>> {
        if let Some(rest) = &self.rest {
            // Asked first, so that nothing is copied in vain.
            if ready!(self.stream.poll_read_ready(context)).is_err() {
                return Poll::Ready(Err(End::Gone));
            }
            let bytes = &mut self.thread.desk.borrow_mut().input;
            bytes.clear();
            bytes.extend_from_slice(&rest.bytes);
        } else {
            self.thread.desk.borrow_mut().input.clear();
        }
        let mut bytes = std::mem::take(&mut self.thread.desk.borrow_mut().input);
        bytes.reserve(INPUT_BYTES / 2);
        match read(&mut self.stream, &self.thread, context, &mut bytes) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(self.take_rest(bytes))),
            Poll::Ready(Err(end)) => {
                self.thread.desk.borrow_mut().input = bytes;
                Poll::Ready(Err(end))
            }
            Poll::Pending => {
                self.thread.desk.borrow_mut().input = bytes;
                Poll::Pending
            }
        }
    }

    /// Reads behind the beginning of a large request. The buffer grows by at most what has already come, whatever
    /// was announced.
    fn read_into_own_buffer(&mut self, context: &mut Context<'_>) -> Poll<Result<Input, End>> {
        let Some(rest) = &mut self.rest else { return self.read_into_shared_buffer(context) };
        if rest.bytes.capacity() - rest.bytes.len() < INPUT_BYTES / 2 {
            let doubled = rest.bytes.len().max(INPUT_BYTES);
            rest.bytes.reserve_exact(rest.parser.missing().clamp(INPUT_BYTES, doubled));
        }
        match ready!(read(&mut self.stream, &self.thread, context, &mut rest.bytes)) {
            Ok(()) => Poll::Ready(Ok(self.take_rest(Vec::new()))),
            Err(end) => Poll::Ready(Err(end)),
        }
    }

    /// What is to be executed now: `shared` if that holds bytes, else the connection's own buffer.
    fn take_rest(&mut self, shared: Vec<u8>) -> Input {
        let rest = self.rest.take();
        match (rest, shared.is_empty()) {
            (Some(rest), true) => Input { bytes: rest.bytes, parser: rest.parser, shared: false },
            (Some(rest), false) => Input { bytes: shared, parser: rest.parser, shared: true },
            (None, _) => {
                let parser = std::mem::take(&mut self.thread.desk.borrow_mut().parser);
                Input { bytes: shared, parser, shared: true }
            }
        }
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
