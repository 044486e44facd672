//! Who waits for the reply to a request that a link has taken on.

use std::{borrow::Cow, rc::Rc, sync::Arc};

use slotway_cluster::{Epoch, ShardId};
use slotway_commands::Command;

use crate::{
    client::{self, Client, inquiry::Whereabouts},
    errors::{self, INDETERMINATE, Speaker},
    follow::{
        nest::Nest,
        order::{End, TrailId},
        plan::Tried,
    },
    link::{
        Link,
        unit::{Asking, Bound, Stream, Unit, Verdict},
    },
    replies::Ticket,
    thread::Thread,
};

/// Who is told a reply.
pub(crate) struct Waiter {
    /// None: has been told already (its time was up); the reply is dropped.
    pub(crate) client: Option<Rc<Client>>,
    pub(crate) ticket: Ticket,
    /// Which part of a gathered reply.
    pub(crate) part: Option<u32>,
    pub(crate) command: &'static Command,
    /// Thread clock, microseconds: when the request was taken on.
    pub(crate) since_us: u64,
    /// None: one request, one reply, on its first link, as nearly always.
    pub(crate) special: Option<Box<Special>>,
}

/// What few requests have.
#[derive(Debug, Default)]
pub(crate) struct Special {
    /// None: one request, one reply.
    pub(crate) unit: Option<Unit>,
    /// It looks for its way, or was sent behind one that does.
    pub(crate) course: Option<Course>,
    /// The epoch in which a connection was lost that it had been sent on. 0: in none.
    pub(crate) lost_in: Epoch,
}

/// What a request that looks for its way has with it.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(crate) trail: TrailId,
    pub(crate) tried: Tried,
    /// Who hears of it, if it was cut on its way.
    pub(crate) nest: Option<Nest>,
    pub(crate) asking: Asking,
    /// When it was sent by the way it is on now. Thread clock, microseconds.
    pub(crate) sent_us: u64,
}

impl Special {
    pub(crate) fn of(unit: Unit) -> Box<Special> {
        Box::new(Special { unit: Some(unit), ..Special::default() })
    }

    /// The next reply that belongs to the request.
    pub(crate) fn reply(&mut self, reply: &[u8], speaker: Speaker) -> Verdict {
        if let Some(course) = &mut self.course
            && course.asking == Asking::Due
        {
            // If the node does not know it, the request itself will be refused.
            course.asking = Asking::Answered;
            return Verdict::More;
        }
        match &mut self.unit {
            Some(unit) => unit.reply(reply, speaker),
            None if errors::inner(reply, speaker).is_some() => Verdict::Inner(reply.into()),
            None => Verdict::Pass,
        }
    }

    /// A large reply that comes now can be passed on or dropped piece by piece. Whoever puts the replies of a cut request
    /// together needs them whole.
    pub(crate) fn takes_pieces(&self) -> bool {
        // Before the whole request has come there is only a refusal.
        match &self.unit {
            Some(Unit::Upload(Stream { whole, asking })) if !whole.get() || *asking == Asking::Due => {
                return false;
            }
            // Its reply is a number, or garbage.
            Some(Unit::Inquiry(_)) => return false,
            _ => {}
        }
        self.course.as_ref().is_none_or(|course| course.nest.is_none() && course.asking != Asking::Due)
    }

    /// As before any reply came.
    pub(crate) fn begin_again(&mut self) {
        if let Some(unit) = &mut self.unit {
            unit.begin_again();
        }
        if let Some(course) = &mut self.course
            && course.asking == Asking::Answered
        {
            course.asking = Asking::Due;
        }
    }
}

impl Waiter {
    pub(crate) fn unit(&self) -> Option<&Unit> {
        self.special.as_ref()?.unit.as_ref()
    }

    pub(crate) fn course(&self) -> Option<&Course> {
        self.special.as_ref()?.course.as_ref()
    }

    pub(crate) fn course_mut(&mut self) -> Option<&mut Course> {
        self.special.as_mut()?.course.as_mut()
    }

    /// Running it twice may not be the same as running it once.
    pub(crate) fn may_write(&self) -> bool {
        match self.unit() {
            Some(Unit::Upload(stream)) => stream.whole.get() && self.command.may_write(),
            Some(unit) => unit.may_write(),
            None => self.command.may_write(),
        }
    }

    /// Somebody waits for it, it was taken on until then, and the node may change something when it comes. What blocks may
    /// wait for the very writes that a pause holds back.
    pub(crate) fn is_write_until(&self, until_us: u64) -> bool {
        let awaited = self.client.is_some() && self.since_us <= until_us;
        awaited && self.may_write() && !self.command.is_blocking()
    }

    /// From when its reply may be waited for: since it was taken on, or sent again by another way.
    pub(super) fn asked_us(&self) -> u64 {
        self.since_us.max(self.course().map_or(0, |course| course.sent_us))
    }

    /// How long its reply may take where others may take `within_us`.
    pub(super) fn within_us(&self, within_us: u64) -> u64 {
        let patience_us = self.unit().map_or(Some(0), Unit::patience_us);
        patience_us.map_or(u64::MAX, |patience_us| within_us.saturating_add(patience_us))
    }

    /// The connection that it was sent on is lost, in this epoch of its shard. True: so was another, in an earlier one.
    pub(super) fn met_failover(&mut self, epoch: Epoch) -> bool {
        let special = self.special.get_or_insert_default();
        let before = std::mem::replace(&mut special.lost_in, epoch);
        before != Epoch(0) && before != epoch
    }

    pub(crate) fn is_inquiry(&self) -> bool {
        matches!(self.unit(), Some(Unit::Inquiry(_)))
    }

