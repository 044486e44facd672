//! I3, I5: what is committed, and how S changes.

use super::*;

fn both(old: &[u64], new: &[u64]) -> Effect {
    let rule = |sync: &[u64]| Rule::new(member(0), sync.iter().copied().map(member).collect());
    Effect::LeaseBy { epoch: Epoch(1), rules: vec![rule(old), rule(new)] }
}

fn change(version: u64, sync: &[u64]) -> Effect {
    let sync = sync.iter().copied().map(member).collect();
    Effect::Propose(Entry::ChangeSync { shard: SHARD, epoch: Epoch(1), version, sync })
}

fn release(offset: u64) -> Effect {
    Effect::Release { committed: Offset(offset) }
}

#[test]
fn replies_leave_as_k_of_s_hold_what_they_tell_of() {
    let mut bench = serving(3, &[1, 2]);
    bench.grows(20).wants(&[]);
    bench.acks(1, at(1, 15)).wants(&[release(15)]);
    bench.acks(2, at(1, 20)).wants(&[release(20)]);
    bench.acks(1, at(1, 20)).wants(&[]);
}

#[test]
fn with_k_of_two_the_second_best_counts_and_one_who_is_no_member_does_not() {
    let mut bench = serving(5, &[1, 2, 3]);
    bench.grows(50).attaches(4, at(1, 10));
    bench.take();
    bench.acks(4, at(1, 50)).committed_is(10);
    // It was taken in as soon as it held all that is committed, and then both rules count: two of three, and two of four.
    bench.acks(1, at(1, 50)).committed_is(10).acks(2, at(1, 40)).committed_is(40);
}

#[test]
fn alone_everything_is_committed_at_once() {
    serving(1, &[]).grows(20).wants(&[release(20)]);
}

#[test]
fn committed_never_goes_back_when_who_held_it_is_gone() {
    let mut bench = serving(3, &[1, 2]);
    bench.grows(30).acks(1, at(1, 20)).acks(2, at(1, 30)).committed_is(30);
    bench.detaches(2).committed_is(30);
    bench.attaches(2, at(1, 5)).committed_is(30);
}

#[test]
fn whoever_loses_its_connection_is_left_out_at_once_by_both_rules_first() {
    let mut bench = serving(3, &[1, 2]);
    bench.detaches(2).wants(&[both(&[1, 2], &[1]), change(1, &[1])]);
}

#[test]
fn s_does_not_shrink_to_those_who_lack_what_is_committed() {
    let mut bench = serving(3, &[1, 2]);
    bench.grows(50).acks(2, at(1, 50)).committed_is(50);
    bench.detaches(2).proposes_nothing();
    bench.acks(1, at(1, 49)).proposes_nothing();
    bench.acks(1, at(1, 50)).proposes(&[1]);
}

#[test]
fn while_a_change_is_open_both_rules_count_and_afterwards_the_new_one() {
    let mut bench = serving(4, &[1, 2, 3]);
    bench.grows(50).acks(1, at(1, 20)).acks(2, at(1, 20)).committed_is(20);
    bench.detaches(1).proposes(&[2, 3]);
    // One of two would be enough by the new rule; the old one wants two of three.
    bench.acks(2, at(1, 50)).committed_is(20);
    bench.take();
    bench.learns(moved(2, &[2, 3])).committed_is(50).proposes_nothing();
    let rules = vec![Rule::new(member(0), vec![member(2), member(3)])];
    bench.wants(&[Effect::LeaseBy { epoch: Epoch(1), rules }, Effect::ProposalEnded, release(50)]);
}

#[test]
fn until_the_version_moves_only_the_same_entry_is_sent_again() {
    let mut bench = serving(4, &[1, 2, 3]);
    bench.detaches(1);
    bench.take();
    bench.detaches(2).passes(199).wants(&[change(1, &[2, 3])]);
    bench.learns(moved(1, &[1, 2, 3])).wants(&[]);
    bench.learns(moved(2, &[2, 3]));
    assert!(bench.take().contains(&change(2, &[3])));
}

