//! What no socket has seen leaves one link for another: its slot has another owner, or its shard another primary.

use std::{collections::HashSet, rc::Rc};

use crate::{
    client::Fate,
    link::{Link, waiter::Waiter},
    thread::Thread,
};

impl Link {
    /// Takes on a request that has been under way before.
    pub(crate) fn push_again(
        self: &Rc<Self>,
        thread: &Thread,
        waiter: Waiter,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.flight.borrow_mut().push(waiter, write);
        self.used_us.set(thread.now_us());
        thread.turn.mark_link(self);
    }

    /// Whether there is room for a request that has been under way before.
    pub(crate) fn takes_on(&self, thread: &Thread) -> bool {
        let (requests, bytes) = {
            let flight = self.flight.borrow();
            (flight.len(), flight.bytes_held())
        };
        self.room(thread, thread.now_us())
            .is_ok_and(|room| requests < room.requests_max && bytes < room.bytes_max)
    }

    /// Takes out what no socket has seen any of, as far as `chosen`.
    pub(crate) fn take_unsent(&self, chosen: impl FnMut(&Waiter, &[u8]) -> bool) -> Vec<(Waiter, Vec<u8>)> {
        self.flight.borrow_mut().take_unsent(chosen)
    }

    /// Hands what no socket has seen any of over to the link of the next reign, which leads to the same keys. Not that of
    /// clients who have something under way here, or that looks for its way: what may leave then is a question of order.
    pub(crate) fn hand_over(&self, thread: &Thread, to: &Rc<Link>) {
        let mut flight = self.flight.borrow_mut();
        let client = |waiter: &Waiter| waiter.client.as_ref().map(Rc::clone);
        let under_way = flight.iter_mut().filter(|(sent, _)| *sent);
        let busy: HashSet<u64> = under_way.filter_map(|(_, waiter)| Some(client(waiter)?.id)).collect();
        let moved = flight.hand_over(&mut to.flight.borrow_mut(), |waiter| {
            let Some(client) = &waiter.client else { return false };
            let is_free = !busy.contains(&client.id) && client.order.borrow().is_idle();
            is_free && !waiter.is_bound() && client.fate.get() != Fate::CloseNow
        });
        if moved {
            to.used_us.set(thread.now_us());
            thread.turn.mark_link(to);
        }
    }
}
