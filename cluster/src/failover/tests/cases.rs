//! Who wins, with which sync set, and after which wait.

use super::*;

/// Begins a failover of n1.
fn begun(replicas: u64) -> Rig {
    let mut rig = Rig::new(replicas);
    rig.down(1, Cause::Gone);
    assert_eq!(rig.state().pending, Some(Epoch(2)));
    rig
}

#[test]
fn a_dead_primary_is_replaced_by_whoever_holds_most_of_a_complete_fence_set() {
    let mut rig = begun(2);
    assert_eq!(rig.fenced(), ["n1", "n2", "n3"], "S and the primary itself");
    rig.promise(&member(2), at(1, 50), 100);
    assert_eq!(rig.state().pending, Some(Epoch(2)), "f = 2 of 2 must promise");
    rig.promise(&member(3), at(1, 60), 200);
    assert_eq!(rig.led(), (2, vec![member(2)], member(3)));
    assert_eq!(rig.activations(), [("n3".to_owned(), 200)], "the longest grant that is left");
    rig.serves(3);
    let after = Duration::ZERO;
    let why = "n1: as the test says".to_owned();
    let promised = |member, position| Note::Promised { shard: SHARD, epoch: Epoch(2), member, position };
    assert_eq!(
        rig.notes,
        [
            Note::Started { shard: SHARD, epoch: Epoch(2), why },
            promised(member(2), at(1, 50)),
            promised(member(3), at(1, 60)),
            Note::Fenced { shard: SHARD, epoch: Epoch(2), after },
            Note::Promoted { shard: SHARD, epoch: Epoch(2), winner: member(3), after },
            Note::Ended { shard: SHARD, epoch: Epoch(2), after },
        ]
    );
    assert!(!rig.machine.is_busy());
}

#[test]
fn the_later_epoch_holds_more_than_any_offset_and_equals_go_by_name() {
    let mut rig = begun(2);
    rig.promise(&member(2), at(1, 10), 0);
    rig.promise(&member(3), at(0, 900), 0);
    assert_eq!(rig.led().2, member(2));
    let mut rig = begun(2);
    rig.promise(&member(3), at(1, 10), 0);
    rig.promise(&member(2), at(1, 10), 0);
    assert_eq!(rig.led().2, member(2));
}

#[test]
fn the_promise_of_the_primary_itself_is_complete_and_may_win() {
    let mut rig = begun(2);
    rig.promise(&member(1), at(1, 70), 0);
    assert_eq!(rig.led(), (2, vec![member(2), member(3)], member(1)));
    assert_eq!(rig.activations(), [("n1".to_owned(), 0)], "it was the only one that could serve");
}

#[test]
fn the_old_primary_stays_in_the_sync_set_if_it_promised() {
    let mut rig = begun(2);
    rig.promise(&member(2), at(1, 80), 300);
    rig.promise(&member(1), at(1, 70), 0);
    assert_eq!(rig.led(), (2, vec![member(1), member(3)], member(2)));
    assert_eq!(rig.activations(), [("n2".to_owned(), 0)]);
}

#[test]
fn a_member_in_another_life_completes_no_fence_and_does_not_win() {
    let mut rig = begun(2);
    let reborn = Member::new(&id(3), Incarnation(33));
    rig.promise(&member(2), at(1, 10), 0);
    rig.promise(&reborn, at(1, 99), 0);
    rig.pass(ms(1000));
    assert_eq!(rig.state().pending, Some(Epoch(2)));
    rig.promise(&Member::new(&id(1), Incarnation(11)), at(0, 0), 0);
    rig.pass(ms(200));
    // All three are back: nobody is left to be waited for.
    let accepted = rig.proposed(|entry| matches!(entry, Entry::AcceptLoss { .. }));
    assert!(accepted > 0);
}

#[test]
fn a_promise_of_a_life_that_ended_since_counts_no_more() {
    let mut rig = begun(2);
    rig.promise(&member(2), at(1, 90), 0);
    rig.promise(&Member::new(&id(2), Incarnation(22)), at(0, 0), 0);
    rig.promise(&member(3), at(1, 10), 0);
    assert_eq!(rig.state().pending, Some(Epoch(2)), "n2 holds nothing any more");
    rig.promise(&member(1), at(1, 95), 0);
    assert_eq!(rig.led().2, member(1));
}

#[test]
fn promises_for_another_epoch_or_shard_or_in_anothers_name_are_not_counted() {
    let mut rig = begun(1);
    let say = |rig: &mut Rig, node: u64, shard, epoch, of: u64| {
        let (member, position) = (member(of), at(1, 5));
        let word = FromNode::Promise { shard, epoch: Epoch(epoch), member, position, grant_left_ms: 0 };
        rig.on(Event::Word { node: &id(node), word: &word });
    };
    say(&mut rig, 2, SHARD, 3, 2);
    say(&mut rig, 2, ShardId(2), 2, 2);
    say(&mut rig, 1, SHARD, 2, 2);
    assert_eq!(rig.state().pending, Some(Epoch(2)));
    say(&mut rig, 2, SHARD, 2, 2);
    assert_eq!(rig.state().epoch, Epoch(2));
}

