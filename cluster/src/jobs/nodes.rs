//! Jobs that give a shard a node, or take one from it: what order makes sense, and when it is done.
//!
//! A node is added once its acknowledgements count, not when the log names it: before that it is no copy. It is removed once no rule of
//! its shard names it and the log has let it go, so that whoever stops the process afterwards stops nothing that is needed.

use super::{Held, JobKind, JobState, Order};
use crate::{
    control::Cluster,
    ids::{NodeId, ShardId},
    topology::Topology,
    view::{ErrorCode, ErrorView},
};

/// A node that holds not everything by then is waited for no longer; it goes on by itself.
const JOINED_WITHIN_MS: u64 = 3_600_000;

/// A node that is still needed by then is waited for no longer; it goes on by itself.
const REMOVED_WITHIN_MS: u64 = 60_000;

/// A name or an address of more bytes is none.
const ADDR_BYTES_MAX: usize = 256;

/// What an order about a node finds.
pub(super) struct Found {
    pub(super) kind: JobKind,
    pub(super) shard: ShardId,
    pub(super) from: Option<NodeId>,
    pub(super) to: Option<NodeId>,
}

pub(super) fn judge_add(addr: &str, shard: ShardId, topology: &Topology) -> Result<Found, ErrorView> {
    if !is_address(addr) {
        let message = format!("expected host:port, found \"{addr}\"");
        return Err(ErrorView::new(ErrorCode::Invalid, message).field("addr"));
    }
    if topology.shard(shard).is_none() {
        let message = format!("there is no shard {shard}");
        return Err(ErrorView::new(ErrorCode::NotFound, message).field("shard"));
    }
    let at = topology.nodes.iter().find(|node| node.addr == addr).map(|node| node.id.clone());
    let its_shard = at.as_ref().and_then(|node| topology.shard_of(node)).map(|found| found.id);
    match (&at, its_shard) {
        (Some(node), Some(other)) if other != shard => {
            let message = format!("{addr} is {node}, which belongs to shard {other}");
            Err(ErrorView::new(ErrorCode::Conflict, message).field("addr"))
        }
        // It was added before, and is on its way or there.
        (to, _) => Ok(Found { kind: JobKind::AddNode, shard, from: None, to: to.clone() }),
    }
}

pub(super) fn judge_remove(node: &NodeId, topology: &Topology) -> Result<Found, ErrorView> {
    let shard = topology.shard_of(node).ok_or_else(|| {
        ErrorView::new(ErrorCode::NotFound, format!("there is no node {node}")).field("node")
    })?;
    if shard.primary == *node {
        let message = format!("{node} is the primary of shard {}", shard.id);
        let hint = format!("first: slotway ctl switchover {}", shard.id);
        return Err(ErrorView::new(ErrorCode::Conflict, message).hint(hint).field("node"));
    }
    Ok(Found { kind: JobKind::RemoveNode, shard: shard.id, from: Some(node.clone()), to: None })
}

/// `host:port`, an IPv6 host in brackets.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = !host.is_empty() && !host.contains(char::is_whitespace) && !host.contains('/');
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= ADDR_BYTES_MAX
        && plain
        && (bracketed || !host.contains(':'))
        && digits
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

impl Held {
    /// The log has it under this name from now on, or has begun to let it go.
    pub(super) fn begin(&mut self, node: &NodeId) {
        self.begun = true;
        if self.job.kind == JobKind::AddNode {
            self.job.to = Some(node.clone());
        }
    }

    /// How the log stands now, as far as it is known here; whether the job has ended by it.
    pub(super) fn follow_node(&mut self, cluster: &Cluster, now_ms: u64) -> bool {
        if !self.begun {
            return false;
        }
        let of_shard = self.job.shard.and_then(|shard| cluster.shards.get(&shard));
        match (&self.order, &self.job.to) {
            (Order::AddNode { .. }, Some(node)) => {
                if cluster.removed.contains(node) {
                    self.fail(format!("{node} was removed meanwhile"), now_ms);
                } else if cluster.leaving.contains(node) {
                    self.fail(format!("{node} is being removed"), now_ms);
                } else if of_shard
                    .is_some_and(|state| state.rule.members().any(|member| member.node == *node))
                {
                    self.end(JobState::Done, None, now_ms);
                } else {
                    return false;
                }
            }
            (Order::RemoveNode { node }, _) => {
                if !cluster.nodes.contains_key(node) {
                    self.end(JobState::Done, None, now_ms);
                } else if of_shard.is_some_and(|state| state.rule.primary.node == *node) {
                    self.fail(format!("{node} leads by now: it held most, and stays"), now_ms);
                } else {
                    return false;
                }
            }
            _ => return false,
        }
        true
    }
}

