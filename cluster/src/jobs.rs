//! Orders of an operator and what became of them: the leader's list of [`Job`]s.
//!
//! An order is judged once, by what the topology says then, and becomes a job; the log and the leader's machines tell how it goes
//! ([`Jobs::heard`], [`Jobs::applied`]). One job at a time changes a shard's primary; what concerns single nodes is in [`nodes`]. A client that lost the answer asks again with the same
//! `Idempotency-Key` and gets the same job.
//!
//! Jobs live in the leader's memory: what they want is done, or not, by the log, and whoever leads next knows that from there. A job of a
//! leader that leads no longer ends as failed and says so ([`Jobs::rest`]).

mod nodes;

use std::collections::VecDeque;

use nodes::Found;
use serde::{Deserialize, Serialize};

use crate::{
    control::Cluster,
    failover::Note,
    ids::{Epoch, NodeId, ShardId},
    topology::Topology,
    view::{ErrorCode, ErrorView},
};

/// Jobs that are kept; the oldest that has ended goes first.
pub const JOBS_MAX: usize = 256;

/// A primary that was not replaced within this is waited for no longer; the log goes on by itself.
const REPLACED_WITHIN_MS: u64 = 10_000;

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// None: whichever holds most.
    Switchover {
        shard: ShardId,
        to: Option<NodeId>,
    },
    Failover {
        shard: ShardId,
        accept_data_loss: bool,
    },
    /// The node at this address shall be a replica of the shard.
    AddNode {
        addr: String,
        shard: ShardId,
    },
    /// It shall belong to the cluster no more.
    RemoveNode {
        node: NodeId,
    },
}

impl Order {
    /// Whether both cannot be under way at the same time.
    fn is_in_the_way_of(&self, shard: Option<ShardId>, other: &Order, others: Option<ShardId>) -> bool {
        match (self, other) {
            (Order::AddNode { addr, .. }, Order::AddNode { addr: another, .. }) => addr == another,
            (Order::RemoveNode { node }, Order::RemoveNode { node: another }) => node == another,
            (Order::AddNode { .. } | Order::RemoveNode { .. }, _)
            | (_, Order::AddNode { .. } | Order::RemoveNode { .. }) => false,
            (Order::Switchover { .. } | Order::Failover { .. }, _) => shard == others,
        }
    }
}

/// `J` of `GET /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: String,
    pub kind: JobKind,
    pub shard: Option<ShardId>,
    pub state: JobState,
    /// The old primary; the node that goes.
    pub from: Option<NodeId>,
    /// The new primary; the node that comes, once it has a name.
    pub to: Option<NodeId>,
    /// The one that began.
    pub epoch: Option<Epoch>,
    /// For so long nobody served.
    pub pause_ms: Option<u64>,
    pub migrations: Vec<String>,
    pub created_ms: u64,
    pub ended_ms: Option<u64>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    Switchover,
    Failover,
    AddNode,
    RemoveNode,
}

impl JobKind {
    /// As the admin API has it.
    pub fn name(self) -> &'static str {
        match self {
            JobKind::Switchover => "switchover",
            JobKind::Failover => "failover",
            JobKind::AddNode => "add-node",
            JobKind::RemoveNode => "remove-node",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    Running,
    Done,
    Failed,
}

/// `GET /v1/jobs`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobsView {
    pub jobs: Vec<Job>,
}

/// Why an order is not taken here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The leader's admin port is there.
    Elsewhere {
        admin_addr: String,
    },
    Here(Box<ErrorView>),
}

impl From<ErrorView> for Refusal {
    fn from(error: ErrorView) -> Refusal {
        Refusal::Here(Box::new(error))
    }
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    New(Job),
    /// It was given before.
    Known(Job),
}

/// The leader's list.
#[derive(Debug, Default)]
pub struct Jobs {
    held: VecDeque<Held>,
    last: u64,
}

#[derive(Debug)]
struct Held {
    job: Job,
    order: Order,
    key: Option<String>,
    /// The epoch that it wants to end.
    was: Epoch,
    /// Of a node: the log has taken it on.
    begun: bool,
    /// Since when nobody serves, as far as it is known.
    stopped_ms: Option<u64>,
}

