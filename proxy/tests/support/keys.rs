//! Keys by the shard that owns them.

use slotway_cluster::{SlotRange, slot::spread_slot};

/// The `number`th key (from 0) of shard `shard` (from 0) of `shards`.
pub(crate) fn key_of(shard: usize, shards: usize, number: usize) -> String {
    let range = SlotRange::equal(shards)[shard];
    let owned = |key: &String| range.slots().any(|slot| slot == spread_slot(key.as_bytes()));
    (0..).map(|number| format!("k{number}")).filter(owned).nth(number).unwrap()
}
