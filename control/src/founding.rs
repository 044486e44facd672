//! From a plan to a log: what the leader has yet to log so that the log says what `topology.json` planned.
//!
//! `slotway up` writes down which nodes there are to be, and where; a group's first log begins from that, and a later start may bring other
//! addresses or more nodes. Where a node's pulse port is, and in which life the node is, it says itself (`SLOTWAY STATE` on its client
//! port). A shard begins once its first primary's life is known. Who leads is never taken from the plan afterwards: that is the log's.

use std::{collections::BTreeMap, time::Duration};

use slotway_cluster::{
    Cluster, Entry, Incarnation, Member, NodeId, ShardId, Topology,
    control::{Durability, NodeFact},
    failover::OnTotalLoss,
};
use slotway_link::{Connection, LinkError, Target};
use slotway_resp::Frame;

/// How long a node may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a cluster is planned to be.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// None: whatever the log has.
    pub(crate) topology: Option<Topology>,
    pub(crate) durability: Durability,
    pub(crate) policy: Policy,
}

/// What a group goes by that is no matter of addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// None: by the number of a shard's nodes.
    pub(crate) min_copies: Option<usize>,
    pub(crate) on_total_loss: OnTotalLoss,
    pub(crate) busy_down_after: Duration,
}

/// What a node said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Introduction {
    pub(crate) addr: String,
    pub(crate) incarnation: Incarnation,
    pub(crate) pulse_addr: Option<String>,
    /// The cluster that it takes orders of.
    pub(crate) cluster_id: Option<String>,
    pub(crate) keys: Option<u64>,
}

impl Introduction {
    /// Whether the log has all of it. From then on the log knows better: another leader may log what the node says later.
    pub(crate) fn is_in(&self, fact: &NodeFact) -> bool {
        fact.addr == self.addr
            && fact.incarnation.is_some()
            && self.pulse_addr.as_ref().is_none_or(|said| fact.pulse_addr.as_ref() == Some(said))
    }
}

/// What to log next. None of it depends on the rest: whatever is refused is tried again with what the log says then.
pub(crate) fn entries(plan: &Plan, cluster: &Cluster, said: &BTreeMap<NodeId, Introduction>) -> Vec<Entry> {
    if cluster.cluster_id.is_empty() {
        return create(plan).into_iter().collect();
    }
    let mut entries = Vec::new();
    if cluster.durability != plan.durability {
        entries.push(Entry::SetDurability { durability: plan.durability });
    }
    for (node, planned) in nodes(plan, cluster) {
        let introduced = said.get(&node).filter(|introduced| introduced.addr == planned.addr);
        let known = cluster.nodes.get(&node);
        let has_moved = known.is_some_and(|known| known.addr != planned.addr);
        let fact = NodeFact {
            pulse_addr: introduced
                .and_then(|introduced| introduced.pulse_addr.clone())
                .or_else(|| known.filter(|_| !has_moved)?.pulse_addr.clone()),
            // The log has it from the pulse once there is one; before that it must begin with something.
            incarnation: known
                .and_then(|known| known.incarnation)
                .or(introduced.map(|introduced| introduced.incarnation)),
            ..planned
        };
        if known != Some(&fact) {
            entries.push(Entry::AddNode { node, fact });
        }
    }
    let copies = plan.policy.min_copies;
    let others = cluster.shards.iter().filter(|(_, state)| state.min_copies != copies);
    entries.extend(others.map(|(shard, _)| Entry::SetMinCopies { shard: *shard, copies }));
    entries.extend(plan.topology.iter().flat_map(|topology| shards(topology, cluster)));
    entries
}

/// What a log begins with.
pub(crate) fn create(plan: &Plan) -> Option<Entry> {
    let topology = plan.topology.as_ref()?;
    let (cluster_id, placement) = (topology.cluster_id.clone(), topology.placement.clone());
    Some(Entry::Create { cluster_id, placement, durability: plan.durability })
}