#[test]
fn a_change_that_the_log_declined_is_over_and_the_next_one_waits_a_little() {
    let mut bench = serving(3, &[1, 2]);
    bench.detaches(2);
    bench.take();
    bench.learns(moved(2, &[1, 2])).proposes_nothing();
    bench.passes(130).proposes(&[1]);
}

#[test]
fn a_silent_member_leaves_after_its_term_only_if_something_waits_for_it() {
    let mut bench = serving(2, &[1]);
    bench.passes(10_000).proposes_nothing();
    bench.grows(20).passes(190).proposes_nothing();
    bench.passes(40).proposes(&[]);
}

#[test]
fn a_slow_member_stays_while_the_others_give_k_acknowledgements() {
    let mut bench = serving(3, &[1, 2]);
    for round in 1..40 {
        let end = 10 + round * 10;
        bench.grows(end).passes(50).acks(1, at(1, end)).proposes_nothing();
    }
}

#[test]
fn a_member_that_is_behind_for_too_long_or_by_too_much_leaves() {
    let mut bench = serving(3, &[1, 2]);
    for round in 1..=102 {
        let end = 10 + round * 10;
        bench.grows(end).passes(50).acks(1, at(1, end));
        // It acknowledges, and less than it should have 5 s ago.
        bench.acks(2, at(1, 10 + round / 20));
    }
    bench.proposes(&[1]);

    let mut bench = serving(3, &[1, 2]);
    let end = 11 + LAG_BYTES_MAX;
    bench.grows(end - 1).acks(1, at(1, end - 1)).proposes_nothing();
    bench.grows(end).acks(1, at(1, end)).proposes(&[1]);
}

#[test]
fn an_own_pause_is_nobody_elses_silence() {
    let mut bench = serving(2, &[1]);
    bench.grows(20).passes(30);
    bench.now += ms(60_000);
    let now = bench.now;
    assert!(bench.shard.tick(now).is_empty());
    bench.acks(1, at(1, 20)).passes(1_000).proposes_nothing();
}

#[test]
fn who_grants_nothing_leaves_though_nothing_waits_to_be_committed() {
    let mut bench = serving(2, &[1]);
    let members = [member(1)];
    bench.on(Event::Unheard { epoch: Epoch(1), members: &members }).proposes(&[]);
    bench.learns(moved(2, &[]));
    bench.on(Event::Unheard { epoch: Epoch(1), members: &[] });
    // It comes back once it was heard again, and not at once.
    bench.passes(5_000).proposes_nothing();
    bench.acks(1, at(1, 10)).proposes(&[1]);
}

#[test]
fn a_learner_is_taken_in_once_it_holds_everything_committed() {
    let mut bench = serving(3, &[1]);
    bench.grows(50).acks(1, at(1, 50)).attaches(2, at(0, 0)).proposes_nothing();
    bench.acks(2, at(1, 49)).proposes_nothing();
    bench.acks(2, at(1, 50)).proposes(&[1, 2]);
}

#[test]
fn several_members_change_at_once_the_dead_out_and_their_next_lives_in() {
    let mut bench = serving(3, &[1, 2]);
    bench.grows(50).acks(1, at(1, 50)).acks(2, at(1, 50));
    bench.learns(ShardState { pending: None, min_copies: Some(2), ..moved(2, &[1, 2]) });
    // Both are gone, and without any nothing may be proposed.
    bench.detaches(1);
    bench.learns(ShardState { min_copies: Some(2), ..moved(3, &[1, 2]) });
    bench.detaches(2).passes(200).proposes_nothing();
    for number in [1, 2] {
        bench.on(Event::Attached { member: reborn(number), held: at(1, 0) });
    }
    bench.proposes_nothing();
    bench.on(Event::Acked { member: reborn(1), held: at(1, 50) });
    assert_eq!(bench.proposed_sync(), Some(vec![reborn(1)]));
    bench.learns(ShardState {
        rule: Rule::new(member(0), vec![reborn(1)]),
        min_copies: Some(2),
        ..moved(4, &[])
    });
    bench.on(Event::Acked { member: reborn(2), held: at(1, 50) });
    assert_eq!(bench.proposed_sync(), Some(vec![reborn(1), reborn(2)]));
}

