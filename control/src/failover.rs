//! The leader's machines, one for each shard, and what is done for them.
//!
//! What to do is decided in [`slotway_cluster::failover`]; here is who is told what, and how a failover's story is told to people: each
//! step is a line of the log, so that reading one failover teaches how it works.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use slotway_cluster::{
    Cluster, NodeId, ShardId,
    events::{self, News},
    failover::{Effect, Event, Failover, Note, OnTotalLoss},
    health::Verdict,
    pulse::FromNode,
};

use crate::metrics::Metrics;

#[derive(Debug)]
pub(crate) struct Failovers {
    on_total_loss: OnTotalLoss,
    leads: bool,
    cluster: Arc<Cluster>,
    machines: BTreeMap<ShardId, Failover>,
    /// Of the nodes, as said last: a change is a line of the log.
    verdicts: BTreeMap<NodeId, Verdict>,
}

impl Failovers {
    pub(crate) fn new(on_total_loss: OnTotalLoss) -> Failovers {
        Failovers {
            on_total_loss,
            leads: false,
            cluster: Arc::default(),
            machines: BTreeMap::new(),
            verdicts: BTreeMap::new(),
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.leads
    }

    /// This proxy leads the group from now on, or no longer.
    pub(crate) fn set_leads(&mut self, leads: bool, now: Duration) -> Vec<Effect> {
        if std::mem::replace(&mut self.leads, leads) == leads {
            return Vec::new();
        }
        self.verdicts.clear();
        let event = || if leads { Event::Leads } else { Event::Rests };
        self.machines.values_mut().flat_map(|machine| machine.on(event(), now)).collect()
    }

    /// The log has grown; shards may be new or gone.
    pub(crate) fn applied(&mut self, cluster: &Arc<Cluster>, now: Duration) -> Vec<Effect> {
        self.cluster = Arc::clone(cluster);
        self.machines.retain(|shard, _| cluster.shards.contains_key(shard));
        self.verdicts.retain(|node, _| cluster.nodes.contains_key(node));
        let mut effects = Vec::new();
        for shard in cluster.shards.keys() {
            let (leads, on_total_loss) = (self.leads, self.on_total_loss);
            let machine = self.machines.entry(*shard).or_insert_with(|| {
                let mut machine = Failover::new(*shard);
                machine.set_on_total_loss(on_total_loss);
                effects.extend(machine.on(Event::Applied(cluster), now));
                if leads {
                    effects.extend(machine.on(Event::Leads, now));
                }
                machine
            });
            effects.extend(machine.on(Event::Applied(cluster), now));
        }
        effects
    }

    /// A node said this.
    pub(crate) fn word(&mut self, node: &NodeId, word: &FromNode, now: Duration) -> Vec<Effect> {
        self.of_node(node).map_or_else(Vec::new, |machine| machine.on(Event::Word { node, word }, now))
    }

    /// What is concluded of a node, and whether that is news.
    pub(crate) fn verdict(
        &mut self,
        node: &NodeId,
        verdict: Verdict,
        now: Duration,
    ) -> (Vec<Effect>, Option<News>) {
        let effects = self
            .of_node(node)
            .map_or_else(Vec::new, |machine| machine.on(Event::Verdict { node, verdict: &verdict }, now));
        let before = self.verdicts.insert(node.clone(), verdict.clone());
        let shard = self.cluster.nodes.get(node).map(|fact| fact.shard);
        let news = events::of_verdict(node, shard, &verdict, before.as_ref());
        if before.as_ref() != Some(&verdict) {
            match (&verdict, before) {
                (Verdict::Down(down), _) => tracing::warn!(%node, why = %down, "the node is down"),
                (Verdict::Suspected, _) => tracing::info!(%node, "the node is suspected to be down"),
                (Verdict::Up, Some(_)) => tracing::info!(%node, "the node is up"),
                (Verdict::Up, None) => {}
            }
        }
        (effects, news)
    }

    /// An operator's wish.
    pub(crate) fn demand(&mut self, shard: ShardId, wish: Event<'_>, now: Duration) -> Vec<Effect> {
        self.machines.get_mut(&shard).map_or_else(Vec::new, |machine| machine.on(wish, now))
    }

    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Effect> {
        let due = |machine: &&mut Failover| machine.wake_at().is_some_and(|wake| wake <= now);
        self.machines.values_mut().filter(due).flat_map(|machine| machine.tick(now)).collect()
    }

    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.machines.values().filter_map(Failover::wake_at).min()
    }

    fn of_node(&mut self, node: &NodeId) -> Option<&mut Failover> {
        let shard = self.cluster.nodes.get(node)?.shard;
        self.machines.get_mut(&shard)
    }
}

/// A step, as people read it.
pub(crate) fn tell(note: &Note, metrics: &Metrics) {
    metrics.note(note);
    match note {
        Note::Started { shard, epoch, why } => {
            tracing::warn!(%shard, %epoch, why, "failover: begun, members are asked to promise");
        }
        Note::Promised { shard, epoch, member, position } => {
            tracing::info!(%shard, %epoch, %member, %position, "failover: a member promised and tells what it holds");
        }
        Note::Fenced { shard, epoch, after } => {
            tracing::info!(%shard, %epoch, ?after, "failover: enough have promised, nobody acknowledges for the old epoch");
        }
        Note::Promoted { shard, epoch, winner, after } => {
            tracing::warn!(%shard, %epoch, %winner, ?after, "this member holds most and leads from now on");
        }
        Note::Ended { shard, epoch, after } => {
            tracing::warn!(%shard, %epoch, ?after, "the shard's new primary serves");
        }
        Note::Refused { shard, epoch, missing } => {
            let missing = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            tracing::error!(%shard, %epoch, missing, "failover: cannot be completed without losing acknowledged writes \
                until some of these are back");
        }
        Note::LossAccepted { shard, epoch, winner, position, by } => {
            tracing::error!(%shard, %epoch, %winner, %position, by, "failover: acknowledged writes may be lost, and that \
                was accepted");
        }
        Note::SwitchStarted { shard, to } => {
            tracing::info!(%shard, %to, "switchover: the primary is asked to stop");
        }
        Note::SwitchStopped { shard, position } => {
            tracing::info!(%shard, %position, "switchover: the primary has stopped");
        }
        Note::SwitchAborted { shard, why } => tracing::warn!(%shard, why, "switchover: called off"),
    }
}
