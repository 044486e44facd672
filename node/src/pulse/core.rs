//! The machine of the pulse and everything that is done for it.
//!
//! Whatever happens on the pulse thread comes here: a word on a connection, an answer of a sync member, news of the keyspace
//! thread, a moment. The machine says what follows, and that is done at once and in its order: a promise is on the disk, then
//! published, then the position is read, then it is said.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use slotway_cluster::{
    Epoch, Incarnation, NodeId,
    pulse::{
        Boot, Effect, Event, FromNode, GRANT, Lease, Order, Orders, Peer, Pulse, Status, ToNode,
        wire::{Busy, Part, Upstream, UpstreamState, millis},
    },
};
use slotway_config::Secret;
use slotway_link::boottime;
use tokio::{sync::Notify, time::sleep};

use super::{beats::Beats, outbox::Outbox};
use crate::{
    membership::Keeper,
    vitals::{Look, Told, Vitals},
};

/// Everything on the pulse thread, shared by its tasks and never borrowed across an await.
pub(super) struct Core {
    me: Weak<Core>,
    state: RefCell<State>,
    vitals: Arc<Vitals>,
    keeper: Arc<Keeper>,
    secret: Secret,
    incarnation: Incarnation,
    /// Rung when the machine may want to be woken at another moment.
    rearm: Notify,
}

struct State {
    machine: Pulse,
    sessions: BTreeMap<Peer, Rc<Outbox>>,
    next_peer: u64,
    beats: Beats,
    look: Look,
    /// What the machine and the proxies know of the keyspace thread.
    told: Told,
    seen: Epoch,
    /// From whom, and when, the last one came that was granted.
    heartbeat: Option<(NodeId, Duration)>,
}

impl Core {
    pub(super) fn new(boot: Boot, vitals: Arc<Vitals>, keeper: Arc<Keeper>, secret: Secret) -> Rc<Core> {
        let incarnation = boot.incarnation;
        let state = State {
            machine: Pulse::new(&boot, boottime()),
            sessions: BTreeMap::new(),
            next_peer: 0,
            beats: Beats::default(),
            look: Look::default(),
            told: Told::default(),
            seen: Epoch::default(),
            heartbeat: None,
        };
        Rc::new_cyclic(|me| Core {
            me: Weak::clone(me),
            state: RefCell::new(state),
            vitals,
            keeper,
            secret,
            incarnation,
            rearm: Notify::new(),
        })
    }

    pub(super) fn secret(&self) -> &[u8] {
        self.secret_text().as_bytes()
    }

    pub(super) fn secret_text(&self) -> &str {
        self.secret.reveal()
    }

    /// Connections that are open.
    pub(super) fn sessions(&self) -> usize {
        self.state.borrow().sessions.len()
    }

    /// Somebody has connected.
    pub(super) fn meet(&self) -> (Peer, Rc<Outbox>) {
        let mut state = self.state.borrow_mut();
        let peer = Peer(state.next_peer);
        state.next_peer += 1;
        let outbox = Rc::new(Outbox::default());
        state.sessions.insert(peer, Rc::clone(&outbox));
        (peer, outbox)
    }

    /// Its connection has ended.
    pub(super) fn part(&self, peer: Peer) {
        self.state.borrow_mut().sessions.remove(&peer);
    }

    /// A member said this.
    pub(super) fn said(&self, peer: Peer, outbox: &Outbox, word: &ToNode) {
        let now = boottime();
        match word {
            ToNode::Ping { seq, .. } => {
                outbox.wants_news.set(true);
                let status = Box::new(self.status(&mut self.state.borrow_mut(), now));
                outbox.say(&FromNode::Pong { seq: Some(*seq), status });
            }
            ToNode::Orders(orders) if self.is_another(orders) => {
                let (shard, epoch) = (orders.shard, orders.state.epoch);
                let why = "this node belongs to another cluster, or is another of its nodes".to_owned();
                outbox.say(&FromNode::Refused { shard, epoch, seen: Epoch::default(), why });
            }
            ToNode::Heartbeat(beat) => {
                let effects = self.state.borrow_mut().machine.on(Event::Said { by: peer, word }, now);
                let is_granted = effects
                    .iter()
                    .any(|effect| matches!(effect, Effect::Say { word: FromNode::Grant { .. }, .. }));
                if is_granted {
                    self.state.borrow_mut().heartbeat = Some((beat.primary.node.clone(), now));
                    self.vitals.heard_committed(beat.epoch, beat.committed);
                }
                self.perform(effects, now);
            }
            ToNode::Fence { .. } | ToNode::Orders(_) | ToNode::Activate { .. } | ToNode::Stop { .. } => {
                self.on(Event::Said { by: peer, word }, now);
            }
        }
    }

    /// The keyspace thread may have been adopted by `SLOTWAY TOPOLOGY`, of which the machine is not told.
    fn is_another(&self, orders: &Orders) -> bool {
        let own = self.keeper.file();
        own.is_some_and(|own| {
            own.topology.cluster_id != orders.topology.cluster_id || own.node_id != orders.me
        })
    }

    /// A sync member has answered a heartbeat.
    pub(super) fn answered(&self, word: &FromNode) {
        self.on(Event::Answered(word), boottime());
    }

    /// The keyspace thread has news.
    fn hear(&self) {
        let now = boottime();
        let (told, seen) = (self.vitals.told(), self.vitals.seen());
        let before = {
            let mut state = self.state.borrow_mut();
            state.seen = seen;
            std::mem::replace(&mut state.told, told.clone())
        };
        // Before the proposal that they belong to is shown to anybody (I5).
        if told.rules != before.rules {
            let (epoch, rules) = &told.rules;
            self.on(Event::LeaseBy { epoch: *epoch, rules }, now);
        }
        self.on(Event::Seen(seen), now);
        let is_news = told.part != before.part
            || told.proposal != before.proposal
            || told.index != before.index
            || link(&told) != link(&before);
        if is_news {
            self.tell_proxies(now);
        }
    }

