//! The one task that connects everything: links, log, opinions, machines, and what data threads and the admin API are shown.
//!
//! It waits for whatever happens next (a word of a node, an entry of the log, a proxy's opinions, an operator's wish, a moment), hands it to
//! whom it concerns, and does what they answer. Nothing in it waits for anything else: proposals and questions to nodes run beside it.
//!
//! Every proxy runs it; who does not lead watches, tells its opinions, and follows the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use slotway_cluster::{
    Cluster, Entry, NodeId, ProxyId, ShardId,
    control::{Durability, Outcome, ShardState},
    events::{self, News},
    failover::{Effect, Event, Loss},
    health::PING_EVERY,
    pulse::wire::Part,
    view::{self, RaftRole, Service, ShardObservation},
};
use slotway_link::boottime;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};

use crate::{
    failover::{self, Failovers},
    founding::{self, Introduction, Plan},
    group::{Group, Leadership, Told},
    health::{Health, Opinions},
    pulse_links::{PulseLinks, Seen},
    shared::{Decided, Managed, Shared},
};

use places::{Naming, Placed};

mod places;

/// Between two looks at what only time changes.
const TICK: Duration = Duration::from_millis(50);

const _: () = assert!(TICK.as_millis() < PING_EVERY.as_millis());

/// Between two questions who a node is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// A shard that was not served for so long is down, and not in failover.
const FAILOVER_MAX: Duration = Duration::from_secs(5);

/// Reports of links that wait; whoever has one more waits with it.
pub(crate) const REPORTS_MAX: usize = 1024;

/// Wishes of operators that wait.
pub(crate) const WISHES_MAX: usize = 16;

/// What an operator wants of the leader.
#[derive(Debug)]
pub(crate) enum Wish {
    Switchover { shard: ShardId, to: Option<NodeId> },
    Failover { shard: ShardId, loss: Loss },
    AddNode { job: String, addr: String, shard: ShardId },
    RemoveNode { job: String, node: NodeId },
}

/// What the task is made of.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) group: Group,
    pub(crate) told: mpsc::Receiver<Told>,
    pub(crate) news: mpsc::Receiver<News>,
    pub(crate) wishes: mpsc::Receiver<Wish>,
    pub(crate) plan: Plan,
}

struct Conductor {
    shared: Arc<Shared>,
    group: Group,
    plan: Plan,
    cluster: Arc<Cluster>,
    links: PulseLinks,
    health: Health,
    failovers: Failovers,
    /// When each shard was served last, as its primary says.
    served: BTreeMap<ShardId, Duration>,
    introductions: BTreeMap<NodeId, Introduction>,
    asked: Duration,
    errands: JoinSet<Errand>,
    /// Nodes that are being asked who they are.
    asking: BTreeSet<NodeId>,
    /// Names that are being given.
    naming: Naming,
    /// Entries of the founding that are under way.
    founding: usize,
}

/// What ran beside.
enum Errand {
    Proposed,
    Founded,
    Told,
    Asked(NodeId, Option<Introduction>),
    Place(Placed),
}