/// Nodes that have to be asked who they are: their pulse port is not known, or not reached.
pub(crate) fn unknown<'p>(
    plan: &'p Plan,
    cluster: &'p Cluster,
    is_unreachable: impl Fn(&NodeId) -> bool + 'p,
) -> impl Iterator<Item = (NodeId, String)> + 'p {
    let nodes = nodes(plan, cluster).into_iter();
    nodes.filter(move |(node, _)| is_unreachable(node)).map(|(node, fact)| (node, fact.addr))
}

/// Of the log and of the plan; where they differ about an address, the plan is newer, and of who was removed the log.
fn nodes(plan: &Plan, cluster: &Cluster) -> BTreeMap<NodeId, NodeFact> {
    let mut nodes = cluster.nodes.clone();
    let Some(topology) = &plan.topology else { return nodes };
    for node in topology.nodes.iter().filter(|node| !cluster.removed.contains(&node.id)) {
        let Some(shard) = topology.shard_of(&node.id) else { continue };
        let known = nodes.get(&node.id);
        let fact = NodeFact {
            // A node stays where it was put first.
            shard: known.map_or(shard.id, |known| known.shard),
            addr: node.addr.clone(),
            pulse_addr: known.and_then(|known| known.pulse_addr.clone()),
            admin_addr: node.admin_addr.clone(),
            incarnation: known.and_then(|known| known.incarnation),
        };
        nodes.insert(node.id.clone(), fact);
    }
    nodes
}

/// Shards that the log lacks, once it knows the life of their first primary.
fn shards<'t>(topology: &'t Topology, cluster: &'t Cluster) -> impl Iterator<Item = Entry> + 't {
    let lacking = topology.shards.iter().filter(|shard| !cluster.shards.contains_key(&shard.id));
    lacking.filter_map(|shard| {
        let fact = cluster.nodes.get(&shard.primary).filter(|fact| fact.shard == shard.id)?;
        let primary = Member::new(&shard.primary, fact.incarnation?);
        let id: ShardId = shard.id;
        Some(Entry::AddShard { shard: id, primary, slots: shard.slots.clone() })
    })
}

/// Asks a node who it is. Errors are for the log.
pub(crate) async fn ask(target: &Target) -> Result<Introduction, String> {
    let state = async {
        let mut connection = Connection::open(target, PATIENCE).await?;
        connection.request(&["SLOTWAY", "STATE"], PATIENCE).await
    };
    match state.await.map_err(|error: LinkError| error.to_string())? {
        Frame::Bulk(json) => introduction(&target.address, &json),
        Frame::Error(text) => Err(String::from_utf8_lossy(&text).into_owned()),
        other => Err(format!("an answer that is none: {other:?}")),
    }
}

fn introduction(addr: &str, json: &[u8]) -> Result<Introduction, String> {
    let state: serde_json::Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let text = |field: &str| state.get(field).and_then(|value| value.as_str()).map(str::to_owned);
    let incarnation = text("incarnation").ok_or("it does not say in which life it is")?;
    let incarnation = Incarnation::try_from(incarnation).map_err(str::to_owned)?;
    Ok(Introduction {
        addr: addr.to_owned(),
        incarnation,
        pulse_addr: text("pulse_addr"),
        cluster_id: text("cluster_id"),
        keys: state.get("keys").and_then(serde_json::Value::as_u64),
    })
}

#[cfg(test)]
mod tests {
    use slotway_cluster::control::Outcome;

    use super::*;
    use crate::discover;

    const POLICY: Policy = Policy {
        min_copies: None,
        on_total_loss: OnTotalLoss::Newest,
        busy_down_after: Duration::from_secs(15),
    };

