//! A request that streams over a leased link: taken on with its first words, fed as it comes, complete at its end.
//!
//! It stands in the flight like any other request, but what was sent of it is not kept: it cannot be sent again. So a
//! broken link fails it, and what its client is told depends on whether the node can have run it, which takes the last
//! byte: without that it was not executed, whatever the command.

use std::{cell::RefMut, rc::Rc};

use slotway_commands::{Command, Id};

use crate::{
    client::{Client, inquiry::Inquiry},
    follow,
    link::{
        Errand, Link,
        flight::Flight,
        unit::{Asking, Stream, Unit},
        waiter::{Special, Waiter},
    },
    replies::Ticket,
    thread::Thread,
};

/// So much is handed to the socket at once, not at the end of the turn.
const FLUSHED_BYTES_MIN: usize = 64 * 1024;

impl Link {
    /// Err: the line for a client whose large request must not even begin, because the node has been away or silent for
    /// longer than requests are held.
    pub(crate) fn is_worth_waiting_for(&self, thread: &Thread) -> Result<(), Vec<u8>> {
        self.room(thread, thread.now_us()).map(|_| ())
    }

    /// Sends a small read that finds out where a large request belongs. Err: it was not taken on, and why.
    pub(crate) fn inquire(
        self: &Rc<Self>,
        thread: &Thread,
        client: &Rc<Client>,
        inquiry: Rc<Inquiry>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Vec<u8>> {
        let command = Command::row(Id::Exists);
        let errand = Errand { client, command, ticket: Ticket::default(), part: None };
        self.push(thread, errand.waiter(thread, Some(Special::of(Unit::Inquiry(inquiry)))), write)
    }

    /// Takes on a request with its first words; nothing else is on the link. Err: it was not taken on, and why.
    pub(crate) fn begin_upload(
        self: &Rc<Self>,
        thread: &Thread,
        errand: Errand<'_>,
        stream: Stream,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Vec<u8>> {
        let asking = stream.asking == Asking::Due;
        let waiter = errand.waiter(thread, Some(Special::of(Unit::Upload(stream))));
        self.push(thread, waiter, |out| {
            if asking {
                out.extend_from_slice(follow::ASKING);
            }
            write(out);
        })
    }

    /// Adds what `write` appends.
    pub(crate) fn feed<R>(self: &Rc<Self>, thread: &Thread, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut flight = self.flight.borrow_mut();
        let (moved, outcome) = flight.extend(write);
        if moved && let Some(waiter) = flight.oldest() {
            // The deadline counts from when something last moved.
            waiter.since_us = thread.now_us();
        }
        let unsent = flight.unsent().len();
        drop(flight);
        if unsent >= FLUSHED_BYTES_MIN {
            self.flush(thread);
        }
        thread.turn.mark_link(self);
        outcome
    }

    /// The oldest request, if it streams and has not left whole: the node has answered it all the same.
    pub(super) fn cut_short(&self) -> Option<Waiter> {
        let mut flight = self.flight.borrow_mut();
        let streams = matches!(flight.oldest()?.unit(), Some(Unit::Upload(_)));
        if streams { flight.cut_short() } else { None }
    }

    /// Bytes that the socket has not taken.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.flight.borrow().unsent().len()
    }

    /// Its client is gone, or wants no answer: closes the connection, on which the node has half a request, or waits.
    pub(crate) fn abandon(&self) {
        if !self.is_connected() {
            // No node has seen any of it, and none will: the next connection must not begin with half a request.
            self.flight.borrow_mut().withdraw(|_| true);
        }
        for (_, waiter) in self.flight.borrow_mut().iter_mut() {
            waiter.client = None;
        }
        self.close();
    }

    /// There is a connection: what is fed leaves, now or soon.
    pub(crate) fn is_connected(&self) -> bool {
        self.writer.borrow().is_some()
    }

    /// The socket takes bytes again: who feeds it may go on.
    pub(super) fn mark_feeder(&self, thread: &Thread) {
        for (_, waiter) in self.flight.borrow_mut().iter_mut() {
            if let (Some(Unit::Upload(_)), Some(client)) = (waiter.unit(), &waiter.client) {
                thread.turn.mark_client(client);
            }
        }
    }

    /// Before its fate is decided: bytes that have not left do not count as sent.
    pub(super) fn recall_unsent(flight: &mut RefMut<'_, Flight<Waiter>>) {
        let all_sent = flight.unsent().is_empty();
        for (_, waiter) in flight.iter_mut().filter(|_| !all_sent) {
            if let Some(Unit::Upload(stream)) = waiter.unit() {
                stream.whole.set(false);
            }
        }
    }
}

impl Waiter {
    /// It streams, and all that its client has sent of it has left. From a client that is gone nothing comes.
    pub(super) fn waits_for_client(&self, all_sent: bool) -> bool {
        self.client.is_some()
            && matches!(self.unit(), Some(Unit::Upload(stream)) if all_sent && !stream.whole.get())
    }
}
