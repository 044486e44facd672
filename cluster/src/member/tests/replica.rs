//! I2, I9: whom a replica follows, and what it acknowledges.

use super::*;

const TWO: Epoch = Epoch(2);

fn following() -> Bench {
    let mut bench = Bench::new(1, 3);
    bench.learns(moved(1, &[1])).wants(&[Effect::Follow { primary: member(0), epoch: Epoch(1) }]);
    bench.is(Part::Replica { epoch: Epoch(1) });
    bench
}

fn ack(epoch: u64, held: Position) -> Effect {
    Effect::Acknowledge { epoch: Epoch(epoch), held }
}

#[test]
fn it_follows_the_primary_of_the_latest_epoch_and_is_told_once() {
    let mut bench = following();
    bench.learns(moved(2, &[1, 2])).wants(&[]);
    let mut next = state(2, 3, &[]);
    next.rule = Rule::new(member(2), vec![member(1)]);
    let follow = Effect::Follow { primary: member(2), epoch: TWO };
    bench.learns(next).wants(&[Effect::Halt, follow]).is(Part::Replica { epoch: TWO });
}

#[test]
fn orders_older_than_what_is_known_are_nothing() {
    let mut bench = following();
    let mut old = state(1, 1, &[]);
    old.rule.primary = member(2);
    let old = orders(1, 3, 0, old);
    bench.on(Event::Ordered(&old)).wants(&[]);
}

#[test]
fn it_acknowledges_each_time_it_came_further_and_as_of_the_last_epoch_record() {
    let mut bench = following();
    bench.on(Event::EpochApplied { epoch: Epoch(1), end: Offset(10) }).wants(&[ack(1, at(1, 10))]);
    bench.grows(25).wants(&[ack(1, at(1, 25))]);
    // A new primary alone does not change what epoch the position is of: its EPOCH record does.
    let mut next = state(2, 3, &[]);
    next.rule = Rule::new(member(2), vec![member(1)]);
    bench.learns(next).take();
    bench.grows(30).wants(&[ack(2, at(1, 30))]);
    bench.on(Event::EpochApplied { epoch: TWO, end: Offset(40) }).wants(&[ack(2, at(2, 40))]);
    assert_eq!(bench.shard.position(), at(2, 40));
}

#[test]
fn a_full_synchronisation_counts_from_its_swap() {
    let mut bench = following();
    bench.on(Event::EpochApplied { epoch: Epoch(1), end: Offset(10) });
    assert_eq!(bench.shard.position(), at(1, 10));
    bench.take();
    bench.on(Event::Replaced { position: at(1, 7) }).wants(&[ack(1, at(1, 7))]);
}

#[test]
fn once_it_promised_it_follows_nobody_and_acknowledges_nothing_until_the_epoch_it_promised_to() {
    let mut bench = following();
    bench.on(Event::Seen(TWO)).wants(&[Effect::Halt]).is(Part::None);
    bench.grows(50).wants(&[]);
    // The log still tells of the old epoch.
    bench.learns(moved(5, &[1, 2])).wants(&[]).is(Part::None);
    let mut next = state(2, 6, &[]);
    next.rule = Rule::new(member(2), vec![]);
    bench.learns(next).wants(&[Effect::Follow { primary: member(2), epoch: TWO }]);
    bench.is(Part::Learner { epoch: TWO });
    bench.grows(60).wants(&[ack(2, at(0, 60))]);
}

#[test]
fn a_deposed_primary_forgets_its_withheld_replies_and_follows() {
    let mut bench = serving(3, &[1, 2]);
    let mut next = state(2, 6, &[]);
    next.rule = Rule::new(member(2), vec![member(0), member(1)]);
    bench.learns(next).wants(&[
        Effect::Park(Parked::Fenced),
        Effect::Depose,
        Effect::Follow { primary: member(2), epoch: TWO },
    ]);
    bench.is(Part::Replica { epoch: TWO });
}

#[test]
fn a_fenced_primary_releases_nothing_more_and_proposes_nothing_more() {
    let mut bench = serving(3, &[1, 2]);
    bench.grows(50).detaches(2).proposes(&[1]);
    bench.take();
    bench.on(Event::Seen(TWO)).wants(&[Effect::Park(Parked::Fenced), Effect::ProposalEnded]);
    bench.acks(1, at(1, 50)).wants(&[]).committed_is(10);
    bench.detaches(1).passes(5_000).wants(&[]).proposes_nothing();
    bench.is(Part::Parked { epoch: Epoch(1) });
}
