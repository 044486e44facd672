//! What a node must know of the log.

use crate::{Cluster, ids::NodeId, pulse::wire::Orders};

/// What orders are made of, for one node.
pub fn orders(cluster: &Cluster, me: &NodeId) -> Option<Orders> {
    let fact = cluster.nodes.get(me)?;
    let state = cluster.shards.get(&fact.shard)?.clone();
    let mates = cluster.nodes.iter().filter(|(_, other)| other.shard == fact.shard);
    let pulse_addrs = mates.filter_map(|(id, other)| Some((id.clone(), other.pulse_addr.clone()?))).collect();
    Some(Orders {
        topology: cluster.topology(),
        me: me.clone(),
        shard: fact.shard,
        state,
        durability: cluster.durability,
        pulse_addrs,
        leaving: cluster.leaving.iter().cloned().collect(),
    })
}
