//! What a data thread looks at some twenty times a second: deadlines, limits that depend on time, links that nobody uses.
//! Nothing on the way of a request keeps a clock for any of it.

use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{
    client::Fate,
    link::{self, Link, Tenancy},
    metrics::Present,
    thread::Thread,
};

/// How often the deadlines of requests are looked at.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// Soft limits and idle times of clients count seconds: looked at with every so many sweeps.
const SWEEPS_PER_SECOND: u32 = 20;

impl Thread {
    /// One look; `number` counts them.
    pub(super) fn sweep(self: &Rc<Self>, number: u32) {
        self.tick();
        if !self.pause.get().is_none() {
            self.look_at_pause();
        }
        self.sweep_links();
        self.writes_over.look();
        self.sweep_homeless();
        if number.is_multiple_of(SWEEPS_PER_SECOND) {
            self.sweep_clients();
        }
        if self.shared.cut_clients.load(Ordering::Relaxed) {
            self.clients.borrow().values().for_each(|client| client.decide(Fate::CloseNow));
        }
    }

    /// Requests that were held for long enough although nobody owns their slots are answered.
    fn sweep_homeless(&self) {
        if !self.has_homeless.get() {
            return;
        }
        let (now_us, hold_us) = (self.now_us(), self.limits().hold_us_max);
        let mut any = false;
        for client in self.clients.borrow().values() {
            if let Some(since_us) = client.homeless_since_us.get() {
                any = true;
                if now_us.saturating_sub(since_us) > hold_us {
                    client.end_homelessness();
                }
            }
        }
        self.has_homeless.set(any);
    }

    fn sweep_clients(&self) {
        let (mut unparsed, mut queued, mut unread) = (0, 0, 0);
        for client in self.clients.borrow().values() {
            client.sweep(self);
            unparsed += client.unparsed_bytes.get() as u64;
            queued += client.queued_bytes() as u64;
            unread += client.replies.borrow().bytes() as u64;
        }
        self.counters.unparsed_bytes.set(unparsed);
        self.counters.queued_bytes.set(queued);
        self.counters.unread_bytes.set(unread);
    }

    fn sweep_links(self: &Rc<Self>) {
        let idle_us = self.limits().link_idle_us;
        let mut present = Present::default();
        for link in self.all_links() {
            link.hear_of_work(self);
            if link.is_beyond_belief(self) || link.sweep(self) {
                link.close();
            }
            let outlived = self.has_outlived(&link);
            if outlived && link.tenancy == Tenancy::Leased {
                link.let_go(self);
            }
            if link.fell_silent(self) {
                self.spawn(link::drive::probe(Rc::clone(self), Rc::clone(&link)));
                self.shared.stale.notify_one();
                self.follow.look_at_links();
            }
            *present.links.entry((Arc::clone(&link.key.address), link.state().label())).or_default() += 1;
            *present.held.entry(link.shard.get()).or_default() += link.held().requests;
            present.add_load(&link.key.address, link.load());
            let over = link.is_idle(self, idle_us) || outlived && link.is_settled();
            if link.tenancy == Tenancy::Shared && over {
                self.close_idle(&link);
            }
        }
        for (shard, load) in self.follow.held() {
            *present.held.entry(shard).or_default() += load.requests;
        }
        self.leases.sweep(self, idle_us);
        self.leases.count(|node, state| {
            *present.leases.entry((Arc::clone(node), state)).or_default() += 1;
        });
        self.counters.set_present(present);
    }

    fn close_idle(&self, link: &Rc<Link>) {
        if let Some((_, task)) = self.links.borrow_mut().remove(&link.key) {
            task.abort();
        }
        self.routes.borrow_mut().forget(link);
    }
}
