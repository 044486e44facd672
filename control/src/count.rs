//! How many keys a slot holds: asked of the node when somebody wants to know.
//!
//! CLUSTER COUNTKEYSINSLOT speaks of the selected database, so each database that can have keys in the slot is selected
//! in turn: the spread ones, and the whole ones whose home the slot is. The connection is our own and closed afterwards.

use std::time::Duration;

use slotway_cluster::{
    Database, Slot, Topology,
    slot::{DATABASES, Placement},
    topology::{Kind, Shard},
    view::SlotCount,
};
use slotway_link::{Connection, LinkError};
use slotway_resp::Frame;

use crate::{shared::Shared, watch::managed};

/// How long each request of a count may take.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) async fn keys_of(shared: &Shared, slot: Slot) -> Option<SlotCount> {
    let topology = shared.topology();
    let shard = holder(&topology, slot)?;
    let node = topology.node(&shard.primary)?;
    let target = shared.access.target(&node.addr, managed(shared, shard.kind));
    let mut connection = Connection::open(&target, PATIENCE).await.ok()?;
    let mut count = SlotCount::default();
    for database in databases_in(&topology.placement, shard.kind, slot) {
        match count_in(&mut connection, database, slot).await.ok()?? {
            0 => {}
            keys => {
                count.databases.insert(database, keys);
            }
        }
    }
    Some(count)
}

/// The databases whose keys can be in `slot`. A plain Redis server knows nothing of home slots: the proxy sends a whole
/// database to its home's shard all the same.
fn databases_in(placement: &Placement, kind: Kind, slot: Slot) -> Vec<Database> {
    let all = match kind {
        Kind::Slotway | Kind::Redis => DATABASES,
        Kind::Cluster => 1,
    };
    let can_hold = |&db: &Database| placement.is_spread(db) || Placement::home(db) == slot;
    (0..all).map(Database).filter(can_hold).collect()
}

/// None when the server cannot count: a plain Redis server outside a cluster knows no slots.
async fn count_in(connection: &mut Connection, db: Database, slot: Slot) -> Result<Option<u64>, LinkError> {
    let (db, slot) = (db.0.to_string(), slot.to_string());
    if let Frame::Error(_) = connection.request(&["SELECT", &db], PATIENCE).await? {
        return Ok(None);
    }
    match connection.request(&["CLUSTER", "COUNTKEYSINSLOT", &slot], PATIENCE).await? {
        Frame::Integer(count) => Ok(u64::try_from(count).ok()),
        _ => Ok(None),
    }
}

fn holder(topology: &Topology, slot: Slot) -> Option<&Shard> {
    let holds =
        |shard: &&Shard| shard.slots.iter().any(|range| range.first() <= slot && slot <= range.last());
    topology.shards.iter().find(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_that_can_have_keys_in_a_slot_are_counted() {
        let placement = Placement::default();
        let databases = |number| {
            let slot = Slot::new(number).unwrap();
            databases_in(&placement, Kind::Slotway, slot).iter().map(|db| db.0).collect::<Vec<_>>()
        };
        assert_eq!(databases(7), [0]);
        assert_eq!(databases(10126), [0, 1]);
        assert_eq!(databases(3868), [0, 2]);
    }
}