/// Runs until it is dropped.
pub(crate) async fn run(parts: Parts) {
    let Parts { shared, group, mut told, mut news, mut wishes, plan } = parts;
    let (reports, mut seen) = mpsc::channel(REPORTS_MAX);
    let me = group.own().clone();
    let (mut log, mut leadership) = (group.watch(), group.leadership());
    log.mark_changed();
    leadership.mark_changed();
    let mut conductor = Conductor {
        links: PulseLinks::new(me.clone(), shared.access.secret.clone(), reports),
        health: Health::new(me, plan.policy.busy_down_after, boottime()),
        failovers: Failovers::new(plan.policy.on_total_loss),
        cluster: Arc::default(),
        served: BTreeMap::new(),
        introductions: BTreeMap::new(),
        asked: Duration::ZERO,
        errands: JoinSet::new(),
        asking: BTreeSet::new(),
        naming: Naming::default(),
        founding: 0,
        shared,
        group,
        plan,
    };
    let mut ticked = boottime();
    loop {
        let now = boottime();
        let wake = conductor.failovers.wake_at().map_or(ticked + TICK, |wake| wake.min(ticked + TICK));
        tokio::select! {
            Some(seen) = seen.recv() => conductor.saw(&seen),
            Ok(()) = log.changed() => conductor.follow(&mut log),
            Ok(()) = leadership.changed() => conductor.heed(&mut leadership),
            Some(told) = told.recv() => conductor.hear(&told),
            Some(news) = news.recv() => conductor.shared.operations().tell(news),
            Some(wish) = wishes.recv() => conductor.heed_wish(wish),
            Some(done) = conductor.errands.join_next() => conductor.done(done.ok()),
            () = sleep(wake.saturating_sub(now)) => {}
        }
        let now = boottime();
        let effects = conductor.failovers.tick(now);
        conductor.perform(effects);
        if now >= ticked + TICK {
            ticked = now;
            conductor.tick(now);
        }
    }
}

impl Conductor {
    /// On the link to a node.
    fn saw(&mut self, seen: &Seen) {
        let now = boottime();
        let opinions = self.health.see(&seen.node, &seen.what, now);
        if let crate::pulse_links::What::Said(word) = &seen.what {
            let effects = self.failovers.word(&seen.node, word, now);
            self.perform(effects);
        }
        self.tell_leader(opinions);
        self.judge(&seen.node, now);
        self.show(&seen.node, now);
    }

    /// The log has grown.
    fn follow(&mut self, log: &mut watch::Receiver<Arc<Cluster>>) {
        let now = boottime();
        self.cluster = Arc::clone(&log.borrow_and_update());
        let cluster = Arc::clone(&self.cluster);
        let (topology, durability) = (cluster.topology(), durability(&cluster));
        self.shared.decided(Decided { topology, durability, policy: shown(&self.plan.policy) });
        self.naming.follow(&cluster);
        self.health.follow(&cluster, now);
        let reachable = cluster.nodes.iter();
        self.links.lead_to(reachable.filter_map(|(node, fact)| Some((node, fact.pulse_addr.as_deref()?))));
        self.served.retain(|shard, _| cluster.shards.contains_key(shard));
        self.introductions.retain(|node, said| cluster.nodes.get(node).is_none_or(|fact| !said.is_in(fact)));
        self.shared.operations().applied(&cluster);
        let effects = self.failovers.applied(&cluster, now);
        self.perform(effects);
        self.found(now);
        self.show_shards(now);
    }

    fn heed(&mut self, leadership: &mut watch::Receiver<Leadership>) {
        let Leadership { leader, am_i, .. } = leadership.borrow_and_update().clone();
        if self.shared.led_by(leader.clone(), am_i)
            && let Some(leader) = &leader
        {
            self.shared.operations().tell(events::of_leader(leader));
        }
        if !am_i {
            self.shared.operations().rest();
        }
        // What nodes said in an earlier term of this leader may be older than what the log has by now.
        if am_i && !self.failovers.leads() {
            self.introductions.clear();
        }
        let effects = self.failovers.set_leads(am_i, boottime());
        self.perform(effects);
        self.found(boottime());
    }