#[test]
fn kept_rules_must_be_fenced_too() {
    // n1 ruled n2 and n3; n2 was promoted with n3 alone, and has not activated.
    let mut cluster = cluster(2);
    let state = cluster.shards.get_mut(&SHARD).unwrap();
    (state.epoch, state.activated) = (Epoch(2), false);
    (state.rule, state.kept) = (rule(2, &[3]), vec![rule(1, &[2, 3])]);
    let mut rig = Rig::of(cluster);
    rig.down(2, Cause::Gone);
    rig.promise(&member(3), at(1, 10), 0);
    rig.pass(ms(1000));
    assert_eq!(rig.state().pending, Some(Epoch(3)), "n3 is f' of {{n3}}, and one of two of {{n2, n3}}");
    let missing = vec![member(1), member(2)];
    assert!(rig.notes.contains(&Note::Refused { shard: SHARD, epoch: Epoch(3), missing }));
    rig.activations();
    rig.promise(&member(1), at(1, 20), 0);
    assert_eq!(rig.led(), (3, vec![member(3)], member(1)), "it may win by the rule that was kept");
    assert_eq!(rig.activations(), [("n1".to_owned(), 350)], "epoch 2 was never activated: a full term");
}

#[test]
fn the_wait_is_a_full_term_if_the_epoch_before_was_never_activated() {
    let mut cluster = cluster(1);
    cluster.shards.get_mut(&SHARD).unwrap().activated = false;
    let mut rig = Rig::of(cluster);
    rig.down(1, Cause::Gone);
    rig.promise(&member(1), at(1, 10), 0);
    rig.activations();
    rig.pass(ms(100));
    assert_eq!(rig.activations(), [("n1".to_owned(), 250)], "repeated with what is left of it");
}

#[test]
fn a_stuck_primary_promises_and_does_not_win_unless_nobody_else_can() {
    let mut rig = Rig::new(1);
    rig.down(1, Cause::Stuck);
    rig.promise(&member(1), at(1, 90), 0);
    assert_eq!(rig.state().pending, Some(Epoch(2)));
    rig.promise(&member(2), at(1, 80), 0);
    assert_eq!(rig.led(), (2, vec![member(1)], member(2)));
    let mut rig = Rig::new(1);
    rig.down(1, Cause::Stuck);
    rig.promise(&member(1), at(1, 90), 0);
    rig.pass(ms(600));
    assert_eq!(rig.led().2, member(1));
}

#[test]
fn without_replicas_nobody_is_promoted_and_nothing_is_fenced() {
    let mut rig = Rig::new(0);
    rig.down(1, Cause::Silent);
    rig.pass(ms(2000));
    assert_eq!(rig.state().pending, None);
    assert_eq!(rig.fenced(), Vec::<String>::new());
}

#[test]
fn a_primary_that_came_back_in_the_life_it_kept_leads_again_by_a_new_epoch() {
    for replicas in [0, 1] {
        let mut rig = Rig::new(replicas);
        rig.pong(1, Status { part: Part::Returned { epoch: Epoch(1) }, ..status(1) });
        assert_eq!(rig.state().pending, Some(Epoch(2)), "it never resumes by itself");
        rig.promise(&member(1), at(1, 9), 350);
        assert_eq!(rig.led().2, member(1));
    }
}

#[test]
fn a_shard_all_of_whose_nodes_lost_their_lives_goes_on_with_the_newest_data_once_all_are_back() {
    let mut rig = Rig::new(2);
    let reborn = |number| Member::new(&id(number), Incarnation(10 * number));
    for number in 1..=3 {
        rig.pong(
            number,
            Status { incarnation: Incarnation(10 * number), part: Part::None, ..status(number) },
        );
    }
    assert_eq!(rig.state().pending, Some(Epoch(2)), "the life that led is over");
    rig.promise(&reborn(1), at(1, 70), 0);
    rig.promise(&reborn(2), at(1, 80), 0);
    rig.pass(ms(3000));
    assert_eq!(rig.state().pending, Some(Epoch(2)), "n3 may hold more");
    rig.promise(&reborn(3), at(1, 75), 0);
    assert_eq!(rig.led(), (2, vec![], reborn(2)));
    assert_eq!(rig.cluster.losses_accepted, 1);
    assert_eq!(rig.activations(), [("n2".to_owned(), 350)]);
}

#[test]
fn an_operator_may_rule_that_nobody_decides_about_a_loss() {
    let mut rig = Rig::new(0);
    rig.machine.set_on_total_loss(OnTotalLoss::Wait);
    let reborn = Member::new(&id(1), Incarnation(10));
    rig.pong(1, Status { incarnation: reborn.incarnation, part: Part::None, ..status(1) });
    rig.promise(&reborn, at(1, 70), 0);
    rig.pass(ms(3000));
    assert_eq!(rig.state().pending, Some(Epoch(2)));
    rig.on(Event::Failover { loss: Loss::AcceptedBy("an operator".into()) });
    rig.pass(ms(200));
    assert_eq!(rig.led().2, reborn);
}

#[test]
fn an_operator_may_accept_a_loss_and_gets_none_if_none_is_needed() {
    let mut rig = begun(2);
    rig.promise(&member(2), at(1, 50), 0);
    rig.pass(ms(1000));
    rig.on(Event::Failover { loss: Loss::AcceptedBy("an operator".into()) });
    assert_eq!(rig.led(), (2, vec![], member(2)));
    let by = "an operator".to_owned();
    let (epoch, winner, position) = (Epoch(2), member(2), at(1, 50));
    assert!(rig.notes.contains(&Note::LossAccepted { shard: SHARD, epoch, winner, position, by }));

    let mut rig = Rig::new(2);
    rig.on(Event::Failover { loss: Loss::AcceptedBy("an operator".into()) });
    rig.promise(&member(2), at(1, 50), 0);
    rig.promise(&member(3), at(1, 50), 0);
    assert_eq!((rig.state().epoch, rig.cluster.losses_accepted), (Epoch(2), 0));
    rig.pass(ms(2000));
    assert_eq!(rig.state().epoch, Epoch(2), "once");
}