    fn topology(addresses: &[&str]) -> Topology {
        let addresses: Vec<String> = addresses.iter().map(|&address| address.into()).collect();
        let mut topology = discover::from_backends(&addresses, None);
        // The second node replicates the first.
        if let [first, second] = &mut topology.shards[..] {
            first.replicas = vec![second.primary.clone()];
            first.slots = vec![slotway_cluster::SlotRange::full()];
            topology.shards.pop();
        }
        topology
    }

    fn plan(addresses: &[&str]) -> Plan {
        let topology = Some(topology(addresses));
        Plan { topology, durability: Durability::Quorum, policy: POLICY }
    }

    fn said(node: &str, addr: &str, life: u64) -> (NodeId, Introduction) {
        let pulse_addr = Some(format!("{addr}7"));
        let incarnation = Incarnation(life);
        let introduced =
            Introduction { addr: addr.into(), incarnation, pulse_addr, cluster_id: None, keys: Some(0) };
        (NodeId(node.into()), introduced)
    }

    /// Logs what is to be logged until nothing is; returns how many entries that took.
    fn settle(plan: &Plan, cluster: &mut Cluster, said: &BTreeMap<NodeId, Introduction>) -> usize {
        let before = cluster.index;
        for _ in 0..10 {
            let entries = entries(plan, cluster, said);
            for entry in &entries {
                assert_eq!(cluster.apply(cluster.index + 1, entry), Outcome::Done, "{entry:?}");
            }
            if entries.is_empty() {
                return usize::try_from(cluster.index - before).unwrap();
            }
        }
        panic!("never settles");
    }

    #[test]
    fn a_log_begins_from_the_plan_and_a_shard_once_its_primary_said_who_it_is() {
        let (plan, mut cluster) = (plan(&["a:1", "b:1"]), Cluster::default());
        let mut known = BTreeMap::from([said("n2", "b:1", 2)]);
        settle(&plan, &mut cluster, &known);
        assert_eq!((cluster.nodes.len(), cluster.shards.len()), (2, 0), "nobody knows the life of n1");
        known.extend([said("n1", "a:1", 1)]);
        settle(&plan, &mut cluster, &known);
        let shard = &cluster.shards[&ShardId(1)];
        assert_eq!(shard.rule.primary, Member::new(&NodeId("n1".into()), Incarnation(1)));
        assert_eq!(cluster.topology().slots_assigned(), 16384);
        assert_eq!(cluster.nodes[&NodeId("n2".into())].pulse_addr.as_deref(), Some("b:17"));
        assert_eq!(settle(&plan, &mut cluster, &known), 0);
    }

    #[test]
    fn another_start_brings_other_addresses_and_nothing_else() {
        let mut cluster = Cluster::default();
        let known = BTreeMap::from([said("n1", "a:1", 1), said("n2", "b:1", 2)]);
        settle(&plan(&["a:1", "b:1"]), &mut cluster, &known);
        let (moved, shards) = (plan(&["a:2", "b:1"]), cluster.shards.clone());
        assert_eq!(settle(&moved, &mut cluster, &known), 1, "what n1 said, it said at the old address");
        assert_eq!(cluster.nodes[&NodeId("n1".into())].pulse_addr, None);
        // It came back in another life: that is said on the pulse, and judged there.
        let known = BTreeMap::from([said("n1", "a:2", 9), said("n2", "b:1", 2)]);
        settle(&moved, &mut cluster, &known);
        let fact = &cluster.nodes[&NodeId("n1".into())];
        assert_eq!((fact.pulse_addr.as_deref(), fact.incarnation), (Some("a:27"), Some(Incarnation(1))));
        assert_eq!(cluster.shards, shards);
    }

