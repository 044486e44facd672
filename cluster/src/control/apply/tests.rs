//! The rules of the log, one by one.

use super::super::{Durability, How, NodeFact, ProxyFact, state::REMOVED_KEPT};
use super::*;
use crate::{
    Placement, SlotRange,
    ids::ProxyId,
    replication::Offset,
    shard::{Incarnation, Position, Rule},
};

const SHARD: ShardId = ShardId(1);

fn node(number: u64) -> NodeId {
    NodeId(format!("n{number}"))
}

/// Node `number` in its first life.
fn member(number: u64) -> Member {
    life(number, 1)
}

fn life(number: u64, life: u64) -> Member {
    Member::new(&node(number), Incarnation(number * 100 + life))
}

fn members(numbers: &[u64]) -> Vec<Member> {
    numbers.iter().copied().map(member).collect()
}

fn fact(number: u64, shard: ShardId) -> NodeFact {
    let incarnation = Some(member(number).incarnation);
    NodeFact { shard, addr: format!("h:{number}"), pulse_addr: None, admin_addr: None, incarnation }
}

fn slots(text: &str) -> Vec<SlotRange> {
    vec![text.parse().unwrap()]
}

fn create(digit: &str) -> Entry {
    let (placement, durability) = (Placement::default(), Durability::Quorum);
    Entry::Create { cluster_id: digit.repeat(40), placement, durability }
}

fn add_node(number: u64) -> Entry {
    Entry::AddNode { node: node(number), fact: fact(number, SHARD) }
}

fn change_sync(seen: (u64, u64), sync: Vec<Member>) -> Entry {
    Entry::ChangeSync { shard: SHARD, epoch: Epoch(seen.0), version: seen.1, sync }
}

fn begin(epoch: u64) -> Entry {
    Entry::BeginFailover { shard: SHARD, epoch: Epoch(epoch), why: "silent".into() }
}

fn promote(to: u64, version: u64, winner: Member, sync: Vec<Member>, how: How) -> Entry {
    Entry::Promote { shard: SHARD, epoch: Epoch(to), version, winner, sync, how }
}

fn activated(epoch: u64) -> Entry {
    Entry::Activated { shard: SHARD, epoch: Epoch(epoch) }
}

fn abort(epoch: u64, version: u64) -> Entry {
    Entry::SwitchAbort { shard: SHARD, epoch: Epoch(epoch), version }
}

fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch(epoch), offset: Offset(offset) }
}

fn clean_stop(epoch: u64, version: u64, offset: u64) -> Entry {
    let (shard, position) = (SHARD, at(epoch, offset));
    Entry::CleanStop { shard, epoch: Epoch(epoch), version, position }
}

/// Of the rule of version 2, which [`cluster`] makes.
fn accept_loss(to: u64, winner: Member, position: Position) -> Entry {
    let by = "operator".into();
    Entry::AcceptLoss { shard: SHARD, epoch: Epoch(to), version: 2, winner, position, by }
}

/// n`number` comes back: its first life is over, this is the next one.
fn started(number: u64, next: u64) -> Entry {
    let (before, incarnation) = (Some(member(number).incarnation), life(number, next).incarnation);
    Entry::NodeStarted { node: node(number), before, incarnation }
}

fn moved(epoch: u64, version: u64) -> Outcome {
    Outcome::Refused(Refused::Moved { epoch: Epoch(epoch), version })
}

fn refused(cluster: &mut Cluster, entry: &Entry) -> String {
    let before = cluster.clone();
    let Outcome::Refused(why) = cluster.apply(before.index + 1, entry) else { panic!("taken: {entry:?}") };
    assert_eq!(*cluster, before, "a refusal changes nothing");
    why.to_string()
}

/// Applies what must be done, each a second time, too: which then is known and changes nothing.
fn done(cluster: &mut Cluster, entries: &[Entry]) {
    for entry in entries {
        assert_eq!(cluster.apply(cluster.index + 1, entry), Outcome::Done, "{entry:?}");
        assert_eq!(cluster.validate(), Ok(()), "{entry:?}");
        let once = cluster.clone();
        assert_eq!(cluster.apply(once.index + 1, entry), Outcome::Again, "{entry:?}");
        assert_eq!(*cluster, once, "{entry:?}");
    }
}

