//! From a topology and what was seen to the answers of the admin API.
//!
//! Rules that an operator relies on:
//! - A node *serves* when it was seen up, busy or suspected; not when down, loading or never seen.
//! - A shard is down when its primary does not serve, ok when every one of its nodes is up (and, where a control group decides,
//!   in the sync set), in failover while its primary is being replaced, else degraded.
//! - A cluster is down when any of the 16384 slots is not served, ok when every shard is, else degraded. A shard
//!   without slots can make it degraded, never down.
//! - A sum over nodes is null as soon as one of them is unknown: half a sum would be taken for the whole.

use crate::{
    ids::{NodeId, ShardId},
    slot::{Database, SLOTS, Slot, slot_of},
    topology::{Node, Proxy, Shard, Topology},
    view::{
        ClusterState, ClusterView, Health, KeySlotView, NodeView, NodesView, Observations, ProxiesView,
        ProxyView, ReportedRole, Role, Service, ShardState, ShardView, ShardsView, SlotCount, SlotRangeView,
        SlotState, SlotView, SlotsView,
    },
};

/// `GET /v1/cluster`
pub fn cluster(topology: &Topology, seen: &Observations) -> ClusterView {
    let primaries = || topology.shards.iter().map(|shard| seen.nodes.get(&shard.primary));
    ClusterView {
        cluster_id: topology.cluster_id.clone(),
        version: topology.version,
        state: cluster_state(topology, seen),
        durability: seen.durability,
        policy: seen.policy,
        slots_assigned: topology.slots_assigned(),
        shards: topology.shards.len(),
        nodes: topology.nodes.len(),
        proxies: topology.proxies.len(),
        keys: primaries().map(|node| node?.keys).sum(),
        memory_bytes: primaries().map(|node| node?.memory_bytes).sum(),
        leader: seen.leader.clone(),
        software: seen.software.clone(),
    }
}

/// `GET /v1/shards`
pub fn shards(topology: &Topology, seen: &Observations) -> ShardsView {
    let shards = topology.shards.iter().map(|shard| {
        let (primary, told) = (seen.nodes.get(&shard.primary), seen.shards.get(&shard.id));
        ShardView {
            id: shard.id,
            name: shard_name(shard.id),
            kind: shard.kind,
            state: shard_state(shard, seen),
            epoch: shard.epoch,
            primary: shard.primary.clone(),
            replicas: shard.replicas.clone(),
            sync_set: told.map_or_else(Vec::new, |told| told.sync_set.clone()),
            acks_needed: told.map_or(0, |told| told.acks_needed),
            slots: shard.slots.clone(),
            slot_count: shard.slots.iter().map(|range| range.count()).sum(),
            keys: primary.and_then(|node| node.keys),
            memory_bytes: primary.and_then(|node| node.memory_bytes),
        }
    });
    ShardsView { version: topology.version, shards: shards.collect() }
}

/// `GET /v1/nodes`
pub fn nodes(topology: &Topology, seen: &Observations) -> NodesView {
    NodesView { nodes: topology.nodes.iter().map(|node| node_view(topology, seen, node)).collect() }
}

/// `GET /v1/slots`
pub fn slots(topology: &Topology) -> SlotsView {
    let mut ranges: Vec<SlotRangeView> = Vec::new();
    for shard in &topology.shards {
        ranges.extend(shard.slots.iter().map(|&slots| SlotRangeView {
            slots,
            shard: shard.id,
            node: shard.primary.clone(),
            addr: topology.node(&shard.primary).map(|node| node.addr.clone()),
            state: SlotState::Stable,
            to: None,
            migration: None,
        }));
    }
    ranges.sort_by_key(|range| range.slots.first());
    SlotsView { version: topology.version, ranges }
}

/// `GET /v1/slots/{n}`; `count` is None when the node that holds the slot did not say.
pub fn slot(topology: &Topology, slot: Slot, count: Option<SlotCount>) -> SlotView {
    let shard = owner(topology, slot);
    SlotView {
        slot,
        shard: shard.map(|shard| shard.id),
        node: shard.map(|shard| shard.primary.clone()),
        state: SlotState::Stable,
        to: None,
        migration: None,
        keys: count.as_ref().map(|count| count.databases.values().sum()),
        bytes: count.as_ref().and_then(|count| count.bytes),
        databases: count.map(|count| count.databases),
    }
}

/// `GET /v1/keys/{key}/slot?db=`
pub fn key_slot(topology: &Topology, db: Database, key: &[u8]) -> KeySlotView {
    let slot = slot_of(&topology.placement, db, key);
    let shard = owner(topology, slot);
    KeySlotView {
        key: printable(key),
        db,
        slot,
        shard: shard.map(|shard| shard.id),
        node: shard.map(|shard| shard.primary.clone()),
    }
}

/// `GET /v1/proxies`
pub fn proxies(topology: &Topology, seen: &Observations) -> ProxiesView {
    ProxiesView { proxies: topology.proxies.iter().map(|proxy| proxy_view(seen, proxy)).collect() }
}

