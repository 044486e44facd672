//! Repeating, changing leaders, false alarms, switchovers, and what is carried between log and nodes.

use super::*;
use crate::control::entry::How;

#[test]
fn fences_are_repeated_until_they_are_complete_and_a_refusal_is_told_when_it_changes() {
    let mut rig = Rig::new(3);
    rig.down(1, Cause::Gone);
    rig.promise(&member(2), at(1, 1), 0);
    rig.fenced();
    rig.pass(ms(450));
    assert_eq!(rig.fenced().len(), 4 * 4, "each node, each 100 ms");
    let refused = |rig: &Rig| -> Vec<Vec<Member>> {
        let missing = rig.notes.iter().filter_map(|note| match note {
            Note::Refused { missing, .. } => Some(missing.clone()),
            _ => None,
        });
        missing.collect()
    };
    assert_eq!(refused(&rig), Vec::<Vec<Member>>::new());
    rig.pass(ms(3000));
    assert_eq!(refused(&rig), [[member(1), member(3), member(4)]], "once");
    rig.promise(&Member::new(&id(3), Incarnation(33)), at(0, 0), 0);
    rig.pass(ms(1000));
    assert_eq!(refused(&rig).len(), 1);
    rig.promise(&member(4), at(1, 3), 0);
    assert_eq!(rig.led().2, member(4), "it goes on by itself");
}

#[test]
fn entries_are_proposed_again_until_the_log_has_them() {
    let mut rig = Rig::new(1);
    rig.log_is_stuck = true;
    rig.down(1, Cause::Gone);
    rig.pass(ms(350));
    assert_eq!(rig.proposed(|entry| matches!(entry, Entry::BeginFailover { .. })), 4);
    rig.log_is_stuck = false;
    rig.pass(ms(100));
    assert_eq!(rig.state().pending, Some(Epoch(2)));
}

#[test]
fn a_new_leader_goes_on_with_what_the_log_says_and_waits_full_terms() {
    let mut rig = Rig::new(1);
    rig.down(1, Cause::Gone);
    let mut next = Rig::of(rig.cluster.clone());
    assert_eq!(next.fenced(), ["n1", "n2"]);
    next.promise(&member(2), at(1, 5), 40);
    assert_eq!(next.led().2, member(2));
    // The third leads when all is promised and promoted.
    let mut third = Rig::of(next.cluster.clone());
    assert_eq!(third.activations(), [("n2".to_owned(), 350)]);
    third.pong(2, Status { part: Part::Opening { epoch: Epoch(2) }, ..status(2) });
    third.pass(ms(1000));
    assert_eq!(third.activations().last(), Some(&("n2".to_owned(), 0)));
    third.serves(2);
    third.pass(ms(1000));
    assert_eq!(third.activations(), []);
}

#[test]
fn a_primary_that_was_activated_in_the_log_and_still_waits_to_serve_is_told_so() {
    let mut rig = Rig::new(1);
    rig.down(1, Cause::Gone);
    rig.promise(&member(2), at(1, 5), 0);
    rig.log(&Entry::Activated { shard: SHARD, epoch: Epoch(2) });
    let mut next = Rig::of(rig.cluster.clone());
    assert_eq!(next.activations(), []);
    next.pong(2, Status { part: Part::Opening { epoch: Epoch(2) }, ..status(2) });
    assert_eq!(next.activations(), [("n2".to_owned(), 350)]);
}

#[test]
fn the_first_epoch_of_a_shard_is_activated_without_a_wait() {
    let mut cluster = cluster(0);
    cluster.shards.get_mut(&SHARD).unwrap().activated = false;
    assert_eq!(Rig::of(cluster).activations(), [("n1".to_owned(), 0)]);
}

#[test]
fn who_does_not_lead_does_nothing() {
    let mut rig = Rig::new(1);
    rig.on(Event::Rests);
    (rig.sent, rig.outcomes) = (Vec::new(), Vec::new());
    rig.down(1, Cause::Gone);
    rig.pong(2, Status { incarnation: Incarnation(22), index: 0, ..status(2) });
    rig.on(Event::Switchover { to: None });
    rig.pass(ms(1000));
    assert_eq!((rig.sent.len(), rig.outcomes.len(), rig.machine.wake_at()), (0, 0, None));
}