/// A shard of `nodes` nodes, n1 its primary, in epoch 1, with all others in S (rule version 2) and activated.
fn cluster(nodes: u64) -> Cluster {
    let mut cluster = Cluster::default();
    done(&mut cluster, &[create("a")]);
    done(&mut cluster, &(1..=nodes).map(add_node).collect::<Vec<_>>());
    done(
        &mut cluster,
        &[
            Entry::AddShard { shard: SHARD, primary: member(1), slots: slots("0-16383") },
            change_sync((1, 1), (2..=nodes).map(member).collect()),
            activated(1),
        ],
    );
    cluster
}

fn shard(cluster: &Cluster) -> &ShardState {
    &cluster.shards[&SHARD]
}

#[test]
fn a_log_begins_with_the_name_of_its_cluster_and_keeps_it() {
    let mut empty = Cluster::default();
    assert_eq!(refused(&mut empty, &add_node(1)), "no cluster was created yet");
    assert!(refused(&mut empty, &create("x")).contains("40 hexadecimal digits"));
    done(&mut empty, &[create("a")]);
    assert!(refused(&mut empty, &create("b")).starts_with("this is cluster aaaa"));
}

#[test]
fn a_failover_fences_one_epoch_and_begins_the_next_under_a_member() {
    let mut cluster = cluster(3);
    let next = promote(2, 2, member(2), members(&[3]), How::Failover);
    assert_eq!(refused(&mut cluster, &next), "no failover is pending");
    done(&mut cluster, &[begin(1), next]);
    let state = shard(&cluster);
    assert_eq!((state.epoch, state.version, state.pending, state.activated), (Epoch(2), 3, None, false));
    assert_eq!(state.rule, Rule::new(member(2), members(&[3])));
    assert_eq!(state.kept, [Rule::new(member(1), members(&[2, 3]))]);
    assert_eq!(cluster.apply(99, &begin(1)), moved(2, 3));
    assert_eq!(
        cluster.apply(99, &promote(2, 2, member(3), members(&[2]), How::Failover)),
        moved(2, 3),
        "an epoch has one primary"
    );
    done(&mut cluster, &[activated(2)]);
    assert!(shard(&cluster).kept.is_empty());
}

#[test]
fn rules_are_kept_over_promotions_until_one_epoch_was_activated() {
    let mut cluster = cluster(3);
    done(&mut cluster, &[begin(1), promote(2, 2, member(3), members(&[2]), How::Failover), begin(2)]);
    // n1 is no member of the present rule, but of a kept one: it promised, holds the most, and wins.
    done(&mut cluster, &[promote(3, 3, member(1), members(&[2, 3]), How::Failover)]);
    assert_eq!(shard(&cluster).kept.len(), 2);
    assert_eq!(cluster.apply(99, &activated(2)), moved(3, 4));
    done(&mut cluster, &[activated(3)]);
    assert!(shard(&cluster).kept.is_empty());
}

#[test]
fn the_primary_itself_may_win_the_next_epoch() {
    let mut cluster = cluster(3);
    done(&mut cluster, &[begin(1), promote(2, 2, member(1), members(&[2, 3]), How::Failover)]);
    assert_eq!(shard(&cluster).rule.primary, member(1));
}

#[test]
fn a_promotion_is_refused_for_strangers_and_for_lives_that_are_over() {
    let mut cluster = cluster(3);
    done(&mut cluster, &[add_node(4), begin(1)]);
    let mut check = |winner, sync, expected: &str| {
        let why = refused(&mut cluster, &promote(2, 2, winner, sync, How::Failover));
        assert!(why.contains(expected), "{why}");
    };
    check(member(4), members(&[2, 3]), "no member of the rules");
    check(life(2, 7), members(&[3]), "no member of the rules");
    check(member(2), members(&[]), "would not be in the next one");
    check(member(2), members(&[3, 4]), "was asked for no promise");
    check(member(2), vec![member(3), life(1, 2)], "was asked for no promise");
    done(&mut cluster, &[started(2, 2)]);
    let late = promote(2, 2, member(2), members(&[3]), How::Failover);
    assert!(refused(&mut cluster, &late).contains("was started anew"));
    // A dead member stays in S' until a primary removes it.
    done(&mut cluster, &[promote(2, 2, member(3), members(&[2]), How::Failover)]);
}

