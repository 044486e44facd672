//! I2, I4, I6 at a member: what it promises, what it grants, what it refuses.

use super::*;
use crate::{
    control::{Durability, ShardState},
    topology::Topology,
};

const TWO: Epoch = Epoch(2);

fn persist(promised: u64) -> Effect {
    Effect::Persist { identity: identity(1), promised: Epoch(promised) }
}

fn publish(promised: u64) -> Effect {
    Effect::Publish { promised: Epoch(promised) }
}

fn promise(epoch: u64, grant_left: u64) -> Effect {
    let (epoch, grant_left) = (Epoch(epoch), ms(grant_left));
    Effect::Promise { to: BY, shard: SHARD, epoch, member: member(1), grant_left }
}

fn orders(index: u64, epoch: u64, primary: u64) -> Orders {
    Orders {
        topology: Topology {
            version: index,
            cluster_id: "c".into(),
            placement: crate::Placement::default(),
            shards: Vec::new(),
            nodes: Vec::new(),
            proxies: Vec::new(),
        },
        me: member(1).node,
        shard: SHARD,
        state: ShardState {
            epoch: Epoch(epoch),
            version: 1,
            rule: Rule::new(member(primary), vec![member(1)]),
            kept: Vec::new(),
            activated: true,
            pending: None,
            slots: Vec::new(),
            min_copies: None,
            clean_stop: None,
        },
        durability: Durability::Quorum,
        pulse_addrs: Vec::new(),
        leaving: Vec::new(),
    }
}

#[test]
fn a_promise_is_written_down_then_published_and_then_given() {
    Bench::new(1).fence(2).wants(&[persist(2), publish(2), promise(2, 0)]);
}

#[test]
fn the_same_fence_again_is_promised_again_and_a_lower_one_is_refused() {
    let mut bench = Bench::new(1);
    bench.fence(3).take();
    bench.fence(3).wants(&[promise(3, 0)]);
    let refused = bench.fence(2).take();
    assert_eq!(refusal(&refused), Some((2, 3)));
}

#[test]
fn a_promise_tells_what_is_left_of_the_grants_given() {
    let mut bench = Bench::new(1);
    bench.heartbeat(1, 1).passes(100);
    bench.take();
    bench.fence(2);
    assert!(bench.take().contains(&promise(2, 250)));
    bench.passes(300).fence(2).wants(&[promise(2, 0)]);
}

#[test]
fn a_node_that_kept_its_life_over_a_restart_tells_of_a_full_grant_term_and_keeps_its_promises() {
    let mut bench = Bench::in_life(1, Life::Kept { promised: TWO });
    assert_eq!(refusal(&bench.heartbeat(1, 1).take()), Some((1, 2)));
    bench.passes(50).fence(2).wants(&[promise(2, 300)]);
}

#[test]
fn a_heartbeat_is_granted_and_one_of_an_epoch_below_what_was_promised_is_refused() {
    let mut bench = Bench::new(1);
    let grant = |epoch, seq| Effect::Say {
        to: BY,
        word: FromNode::Grant { epoch: Epoch(epoch), seq, member: member(1) },
    };
    bench.heartbeat(1, 5).wants(&[persist(1), publish(1), grant(1, 5)]);
    bench.heartbeat(1, 6).wants(&[grant(1, 6)]);
    bench.fence(2).take();
    assert_eq!(refusal(&bench.heartbeat(1, 7).take()), Some((1, 2)));
    // What it refused it did not grant.
    bench.passes(350).fence(2).wants(&[promise(2, 0)]);
}

#[test]
fn only_the_primary_that_the_log_names_is_granted_anything_and_only_in_this_life() {
    let mut bench = Bench::new(1);
    bench.hears(&ToNode::Orders(Box::new(orders(5, 1, 2)))).take();
    assert_eq!(refusal(&bench.heartbeat(1, 1).take()), Some((1, 1)));
    let mut reborn = beat(1, 2);
    reborn.primary = Member::new(&member(2).node, Incarnation(99));
    assert_eq!(refusal(&bench.hears(&ToNode::Heartbeat(reborn)).take()), Some((1, 1)));
}

#[test]
fn words_of_another_cluster_or_shard_are_refused_and_tell_nothing_of_epochs() {
    let mut bench = Bench::new(1);
    bench.fence(3).take();
    let foreign = ToNode::Fence { shard: ShardId(2), epoch: Epoch(9) };
    assert_eq!(refusal(&bench.hears(&foreign).take()), Some((9, 0)));
    let mut stranger = beat(9, 1);
    stranger.cluster_id = "another".into();
    assert_eq!(refusal(&bench.hears(&ToNode::Heartbeat(stranger)).take()), Some((9, 0)));
    let mut stranger = orders(9, 9, 0);
    stranger.topology.cluster_id = "another".into();
    assert_eq!(refusal(&bench.hears(&ToNode::Orders(Box::new(stranger))).take()), Some((9, 0)));
    assert_eq!(bench.pulse.seen(), Epoch(3));
}

#[test]
fn a_node_that_belongs_to_no_cluster_promises_nothing_and_belongs_to_the_first_that_orders_it() {
    let boot = Boot { incarnation: Incarnation(1), identity: None, life: Life::New };
    let mut bench =
        Bench { pulse: Pulse::new(&boot, ms(0)), now: ms(0), wanted: Vec::new(), disk_fails: false };
    assert_eq!(refusal(&bench.fence(2).take()), Some((2, 0)));
    let first = orders(5, 2, 0);
    bench.hears(&ToNode::Orders(Box::new(first.clone())));
    bench.wants(&[persist(0), persist(2), publish(2), Effect::Obey(Order::Follow(Box::new(first)))]);
    assert_eq!((bench.pulse.index(), bench.pulse.member()), (5, Some(member(1))));
}

#[test]
fn orders_are_passed_on_as_often_as_they_are_said_and_older_ones_never() {
    let mut bench = Bench::new(1);
    let say = |index, epoch| ToNode::Orders(Box::new(orders(index, epoch, 0)));
    bench.hears(&say(5, 1)).take();
    assert_eq!(bench.hears(&say(5, 1)).take().len(), 1);
    bench.hears(&say(4, 1)).wants(&[]);
    assert_eq!(bench.hears(&say(6, 1)).take().len(), 1);
}

#[test]
fn an_activation_is_a_moment_counted_from_its_arrival_and_one_of_a_lower_epoch_is_refused() {
    let mut bench = Bench::new(1);
    let activate = |epoch| ToNode::Activate { shard: SHARD, epoch: Epoch(epoch), wait_ms: 200 };
    let not_before = bench.now + ms(200);
    bench.hears(&activate(2)).wants(&[
        persist(2),
        publish(2),
        Effect::Obey(Order::Activate { epoch: TWO, not_before }),
    ]);
    assert_eq!(refusal(&bench.hears(&activate(1)).take()), Some((1, 2)));
    let stop = ToNode::Stop { shard: SHARD, epoch: TWO, version: 4 };
    bench.hears(&stop).wants(&[Effect::Obey(Order::Stop { epoch: TWO, version: 4 })]);
}

#[test]
fn a_promise_that_could_not_be_written_down_is_written_down_before_it_is_given_again() {
    let mut bench = Bench::new(1);
    bench.disk_fails = true;
    bench.fence(2).wants(&[persist(2), publish(2), promise(2, 0)]);
    bench.fence(2).wants(&[persist(2), publish(2), promise(2, 0)]);
    bench.disk_fails = false;
    bench.fence(2).wants(&[persist(2), publish(2), promise(2, 0)]);
    bench.fence(2).wants(&[promise(2, 0)]);
}