    /// Another proxy's opinions.
    fn hear(&mut self, told: &Told) {
        match serde_json::from_str::<Opinions>(&told.text) {
            // Nobody speaks for another.
            Ok(opinions) if opinions.voter == told.from => {
                let now = boottime();
                self.health.hear(&opinions, now);
                for (node, _) in &opinions.of_nodes {
                    self.judge(node, now);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(from = %told.from, %error, "what a proxy tells makes no sense"),
        }
    }

    fn heed_wish(&mut self, wish: Wish) {
        let now = boottime();
        let effects = match wish {
            Wish::Switchover { shard, to } => self.failovers.demand(shard, Event::Switchover { to }, now),
            Wish::Failover { shard, loss } => self.failovers.demand(shard, Event::Failover { loss }, now),
            Wish::AddNode { job, addr, shard } => return self.meet(job, &addr, shard),
            Wish::RemoveNode { job, node } => return self.part_with(job, node),
        };
        self.perform(effects);
    }

    fn tick(&mut self, now: Duration) {
        let opinions = self.health.tick(now);
        self.tell_leader(opinions);
        let cluster = Arc::clone(&self.cluster);
        for node in cluster.nodes.keys() {
            self.judge(node, now);
            self.show(node, now);
        }
        self.show_shards(now);
        self.shared.are_at_work(self.health.at_work(&cluster));
        self.shared.operations().tick(&cluster);
        if now >= self.asked + ASK_EVERY {
            self.asked = now;
            self.ask_who_they_are();
            self.found(now);
        }
    }

    /// What the leader's jury says of a node, for the machine of its shard.
    fn judge(&mut self, node: &NodeId, now: Duration) {
        if self.failovers.leads() {
            let voters: Vec<ProxyId> = self.group.voters();
            let verdict = self.health.verdict(node, &self.cluster, &voters, now);
            let (effects, news) = self.failovers.verdict(node, verdict, now);
            if let Some(news) = news {
                self.shared.operations().tell(news);
            }
            self.perform(effects);
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { node, word } => self.links.say(&node, &word),
                Effect::Ask { node } => self.links.ask(&node),
                Effect::Note(note) => {
                    failover::tell(&note, self.shared.metrics());
                    self.shared.operations().heard(&note);
                }
                Effect::Propose(entry) => {
                    let group = self.group.clone();
                    self.errands.spawn(async move {
                        propose(&group, entry).await;
                        Errand::Proposed
                    });
                }
            }
        }
    }

    fn tell_leader(&mut self, opinions: Option<Opinions>) {
        // The leader's own are with its jury already.
        let Some(opinions) = opinions.filter(|_| !self.failovers.leads()) else { return };
        let Ok(text) = serde_json::to_string(&opinions) else { return };
        let group = self.group.clone();
        self.errands.spawn(async move {
            if let Err(error) = group.tell_leader(text).await {
                tracing::debug!(%error, "the leader does not hear this proxy's opinions");
            }
            Errand::Told
        });
    }

    /// The leader logs what the plan has and the log lacks; one round after the other.
    fn found(&mut self, _now: Duration) {
        if !self.failovers.leads() || self.founding > 0 {
            return;
        }
        for entry in founding::entries(&self.plan, &self.cluster, &self.introductions) {
            self.founding += 1;
            let group = self.group.clone();
            self.errands.spawn(async move {
                propose(&group, entry).await;
                Errand::Founded
            });
        }
    }

    /// Nodes that are not reached may have other pulse ports by now.
    fn ask_who_they_are(&mut self) {
        if !self.failovers.leads() {
            return;
        }
        let health = &self.health;
        let unknown = founding::unknown(&self.plan, &self.cluster, |node| health.is_unreachable(node));
        for (node, addr) in unknown.collect::<Vec<_>>() {
            if !self.asking.insert(node.clone()) {
                continue;
            }
            let target = self.shared.access.target(&addr, Managed::Yes);
            self.errands.spawn(async move {
                let said = founding::ask(&target).await;
                let said = said
                    .inspect_err(|error| tracing::debug!(%node, %error, "the node does not say who it is"));
                Errand::Asked(node, said.ok())
            });
        }
    }

    fn done(&mut self, errand: Option<Errand>) {
        match errand {
            Some(Errand::Founded) => self.founding = self.founding.saturating_sub(1),
            Some(Errand::Asked(node, said)) => {
                self.asking.remove(&node);
                if let Some(said) = said {
                    self.introductions.insert(node, said);
                    self.found(boottime());
                }
            }
            Some(Errand::Place(placed)) => self.placed(placed),
            Some(Errand::Proposed | Errand::Told) => {}
            // One of them panicked or was aborted, and nobody knows which.
            None => (self.founding, self.asking, self.naming) = (0, BTreeSet::new(), Naming::default()),
        }
    }

    // --- what is shown ---------------------------------------------------------------------------------------------

    fn show(&self, node: &NodeId, now: Duration) {
        if let Some(seen) = self.health.shown(node, now) {
            let is_busy = seen.health == view::Health::Busy;
            let before = self.shared.observe(node, seen);
            let was_busy = before.is_some_and(|before| before.health == view::Health::Busy);
            if self.failovers.leads() && is_busy && !was_busy {
                let shard = self.cluster.nodes.get(node).map(|fact| fact.shard);
                self.shared.operations().tell(events::of_busy(node, shard));
            }
        }
    }

    fn show_shards(&mut self, now: Duration) {
        let cluster = Arc::clone(&self.cluster);
        let shown = cluster.shards.iter().map(|(id, state)| {
            let serves = self.serves(state);
            if serves {
                self.served.insert(*id, now);
            }
            let service = match self.served.get(id) {
                Some(_) if serves => Service::Serving,
                Some(served) if now.saturating_sub(*served) < FAILOVER_MAX => Service::Changing,
                _ => Service::Absent,
            };
            let sync_set = state.rule.sync.iter().map(|member| member.node.clone()).collect();
            (*id, ShardObservation { sync_set, acks_needed: state.rule.acks_needed, service })
        });
        let mut shown: BTreeMap<ShardId, ShardObservation> = shown.collect();
        // Planned, and not in the log yet.
        for shard in &self.shared.topology().shards {
            let absent = ShardObservation { sync_set: Vec::new(), acks_needed: 0, service: Service::Absent };
            shown.entry(shard.id).or_insert(absent);
        }
        self.shared.observe_shards(shown, self.seats());
    }

    fn serves(&self, state: &ShardState) -> bool {
        let primary = &state.rule.primary;
        let status = self.health.status(&primary.node).filter(|_| !self.health.is_unreachable(&primary.node));
        state.pending.is_none()
            && status.is_some_and(|status| {
                status.incarnation == primary.incarnation
                    && matches!(status.part, Part::Serving { epoch } if epoch == state.epoch)
            })
    }

    fn seats(&self) -> BTreeMap<ProxyId, RaftRole> {
        let leader = self.group.leadership().borrow().leader.clone();
        let role = |proxy: &ProxyId, is_voter| match (leader.as_ref() == Some(proxy), is_voter) {
            (true, _) => RaftRole::Leader,
            (false, true) => RaftRole::Voter,
            (false, false) => RaftRole::Learner,
        };
        let mates = self.group.mates().into_iter();
        mates.map(|mate| (mate.proxy.clone(), role(&mate.proxy, mate.is_voter))).collect()
    }
}

fn shown(policy: &founding::Policy) -> view::Policy {
    let busy_ms = u64::try_from(policy.busy_down_after.as_millis()).unwrap_or(u64::MAX);
    view::Policy {
        min_copies: Some(policy.min_copies.unwrap_or(0)),
        on_total_loss: Some(policy.on_total_loss),
        busy_down_after_ms: Some(busy_ms),
    }
}

fn durability(cluster: &Cluster) -> view::Durability {
    match cluster.durability {
        Durability::Quorum => view::Durability::Quorum,
        Durability::Async => view::Durability::Async,
    }
}

/// Whoever wants it to be decided wants it again if it is not.
async fn propose(group: &Group, entry: Entry) {
    match group.propose(entry.clone()).await {
        Ok(Outcome::Done | Outcome::Again) => {}
        Ok(Outcome::Refused(why)) => tracing::debug!(?entry, %why, "the log refuses an entry"),
        Err(error) => tracing::warn!(?entry, %error, "nothing is decided"),
    }
}
