//! The leader's part in a failover and in a planned switchover, shard by shard.
//!
//! Everything that must survive a change of the leader stands in the log, so this machine can begin anywhere: a shard with a
//! pending failover is fenced until the promises are complete, a promoted shard is told so until it serves, a primary that stands
//! stopped and that nobody switches is let go on. A step may be repeated; what comes late is refused when the log is applied.
//!
//! Failover: `BeginFailover` -> FENCE to S, to p and to those of kept rules, until complete for all of them (I4) -> the greatest position wins
//! -> `Promote` -> ACTIVATE with the time that is left of the grants (I7b) until it serves. With no complete fence set it waits, says who is
//! missing, and goes on by itself when they come back ([`fence`]).
//!
//! Switchover: STOP -> the primary's final position -> the target holds it -> `Promote` with S' = S - target + old primary; if that takes too
//! long `SwitchAbort`. Whichever is first in the log wins ([`switch`]).
//!
//! It also carries words between the log and the nodes: orders at once when the log changes and again to whoever is behind, a
//! primary's proposals into the log, and the life in which a node was seen.

mod fence;

mod switch;

mod orders;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    control::{Cluster, Entry, ShardState},
    health::{Backoff, Cause, SILENCE, Verdict},
    ids::{Epoch, NodeId, ShardId},
    pulse::{
        GRANT,
        wire::{FromNode, Part, Status, ToNode, millis},
    },
    shard::{Member, Position},
};

use fence::Fence;
use switch::Switch;

pub use orders::orders;

/// A fence, an order, a proposal or an activation that was not answered is sent again after this.
pub const AGAIN: Duration = Duration::from_millis(100);

/// A switchover that has not come to its end after this is called off.
pub const SWITCH_PATIENCE: Duration = Duration::from_secs(2);

/// A fence that is not complete after this is called refused. It goes on all the same.
pub const FENCE_PATIENCE: Duration = Duration::from_millis(500);

/// A primary that came back within this after it was replaced, in the same life, had not been dead.
const BACK_SOON: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Debug, Clone)]
pub enum Event<'e> {
    /// This proxy leads the control group from now on.
    Leads,
    /// It leads no longer.
    Rests,
    /// The log has grown.
    Applied(&'e Arc<Cluster>),
    /// What the jury thinks of a node; said again whenever it was asked.
    Verdict { node: &'e NodeId, verdict: &'e Verdict },
    /// On the pulse link from a node.
    Word { node: &'e NodeId, word: &'e FromNode },
    /// An operator wants another primary; None: whichever holds most.
    Switchover { to: Option<NodeId> },
    /// An operator wants the primary replaced, whether it is down or not; and may accept a loss for it.
    Failover { loss: Loss },
}

/// Whether a promotion may go without a complete fence set, which may lose acknowledged writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    Never,
    /// The one who answers for it.
    AcceptedBy(String),
}

/// What becomes of a shard all of whose members came back in other lives, so that no rule is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTotalLoss {
    /// The greatest position on disk leads once all are back.
    #[default]
    Newest,
    /// An operator decides.
    Wait,
}

/// What the leader is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Into the log.
    Propose(Entry),
    /// On the pulse link to the node.
    Send { node: NodeId, word: ToNode },
    /// How it is, without waiting for its next ping.
    Ask { node: NodeId },
    /// What happened, for events, metrics and logs.
    Note(Note),
}

/// A step worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    Started {
        shard: ShardId,
        epoch: Epoch,
        why: String,
    },
    Promised {
        shard: ShardId,
        epoch: Epoch,
        member: Member,
        position: Position,
    },
    Fenced {
        shard: ShardId,
        epoch: Epoch,
        after: Duration,
    },
    Promoted {
        shard: ShardId,
        epoch: Epoch,
        winner: Member,
        after: Duration,
    },
    /// It serves.
    Ended {
        shard: ShardId,
        epoch: Epoch,
        after: Duration,
    },
    /// No complete fence set can be had; says who is missing.
    Refused {
        shard: ShardId,
        epoch: Epoch,
        missing: Vec<Member>,
    },
    /// Somebody leads without a complete fence set.
    LossAccepted {
        shard: ShardId,
        epoch: Epoch,
        winner: Member,
        position: Position,
        by: String,
    },
    SwitchStarted {
        shard: ShardId,
        to: NodeId,
    },
    SwitchStopped {
        shard: ShardId,
        position: Position,
    },
    SwitchAborted {
        shard: ShardId,
        why: String,
    },
}

