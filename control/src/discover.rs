//! A topology from the addresses of `--backends`, made truer as the servers there answer.
//!
//! The proxy must listen before its backends do, so the first topology is a guess: each backend a shard, equal slot
//! ranges in the order given, everything of the kind that was configured or else plain Redis. Each answer of a server can
//! then correct the kind of its shard and add replicas it names. A replica once found stays listed: gone, it is a
//! replica that is down, which an operator wants to see.
//!
//! The cluster id comes from the list of backends, so that all proxies in front of the same ones name the same cluster.

use slotway_cluster::{
    Epoch, NodeId, ShardId, SlotRange, Topology,
    ids::cluster_id,
    slot::Placement,
    topology::{Kind, Node, Shard},
};

use crate::info::Answer;

/// The first topology: version 1, one shard per address.
pub(crate) fn from_backends(addresses: &[String], kind: Option<Kind>) -> Topology {
    let ranges = SlotRange::equal(addresses.len().max(1));
    let shards = (1u32..).zip(ranges).take(addresses.len()).map(|(number, range)| Shard {
        id: ShardId(number),
        kind: kind.unwrap_or(Kind::Redis),
        epoch: Epoch(1),
        primary: NodeId(format!("n{number}")),
        replicas: Vec::new(),
        slots: vec![range],
    });
    let nodes = (1u32..).zip(addresses).map(|(number, address)| Node {
        id: NodeId(format!("n{number}")),
        addr: address.clone(),
        admin_addr: None,
    });
    Topology {
        version: 1,
        cluster_id: cluster_id(addresses.iter().map(String::as_str)),
        placement: Placement::default(),
        shards: shards.collect(),
        nodes: nodes.collect(),
        proxies: Vec::new(),
    }
}

/// What a primary's answer changes; None when it says nothing new. `kind` is the configured one, which no answer
/// overrules. A replica's answer changes nothing: its primary speaks for the shard.
pub(crate) fn learn(
    topology: &Topology,
    from: &NodeId,
    answer: &Answer,
    kind: Option<Kind>,
) -> Option<Topology> {
    let index = topology.shards.iter().position(|shard| &shard.primary == from)?;
    let mut next = topology.clone();
    // A server of a Redis Cluster is refused by the watcher; the guess stays.
    if kind.is_none() && answer.kind != Kind::Cluster {
        next.shards[index].kind = answer.kind;
    }
    for address in &answer.replicas {
        if next.nodes.iter().any(|node| &node.addr == address) {
            continue;
        }
        let id = free_id(&next);
        next.nodes.push(Node { id: id.clone(), addr: address.clone(), admin_addr: None });
        next.shards[index].replicas.push(id);
    }
    (next != *topology).then(|| Topology { version: topology.version + 1, ..next })
}

/// `n` and the number behind the greatest in use.
fn free_id(topology: &Topology) -> NodeId {
    let numbers = topology.nodes.iter().filter_map(|node| node.id.0.strip_prefix('n')?.parse::<u64>().ok());
    NodeId(format!("n{}", numbers.max().unwrap_or(0) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(count: u16) -> Vec<String> {
        (1..=count).map(|i| format!("127.0.0.1:{}", 7000 + i)).collect()
    }

    fn answer(text: &str) -> Answer {
        Answer::parse(text)
    }

    #[test]
    fn each_backend_is_a_shard_with_an_equal_range_in_the_order_given() {
        let topology = from_backends(&backends(3), None);
        let shards: Vec<String> = topology
            .shards
            .iter()
            .map(|s| format!("{} {} {} {:?}", s.id, s.primary, s.slots[0], s.kind))
            .collect();
        assert_eq!(shards, ["1 n1 0-5460 Redis", "2 n2 5461-10921 Redis", "3 n3 10922-16383 Redis"]);
        assert_eq!(topology.node(&NodeId("n2".into())).unwrap().addr, "127.0.0.1:7002");
        assert_eq!(topology.validate(), Ok(()));
        assert_eq!(topology.slots_assigned(), 16384);
    }

    #[test]
    fn proxies_of_the_same_backends_agree_on_the_cluster_id() {
        let id = |count| from_backends(&backends(count), None).cluster_id;
        assert_eq!(id(3), id(3));
        assert_ne!(id(3), id(2));
        assert!(id(3).len() == 40 && id(3).bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn an_answer_corrects_the_kind_unless_one_was_configured() {
        let slotway = answer("slotway_version:1");
        let guess = from_backends(&backends(2), None);
        let better = learn(&guess, &NodeId("n2".into()), &slotway, None).unwrap();
        let kinds = |topology: &Topology| [topology.shards[0].kind, topology.shards[1].kind];
        assert_eq!((kinds(&better), better.version), ([Kind::Redis, Kind::Slotway], 2));
        assert_eq!(learn(&better, &NodeId("n2".into()), &slotway, None), None, "nothing new");
        assert_eq!(learn(&guess, &NodeId("n2".into()), &slotway, Some(Kind::Redis)), None);
        assert_eq!(learn(&guess, &NodeId("n2".into()), &answer("cluster_enabled:1"), None), None);
    }

    #[test]
    fn replicas_are_found_once_and_stay() {
        let named = answer("role:master\nslave0:ip=10.0.0.9,port=1\nslave1:ip=127.0.0.1,port=7001\n");
        let first = from_backends(&backends(2), None);
        let found = learn(&first, &NodeId("n2".into()), &named, None).unwrap();
        assert_eq!(found.shards[1].replicas, [NodeId("n3".into())], "n1 is a primary already");
        assert_eq!(found.node(&NodeId("n3".into())).unwrap().addr, "10.0.0.9:1");
        assert_eq!(found.validate(), Ok(()));
        assert_eq!(learn(&found, &NodeId("n2".into()), &answer("role:master"), None), None);
        assert_eq!(learn(&found, &NodeId("n3".into()), &named, None), None, "a replica speaks for nobody");
    }
}