#[test]
fn of_a_switchovers_promotion_and_its_abort_the_first_wins() {
    let switch = || promote(2, 2, member(2), members(&[1, 3]), How::Switchover);
    let mut promoted = cluster(3);
    done(&mut promoted, &[switch()]);
    assert_eq!(shard(&promoted).kept.len(), 1, "a switchover keeps the replaced rule, too");
    assert_eq!(promoted.apply(99, &abort(1, 2)), moved(2, 3));
    let mut aborted = cluster(3);
    done(&mut aborted, &[abort(1, 2)]);
    assert_eq!(aborted.apply(99, &switch()), moved(1, 3));
}

#[test]
fn a_switchover_goes_to_a_sync_member_keeps_the_old_primary_and_gives_way_to_a_failover() {
    let mut cluster = cluster(3);
    done(&mut cluster, &[add_node(4)]);
    let mut check = |winner, sync: &[u64], expected: &str| {
        let why = refused(&mut cluster, &promote(2, 2, winner, members(sync), How::Switchover));
        assert!(why.contains(expected), "{why}");
    };
    check(member(4), &[1, 2, 3], "no member of the rules");
    check(member(1), &[2, 3], "no member of the rules");
    check(member(2), &[3], "the old primary");
    done(&mut cluster, &[begin(1)]);
    let late = promote(2, 2, member(2), members(&[1, 3]), How::Switchover);
    assert_eq!(refused(&mut cluster, &late), "a failover is pending");
    assert_eq!(refused(&mut cluster, &abort(1, 2)), "a failover is pending");
}

#[test]
fn only_what_was_seen_last_may_be_changed_and_not_while_a_failover_is_pending() {
    let mut cluster = cluster(3);
    done(&mut cluster, &[change_sync((1, 2), members(&[3]))]);
    assert_eq!(cluster.apply(99, &change_sync((1, 2), members(&[2]))), moved(1, 3));
    done(&mut cluster, &[begin(1)]);
    assert_eq!(refused(&mut cluster, &change_sync((1, 3), members(&[2, 3]))), "a failover is pending");
    done(&mut cluster, &[promote(2, 3, member(3), vec![], How::Failover)]);
    // Before its epoch is activated, too; several at once.
    done(&mut cluster, &[change_sync((2, 4), members(&[1, 2]))]);
    assert_eq!(shard(&cluster).kept.len(), 1);
}

/// A sync set that breaks a rule is refused, and its proposer sees (e, v) move: it may propose something else.
fn check_declined(cluster: &mut Cluster, sync: Vec<Member>, expected: &str) {
    let ShardState { version, rule, .. } = shard(cluster).clone();
    let index = cluster.index + 1;
    let outcome = cluster.apply(index, &change_sync((1, version), sync));
    let Outcome::Refused(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.to_string().contains(expected), "{why}");
    assert_eq!((shard(cluster).version, &shard(cluster).rule), (version + 1, &rule));
    assert_eq!((cluster.index, cluster.validate()), (index, Ok(())));
}

#[test]
fn a_sync_set_of_strangers_of_the_dead_or_of_too_few_is_declined() {
    let mut cluster = cluster(3);
    check_declined(&mut cluster, members(&[2, 9]), "there is no node n9");
    check_declined(&mut cluster, vec![member(2), life(3, 2)], "was started anew");
    check_declined(&mut cluster, members(&[1, 2]), "stands twice");
    check_declined(&mut cluster, members(&[]), "1 copies are fewer than the 2");
    let other = NodeFact { shard: ShardId(2), ..fact(8, SHARD) };
    done(&mut cluster, &[Entry::AddNode { node: node(8), fact: other }]);
    check_declined(&mut cluster, members(&[2, 8]), "belongs to shard 2");
}

#[test]
fn how_many_copies_are_needed_follows_the_number_of_nodes_unless_it_is_said() {
    let mut two = cluster(2);
    let said = |copies| Entry::SetMinCopies { shard: SHARD, copies };
    done(&mut two, &[change_sync((1, 2), vec![])]);
    done(&mut two, &[add_node(3), said(Some(3)), change_sync((1, 3), members(&[2]))]);
    check_declined(&mut two, vec![], "fewer than the 3");
    done(&mut two, &[said(Some(1)), change_sync((1, 5), vec![])]);
    assert!(refused(&mut two, &said(Some(0))).contains("at least one"));
}

