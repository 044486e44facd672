//! Whole clusters in a few lines: who says what, and what is known then.

use proptest::prelude::*;

use super::{
    state::{ClusterState, State},
    *,
};
use crate::{Topology, slot::Slot, topology::Shard};

/// A cluster at one moment. Node i is at `h:i` and named `idi`; a primary follows none.
#[derive(Debug, Clone)]
struct World {
    nodes: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    name: String,
    address: String,
    epoch: u64,
    follows: Option<usize>,
    slots: String,
}

impl World {
    /// `primaries` with equal ranges and epochs 1, 2, ..., each with `replicas` that stand behind all primaries.
    fn of(primaries: usize, replicas: usize) -> World {
        let ranges = SlotRange::equal(primaries);
        let nodes = (0..primaries * (1 + replicas)).map(|i| Part {
            name: format!("id{i}"),
            address: format!("h:{}", i + 1),
            epoch: u64::try_from(i % primaries).unwrap() + 1,
            follows: (i >= primaries).then_some(i % primaries),
            slots: ranges.get(i).map_or_else(String::new, ToString::to_string),
        });
        World { nodes: nodes.collect() }
    }

    fn with(mut self, node: usize, change: impl FnOnce(&mut Part)) -> World {
        change(&mut self.nodes[node]);
        self
    }

    /// `new` took over everything that `old` held; `old` follows it.
    fn promoted(mut self, old: usize, new: usize, epoch: u64) -> World {
        let slots = std::mem::take(&mut self.nodes[old].slots);
        self.nodes
            .iter_mut()
            .filter(|part| part.follows == Some(old))
            .for_each(|part| part.follows = Some(new));
        self.nodes[old].follows = Some(new);
        self.with(new, |part| (part.slots, part.epoch, part.follows) = (slots, epoch, None))
    }

    /// What node `node` says, by way of the reply it would send.
    fn view(&self, node: usize) -> View {
        let line = |(i, part): (usize, &Part)| {
            let myself = if i == node { "myself," } else { "" };
            let role = part
                .follows
                .map_or("master -".to_owned(), |primary| format!("slave {}", self.nodes[primary].name));
            let Part { name, address, epoch, slots, .. } = part;
            format!("{name} {address}@1 {myself}{role} 0 0 {epoch} connected {slots}\n")
        };
        let text: String = self.nodes.iter().enumerate().map(line).collect();
        let nodes = nodes::parse(&text, "h");
        View::new(&self.nodes[node].address, nodes, Err(BadReply::new("not asked")), OK).unwrap()
    }

    fn views(&self, nodes: impl IntoIterator<Item = usize>) -> Vec<View> {
        nodes.into_iter().map(|node| self.view(node)).collect()
    }

    fn all(&self) -> Vec<View> {
        self.views(0..self.nodes.len())
    }

    /// Learned from everybody.
    fn known(&self) -> Known {
        decide(None, &self.all()).unwrap()
    }
}

const OK: ClusterState = ClusterState { state: State::Ok, current_epoch: 9 };

fn topology(known: &Known) -> Topology {
    let topology = known.topology(1, Vec::new());
    assert_eq!(topology.validate(), Ok(()));
    topology
}

/// `shard: primary replicas slots` of each.
fn told(known: &Known) -> Vec<String> {
    let topology = topology(known);
    let line = |shard: &Shard| {
        let address = |id| topology.node(id).unwrap().addr.clone();
        let replicas: Vec<String> = shard.replicas.iter().map(address).collect();
        let slots: Vec<String> = shard.slots.iter().map(ToString::to_string).collect();
        format!("{}: {} [{}] {}", shard.id, address(&shard.primary), replicas.join(" "), slots.join(","))
    };
    topology.shards.iter().map(line).collect()
}

fn next(known: &Known, views: &[View]) -> Known {
    let next = decide(Some(known), views).unwrap();
    let reversed: Vec<View> = views.iter().rev().cloned().collect();
    assert_eq!(decide(Some(known), &reversed).unwrap(), next, "the order of views does not matter");
    next
}

fn three() -> World {
    World::of(3, 1)
}

