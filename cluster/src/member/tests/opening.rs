//! I7, I9: from the word that this node is the primary to the first request.

use super::*;

const ONE: Epoch = Epoch(1);
const TWO: Epoch = Epoch(2);

fn begun(bench: &mut Bench, epoch: u64, start: u64) {
    bench.on(Event::EpochBegun { epoch: Epoch(epoch), start: Offset(start) });
}

#[test]
fn a_new_primary_parks_counts_by_its_rule_and_writes_the_epoch_record_in_this_order() {
    let mut bench = Bench::new(0, 2);
    bench.learns(state(2, 5, &[1])).wants(&[
        Effect::Park(Parked::Opening),
        Effect::LeaseBy { epoch: TWO, rules: vec![Rule::new(member(0), vec![member(1)])] },
        Effect::BeginEpoch { epoch: TWO },
    ]);
    bench.is(Part::Opening { epoch: TWO });
}

#[test]
fn it_serves_once_activated_and_once_k_of_s_hold_the_record_whichever_is_last() {
    let check = |last_is_ack: bool| {
        let mut bench = Bench::new(0, 3);
        bench.learns(state(2, 5, &[1, 2]));
        begun(&mut bench, 2, 100);
        bench.take();
        let activate = |bench: &mut Bench| {
            bench.activated(2);
        };
        let ack = |bench: &mut Bench| {
            bench.attaches(1, at(1, 90)).acks(1, at(2, 100));
        };
        match last_is_ack {
            true => activate(&mut bench),
            false => ack(&mut bench),
        }
        bench.is(Part::Opening { epoch: TWO });
        match last_is_ack {
            true => ack(&mut bench),
            false => activate(&mut bench),
        }
        bench.is(Part::Serving { epoch: TWO }).committed_is(100);
        let wanted = bench.take();
        assert!(wanted.contains(&Effect::Serve { epoch: TWO }));
        assert!(wanted.contains(&Effect::Release { committed: Offset(100) }));
    };
    check(true);
    check(false);
}

#[test]
fn it_waits_until_the_grants_of_the_fenced_members_have_run_out_and_the_first_word_of_that_counts() {
    let mut bench = Bench::new(0, 2);
    bench.learns(state(2, 5, &[1]));
    begun(&mut bench, 2, 100);
    bench.attaches(1, at(2, 100));
    let now = bench.now;
    bench.on(Event::Activate { epoch: TWO, not_before: now + ms(350) });
    bench.passes(100);
    bench.on(Event::Activate { epoch: TWO, not_before: now + ms(450) });
    bench.passes(249).is(Part::Opening { epoch: TWO });
    bench.passes(1).is(Part::Serving { epoch: TWO });
}

#[test]
fn an_activation_of_another_epoch_opens_nothing_and_one_that_comes_before_the_orders_is_kept() {
    let mut bench = Bench::new(0, 2);
    bench.activated(1);
    bench.learns(state(2, 5, &[1]));
    begun(&mut bench, 2, 100);
    bench.attaches(1, at(2, 100)).is(Part::Opening { epoch: TWO });
    bench.activated(2).is(Part::Serving { epoch: TWO });

    let mut bench = Bench::new(0, 2);
    bench.activated(2).learns(state(2, 5, &[1]));
    begun(&mut bench, 2, 100);
    bench.attaches(1, at(2, 100)).is(Part::Serving { epoch: TWO });
}

#[test]
fn an_offset_of_an_epoch_before_does_not_hold_the_start() {
    let mut bench = Bench::new(0, 2);
    bench.learns(state(2, 5, &[1])).activated(2);
    begun(&mut bench, 2, 100);
    bench.attaches(1, at(1, 5_000)).is(Part::Opening { epoch: TWO });
    assert_eq!(bench.shard.committed(), None);
    bench.acks(1, at(2, 99)).is(Part::Opening { epoch: TWO });
    bench.acks(1, at(2, 100)).is(Part::Serving { epoch: TWO });
}

