//! A reply has come: who is told what.

use crate::{
    errors::{self, INDETERMINATE},
    link::{Link, Tenancy, unit::Verdict, waiter::Waiter},
    thread::Thread,
};

/// The node sent a reply that nobody asked for.
#[derive(Debug)]
pub(super) struct UnaskedReply;

impl Link {
    /// One whole reply came. Err: nobody waits for such a one.
    pub(super) fn reply(&self, thread: &Thread, reply: &[u8]) -> Result<(), UnaskedReply> {
        let answered = self.flight.borrow_mut().answered_if(|waiter| waiter.unit.is_none());
        let Some(waiter) = answered else { return self.reply_to_unit(thread, reply) };
        let error = matches!(reply.first(), Some(b'-' | b'!'));
        thread.counters.backend(waiter.command.id, error, thread.now_us().saturating_sub(waiter.since_us));
        if error && let Some(kind) = errors::inner(reply) {
            thread.counters.redirects[kind].add(1);
            waiter.tell(thread, &errors::no_primary(self.shard, 0));
        } else {
            waiter.tell(thread, reply);
        }
        Ok(())
    }

    /// The oldest waiter waits for more than one reply, or there is none.
    #[cold]
    fn reply_to_unit(&self, thread: &Thread, reply: &[u8]) -> Result<(), UnaskedReply> {
        let mut flight = self.flight.borrow_mut();
        let unit = flight.oldest().and_then(|waiter| waiter.unit.as_mut()).ok_or(UnaskedReply)?;
        match unit.reply(reply) {
            Verdict::More => Ok(()),
            verdict => {
                let waiter = flight.answered().ok_or(UnaskedReply)?;
                drop(flight);
                self.judged(thread, waiter, verdict, reply)
            }
        }
    }

    /// The last reply of a unit came.
    fn judged(
        &self,
        thread: &Thread,
        waiter: Waiter,
        verdict: Verdict,
        reply: &[u8],
    ) -> Result<(), UnaskedReply> {
        let error = verdict != Verdict::Pass || matches!(reply.first(), Some(b'-' | b'!'));
        if waiter.client.is_some() {
            let us = thread.now_us().saturating_sub(waiter.since_us);
            thread.counters.backend(waiter.command.id, error, us);
        }
        // A transaction that the node did not take as one may have left it with an open MULTI or with watched keys.
        let unsure =
            self.tenancy == Tenancy::Leased && matches!(verdict, Verdict::Tell(_) | Verdict::Inner(_));
        let inner = match verdict {
            Verdict::Inner(kind) => Some(kind),
            Verdict::Pass if error => errors::inner(reply),
            _ => None,
        };
        if let Some(kind) = inner {
            thread.counters.redirects[kind].add(1);
            waiter.tell(thread, &errors::no_primary(self.shard, 0));
            return if unsure { Err(UnaskedReply) } else { Ok(()) };
        }
        match verdict {
            Verdict::Tell(text) => {
                thread.counters.indeterminate.add(u64::from(text == INDETERMINATE));
                waiter.tell(thread, &text);
            }
            Verdict::Broken => {
                thread.counters.indeterminate.add(u64::from(waiter.client.is_some()));
                waiter.tell(thread, INDETERMINATE);
                return Err(UnaskedReply);
            }
            Verdict::Pass | Verdict::More | Verdict::Drop | Verdict::Inner(_) => waiter.tell(thread, reply),
        }
        if unsure { Err(UnaskedReply) } else { Ok(()) }
    }
}