    /// How the node is, unasked, to all that have asked before.
    fn tell_proxies(&self, now: Duration) {
        let mut state = self.state.borrow_mut();
        if !state.sessions.values().any(|outbox| outbox.wants_news.get()) {
            return;
        }
        let status = Box::new(self.status(&mut state, now));
        let word = FromNode::Pong { seq: None, status };
        for outbox in state.sessions.values().filter(|outbox| outbox.wants_news.get()) {
            outbox.say(&word);
        }
    }

    fn status(&self, state: &mut State, now: Duration) -> Status {
        let State { told, look, machine, heartbeat, .. } = state;
        let identity = machine.identity();
        let upstream = told.upstream.as_ref().map(|upstream| {
            let node = upstream.node.clone();
            // A stream with nothing to say is as quiet as a dead one; the primary's heartbeats come whatever its clients do.
            let beat = heartbeat.as_ref().filter(|(primary, at)| *primary == node && now >= *at + GRANT);
            match (upstream.state, beat) {
                (UpstreamState::Up | UpstreamState::Syncing, Some((_, at))) => {
                    let for_ms = millis(now.saturating_sub(*at));
                    Upstream { node, state: UpstreamState::Silent, for_ms }
                }
                (state, _) => Upstream { node, state, for_ms: millis(now.saturating_sub(upstream.since)) },
            }
        });
        let (keys, memory_bytes) = self.vitals.size();
        Status {
            cluster_id: identity.map(|identity| identity.cluster_id.clone()),
            node: identity.map(|identity| identity.node.clone()),
            incarnation: self.incarnation,
            index: told.index,
            seen: self.vitals.seen(),
            position: self.vitals.position(),
            part: told.part,
            proposal: told.proposal.clone(),
            busy: look
                .again(&self.vitals.progress, now)
                .map(|busy| Busy { under_lease: self.serves_under_lease(told.part, now), ..busy }),
            upstream,
            keys: Some(keys),
            memory_bytes: Some(memory_bytes),
            software: crate::identity::SOFTWARE.into(),
        }
    }

    /// What the keyspace thread would find if it looked now.
    fn serves_under_lease(&self, part: Part, now: Duration) -> bool {
        let (of, until) = self.vitals.lease();
        matches!(part, Part::Serving { epoch } if Lease { epoch: of, until }.allows(epoch, self.vitals.seen(), now))
    }

    fn on(&self, event: Event<'_>, now: Duration) {
        let effects = self.state.borrow_mut().machine.on(event, now);
        self.perform(effects, now);
    }

    /// The machine wanted to be woken.
    fn tick(&self) {
        let now = boottime();
        let effects = {
            let state = &mut *self.state.borrow_mut();
            let mut effects = state.machine.on(Event::Committed(self.vitals.committed()), now);
            effects.extend(state.machine.tick(now));
            effects
        };
        self.perform(effects, now);
    }

    fn perform(&self, effects: Vec<Effect>, now: Duration) {
        let state = &mut *self.state.borrow_mut();
        for effect in effects {
            match effect {
                Effect::Persist { identity: _, promised } => match self.keeper.promise(promised) {
                    Ok(()) => state.machine.persisted(promised),
                    Err(error) => {
                        // What was to follow would be a promise that a restart forgets. Whoever asked asks again.
                        tracing::error!(%promised, %error, "cannot keep a promise on the disk, and gives none");
                        return;
                    }
                },
                Effect::Publish { promised } => {
                    self.vitals.see(promised);
                    state.seen = state.seen.max(promised);
                }
                Effect::Promise { to, shard, epoch, member, grant_left } => {
                    let position = self.vitals.position();
                    tracing::info!(%shard, %epoch, %position, "promised to take nothing of an earlier epoch");
                    let grant_left_ms = millis(grant_left);
                    let word = FromNode::Promise { shard, epoch, member, position, grant_left_ms };
                    say(state, to, &word);
                }
                Effect::Say { to, word } => say(state, to, &word),
                Effect::Beat { to, beat } => state.beats.send(&to, beat, &self.me),
                Effect::Lease(lease) => self.vitals.set_lease(lease.epoch, lease.until, now),
                Effect::Obey(order) => {
                    if let Order::Follow(orders) = &order {
                        state.beats.reach(&orders.pulse_addrs);
                    }
                    self.vitals.order(order);
                }
            }
        }
        self.rearm.notify_one();
    }
}

/// To a connection that may have ended.
fn say(state: &State, to: Peer, word: &FromNode) {
    if let Some(outbox) = state.sessions.get(&to) {
        outbox.say(word);
    }
}

/// Of the link upstream, what is worth a word at once.
fn link(told: &Told) -> Option<(&slotway_cluster::NodeId, slotway_cluster::pulse::wire::UpstreamState)> {
    told.upstream.as_ref().map(|upstream| (&upstream.node, upstream.state))
}

/// Wakes the machine when it wants to be.
pub(super) async fn keep_time(core: Rc<Core>) {
    loop {
        let wake_at = core.state.borrow().machine.wake_at();
        let moment = async {
            match wake_at {
                Some(at) => sleep(at.saturating_sub(boottime())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = moment => core.tick(),
            () = core.rearm.notified() => {}
        }
    }
}

/// Takes the keyspace thread's news.
pub(super) async fn hear_keyspace(core: Rc<Core>) {
    loop {
        core.hear();
        core.vitals.news_for_pulse().await;
    }
}
