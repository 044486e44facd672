//! A large reply is passed on as it arrives.
//!
//! The link keeps nothing of it, and it is never paused for it: a client that does not take its reply has it buffered up to
//! its output limit and is then cut, like one that asks too much. Of a transaction only the reply of EXEC is passed on, of a
//! request whose time was up nothing: the rest is read and dropped. Errors are always passed on whole, because what they
//! say may not be for clients.

use slotway_resp::Scanner;

use crate::{
    client::Fate,
    lane::LONG_BYTES_MIN,
    link::{
        Link,
        answer::Mistrust,
        unit::{Unit, Verdict},
    },
    thread::Thread,
};

/// Stands for a large reply before it is judged: no error, and nothing that a node says of its own state.
const LARGE: &[u8] = b"$";

/// What is known of the reply that is arriving.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arriving {
    /// When the last of its bytes came. Thread clock, microseconds.
    pub(super) last_us: u64,
    /// So many bytes have come.
    bytes: usize,
}

impl Link {
    /// A reply has come in part and was handed on.
    pub(super) fn is_arriving(&self) -> bool {
        self.arriving.get().is_some()
    }

    /// What is sent now has to wait for the rest of a long reply.
    pub(crate) fn is_long(&self) -> bool {
        self.arriving.get().is_some_and(|arriving| arriving.bytes >= LONG_BYTES_MIN)
    }

    /// `bytes` are all there is, not the whole, of a reply: passes them on if it is a large one. How many it took.
    pub(super) fn begin_arrival(
        &self,
        thread: &Thread,
        scanner: &mut Scanner,
        bytes: &[u8],
    ) -> (usize, Result<(), Mistrust>) {
        let large = bytes.len().saturating_add(scanner.missing()) > thread.limits().reply_bytes_max;
        // Errors, pushes and what attributes stand before is judged as a whole; all else that can be large begins so.
        let known = matches!(bytes.first(), Some(b'$' | b'*' | b'%' | b'~' | b'='));
        if !large || !known {
            return (0, Ok(()));
        }
        let mut flight = self.flight.borrow_mut();
        let Some(waiter) = flight.oldest() else { return (0, Err(Mistrust::Unasked)) };
        if !waiter.special.as_ref().is_none_or(|special| special.takes_pieces()) {
            return (0, Ok(()));
        }
        drop(flight);
        self.go_on_arriving(thread, scanner, bytes)
    }

    /// More of it has come, not the rest. How many of the bytes were taken.
    pub(super) fn go_on_arriving(
        &self,
        thread: &Thread,
        scanner: &mut Scanner,
        bytes: &[u8],
    ) -> (usize, Result<(), Mistrust>) {
        let passed = scanner.passed();
        if passed == 0 {
            return (0, Ok(()));
        }
        scanner.advance(passed);
        (passed, self.hand_on(thread, &bytes[..passed]))
    }

    fn hand_on(&self, thread: &Thread, piece: &[u8]) -> Result<(), Mistrust> {
        let mut flight = self.flight.borrow_mut();
        let waiter = flight.oldest().ok_or(Mistrust::Unasked)?;
        let before = self.arriving.get().map_or(0, |arriving| arriving.bytes);
        let bytes = before.saturating_add(piece.len());
        self.arriving.set(Some(Arriving { last_us: thread.now_us(), bytes }));
        if !waiter.unit().is_none_or(Unit::passes_on) {
            return Ok(());
        }
        let Some(client) = &waiter.client else { return Ok(()) };
        if client.fate.get() == Fate::CloseNow {
            return Ok(());
        }
        if bytes >= LONG_BYTES_MIN {
            client.reads_long();
        }
        let mut replies = client.replies.borrow_mut();
        thread.lend(replies.output());
        match waiter.part {
            None => replies.deliver_piece(waiter.ticket, piece),
            Some(part) => replies.deliver_piece_of_part(waiter.ticket, part, piece),
        }
        drop(replies);
        thread.turn.mark_client(client);
        Ok(())
    }

    /// The rest of it has come.
    pub(super) fn arrived(&self, thread: &Thread, rest: &[u8]) -> Result<(), Mistrust> {
        let mut flight = self.flight.borrow_mut();
        let special = flight.oldest().and_then(|waiter| waiter.special.as_mut());
        match special.map_or(Verdict::Pass, |special| special.reply(LARGE, self.speaker())) {
            Verdict::More => {
                self.arriving.set(None);
                Ok(())
            }
            Verdict::Pass => {
                // If its request has not left whole, its client has a reply that must not be followed by another.
                let waiter = flight.answered().ok_or(Mistrust::Unasked)?;
                self.arriving.set(None);
                let us = thread.now_us().saturating_sub(waiter.since_us);
                thread.counters.backend(waiter.command.id, false, us);
                drop(flight);
                waiter.finish(thread, rest);
                Ok(())
            }
            verdict => {
                self.arriving.set(None);
                drop(flight);
                self.judged(thread, verdict, LARGE)
            }
        }
    }
}