/// For how long a job of this kind is waited for, and what is said then.
pub(super) fn patience(kind: JobKind) -> Option<(u64, &'static str)> {
    match kind {
        JobKind::AddNode => {
            Some((JOINED_WITHIN_MS, "the node does not hold everything yet; it goes on by itself"))
        }
        JobKind::RemoveNode => Some((
            REMOVED_WITHIN_MS,
            "the node is still needed; it goes on by itself once the others hold everything",
        )),
        JobKind::Switchover | JobKind::Failover => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{Entry, Outcome},
        failover::tests::cluster,
        ids::Epoch,
        jobs::{Job, Jobs, Taken},
        shard::{Incarnation, Member},
    };

    const SHARD: ShardId = ShardId(1);

    fn node(number: u64) -> NodeId {
        NodeId(format!("n{number}"))
    }

    fn take(jobs: &mut Jobs, order: Order, cluster: &Cluster) -> Job {
        match jobs.take(order, None, &cluster.topology(), 100).unwrap() {
            Taken::New(job) | Taken::Known(job) => job,
        }
    }

    fn apply(cluster: &mut Cluster, entry: &Entry) {
        assert_eq!(cluster.apply(cluster.index + 1, entry), Outcome::Done, "{entry:?}");
    }

    fn change_sync(cluster: &Cluster, sync: &[u64]) -> Entry {
        let state = &cluster.shards[&SHARD];
        let of =
            |number: &u64| Member::new(&node(*number), cluster.nodes[&node(*number)].incarnation.unwrap());
        let (epoch, version) = (state.epoch, state.version);
        Entry::ChangeSync { shard: SHARD, epoch, version, sync: sync.iter().map(of).collect() }
    }

    fn add(addr: &str) -> Order {
        Order::AddNode { addr: addr.into(), shard: SHARD }
    }

    #[test]
    fn a_node_is_added_once_its_acknowledgements_count() {
        let (mut jobs, mut cluster) = (Jobs::default(), cluster(2));
        let job = take(&mut jobs, add("h:77"), &cluster);
        assert!(!jobs.applied(&cluster, 101), "nobody has asked the node yet");
        let mut fact = cluster.nodes[&node(2)].clone();
        (fact.addr, fact.incarnation) = ("h:77".into(), Some(Incarnation(77)));
        apply(&mut cluster, &Entry::AddNode { node: node(9), fact });
        jobs.begun(&job.id, &node(9));
        assert!(!jobs.applied(&cluster, 102), "it holds nothing yet");
        let again = take(&mut jobs, add("h:77"), &cluster);
        assert_eq!(again.to, Some(node(9)), "it was added before: the same node is waited for");
        let joined = change_sync(&cluster, &[2, 3, 9]);
        apply(&mut cluster, &joined);
        assert!(jobs.applied(&cluster, 103));
        for id in [&job.id, &again.id] {
            let job = jobs.get(id).unwrap();
            assert_eq!((job.state, job.to, job.ended_ms), (JobState::Done, Some(node(9)), Some(103)));
        }
    }

    #[test]
    fn one_that_is_just_being_removed_is_not_added() {
        let (mut jobs, mut cluster) = (Jobs::default(), cluster(2));
        apply(&mut cluster, &Entry::RemoveNode { node: node(3) });
        let addr = cluster.nodes[&node(3)].addr.clone();
        let job = take(&mut jobs, add(&addr), &cluster);
        assert!(jobs.applied(&cluster, 101));
        let error = jobs.get(&job.id).unwrap().error.unwrap();
        assert!(error.contains("n3 is being removed"), "{error}");
    }

    #[test]
    fn an_order_that_is_repeated_while_a_node_copies_is_the_same_job() {
        let (mut jobs, mut cluster) = (Jobs::default(), cluster(2));
        let mut fact = cluster.nodes[&node(2)].clone();
        (fact.addr, fact.incarnation) = ("h:77".into(), Some(Incarnation(77)));
        apply(&mut cluster, &Entry::AddNode { node: node(9), fact });
        let first = take(&mut jobs, add("h:77"), &cluster);
        for _ in 0..crate::jobs::JOBS_MAX {
            assert_eq!(take(&mut jobs, add("h:77"), &cluster).id, first.id);
        }
        take(&mut jobs, Order::Failover { shard: SHARD, accept_data_loss: false }, &cluster);
    }

    #[test]
    fn a_node_is_removed_once_no_rule_names_it() {
        let (mut jobs, mut cluster) = (Jobs::default(), cluster(2));
        let job = take(&mut jobs, Order::RemoveNode { node: node(3) }, &cluster);
        assert_eq!((job.shard, job.from.clone()), (Some(SHARD), Some(node(3))));
        apply(&mut cluster, &Entry::RemoveNode { node: node(3) });
        jobs.begun(&job.id, &node(3));
        assert!(!jobs.applied(&cluster, 101), "its primary still waits for it");
        let without = change_sync(&cluster, &[2]);
        apply(&mut cluster, &without);
        assert!(jobs.applied(&cluster, 102));
        assert_eq!(jobs.get(&job.id).unwrap().state, JobState::Done);
    }

    #[test]
    fn one_that_is_promoted_meanwhile_stays_and_the_job_says_so() {
        let (mut jobs, mut cluster) = (Jobs::default(), cluster(2));
        let job = take(&mut jobs, Order::RemoveNode { node: node(3) }, &cluster);
        apply(&mut cluster, &Entry::RemoveNode { node: node(3) });
        jobs.begun(&job.id, &node(3));
        let state = cluster.shards[&SHARD].clone();
        let why = "gone".into();
        apply(&mut cluster, &Entry::BeginFailover { shard: SHARD, epoch: state.epoch, why });
        let winner = state.rule.sync.iter().find(|member| member.node == node(3)).unwrap().clone();
        let sync = state.rule.sync.iter().filter(|member| **member != winner).cloned().collect();
        let (epoch, version) = (Epoch(state.epoch.0 + 1), state.version);
        let how = crate::control::How::Failover;
        apply(&mut cluster, &Entry::Promote { shard: SHARD, epoch, version, winner, sync, how });
        assert!(jobs.applied(&cluster, 102));
        let error = jobs.get(&job.id).unwrap().error.unwrap();
        assert!(error.contains("n3 leads by now"), "{error}");
    }

    #[test]
    fn a_failover_is_ordered_while_a_node_copies() {
        let (mut jobs, cluster) = (Jobs::default(), cluster(2));
        take(&mut jobs, add("h:77"), &cluster);
        take(&mut jobs, add("h:78"), &cluster);
        take(&mut jobs, Order::Failover { shard: SHARD, accept_data_loss: false }, &cluster);
        let twice = jobs.take(add("h:77"), None, &cluster.topology(), 100).unwrap_err();
        assert_eq!(twice.code, ErrorCode::Conflict);
        assert!(jobs.tick(100 + JOINED_WITHIN_MS));
    }

    fn check(order: Order, expected: (ErrorCode, &str)) {
        let error = Jobs::default().take(order, None, &cluster(2).topology(), 1).unwrap_err();
        assert_eq!((error.code, error.field.as_deref()), (expected.0, Some(expected.1)), "{error:?}");
    }

    #[test]
    fn an_order_about_a_node_that_makes_no_sense_is_refused_at_once() {
        let remove = |number| Order::RemoveNode { node: node(number) };
        check(remove(1), (ErrorCode::Conflict, "node"));
        check(remove(42), (ErrorCode::NotFound, "node"));
        let nowhere = Order::AddNode { addr: "h:1".into(), shard: ShardId(9) };
        check(nowhere, (ErrorCode::NotFound, "shard"));
        for bad in ["", "h", "h:", ":1", "h:0", "h:65536", "h:x", "a b:1", "http://h:1", "::1:7"] {
            check(add(bad), (ErrorCode::Invalid, "addr"));
        }
        check(add(&format!("{}:1", "h".repeat(ADDR_BYTES_MAX))), (ErrorCode::Invalid, "addr"));
        assert!(is_address("[::1]:7001") && is_address("node-1.example:7001"));
    }
}
