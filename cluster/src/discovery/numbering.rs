//! Numbers that stay: a node keeps its `n3` as long as it is at its address, a shard its number as long as whoever owns its
//! slots was a member of it before. So a failover changes the primary of shard 2 and nothing else, and an operator finds
//! the same names after a reshard.
//!
//! Nodes that hold no slots and follow nobody who does belong to no shard and are left out.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Known, MemberId,
    decide::{Holding, Place},
};
use crate::{
    ids::{NodeId, ShardId},
    slot::Placement,
    topology::{Kind, Node, Proxy, Shard, Topology},
};

/// Names that are remembered although nothing bears them at present: of more than this, those in use remain.
const REMEMBERED_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Numbers {
    /// By address.
    nodes: BTreeMap<String, u64>,
    /// The shard that each node was last a member of.
    homes: BTreeMap<MemberId, ShardId>,
    last_node: u64,
    last_shard: u32,
}

/// Gives numbers to owners and replicas. Of `places` only those remain that belong to a shard with slots.
pub(super) fn assign(
    former: &Numbers,
    former_members: &BTreeMap<MemberId, Place>,
    holdings: &[Holding],
    places: BTreeMap<MemberId, Place>,
) -> (BTreeMap<MemberId, Place>, Numbers) {
    let mut numbers = former.clone();
    let owners = numbers.assign_shards(former_members, holdings, &places);
    let live: BTreeSet<ShardId> = owners.iter().filter_map(|id| numbers.homes.get(id).copied()).collect();
    let mut members = BTreeMap::new();
    let mut replicas: Vec<(ShardId, MemberId, Place)> = Vec::new();
    for (id, place) in places {
        // While only some have heard of a promotion, replicas still name the former primary: they stay in its shard.
        let home = place.follows.as_ref().map(|primary| numbers.homes.get(primary).copied());
        match home {
            None if owners.contains(&id) => drop(members.insert(id, place)),
            Some(Some(shard)) if live.contains(&shard) => replicas.push((shard, id, place)),
            None | Some(_) => {}
        }
    }
    for address in owners.iter().filter_map(|id| members.get(id)).map(|place| &place.address) {
        numbers.number(address);
    }
    replicas.sort_by(|a, b| (a.0, &a.2.address).cmp(&(b.0, &b.2.address)));
    for (shard, id, place) in replicas {
        numbers.number(&place.address);
        numbers.homes.insert(id.clone(), shard);
        members.insert(id, place);
    }
    numbers.forget(&members);
    (members, numbers)
}

impl Numbers {
    /// Gives each owner of slots its shard, and returns the owners in the order of their first slots. Present owners keep
    /// theirs before others may claim it.
    fn assign_shards(
        &mut self,
        former_members: &BTreeMap<MemberId, Place>,
        holdings: &[Holding],
        places: &BTreeMap<MemberId, Place>,
    ) -> Vec<MemberId> {
        let mut owners: Vec<MemberId> = Vec::new();
        for holding in holdings.iter().filter(|holding| places.contains_key(&holding.owner)) {
            if !owners.contains(&holding.owner) {
                owners.push(holding.owner.clone());
            }
        }
        let ruled = |id: &MemberId| former_members.get(id).is_some_and(|place| place.follows.is_none());
        let (before, fresh): (Vec<&MemberId>, Vec<&MemberId>) = owners.iter().partition(|id| ruled(id));
        let mut taken: BTreeSet<ShardId> = BTreeSet::new();
        for id in before.into_iter().chain(fresh) {
            // One that was reset bears another name at the same address.
            let by_address = || {
                let address = &places.get(id)?.address;
                let same = former_members.iter().find(|(_, place)| &place.address == address)?;
                self.homes.get(same.0).copied()
            };
            let known = self.homes.get(id).copied().or_else(by_address);
            let shard = known.filter(|shard| !taken.contains(shard)).unwrap_or_else(|| {
                self.last_shard += 1;
                ShardId(self.last_shard)
            });
            taken.insert(shard);
            self.homes.insert(id.clone(), shard);
        }
        owners
    }

    fn number(&mut self, address: &str) {
        if !self.nodes.contains_key(address) {
            self.last_node += 1;
            self.nodes.insert(address.to_owned(), self.last_node);
        }
    }

    fn forget(&mut self, members: &BTreeMap<MemberId, Place>) {
        if self.homes.len() > REMEMBERED_MAX {
            self.homes.retain(|id, _| members.contains_key(id));
        }
        if self.nodes.len() > REMEMBERED_MAX {
            let used: BTreeSet<&String> = members.values().map(|place| &place.address).collect();
            self.nodes.retain(|address, _| used.contains(address));
        }
    }
}

impl Known {
    /// What is known, as the rest of the proxy takes it. Its proxies are whoever's that knows them.
    pub fn topology(&self, version: u64, proxies: Vec<Proxy>) -> Topology {
        let mut shards: BTreeMap<ShardId, Shard> = BTreeMap::new();
        let mut nodes: BTreeMap<u64, Node> = BTreeMap::new();
        let (owners, replicas): (Vec<_>, Vec<_>) =
            self.members.iter().partition(|(_, place)| place.follows.is_none());
        for (id, place) in owners.into_iter().chain(replicas) {
            let (Some(&home), Some(&number)) =
                (self.numbers.homes.get(id), self.numbers.nodes.get(&place.address))
            else {
                continue;
            };
            // Two nodes cannot be at one address: the owner of slots is the one that counts, then the first.
            if nodes.contains_key(&number) {
                continue;
            }
            let node = NodeId(format!("n{number}"));
            nodes.insert(number, Node { id: node.clone(), addr: place.address.clone(), admin_addr: None });
            match shards.get_mut(&home) {
                Some(shard) => shard.replicas.push(node),
                None => drop(shards.insert(home, self.shard(home, id, node))),
            }
        }
        for shard in shards.values_mut() {
            shard.replicas.sort_by_key(|id| id.0[1..].parse::<u64>().unwrap_or(u64::MAX));
        }
        Topology {
            version,
            cluster_id: self.cluster_id.clone(),
            placement: Placement::default(),
            shards: shards.into_values().collect(),
            nodes: nodes.into_values().collect(),
            proxies,
        }
    }

    fn shard(&self, id: ShardId, owner: &MemberId, primary: NodeId) -> Shard {
        let mut slots = Vec::new();
        let own = || self.holdings.iter().filter(|holding| &holding.owner == owner);
        for range in own().map(|holding| holding.range) {
            crate::SlotRange::push(&mut slots, range);
        }
        Shard {
            id,
            kind: Kind::Cluster,
            epoch: own().map(|holding| holding.epoch).max().unwrap_or_default(),
            primary,
            replicas: Vec::new(),
            slots,
        }
    }
}