#[test]
fn a_cluster_is_learned_from_all_its_nodes() {
    let known = three().known();
    assert_eq!(told(&known), ["1: h:1 [h:4] 0-5460", "2: h:2 [h:5] 5461-10921", "3: h:3 [h:6] 10922-16383"]);
    let topology = topology(&known);
    let ids: Vec<String> = topology.nodes.iter().map(|node| format!("{} {}", node.id, node.addr)).collect();
    assert_eq!(ids, ["n1 h:1", "n2 h:2", "n3 h:3", "n4 h:4", "n5 h:5", "n6 h:6"]);
    assert_eq!(topology.shards.iter().map(|shard| shard.epoch.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(topology.shards.iter().all(|shard| shard.kind == crate::topology::Kind::Cluster));
    assert_eq!(topology.cluster_id.len(), 40);
    assert!(known.is_settled(&three().all()));
    assert_eq!(next(&known, &three().all()), known, "nothing new is no change");
}

#[test]
fn a_promotion_is_believed_when_most_primaries_state_it_and_the_shard_keeps_its_number() {
    let known = three().known();
    let after = three().promoted(0, 3, 7);
    assert_eq!(
        next(&known, &[after.view(1), three().view(2), after.view(3)]),
        known,
        "one of three, and the new one"
    );
    // The dead one is still listed by the others, as a failed primary without slots.
    let seen = after.clone().with(0, |part| part.follows = None);
    let promoted = next(&known, &seen.views(1..6));
    assert_eq!(told(&promoted), ["1: h:4 [] 0-5460", "2: h:2 [h:5] 5461-10921", "3: h:3 [h:6] 10922-16383"]);
    let back = next(&promoted, &after.all());
    assert_eq!(told(&back)[0], "1: h:4 [h:1] 0-5460");
    assert_eq!(topology(&back).shards[0].primary.0, "n4");
}

#[test]
fn a_failover_on_request_is_believed_as_soon_as_both_concerned_state_it() {
    let world = World::of(3, 2);
    let (known, after) = (world.known(), world.clone().promoted(0, 3, 7));
    let mut views = world.views([1, 2, 4, 5, 6, 7, 8]);
    views.push(after.view(3));
    assert_eq!(next(&known, &views), known, "the new owner alone");
    views.push(after.view(0));
    let promoted = next(&known, &views);
    assert_eq!(told(&promoted)[0], "1: h:4 [h:1 h:7] 0-5460", "a replica that has not heard of it stays");
    assert!(!promoted.is_settled(&views));
    assert_eq!(next(&promoted, &views), promoted, "what the others still say has a lower epoch");
}

#[test]
fn a_slot_that_moved_is_believed_of_both_ends() {
    let known = three().known();
    let move_one = |epoch| {
        let world = three().with(0, |part| part.slots = "1-5460".into());
        world.with(2, |part| (part.slots, part.epoch) = ("0 10922-16383".into(), epoch))
    };
    let mut views = three().all();
    views[2] = move_one(3).view(2);
    assert_eq!(next(&known, &views), known);
    views[0] = move_one(3).view(0);
    let moved = next(&known, &views);
    assert_eq!(told(&moved)[2], "3: h:3 [h:6] 0,10922-16383");
    let mut stale = three().all();
    stale[2] = move_one(3).view(2);
    assert_eq!(next(&moved, &stale), moved, "an epoch that is lower than the slot's moves nothing back");
}

#[test]
fn an_owner_that_just_took_another_slot_does_not_hold_on_to_one_it_lost() {
    // Slot 0 goes from the first to the second (epoch 7), then slot 16383 from the third to the first (epoch 8).
    let known = three().known();
    let world = three()
        .with(1, |part| (part.slots, part.epoch) = ("0 5461-10921".into(), 7))
        .with(2, |part| part.slots = "10922-16382".into())
        .with(0, |part| (part.slots, part.epoch) = ("1-5460 16383".into(), 8));
    let after = next(&known, &world.views([0, 1]));
    assert_eq!(told(&after)[..2], ["1: h:1 [h:4] 1-5460,16383", "2: h:2 [h:5] 0,5461-10921"]);
}

#[test]
fn without_a_majority_all_that_answer_must_be_half_of_all() {
    let world = World::of(2, 1);
    let (known, after) = (world.known(), world.clone().promoted(0, 2, 5));
    assert_eq!(next(&known, &after.views([2])), known);
    assert_eq!(next(&known, &[after.view(2), world.view(3)]), known, "they do not agree");
    assert_eq!(
        next(&known, &[after.view(2), world.view(0), after.view(1)]),
        known,
        "the former owner answers"
    );
    assert_eq!(told(&next(&known, &after.views([2, 3])))[0], "1: h:3 [h:1] 0-8191");
}

#[test]
fn a_lower_epoch_is_believed_only_of_all() {
    let known = three().with(0, |part| part.epoch = 9).known();
    let after =
        three().with(0, |part| part.slots = String::new()).with(1, |part| part.slots = "0-10921".into());
    assert_eq!(next(&known, &after.views([1, 2])), known, "most, with a lower epoch");
    assert_eq!(told(&next(&known, &after.all())), ["2: h:2 [h:5] 0-10921", "3: h:3 [h:6] 10922-16383"]);
}

#[test]
fn a_cluster_that_was_built_anew_at_the_same_addresses_keeps_its_numbers() {
    let known = three().known();
    let mut anew = three();
    for (i, part) in anew.nodes.iter_mut().enumerate() {
        (part.name, part.epoch) = (format!("new{i}"), 0);
    }
    assert_eq!(next(&known, &anew.views([0])), known);
    assert_eq!(next(&known, &anew.views([0, 1])).holdings, known.holdings, "two of three, and a lower epoch");
    let after = next(&known, &anew.all());
    assert_eq!(told(&after), told(&known));
    assert_eq!(topology(&after).cluster_id, topology(&known).cluster_id);
}

#[test]
fn slots_without_an_owner_stay_without_one_until_most_name_one() {
    let world = three().with(0, |part| part.slots = "0-99".into());
    let known = world.known();
    assert_eq!(topology(&known).slots_assigned(), 16384 - 5361);
    let owned = three();
    assert_eq!(next(&known, &[owned.view(0), world.view(1), world.view(2)]), known);
    assert_eq!(topology(&next(&known, &owned.views([0, 1]))).slots_assigned(), 16384);
    // And the way back: one that denies a slot is not enough.
    let known = three().known();
    assert_eq!(next(&known, &[world.view(0), owned.view(1), owned.view(2)]), known);
    assert_eq!(topology(&next(&known, &world.views([0, 1]))).slots_assigned(), 16384 - 5361);
}

#[test]
fn a_cluster_that_owns_nothing_any_more_is_learned_anew_under_its_names() {
    let world = World::of(1, 0);
    let empty = world.clone().with(0, |part| part.slots = String::new());
    let known = next(&world.known(), &empty.all());
    assert_eq!((told(&known).len(), known.addresses().count()), (0, 0));
    assert_eq!(decide(Some(&known), &empty.all()).unwrap(), known);
    assert_eq!(told(&next(&known, &world.all())), told(&world.known()));
}

#[test]
fn the_first_word_is_provisional_and_most_primaries_correct_it_whatever_its_epochs() {
    // The seed was cut off before the first shard's failover, and exaggerates its epoch.
    let stale = three().with(0, |part| part.epoch = 99);
    let known = decide(None, &[stale.view(5)]).unwrap();
    assert_eq!(told(&known)[0], "1: h:1 [h:4] 0-5460");
    assert!(!known.is_settled(&stale.views([5])));
    let truth = three().promoted(0, 3, 7);
    let corrected = next(&known, &[stale.view(5), truth.view(1), truth.view(2)]);
    assert_eq!(told(&corrected)[0], "1: h:4 [h:1] 0-5460");
    assert!(corrected.is_settled(&truth.all()));
}

#[test]
fn only_a_node_that_believes_its_cluster_whole_is_believed_at_the_start() {
    let mut view = three().view(0);
    view.state = ClusterState { state: State::Fail, current_epoch: 9 };
    assert_eq!(decide(None, &[view.clone()]), None);
    assert_eq!(decide(None, &[]), None);
    let alone = World::of(1, 0).with(0, |part| part.slots = String::new());
    assert_eq!(decide(None, &alone.all()), None, "a node that nobody gave slots yet");
    assert!(decide(None, &[view, three().view(1)]).is_some());
}

#[test]
fn nodes_without_slots_are_no_shard_and_one_that_gets_slots_is_a_new_one() {
    let mut world = three();
    let part = |name: &str, address: &str, follows| Part {
        name: name.into(),
        address: address.into(),
        epoch: 0,
        follows,
        slots: String::new(),
    };
    world.nodes.extend([part("id6", "h:7", None), part("id7", "h:8", Some(6))]);
    let known = world.known();
    assert_eq!(topology(&known).nodes.len(), 6);
    let filled = world
        .with(6, |part| (part.slots, part.epoch) = ("0-9".into(), 8))
        .with(0, |part| part.slots = "10-5460".into());
    let views: Vec<View> = filled.all();
    let known = next(&known, &views);
    assert_eq!(told(&known)[3], "4: h:7 [h:8] 0-9");
    assert_eq!(topology(&known).nodes.last().unwrap().id.0, "n8");
}

#[test]
fn a_shard_that_is_emptied_leaves_and_comes_back_under_its_number() {
    let known = three().known();
    let emptied = three()
        .with(0, |part| part.slots = String::new())
        .with(1, |part| (part.slots, part.epoch) = ("0-10921".into(), 7));
    let without = next(&known, &emptied.all());
    assert_eq!(told(&without), ["2: h:2 [h:5] 0-10921", "3: h:3 [h:6] 10922-16383"]);
    let back = three().with(0, |part| part.epoch = 8);
    // Its own view is not heard while it is no member: it is told by those who gave it the slots.
    assert_eq!(told(&next(&without, &back.all())), told(&known));
}

#[test]
fn a_node_that_moved_is_found_by_its_name() {
    let known = three().known();
    let moved = three().with(0, |part| part.address = "elsewhere:1".into());
    let after = next(&known, &moved.views([0, 1]));
    assert_eq!(told(&after)[0], "1: elsewhere:1 [h:4] 0-5460");
    assert_eq!(topology(&after).shards[0].primary.0, "n7");
}

#[test]
fn proxies_of_one_cluster_name_it_alike() {
    let first = decide(None, &[three().view(0)]).unwrap();
    let second = decide(None, &[three().view(5)]).unwrap();
    assert_eq!(topology(&first).cluster_id, topology(&second).cluster_id);
    assert_ne!(topology(&first).cluster_id, topology(&World::of(3, 0).known()).cluster_id);
}

// --- properties ----------------------------------------------------------------------------------------------------

/// Anything a node may say, true or not: names and addresses of nodes there are and of some there are not.
fn any_view(asked: usize, nodes: usize) -> impl Strategy<Value = View> {
    let names = 0..nodes + 3;
    let part = (0..20u64, 0..nodes + 3, proptest::option::of(names.clone()), any::<bool>());
    let parts = proptest::collection::vec(part, nodes + 3);
    let cuts = proptest::collection::btree_map(0..16384u16, proptest::option::of(names.clone()), 0..8);
    (proptest::option::of(names), parts, cuts, any::<bool>()).prop_map(move |(myself, parts, cuts, whole)| {
        let id = |i: usize| MemberId(format!("id{i}"));
        let mut members: Vec<Member> = parts
            .into_iter()
            .enumerate()
            .filter(|(_, (_, _, _, listed))| *listed)
            .map(|(i, (epoch, at, follows, _))| Member {
                id: id(i),
                address: Some(format!("h:{}", at + 1)),
                follows: follows.map(id),
                epoch: Epoch(epoch),
                slots: Vec::new(),
            })
            .collect();
        let ends: Vec<u16> = cuts.keys().skip(1).map(|&next| next - 1).chain([16383]).collect();
        for ((first, owner), last) in cuts.into_iter().zip(ends) {
            let range = SlotRange::new(Slot::new(first).unwrap(), Slot::new(last).unwrap()).unwrap();
            let owner = owner.map(id);
            members.iter_mut().filter(|member| Some(&member.id) == owner.as_ref()).for_each(|member| {
                member.slots.push(range);
            });
        }
        let said = nodes::Nodes { myself: myself.map(id), members, moving: Vec::new() };
        let state = if whole { State::Ok } else { State::Fail };
        let state = ClusterState { state, current_epoch: 50 };
        View::new(&format!("h:{}", asked + 1), Ok(said), Err(BadReply::new("not asked")), state).unwrap()
    })
}

/// A world, and a liar in it with what it says.
fn world_and_liar() -> impl Strategy<Value = (World, usize, View)> {
    (3..6usize, 0..3usize)
        .prop_flat_map(|(primaries, replicas)| {
            (Just(World::of(primaries, replicas)), 0..primaries * (1 + replicas))
        })
        .prop_flat_map(|(world, liar)| {
            let nodes = world.nodes.len();
            (Just(world), Just(liar), any_view(liar, nodes))
        })
}

/// Three shards after some failovers and moves of slots.
fn reshuffled() -> impl Strategy<Value = World> {
    let moves = proptest::collection::vec((0..16384u16, 0..3usize, 0..20u64), 0..5);
    (moves, any::<[bool; 3]>()).prop_map(|(moves, failovers)| {
        let mut world = three();
        for (number, to, epoch) in moves {
            for part in &mut world.nodes {
                let ranges = part.slots.split(' ').filter_map(|text| text.parse::<SlotRange>().ok());
                let slots = ranges.flat_map(SlotRange::slots).filter(|slot| slot.number() != number);
                let kept = SlotRange::collect(slots);
                part.slots = kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            }
            let taker = &mut world.nodes[to];
            (taker.slots, taker.epoch) = (format!("{} {number}", taker.slots), epoch);
        }
        let failed = (0..3).filter(|&shard| failovers[shard]);
        failed.fold(world, |world, shard| world.promoted(shard, shard + 3, 30))
    })
}

proptest! {
    #[test]
    fn no_single_node_can_change_anything((world, liar, lie) in world_and_liar(), silent in any::<u32>()) {
        let known = world.known();
        let mut views = world.views((0..world.nodes.len()).filter(|&i| i != liar && silent >> (i % 32) & 1 == 0));
        views.push(lie);
        prop_assert_eq!(topology(&next(&known, &views)), topology(&known));
    }

    #[test]
    fn a_node_that_was_cut_off_before_a_failover_changes_nothing_after_it(
        cut_off in 0..6usize,
        old in 0..3usize,
        silent in any::<u32>(),
    ) {
        let (before, after) = (three(), three().promoted(old, old + 3, 9));
        let known = next(&before.known(), &after.all());
        let mut views = after.views((0..6).filter(|&i| i != cut_off && silent >> i & 1 == 0));
        views.push(before.view(cut_off));
        prop_assert_eq!(topology(&next(&known, &views)), topology(&known));
    }

    #[test]
    fn whatever_was_known_what_all_state_is_known_then(before in reshuffled(), after in reshuffled()) {
        let known = next(&before.known(), &after.all());
        let owners = |known: &Known| {
            let topology = topology(known);
            let each = topology.shards.iter().map(|shard| {
                (topology.node(&shard.primary).unwrap().addr.clone(), shard.slots.clone())
            });
            each.collect::<std::collections::BTreeMap<_, _>>()
        };
        prop_assert_eq!(owners(&known), owners(&after.known()));
        // Who was silent as long as it had no slots is heard from the next time on.
        prop_assert!(next(&known, &after.all()).is_settled(&after.all()));
    }

    #[test]
    fn any_number_of_liars_make_a_topology_that_does_not_contradict_itself(
        (world, _, lie) in world_and_liar(),
        mut lies in proptest::collection::vec((0..9usize).prop_flat_map(|asked| any_view(asked, 9)), 0..9),
    ) {
        // Each node has one view.
        lies.sort_by(|a, b| a.asked.cmp(&b.asked));
        lies.dedup_by(|a, b| a.asked == b.asked);
        let known = next(&world.known(), &lies);
        topology(&next(&known, &[lie]));
        if let Some(known) = decide(None, &lies) {
            topology(&next(&known, &world.all()));
        }
    }
}
