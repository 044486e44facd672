//! Small reads of many clients, executed together.
//!
//! A client that does not pipeline brings one request per read, and each would wait alone for the memory that holds
//! its key. So a connection with a small read only lays its bytes on the thread's desk and lets the others that are
//! awake read, too; behind the last of them this task runs: it looks all requests up, fetches their entries into the
//! caches together, and then executes and answers client by client, in the order in which they were read.
//!
//! Nothing waits for this: the task is queued behind the connections that are already awake, and a desk that is full
//! is worked off at once.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

use slotway_resp::{Parser, ProtocolError};

use crate::{
    call::Millis,
    client::Fate,
    connection::{
        Connection, Rest,
        batch::{self, Flow, Run},
    },
    desk::{Desk, GROUP},
    node::{self, Node},
    thread::Thread,
};

/// Clients in one wave: enough to hide memory behind, few enough for their replies not to wait for each other.
const CLIENTS_MAX: usize = 128;

/// The reads on the desk.
#[derive(Default)]
pub(crate) struct Wave {
    entries: Vec<Entry>,
    /// Wakes the task that runs them.
    waker: Option<Waker>,
}

/// One client's read: these bytes of the desk's input.
struct Entry {
    connection: Rc<RefCell<Connection>>,
    start: usize,
    end: usize,
}

/// How the last entry of a group ends.
enum Tail {
    /// With a whole request, as nearly always.
    Whole,
    /// In the middle of one.
    Partial,
    Broken(ProtocolError),
}

impl Wave {
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= CLIENTS_MAX
    }

    /// Adds the bytes from `start` to `end` of the desk's input.
    pub(super) fn push(&mut self, connection: &Rc<RefCell<Connection>>, start: usize, end: usize) {
        if let (true, Some(waker)) = (self.entries.is_empty(), &self.waker) {
            waker.wake_by_ref();
        }
        self.entries.push(Entry { connection: Rc::clone(connection), start, end });
    }
}

/// Runs every wave of a thread, until its owner aborts it.
pub(crate) async fn run_all(thread: Rc<Thread>) {
    poll_fn(|context| {
        thread.wave.borrow_mut().waker = Some(context.waker().clone());
        run(&thread);
        Poll::<()>::Pending
    })
    .await;
}

/// Executes and answers what lies on the desk.
pub(crate) fn run(thread: &Thread) {
    let mut entries = std::mem::take(&mut thread.wave.borrow_mut().entries);
    if entries.is_empty() {
        return;
    }
    let mut borrowed = (thread.node.borrow_mut(), thread.desk.borrow_mut());
    let (node, desk) = (&mut *borrowed.0, &mut *borrowed.1);
    let now = node::now();
    let bytes = std::mem::take(&mut desk.input);
    let mut parser = std::mem::take(&mut desk.parser);
    let (mut first, mut base) = (0, 0);
    while first < entries.len() {
        let rest = &entries[first..];
        let (count, tail) = find_group(node, desk, rest, &bytes[base..], base, &mut parser);
        batch::fetch(&node.keyspace, desk, &bytes[base..], &parser);
        let group = Group { entries: &rest[..count], base, bytes: &bytes[base..], parser: &parser, now };
        let whole = matches!(tail, Tail::Whole);
        group.run(node, desk, tail);
        first += count;
        if !whole {
            // The parser is in the middle of a request that has gone to its connection.
            parser = Parser::default();
            base = entries[first - 1].end;
        }
    }
    parser.rebase();
    desk.parser = parser;
    desk.input = bytes;
    desk.input.clear();
    if let Some(garbage) = node.keyspace.take_garbage() {
        thread.collect(garbage);
    }
    drop(borrowed);
    entries.clear();
    thread.wave.borrow_mut().entries = entries;
}

/// Finds and looks up the requests of the next entries, until they are a group or one of them does not end with a
/// whole request. Returns how many entries that are.
fn find_group(
    node: &Node,
    desk: &mut Desk,
    entries: &[Entry],
    bytes: &[u8],
    base: usize,
    parser: &mut Parser,
) -> (usize, Tail) {
    desk.group.clear();
    for (index, entry) in entries.iter().enumerate() {
        let connection = entry.connection.borrow();
        let bytes = &bytes[..entry.end - base];
        loop {
            match parser.next(bytes, &node.bounds.requests) {
                Ok(Some(at)) => desk.group.push(batch::look_up(&connection.client, parser, bytes, at)),
                Ok(None) if parser.consumed() == bytes.len() => break,
                Ok(None) => return (index + 1, Tail::Partial),
                Err(broken) => return (index + 1, Tail::Broken(broken)),
            }
        }
        if desk.group.len() >= GROUP {
            return (index + 1, Tail::Whole);
        }
    }
    (entries.len(), Tail::Whole)
}

/// Some entries whose requests are looked up.
struct Group<'a> {
    entries: &'a [Entry],
    /// Where `bytes` begins in the desk's input.
    base: usize,
    bytes: &'a [u8],
    parser: &'a Parser,
    now: Millis,
}

impl Group<'_> {
    /// Executes and answers, client by client.
    fn run(&self, node: &mut Node, desk: &mut Desk, tail: Tail) {
        let looked = std::mem::take(&mut desk.group);
        let mut requests = looked.iter().peekable();
        let mut run = Run { node, bytes: self.bytes, parser: self.parser, now: self.now, swapped: false };
        let mut tail = Some(tail);
        for (index, entry) in self.entries.iter().enumerate() {
            let connection = &mut *entry.connection.borrow_mut();
            desk.clear_output();
            let mut executed = entry.start;
            let mut flow = if connection.client.fate.get() == Fate::CloseNow { Flow::Stop } else { Flow::On };
            while let Some(looked) = requests.next_if(|looked| self.base + looked.at.end() <= entry.end) {
                if flow == Flow::On {
                    executed = self.base + looked.at.end();
                    flow = run.one(&connection.client, *looked, &desk.places, &mut desk.output);
                }
            }
            let is_last = index + 1 == self.entries.len();
            let tail = if is_last { tail.take().unwrap_or(Tail::Whole) } else { Tail::Whole };
            let broken = self.leave_rest(connection, entry, executed, flow, tail);
            connection.leave_wave(run.node, desk, broken, self.now);
        }
        desk.group = looked;
    }

    /// Gives the connection what was not executed.
    fn leave_rest(
        &self,
        connection: &mut Connection,
        entry: &Entry,
        executed: usize,
        flow: Flow,
        tail: Tail,
    ) -> Option<ProtocolError> {
        let start = match (flow, &tail) {
            (Flow::Stop, _) => executed,
            (Flow::On, Tail::Whole) => entry.end,
            (Flow::On, Tail::Partial | Tail::Broken(_)) => self.base + self.parser.consumed(),
        };
        let bytes = &self.bytes[start - self.base..entry.end - self.base];
        if !bytes.is_empty() {
            let runnable = flow == Flow::Stop;
            let rest = Rest { bytes: bytes.to_vec(), parser: Parser::default(), runnable };
            connection.rest = Some(Box::new(rest));
        }
        match tail {
            // Before a stop it is too early for it; it is found again.
            Tail::Broken(broken) if flow == Flow::On => Some(broken),
            _ => None,
        }
    }
}
