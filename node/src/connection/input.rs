//! Where a connection's next bytes come from, and where they go: what is left over from the last turn first, then what
//! the socket has.
//!
//! The socket is read into the thread's shared buffer, behind the small reads that already wait there for their wave.
//! Only the beginning of a large request has a buffer of its own, which grows by at most what has already come, whatever
//! was announced.

use std::{
    cell::RefCell,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use slotway_resp::Parser;
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::{
    Connection, End, Place, Step,
    batch::{self, Flow},
    wave,
};
use crate::{
    call::Millis,
    client::{Fate, Standing},
    desk::{Desk, INPUT_BYTES},
    node::{self, Node},
    thread::Thread,
};

/// An unfinished request of more than this has a buffer of its own; a smaller one is copied back into the shared
/// one, where more requests can follow it.
const OWN_BUFFER_BYTES: usize = INPUT_BYTES / 2;
/// A read of at most this is small: it brings less than a group of ordinary requests and waits for others in the wave.
const SMALL_READ_BYTES: usize = 2048;
/// Room that a read finds at least.
const READ_ROOM_BYTES: usize = INPUT_BYTES / 2;

/// Room that a read behind a waiting request finds at least: most clients send nothing there.
const READ_AHEAD_BYTES: usize = 256;

/// What has arrived and is not executed yet.
pub(super) struct Rest {
    pub(super) bytes: Vec<u8>,
    pub(super) parser: Parser,
    /// Whole requests are among it: go on without reading.
    pub(super) runnable: bool,
}

impl Connection {
    /// Pending: there is nothing to execute, and the task is woken when there is.
    pub(super) fn read_and_execute(
        &mut self,
        me: &Rc<RefCell<Connection>>,
        thread: &Thread,
        context: &mut Context<'_>,
    ) -> Poll<Result<Step, End>> {
        match self.rest.take() {
            Some(rest) if rest.runnable => Poll::Ready(self.execute_own(thread, *rest)),
            Some(rest) if rest.bytes.len().saturating_add(rest.parser.missing()) > OWN_BUFFER_BYTES => {
                self.read_into_own_buffer(thread, context, rest)
            }
            rest => self.read_into_shared_buffer(me, thread, context, rest),
        }
    }

    /// Reads what comes behind a request that waits, so that a client that has gone is seen to have gone.
    pub(super) fn read_ahead(&mut self, thread: &Thread, context: &mut Context<'_>) -> Result<Step, End> {
        let Some(rest) = &mut self.rest else { return Ok(Step::Sleep) };
        loop {
            rest.bytes.reserve(READ_AHEAD_BYTES);
            match read(&mut self.stream, thread, context, &mut rest.bytes) {
                Poll::Pending => break,
                Poll::Ready(read) => read?,
            }
            let node = &mut *thread.node.borrow_mut();
            if rest.bytes.len() > node.bounds.input_bytes_max {
                node.statistics.cut_for_input += 1;
                return Err(End::InputLimit);
            }
        }
        self.client.input_bytes.set(rest.bytes.len());
        Ok(Step::Sleep)
    }

    /// Reads behind the beginning of a large request.
    fn read_into_own_buffer(
        &mut self,
        thread: &Thread,
        context: &mut Context<'_>,
        mut rest: Box<Rest>,
    ) -> Poll<Result<Step, End>> {
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
    ) -> Poll<Result<Step, End>> {
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
        let is_full = thread.desk.borrow().input.len() > INPUT_BYTES - READ_ROOM_BYTES;
        if is_full || thread.wave.borrow().is_full() {
            wave::run_now(thread);
        }
        let mut bytes = std::mem::take(&mut thread.desk.borrow_mut().input);
        let start = bytes.len();
        if let Some(rest) = &rest {
            bytes.extend_from_slice(&rest.bytes);
        }
        bytes.reserve(READ_ROOM_BYTES);
        match read(&mut self.stream, thread, context, &mut bytes) {
            Poll::Ready(Ok(())) if rest.is_none() && self.may_join_wave(bytes.len() - start) => {
                thread.wave.borrow_mut().push(me, start..bytes.len());
                thread.desk.borrow_mut().input = bytes;
                // Behind the wave the task is woken only if there is a reason; so it leaves word here.
                let woken = self.stream.poll_read_ready(context).is_ready();
                self.place = Place::InWave { woken };
                Poll::Ready(Ok(Step::Sleep))
            }
            Poll::Ready(Ok(())) => Poll::Ready(self.execute_shared(thread, bytes, start, rest)),
            unread => {
                bytes.truncate(start);
                thread.desk.borrow_mut().input = bytes;
                self.rest = rest;
                unread.map_ok(|()| Step::Worked)
            }
        }
    }

    /// Whether what was read is small and nothing about the client asks for a turn of its own: what a stranger may
    /// send, for one, changes with its AUTH.
    fn may_join_wave(&self, len: usize) -> bool {
        len <= SMALL_READ_BYTES
            && self.output.is_empty()
            && self.client.fate.get() == Fate::Open
            && self.client.standing.get() != Standing::Stranger
    }

    /// Executes what was read into the thread's buffer from `start` on; before it, what waits there.
    fn execute_shared(
        &mut self,
        thread: &Thread,
        mut bytes: Vec<u8>,
        start: usize,
        rest: Option<Box<Rest>>,
    ) -> Result<Step, End> {
        wave::run(thread, &bytes[..start]);
        let node = &mut *thread.node.borrow_mut();
        let desk = &mut *thread.desk.borrow_mut();
        let mut parser = rest.map_or_else(|| std::mem::take(&mut desk.parser), |rest| rest.parser);
        let served = self.execute(node, desk, &bytes[start..], &mut parser);
        let left = &bytes[start + served.executed_bytes..];
        if left.is_empty() {
            desk.parser = parser;
        } else {
            let runnable = served.flow != Flow::On;
            self.rest = Some(Box::new(Rest { bytes: left.to_vec(), parser, runnable }));
        }
        bytes.clear();
        desk.input = bytes;
        self.end_turn(thread, node, desk, served.now)
    }

    /// Executes what is in a buffer of the connection's own. A long string that is nearly all of it keeps the buffer.
    fn execute_own(&mut self, thread: &Thread, rest: Rest) -> Result<Step, End> {
        let node = &mut *thread.node.borrow_mut();
        let desk = &mut *thread.desk.borrow_mut();
        let Rest { bytes, mut parser, .. } = rest;
        let buffer = Arc::new(bytes);
        node.keyspace.lend(Some(&buffer));
        let served = self.execute(node, desk, &buffer, &mut parser);
        node.keyspace.lend(None);
        if served.executed_bytes < buffer.len() {
            let bytes = left_of(buffer, served.executed_bytes);
            self.rest = Some(Box::new(Rest { bytes, parser, runnable: served.flow != Flow::On }));
        }
        self.end_turn(thread, node, desk, served.now)
    }

    /// Executes the requests of a turn. The parser is left ready for what was not executed.
    fn execute(&self, node: &mut Node, desk: &mut Desk, bytes: &[u8], parser: &mut Parser) -> batch::Served {
        // A turn that was cut short may have left replies to another client.
        desk.clear_output();
        node.splices.clear();
        let now = node::now();
        self.client.active.set(now);
        node.gate.begin();
        node.look_at_lease();
        let served = batch::serve(node, &self.client, desk, bytes, parser, now);
        match served.flow {
            Flow::On => parser.rebase(),
            // What is behind is parsed anew: the parser has already been further than the execution.
            Flow::Stop | Flow::Wait => *parser = Parser::default(),
        }
        if let Some(broken) = &served.broken {
            self.answer_protocol_error(node, broken, &mut desk.output);
        }
        served
    }

    /// What was executed alone is answered alone.
    fn end_turn(
        &mut self,
        thread: &Thread,
        node: &mut Node,
        desk: &mut Desk,
        now: Millis,
    ) -> Result<Step, End> {
        thread.end_turn(node);
        let replies = 0..desk.output.len();
        let told_from = node.told_from();
        self.conclude(node, &mut desk.output, (replies, told_from), now)?;
        Ok(Step::Worked)
    }
}

/// What a buffer holds from `start` on, in the same buffer if nobody keeps that.
fn left_of(buffer: Arc<Vec<u8>>, start: usize) -> Vec<u8> {
    match Arc::try_unwrap(buffer) {
        Ok(bytes) if start == 0 => bytes,
        Ok(mut bytes) => {
            bytes.drain(..start);
            bytes.shrink_to(bytes.len().max(INPUT_BYTES));
            bytes
        }
        Err(kept) => kept[start..].to_vec(),
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
