//! Who waits for the reply to a request that a link has taken on.

use std::{borrow::Cow, rc::Rc};

use slotway_cluster::ShardId;
use slotway_commands::Command;

use crate::{
    client::{self, Client},
    errors::{self, INDETERMINATE},
    link::unit::{Bound, Unit},
    replies::Ticket,
    thread::Thread,
};

/// Who is told a reply.
pub(super) struct Waiter {
    /// None: has been told already (its time was up); the reply is dropped.
    pub(super) client: Option<Rc<Client>>,
    pub(super) ticket: Ticket,
    /// Which part of a gathered reply.
    pub(super) part: Option<u32>,
    pub(super) command: &'static Command,
    /// Thread clock, microseconds: when the request was taken on.
    pub(super) since_us: u64,
    /// None: one request, one reply, as nearly always.
    pub(super) unit: Option<Box<Unit>>,
}

impl Waiter {
    /// Running it twice may not be the same as running it once.
    pub(super) fn may_write(&self) -> bool {
        match &self.unit {
            Some(unit) => unit.may_write(),
            None => self.command.may_write(),
        }
    }

    pub(super) fn is_bound(&self) -> bool {
        self.unit.as_ref().is_some_and(|unit| unit.is_bound())
    }

    /// What its client is told when its connection is lost and it cannot be sent again.
    pub(super) fn lost(&self, sent: bool, shard: ShardId) -> Cow<'static, [u8]> {
        match self.unit.as_deref() {
            Some(Unit::Piece { bound: Bound::Told(text), .. } | Unit::End(Bound::Told(text))) if !sent => {
                (*text).into()
            }
            // Not executed before its EXEC, which will not come.
            Some(Unit::Step) => errors::no_primary(shard, 0).into(),
            _ if !sent => errors::no_primary(shard, 0).into(),
            _ => INDETERMINATE.into(),
        }
    }

    pub(super) fn tell(self, thread: &Thread, reply: &[u8]) {
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