#[test]
fn a_false_alarm_delays_the_next_suspicion_and_not_a_certain_death() {
    let mut rig = Rig::new(2);
    rig.down(1, Cause::Silent);
    rig.promise(&member(1), at(1, 70), 0);
    rig.serves(1);
    rig.down(1, Cause::Silent);
    rig.pass(ms(900));
    assert_eq!(rig.state().pending, None, "it was not dead the last time");
    rig.pass(ms(200));
    assert_eq!(rig.state().pending, Some(Epoch(3)));
    // Others promise; it comes back two seconds later in the same life.
    rig.promise(&member(2), at(2, 70), 0);
    rig.promise(&member(3), at(2, 70), 0);
    rig.serves(2);
    rig.pass(ms(2000));
    rig.pong(1, Status { part: Part::Replica { epoch: Epoch(3) }, ..status(1) });
    rig.down(2, Cause::Gone);
    rig.pass(ms(1900));
    assert_eq!(rig.state().pending, None, "twice as long");
    rig.down(2, Cause::Restarted);
    assert_eq!(rig.state().pending, Some(Epoch(4)));
}

#[test]
fn a_suspicion_that_passes_begins_nothing() {
    let mut rig = Rig::new(1);
    rig.log_is_stuck = true;
    rig.down(1, Cause::Silent);
    rig.up(1);
    rig.outcomes.clear();
    rig.log_is_stuck = false;
    rig.pass(ms(1000));
    assert_eq!((rig.state().pending, rig.outcomes.len()), (None, 0));
    rig.down(2, Cause::Gone);
    assert_eq!(rig.outcomes.len(), 0, "a replica's death is its primary's business");
}

fn stopped(position: Position, version: u64) -> Status {
    Status { part: Part::Stopped { epoch: Epoch(1), version, position }, position, ..status(1) }
}

#[test]
fn a_switchover_stops_the_primary_and_promotes_who_holds_where_it_stopped() {
    let mut rig = Rig::new(2);
    rig.pong(2, Status { position: at(1, 90), ..status(2) });
    rig.on(Event::Switchover { to: Some(id(2)) });
    assert_eq!(rig.take_sent(|word| matches!(word, ToNode::Stop { version: 2, .. })), ["n1"]);
    rig.pong(1, stopped(at(1, 100), 1));
    rig.pong(2, Status { position: at(1, 100), ..status(2) });
    assert_eq!(rig.state().epoch, Epoch(1), "a stop of an earlier version is none");
    rig.pong(1, stopped(at(1, 120), 2));
    assert_eq!(rig.state().epoch, Epoch(1), "n2 does not hold it yet");
    rig.pong(2, Status { position: at(1, 120), ..status(2) });
    assert_eq!(rig.led(), (2, vec![member(1), member(3)], member(2)));
    assert_eq!(rig.activations(), [("n2".to_owned(), 0)], "the stop was the promise");
}

/// What another leader decided about shard 1, as one step of the log.
fn decided_elsewhere(rig: &mut Rig, entries: &[Entry]) {
    for entry in entries {
        rig.index += 1;
        assert_eq!(rig.cluster.apply(rig.index, entry), Outcome::Done, "{entry:?}");
    }
    rig.tell_log();
}

#[test]
fn a_promotion_by_another_leader_waits_for_the_grants_of_a_primary_that_was_not_seen_to_stop() {
    let (shard, epoch, winner, sync) = (SHARD, Epoch(1), member(2), vec![member(1), member(3)]);
    let began = Entry::BeginFailover { shard, epoch, why: "as another leader sees it".into() };
    let promoted = |epoch, version, how| {
        let (winner, sync) = (winner.clone(), sync.clone());
        Entry::Promote { shard, epoch, version, winner, sync, how }
    };
    let mut rig = Rig::new(2);
    rig.pong(2, Status { position: at(1, 90), ..status(2) });
    rig.on(Event::Switchover { to: Some(id(2)) });
    decided_elsewhere(&mut rig, &[began, promoted(Epoch(2), 2, How::Failover)]);
    assert_eq!(rig.activations().last(), Some(&("n2".to_owned(), 350)), "it may serve still");

    let mut rig = Rig::new(2);
    rig.pong(2, Status { position: at(1, 90), ..status(2) });
    rig.on(Event::Switchover { to: Some(id(2)) });
    rig.pong(1, stopped(at(1, 120), 2));
    let abort = Entry::SwitchAbort { shard, epoch, version: 2 };
    decided_elsewhere(&mut rig, &[abort, promoted(Epoch(2), 3, How::Switchover)]);
    assert_eq!(rig.activations().last(), Some(&("n2".to_owned(), 350)), "it was let go on in between");
}

