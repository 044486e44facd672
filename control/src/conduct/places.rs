//! Nodes that an operator adds and removes, on their way from a wish to the log.
//!
//! A node that is to be added is asked who it is. What it holds would be lost when it copies its primary, so it must hold nothing, and
//! it must belong to nobody; then the log gives it a name. From there on it is a node like any other: orders reach it on its pulse port,
//! it copies, and its primary takes it into S. A node that is to be removed is the log's affair alone: its primary takes it out of S.

use std::collections::BTreeSet;

use slotway_cluster::{
    Cluster, Entry, NodeId, ShardId,
    control::{NodeFact, Outcome},
};

use super::{Conductor, Errand};
use crate::{
    founding::{self, Introduction},
    group::ProposeError,
    shared::Managed,
};

/// How far an operator's wish about a node has come.
#[derive(Debug)]
pub(super) enum Placed {
    /// The node that is to be added has answered, or not.
    Met { job: String, shard: ShardId, said: Result<Introduction, String> },
    /// The log has.
    Answered { job: String, node: NodeId, outcome: Result<Outcome, ProposeError> },
}

/// Names that are being given: nobody else gets them until the log has them.
#[derive(Debug, Default)]
pub(super) struct Naming(BTreeSet<NodeId>);

impl Naming {
    fn next<'n>(&mut self, cluster: &Cluster, planned: impl Iterator<Item = &'n NodeId>) -> NodeId {
        let taken: BTreeSet<NodeId> = planned.cloned().chain(self.0.iter().cloned()).collect();
        let node = cluster.next_node_name(&taken);
        self.0.insert(node.clone());
        node
    }

    /// What was decided is seen a little later: until then the name stays taken.
    fn answered(&mut self, node: &NodeId, outcome: &Result<Outcome, ProposeError>) {
        if !matches!(outcome, Ok(Outcome::Done | Outcome::Again)) {
            self.0.remove(node);
        }
    }

    /// The log has grown.
    pub(super) fn follow(&mut self, cluster: &Cluster) {
        self.0.retain(|node| !cluster.nodes.contains_key(node) && !cluster.removed.contains(node));
    }
}

impl Conductor {
    /// Asks a node that is to be added who it is.
    pub(super) fn meet(&mut self, job: String, addr: &str, shard: ShardId) {
        let target = self.shared.access.target(addr, Managed::Yes);
        self.errands.spawn(async move {
            Errand::Place(Placed::Met { job, shard, said: founding::ask(&target).await })
        });
    }

    pub(super) fn part_with(&mut self, job: String, node: NodeId) {
        let entry = Entry::RemoveNode { node: node.clone() };
        self.log_for(job, node, entry);
    }

    pub(super) fn placed(&mut self, placed: Placed) {
        match placed {
            Placed::Met { job, shard, said } => {
                let said = said.and_then(|said| match objection(&said, &self.cluster.cluster_id) {
                    Some(why) => Err(why),
                    None => Ok(said),
                });
                match said {
                    Ok(said) => self.name(job, shard, said),
                    Err(why) => self.shared.operations().failed(&job, why),
                }
            }
            Placed::Answered { job, node, outcome } => {
                self.naming.answered(&node, &outcome);
                let operations = self.shared.operations();
                match outcome {
                    Ok(Outcome::Done | Outcome::Again) => operations.begun(&job, &node),
                    Ok(Outcome::Refused(why)) => operations.failed(&job, why.to_string()),
                    Err(error) => {
                        let why = format!("{error}; whether it was decided, slotway ctl nodes shows");
                        operations.failed(&job, why);
                    }
                }
            }
        }
    }

    /// Has the log give it a name that nobody had.
    fn name(&mut self, job: String, shard: ShardId, said: Introduction) {
        let planned = self.plan.topology.iter().flat_map(|topology| &topology.nodes).map(|node| &node.id);
        let node = self.naming.next(&self.cluster, planned);
        let Introduction { addr, incarnation, pulse_addr, .. } = said;
        let incarnation = Some(incarnation);
        let fact = NodeFact { shard, addr, pulse_addr, admin_addr: None, incarnation };
        self.log_for(job, node.clone(), Entry::AddNode { node, fact });
    }

    fn log_for(&mut self, job: String, node: NodeId, entry: Entry) {
        let group = self.group.clone();
        self.errands.spawn(async move {
            let outcome = group.propose(entry).await;
            Errand::Place(Placed::Answered { job, node, outcome })
        });
    }
}

/// Why a node may not be added that says this of itself.
fn objection(said: &Introduction, own_cluster: &str) -> Option<String> {
    let addr = &said.addr;
    match (&said.cluster_id, said.keys) {
        (Some(id), _) if id == own_cluster => Some(format!(
            "the node at {addr} belonged to this cluster before: start it with an empty directory"
        )),
        (Some(id), _) => Some(format!("the node at {addr} belongs to cluster {id}")),
        (None, Some(keys)) if keys > 0 => {
            Some(format!("the node at {addr} holds {keys} keys, which would be lost: FLUSHALL there first"))
        }
        (None, _) if said.pulse_addr.is_none() => {
            Some(format!("the node at {addr} has no pulse port: start it with --pulse-port"))
        }
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use slotway_cluster::{Incarnation, control::Durability};

    use super::*;

    #[test]
    fn two_nodes_that_are_added_at_once_have_two_names() {
        let (mut naming, mut cluster) = (Naming::default(), Cluster::default());
        let (placement, durability) = (slotway_cluster::Placement::default(), Durability::Quorum);
        let create = Entry::Create { cluster_id: "c".repeat(40), placement, durability };
        assert_eq!(cluster.apply(1, &create), Outcome::Done);
        let first = naming.next(&cluster, [].iter());
        // The log has decided, and its state is not seen here yet.
        naming.answered(&first, &Ok(Outcome::Done));
        assert_ne!(naming.next(&cluster, [].iter()), first);
        let fact = NodeFact {
            shard: ShardId(1),
            addr: "h:1".into(),
            pulse_addr: None,
            admin_addr: None,
            incarnation: None,
        };
        assert_eq!(cluster.apply(2, &Entry::AddNode { node: first.clone(), fact }), Outcome::Done);
        naming.follow(&cluster);
        assert!(!naming.0.contains(&first), "the log remembers it from now on");
    }

    #[test]
    fn a_node_that_holds_something_or_belongs_to_somebody_is_not_added() {
        let fresh = Introduction {
            addr: "h:1".into(),
            incarnation: Incarnation(7),
            pulse_addr: Some("h:2".into()),
            cluster_id: None,
            keys: Some(0),
        };
        let check = |said: Introduction, expected: &str| {
            let why = objection(&said, "ours").unwrap_or_default();
            assert!(why.contains(expected), "{why}");
        };
        assert_eq!(objection(&fresh, "ours"), None);
        check(Introduction { keys: Some(3), ..fresh.clone() }, "3 keys");
        check(
            Introduction { cluster_id: Some("theirs".into()), ..fresh.clone() },
            "belongs to cluster theirs",
        );
        check(Introduction { cluster_id: Some("ours".into()), ..fresh.clone() }, "empty directory");
        check(Introduction { pulse_addr: None, ..fresh }, "--pulse-port");
    }
}
