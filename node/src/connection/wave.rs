//! Small reads of many clients, executed and answered together.
//!
//! A client that does not pipeline brings one request per read. Executed alone it would wait alone for the memory that
//! holds its key, and its reply would wake a sleeping client program that could have found many at once. So a connection
//! with a small read only lays its bytes on the thread's desk and lets the others that are awake read, too; behind the
//! last of them this task runs. It takes groups of clients, in the order in which they were read: looks all of a group's
//! requests up, fetches their entries into the caches, executes them client by client, and then writes the replies.
//!
//! Nothing waits for this: the task is queued behind the connections that are already awake, and a desk that is full
//! is worked off at once.
//!
//! Nothing is forgotten in it. While a connection is in a wave its task only notes that it was woken. When it leaves,
//! the task is woken if that was noted, or if the wave left something to do: requests that were not run, replies that
//! the socket did not take, the connection's end. What a command decides about another client wakes that client's task
//! itself ([`crate::client::Client::decide`]).

use std::{
    cell::RefCell,
    future::poll_fn,
    ops::Range,
    rc::Rc,
    task::{Poll, Waker},
};

use slotway_resp::{Parser, ProtocolError};

use crate::{
    call::Millis,
    client::Fate,
    connection::{
        Connection, Place, TURN_OUTPUT_BYTES,
        batch::{self, Flow, Run},
        input::Rest,
    },
    desk::{Desk, GROUP, Looked},
    feed::Position,
    node::{self, Node},
    output::AT_ONCE,
    thread::Thread,
    timing,
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

/// One client's read.
struct Entry {
    connection: Rc<RefCell<Connection>>,
    /// These bytes of the desk's input.
    read: Range<usize>,
    /// Up to here there are whole requests.
    whole_until: usize,
    /// What follows is no request.
    broken: Option<ProtocolError>,
    /// How its last request left the client.
    flow: Flow,
    /// Up to here it is done with.
    executed_until: usize,
    /// These bytes of the desk's output, and what they tell of.
    replies: Range<usize>,
    told_from: Position,
}

impl Wave {
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= CLIENTS_MAX
    }

    /// Adds what a connection has read: these bytes of the desk's input.
    pub(super) fn push(&mut self, connection: &Rc<RefCell<Connection>>, read: Range<usize>) {
        if let (true, Some(waker)) = (self.entries.is_empty(), &self.waker) {
            waker.wake_by_ref();
        }
        self.entries.push(Entry {
            connection: Rc::clone(connection),
            whole_until: read.start,
            executed_until: read.start,
            broken: None,
            flow: Flow::On,
            replies: 0..0,
            told_from: AT_ONCE,
            read,
        });
    }
}

/// Runs every wave of a thread, until its owner aborts it.
pub(crate) async fn run_all(thread: Rc<Thread>) {
    poll_fn(|context| {
        // A task's waker is always the same.
        thread.wave.borrow_mut().waker.get_or_insert_with(|| context.waker().clone());
        run_now(&thread);
        Poll::<()>::Pending
    })
    .await;
}

/// Executes and answers what lies on the desk.
pub(super) fn run_now(thread: &Thread) {
    let mut bytes = std::mem::take(&mut thread.desk.borrow_mut().input);
    run(thread, &bytes);
    bytes.clear();
    thread.desk.borrow_mut().input = bytes;
}

/// As [`run_now`], when the desk's input has been taken from it: these are its bytes.
pub(super) fn run(thread: &Thread, bytes: &[u8]) {
    let mut entries = std::mem::take(&mut thread.wave.borrow_mut().entries);
    if entries.is_empty() {
        return;
    }
    let mut borrowed = (thread.node.borrow_mut(), thread.desk.borrow_mut());
    let (node, desk) = (&mut *borrowed.0, &mut *borrowed.1);
    let mut parser = std::mem::take(&mut desk.parser);
    let mut waiting = &mut entries[..];
    while !waiting.is_empty() {
        let count = find_group(node, desk, waiting, bytes, &mut parser);
        let (group, behind) = waiting.split_at_mut(count);
        batch::fetch(&node.keyspace, desk, bytes, &parser);
        run_group(node, desk, group, bytes, &parser);
        waiting = behind;
    }
    parser.rebase();
    desk.parser = parser;
    thread.end_turn(node);
    drop(borrowed);
    entries.clear();
    thread.wave.borrow_mut().entries = entries;
}