#[test]
fn a_life_that_others_miss_is_not_over_while_the_leader_hears_it() {
    let mut rig = Rig::new(2);
    rig.serves(1);
    rig.down(1, Cause::Restarted);
    rig.pass(ms(300));
    assert_eq!(rig.state().pending, None, "what others knew before the log had this life");
    rig.pass(ms(1000));
    rig.down(1, Cause::Restarted);
    assert_eq!(rig.state().pending, Some(Epoch(2)), "the leader itself hears nothing any more");
}

#[test]
fn while_a_shard_stands_still_for_a_switchover_its_target_is_asked_where_it_is() {
    let mut rig = Rig::new(2);
    rig.pong(2, Status { position: at(1, 90), ..status(2) });
    rig.on(Event::Switchover { to: Some(id(2)) });
    rig.pass(ms(50));
    assert!(rig.asked.is_empty(), "clients are served still");
    rig.pong(1, stopped(at(1, 120), 2));
    assert_eq!(rig.asked, [id(2)], "at once");
    rig.pong(2, Status { position: at(1, 110), ..status(2) });
    assert_eq!(rig.asked.len(), 1, "an answer is no reason to ask faster");
    rig.pass(ms(20));
    assert_eq!(rig.asked.len(), 11);
    rig.pong(2, Status { position: at(1, 120), ..status(2) });
    rig.pass(ms(20));
    assert_eq!((rig.asked.len(), rig.state().epoch), (11, Epoch(2)));
}

#[test]
fn with_no_target_named_the_member_that_holds_most_takes_over() {
    let mut rig = Rig::new(2);
    rig.pong(2, Status { position: at(1, 90), ..status(2) });
    rig.pong(3, Status { position: at(1, 95), ..status(3) });
    rig.on(Event::Switchover { to: None });
    assert!(rig.notes.contains(&Note::SwitchStarted { shard: SHARD, to: id(3) }));
}

#[test]
fn with_no_target_named_nobody_who_is_to_leave_takes_over() {
    let mut rig = Rig::new(2);
    rig.log(&Entry::RemoveNode { node: id(3) });
    rig.pong(2, Status { position: at(1, 90), ..status(2) });
    rig.pong(3, Status { position: at(1, 95), ..status(3) });
    rig.on(Event::Switchover { to: None });
    assert!(rig.notes.contains(&Note::SwitchStarted { shard: SHARD, to: id(2) }), "{:?}", rig.notes);
}

#[test]
fn a_switchover_that_takes_too_long_is_called_off_in_the_log() {
    let mut rig = Rig::new(1);
    rig.pong(2, Status { position: at(1, 90), ..status(2) });
    rig.on(Event::Switchover { to: Some(id(2)) });
    rig.pong(1, stopped(at(1, 120), 2));
    rig.pass(ms(1900));
    assert_eq!(rig.state().version, 2);
    rig.pass(ms(200));
    assert_eq!((rig.state().version, rig.state().epoch), (3, Epoch(1)));
    let why = "n2 does not hold 1:120".to_owned();
    assert!(rig.notes.contains(&Note::SwitchAborted { shard: SHARD, why }));
    assert!(!rig.machine.is_busy());
    rig.pong(2, Status { position: at(1, 120), ..status(2) });
    assert_eq!(rig.state().epoch, Epoch(1), "too late");
}

#[test]
fn a_switchover_begins_anew_when_the_rule_moves_and_ends_if_its_target_left() {
    let mut rig = Rig::new(2);
    rig.pong(2, Status { position: at(1, 90), ..status(2) });
    rig.on(Event::Switchover { to: Some(id(2)) });
    let change = |version, sync: &[u64]| {
        let sync = sync.iter().map(|&number| member(number)).collect();
        Entry::ChangeSync { shard: SHARD, epoch: Epoch(1), version, sync }
    };
    rig.log(&change(2, &[2]));
    assert_eq!(rig.take_sent(|word| matches!(word, ToNode::Stop { version: 3, .. })), ["n1"]);
    rig.log(&change(3, &[2, 3]));
    rig.log(&change(4, &[3]));
    assert!(!rig.machine.is_busy());
}

#[test]
fn a_failover_of_the_primary_ends_its_switchover() {
    let mut rig = Rig::new(1);
    rig.pong(2, status(2));
    rig.on(Event::Switchover { to: Some(id(2)) });
    rig.down(1, Cause::Gone);
    assert_eq!(rig.fenced(), ["n1", "n2"]);
}