/// Is every slot served? What `/readyz` asks.
pub fn is_ready(topology: &Topology, seen: &Observations) -> bool {
    slots_served(topology, seen) == usize::from(SLOTS)
}

/// How many slots have a primary that serves.
pub fn slots_served(topology: &Topology, seen: &Observations) -> usize {
    let serving = topology.shards.iter().filter(|shard| shard_state(shard, seen) != ShardState::Down);
    serving.flat_map(|shard| &shard.slots).map(|range| range.count()).sum()
}

/// The name of a shard on the Sentinel port and in tables.
pub fn shard_name(id: ShardId) -> String {
    format!("shard-{id}")
}

fn cluster_state(topology: &Topology, seen: &Observations) -> ClusterState {
    let all_ok = || topology.shards.iter().all(|shard| shard_state(shard, seen) == ShardState::Ok);
    match is_ready(topology, seen) {
        false => ClusterState::Down,
        true if all_ok() => ClusterState::Ok,
        true => ClusterState::Degraded,
    }
}

fn shard_state(shard: &Shard, seen: &Observations) -> ShardState {
    let told = seen.shards.get(&shard.id);
    let is_member = |node: &NodeId| told.is_none_or(|told| told.sync_set.contains(node));
    let is_up = |node: &NodeId| health(seen, node) == Some(Health::Up) && is_member(node);
    match told.map(|told| told.service) {
        Some(Service::Changing) => return ShardState::Failover,
        Some(Service::Absent) => return ShardState::Down,
        Some(Service::Serving) | None => {}
    }
    match health(seen, &shard.primary) {
        // A primary that serves is there, whatever this observer sees of it.
        Some(Health::Down) if told.is_some() => ShardState::Degraded,
        None | Some(Health::Down | Health::Loading) => ShardState::Down,
        Some(Health::Busy | Health::Suspected) => ShardState::Degraded,
        Some(Health::Up) if shard.replicas.iter().all(is_up) => ShardState::Ok,
        Some(Health::Up) => ShardState::Degraded,
    }
}

fn health(seen: &Observations, node: &NodeId) -> Option<Health> {
    seen.nodes.get(node).map(|node| node.health)
}

fn node_view(topology: &Topology, seen: &Observations, node: &Node) -> NodeView {
    let shard = topology.shard_of(&node.id);
    let said = seen.nodes.get(&node.id);
    NodeView {
        id: node.id.clone(),
        addr: node.addr.clone(),
        admin_addr: node.admin_addr.clone(),
        shard: shard.map(|shard| shard.id),
        role: match shard {
            Some(shard) if shard.primary == node.id => Role::Primary,
            Some(shard) if is_learner(seen, shard, &node.id) => Role::Learner,
            Some(_) => Role::Replica,
            None => Role::None,
        },
        health: said.map(|said| said.health),
        epoch: said.and_then(|said| said.epoch),
        incarnation: said.and_then(|said| said.incarnation.clone()),
        offset: said.and_then(|said| said.offset),
        lag_bytes: shard.and_then(|shard| lag_bytes(seen, shard, &node.id)),
        lag_ms: None,
        keys: said.and_then(|said| said.keys),
        memory_bytes: said.and_then(|said| said.memory_bytes),
        kind: shard.map(|shard| shard.kind),
        software: said.and_then(|said| said.software.clone()),
    }
}

/// Whether it replicates and its acknowledgement does not count (yet).
fn is_learner(seen: &Observations, shard: &Shard, node: &NodeId) -> bool {
    seen.shards.get(&shard.id).is_some_and(|told| !told.sync_set.contains(node))
}

/// How many bytes of its primary's stream a replica has yet to apply. Two INFOs of different moments are compared: a
/// replica asked later than its primary can look ahead, which counts as no lag.
fn lag_bytes(seen: &Observations, shard: &Shard, node: &NodeId) -> Option<u64> {
    let replica = seen.nodes.get(node)?;
    let follows = replica.role == Some(ReportedRole::Following) && &shard.primary != node;
    let written = seen.nodes.get(&shard.primary)?.offset?;
    follows.then(|| replica.offset.map(|applied| written.saturating_sub(applied))).flatten()
}

fn proxy_view(seen: &Observations, proxy: &Proxy) -> ProxyView {
    let said = seen.proxies.get(&proxy.id);
    ProxyView {
        id: proxy.id.clone(),
        addr: proxy.addr.clone(),
        admin_addr: proxy.admin_addr.clone(),
        sentinel_addr: proxy.sentinel_addr.clone(),
        raft: said.and_then(|said| said.raft),
        version: said.and_then(|said| said.version),
        clients: said.and_then(|said| said.clients),
    }
}

fn owner(topology: &Topology, slot: Slot) -> Option<&Shard> {
    let holds =
        |shard: &&Shard| shard.slots.iter().any(|range| range.first() <= slot && slot <= range.last());
    topology.shards.iter().find(holds)
}

/// JSON holds text only: a key that is no text is shown as the path of its request spells it.
fn printable(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) => text.to_owned(),
        Err(_) => key.iter().map(|&byte| percent(byte)).collect(),
    }
}

fn percent(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests;
