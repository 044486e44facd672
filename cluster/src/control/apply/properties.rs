//! Whatever the entries are, and in whatever order they come: the state never contradicts itself and never goes back.

use proptest::prelude::*;

use super::super::{Durability, How, NodeFact, ProxyFact};
use super::*;
use crate::{
    Placement, Slot, SlotRange,
    ids::ProxyId,
    replication::Offset,
    shard::{Incarnation, Position},
};

/// Few of each, so that entries meet.
fn shard() -> impl Strategy<Value = ShardId> {
    (1u32..3).prop_map(ShardId)
}

fn node() -> impl Strategy<Value = NodeId> {
    (1u8..6).prop_map(|number| NodeId(format!("n{number}")))
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (0u64..5).prop_map(Epoch)
}

fn incarnation() -> impl Strategy<Value = Incarnation> {
    (0u64..2).prop_map(Incarnation)
}

fn member() -> impl Strategy<Value = Member> {
    (node(), incarnation()).prop_map(|(node, incarnation)| Member { node, incarnation })
}

fn sync() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::vec(member(), 0..4)
}

fn position() -> impl Strategy<Value = Position> {
    (epoch(), 0u64..3).prop_map(|(epoch, offset)| Position { epoch, offset: Offset(offset) })
}

fn slots() -> impl Strategy<Value = Vec<SlotRange>> {
    let range = (0u16..6, 0u16..3).prop_filter_map("in order", |(first, more)| {
        SlotRange::new(Slot::new(first)?, Slot::new(first + more)?)
    });
    prop::collection::vec(range, 0..2)
}

fn membership() -> impl Strategy<Value = Entry> {
    let fact = (shard(), 0u8..8, prop::option::of(incarnation())).prop_map(|(shard, port, incarnation)| {
        NodeFact { shard, addr: format!("h:{port}"), pulse_addr: None, admin_addr: None, incarnation }
    });
    let proxy = (0u8..3, 0u8..3).prop_map(|(number, port)| Entry::AddProxy {
        proxy: ProxyId(format!("p{number}")),
        fact: ProxyFact {
            addr: format!("h:{port}"),
            control_addr: format!("c:{port}"),
            admin_addr: None,
            sentinel_addr: None,
        },
    });
    prop_oneof![
        1 => "[ab]".prop_map(|digit| Entry::Create {
            cluster_id: digit.repeat(40),
            placement: Placement::default(),
            durability: Durability::Async,
        }),
        4 => (node(), fact).prop_map(|(node, fact)| Entry::AddNode { node, fact }),
        1 => node().prop_map(|node| Entry::RemoveNode { node }),
        1 => (node(), prop::option::of(incarnation()), incarnation())
            .prop_map(|(node, before, incarnation)| Entry::NodeStarted { node, before, incarnation }),
        3 => (shard(), member(), slots())
            .prop_map(|(shard, primary, slots)| Entry::AddShard { shard, primary, slots }),
        1 => shard().prop_map(|shard| Entry::RemoveShard { shard }),
        1 => proxy,
        1 => (0u8..3).prop_map(|number| Entry::RemoveProxy { proxy: ProxyId(format!("p{number}")) }),
    ]
}

/// Entries of a shard; their versions are made up later, mostly true.
fn of_shard() -> impl Strategy<Value = Entry> {
    let how = prop_oneof![3 => Just(How::Failover), 1 => Just(How::Switchover)];
    prop_oneof![
        1 => (shard(), epoch()).prop_map(|(shard, epoch)| Entry::BeginFailover { shard, epoch, why: "y".into() }),
        3 => (shard(), epoch(), member(), sync(), how).prop_map(|(shard, epoch, winner, sync, how)| {
            Entry::Promote { shard, epoch, version: 0, winner, sync, how }
        }),
        1 => (shard(), epoch()).prop_map(|(shard, epoch)| Entry::Activated { shard, epoch }),
        3 => (shard(), epoch(), sync())
            .prop_map(|(shard, epoch, sync)| Entry::ChangeSync { shard, epoch, version: 0, sync }),
        1 => (shard(), epoch()).prop_map(|(shard, epoch)| Entry::SwitchAbort { shard, epoch, version: 0 }),
        1 => (shard(), prop::option::of(0usize..4))
            .prop_map(|(shard, copies)| Entry::SetMinCopies { shard, copies }),
        1 => (shard(), epoch(), position())
            .prop_map(|(shard, epoch, position)| Entry::CleanStop { shard, epoch, version: 0, position }),
        1 => (shard(), epoch(), member(), position()).prop_map(|(shard, epoch, winner, position)| {
            Entry::AcceptLoss { shard, epoch, version: 0, winner, position, by: "o".into() }
        }),
    ]
}