/// The leader's machine of one shard. Every proxy has one; only the leader's acts.
#[derive(Debug)]
pub struct Failover {
    shard: ShardId,
    on_total_loss: OnTotalLoss,
    leads: bool,
    cluster: Arc<Cluster>,
    phase: Phase,
    /// Last heard of the shard's nodes.
    seen: BTreeMap<NodeId, Seen>,
    /// Of the primary.
    verdict: Option<(NodeId, Verdict)>,
    demand: Option<Demand>,
    replaced: Option<Replaced>,
    backoff: Backoff,
    /// Entries sent to the log, and when, so that none goes there more often than [`AGAIN`].
    proposed: Vec<(Entry, Duration)>,
    acted: Duration,
}

/// What the leader is at.
#[derive(Debug)]
enum Phase {
    Quiet,
    Fencing(Fence),
    Opening(Opening),
    Switching(Switch),
}

/// Promoted, and not seen to serve.
#[derive(Debug)]
struct Opening {
    since: Duration,
    /// All grants of earlier epochs are over then (I7b).
    serve_from: Duration,
    sent: Option<Duration>,
}

#[derive(Debug)]
struct Seen {
    status: Box<Status>,
    at: Duration,
    ordered: Option<Duration>,
}

/// What an operator wants of this epoch.
#[derive(Debug)]
struct Demand {
    epoch: Epoch,
    loss: Loss,
}

/// The primary that was replaced last, on suspicion.
#[derive(Debug)]
struct Replaced {
    member: Member,
    at: Duration,
}

impl Failover {
    pub fn new(shard: ShardId) -> Failover {
        Failover {
            shard,
            on_total_loss: OnTotalLoss::default(),
            leads: false,
            cluster: Arc::default(),
            phase: Phase::Quiet,
            seen: BTreeMap::new(),
            verdict: None,
            demand: None,
            replaced: None,
            backoff: Backoff::default(),
            proposed: Vec::new(),
            acted: Duration::ZERO,
        }
    }

    pub fn set_on_total_loss(&mut self, what: OnTotalLoss) {
        self.on_total_loss = what;
    }