impl Job {
    pub fn has_ended(&self) -> bool {
        self.state != JobState::Running
    }
}

impl Jobs {
    /// Takes an order on, if it makes sense now.
    pub fn take(
        &mut self,
        order: Order,
        key: Option<String>,
        topology: &Topology,
        now_ms: u64,
    ) -> Result<Taken, ErrorView> {
        if let Some(known) = key.as_ref().and_then(|_| self.held.iter().find(|held| held.key == key)) {
            let is_same = known.order == order;
            let other = "this Idempotency-Key belongs to another order";
            return match is_same {
                true => Ok(Taken::Known(known.job.clone())),
                false => Err(ErrorView::new(ErrorCode::Conflict, other).field("Idempotency-Key")),
            };
        }
        let (mut job, was) = judge(&order, topology, now_ms)?;
        // A node that is there already, or on its way: nothing is to be begun.
        let begun = job.kind == JobKind::AddNode && job.to.is_some();
        let same = self.held.iter().find(|held| begun && !held.job.has_ended() && held.order == order);
        if let Some(held) = same {
            return Ok(Taken::Known(held.job.clone()));
        }
        let in_the_way = self.held.iter().find(|held| {
            !held.job.has_ended() && !begun && held.order.is_in_the_way_of(held.job.shard, &order, job.shard)
        });
        if let Some(held) = in_the_way {
            let mut error = ErrorView::new(ErrorCode::Conflict, "another job changes the same")
                .hint(format!("wait for it: slotway ctl jobs shows {}", held.job.id));
            error.job = Some(held.job.id.clone());
            return Err(error);
        }
        if self.held.len() >= JOBS_MAX {
            let ended = self.held.iter().position(|held| held.job.has_ended());
            let oldest =
                ended.ok_or_else(|| ErrorView::new(ErrorCode::Unavailable, "too many jobs are running"))?;
            self.held.remove(oldest);
        }
        self.last = now_ms.max(self.last + 1);
        job.id = format!("j{}", self.last);
        self.held.push_back(Held { job: job.clone(), order, key, was, begun, stopped_ms: None });
        Ok(if begun { Taken::Known(job) } else { Taken::New(job) })
    }

    pub fn view(&self) -> JobsView {
        JobsView { jobs: self.held.iter().map(|held| held.job.clone()).collect() }
    }

    pub fn get(&self, id: &str) -> Result<Job, ErrorView> {
        let found = self.held.iter().find(|held| held.job.id == id);
        found.map(|held| held.job.clone()).ok_or_else(|| unknown(id))
    }

    /// An operator wants it no more. So far no job can be called off.
    pub fn cancel(&self, id: &str) -> Result<Job, ErrorView> {
        let held = self.held.iter().find(|held| held.job.id == id).ok_or_else(|| unknown(id))?;
        if held.job.has_ended() {
            return Err(ErrorView::new(ErrorCode::Conflict, format!("job {id} has ended")));
        }
        let message = "what is in the log is not called off: it ends by itself";
        Err(ErrorView::new(ErrorCode::Conflict, message))
    }

    // --- how they go -----------------------------------------------------------------------------------------------
    // Each returns whether a job changed.

    pub fn heard(&mut self, note: &Note, now_ms: u64) -> bool {
        match note {
            Note::Started { shard, .. } | Note::SwitchStopped { shard, .. } => {
                let running = self.reign_of(*shard);
                running.map(|held| held.stopped_ms = held.stopped_ms.or(Some(now_ms))).is_some()
            }
            Note::SwitchAborted { shard, why } => {
                let switch = self.reign_of(*shard).filter(|held| held.job.kind == JobKind::Switchover);
                switch.map(|held| held.fail(why.clone(), now_ms)).is_some()
            }
            Note::Refused { shard, missing, .. } => {
                let waits = self
                    .reign_of(*shard)
                    .filter(|held| !matches!(held.order, Order::Failover { accept_data_loss: true, .. }));
                let missing: Vec<String> = missing.iter().map(|member| member.node.to_string()).collect();
                let why = format!(
                    "no member is sure to hold every acknowledged write while these are missing: {}. It goes on by itself when \
                     enough of them are back; --accept-data-loss promotes whoever holds most",
                    missing.join(", ")
                );
                waits.map(|held| held.fail(why, now_ms)).is_some()
            }
            Note::Ended { shard, epoch, .. } => {
                let running = self.reign_of(*shard).filter(|held| held.was < *epoch);
                running.map(|held| held.reigned(*epoch, now_ms)).is_some()
            }
            Note::Promised { .. }
            | Note::Fenced { .. }
            | Note::Promoted { .. }
            | Note::LossAccepted { .. }
            | Note::SwitchStarted { .. } => false,
        }
    }