    pub(crate) fn is_bound(&self) -> bool {
        self.unit().is_some_and(Unit::is_bound)
    }

    /// What its client is told when its connection is lost and it cannot be sent again.
    pub(crate) fn lost(&self, sent: bool, shard: ShardId) -> Cow<'static, [u8]> {
        match self.unit() {
            Some(Unit::Piece { bound: Bound::Told(text), .. } | Unit::End(Bound::Told(text))) if !sent => {
                (*text).into()
            }
            // Not executed before its EXEC, which will not come.
            Some(Unit::Step) => errors::no_primary(shard, 0).into(),
            _ if !sent => errors::no_primary(shard, 0).into(),
            // It changes nothing.
            Some(Unit::Waiting(_)) => errors::no_primary(shard, 0).into(),
            // A read, or without its end: it was not executed, or may be executed again.
            Some(Unit::Upload(_)) if !self.may_write() => errors::no_primary(shard, 0).into(),
            _ => INDETERMINATE.into(),
        }
    }

    /// Takes its client out, so that it can be told at once; the reply that still comes is dropped. None: it was told.
    pub(crate) fn take_out(&mut self) -> Option<Waiter> {
        let client = self.client.take()?;
        let course = self.special.as_mut().and_then(|special| special.course.as_mut()).cloned();
        let unit = match self.unit() {
            Some(Unit::Inquiry(inquiry)) => Some(Unit::Inquiry(Rc::clone(inquiry))),
            _ => None,
        };
        let special = (unit.is_some() || course.is_some())
            .then(|| Box::new(Special { unit, course, ..Special::default() }));
        Some(Waiter { client: Some(client), special, ..*self })
    }

    /// The reply of a node, or what is told in its place of a request that may have run.
    pub(crate) fn tell(self, thread: &Thread, reply: &[u8]) {
        self.end(thread, reply, End::Ran);
    }

    /// It did not run.
    pub(crate) fn refuse(self, thread: &Thread, reply: &[u8]) {
        self.end(thread, reply, End::Refused);
    }

    fn end(mut self, thread: &Thread, reply: &[u8], end: End) {
        let Some(special) = self.special.take() else { return self.hand_over(thread, reply) };
        if let (Some(Unit::Inquiry(inquiry)), Some(client)) = (&special.unit, &self.client) {
            leave_order(thread, client, special.course.as_ref());
            return inquiry.refused(client, reply);
        }
        let (Some(client), Some(course)) = (&self.client, special.course) else {
            return self.hand_over(thread, reply);
        };
        client.order.borrow_mut().ended(course.trail, end);
        thread.follow.wake();
        match course.nest {
            None => self.hand_over(thread, reply),
            Some(nest) => {
                if let Some(whole) = nest.deliver(reply) {
                    self.hand_over(thread, &whole);
                }
            }
        }
    }

    /// The node at the end of `link` has answered what was only asked to know whether it would.
    pub(super) fn found(self, thread: &Thread, link: &Link) {
        let (Some(client), Some(special)) = (self.client, self.special) else { return };
        let Some(Unit::Inquiry(inquiry)) = special.unit else { return };
        leave_order(thread, &client, special.course.as_ref());
        let asking = special.course.is_some_and(|course| course.asking != Asking::No);
        let (address, shard) = (Arc::clone(&link.key.address), link.shard.get());
        inquiry.found(&client, Whereabouts { address, shard, asking }, thread.now_us());
    }

    /// The connection that brought a part of its reply brings no more of it. A client that has the beginning is closed:
    /// whatever came next would be taken for the rest.
    pub(crate) fn interrupted(&mut self, thread: &Thread) {
        let Some(client) = &self.client else { return };
        if client.fate.get() == client::Fate::CloseNow {
            return;
        }
        if client.replies.borrow_mut().restart(self.ticket, self.part).is_err() {
            thread.counters.replies_torn.add(1);
            tracing::warn!(client = client.id, peer = %client.peer, command = self.command.name,
                "client closed: the rest of a reply was lost");
            client.decide(client::Fate::CloseNow);
            self.client = None;
        }
    }

    /// The rest of a reply of which the other pieces have been handed on.
    pub(crate) fn finish(mut self, thread: &Thread, rest: &[u8]) {
        let Some(client) = &self.client else { return };
        if let Some(course) = self.special.take().and_then(|special| special.course) {
            client.order.borrow_mut().ended(course.trail, End::Ran);
            thread.follow.wake();
        }
        if client.fate.get() == client::Fate::CloseNow {
            return;
        }
        let mut replies = client.replies.borrow_mut();
        match self.part {
            None => replies.deliver_rest(self.ticket, rest),
            Some(part) => replies.deliver_part(self.ticket, part, rest),
        }
        drop(replies);
        thread.turn.mark_client(client);
    }

    /// As [`Waiter::tell`], for a request that never looked for its way.
    pub(crate) fn hand_over(self, thread: &Thread, reply: &[u8]) {
        let Some(client) = self.client else { return };
        if client.fate.get() == client::Fate::CloseNow {
            return;
        }
        let mut replies = client.replies.borrow_mut();
        thread.lend(replies.output());
        match self.part {
            None => replies.deliver(self.ticket, reply),
            Some(part) => replies.deliver_part(self.ticket, part, reply),
        }
        drop(replies);
        thread.turn.mark_client(&client);
    }
}

/// A question is over: nothing has run.
fn leave_order(thread: &Thread, client: &Client, course: Option<&Course>) {
    if let Some(course) = course {
        client.order.borrow_mut().ended(course.trail, End::Refused);
        thread.follow.wake();
    }
}
