//! The planned switchover: a stop is final, and counts for one (e, v).

use super::*;

const ONE: Epoch = Epoch(1);

fn stop(bench: &mut Bench, version: u64) {
    bench.on(Event::Stop { epoch: ONE, version });
}

#[test]
fn it_stops_where_it_is_and_still_releases_what_was_executed_before() {
    let mut bench = serving(3, &[1, 2]);
    bench.grows(50).take();
    stop(&mut bench, 1);
    bench.wants(&[Effect::Park(Parked::Stopped { position: at(1, 50) })]);
    bench.is(Part::Stopped { epoch: ONE, version: 1, position: at(1, 50) });
    bench.acks(1, at(1, 50)).wants(&[Effect::Release { committed: Offset(50) }]);
    // Said again, nothing changes.
    stop(&mut bench, 1);
    bench.wants(&[]);
}

#[test]
fn a_stop_of_another_version_or_epoch_or_while_a_change_is_open_is_nothing() {
    let mut bench = serving(3, &[1, 2]);
    stop(&mut bench, 2);
    bench.on(Event::Stop { epoch: Epoch(2), version: 1 }).wants(&[]);
    bench.detaches(2);
    bench.take();
    stop(&mut bench, 1);
    bench.wants(&[]).is(Part::Serving { epoch: ONE });
}

#[test]
fn it_never_goes_on_by_itself_and_changes_nothing_meanwhile() {
    let mut bench = serving(3, &[1, 2]);
    stop(&mut bench, 1);
    bench.take();
    bench.detaches(2).passes(600_000).wants(&[]).proposes_nothing();
    bench.learns(moved(1, &[1, 2])).is(Part::Stopped { epoch: ONE, version: 1, position: at(1, 10) });
}

#[test]
fn it_goes_on_when_the_log_has_moved_in_the_same_epoch() {
    let mut bench = serving(3, &[1, 2]);
    stop(&mut bench, 1);
    bench.take();
    bench.learns(moved(2, &[1, 2])).is(Part::Serving { epoch: ONE });
    assert!(bench.take().contains(&Effect::Serve { epoch: ONE }));
}

#[test]
fn once_another_is_promoted_it_is_deposed() {
    let mut bench = serving(3, &[1, 2]);
    stop(&mut bench, 1);
    let mut next = state(2, 2, &[]);
    next.rule = Rule::new(member(1), vec![member(0), member(2)]);
    bench.learns(next).is(Part::Replica { epoch: Epoch(2) });
    assert!(bench.take().contains(&Effect::Depose));
}

#[test]
fn one_that_is_not_serving_does_not_stop() {
    let mut bench = Bench::new(0, 2);
    bench.learns(state(1, 1, &[1]));
    stop(&mut bench, 1);
    bench.is(Part::Opening { epoch: ONE });
}
