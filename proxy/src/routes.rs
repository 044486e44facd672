//! The topology as a data thread uses it: slot to shard to link, two array accesses.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use slotway_cluster::{
    Database, Epoch, NodeId, ShardId, Slot, Topology,
    slot::DATABASES,
    topology::{Kind, SlotMap},
};
use slotway_resp::Version;

use crate::link::Link;

/// Links that a data thread may have to one node: one for each RESP version and database.
const LINKS: usize = 2 * DATABASES as usize;

/// Whether shards have epochs that their nodes are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epochs {
    /// A control group gives them to its Slotway nodes.
    Kept,
    /// There is no such group: `--backends`, `--cluster`.
    None,
}

pub(crate) struct Routes {
    pub(crate) topology: Arc<Topology>,
    pub(crate) map: SlotMap,
    /// In the order of the topology's shards.
    pub(crate) shards: Vec<Route>,
    /// By the address of the primary.
    primaries: HashMap<Arc<str>, ShardId>,
    places: HashMap<ShardId, usize>,
    /// The version since which every slot belongs to the same shard, and every key to the same slot.
    pub(crate) slots_since: u64,
}

pub(crate) struct Route {
    pub(crate) id: ShardId,
    /// 0: it has none.
    pub(crate) epoch: Epoch,
    /// `host:port` of the primary.
    pub(crate) address: Arc<str>,
    /// `host:port` of each replica.
    pub(crate) replicas: Vec<Arc<str>>,
    pub(crate) links: [Option<Rc<Link>>; LINKS],
}

impl Routes {
    pub(crate) fn new(topology: Arc<Topology>, epochs: Epochs) -> Routes {
        let address = |id: &NodeId| topology.node(id).map_or_else(String::new, |node| node.addr.clone());
        let shards = topology.shards.iter().map(|shard| Route {
            id: shard.id,
            epoch: match (epochs, shard.kind) {
                (Epochs::Kept, Kind::Slotway) => shard.epoch,
                (Epochs::Kept | Epochs::None, _) => Epoch(0),
            },
            address: address(&shard.primary).into(),
            replicas: shard.replicas.iter().map(|id| address(id).into()).collect(),
            links: [const { None }; LINKS],
        });
        let shards: Vec<Route> = shards.collect();
        let primaries = shards.iter().map(|route| (Arc::clone(&route.address), route.id)).collect();
        let places = shards.iter().enumerate().map(|(index, route)| (route.id, index)).collect();
        let slots_since = topology.version;
        Routes { map: topology.slot_map(), shards, primaries, places, slots_since, topology }
    }

    /// The shard of which the node at this address is the primary.
    pub(crate) fn primary_of(&self, address: &str) -> Option<ShardId> {
        self.primaries.get(address).copied()
    }

    /// The shard of which it is the primary or a replica.
    pub(crate) fn shard_of(&self, address: &Arc<str>) -> Option<ShardId> {
        let has_replica = |route: &&Route| route.replicas.contains(address);
        self.primary_of(address).or_else(|| self.shards.iter().find(has_replica).map(|route| route.id))
    }

    pub(crate) fn route(&self, id: ShardId) -> Option<&Route> {
        self.place(id).map(|index| &self.shards[index])
    }

    /// Index of the shard with this id.
    pub(crate) fn place(&self, id: ShardId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// That of the shard that the node at this address belongs to. 0: it has none.
    pub(crate) fn epoch_at(&self, address: &Arc<str>) -> Epoch {
        let route = self.shard_of(address).and_then(|id| self.route(id));
        route.map_or(Epoch(0), |route| route.epoch)
    }

    /// Takes over the links of the routes before, if they lead to the same places. False: requests now go elsewhere.
    pub(crate) fn keep_links_of(&mut self, former: Routes) -> bool {
        let places = |routes: &Routes| -> Vec<(ShardId, Epoch, Arc<str>)> {
            let place = |route: &Route| (route.id, route.epoch, Arc::clone(&route.address));
            routes.shards.iter().map(place).collect()
        };
        let owner = |routes: &Routes, slot| routes.map.owner(slot).map(|index| routes.shards[index].id);
        let alike = Slot::all().all(|slot| owner(self, slot) == owner(&former, slot))
            && self.topology.placement == former.topology.placement;
        if alike {
            self.slots_since = former.slots_since;
        }
        let alike = alike && places(self) == places(&former);
        if alike {
            for (route, known) in self.shards.iter_mut().zip(former.shards) {
                route.links = known.links;
            }
        }
        alike
    }

    /// The link has been closed.
    pub(crate) fn forget(&mut self, link: &Rc<Link>) {
        for place in self.shards.iter_mut().flat_map(|route| &mut route.links) {
            if place.as_ref().is_some_and(|known| Rc::ptr_eq(known, link)) {
                *place = None;
            }
        }
    }
}

pub(crate) fn link_index(version: Version, database: Database) -> usize {
    let base = match version {
        Version::Resp2 => 0,
        Version::Resp3 => usize::from(DATABASES),
    };
    base + usize::from(database.0)
}
