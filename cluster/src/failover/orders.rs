//! What a node must know of the log.

use crate::{Cluster, ids::NodeId, pulse::wire::Orders};

/// What orders are made of, for one node.
pub fn orders(cluster: &Cluster, me: &NodeId) -> Option<Orders> {
    let fact = cluster.nodes.get(me)?;
    let mut state = cluster.shards.get(&fact.shard)?.clone();
    // Worked out here: the primary is to go by the same number as the log does, which knows who still copies.
    state.min_copies = Some(state.copies_needed(cluster.nodes_of(fact.shard)));
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
