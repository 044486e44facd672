//! A reply has come: who is told what.

use crate::{
    errors::{self, INDETERMINATE},
    link::{
        Link, Tenancy,
        unit::{Unit, Verdict},
        waiter::Waiter,
    },
    thread::Thread,
};

/// The node sent a reply that nobody asked for.
#[derive(Debug)]
pub(super) struct UnaskedReply;

impl Link {
    /// One whole reply came. Err: nobody waits for such a one.
    pub(super) fn reply(&self, thread: &Thread, reply: &[u8]) -> Result<(), UnaskedReply> {
        let error = matches!(reply.first(), Some(b'-' | b'!'));
        if error && errors::inner(reply).is_some() {
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
    fn reply_to_special(&self, thread: &Thread, reply: &[u8]) -> Result<(), UnaskedReply> {
        let mut flight = self.flight.borrow_mut();
        let Some(special) = &mut flight.oldest().ok_or(UnaskedReply)?.special else {
            drop(flight);
            return self.astray(thread, reply);
        };
        let verdict = special.reply(reply);
        let told = special.unit.as_ref().and_then(Unit::refused);
        drop(flight);
        match (verdict, told) {
            (Verdict::More, _) => Ok(()),
            (Verdict::Inner(line), None) => self.astray(thread, &line),
            (Verdict::Inner(line), Some(text)) => self.refused(thread, &line, text),
            (verdict, _) => self.judged(thread, verdict, reply),
        }
    }

    /// The node did not run the oldest request, because of how the cluster stands: it looks for its way.
    fn astray(&self, thread: &Thread, line: &[u8]) -> Result<(), UnaskedReply> {
        let (waiter, bytes) = self.flight.borrow_mut().answered_astray().ok_or(UnaskedReply)?;
        count(thread, &waiter, line);
        thread.follow.strayed(thread, self, waiter, bytes, line);
        Ok(())
    }

    /// As [`Link::astray`], for what means nothing anywhere else: `text` is told.
    fn refused(&self, thread: &Thread, line: &[u8], text: &[u8]) -> Result<(), UnaskedReply> {
        let waiter = self.flight.borrow_mut().answered().ok_or(UnaskedReply)?;
        count(thread, &waiter, line);
        let is_watch = matches!(waiter.unit(), Some(Unit::Watch(_)));
        waiter.refuse(thread, text);
        if is_watch {
            // Nothing is watched, and EXEC will not run.
            self.losses.set(self.losses.get().wrapping_add(1));
            return Ok(());
        }
        // It may have left the node with an open MULTI or with watched keys.
        Err(UnaskedReply)
    }

    /// The last reply of what is more than one request came, or of what was sent behind one that looks for its way.
    pub(super) fn judged(&self, thread: &Thread, verdict: Verdict, reply: &[u8]) -> Result<(), UnaskedReply> {
        let waiter = self.flight.borrow_mut().answered();
        let (waiter, verdict) = match waiter {
            Some(waiter) => (waiter, verdict),
            None => (self.cut_short().ok_or(UnaskedReply)?, Verdict::Early),
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
                if unsure { Err(UnaskedReply) } else { Ok(()) }
            }
            Verdict::Broken => {
                thread.counters.indeterminate.add(u64::from(waiter.client.is_some()));
                waiter.tell(thread, INDETERMINATE);
                Err(UnaskedReply)
            }
            Verdict::Pass if matches!(waiter.unit(), Some(Unit::Upload(_))) => {
                self.passed(thread, waiter, reply);
                Ok(())
            }
            Verdict::Early => {
                self.passed(thread, waiter, reply);
                Err(UnaskedReply)
            }
            Verdict::Pass | Verdict::More | Verdict::Drop | Verdict::Inner(_) => {
                waiter.tell(thread, reply);
                Ok(())
            }
        }
    }
}

impl Link {
    /// The node answered a request that streamed: it is not there any more to look for its way.
    fn passed(&self, thread: &Thread, waiter: Waiter, reply: &[u8]) {
        if errors::inner(reply).is_none() {
            return waiter.tell(thread, reply);
        }
        count(thread, &waiter, reply);
        waiter.refuse(thread, &errors::no_primary(self.shard.get(), 0));
    }
}

/// A node said that the cluster is not as the proxy thought.
fn count(thread: &Thread, waiter: &Waiter, line: &[u8]) {
    if let Some(kind) = errors::inner(line) {
        thread.counters.redirects[kind].add(1);
    }
    let us = thread.now_us().saturating_sub(waiter.since_us);
    thread.counters.backend(waiter.command.id, true, us);
    thread.shared.stale.notify_one();
}