    pub fn on(&mut self, event: Event<'_>, now: Duration) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Leads => self.lead(now, &mut out),
            Event::Rests => (self.leads, self.phase, self.demand) = (false, Phase::Quiet, None),
            Event::Applied(cluster) => self.applied(cluster, now, &mut out),
            Event::Verdict { node, verdict } => self.judged(node, verdict, now),
            Event::Word { node, word } => self.heard(node, word, now, &mut out),
            Event::Switchover { to } => self.switch(to, now, &mut out),
            Event::Failover { loss } => {
                self.demand = self.state().map(|state| Demand { epoch: state.epoch, loss });
            }
        }
        self.act(now, &mut out);
        out
    }

    pub fn tick(&mut self, now: Duration) -> Vec<Effect> {
        let mut out = Vec::new();
        self.act(now, &mut out);
        out
    }

    /// When it wants its tick. None: only events move it.
    pub fn wake_at(&self) -> Option<Duration> {
        let is_still =
            matches!(self.phase, Phase::Quiet) && self.reason().is_none() && self.proposed.is_empty();
        let again = match &self.phase {
            Phase::Switching(switch) if switch.waits_for_target() => switch::ASK_AGAIN,
            Phase::Quiet | Phase::Fencing(_) | Phase::Opening(_) | Phase::Switching(_) => AGAIN,
        };
        (self.leads && !is_still).then_some(self.acted + again)
    }

    /// Whether a primary is being replaced, for who shows the shard's state.
    pub fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Quiet)
    }

    fn state(&self) -> Option<&ShardState> {
        self.cluster.shards.get(&self.shard)
    }

    // --- what is told ----------------------------------------------------------------------------------------------

    /// Nothing is known of what the leader before did, except what the log says: waits are full ones.
    fn lead(&mut self, now: Duration, out: &mut Vec<Effect>) {
        self.leads = true;
        self.phase = match self.state() {
            Some(state) => match state.pending {
                Some(epoch) => Phase::Fencing(Fence::new(epoch, now)),
                None if !state.activated => Phase::Opening(Opening::unknown(state, now)),
                None => Phase::Quiet,
            },
            None => Phase::Quiet,
        };
        self.order_all(now, out);
    }

    fn applied(&mut self, cluster: &Arc<Cluster>, now: Duration, out: &mut Vec<Effect>) {
        if cluster.index < self.cluster.index {
            return;
        }
        let before = std::mem::replace(&mut self.cluster, Arc::clone(cluster));
        let shard = self.shard;
        self.seen.retain(|node, _| cluster.nodes.get(node).is_some_and(|fact| fact.shard == shard));
        let was = before.shards.get(&shard);
        let Some(is) = cluster.shards.get(&shard) else { return };
        if was.is_none_or(|was| was.epoch != is.epoch) {
            (self.verdict, self.demand) = (None, None);
        }
        if !self.leads {
            return;
        }
        self.follow(was, is, now, out);
        self.order_all(now, out);
    }

    /// The phase is what the log says.
    fn follow(&mut self, was: Option<&ShardState>, is: &ShardState, now: Duration, out: &mut Vec<Effect>) {
        let shard = self.shard;
        let is_new_epoch = was.is_none_or(|was| was.epoch != is.epoch);
        if let Some(epoch) = is.pending {
            if !matches!(&self.phase, Phase::Fencing(fence) if fence.epoch == epoch) {
                let why = self.reason().map_or_else(|| "by another proxy".to_owned(), |(_, why)| why);
                out.push(Effect::Note(Note::Started { shard, epoch, why }));
                self.phase = Phase::Fencing(Fence::new(epoch, now));
            }
        } else if is_new_epoch {
            let opening = match (&self.phase, was) {
                (Phase::Fencing(fence), Some(was)) if fence.epoch == is.epoch => {
                    let old = was.rule.primary.clone();
                    if self.replaced.as_ref().is_some_and(|replaced| replaced.member == old)
                        && fence.has(&old)
                    {
                        self.backoff.false_alarm(now);
                        self.replaced = None;
                    }
                    Opening { since: fence.since, serve_from: fence.grants_end(was, now), sent: None }
                }
                (Phase::Switching(switch), Some(was)) if switch.led_to(was, is) => {
                    Opening { since: switch.since, serve_from: now, sent: None }
                }
                _ => Opening::unknown(is, now),
            };
            let (winner, after) = (is.rule.primary.clone(), now.saturating_sub(opening.since));
            if was.is_some() {
                out.push(Effect::Note(Note::Promoted { shard, epoch: is.epoch, winner, after }));
            }
            self.phase = Phase::Opening(opening);
        } else if let Phase::Switching(switch) = &mut self.phase
            && switch.version != is.version
            && let Some(why) = switch.moved(is)
        {
            out.push(Effect::Note(Note::SwitchAborted { shard, why }));
            self.phase = Phase::Quiet;
        } else if matches!(self.phase, Phase::Fencing(_)) {
            self.phase = Phase::Quiet;
        }
    }

    /// That the primary lives another life may be an opinion from before the log had its present one (after a loss was accepted, say):
    /// it counts for nothing while this leader hears the life that leads.
    fn judged(&mut self, node: &NodeId, verdict: &Verdict, now: Duration) {
        let Some(primary) = self.state().map(|state| &state.rule.primary) else { return };
        if primary.node != *node {
            return;
        }
        let is_heard = self.seen.get(node).is_some_and(|seen| {
            seen.status.incarnation == primary.incarnation && now.saturating_sub(seen.at) < SILENCE
        });
        let is_outdated =
            is_heard && matches!(verdict, Verdict::Down(down) if down.cause == Cause::Restarted);
        let verdict = if is_outdated { Verdict::Suspected } else { verdict.clone() };
        self.verdict = Some((node.clone(), verdict));
    }

    fn heard(&mut self, node: &NodeId, word: &FromNode, now: Duration, out: &mut Vec<Effect>) {
        match word {
            FromNode::Pong { status, .. } => self.pong(node, status, now, out),
            FromNode::Promise { shard, epoch, member, position, grant_left_ms } => {
                let Phase::Fencing(fence) = &mut self.phase else { return };
                if (*shard, *epoch, &member.node) != (self.shard, fence.epoch, node) {
                    return;
                }
                let grants_end = now + Duration::from_millis(*grant_left_ms);
                if fence.promise(member, *position, grants_end) {
                    let (member, position) = (member.clone(), *position);
                    out.push(Effect::Note(Note::Promised { shard: *shard, epoch: *epoch, member, position }));
                }
            }
            FromNode::Grant { .. } | FromNode::Refused { .. } => {}
        }
    }

    fn pong(&mut self, node: &NodeId, status: &Status, now: Duration, out: &mut Vec<Effect>) {
        let Some(fact) = self.cluster.nodes.get(node) else { return };
        let is_stranger = status.cluster_id.as_ref().is_some_and(|id| *id != self.cluster.cluster_id)
            || status.node.as_ref().is_some_and(|name| name != node);
        if fact.shard != self.shard || is_stranger {
            return;
        }
        let known = fact.incarnation;
        let ordered = self.seen.get(node).and_then(|seen| seen.ordered);
        self.seen.insert(node.clone(), Seen { status: Box::new(status.clone()), at: now, ordered });
        self.came_back(node, status, now);
        if !self.leads {
            return;
        }
        if known != Some(status.incarnation) {
            let (node, incarnation) = (node.clone(), status.incarnation);
            let entry = Entry::NodeStarted { node, before: known, incarnation };
            self.propose(entry, now, out);
        }
        if let Some(entry) = &status.proposal
            && self.may_propose(entry)
        {
            self.propose(entry.clone(), now, out);
        }
        if status.index < self.cluster.index && ordered.is_none_or(|ordered| now >= ordered + AGAIN) {
            self.order(node, now, out);
        }
    }

    /// A node proposes only what primaries propose; whether it fits is judged when it is applied.
    fn may_propose(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Activated { shard, .. }
            | Entry::ChangeSync { shard, .. }
            | Entry::CleanStop { shard, .. } => *shard == self.shard,
            Entry::Create { .. }
            | Entry::AddNode { .. }
            | Entry::RemoveNode { .. }
            | Entry::NodeStarted { .. }
            | Entry::AddShard { .. }
            | Entry::RemoveShard { .. }
            | Entry::AddProxy { .. }
            | Entry::RemoveProxy { .. }
            | Entry::BeginFailover { .. }
            | Entry::Promote { .. }
            | Entry::SwitchAbort { .. }
            | Entry::SetDurability { .. }
            | Entry::SetMinCopies { .. }
            | Entry::AcceptLoss { .. } => false,
        }
    }

    /// The primary that was called dead answers in the same life: it had not been.
    fn came_back(&mut self, node: &NodeId, status: &Status, now: Duration) {
        let Some(replaced) = &self.replaced else { return };
        if now > replaced.at + BACK_SOON {
            self.replaced = None;
        } else if replaced.member == Member::new(node, status.incarnation)
            && self.state().is_some_and(|state| state.rule.primary != replaced.member)
        {
            self.backoff.false_alarm(now);
            self.replaced = None;
        }
    }

    /// The last word of a member in this life.
    fn status(&self, member: &Member) -> Option<&Status> {
        let seen = self.seen.get(&member.node)?;
        (seen.status.incarnation == member.incarnation).then_some(&*seen.status)
    }

    /// What a member does, as it said last in this life.
    fn part_of(&self, member: &Member) -> Option<Part> {
        self.status(member).map(|status| status.part)
    }

    // --- what is done ----------------------------------------------------------------------------------------------

    /// Whatever is due.
    fn act(&mut self, now: Duration, out: &mut Vec<Effect>) {
        self.acted = now;
        self.proposed.retain(|(_, at)| now < *at + AGAIN);
        if !self.leads || self.state().is_none() {
            return;
        }
        match &self.phase {
            Phase::Fencing(_) => self.fence(now, out),
            Phase::Opening(_) => self.activate(now, out),
            Phase::Switching(_) => self.drive_switch(now, out),
            Phase::Quiet => self.look_after(now, out),
        }
        self.begin(now, out);
    }

    /// Why the primary should be replaced.
    fn reason(&self) -> Option<(Option<Cause>, String)> {
        let state = self.state()?;
        let primary = &state.rule.primary;
        if let Some(demand) = &self.demand
            && demand.epoch == state.epoch
        {
            return Some((None, "an operator asked for it".into()));
        }
        let known = self.cluster.nodes.get(&primary.node).and_then(|fact| fact.incarnation);
        if known.is_some_and(|known| known != primary.incarnation) {
            return Some((Some(Cause::Restarted), format!("{} was started anew", primary.node)));
        }
        if self.part_of(primary) == Some(Part::Returned { epoch: state.epoch }) {
            let why = format!("{} was started anew and does not lead by itself", primary.node);
            return Some((Some(Cause::Restarted), why));
        }
        match &self.verdict {
            Some((node, Verdict::Down(down))) if *node == primary.node => {
                // With nobody to promote, a fence would only keep a primary from going on that was never dead.
                let helps = down.cause == Cause::Restarted || !state.rule.sync.is_empty();
                helps.then(|| (Some(down.cause), format!("{}: {}", primary.node, down.why)))
            }
            Some((_, Verdict::Up | Verdict::Suspected | Verdict::Down(_))) | None => None,
        }
    }

    fn begin(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let Some((cause, why)) = self.reason() else { return };
        let Some(state) = self.state().filter(|state| state.pending.is_none()) else { return };
        let is_suspicion = cause.is_some_and(Cause::is_a_suspicion);
        if is_suspicion && now < self.backoff.until() {
            return;
        }
        let (shard, epoch, member) = (self.shard, state.epoch, state.rule.primary.clone());
        self.replaced = is_suspicion.then_some(Replaced { member, at: now });
        self.propose(Entry::BeginFailover { shard, epoch, why }, now, out);
    }

    /// A promoted primary is told that it may serve, and from when, until it does.
    fn activate(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let shard = self.shard;
        let Some(state) = self.cluster.shards.get(&shard) else { return };
        let Phase::Opening(opening) = &mut self.phase else { return };
        let (epoch, primary) = (state.epoch, &state.rule.primary);
        let part = self
            .seen
            .get(&primary.node)
            .and_then(|seen| (seen.status.incarnation == primary.incarnation).then_some(seen.status.part));
        // One that stopped for a switchover has served, too: this leader learned of it late.
        let has_served = match part {
            Some(Part::Serving { epoch: of } | Part::Stopped { epoch: of, .. }) => of == epoch,
            _ => false,
        };
        if has_served {
            out.push(Effect::Note(Note::Ended { shard, epoch, after: now.saturating_sub(opening.since) }));
            self.phase = Phase::Quiet;
        } else if opening.sent.is_none_or(|sent| now >= sent + AGAIN) {
            opening.sent = Some(now);
            let wait_ms = millis(opening.serve_from.saturating_sub(now) + Duration::from_micros(999));
            let word = ToNode::Activate { shard, epoch, wait_ms };
            out.push(Effect::Send { node: primary.node.clone(), word });
        }
    }

    /// Nothing is to be done but what another leader left behind.
    fn look_after(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let shard = self.shard;
        let Some(state) = self.state() else { return };
        let (epoch, version, primary) = (state.epoch, state.version, &state.rule.primary);
        let Some(seen) = self.seen.get(&primary.node) else { return };
        if seen.status.incarnation != primary.incarnation || state.pending.is_some() {
            return;
        }
        let stops_for_good =
            state.clean_stop.is_some() || matches!(seen.status.proposal, Some(Entry::CleanStop { .. }));
        match seen.status.part {
            Part::Opening { epoch: opens } if opens == epoch => {
                self.phase = Phase::Opening(Opening::unknown(state, now));
                self.activate(now, out);
            }
            Part::Stopped { epoch: stopped, version: by, .. }
                if (stopped, by) == (epoch, version) && !stops_for_good =>
            {
                self.propose(Entry::SwitchAbort { shard, epoch, version }, now, out);
            }
            Part::None
            | Part::Loading
            | Part::Learner { .. }
            | Part::Replica { .. }
            | Part::Opening { .. }
            | Part::Serving { .. }
            | Part::Returned { .. }
            | Part::Parked { .. }
            | Part::Stopped { .. } => {}
        }
    }

    fn propose(&mut self, entry: Entry, now: Duration, out: &mut Vec<Effect>) {
        if self.proposed.iter().any(|(before, _)| *before == entry) {
            return;
        }
        self.proposed.push((entry.clone(), now));
        out.push(Effect::Propose(entry));
    }

    fn order_all(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let nodes = self.cluster.nodes.iter().filter(|(_, fact)| fact.shard == self.shard);
        for node in nodes.map(|(node, _)| node.clone()).collect::<Vec<_>>() {
            self.order(&node, now, out);
        }
    }

    fn order(&mut self, node: &NodeId, now: Duration, out: &mut Vec<Effect>) {
        let Some(orders) = orders(&self.cluster, node) else { return };
        if let Some(seen) = self.seen.get_mut(node) {
            seen.ordered = Some(now);
        }
        out.push(Effect::Send { node: node.clone(), word: ToNode::Orders(Box::new(orders)) });
    }
}

impl Opening {
    /// Of a promotion whose promises this leader did not collect.
    fn unknown(state: &ShardState, now: Duration) -> Opening {
        // Before the first epoch nobody was granted anything.
        let wait = if state.epoch <= Epoch(1) { Duration::ZERO } else { GRANT };
        Opening { since: now, serve_from: now + wait, sent: None }
    }
}

#[cfg(test)]
pub(crate) mod tests;