#[test]
fn one_that_left_comes_back_after_its_term_and_at_once_where_copies_are_missing() {
    let mut bench = serving(3, &[1, 2]);
    bench.detaches(2);
    bench.learns(moved(2, &[1]));
    bench.passes(300).attaches(2, at(1, 10)).passes(600).proposes_nothing();
    bench.passes(200).proposes(&[1, 2]);
    bench.learns(moved(3, &[1, 2]));
    bench.on(Event::Detached { member: member(2) });
    bench.learns(ShardState { min_copies: Some(3), ..moved(4, &[1]) });
    bench.attaches(2, at(1, 10)).proposes(&[1, 2]);
}

#[test]
fn below_min_copies_nothing_is_given_up_and_writes_are_told_so() {
    let mut bench = serving(3, &[1]);
    bench.detaches(1).wants(&[Effect::TooFewCopies(true)]).passes(5_000).proposes_nothing();
    bench.attaches(1, at(1, 10)).wants(&[Effect::TooFewCopies(false)]);
    // With two nodes one copy will do.
    serving(2, &[1]).detaches(1).proposes(&[]);
}

#[test]
fn one_that_stands_still_leaves_s_though_its_sibling_acknowledges() {
    let mut bench = serving(3, &[1, 2]);
    bench.passes(10_000).grows(50).acks(1, at(1, 50)).committed_is(50);
    // Everything is committed by the other's acknowledgements, and the stream goes on.
    for end in 51..56 {
        bench.passes(900).grows(end).acks(1, at(1, end)).committed_is(end).proposes_nothing();
    }
    bench.passes(600).proposes(&[1]);
}

#[test]
fn a_member_that_is_slow_and_goes_on_stays_in_s() {
    let mut bench = serving(3, &[1, 2]);
    for step in 0..20 {
        bench.grows(20 + step * 10).acks(1, at(1, 20 + step * 10)).passes(1_000);
        // Always behind, and never by as much as is too much.
        bench.acks(2, at(1, 10 + step * 10)).passes(1_000).proposes_nothing();
    }
}

#[test]
fn who_is_to_leave_the_shard_goes_out_and_does_not_come_back() {
    let mut bench = serving(3, &[1, 2]);
    bench.grows(50).acks(1, at(1, 50)).acks(2, at(1, 50));
    bench.leaves(2, moved(1, &[1, 2])).proposes(&[1]);
    bench.leaves(2, moved(2, &[1])).passes(10_000).proposes_nothing();
    bench.grows(60).acks(2, at(1, 60)).acks(1, at(1, 60)).passes(10_000).proposes_nothing();
}

#[test]
fn one_whose_copy_is_needed_leaves_when_the_others_hold_everything() {
    let mut bench = serving(3, &[1, 2]);
    bench.grows(50).acks(2, at(1, 50)).committed_is(50);
    bench.leaves(2, moved(1, &[1, 2])).proposes_nothing();
    bench.acks(1, at(1, 50)).proposes(&[1]);
}

#[test]
fn while_a_failover_is_pending_nothing_is_proposed() {
    let mut bench = serving(3, &[1, 2]);
    bench.learns(ShardState { pending: Some(Epoch(2)), ..moved(1, &[1, 2]) });
    bench.detaches(2).passes(5_000).proposes_nothing();
}

#[test]
fn a_node_of_another_shard_is_never_taken_in() {
    let mut bench = serving(2, &[1]);
    bench.attaches(7, at(1, 10)).passes(5_000).proposes_nothing();
}

#[test]
fn two_links_of_one_member_are_one_and_the_older_ones_end_means_nothing() {
    let mut bench = serving(2, &[1]);
    bench.attaches(1, at(1, 10)).detaches(1).proposes_nothing();
    bench.detaches(1).proposes(&[]);
}
