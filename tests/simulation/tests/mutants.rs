//! Each rule that looks like detail is left out once, and the simulator must notice: by a random run within so many seeds, or by a script.
//!
//! A mutant that nobody notices means that the simulator does not test what the rule is for. How many seeds each took is written
//! into `docs/simulation.md`.

use slotway_cluster::mutants::{ALL, Mutant};
use slotway_simulation::{plan::Plan, run};

/// How a mutant is caught.
#[derive(Debug, Clone, Copy)]
enum Caught {
    /// By one of the seeds from 1 to this.
    Within(u64),
}

use Caught::Within;

const TABLE: &[(Mutant, Caught)] = &[
    (Mutant::ShrinkWithoutHolding, Within(500)),
    (Mutant::CommittedGoesBack, Within(500)),
    (Mutant::ForgetKeptRules, Within(500)),
    (Mutant::EpochByHandshake, Within(50)),
    (Mutant::AckByNewRuleOnly, Within(50)),
    (Mutant::LeaseByNewRuleOnly, Within(1500)),
    (Mutant::PrimaryPromiseIsNothing, Within(100)),
    (Mutant::ActivateBeforeGrantsEnd, Within(800)),
    (Mutant::ServeBeforeHeld, Within(50)),
    (Mutant::ServeAloneUnconfirmed, Within(100)),
    (Mutant::AckOneShort, Within(50)),
    (Mutant::IgnoreIncarnation, Within(100)),
    (Mutant::NoLease, Within(200)),
    (Mutant::AckAfterPromise, Within(50)),
    (Mutant::SplitUnits, Within(500)),
    (Mutant::KeepIncarnationEmpty, Within(100)),
    (Mutant::DirtyReads, Within(50)),
    (Mutant::PromoteWithoutFence, Within(50)),
    (Mutant::PositionBeforePromise, Within(100)),
    (Mutant::LeaseByOldClock, Within(500)),
    (Mutant::GrantAfterPromise, Within(50)),
    (Mutant::LeaseFromArrival, Within(1500)),
    (Mutant::AckOfAnyEpoch, Within(500)),
    (Mutant::ProposeAnother, Within(200)),
    (Mutant::ResumeInSameLife, Within(50)),
];

fn is_caught(mutant: Mutant) -> Option<String> {
    let (_, caught) = TABLE.iter().find(|(of, _)| *of == mutant)?;
    match *caught {
        Within(seeds) => (1..=seeds).find_map(|seed| {
            let ending = run::run(Plan::of_seed(seed), Some(mutant), false);
            let violation = ending.violation?;
            Some(format!("seed {seed}: {}: {}", violation.rule, violation.how))
        }),
    }
}

#[test]
fn every_rule_that_is_left_out_is_missed() {
    // A machine that panics because a rule is left out has noticed it, too.
    std::panic::set_hook(Box::new(|_| {}));
    let mut unnoticed = Vec::new();
    for &(mutant, _) in TABLE {
        match is_caught(mutant) {
            Some(how) => println!("{mutant:?}: {how}"),
            None => unnoticed.push(mutant),
        }
    }
    assert!(unnoticed.is_empty(), "nobody noticed that these are left out: {unnoticed:?} of {}", ALL.len());
}