#[test]
fn a_clean_stop_is_known_until_something_begins() {
    let stopped = || {
        let mut cluster = cluster(3);
        done(&mut cluster, &[clean_stop(1, 2, 700)]);
        cluster
    };
    let lost = || vec![begin(1), accept_loss(2, member(2), at(1, 700))];
    for later in [vec![change_sync((1, 2), members(&[2]))], vec![abort(1, 2)], lost()] {
        let mut cluster = stopped();
        done(&mut cluster, &later);
        assert_eq!(shard(&cluster).clean_stop, None);
    }
    let mut cluster = stopped();
    assert_eq!(refused(&mut cluster, &clean_stop(1, 2, 701)), "it has stopped at 1:700");
    done(&mut cluster, &[begin(1)]);
    assert_eq!(shard(&cluster).clean_stop, Some(at(1, 700)), "nothing has begun yet");
    done(&mut cluster, &[promote(2, 2, member(1), members(&[2, 3]), How::Failover)]);
    assert_eq!(shard(&cluster).clean_stop, None);
    assert!(refused(&mut cluster, &clean_stop(1, 2, 700)).contains("moved on"));
}

#[test]
fn an_accepted_loss_needs_no_fence_and_is_counted_unless_nothing_can_be_lost() {
    let mut lost = cluster(3);
    done(&mut lost, &[started(3, 2), begin(1)]);
    assert!(refused(&mut lost, &accept_loss(2, member(3), at(1, 5))).contains("was started anew"));
    done(&mut lost, &[accept_loss(2, life(3, 2), at(1, 5))]);
    assert_eq!(lost.losses_accepted, 1);
    let state = shard(&lost);
    assert_eq!((&state.rule, state.kept.len()), (&Rule::new(life(3, 2), vec![]), 0));
    assert_eq!(lost.apply(99, &accept_loss(2, member(1), at(1, 5))), moved(2, 3));

    let mut stopped = cluster(3);
    done(&mut stopped, &[clean_stop(1, 2, 700), begin(1), accept_loss(2, member(2), at(1, 700))]);
    assert_eq!(stopped.losses_accepted, 0);
}

#[test]
fn a_loss_is_accepted_of_the_rule_that_was_judged_and_while_its_primary_is_fenced() {
    let mut moved_on = cluster(3);
    assert_eq!(refused(&mut moved_on, &accept_loss(2, member(2), at(1, 5))), "no failover is pending");
    // Another change of the rule came first: who was asked is no longer who counts.
    done(&mut moved_on, &[change_sync((1, 2), members(&[3])), begin(1)]);
    assert_eq!(moved_on.apply(99, &accept_loss(2, member(2), at(1, 5))), moved(1, 3));
    assert_eq!((moved_on.losses_accepted, shard(&moved_on).epoch), (0, Epoch(1)));
}

#[test]
fn a_life_that_is_over_is_not_put_back_by_an_entry_that_comes_late() {
    let mut cluster = cluster(2);
    // Two leaders, one after the other, each saw one of n2's lives; the first one's entry comes last.
    let late = started(2, 2);
    let known = cluster.nodes[&node(2)].incarnation;
    let newer = Entry::NodeStarted { node: node(2), before: known, incarnation: life(2, 3).incarnation };
    done(&mut cluster, &[newer]);
    assert!(refused(&mut cluster, &late).contains("was started anew"));
    let introduced = NodeFact { pulse_addr: Some("h:7".into()), ..fact(2, SHARD) };
    done(&mut cluster, &[Entry::AddNode { node: node(2), fact: introduced }]);
    assert_eq!(cluster.nodes[&node(2)].incarnation, Some(life(2, 3).incarnation));
}

