//! Requests that look for their way: sent back by a node because of how the cluster stands, or held on a link that no
//! longer leads to the owner of their keys. Clients see none of it but the time.
//!
//! A request comes here with its bytes and its waiter ([`Follow::strayed`]), stays in the thread's list, and leaves it again in
//! the pass of a task that runs when something has changed or is due: to the address that a redirection named, to the
//! owner by the present topology, or cut into parts that find their own ways. What the error means is decided in [`plan`],
//! in which order requests of a client may leave in [`order`], who owns the keys in [`reroute`]; [`nest`] puts the parts of a
//! cut request together. All of it ends at `hold-ms-max` after the request was taken on.
//!
//! While anything of a client is here its task dispatches nothing new ([`Stall::Order`]).

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use slotway_cluster::{Database, ShardId};
use slotway_resp::request::OwnedRequest;
use tokio::sync::Notify;

use crate::{
    client::{Client, Fate, Stall},
    errors,
    follow::{
        nest::Nest,
        order::{Leave, Place},
        plan::{Shape, Tried, Way},
        reroute::{Owner, Subject},
    },
    link::{
        Link, LinkKey, Load, Reach,
        unit::Asking,
        waiter::{Course, Waiter},
    },
    split::Cut,
    thread::Thread,
};

pub(crate) mod nest;
pub(crate) mod order;
pub(crate) mod plan;
mod reroute;

/// In front of a request that a node takes only for being asked.
pub(crate) const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// Between two lines of the log about requests that were given up.
const REPORT_US: u64 = 1_000_000;

/// What a request on its way takes besides its bytes: itself, its place in the order, its part of a reply.
const STRAY_BYTES: u64 = 512;

/// One request on its way.
struct Stray {
    waiter: Waiter,
    /// Without `ASKING`.
    bytes: Vec<u8>,
    /// Of the link that it was on last.
    key: LinkKey,
    /// Named in errors; where a request without keys belongs.
    shard: ShardId,
    goal: Goal,
    /// Thread clock, microseconds: not before this.
    due_us: u64,
}

/// Where to.
enum Goal {
    Address {
        address: Arc<str>,
        asking: bool,
    },
    /// Where the topology says when it leaves.
    Owner,
    /// As [`Goal::Owner`], each key by itself.
    KeyByKey,
}

