//! What sessions are for: one thing goes wrong under load, and no client is told of it.
//!
//! Otherwise nothing is unlucky here; what a session does in bad weather is told by the seeds.

use std::time::Duration;

use slotway_simulation::{net::End, plan::Plan, run, run::Ending, weather::Fault, world::Happening};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The second node is healthy; the first is the primary.
fn endings(fault: Fault, has_sessions: bool) -> Vec<Ending> {
    (1..=10)
        .map(|seed| {
            let mut plan = Plan::calm(seed, 3, 3);
            plan.clients = vec![(0, 6), (1, 6), (2, 2), (0, 1)];
            plan.think = Duration::from_millis(2);
            plan.has_sessions = has_sessions;
            plan.delay = (Duration::from_micros(50), Duration::from_micros(3000));
            let mut world = run::found(plan, false);
            world.run_until(seconds(2));
            world.strike(fault, seconds(3));
            world.plan_in(seconds(5), Happening::Heal);
            run::finish(world)
        })
        .collect()
}

fn nobody_is_told(fault: Fault) {
    let endings = endings(fault, true);
    for (ending, seed) in endings.iter().zip(1..) {
        assert_eq!(ending.violation, None, "{fault:?}, seed {seed}");
        let told = (ending.unknown_writes, ending.refused);
        assert_eq!(told, (0, 0), "{fault:?}, seed {seed}, of {} requests", ending.requests);
    }
    let sum = |count: fn(&Ending) -> usize| endings.iter().map(count).sum::<usize>();
    let (reads, requests) = (sum(|ending| ending.unknown_reads), sum(|ending| ending.requests));
    println!("{fault:?}: {requests} requests, {reads} reads behind writes of their clients that ran");
}

#[test]
fn a_primary_is_killed_and_no_client_is_told() {
    nobody_is_told(Fault::Crash(0));
}

#[test]
fn a_primary_stands_still_and_no_client_is_told() {
    nobody_is_told(Fault::Pause(0));
}

#[test]
fn a_primary_is_cut_off_from_the_proxies_and_no_client_is_told() {
    nobody_is_told(Fault::FromProxies(0));
}

#[test]
fn a_primary_that_is_well_is_replaced_and_no_client_is_told() {
    nobody_is_told(Fault::Failover);
}

#[test]
fn a_switchover_is_not_told_to_clients() {
    nobody_is_told(Fault::Switchover(1));
}

#[test]
fn broken_links_are_not_told_to_clients() {
    nobody_is_told(Fault::BreakConn);
    for proxy in 0..3 {
        nobody_is_told(Fault::OneWay(End::Node(0), End::Proxy(proxy)));
    }
}

#[test]
fn without_sessions_some_are_told() {
    let told: usize = endings(Fault::Crash(0), false).iter().map(|ending| ending.unknown_writes).sum();
    println!("{told} writes");
    assert!(told > 10, "{told}");
}
