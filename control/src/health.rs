//! What this proxy sees of the nodes, what other voters told it, and what follows for the leader.
//!
//! Every proxy watches and has opinions ([`Watch`]); it tells them to the leader when they change, and all of them again now and then,
//! since an opinion that is not renewed counts no more. The leader's [`Jury`] concludes. No rule is here: only who tells whom, and
//! what the admin API shows of it.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use slotway_cluster::{
    Cluster, NodeId, ProxyId,
    health::{AtWork, Jury, Opinion, RENEW_EVERY, Sight, Verdict, Watch, works_in},
    pulse::{FromNode, Status, wire::Part},
    view::{Health as Shown, NodeObservation, ReportedRole},
};

use crate::pulse_links::What;

/// A node that is silent for so long is shown as down, whatever the others say.
const SHOWN_DOWN_AFTER: Duration = Duration::from_secs(2);

/// What a voter tells the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opinions {
    pub(crate) voter: ProxyId,
    pub(crate) of_nodes: Vec<(NodeId, Opinion)>,
}

pub(crate) struct Health {
    me: ProxyId,
    watch: Watch,
    jury: Jury,
    renewed: Duration,
    /// Since when each node is seen as it is.
    since: BTreeMap<NodeId, Duration>,
    statuses: BTreeMap<NodeId, Status>,
}

impl Health {
    pub(crate) fn new(me: ProxyId, busy_down_after: Duration, now: Duration) -> Health {
        let mut watch = Watch::new(now);
        watch.set_busy_down_after(busy_down_after);
        Health {
            me,
            watch,
            jury: Jury::default(),
            renewed: now,
            since: BTreeMap::new(),
            statuses: BTreeMap::new(),
        }
    }

    /// Who is watched, and in which life the log has each: a primary in that of its shard's rule.
    pub(crate) fn follow(&mut self, cluster: &Cluster, now: Duration) {
        let nodes = cluster.nodes.iter().map(|(node, fact)| {
            let rule = cluster.shards.get(&fact.shard).map(|state| &state.rule);
            let leads = rule.filter(|rule| rule.primary.node == *node);
            (node, leads.map(|rule| rule.primary.incarnation).or(fact.incarnation))
        });
        self.watch.set_nodes(nodes, now);
        self.statuses.retain(|node, _| cluster.nodes.contains_key(node));
        self.since.retain(|node, _| cluster.nodes.contains_key(node));
    }

    /// Something was seen on a link: what there is to tell the leader.
    pub(crate) fn see(&mut self, node: &NodeId, what: &What, now: Duration) -> Option<Opinions> {
        let sight = match what {
            What::Connected => Sight::Connected,
            What::Broken => Sight::Broken,
            What::Said(FromNode::Pong { status, .. }) => {
                self.jury.status(node, status, now);
                self.statuses.insert(node.clone(), (**status).clone());
                Sight::Pong(status)
            }
            What::Said(FromNode::Promise { .. } | FromNode::Grant { .. } | FromNode::Refused { .. }) => {
                return None;
            }
        };
        let changed = self.watch.see(node, sight, now)?;
        self.tell(vec![(node.clone(), changed)], now)
    }

    /// Time has passed: what there is to tell the leader.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Opinions> {
        let changed = self.watch.tick(now);
        if now.saturating_sub(self.renewed) >= RENEW_EVERY {
            self.renewed = now;
            for (node, _) in &changed {
                self.since.insert(node.clone(), now);
            }
            let all = self.watch.opinions();
            return self.tell_all(all, now);
        }
        self.tell(changed, now)
    }

    fn tell(&mut self, changed: Vec<(NodeId, Opinion)>, now: Duration) -> Option<Opinions> {
        for (node, opinion) in &changed {
            self.since.insert(node.clone(), now);
            tracing::debug!(%node, ?opinion, "this proxy sees the node otherwise");
        }
        self.tell_all(changed, now)
    }

    fn tell_all(&mut self, of_nodes: Vec<(NodeId, Opinion)>, now: Duration) -> Option<Opinions> {
        let told = Opinions { voter: self.me.clone(), of_nodes };
        self.hear(&told, now);
        (!told.of_nodes.is_empty()).then_some(told)
    }

    /// What a voter thinks, this one included.
    pub(crate) fn hear(&mut self, told: &Opinions, now: Duration) {
        for (node, opinion) in &told.of_nodes {
            self.jury.opinion(&told.voter, node, *opinion, now);
        }
    }

    pub(crate) fn verdict(
        &self,
        node: &NodeId,
        cluster: &Cluster,
        voters: &[ProxyId],
        now: Duration,
    ) -> Verdict {
        self.jury.verdict(node, cluster, voters, now)
    }

    pub(crate) fn status(&self, node: &NodeId) -> Option<&Status> {
        self.statuses.get(node)
    }

    /// The primaries that are at one long command and will answer. What was heard too long ago says nothing.
    pub(crate) fn at_work(&self, cluster: &Cluster) -> AtWork {
        let works = |(node, status): (&NodeId, &Status)| {
            let epoch = works_in(status).filter(|_| !self.is_unreachable(node))?;
            Some((cluster.nodes.get(node)?.addr.clone(), epoch))
        };
        self.statuses.iter().filter_map(works).collect()
    }

    /// Whether the link to a node has long brought nothing.
    pub(crate) fn is_unreachable(&self, node: &NodeId) -> bool {
        match self.watch.opinion(node) {
            Opinion::Gone | Opinion::Silent => true,
            Opinion::Unknown => !self.statuses.contains_key(node),
            Opinion::Up | Opinion::Busy | Opinion::Loading | Opinion::Stuck | Opinion::Restarted => false,
        }
    }

    /// What the admin API shows of a node; None: nothing is known of it yet.
    pub(crate) fn shown(&self, node: &NodeId, now: Duration) -> Option<NodeObservation> {
        let status = self.statuses.get(node);
        let lasted = self.since.get(node).map_or(Duration::ZERO, |since| now.saturating_sub(*since));
        let health = match self.watch.opinion(node) {
            Opinion::Unknown => status.map(|_| Shown::Suspected)?,
            Opinion::Restarted if status.is_some_and(|status| status.part == Part::Loading) => Shown::Loading,
            Opinion::Up | Opinion::Restarted => Shown::Up,
            Opinion::Busy => Shown::Busy,
            Opinion::Loading => Shown::Loading,
            Opinion::Silent if lasted < SHOWN_DOWN_AFTER => Shown::Suspected,
            Opinion::Silent | Opinion::Gone | Opinion::Stuck => Shown::Down,
        };
        let Some(status) = status else { return Some(NodeObservation::only(health)) };
        let offset = status.position.offset.0;
        Some(NodeObservation {
            health,
            role: role(status),
            incarnation: Some(status.incarnation.to_string()),
            epoch: Some(status.seen.max(status.position.epoch)),
            offset: Some(offset),
            keys: status.keys,
            memory_bytes: status.memory_bytes,
            software: Some(status.software.clone()),
        })
    }
}

fn role(status: &Status) -> Option<ReportedRole> {
    match status.part {
        Part::Replica { .. } => Some(ReportedRole::Following),
        Part::Learner { .. } => Some(ReportedRole::Detached),
        part if part.is_primary() => Some(ReportedRole::Primary),
        _ => None,
    }
}