    /// The log has grown.
    pub fn applied(&mut self, cluster: &Cluster, now_ms: u64) -> bool {
        let mut changed = false;
        for held in self.held.iter_mut().filter(|held| !held.job.has_ended()) {
            if !held.replaces_a_primary() {
                changed |= held.follow_node(cluster, now_ms);
                continue;
            }
            let state = held.job.shard.and_then(|shard| cluster.shards.get(&shard));
            let Some(state) = state.filter(|state| state.epoch > held.was) else { continue };
            changed |= held.job.epoch != Some(state.epoch);
            held.job.epoch = Some(state.epoch);
            held.leads(&state.rule.primary.node, now_ms);
        }
        changed
    }

    /// The log has taken on what a job wants of this node.
    pub fn begun(&mut self, id: &str, node: &NodeId) {
        if let Some(held) = self.running(id) {
            held.begin(node);
        }
    }

    /// It cannot be done.
    pub fn failed(&mut self, id: &str, why: String, now_ms: u64) {
        if let Some(held) = self.running(id) {
            held.fail(why, now_ms);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        let mut changed = false;
        for held in self.held.iter_mut().filter(|held| !held.job.has_ended()) {
            let replaced =
                (REPLACED_WITHIN_MS, "no new primary serves yet; it goes on by itself, see the shard");
            let (patience_ms, why) = nodes::patience(held.job.kind).unwrap_or(replaced);
            if now_ms.saturating_sub(held.job.created_ms) >= patience_ms {
                held.fail(why.into(), now_ms);
                changed = true;
            }
        }
        changed
    }

    /// This proxy leads no longer.
    pub fn rest(&mut self, now_ms: u64) -> bool {
        let mut changed = false;
        for held in self.held.iter_mut().filter(|held| !held.job.has_ended()) {
            held.fail("another proxy leads now: what became of this, the shard shows".into(), now_ms);
            changed = true;
        }
        changed
    }

    fn running(&mut self, id: &str) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.job.id == id && !held.job.has_ended())
    }

    /// The job that replaces this shard's primary.
    fn reign_of(&mut self, shard: ShardId) -> Option<&mut Held> {
        self.held
            .iter_mut()
            .find(|held| held.job.shard == Some(shard) && !held.job.has_ended() && held.replaces_a_primary())
    }
}

impl Held {
    fn replaces_a_primary(&self) -> bool {
        matches!(self.job.kind, JobKind::Switchover | JobKind::Failover)
    }

    fn end(&mut self, state: JobState, error: Option<String>, now_ms: u64) {
        (self.job.state, self.job.error, self.job.ended_ms) = (state, error, Some(now_ms));
    }

    fn fail(&mut self, why: String, now_ms: u64) {
        self.end(JobState::Failed, Some(why), now_ms);
    }

    /// The log names another primary. Whether it serves is heard later.
    fn leads(&mut self, node: &NodeId, now_ms: u64) {
        if let Order::Switchover { to: Some(to), .. } = &self.order
            && to != node
        {
            return self.fail(format!("{node} leads instead"), now_ms);
        }
        self.job.to = Some(node.clone());
    }

    fn reigned(&mut self, epoch: Epoch, now_ms: u64) {
        self.job.epoch = Some(epoch);
        self.job.pause_ms = self.stopped_ms.map(|since| now_ms.saturating_sub(since));
        self.end(JobState::Done, None, now_ms);
    }
}

fn unknown(id: &str) -> ErrorView {
    ErrorView::new(ErrorCode::NotFound, format!("there is no job {id}"))
        .hint("jobs are forgotten when another proxy leads; slotway ctl events tells what happened")
}