#[test]
fn no_slot_has_two_owners() {
    let mut cluster = cluster(1);
    let second = |number, text: &str| Entry::AddShard {
        shard: ShardId(number),
        primary: member(8),
        slots: slots(text),
    };
    let fact = NodeFact { shard: ShardId(2), ..fact(8, SHARD) };
    done(&mut cluster, &[Entry::AddNode { node: node(8), fact }]);
    assert_eq!(refused(&mut cluster, &second(2, "7")), "shards 1 and 2 would both hold a slot");
    assert_eq!(refused(&mut cluster, &second(3, "7")), "node n8 belongs to shard 2");
    let none = Entry::AddShard { shard: ShardId(2), primary: member(8), slots: vec![] };
    let twice =
        Entry::AddShard { shard: ShardId(2), primary: member(8), slots: [slots("7"), slots("7-8")].concat() };
    assert!(refused(&mut cluster, &twice).contains("both hold"));
    done(&mut cluster, &[none]);
    assert!(refused(&mut cluster, &Entry::RemoveShard { shard: SHARD }).contains("holds slots"));
    done(&mut cluster, &[Entry::RemoveShard { shard: ShardId(2) }]);
    assert!(!cluster.nodes.contains_key(&node(8)), "its nodes go with it");
}

#[test]
fn a_node_goes_only_when_no_rule_needs_it() {
    let mut cluster = cluster(3);
    let remove = |number| Entry::RemoveNode { node: node(number) };
    assert!(refused(&mut cluster, &remove(1)).contains("is the primary"));
    // A member of S goes when its primary has taken it out.
    done(&mut cluster, &[remove(2)]);
    assert!(cluster.leaving.contains(&node(2)) && cluster.nodes.contains_key(&node(2)));
    done(&mut cluster, &[change_sync((1, 2), members(&[3]))]);
    assert!(cluster.leaving.is_empty() && !cluster.nodes.contains_key(&node(2)));
    // The old primary, when its rule is kept no more.
    done(&mut cluster, &[begin(1), promote(2, 3, member(3), vec![], How::Failover), remove(1)]);
    assert!(cluster.nodes.contains_key(&node(1)), "its promise may be needed");
    done(&mut cluster, &[activated(2)]);
    assert_eq!((cluster.nodes_of(SHARD), &cluster.removed[..]), (1, &[node(2), node(1)][..]));
    // A learner at once.
    done(&mut cluster, &[add_node(4), remove(4)]);
    assert_eq!(cluster.nodes_of(SHARD), 1);
}

#[test]
fn a_node_that_leaves_and_is_promoted_stays() {
    let mut cluster = cluster(3);
    done(&mut cluster, &[Entry::RemoveNode { node: node(2) }, begin(1)]);
    done(&mut cluster, &[promote(2, 2, member(2), members(&[3]), How::Failover), activated(2)]);
    assert!(cluster.leaving.is_empty() && cluster.nodes.contains_key(&node(2)), "it held most");
}

#[test]
fn who_is_needed_for_enough_copies_does_not_leave() {
    let remove = |number| Entry::RemoveNode { node: node(number) };
    let mut three = cluster(3);
    done(&mut three, &[change_sync((1, 2), members(&[2]))]);
    let why = refused(&mut three, &remove(2));
    assert!(why.contains("would have 1 copies, and 2 are needed"), "{why}");
    done(&mut three, &[remove(3), remove(2), change_sync((1, 3), vec![])]);
    assert_eq!(three.nodes_of(SHARD), 1, "of two nodes one may go");
    let mut said = cluster(2);
    done(&mut said, &[Entry::SetMinCopies { shard: SHARD, copies: Some(2) }]);
    assert!(refused(&mut said, &remove(2)).contains("2 are needed"));
}

#[test]
fn a_node_that_still_copies_makes_no_write_need_another_copy() {
    let mut cluster = cluster(2);
    done(&mut cluster, &[add_node(3)]);
    // While it copies the other replica dies: of two nodes one may go on alone.
    done(&mut cluster, &[change_sync((1, 2), vec![])]);
    let told = crate::failover::orders(&cluster, &node(1)).unwrap().state;
    assert_eq!((cluster.nodes_of(SHARD), told.min_copies), (2, Some(1)));
    // From its first acknowledgement that counts it is one of three, also when it has left S again.
    done(&mut cluster, &[change_sync((1, 3), members(&[3]))]);
    assert_eq!((cluster.nodes_of(SHARD), cluster.newcomers.len()), (3, 0));
    check_declined(&mut cluster, vec![], "fewer than the 2");
    assert_eq!(crate::failover::orders(&cluster, &node(1)).unwrap().state.min_copies, Some(2));
    // One that is removed before it came is no newcomer, either.
    done(&mut cluster, &[add_node(4), Entry::RemoveNode { node: node(4) }]);
    assert_eq!((cluster.newcomers.len(), cluster.validate()), (0, Ok(())));
}

