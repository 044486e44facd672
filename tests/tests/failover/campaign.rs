//! Cases of the failover campaign (`slotway-bench failover`), once each and under a light load: what clients saw and what is there afterwards is
//! judged, how long it took is not. A machine that runs tests is busy.

use slotway_tests::bench::failover::{
    cases::{CASES, Under},
    run::Rates,
};

/// Requests per second.
const RATE: u64 = 400;

fn check(name: &str) {
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    assert_eq!(case.under, Under::Slotway);
    let run = (case.make)(case, 1, &mut Rates::new(Some(RATE))).unwrap_or_else(|why| panic!("{name}: {why}"));
    assert!(run.judgement.is_clean(), "{name}: {:#?}", run.judgement);
    assert!(run.complaints.is_empty(), "{name}: {:?}", run.complaints);
    let strange: Vec<_> = run.errors.keys().filter(|kind| !case.excused.contains(&kind.as_str())).collect();
    assert!(strange.is_empty(), "{name}: {:?}", run.errors);
    assert!(run.acknowledged > RATE / 2, "{name}: {} acknowledged", run.acknowledged);
}

#[test]
fn a_killed_primary_takes_nothing_acknowledged_along() {
    check("kill-primary");
}

#[test]
fn a_primary_that_wakes_acknowledges_and_reads_nothing() {
    check("stop-primary");
}

#[test]
fn the_only_replica_is_killed_and_no_client_sees_an_error() {
    check("kill-replica");
}

#[test]
fn a_switchover_under_load_costs_no_error() {
    check("switchover");
}

#[test]
fn a_cluster_that_was_stopped_comes_back_with_everything() {
    check("restart-all");
}