/// The job that an order makes, without its name, and the epoch it finds.
fn judge(order: &Order, topology: &Topology, now_ms: u64) -> Result<(Job, Epoch), ErrorView> {
    let found = match order {
        Order::Switchover { shard, to } => judge_reign(JobKind::Switchover, *shard, to.as_ref(), topology)?,
        Order::Failover { shard, .. } => judge_reign(JobKind::Failover, *shard, None, topology)?,
        Order::AddNode { addr, shard } => nodes::judge_add(addr, *shard, topology)?,
        Order::RemoveNode { node } => nodes::judge_remove(node, topology)?,
    };
    let was = topology.shard(found.shard).map(|shard| shard.epoch).unwrap_or_default();
    let job = Job {
        id: String::new(),
        kind: found.kind,
        shard: Some(found.shard),
        state: JobState::Running,
        from: found.from,
        to: found.to,
        epoch: None,
        pause_ms: None,
        migrations: Vec::new(),
        created_ms: now_ms,
        ended_ms: None,
        error: None,
    };
    Ok((job, was))
}

fn judge_reign(
    kind: JobKind,
    id: ShardId,
    to: Option<&NodeId>,
    topology: &Topology,
) -> Result<Found, ErrorView> {
    let Some(shard) = topology.shard(id) else {
        return Err(ErrorView::new(ErrorCode::NotFound, format!("there is no shard {id}")).field("shard"));
    };
    if shard.replicas.is_empty() {
        let message = format!("shard {id} has no replica that could take over");
        return Err(ErrorView::new(ErrorCode::Conflict, message));
    }
    match to {
        Some(to) if *to == shard.primary => {
            let message = format!("{to} is the primary already");
            return Err(ErrorView::new(ErrorCode::Conflict, message).field("to"));
        }
        Some(to) if !shard.replicas.contains(to) => {
            let message = format!("{to} is no replica of shard {id}");
            return Err(ErrorView::new(ErrorCode::Invalid, message).field("to"));
        }
        Some(_) | None => {}
    }
    Ok(Found { kind, shard: id, from: Some(shard.primary.clone()), to: to.cloned() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        failover::tests::cluster,
        shard::{Member, Rule},
    };

    const SHARD: ShardId = ShardId(1);

    fn node(number: u64) -> NodeId {
        NodeId(format!("n{number}"))
    }

    fn switchover(to: Option<u64>) -> Order {
        Order::Switchover { shard: SHARD, to: to.map(node) }
    }

    fn taken(jobs: &mut Jobs, order: Order, now_ms: u64) -> Job {
        match jobs.take(order, None, &cluster(2).topology(), now_ms).unwrap() {
            Taken::New(job) => job,
            Taken::Known(job) => panic!("{job:?}"),
        }
    }

    fn led_by(number: u64, epoch: u64) -> Cluster {
        let mut cluster = cluster(2);
        let state = cluster.shards.get_mut(&SHARD).unwrap();
        let member: Vec<Member> = state.rule.members().cloned().collect();
        let primary = member.iter().find(|member| member.node == node(number)).unwrap().clone();
        (state.epoch, state.rule) = (Epoch(epoch), Rule::new(primary, member));
        cluster
    }

    fn ended(epoch: u64) -> Note {
        Note::Ended { shard: SHARD, epoch: Epoch(epoch), after: Duration::ZERO }
    }

    #[test]
    fn a_switchover_is_done_once_the_new_primary_serves() {
        let mut jobs = Jobs::default();
        let job = taken(&mut jobs, switchover(Some(2)), 100);
        let epoch = cluster(2).shards[&SHARD].epoch.0;
        assert_eq!((job.from, job.to, job.state), (Some(node(1)), Some(node(2)), JobState::Running));
        let position = crate::Position::default();
        jobs.heard(&Note::SwitchStopped { shard: SHARD, position }, 110);
        assert!(!jobs.applied(&led_by(1, epoch), 111));
        assert!(jobs.applied(&led_by(2, epoch + 1), 112));
        assert!(!jobs.heard(&ended(epoch), 113), "what ended before is another story");
        assert!(jobs.heard(&ended(epoch + 1), 125));
        let job = jobs.get(&job.id).unwrap();
        assert_eq!((job.state, job.pause_ms, job.ended_ms), (JobState::Done, Some(15), Some(125)));
        assert_eq!(job.epoch, Some(Epoch(epoch + 1)));
    }

    #[test]
    fn what_goes_wrong_is_told_with_its_reason() {
        let mut jobs = Jobs::default();
        let job = taken(&mut jobs, switchover(None), 100);
        jobs.heard(&Note::SwitchAborted { shard: SHARD, why: "n1 does not stop".into() }, 2100);
        assert_eq!(jobs.get(&job.id).unwrap().error.as_deref(), Some("n1 does not stop"));
        let job = taken(&mut jobs, switchover(Some(2)), 3000);
        assert!(jobs.applied(&led_by(3, 9), 3001));
        assert_eq!(jobs.get(&job.id).unwrap().error.as_deref(), Some("n3 leads instead"));
        let order = |accept_data_loss| Order::Failover { shard: SHARD, accept_data_loss };
        let refused = Note::Refused { shard: SHARD, epoch: Epoch(2), missing: vec![] };
        let job = taken(&mut jobs, order(false), 4000);
        assert!(jobs.heard(&refused, 4500));
        assert_eq!(jobs.get(&job.id).unwrap().state, JobState::Failed);
        let job = taken(&mut jobs, order(true), 5000);
        assert!(!jobs.heard(&refused, 5500), "a loss was accepted");
        assert!(!jobs.tick(14_999) && jobs.tick(15_000));
        assert_eq!(jobs.get(&job.id).unwrap().state, JobState::Failed);
        let job = taken(&mut jobs, order(true), 16_000);
        assert!(jobs.rest(16_001) && !jobs.rest(16_002));
        assert!(jobs.get(&job.id).unwrap().error.unwrap().contains("another proxy leads"));
    }

    fn refused(order: Order) -> ErrorCode {
        let error = Jobs::default().take(order, None, &cluster(2).topology(), 1).unwrap_err();
        error.code
    }

    #[test]
    fn an_order_that_makes_no_sense_is_refused_at_once() {
        assert_eq!(refused(Order::Switchover { shard: ShardId(9), to: None }), ErrorCode::NotFound);
        assert_eq!(refused(switchover(Some(1))), ErrorCode::Conflict);
        assert_eq!(refused(switchover(Some(77))), ErrorCode::Invalid);
        let alone = Order::Failover { shard: SHARD, accept_data_loss: true };
        let error = Jobs::default().take(alone, None, &cluster(0).topology(), 1).unwrap_err();
        assert!(error.message.contains("no replica"), "{}", error.message);
    }

    #[test]
    fn a_key_names_one_order_and_a_shard_has_one_change_at_a_time() {
        let mut jobs = Jobs::default();
        let topology = cluster(2).topology();
        let mut take = |order, key: &str| jobs.take(order, Some(key.into()), &topology, 5);
        let Ok(Taken::New(job)) = take(switchover(None), "a") else { panic!("not taken") };
        assert_eq!(take(switchover(None), "a"), Ok(Taken::Known(job.clone())));
        assert_eq!(take(switchover(Some(2)), "a").unwrap_err().field.as_deref(), Some("Idempotency-Key"));
        assert_eq!(take(switchover(None), "b").unwrap_err().job, Some(job.id.clone()));
        assert_eq!(jobs.cancel(&job.id).unwrap_err().code, ErrorCode::Conflict);
        assert_eq!(jobs.cancel("j0").unwrap_err().code, ErrorCode::NotFound);
    }

    #[test]
    fn the_oldest_that_ended_is_forgotten_first() {
        let mut jobs = Jobs::default();
        let first = taken(&mut jobs, switchover(None), 1);
        for at in 0..u64::try_from(JOBS_MAX).unwrap() {
            jobs.rest(at);
            taken(&mut jobs, switchover(None), 10 + at);
        }
        assert_eq!(jobs.view().jobs.len(), JOBS_MAX);
        assert!(jobs.get(&first.id).is_err());
    }
}
