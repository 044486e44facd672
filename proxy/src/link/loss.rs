//! No reply has come: the connection broke, or the time is up. What may be sent again is kept, the rest is answered.

use std::borrow::Cow;

use crate::{
    errors::{self, INDETERMINATE},
    link::{
        Link, Tenancy,
        fates::{Broken, Fate, fates_after_break},
        state::Event,
        unit::Unit,
        waiter::Waiter,
    },
    thread::Thread,
};

impl Link {
    /// The connection is gone: what may be sent again is kept, the rest is answered.
    pub(super) fn broke(&self, thread: &Thread) {
        thread.tick();
        self.writer.take();
        self.blocked.set(false);
        self.happened(thread, Event::Broke);
        self.losses.set(self.losses.get().wrapping_add(1));
        thread.shared.stale.notify_one();
        let mut flight = self.flight.borrow_mut();
        Link::recall_unsent(&mut flight);
        if self.arriving.take().is_some()
            && let Some(waiter) = flight.oldest()
        {
            waiter.interrupted(thread);
        }
        let requests: Vec<Broken> = flight
            .iter_mut()
            .map(|(sent, waiter)| {
                let client = waiter.client.as_ref().map(|client| client.id);
                let worn = sent && self.is_to_member() && waiter.met_failover(self.key.epoch);
                Broken { sent, client, write: waiter.may_write(), bound: waiter.is_bound(), worn }
            })
            .collect();
        let mut fates = fates_after_break(&requests).into_iter();
        let mut told: Vec<(bool, Cow<'static, [u8]>)> = Vec::new();
        let failed = flight.sift(|sent, waiter| {
            let fate = fates.next().unwrap_or(Fate::Fail);
            if fate == Fate::Fail {
                told.push((sent, waiter.lost(sent, self.shard.get())));
            }
            fate
        });
        flight
            .iter_mut()
            .filter_map(|(_, waiter)| waiter.special.as_mut())
            .for_each(|special| special.begin_again());
        drop(flight);
        for (waiter, (sent, text)) in
            failed.into_iter().zip(told).filter(|(waiter, _)| waiter.client.is_some())
        {
            thread.counters.indeterminate.add(u64::from(*text == *INDETERMINATE));
            if sent { waiter.tell(thread, &text) } else { waiter.refuse(thread, &text) }
        }
        thread.writes_over.look();
        // What is kept may have another owner by now.
        thread.follow.look_at_links();
    }

    /// The epoch is over for which a client's own link was made, and what no socket has seen of its requests never leaves.
    pub(crate) fn let_go(&self, thread: &Thread) {
        let unsent = self.flight.borrow_mut().withdraw(|_| true);
        if unsent.is_empty() {
            return;
        }
        self.losses.set(self.losses.get().wrapping_add(1));
        for waiter in unsent {
            let text = match waiter.unit() {
                Some(unit @ Unit::Watch(_)) => unit.refused().unwrap_or_default().into(),
                _ => waiter.lost(false, self.shard.get()),
            };
            waiter.refuse(thread, &text);
        }
    }

    /// Answers what has waited too long. True: a new connection is due, because this one has been silent for too long or
    /// because what was sent on it lacks what should have followed.
    pub(crate) fn sweep(&self, thread: &Thread) -> bool {
        let mut late: Vec<(Waiter, Cow<'static, [u8]>)> = Vec::new();
        let mut never: Vec<(Waiter, Cow<'static, [u8]>)> = Vec::new();
        let stuck = self.give_up_on_replies(thread, &mut late);
        let lost = self.give_up_holding(thread, &mut never);
        late.into_iter().for_each(|(waiter, text)| waiter.tell(thread, &text));
        never.into_iter().for_each(|(waiter, text)| waiter.refuse(thread, &text));
        stuck || lost
    }

    /// Past its deadline a request that was sent is answered here and its reply dropped when it comes. The time counts
    /// from when this connection could have sent it.
    fn give_up_on_replies(&self, thread: &Thread, told: &mut Vec<(Waiter, Cow<'static, [u8]>)>) -> bool {
        if !self.state.get().is_open() {
            return false;
        }
        let up_us = self.up_us.get();
        let (now_us, limits) = (thread.now_us(), thread.limits());
        let reply_us_max = self.state.get().sent_within_us(self.peer(), &limits);
        let mut stuck = false;
        // While a large reply arrives the connection is alive. Its own time counts from its last bytes.
        let mut arriving_us = self.arriving.get().map(|arriving| arriving.last_us);
        let silent_us = now_us.saturating_sub(arriving_us.unwrap_or(0));
        let mut flight = self.flight.borrow_mut();
        let all_sent = flight.unsent().is_empty();
        for (sent, waiter) in flight.iter_mut() {
            let within_us = waiter.within_us(reply_us_max);
            let arriving = arriving_us.take().is_some();
            let mut waited_us = now_us.saturating_sub(waiter.asked_us().max(up_us));
            if arriving && silent_us < waited_us {
                waited_us = silent_us;
                if waited_us <= within_us {
                    continue;
                }
            }
            if !sent || waited_us <= within_us || waiter.waits_for_client(all_sent) {
                break;
            }
            // Of what belongs to a connection nothing may follow once a reply was not waited for.
            stuck |= waited_us.min(silent_us) > waiter.within_us(limits.request_us_max).saturating_mul(2)
                || waiter.is_bound() && waiter.client.is_some();
            if arriving {
                waiter.interrupted(thread);
            }
            let Some(told_now) = waiter.take_out() else { continue };
            let text = if waiter.may_write() {
                thread.counters.indeterminate.add(1);
                INDETERMINATE.into()
            } else if reply_us_max < limits.request_us_max {
                errors::no_primary(self.shard.get(), waited_us / 1000).into()
            } else {
                thread.counters.timeouts.add(1);
                errors::no_reply(self.shard.get(), within_us / 1000).into()
            };
            told.push((told_now, text));
        }
        stuck
    }

    /// What could not be sent for too long is withdrawn: it was never applied. True: there is a connection of which the
    /// node now knows only half of what it was to be told.
    fn give_up_holding(&self, thread: &Thread, told: &mut Vec<(Waiter, Cow<'static, [u8]>)>) -> bool {
        let now_us = thread.now_us();
        let limits = thread.limits();
        let within_us = self.state.get().unsent_within_us(self.pulse(now_us), &limits);
        let expired = |waiter: &Waiter| now_us.saturating_sub(waiter.since_us) > within_us;
        let withdrawn = self.flight.borrow_mut().withdraw(expired);
        let lost = self.tenancy == Tenancy::Leased && !withdrawn.is_empty();
        for waiter in withdrawn {
            let held_ms = now_us.saturating_sub(waiter.since_us) / 1000;
            told.push((waiter, errors::no_primary(self.shard.get(), held_ms).into()));
        }
        if lost {
            // What is left stands behind what is gone: a transaction must not run without its WATCH, nor a command
            // without its MULTI.
            self.losses.set(self.losses.get().wrapping_add(1));
            for waiter in self.flight.borrow_mut().withdraw(|_| true) {
                let text = waiter.lost(false, self.shard.get());
                told.push((waiter, text));
            }
        }
        lost && self.state.get().is_open()
    }
}
