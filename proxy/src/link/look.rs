//! What a link is told of its connection: that there is one, that bytes have come, and what the sweep sees some twenty times a second.
//!
//! What follows is decided in [`super::state`], [`super::silence`] and [`super::primacy`].

use std::rc::Rc;

use tokio::net::tcp::OwnedWriteHalf;

use crate::{
    link::{
        Link, Reach, State, Tenancy, primacy,
        silence::{Owed, PulseSays, Sight},
        state::Event,
        unit::Unit,
        waiter::Waiter,
    },
    thread::Thread,
};

impl Link {
    /// There is a connection, and it is in the state that requests expect.
    pub(super) fn opened(self: &Rc<Self>, thread: &Thread, writer: OwnedWriteHalf) {
        thread.tick();
        *self.writer.borrow_mut() = Some(writer);
        self.happened(thread, Event::Connected);
        self.up_us.set(thread.now_us());
        self.heard_us.set(thread.now_us());
        self.closing.set(false);
        self.answered.set(false);
        thread.turn.mark_link(self);
        self.mark_feeder(thread);
    }

    /// An attempt to connect failed.
    pub(super) fn stayed_down(&self, thread: &Thread) {
        thread.tick();
        self.happened(thread, Event::Failed);
        if !self.is_settled() {
            // What a redirection sent here may have an owner that is there.
            thread.follow.look_at_links();
        }
    }

    /// Bytes have come: whatever it was, it answers.
    pub(super) fn heard(self: &Rc<Self>, thread: &Thread) {
        self.heard_us.set(thread.now_us());
        if self.happened(thread, Event::Heard) != self.state.get() {
            thread.turn.mark_link(self);
        }
    }

    /// Gives up the present connection for a new one.
    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.wake();
    }

    /// The node answers, only not here: a new connection is made, and what is asked meanwhile waits for it.
    pub(super) fn begin_anew(&self, thread: &Thread) {
        self.happened(thread, Event::AnswersElsewhere);
        self.close();
    }

    /// Hears what the node's pulse says, before anything is given up. It is believed for a hold beyond: then the node has had the
    /// time to welcome this link.
    pub(crate) fn hear_of_work(&self, thread: &Thread) {
        if self.is_to_member() && thread.is_at_work(&self.key.address, self.key.epoch) {
            self.at_work_until_us.set(thread.now_us().saturating_add(thread.limits().hold_us_max));
        }
    }

    pub(super) fn pulse(&self, now_us: u64) -> PulseSays {
        if now_us < self.at_work_until_us.get() { PulseSays::AtWork } else { PulseSays::Nothing }
    }

    /// Looks whether the node still answers. True: it has just stopped.
    pub(crate) fn fell_silent(self: &Rc<Self>, thread: &Thread) -> bool {
        if !self.state.get().is_open() {
            return false;
        }
        let mut silence = self.silence.get();
        let look = silence.look(self.sight(thread), thread.limits().hold_us_max);
        self.silence.set(silence);
        let before = self.happened(thread, Event::Looked(look));
        if self.is_up() {
            thread.turn.mark_link(self);
        }
        self.state.get().is_silent() && !before.is_silent()
    }

    /// Its node was replaced while it hung. Looked at by every sweep, which is how it knows.
    pub(crate) fn is_beyond_belief(&self, thread: &Thread) -> bool {
        let now_us = thread.now_us();
        let (is_present, patience) = match self.is_to_member() {
            true => (!thread.has_outlived(self), primacy::MEMBERS),
            false => {
                let is_primary = self.key.reach == Reach::Primary && thread.is_primary(&self.key.address);
                (is_primary, primacy::OTHERS)
            }
        };
        let primacy = self.primacy.get().look(is_present, now_us);
        self.primacy.set(primacy);
        let quiet_us = self.silence.get().quiet_us(self.sight(thread));
        self.state.get().is_open() && primacy.is_beyond_belief(now_us, quiet_us, patience)
    }

    /// The state before.
    pub(super) fn happened(&self, thread: &Thread, event: Event) -> State {
        let before = self.state.get();
        self.state.set(before.on(event, thread.now_us()));
        before
    }

    fn sight(&self, thread: &Thread) -> Sight {
        let is_at_work = self.is_to_member() && thread.is_at_work(&self.key.address, self.key.epoch);
        Sight {
            now_us: thread.now_us(),
            answered: self.flight.borrow().answered_until(),
            owed: self.owed(),
            heard_us: self.heard_us.get(),
            peer: self.peer(),
            pulse: if is_at_work { PulseSays::AtWork } else { PulseSays::Nothing },
        }
    }

    fn owed(&self) -> Owed {
        let flight = self.flight.borrow();
        match self.tenancy {
            _ if !flight.owes_replies() => Owed::Nothing,
            Tenancy::Shared if flight.owes_whole() => Owed::Whole,
            Tenancy::Shared => Owed::Begun,
            // What is asked on a client's own link may take its time.
            Tenancy::Leased if self.is_to_member() && flight.owes_whole() => {
                flight.waiters().next().map_or(Owed::Nothing, own_owed)
            }
            Tenancy::Leased => Owed::Whenever,
        }
    }
}

/// On a client's own link. What blocks may come at any time, and what streams when its client sends the rest.
fn own_owed(waiter: &Waiter) -> Owed {
    let streams = matches!(waiter.unit(), Some(Unit::Upload(_)));
    let is_prompt = !waiter.command.is_blocking() && waiter.within_us(0) == 0 && !streams;
    if is_prompt { Owed::Whole } else { Owed::Whenever }
}