#[test]
fn the_name_of_a_node_that_is_gone_is_not_given_again() {
    let mut cluster = cluster(2);
    done(&mut cluster, &[add_node(7), Entry::RemoveNode { node: node(7) }]);
    assert!(refused(&mut cluster, &add_node(7)).contains("removed for good"));
    assert_eq!(cluster.next_node_name([]), node(8));
    assert_eq!(cluster.next_node_name([&node(11), &NodeId("other".into())]), node(12));
    for number in 100..100 + u64::try_from(REMOVED_KEPT).unwrap() {
        cluster.apply(cluster.index + 1, &add_node(number));
        cluster.apply(cluster.index + 1, &Entry::RemoveNode { node: node(number) });
    }
    assert_eq!((cluster.removed.len(), cluster.validate()), (REMOVED_KEPT, Ok(())));
    assert!(!cluster.removed.contains(&node(7)), "the oldest is forgotten");
}

#[test]
fn of_two_nodes_that_are_given_one_name_the_first_has_it() {
    let mut cluster = cluster(1);
    done(&mut cluster, &[add_node(2)]);
    let other = NodeFact { addr: "h:99".into(), incarnation: Some(life(2, 5).incarnation), ..fact(2, SHARD) };
    let why = refused(&mut cluster, &Entry::AddNode { node: node(2), fact: other });
    assert!(why.contains("was started anew"), "{why}");
}

#[test]
fn a_node_that_moves_keeps_what_the_entry_does_not_know() {
    let mut cluster = cluster(2);
    let known = NodeFact { pulse_addr: Some("h:10002".into()), ..fact(2, SHARD) };
    done(&mut cluster, &[Entry::AddNode { node: node(2), fact: known.clone() }]);
    let unknown = NodeFact { pulse_addr: None, incarnation: None, ..known.clone() };
    let again = Entry::AddNode { node: node(2), fact: unknown.clone() };
    assert_eq!(cluster.apply(99, &again), Outcome::Again);
    let elsewhere = NodeFact { addr: "g:2".into(), ..unknown };
    done(&mut cluster, &[Entry::AddNode { node: node(2), fact: elsewhere }]);
    assert_eq!(
        (&cluster.nodes[&node(2)].pulse_addr, cluster.nodes[&node(2)].incarnation),
        (&None, known.incarnation)
    );
    let taken = NodeFact { addr: "h:1".into(), ..fact(2, SHARD) };
    assert!(
        refused(&mut cluster, &Entry::AddNode { node: node(2), fact: taken }).contains("belongs to node n1")
    );
}

#[test]
fn proxies_come_and_go() {
    let mut cluster = cluster(1);
    let proxy = |number: u64| ProxyId(format!("p{number}"));
    let fact = |number: u64| ProxyFact {
        addr: format!("h:{number}"),
        control_addr: format!("c:{number}"),
        admin_addr: None,
        sentinel_addr: None,
    };
    done(&mut cluster, &[Entry::AddProxy { proxy: proxy(1), fact: fact(1) }]);
    let clash = Entry::AddProxy { proxy: proxy(2), fact: ProxyFact { addr: "h:9".into(), ..fact(1) } };
    assert!(refused(&mut cluster, &clash).contains("belongs to proxy p1"));
    done(&mut cluster, &[Entry::RemoveProxy { proxy: proxy(1) }]);
    done(&mut cluster, &[Entry::SetDurability { durability: Durability::Async }]);
}

#[test]
fn what_is_longer_than_any_name_or_reason_is_refused() {
    let mut cluster = cluster(1);
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let why = Entry::BeginFailover { shard: SHARD, epoch: Epoch(1), why: long.clone() };
    let name = Entry::AddNode { node: NodeId(long), fact: fact(9, SHARD) };
    for entry in [why, name] {
        assert!(refused(&mut cluster, &entry).contains("more than 1024 bytes"));
    }
}