#[test]
fn activated_is_proposed_once_k_of_s_hold_the_start_and_the_grants_are_over_until_it_is_in_the_log() {
    let mut bench = Bench::new(0, 2);
    bench.learns(state(2, 5, &[1]));
    begun(&mut bench, 2, 100);
    bench.take();
    bench.proposes_nothing();
    let activated = Entry::Activated { shard: SHARD, epoch: TWO };
    bench.attaches(1, at(2, 100)).proposes_nothing();
    bench.activated(2);
    assert_eq!(bench.shard.proposal(), Some(&activated));
    bench.passes(250);
    let sent = bench.take().iter().filter(|one| **one == Effect::Propose(activated.clone())).count();
    assert_eq!(sent, 3, "at once, and each 100 ms");
    bench.learns(ShardState { activated: true, ..state(2, 5, &[1]) });
    bench.wants(&[Effect::ProposalEnded]).proposes_nothing();
}

#[test]
fn alone_it_serves_only_once_the_log_has_taken_its_activated() {
    let mut bench = Bench::new(0, 1);
    bench.learns(state(1, 1, &[])).activated(1);
    begun(&mut bench, 1, 10);
    bench.committed_is(10).is(Part::Opening { epoch: ONE });
    bench.passes(5_000).is(Part::Opening { epoch: ONE });
    bench.learns(ShardState { activated: true, ..state(1, 1, &[]) });
    bench.is(Part::Serving { epoch: ONE });
}

#[test]
fn a_primary_whose_only_member_never_comes_goes_on_without_it_after_the_silence_term() {
    let mut bench = Bench::new(0, 2);
    bench.learns(state(2, 5, &[1])).activated(2);
    begun(&mut bench, 2, 100);
    bench.passes(190).proposes_nothing();
    bench.passes(20).proposes(&[]);
    bench.learns(state(2, 6, &[])).is(Part::Opening { epoch: TWO });
    assert_eq!(bench.shard.proposal(), Some(&Entry::Activated { shard: SHARD, epoch: TWO }));
    bench.learns(ShardState { activated: true, ..state(2, 6, &[]) }).is(Part::Serving { epoch: TWO });
}

#[test]
fn a_fence_before_the_epoch_is_open_ends_it() {
    let mut bench = Bench::new(0, 2);
    bench.learns(state(2, 5, &[1])).activated(2);
    bench.on(Event::Seen(Epoch(3)));
    begun(&mut bench, 2, 100);
    bench.attaches(1, at(2, 100)).is(Part::Parked { epoch: TWO });
    assert!(!bench.take().contains(&Effect::Serve { epoch: TWO }));
}

#[test]
fn whoever_wins_again_opens_a_new_epoch_with_an_epoch_record_of_its_own() {
    let mut bench = serving(2, &[1]);
    bench.on(Event::Seen(TWO)).wants(&[Effect::Park(Parked::Fenced)]);
    bench.learns(state(2, 2, &[1]));
    assert!(bench.take().contains(&Effect::BeginEpoch { epoch: TWO }));
    begun(&mut bench, 2, 30);
    bench.activated(2).is(Part::Opening { epoch: TWO });
    // The link of before ends and a new one comes: nobody is dropped for it.
    bench.detaches(1).proposes_nothing();
    bench.attaches(1, at(2, 30)).is(Part::Serving { epoch: TWO });
}

#[test]
fn a_primary_that_was_started_again_in_the_same_incarnation_never_resumes_its_epoch() {
    let mut bench = Bench::in_life(0, 2, Life::Kept { promised: TWO }, at(2, 100));
    bench.learns(ShardState { activated: true, ..state(2, 5, &[1]) }).wants(&[]);
    bench.is(Part::Returned { epoch: TWO });
    bench.on(Event::Seen(Epoch(3)));
    bench.learns(state(3, 6, &[1]));
    assert!(bench.take().contains(&Effect::BeginEpoch { epoch: Epoch(3) }));
}

#[test]
fn a_primary_that_was_started_again_in_another_incarnation_follows_nobody_until_there_is_another() {
    let mut bench = Bench::new(0, 2);
    let mut before = state(1, 3, &[1]);
    before.rule.primary = reborn(0);
    bench.learns(before).wants(&[]).is(Part::None);
    let mut next = state(2, 4, &[]);
    next.rule = Rule::new(member(1), vec![reborn(0)]);
    bench.learns(next).wants(&[Effect::Follow { primary: member(1), epoch: TWO }]);
    bench.is(Part::Learner { epoch: TWO });
}
