//! Requests that look for their way: sent back by a node because of how the cluster stands, or held on a link that no
//! longer leads to the owner of their keys. Clients see none of it but the time.
//!
//! A request comes here with its bytes and its waiter ([`Follow::strayed`]), stays in the thread's list, and leaves it again in
//! the pass of a task that runs when something has changed or is due: to the address that a redirection named, to the
//! owner by the present topology, or cut into parts that find their own ways. What the error means is decided in [`plan`],
//! in which order requests of a client may leave in [`order`], who owns the keys in [`reroute`]; [`nest`] puts the parts of a
//! cut request together. All of it ends at `hold-ms-max` after the request was taken on.
//!
//! While anything of a client is here its task dispatches nothing new ([`crate::client::Stall::Order`]).

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashSet},
    rc::Rc,
    time::Duration,
};

use slotway_cluster::ShardId;
use tokio::sync::Notify;

use crate::{
    client::Fate,
    follow::{
        order::Place,
        plan::{Shape, Tried, Way},
        reroute::Owner,
        stray::{Goal, Step, Stray, subject},
    },
    link::{
        Link, Load,
        unit::Asking,
        waiter::{Course, Waiter},
    },
    thread::Thread,
};

pub(crate) mod nest;
pub(crate) mod order;
pub(crate) mod plan;
mod reroute;
mod stray;

/// In front of a request that a node takes only for being asked.
pub(crate) const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// Between two lines of the log about requests that were given up.
const REPORT_US: u64 = 1_000_000;

/// A data thread's requests that look for their way.
#[derive(Default)]
pub(crate) struct Follow {
    strays: RefCell<Vec<Stray>>,
    held: RefCell<BTreeMap<ShardId, Load>>,
    /// When the oldest of those that may write was taken on. Thread clock, microseconds.
    oldest_write_us: Cell<Option<u64>>,
    /// What links hold may belong elsewhere now.
    moved: Cell<bool>,
    /// The topology has changed: nothing waits for the clock.
    hurried: Cell<bool>,
    changed: Notify,
    reported_us: Cell<Option<u64>>,
}

impl Follow {
    /// The node at the end of `link` answered the request with `line` instead of running it.
    pub(crate) fn strayed(&self, thread: &Thread, link: &Link, waiter: Waiter, bytes: Vec<u8>, line: &[u8]) {
        let Some(mut stray) = Stray::new(link, waiter, bytes, thread.now_us()) else { return };
        if stray.waiter.is_inquiry() {
            // Its way may be long: nobody must stand behind it.
            thread.leases.stop_waiting(stray.client());
        }
        stray.enter_order();
        if stray.is_news(link) {
            notice(link, &HashSet::from([stray.client().id]));
        }
        let subject = stray.subject();
        // A member says TRYAGAIN when nobody lets it serve: its slots are all there.
        let may_be_cut = !stray.waiter.is_inquiry() && !link.is_to_member() && subject.is_divisible();
        let shape = match may_be_cut && subject.has_several_keys() {
            true => Shape::Divisible,
            false => Shape::Whole,
        };
        stray.note(line);
        let Some(course) = stray.waiter.course_mut() else { return };
        match course.tried.way(line, &link.key.address, shape) {
            Way::To { address, asking } => stray.goal = Goal::Address { address: address.into(), asking },
            Way::KeyByKey => stray.goal = Goal::KeyByKey,
            Way::Wait { us } => stray.due_us = thread.now_us() + us,
            Way::Learn(news) => stray.learn(thread, link, news),
            Way::GiveUp => return stray.give_up(thread),
        }
        if thread.has_outlived(link) {
            // Another node leads by now, and is to be asked at once.
            stray.due_us = thread.now_us();
        }
        self.keep(thread, stray);
    }

    /// Whether a write that was taken on until then is here.
    pub(crate) fn owes_write(&self, until_us: u64) -> bool {
        self.oldest_write_us.get().is_some_and(|us| us <= until_us)
    }

    /// What waits here must fit into `hold-bytes-max`, as what links hold.
    fn keep(&self, thread: &Thread, stray: Stray) {
        if !self.take_room(thread, stray.shard, stray.load()) {
            return stray.give_up(thread);
        }
        let oldest_us = self.oldest_write_us.get().into_iter().chain(stray.write_us()).min();
        self.oldest_write_us.set(oldest_us);
        self.strays.borrow_mut().push(stray);
        self.wake();
    }

    /// false: there is none.
    fn take_room(&self, thread: &Thread, shard: ShardId, more: Load) -> bool {
        let mut held = self.held.borrow_mut();
        let load = held.entry(shard).or_default();
        let fits = load.bytes + more.bytes <= thread.limits().hold_bytes_max as u64;
        if fits {
            load.requests += more.requests;
            load.bytes += more.bytes;
        } else {
            thread.counters.refused_busy.add(1);
        }
        fits
    }

    /// A request gives way to its parts, which need room of their own.
    fn give_room(&self, shard: ShardId, less: Load) {
        if let Some(load) = self.held.borrow_mut().get_mut(&shard) {
            load.requests = load.requests.saturating_sub(less.requests);
            load.bytes = load.bytes.saturating_sub(less.bytes);
        }
    }

    /// The topology has changed, or a link has broken: what links hold may belong elsewhere.
    pub(crate) fn look_at_links(&self) {
        self.moved.set(true);
        self.wake();
    }

