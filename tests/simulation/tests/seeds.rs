//! Seeds of the simulator.

use slotway_simulation::{plan::Plan, run};

#[test]
fn explore() {
    let from: u64 = std::env::var("FROM").map_or(1, |text| text.parse().unwrap());
    let count: u64 = std::env::var("COUNT").map_or(50, |text| text.parse().unwrap());
    let trace = std::env::var("TRACE").is_ok();
    let mutant = std::env::var("MUTANT").ok().map(|name| {
        *slotway_cluster::mutants::ALL.iter().find(|one| format!("{one:?}") == name).unwrap()
    });
    let mut totals = [0_u64; 8];
    for seed in from..from + count {
        let ending = run::run(Plan::of_seed(seed), mutant, trace);
        for line in &ending.trace {
            println!("{line}");
        }
        totals[0] += 1;
        totals[1] += ending.happened;
        totals[2] += ending.promotions;
        totals[3] += u64::from(ending.blocked);
        totals[4] += u64::from(ending.loss_accepted);
        totals[5] += u64::try_from(ending.requests).unwrap();
        totals[6] += u64::try_from(ending.healed_after.as_millis()).unwrap();
        if let Some(violation) = ending.violation {
            println!("seed {seed}: {} after {} happenings: {}", violation.rule, ending.happened, violation.how);
            totals[7] += 1;
        }
    }
    println!("runs, happened, promotions, blocked, losses, requests, healed ms, violations: {totals:?}");
}

#[test]
fn mutants_explore() {
    std::panic::set_hook(Box::new(|_| {}));
    let count: u64 = std::env::var("COUNT").map_or(300, |text| text.parse().unwrap());
    for &mutant in slotway_cluster::mutants::ALL {
        let mut found = vec![];
        let mut happened = 0;
        for seed in 1..=count {
            let ending = run::run(Plan::of_seed(seed), Some(mutant), false);
            happened += ending.happened;
            if let Some(violation) = ending.violation {
                found.push((seed, violation.rule));
                if found.len() == 4 {
                    break;
                }
            }
        }
        println!("{mutant:?}: {found:?} {}k", happened / 1000);
    }
}
