//! One request that looks for its way: what it carries, and each step that it takes.

use std::{rc::Rc, sync::Arc};

use slotway_cluster::{Database, ShardId};
use slotway_resp::request::OwnedRequest;

use crate::{
    client::{Client, Fate, Stall},
    errors,
    follow::{
        ASKING,
        nest::Nest,
        order::{self, Leave, Place},
        plan::{News, Tried, Way},
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

/// What a request on its way takes besides its bytes: itself, its place in the order, its part of a reply.
pub(super) const STRAY_BYTES: u64 = 512;

/// One request on its way.
pub(super) struct Stray {
    pub(super) waiter: Waiter,
    /// Without `ASKING`.
    pub(super) bytes: Vec<u8>,
    /// Of the link that it was on last.
    pub(super) key: LinkKey,
    /// Named in errors; where a request without keys belongs.
    pub(super) shard: ShardId,
    pub(super) goal: Goal,
    /// Thread clock, microseconds: not before this.
    pub(super) due_us: u64,
    /// Not before this is known, or its shard has another epoch than its last link.
    awaits: Option<Awaited>,
    /// What its client is told if it never runs, instead of what the proxy would say.
    last_words: Option<Vec<u8>>,
}

/// What a member said that the proxy has to learn.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    news: News,
    /// Thread clock, microseconds. If nobody tells, the member is asked again.
    until_us: u64,
}

/// Where to.
pub(super) enum Goal {
    Address {
        address: Arc<str>,
        asking: bool,
    },
    /// Where the topology says when it leaves.
    Owner,
    /// As [`Goal::Owner`], each key by itself.
    KeyByKey,
}

/// What became of a request that was looked at.
pub(super) enum Step {
    /// Sent, or answered.
    Gone,
    Stays(Box<Stray>),
    Cut(Vec<Stray>),
}

impl Stray {
    /// None: nobody waits for it.
    pub(super) fn new(link: &Link, mut waiter: Waiter, mut bytes: Vec<u8>, now_us: u64) -> Option<Stray> {
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
        let (awaits, last_words) = (None, None);
        Some(Stray { waiter, bytes, key, shard, goal: Goal::Owner, due_us: now_us, awaits, last_words })
    }

    /// A node refused it with these words.
    pub(super) fn note(&mut self, line: &[u8]) {
        let own = line.strip_prefix(b"-").is_some_and(|text| text.starts_with(errors::NOREPLICAS.as_bytes()));
        self.last_words = own.then(|| line.to_vec());
    }

    /// The node at the end of `link` says that it will not run before the proxy knows this.
    pub(super) fn learn(&mut self, thread: &Thread, link: &Link, news: News) {
        let is_known = !link.is_to_member() || thread.known(self.shard).covers(news);
        if !is_known {
            let patience = u64::try_from(thread.limits().backoff_max.as_micros()).unwrap_or(u64::MAX);
            self.awaits = Some(Awaited { news, until_us: thread.now_us().saturating_add(patience) });
        } else if let Some(course) = self.waiter.course_mut()
            && let Way::Wait { us } = course.tried.wait()
        {
            // The node is behind, or about to be told.
            self.due_us = thread.now_us() + us;
        }
    }

    fn is_waiting_for_news(&self, thread: &Thread) -> bool {
        let Some(Awaited { news, until_us }) = self.awaits else { return false };
        let known = thread.known(self.shard);
        thread.now_us() < until_us && !known.covers(news) && known.epoch == self.key.epoch
    }

    /// When it is to be looked at again, whatever else happens.
    pub(super) fn wakes_us(&self, now_us: u64, hold_us: u64) -> u64 {
        let ahead = |us: &u64| *us > now_us;
        let due_us = Some(self.due_us).filter(ahead);
        let until_us = self.awaits.map(|awaited| awaited.until_us).filter(ahead);
        let deadline_us = self.waiter.since_us + hold_us + 1;
        due_us.into_iter().chain(until_us).fold(deadline_us, u64::min)
    }

    pub(super) fn client(&self) -> &Rc<Client> {
        self.waiter.client.as_ref().expect("a stray without a client is never made")
    }

    /// Its client may have something under way on the link that is not in its order yet.
    pub(super) fn is_news(&self, link: &Link) -> bool {
        let client = self.client();
        let replies = client.replies.borrow();
        let alone = replies.outstanding() <= 1;
        !alone && client.order.borrow_mut().is_news(link.id(), replies.next())
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        subject(&self.waiter, &self.bytes, self.key.database, self.shard)
    }

    /// When it was taken on, if it may write.
    pub(super) fn write_us(&self) -> Option<u64> {
        self.waiter.is_write_until(u64::MAX).then_some(self.waiter.since_us)
    }

    /// What it counts for.
    pub(super) fn load(&self) -> Load {
        Load { requests: 1, bytes: self.bytes.len() as u64 + STRAY_BYTES }
    }

    /// From now on its client's other requests heed it.
    pub(super) fn enter_order(&mut self) {
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
    pub(super) fn step(self, thread: &Rc<Thread>) -> Step {
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
        if self.due_us > now_us || self.is_waiting_for_news(thread) {
            return Step::Stays(Box::new(self));
        }
        let subject = self.subject();
        let (key, asking) = match &self.goal {
            Goal::Address { address, asking } => {
                let address = Arc::clone(address);
                let epoch = thread.epoch_at(&address);
                (LinkKey { address, epoch, reach: Reach::Primary, ..self.key.clone() }, *asking)
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
            self.give_up(thread);
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
            let (key, awaits, last_words) = (key.clone(), None, None);
            let (goal, due_us) = (Goal::Owner, thread.now_us());
            let mut stray = Stray { waiter, bytes, key, shard, goal, due_us, awaits, last_words };
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
    pub(super) fn give_up(self, thread: &Thread) {
        let held_ms = thread.now_us().saturating_sub(self.waiter.since_us) / 1000;
        thread.follow.report(thread, self.shard, held_ms);
        let text = self.last_words.unwrap_or_else(|| errors::no_primary(self.shard, held_ms));
        self.waiter.refuse(thread, &text);
    }
}

pub(super) fn subject<'a>(
    waiter: &Waiter,
    bytes: &'a [u8],
    database: Database,
    shard: ShardId,
) -> Subject<'a> {
    let course = waiter.course();
    let attempt = course.map_or(0, |course| usize::from(course.tried.waits));
    let asked = course.is_some_and(|course| course.asking != Asking::No);
    let bytes = if asked { bytes.strip_prefix(ASKING).unwrap_or(bytes) } else { bytes };
    Subject { command: waiter.command, database, bytes, shard, attempt }
}