    /// The topology has changed: what waits until it may is looked at now.
    pub(crate) fn hurry(&self) {
        self.hurried.set(true);
        self.wake();
    }

    /// A request may be free to leave.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// What waits here, by shard.
    pub(crate) fn held(&self) -> Vec<(ShardId, Load)> {
        self.held.borrow().iter().map(|(shard, load)| (*shard, *load)).collect()
    }

    pub(crate) fn bytes_held(&self, shard: ShardId) -> usize {
        let held = self.held.borrow();
        held.get(&shard).map_or(0, |load| usize::try_from(load.bytes).unwrap_or(usize::MAX))
    }

    /// Takes what was not sent from links that do not lead to the owner any more.
    fn take_from_links(&self, thread: &Rc<Thread>) {
        for link in thread.shared_links() {
            if let Some(successor) = thread.successor(&link) {
                link.hand_over(thread, &successor);
            }
            let taken = link.take_unsent(|waiter, bytes| {
                let Some(client) = &waiter.client else { return false };
                let subject = subject(waiter, bytes, link.key.database, link.shard.get());
                let stays = match subject.owner(thread) {
                    Owner::Shard(shard) => thread.leads_to(&link, shard),
                    Owner::Several => false,
                    Owner::Nobody => true,
                };
                !waiter.is_bound() && client.fate.get() != Fate::CloseNow && !stays
            });
            let strays = taken.into_iter();
            let mut strays: Vec<Stray> = strays
                .filter_map(|(waiter, bytes)| Stray::new(&link, waiter, bytes, thread.now_us()))
                .collect();
            if strays.is_empty() {
                continue;
            }
            let clients = strays.iter().map(|stray| stray.client().id).collect();
            notice(&link, &clients);
            strays.iter_mut().for_each(Stray::enter_order);
            strays.into_iter().for_each(|stray| self.keep(thread, stray));
        }
    }

    /// Lets go of all that may leave. The time of the next look, if any stay.
    fn pass(&self, thread: &Rc<Thread>) -> Option<u64> {
        thread.tick();
        if self.moved.take() {
            self.take_from_links(thread);
        }
        let mut strays = std::mem::take(&mut *self.strays.borrow_mut());
        if self.hurried.take() {
            strays.iter_mut().for_each(|stray| stray.due_us = thread.now_us());
        }
        // In the order of their requests, so that one pass is enough. Clients do not mix.
        strays.sort_by(|one, other| {
            let by_client = one.client().id.cmp(&other.client().id);
            by_client.then_with(|| one.waiter.ticket.order(other.waiter.ticket))
        });
        let mut queue = std::collections::VecDeque::from(strays);
        let mut stay = Vec::new();
        while let Some(stray) = queue.pop_front() {
            match stray.step(thread) {
                Step::Gone => {}
                Step::Stays(stray) => stay.push(*stray),
                Step::Cut(parts) => parts.into_iter().rev().for_each(|part| queue.push_front(part)),
            }
        }
        let hold_us = thread.limits().hold_us_max;
        let now_us = thread.now_us();
        let mut strays = self.strays.borrow_mut();
        stay.append(&mut strays);
        *strays = stay;
        let mut held = self.held.borrow_mut();
        held.clear();
        for stray in strays.iter() {
            let load = held.entry(stray.shard).or_default();
            load.requests += stray.load().requests;
            load.bytes += stray.load().bytes;
        }
        self.oldest_write_us.set(strays.iter().filter_map(Stray::write_us).min());
        thread.writes_over.look();
        strays.iter().map(|stray| stray.wakes_us(now_us, hold_us)).min()
    }

    fn report(&self, thread: &Thread, shard: ShardId, held_ms: u64) {
        let now_us = thread.now_us();
        if self.reported_us.get().is_none_or(|at_us| now_us.saturating_sub(at_us) > REPORT_US) {
            self.reported_us.set(Some(now_us));
            tracing::warn!(%shard, held_ms, "no node would run a request: given up");
        }
    }
}

/// The task of [`Follow`]. It never ends; its owner drops it.
pub(crate) async fn run(thread: Rc<Thread>) {
    loop {
        let wake_us = thread.follow.pass(&thread);
        let changed = thread.follow.changed.notified();
        match wake_us {
            None => changed.await,
            Some(us) => {
                let wait = Duration::from_micros(us.saturating_sub(thread.now_us()).max(1000));
                // Either way there is something to look at.
                let _ = tokio::time::timeout(wait, changed).await;
            }
        }
    }
}

/// What these clients have under way on the link may run before what they have here.
fn notice(link: &Link, clients: &HashSet<u64>) {
    let id = link.id();
    link.for_each_waiter(|waiter, bytes| {
        let Some(client) = waiter.client.as_ref().filter(|client| clients.contains(&client.id)) else {
            return;
        };
        if waiter.course().is_some() || waiter.is_bound() {
            return;
        }
        let uses = subject(waiter, bytes, link.key.database, link.shard.get()).uses();
        let trail = client.order.borrow_mut().begin(waiter.ticket, uses, Place::Sent(id));
        let course = Course { trail, tried: Tried::default(), nest: None, asking: Asking::No, sent_us: 0 };
        waiter.special.get_or_insert_default().course = Some(course);
    });
}
