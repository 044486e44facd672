//! A node's seat in a shard of the control group's: the keyspace thread's side of the protocol.
//!
//! What is to be done is decided by [`slotway_cluster::member::Shard`]; here it is told what happens and its effects are performed
//! ([`perform`]). Orders come from the pulse thread ([`Vitals`]), which rings; growth of the stream is told at the end of each
//! turn ([`growth`]); what replicas hold, when they acknowledge it ([`members`]).
//!
//! **Parking.** Requests on keys are executed only while the node serves under a lease; the clock is read behind the reading of
//! a batch ([`Node::look_at_lease`]), so that a process that was stopped in between finds its lease ended. Otherwise they wait unread in
//! their connections, as CLIENT PAUSE has it, for at most [`PARKED_MAX`]; then they are refused, and have not run. Once another
//! node leads they are referred to it: with `-STALE` to proxies, which said SLOTWAY LINK, with `-MOVED` to others.
//!
//! **Replies** wait at the [`crate::gate::Gate`] until what they tell of is committed ([`replies`]). A replica's readers wait there, too:
//! they see nothing beyond what the primary called committed in its last heartbeat (I8).
//!
//! A node without a seat pays one branch for each batch.

use std::{rc::Rc, time::Duration};

use slotway_cluster::{
    Epoch, Member, Position, ShardId,
    control::Durability,
    member::{Event, Shard as Machine},
    pulse::{
        Boot, Identity, Lease, Life, Order, Orders,
        wire::{Part, UpstreamState},
    },
    replication::EpochRecord,
};
use slotway_commands::Command;
use slotway_link::clock::boottime;

use crate::{
    client::Client,
    condition::Trouble,
    gate::Holder,
    membership::{Adopted, LedBy},
    node::Node,
    output::AT_ONCE,
    pause::{Congested, is_about_data},
    thread::Thread,
    vitals::Upstream,
};

mod growth;
mod members;
mod perform;
mod replies;
mod stretches;

pub(crate) use members::MemberSaid;
use stretches::Stretches;

/// Requests that nobody lets this node serve wait for so long, then they are refused.
pub(crate) const PARKED_MAX: Duration = Duration::from_secs(5);
/// Writes of which too few copies could be made wait for so long, then they are refused.
pub(crate) const COPIES_WAIT_MAX: Duration = Duration::from_secs(5);
/// That a primary was heard is told again after this.
const HEARD_EVERY: Duration = Duration::from_millis(250);
/// How often a node with a seat looks whether time has changed anything, if its machine does not want to be asked earlier.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The seat.
pub(crate) struct Seat {
    machine: Machine,
    cluster_id: String,
    shard: ShardId,
    pub(crate) me: Member,
    /// Of the topology that it knows: the log's index.
    version: u64,
    durability: Durability,
    duty: Duty,
    /// Since when requests on keys wait.
    waiting_since: Option<Duration>,
    /// Since when there are too few copies.
    too_few_since: Option<Duration>,
    stretches: Stretches,
    /// Whom it follows.
    primary: Option<(Member, Epoch)>,
    upstream: Option<Upstream>,
    /// EPOCH records that were applied and are not told yet.
    records: Vec<EpochRecord>,
    /// A full synchronisation is in force and not told yet.
    is_replaced: bool,
    /// The greatest version that a link said.
    link_version: u64,
    part: Part,
}

/// What the node does with requests on keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// They wait.
    Wait,
    /// They are executed, under a lease of this epoch.
    Serve(Epoch),
    /// This node is a replica, or none of the shard: they are referred to the primary, or read here by who said READONLY.
    Refer,
}

impl Seat {
    /// Of a node that is this one. `held`: what it has of its shard's stream.
    fn new(boot: &Boot, identity: &Identity, held: Position) -> Seat {
        Seat {
            machine: Machine::new(boot, held),
            cluster_id: identity.cluster_id.clone(),
            shard: identity.shard,
            me: Member::new(&identity.node, boot.incarnation),
            version: 0,
            durability: Durability::Quorum,
            duty: Duty::Wait,
            waiting_since: None,
            too_few_since: None,
            stretches: Stretches::default(),
            primary: None,
            upstream: None,
            records: Vec::new(),
            is_replaced: false,
            link_version: 0,
            part: Part::None,
        }
    }

    /// The epoch whose stream this node makes.
    pub(crate) fn leads(&self) -> Option<Epoch> {
        match self.part {
            Part::Opening { epoch }
            | Part::Serving { epoch }
            | Part::Parked { epoch }
            | Part::Stopped { epoch, .. } => Some(epoch),
            Part::None
            | Part::Loading
            | Part::Learner { .. }
            | Part::Replica { .. }
            | Part::Returned { .. } => None,
        }
    }

    /// Whether keys past their deadline go here.
    pub(crate) fn expires(&self) -> bool {
        matches!(self.duty, Duty::Serve(_))
    }