#[test]
fn a_switchover_that_cannot_be_is_refused_with_its_reason() {
    let check = |rig: &mut Rig, to: Option<u64>, why: &str| {
        rig.notes.clear();
        rig.on(Event::Switchover { to: to.map(id) });
        let why = why.to_owned();
        assert_eq!(rig.notes, [Note::SwitchAborted { shard: SHARD, why }]);
    };
    let mut rig = Rig::new(1);
    check(&mut rig, Some(1), "it is the primary already");
    check(&mut rig, Some(7), "no member of the sync set can take over");
    check(&mut rig, None, "no member of the sync set can take over");
    rig.down(1, Cause::Gone);
    check(&mut rig, Some(2), "the shard's primary is being changed already");
    check(&mut Rig::new(0), None, "no member of the sync set can take over");
}

#[test]
fn a_primary_that_stands_stopped_and_that_nobody_switches_is_let_go_on() {
    let mut rig = Rig::new(1);
    rig.pong(1, stopped(at(1, 120), 2));
    assert_eq!(rig.state().version, 3);
    let mut rig = Rig::new(1);
    let (epoch, position) = (Epoch(1), at(1, 120));
    let proposal = Some(Entry::CleanStop { shard: SHARD, epoch, version: 2, position });
    rig.pong(1, Status { proposal, ..stopped(position, 2) });
    rig.pong(1, stopped(position, 2));
    assert_eq!(
        (rig.state().version, rig.state().clean_stop),
        (2, Some(position)),
        "the end of all is no switchover"
    );
}

#[test]
fn a_primarys_proposals_go_to_the_log_and_nobody_elses_entries_do() {
    let mut rig = Rig::new(2);
    let shrink = Entry::ChangeSync { shard: SHARD, epoch: Epoch(1), version: 2, sync: vec![member(2)] };
    for _ in 0..3 {
        rig.pong(1, Status { proposal: Some(shrink.clone()), ..status(1) });
    }
    assert_eq!(rig.proposed(|entry| *entry == shrink), 1, "each pong tells it again");
    assert_eq!(rig.state().rule.sync, [member(2)]);
    let foreign = Entry::Activated { shard: ShardId(2), epoch: Epoch(1) };
    let takeover = Entry::BeginFailover { shard: SHARD, epoch: Epoch(1), why: String::new() };
    for entry in [foreign, takeover] {
        rig.pong(2, Status { proposal: Some(entry), ..status(2) });
    }
    assert_eq!(rig.outcomes.len(), 1);
}

#[test]
fn a_node_that_was_started_anew_is_noted_in_the_log_unless_it_is_a_stranger() {
    let mut rig = Rig::new(1);
    let life = |rig: &Rig| rig.cluster.nodes[&id(2)].incarnation;
    let reborn = Status { incarnation: Incarnation(22), ..status(2) };
    rig.pong(2, Status { cluster_id: Some("other".into()), ..reborn.clone() });
    rig.pong(2, Status { node: Some(id(9)), ..reborn.clone() });
    assert_eq!(life(&rig), Some(Incarnation(2)));
    rig.pong(2, reborn);
    assert_eq!(life(&rig), Some(Incarnation(22)));
}

#[test]
fn orders_go_out_when_the_log_changes_and_again_to_whoever_is_behind() {
    let mut rig = Rig::new(1);
    let orders = |rig: &mut Rig| rig.take_sent(|word| matches!(word, ToNode::Orders(_)));
    assert_eq!(orders(&mut rig), ["n1", "n2"]);
    rig.log(&Entry::SetDurability { durability: Durability::Async });
    assert_eq!(orders(&mut rig), ["n1", "n2"]);
    rig.pass(ms(100));
    rig.pong(2, Status { index: 1, ..status(2) });
    rig.pong(2, Status { index: 1, ..status(2) });
    assert_eq!(orders(&mut rig), ["n2"], "not more often than each 100 ms");
    rig.pass(ms(100));
    rig.pong(2, Status { index: 1, ..status(2) });
    assert_eq!(orders(&mut rig), ["n2"]);
}

#[test]
fn a_leader_that_learned_late_of_the_activation_lets_a_stopped_primary_go_on() {
    let (activated, mut before) = (cluster(2), cluster(2));
    before.shards.get_mut(&SHARD).unwrap().activated = false;
    let mut rig = Rig::of(before);
    rig.cluster = activated;
    rig.tell_log();
    let ShardState { epoch, version, .. } = *rig.state();
    let part = Part::Stopped { epoch, version, position: at(1, 100) };
    rig.pong(1, Status { part, ..status(1) });
    rig.pass(ms(500));
    assert_eq!(rig.proposed(|entry| matches!(entry, Entry::SwitchAbort { .. })), 1);
    assert_eq!(rig.state().version, version + 1);
}