    #[test]
    fn without_a_plan_the_log_stays_as_it_is_but_for_pulse_ports_that_moved() {
        let mut cluster = Cluster::default();
        let known = BTreeMap::from([said("n1", "a:1", 1), said("n2", "b:1", 2)]);
        settle(&plan(&["a:1", "b:1"]), &mut cluster, &known);
        let none = Plan { topology: None, durability: Durability::Quorum, policy: POLICY };
        assert_eq!(settle(&none, &mut cluster, &known), 0);
        let mut elsewhere = known.clone();
        elsewhere.get_mut(&NodeId("n2".into())).unwrap().pulse_addr = Some("b:99".into());
        assert_eq!(settle(&none, &mut cluster, &elsewhere), 1);
        assert!(entries(&none, &Cluster::default(), &known).is_empty());
        let asynchronous = Plan { durability: Durability::Async, ..none };
        assert_eq!(settle(&asynchronous, &mut cluster, &elsewhere), 1);
        let policy = Policy { min_copies: Some(2), ..POLICY };
        let careful = Plan { policy, ..asynchronous };
        assert_eq!(settle(&careful, &mut cluster, &elsewhere), 1);
        assert_eq!(cluster.shards[&ShardId(1)].min_copies, Some(2));
    }

    #[test]
    fn what_a_node_said_is_used_until_the_log_has_it_and_never_again() {
        let (plan, mut cluster) = (plan(&["a:1", "b:1"]), Cluster::default());
        let known = BTreeMap::from([said("n1", "a:1", 1), said("n2", "b:1", 2)]);
        let (name, old) = said("n2", "b:1", 2);
        settle(&plan, &mut cluster, &BTreeMap::new());
        assert!(!old.is_in(&cluster.nodes[&name]));
        settle(&plan, &mut cluster, &known);
        assert!(old.is_in(&cluster.nodes[&name]));
        let elsewhere = Introduction { pulse_addr: Some("b:99".into()), ..old.clone() };
        assert!(!elsewhere.is_in(&cluster.nodes[&name]));
        let moved = Introduction { addr: "b:2".into(), ..old };
        assert!(!moved.is_in(&cluster.nodes[&name]));
    }

    #[test]
    fn a_node_that_was_removed_is_not_added_by_the_plan_again() {
        let (plan, mut cluster) = (plan(&["a:1", "b:1"]), Cluster::default());
        let known = BTreeMap::from([said("n1", "a:1", 1), said("n2", "b:1", 2)]);
        settle(&plan, &mut cluster, &known);
        let remove = Entry::RemoveNode { node: NodeId("n2".into()) };
        assert_eq!(cluster.apply(cluster.index + 1, &remove), Outcome::Done);
        assert_eq!(settle(&plan, &mut cluster, &known), 0);
        assert!(unknown(&plan, &cluster, |_| true).all(|(node, _)| node.0 == "n1"));
    }

    #[test]
    fn who_is_not_reached_is_asked_where_the_plan_says() {
        let mut cluster = Cluster::default();
        let known = BTreeMap::from([said("n1", "a:1", 1), said("n2", "b:1", 2)]);
        settle(&plan(&["a:1", "b:1"]), &mut cluster, &known);
        let moved = plan(&["a:2", "b:1"]);
        let asked: Vec<_> = unknown(&moved, &cluster, |node| node.0 == "n1").collect();
        assert_eq!(asked, [(NodeId("n1".into()), "a:2".to_owned())]);
    }

    #[test]
    fn a_node_that_says_nonsense_of_itself_is_not_believed() {
        let good = br#"{"incarnation":"00000000000000ff","pulse_addr":"h:1","keys":7}"#;
        let introduced = introduction("h:2", good).unwrap();
        assert_eq!((introduced.incarnation, introduced.pulse_addr), (Incarnation(255), Some("h:1".into())));
        for bad in [&b"{}"[..], b"[]", b"\xff", br#"{"incarnation":"yes"}"#, br#"{"incarnation":7}"#] {
            assert!(introduction("h:2", bad).is_err());
        }
        let silent = introduction("h:2", br#"{"incarnation":"00000000000000ff","pulse_addr":null}"#);
        assert_eq!(silent.unwrap().pulse_addr, None);
    }
}
