//! A reply has come: who is told what.

use crate::{
    errors::{self, INDETERMINATE, Speaker},
    link::{
        Link, Tenancy,
        unit::{Unit, Verdict},
        waiter::Waiter,
    },
    thread::Thread,
};

/// Why a connection is given up that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistrust {
    /// The node sent a reply that nobody asked for.
    Unasked,
    /// The node may have an open MULTI or watched keys of a transaction that is over for its client.
    Leftovers,
}

impl Mistrust {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Mistrust::Unasked => "a reply that nobody asked for",
            Mistrust::Leftovers => "it may remember a transaction that did not run",
        }
    }
}

impl Link {
    /// One whole reply came. Err: nobody waits for such a one.
    pub(super) fn reply(&self, thread: &Thread, reply: &[u8]) -> Result<(), Mistrust> {
        let error = matches!(reply.first(), Some(b'-' | b'!'));
        if error && errors::inner(reply, self.speaker()).is_some() {
            return self.reply_to_special(thread, reply);
        }
        let answered = self.flight.borrow_mut().answered_if(|waiter| waiter.special.is_none());
        let Some(waiter) = answered else { return self.reply_to_special(thread, reply) };
        thread.counters.backend(waiter.command.id, error, thread.now_us().saturating_sub(waiter.since_us));
        waiter.hand_over(thread, reply);
        Ok(())
    }

    /// It says how the cluster stands, or the oldest waiter waits for more than one reply or looks for its way, or there is
    /// none.
    #[cold]
    fn reply_to_special(&self, thread: &Thread, reply: &[u8]) -> Result<(), Mistrust> {
        let mut flight = self.flight.borrow_mut();
        let Some(special) = &mut flight.oldest().ok_or(Mistrust::Unasked)?.special else {
            drop(flight);
            return self.astray(thread, reply);
        };
        let verdict = special.reply(reply, self.speaker());
        let told = special.unit.as_ref().and_then(Unit::refused);
        drop(flight);
        match (verdict, told) {
            (Verdict::More, _) => Ok(()),
            (Verdict::Inner(line), None) => self.astray(thread, &line),
            (Verdict::Inner(line), Some(text)) => self.refused(thread, &line, text, reply),
            (verdict, _) => self.judged(thread, verdict, reply),
        }
    }

    /// The node did not run the oldest request, because of how the cluster stands: it looks for its way.
    fn astray(&self, thread: &Thread, line: &[u8]) -> Result<(), Mistrust> {
        let (waiter, bytes) = self.flight.borrow_mut().answered_astray().ok_or(Mistrust::Unasked)?;
        count(thread, &waiter, line);
        thread.follow.strayed(thread, self, waiter, bytes, line);
        Ok(())
    }

    /// As [`Link::astray`], for what means nothing anywhere else: `text` is told. `reply` came last.
    fn refused(&self, thread: &Thread, line: &[u8], text: &[u8], reply: &[u8]) -> Result<(), Mistrust> {
        let waiter = self.flight.borrow_mut().answered().ok_or(Mistrust::Unasked)?;
        count(thread, &waiter, line);
        let is_watch = matches!(waiter.unit(), Some(Unit::Watch(_)));
        waiter.refuse(thread, text);
        if is_watch {
            // Nothing is watched, and EXEC will not run.
            self.losses.set(self.losses.get().wrapping_add(1));
            return Ok(());
        }
        if ends_transaction(reply) { Ok(()) } else { Err(Mistrust::Leftovers) }
    }

    /// The last reply of what is more than one request came, or of what was sent behind one that looks for its way.
    pub(super) fn judged(&self, thread: &Thread, verdict: Verdict, reply: &[u8]) -> Result<(), Mistrust> {
        let waiter = self.flight.borrow_mut().answered();
        let (waiter, verdict) = match waiter {
            Some(waiter) => (waiter, verdict),
            None => (self.cut_short().ok_or(Mistrust::Unasked)?, Verdict::Early),
        };
        let error = verdict != Verdict::Pass || matches!(reply.first(), Some(b'-' | b'!'));
        if waiter.client.is_some() {
            let us = thread.now_us().saturating_sub(waiter.since_us);
            thread.counters.backend(waiter.command.id, error, us);
        }
        // A transaction that the node did not take as one may have left it with an open MULTI or with watched keys.
        let unsure = self.tenancy == Tenancy::Leased && matches!(waiter.unit(), Some(Unit::Piece { .. }));
        match verdict {
            Verdict::Tell(text) => {
                thread.counters.indeterminate.add(u64::from(text == INDETERMINATE));
                waiter.tell(thread, &text);
                let over = text != INDETERMINATE && ends_transaction(reply);
                if unsure && !over { Err(Mistrust::Leftovers) } else { Ok(()) }
            }
            Verdict::Broken => {
                thread.counters.indeterminate.add(u64::from(waiter.client.is_some()));
                waiter.tell(thread, INDETERMINATE);
                Err(Mistrust::Unasked)
            }
            Verdict::Pass if matches!(waiter.unit(), Some(Unit::Upload(_) | Unit::Waiting(_))) => {
                self.passed(thread, waiter, reply);
                Ok(())
            }
            Verdict::Pass if waiter.is_inquiry() => {
                waiter.found(thread, self);
                Ok(())
            }
            Verdict::Early => {
                self.passed(thread, waiter, reply);
                Err(Mistrust::Unasked)
            }
            Verdict::Pass | Verdict::More | Verdict::Drop | Verdict::Inner(_) => {
                waiter.tell(thread, reply);
                Ok(())
            }
        }
    }
}

impl Link {
    /// The node answered a request that streamed, or WAIT: it does not look for its way.
    fn passed(&self, thread: &Thread, waiter: Waiter, reply: &[u8]) {
        if errors::inner(reply, self.speaker()).is_none() {
            return waiter.tell(thread, reply);
        }
        count(thread, &waiter, reply);
        waiter.refuse(thread, &errors::no_primary(self.shard.get(), 0));
    }
}

/// With this answer to EXEC a node has run nothing and forgets what was queued and what was watched: the connection is as new.
/// After another error it may not be.
fn ends_transaction(reply: &[u8]) -> bool {
    reply.starts_with(b"-EXECABORT ")
}

/// A node said that the cluster is not as the proxy thought.
fn count(thread: &Thread, waiter: &Waiter, line: &[u8]) {
    if let Some(kind) = errors::inner(line, Speaker::Member) {
        thread.counters.redirects[kind].add(1);
    }
    let us = thread.now_us().saturating_sub(waiter.since_us);
    thread.counters.backend(waiter.command.id, true, us);
    thread.shared.stale.notify_one();
}