/// What the shard is at, with `off` entries' worth of being wrong.
fn aim(cluster: &Cluster, mut entry: Entry, off: u64) -> Entry {
    let Some(state) = shard_of(&entry).and_then(|shard| cluster.shards.get(&shard)) else { return entry };
    let (now, seen) = (state.epoch, state.version.saturating_sub(off));
    match &mut entry {
        Entry::BeginFailover { epoch, .. } | Entry::Activated { epoch, .. } if off == 0 => *epoch = now,
        Entry::ChangeSync { epoch, version, .. } | Entry::SwitchAbort { epoch, version, .. } => {
            (*epoch, *version) = (now, seen);
        }
        Entry::CleanStop { epoch, version, position, .. } => {
            (*epoch, *version) = (now, seen);
            position.epoch = now;
        }
        Entry::Promote { epoch, version, winner, sync, .. } => {
            (*epoch, *version) = (now.next(), seen);
            if off == 0 {
                let others = state.rule.members().filter(|one| one.node != winner.node);
                sync.extend(others.cloned());
            }
        }
        Entry::AcceptLoss { epoch, version, .. } => (*epoch, *version) = (now.next(), seen),
        _ => {}
    }
    entry
}

fn shard_of(entry: &Entry) -> Option<ShardId> {
    match entry {
        Entry::BeginFailover { shard, .. }
        | Entry::Promote { shard, .. }
        | Entry::Activated { shard, .. }
        | Entry::ChangeSync { shard, .. }
        | Entry::SwitchAbort { shard, .. }
        | Entry::CleanStop { shard, .. }
        | Entry::AcceptLoss { shard, .. } => Some(*shard),
        _ => None,
    }
}

/// One step, and what must hold of any step.
fn step(cluster: &mut Cluster, index: u64, entry: &Entry) -> Result<(), TestCaseError> {
    let before = cluster.clone();
    let outcome = cluster.apply(index, entry);
    prop_assert_eq!(cluster.validate(), Ok(()), "{:?}", entry);
    for (id, state) in &before.shards {
        let Some(now) = cluster.shards.get(id) else { continue };
        prop_assert!(now.epoch >= state.epoch && now.version >= state.version);
        let same_rule = now.rule == state.rule;
        prop_assert!(same_rule || now.version > state.version, "a rule changes only with its version");
        let same_primary = now.rule.primary == state.rule.primary;
        prop_assert!(same_primary || now.epoch > state.epoch, "I1: {entry:?}");
        prop_assert!(now.epoch.0 - state.epoch.0 <= 1);
    }
    prop_assert!(cluster.index >= before.index && cluster.losses_accepted >= before.losses_accepted);
    match outcome {
        Outcome::Done => prop_assert_eq!(cluster.index, index),
        Outcome::Again => prop_assert_eq!(&*cluster, &before),
        Outcome::Refused(_) => prop_assert_eq!(&cluster.nodes, &before.nodes),
    }
    let once = cluster.clone();
    prop_assert!(cluster.apply(index + 1, entry) != Outcome::Done, "done twice: {entry:?}");
    prop_assert_eq!(&*cluster, &once, "twice is as good as once: {:?}", entry);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_sequence_of_entries_contradicts_itself_or_goes_back(
        made in prop::collection::vec(membership(), 8..24),
        moves in prop::collection::vec((of_shard(), prop_oneof![4 => Just(0u64), 1 => 1u64..3]), 0..40),
        late in prop::collection::vec(membership(), 0..6),
    ) {
        let mut cluster = Cluster::default();
        let mut entries = made;
        entries.extend(late);
        let first = Entry::Create {
            cluster_id: "a".repeat(40),
            placement: Placement::default(),
            durability: Durability::Quorum,
        };
        step(&mut cluster, 1, &first)?;
        let (mut index, mut moves) = (1, moves.into_iter());
        for entry in entries {
            index += 2;
            step(&mut cluster, index, &entry)?;
            for (entry, off) in moves.by_ref().take(2) {
                index += 2;
                let entry = aim(&cluster, entry, off);
                step(&mut cluster, index, &entry)?;
                let text = serde_json::to_string(&entry).unwrap();
                prop_assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
            }
        }
        let text = serde_json::to_string(&cluster).unwrap();
        prop_assert_eq!(serde_json::from_str::<Cluster>(&text).unwrap(), cluster);
    }
}