    /// Whether it has led and told where its stream ends, for good or until a switchover is called off.
    pub(crate) fn has_stopped(&self) -> bool {
        matches!(self.part, Part::Stopped { .. })
    }

    /// Whom it follows, and in which epoch.
    pub(crate) fn primary(&self) -> Option<&(Member, Epoch)> {
        self.primary.as_ref()
    }

    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    /// How long nothing comes with time.
    fn rest(&self) -> Duration {
        let due = self.machine.wake_at().map(|at| at.saturating_sub(boottime()));
        due.map_or(LOOK_EVERY, |due| due.min(LOOK_EVERY))
    }

    /// An EPOCH record was applied.
    pub(crate) fn applied(&mut self, record: EpochRecord) {
        self.records.push(record);
    }

    /// A link to this node was made by a topology of this version.
    pub(crate) fn linked(&mut self, version: u64) {
        self.link_version = self.link_version.max(version);
    }
}

impl Node {
    /// Behind the reading of requests and before they are executed: whether those on keys may be.
    #[inline]
    pub(crate) fn look_at_lease(&mut self) {
        if self.seat.is_some() {
            self.is_parked = self.is_some_parked();
        }
    }

    #[inline(never)]
    fn is_some_parked(&mut self) -> bool {
        let may_serve = self.may_serve();
        let Some(seat) = &mut self.seat else { return false };
        if may_serve {
            seat.waiting_since = None;
        } else {
            seat.waiting_since.get_or_insert_with(boottime);
        }
        !may_serve || seat.link_version > seat.version
    }

    /// Whether requests on keys need not wait, as far as this node is concerned.
    fn may_serve(&self) -> bool {
        match self.seat.as_ref().map(|seat| seat.duty) {
            Some(Duty::Wait) => false,
            Some(Duty::Serve(epoch)) => {
                let now = boottime();
                let (of, until) = self.vitals.lease();
                Lease { epoch: of, until }.allows(epoch, self.vitals.seen(), now)
            }
            // Whom the log calls the primary by a life that is over has nobody to refer to but itself.
            Some(Duty::Refer) => self.membership.adopted().is_none_or(|adopted| !adopted.is_primary()),
            None => true,
        }
    }

    /// Whether a request has to wait. One that has waited for too long is refused instead.
    #[cold]
    pub(crate) fn parks(&self, client: &Client, row: &Command) -> bool {
        let Some(seat) = &self.seat else { return false };
        if !is_about_data(row) {
            return false;
        }
        let is_ahead = client.link.get().is_some_and(|said| said.version > seat.version);
        is_ahead || seat.waiting_since.is_some() && !self.condition.has(&Trouble::Parked)
    }

    /// Something happened that the machine has to know.
    pub(crate) fn tell_seat(&mut self, event: Event<'_>) {
        let Some(seat) = &mut self.seat else { return };
        let effects = seat.machine.on(event, boottime());
        self.perform_all(effects);
    }

    /// The log says something.
    fn follow_orders(&mut self, orders: &Orders) {
        if self.seat.as_ref().is_some_and(|seat| orders.topology.version < seat.version) {
            return;
        }
        if let Err(why) = self.take_over(orders) {
            tracing::error!(%why, "orders that cannot be followed");
            return;
        }
        if self.seat.is_none() {
            self.take_seat(Identity {
                cluster_id: orders.topology.cluster_id.clone(),
                shard: orders.shard,
                node: orders.me.clone(),
            });
        }
        let Some(seat) = &mut self.seat else { return };
        seat.version = orders.topology.version;
        let before = std::mem::replace(&mut seat.durability, orders.durability);
        if orders.state.rule.primary.node != seat.me.node && !matches!(seat.duty, Duty::Serve(_)) {
            seat.duty = Duty::Refer;
        }
        if before != orders.durability {
            self.hold_gate_for_quorum();
        }
        self.tell_seat(Event::Ordered(orders));
        self.look_for_primary();
        self.tell_pulse();
        self.look_at_lease();
        self.wake_paused();
    }

    /// A node that took orders before it was started again waits for new ones: what it led it never leads by itself.
    pub(crate) fn return_to_seat(&mut self) {
        let identity = self.membership.adopted().filter(|adopted| adopted.led_by == LedBy::Orders).and_then(
            |Adopted { topology, me, .. }| {
                let (cluster_id, shard) = (topology.cluster_id.clone(), topology.shard_of(me)?.id);
                Some(Identity { cluster_id, shard, node: me.clone() })
            },
        );
        if let Some(identity) = identity {
            self.take_seat(identity);
        }
    }

