//! Runs of many seeds, with every rule in force: nothing may be broken, and everything must heal.
//!
//! The gate runs the same seeds each time. `SLOTWAY_SIM_SEEDS=20000-40000` runs those instead (`./test --long` draws its own), and
//! `SLOTWAY_SEED=17` tells the story of one run line by line; with `SLOTWAY_MUTANT=NoLease` a rule is left out in it.

use std::{env, ops::RangeInclusive};

use slotway_cluster::mutants;
use slotway_simulation::{plan::Plan, run};

/// Seeds of the gate, and among how many tests they are divided, so that they run beside each other.
const GATE: RangeInclusive<u64> = 1..=9600;
const PARTS: u64 = 8;

/// What came of the runs of a part.
#[derive(Debug, Default)]
struct Sum {
    runs: u64,
    happened: u64,
    requests: usize,
    /// Writes that were answered `-INDETERMINATE`, with and without sessions.
    unknown_writes: [usize; 2],
    promotions: u64,
    losses_accepted: u64,
    blocked: u64,
    slowest_healing_ms: u128,
}

fn seeds() -> RangeInclusive<u64> {
    let Ok(text) = env::var("SLOTWAY_SIM_SEEDS") else { return GATE };
    let ends = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let (first, last) = ends.expect("SLOTWAY_SIM_SEEDS is two numbers: 20000-40000");
    first..=last
}

fn part(part: u64) {
    let mut sum = Sum::default();
    for seed in seeds().filter(|seed| seed % PARTS == part) {
        let plan = Plan::of_seed(seed);
        let has_sessions = plan.has_sessions;
        let ending = run::run(plan, None, false);
        if let Some(violation) = ending.violation {
            panic!("seed {seed}: {}: {}\nSLOTWAY_SEED={seed} tells the story", violation.rule, violation.how);
        }
        sum.runs += 1;
        sum.happened += ending.happened;
        sum.requests += ending.requests;
        sum.unknown_writes[usize::from(!has_sessions)] += ending.unknown_writes;
        sum.promotions += ending.promotions;
        sum.losses_accepted += u64::from(ending.loss_accepted);
        sum.blocked += u64::from(ending.blocked);
        sum.slowest_healing_ms = sum.slowest_healing_ms.max(ending.healed_after.as_millis());
    }
    println!("{sum:?}");
    // Storms in which nobody is ever promoted test nothing.
    assert!(sum.runs < 100 || sum.promotions > sum.runs, "{sum:?}");
}

#[test]
fn seeds_0_hold() {
    part(0);
}

#[test]
fn seeds_1_hold() {
    part(1);
}

#[test]
fn seeds_2_hold() {
    part(2);
}

#[test]
fn seeds_3_hold() {
    part(3);
}

#[test]
fn seeds_4_hold() {
    part(4);
}

#[test]
fn seeds_5_hold() {
    part(5);
}

#[test]
fn seeds_6_hold() {
    part(6);
}

#[test]
fn seeds_7_hold() {
    part(7);
}

#[test]
fn a_seed_is_a_run() {
    let one = run::run(Plan::of_seed(3), None, true);
    let again = run::run(Plan::of_seed(3), None, true);
    assert_eq!(one.trace, again.trace);
    assert!(one.trace.len() > 1000);
}

#[test]
fn one_seed_tells_its_story() {
    let Ok(seed) = env::var("SLOTWAY_SEED") else { return };
    let mutant = env::var("SLOTWAY_MUTANT").ok().map(|name| {
        let known = mutants::ALL.iter().find(|one| format!("{one:?}") == name);
        *known.expect("SLOTWAY_MUTANT is the name of a mutant")
    });
    let ending = run::run(Plan::of_seed(seed.parse().unwrap()), mutant, true);
    ending.trace.iter().for_each(|line| println!("{line}"));
    assert_eq!(ending.violation, None);
}