/// A data thread's requests that look for their way.
#[derive(Default)]
pub(crate) struct Follow {
    strays: RefCell<Vec<Stray>>,
    held: RefCell<BTreeMap<ShardId, Load>>,
    /// When the oldest of those that may write was taken on. Thread clock, microseconds.
    oldest_write_us: Cell<Option<u64>>,
    /// What links hold may belong elsewhere now.
    moved: Cell<bool>,
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
        let may_be_cut = !stray.waiter.is_inquiry() && subject.is_divisible();
        let shape = match may_be_cut && subject.has_several_keys() {
            true => Shape::Divisible,
            false => Shape::Whole,
        };
        let Some(course) = stray.waiter.course_mut() else { return };
        match course.tried.way(line, &link.key.address, shape) {
            Way::To { address, asking } => stray.goal = Goal::Address { address: address.into(), asking },
            Way::KeyByKey => stray.goal = Goal::KeyByKey,
            Way::Wait { us } => stray.due_us = thread.now_us() + us,
            Way::GiveUp => return stray.give_up(thread),
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
            return stray.waiter.refuse(thread, &errors::busy("hold-bytes-max"));
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
    fn take_from_links(&self, thread: &Thread) {
        for link in thread.shared_links() {
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
        let wakes = |stray: &Stray| {
            let deadline_us = stray.waiter.since_us + hold_us + 1;
            if stray.due_us > now_us { stray.due_us.min(deadline_us) } else { deadline_us }
        };
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
        strays.iter().map(wakes).min()
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

fn subject<'a>(waiter: &Waiter, bytes: &'a [u8], database: Database, shard: ShardId) -> Subject<'a> {
    let course = waiter.course();
    let attempt = course.map_or(0, |course| usize::from(course.tried.waits));
    let asked = course.is_some_and(|course| course.asking != Asking::No);
    let bytes = if asked { bytes.strip_prefix(ASKING).unwrap_or(bytes) } else { bytes };
    Subject { command: waiter.command, database, bytes, shard, attempt }
}

/// What became of a request that was looked at.
enum Step {
    /// Sent, or answered.
    Gone,
    Stays(Box<Stray>),
    Cut(Vec<Stray>),
}

impl Stray {
    /// None: nobody waits for it.
    fn new(link: &Link, mut waiter: Waiter, mut bytes: Vec<u8>, now_us: u64) -> Option<Stray> {
        let client = waiter.client.as_ref().filter(|client| client.fate.get() != Fate::CloseNow)?;
        if !waiter.is_inquiry() {
            // Whoever inquires waits for the answer anyway.
            client.stall.set(Some(Stall::Order));
            client.stopped_early.set(true);
        }
        if let Some(special) = &mut waiter.special {
            special.begin_again();
            if let Some(course) = &mut special.course
                && course.asking != Asking::No
            {
                bytes.drain(..ASKING.len());
                course.asking = Asking::No;
            }
        }
        let (key, shard) = (link.key.clone(), link.shard.get());
        Some(Stray { waiter, bytes, key, shard, goal: Goal::Owner, due_us: now_us })
    }

    fn client(&self) -> &Rc<Client> {
        self.waiter.client.as_ref().expect("a stray without a client is never made")
    }

    /// Its client may have something under way on the link that is not in its order yet.
    fn is_news(&self, link: &Link) -> bool {
        let client = self.client();
        let replies = client.replies.borrow();
        let alone = replies.outstanding() <= 1;
        !alone && client.order.borrow_mut().is_news(link.id(), replies.next())
    }

    fn subject(&self) -> Subject<'_> {
        subject(&self.waiter, &self.bytes, self.key.database, self.shard)
    }

    /// When it was taken on, if it may write.
    fn write_us(&self) -> Option<u64> {
        self.waiter.is_write_until(u64::MAX).then_some(self.waiter.since_us)
    }

    /// What it counts for.
    fn load(&self) -> Load {
        Load { requests: 1, bytes: self.bytes.len() as u64 + STRAY_BYTES }
    }

    /// From now on its client's other requests heed it.
    fn enter_order(&mut self) {
        let known = self.waiter.course().map(|course| course.trail);
        if let Some(trail) = known {
            return self.client().order.borrow_mut().is_at(trail, Place::Waits);
        }
        let uses = self.subject().uses();
        let trail = self.client().order.borrow_mut().begin(self.waiter.ticket, uses, Place::Waits);
        let course = Course { trail, tried: Tried::default(), nest: None, asking: Asking::No, sent_us: 0 };
        self.waiter.special.get_or_insert_default().course = Some(course);
    }

    /// Looks whether it may leave, and for where.
    fn step(self, thread: &Rc<Thread>) -> Step {
        let now_us = thread.now_us();
        let Some(trail) = self.waiter.course().map(|course| course.trail) else { return Step::Gone };
        if self.client().fate.get() == Fate::CloseNow {
            return Step::Gone;
        }
        if self.client().order.borrow().is_overtaken(trail) {
            self.overtaken(thread);
            return Step::Gone;
        }
        if now_us.saturating_sub(self.waiter.since_us) > thread.limits().hold_us_max {
            self.give_up(thread);
            return Step::Gone;
        }
        if self.due_us > now_us {
            return Step::Stays(Box::new(self));
        }
        let subject = self.subject();
        let (key, asking) = match &self.goal {
            Goal::Address { address, asking } => {
                let address = Arc::clone(address);
                (LinkKey { address, reach: Reach::Primary, ..self.key.clone() }, *asking)
            }
            Goal::KeyByKey => {
                let cut = subject.cut_by_key();
                return self.cut(thread, cut);
            }
            Goal::Owner => match subject.owner(thread) {
                Owner::Shard(shard) => (thread.key_to_owner(&self.key, shard), false),
                Owner::Several => {
                    let cut = subject.cut_by_owner(thread);
                    return self.cut(thread, cut);
                }
                Owner::Nobody => return self.wait(thread),
            },
        };
        if !thread.may_open(&key) {
            return self.wait(thread);
        }
        let link = thread.open_named(key, self.shard);
        let leave = self.client().order.borrow().may_leave(trail, link.id());
        match leave {
            Leave::NotYet => Step::Stays(Box::new(self)),
            Leave::Never => {
                self.overtaken(thread);
                Step::Gone
            }
            Leave::Now => self.send(thread, &link, asking),
        }
    }

    fn send(mut self, thread: &Thread, link: &Rc<Link>, asking: bool) -> Step {
        if !link.takes_on(thread) {
            return self.wait(thread);
        }
        let Some(course) = self.waiter.course_mut() else { return Step::Gone };
        course.asking = if asking { Asking::Due } else { Asking::No };
        course.sent_us = thread.now_us();
        let trail = course.trail;
        self.client().order.borrow_mut().is_at(trail, Place::Sent(link.id()));
        let bytes = self.bytes;
        link.push_again(thread, self.waiter, |out| {
            if asking {
                out.extend_from_slice(ASKING);
            }
            out.extend_from_slice(&bytes);
        });
        Step::Gone
    }

    /// Nobody takes it at present.
    fn wait(mut self, thread: &Thread) -> Step {
        thread.shared.stale.notify_one();
        self.goal = Goal::Owner;
        if let Some(course) = self.waiter.course_mut()
            && let Way::Wait { us } = course.tried.wait()
        {
            self.due_us = thread.now_us() + us;
        }
        Step::Stays(Box::new(self))
    }

    /// In its place go its parts.
    fn cut(self, thread: &Thread, cut: Option<(Cut, OwnedRequest)>) -> Step {
        let Some((cut, request)) = cut else { return self.wait(thread) };
        thread.follow.give_room(self.shard, self.load());
        // Few bytes beyond those of the whole belong to each part; they are in STRAY_BYTES.
        let requests = cut.parts.len() as u64;
        let parts = Load { requests, bytes: self.bytes.len() as u64 + requests * STRAY_BYTES };
        if !thread.follow.take_room(thread, self.shard, parts) {
            self.waiter.refuse(thread, &errors::busy("hold-bytes-max"));
            return Step::Gone;
        }
        let Stray { waiter, key, shard, .. } = self;
        let Waiter { client: Some(client), ticket, part, command, since_us, special } = waiter else {
            return Step::Gone;
        };
        let Some(course) = special.and_then(|special| special.course) else { return Step::Gone };
        client.order.borrow_mut().ended(course.trail, order::End::Refused);
        let count = u32::try_from(cut.parts.len()).expect("a request has fewer keys");
        let nests = Nest::parts(cut.gather(thread.random()), count, course.nest);
        let parts = cut.parts.iter().zip(nests).map(|(piece, nest)| {
            let mut bytes = Vec::new();
            cut.write(piece, request.view(), &mut bytes);
            let client = Some(Rc::clone(&client));
            let waiter = Waiter { client, ticket, part, command, since_us, special: None };
            let mut stray =
                Stray { waiter, bytes, key: key.clone(), shard, goal: Goal::Owner, due_us: thread.now_us() };
            stray.enter_order();
            if let Some(course) = stray.waiter.course_mut() {
                course.nest = Some(nest);
            }
            stray
        });
        Step::Cut(parts.collect())
    }

    /// A later request of the client has run: running this one now would be another order than the client's.
    fn overtaken(self, thread: &Thread) {
        if self.waiter.may_write() {
            return self.give_up(thread);
        }
        thread.counters.indeterminate.add(1);
        self.waiter.refuse(thread, errors::INDETERMINATE);
    }

    /// It was never applied.
    fn give_up(self, thread: &Thread) {
        let held_ms = thread.now_us().saturating_sub(self.waiter.since_us) / 1000;
        thread.follow.report(thread, self.shard, held_ms);
        self.waiter.refuse(thread, &errors::no_primary(self.shard, held_ms));
    }
}