    fn take_seat(&mut self, identity: Identity) {
        let Some(boot) = &self.boot else {
            return tracing::error!("orders came before it was known who this process is");
        };
        let boot = boot.clone();
        // What was fed is handed on by the rules under which it was executed.
        self.deliver();
        if self.replication.backlog.is_none() {
            match boot.life {
                // What it wrote while nobody listened has no place in any history.
                Life::New => self.begin_stream(),
                Life::Kept { .. } => self.keep_stream(),
            }
        }
        let offset = self.replication.offset;
        let held = Position { epoch: self.replication.lineage.epoch_at(offset), offset };
        let mut seat = Box::new(Seat::new(&boot, &identity, held));
        seat.stretches.jump(held.offset, self.keyspace.feed.taken());
        tracing::info!(shard = %seat.shard, me = %seat.me, %held, "this node has a seat in a shard");
        self.seat = Some(seat);
        self.vitals.publish(held);
        self.gate.hold_all(Holder::Quorum);
        self.hold_gate_for_quorum();
        self.halt();
        self.look_at_lease();
    }

    /// A lease was granted, or has run out, or time has passed.
    fn heed_time(&mut self) {
        let before = self.is_parked;
        self.look_at_lease();
        let now = boottime();
        let Some(seat) = &mut self.seat else { return };
        let has_passed = |since: Option<Duration>, max| since.is_some_and(|since| now >= since + max);
        let is_tired = has_passed(seat.waiting_since, PARKED_MAX);
        let lacks_copies = has_passed(seat.too_few_since, COPIES_WAIT_MAX);
        let effects = seat.machine.tick(now);
        let mut wakes = before && !self.is_parked;
        if self.trouble(Trouble::Parked, is_tired) {
            wakes = true;
            if is_tired {
                // Nobody can say when, or whether, what was executed before will be certain.
                self.cut_withheld();
            }
        }
        if lacks_copies && self.congestion.has(Congested::Copies) {
            // From now on they are refused instead.
            self.relieve(Congested::Copies);
        }
        self.perform_all(effects);
        if wakes {
            self.wake_paused();
        }
        // Requests may still wait for a topology while replies may leave.
        if self.gate.released() > AT_ONCE {
            self.wake_withheld();
        }
    }

    /// True: that is new.
    fn trouble(&mut self, trouble: Trouble, is_there: bool) -> bool {
        match (self.condition.has(&trouble), is_there) {
            (false, true) => self.condition.note(trouble),
            (true, false) => self.condition.forget(&trouble),
            (true, true) | (false, false) => return false,
        }
        true
    }

    /// What the pulse tells others of this node.
    pub(crate) fn tell_pulse(&mut self) {
        let upstream = self.upstream_now();
        let Some(seat) = &mut self.seat else { return };
        let led = seat.leads().is_some();
        seat.part = seat.machine.part();
        let has_changed = seat.leads().is_some() != led;
        seat.upstream = upstream;
        let (index, part, upstream) = (seat.version, seat.part, seat.upstream.clone());
        self.vitals.tell(|told| {
            told.index = index;
            told.part = part;
            told.upstream = upstream;
        });
        if has_changed {
            // Who leads no more lets nobody write.
            self.heed_following();
        }
        self.open_to_readers(part);
    }

    /// How the link to the primary is.
    fn upstream_now(&self) -> Option<Upstream> {
        let seat = self.seat.as_ref()?;
        let (primary, _) = seat.primary.as_ref()?;
        let state = self.upstream_state()?;
        let known = seat.upstream.as_ref().filter(|known| known.node == primary.node && known.state == state);
        let since = match known {
            Some(known) => known.since,
            None => boottime(),
        };
        let since = match state {
            // Told seldom: the pulse need not be woken by each read.
            UpstreamState::Up => {
                let heard = boottime().saturating_sub(self.since_primary());
                if heard < since + HEARD_EVERY { since } else { heard }
            }
            UpstreamState::Syncing | UpstreamState::Refused | UpstreamState::Silent => since,
        };
        Some(Upstream { node: primary.node.clone(), state, since })
    }
}

/// Takes orders and heeds the time, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let vitals = std::sync::Arc::clone(&thread.node.borrow().vitals);
    loop {
        // Without a seat only orders can come.
        let rest = thread.node.borrow().seat.as_ref().map(|seat| seat.rest());
        tokio::select! {
            () = vitals.news_for_keyspace() => {}
            () = tokio::time::sleep(rest.unwrap_or_default()), if rest.is_some() => {}
        }
        let orders = vitals.take_orders();
        let node = &mut *thread.node.borrow_mut();
        let seen = vitals.seen();
        node.tell_seat(Event::Seen(seen));
        for order in orders {
            node.obey(order);
        }
        node.heed_committed();
        node.heed_time();
        node.tell_pulse();
        thread.end_turn(node);
    }
}

impl Node {
    fn obey(&mut self, order: Order) {
        match order {
            Order::Follow(orders) => self.follow_orders(&orders),
            Order::Activate { epoch, not_before } => self.tell_seat(Event::Activate { epoch, not_before }),
            Order::Stop { epoch, version } => self.tell_seat(Event::Stop { epoch, version }),
            Order::Unheard { epoch, members } => self.tell_seat(Event::Unheard { epoch, members: &members }),
        }
    }
}

#[cfg(test)]
mod tests;