/// Finds and looks up the requests of the next entries, until they are a group. Returns how many entries that are.
fn find_group(
    node: &Node,
    desk: &mut Desk,
    entries: &mut [Entry],
    bytes: &[u8],
    parser: &mut Parser,
) -> usize {
    desk.group.clear();
    let mut count = 0;
    for entry in entries {
        let client = &entry.connection.borrow().client;
        let limits = node.bounds.requests_of(client.standing.get());
        let bytes = &bytes[..entry.read.end];
        // Nearly every read ends with a whole request: then the parser need not be asked whether there is more.
        while parser.consumed() < entry.read.end {
            match parser.next(bytes, &limits) {
                Ok(Some(at)) => desk.group.push(batch::look_up(client, parser, bytes, at)),
                Ok(None) => break,
                Err(broken) => {
                    entry.broken = Some(broken);
                    break;
                }
            }
        }
        entry.whole_until = parser.consumed();
        if entry.whole_until < entry.read.end {
            parser.skip_to(entry.read.end);
        }
        count += 1;
        if desk.group.len() >= GROUP {
            break;
        }
    }
    count
}

/// Executes a group and answers it; in parts, if there are many bytes of replies.
fn run_group(node: &mut Node, desk: &mut Desk, mut entries: &mut [Entry], bytes: &[u8], parser: &Parser) {
    let group = std::mem::take(&mut desk.group);
    let mut requests = &group[..];
    let mut moved = false;
    while !entries.is_empty() {
        // A turn that was cut short may have left replies to another client.
        desk.clear_output();
        node.splices.clear();
        let Desk { places, output, .. } = desk;
        let now = node::now();
        node.look_at_lease();
        timing::begin_group(node, requests.len());
        let mut run = Run { node, bytes, parser, places, now, moved };
        let mut count = 0;
        for entry in &mut *entries {
            let own = requests.iter().take_while(|looked| looked.at.end() <= entry.read.end).count();
            let (own, behind) = requests.split_at(own);
            entry.execute(&mut run, own, output);
            requests = behind;
            count += 1;
            if output.len() >= TURN_OUTPUT_BYTES {
                break;
            }
        }
        moved = run.moved;
        let now = run.now;
        timing::end_group(node, now);
        let (executed, behind) = entries.split_at_mut(count);
        for entry in executed {
            entry.leave(node, output, bytes, now);
        }
        entries = behind;
    }
    desk.group = group;
}

impl Entry {
    /// Runs its requests.
    fn execute(&mut self, run: &mut Run<'_>, requests: &[Looked], output: &mut Vec<u8>) {
        let connection = self.connection.borrow();
        let client = &connection.client;
        client.active.set(run.now);
        run.node.gate.begin();
        let first_reply = output.len();
        // Another client of the wave may have ended this one.
        self.flow = if client.fate.get() == Fate::CloseNow { Flow::Stop } else { Flow::On };
        for looked in requests {
            if self.flow != Flow::On {
                break;
            }
            self.flow = run.one(client, *looked, output, first_reply);
            if self.flow != Flow::Wait {
                self.executed_until = looked.at.end();
            }
        }
        match (&self.broken, self.flow) {
            (_, Flow::Stop | Flow::Wait) => {}
            (None, Flow::On) => self.executed_until = self.whole_until,
            (Some(broken), Flow::On) => {
                connection.answer_protocol_error(run.node, broken, output);
                self.executed_until = self.read.end;
            }
        }
        self.replies = first_reply..output.len();
        self.told_from = run.node.told_from();
    }

    /// Gives the connection what was not executed, answers what was, and has the task look after what is left to do.
    fn leave(&self, node: &mut Node, output: &mut Vec<u8>, bytes: &[u8], now: Millis) {
        let connection = &mut *self.connection.borrow_mut();
        let left = &bytes[self.executed_until..self.read.end];
        let runnable = self.flow != Flow::On && !left.is_empty();
        if !left.is_empty() {
            let rest = Rest { bytes: left.to_vec(), parser: Parser::default(), runnable };
            connection.rest = Some(Box::new(rest));
        }
        let woken = matches!(connection.place, Place::InWave { woken: true });
        let replies = (self.replies.clone(), self.told_from);
        connection.place = match connection.conclude(node, output, replies, now) {
            Ok(()) => Place::Own,
            Err(end) => Place::Ended(end),
        };
        let has_ended = matches!(connection.place, Place::Ended(_));
        if woken || runnable || has_ended || connection.output.is_ready(node.gate.released()) {
            connection.client.wake();
        }
    }
}
