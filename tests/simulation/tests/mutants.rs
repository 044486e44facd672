//! Each rule that looks like detail is left out once, and the simulator must notice: by a random run within so many seeds, or by a script.
//!
//! A mutant that nobody notices means that the simulator does not test what the rule is for. How many seeds each took is written
//! into `docs/simulation.md`.

use slotway_cluster::mutants::{ALL, Mutant};
use slotway_simulation::{
    plan::Plan,
    run,
    script::{self, Script},
};

/// How a mutant is caught.
#[derive(Debug, Clone, Copy)]
enum Caught {
    /// By one of the seeds from 1 to this.
    Within(u64),
    /// By a script.
    By(Script),
}

use Caught::{By, Within};

const TABLE: &[(Mutant, Caught)] = &[
    (Mutant::ShrinkWithoutHolding, Within(500)),
    (Mutant::CommittedGoesBack, Within(500)),
    (Mutant::ForgetKeptRules, Within(500)),
    (Mutant::EpochByHandshake, Within(50)),
    (Mutant::LoadInPlace, By(Script::MemberReloads)),
    (Mutant::AckByNewRuleOnly, Within(50)),
    (Mutant::LeaseByNewRuleOnly, Within(1500)),
    (Mutant::ResumeOnItsOwn, By(Script::LateSwitchover)),
    (Mutant::PrimaryPromiseIsNothing, Within(100)),
    (Mutant::ActivateBeforeGrantsEnd, Within(5000)),
    (Mutant::NoFullTermWithoutActivated, By(Script::TwoFailovers)),
    (Mutant::ServeBeforeHeld, Within(50)),
    (Mutant::ServeAloneUnconfirmed, Within(100)),
    (Mutant::AckOneShort, Within(50)),
    (Mutant::ChooseByOffset, By(Script::LongerAndOlder)),
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
    (Mutant::LeaseFromArrival, Within(4000)),
    (Mutant::AckOfAnyEpoch, Within(500)),
    (Mutant::ProposeAnother, Within(800)),
    (Mutant::ResumeInSameLife, Within(50)),
    (Mutant::SessionsNotReplicated, Within(50)),
    (Mutant::SnapshotWithoutSessions, Within(50)),
    (Mutant::FilesWithoutSessions, Within(100)),
    (Mutant::SessionUngated, Within(50)),
    (Mutant::OldSocketRuns, Within(500)),
    (Mutant::LastNumberOnly, Within(100)),
    (Mutant::FloorTooEarly, Within(50)),
    (Mutant::ReplyNotCarried, Within(50)),
    (Mutant::NoEffectUnsaid, Within(1500)),
    (Mutant::OwnUnitsCount, Within(50)),
    (Mutant::ReadBehindWrite, Within(50)),
    (Mutant::ProxyGoesOn, Within(50)),
    (Mutant::SnapshotWithoutTurn, Within(50)),
    (Mutant::SendAgainOutOfOrder, Within(50)),
];

/// From here on [`ALL`] has the rules of sessions.
const SESSIONS: usize = 29;

/// A script is played with a few seeds, since times in it are chance, too.
const PLAYED: u64 = 20;

fn is_caught(mutant: Mutant, caught: Caught) -> Option<String> {
    let (seeds, play): (u64, &dyn Fn(u64) -> run::Ending) = match caught {
        Within(seeds) => (seeds, &|seed| run::run(Plan::of_seed(seed), Some(mutant), false)),
        By(script) => (PLAYED, &move |seed| script::play(script, seed, Some(mutant), false)),
    };
    (1..=seeds).find_map(|seed| {
        let violation = play(seed).violation?;
        Some(format!("{caught:?}: seed {seed}: {}: {}", violation.rule, violation.how))
    })
}

fn check(names: &[Mutant]) {
    // A machine that panics because a rule is left out has noticed it, too.
    std::panic::set_hook(Box::new(|_| {}));
    let mut unnoticed = Vec::new();
    for &(mutant, caught) in TABLE.iter().filter(|(mutant, _)| names.contains(mutant)) {
        match is_caught(mutant, caught) {
            Some(how) => println!("{mutant:?}: {how}"),
            None => unnoticed.push((mutant, caught)),
        }
    }
    drop(std::panic::take_hook());
    assert!(unnoticed.is_empty(), "nobody noticed that these are left out: {unnoticed:?}");
}

#[test]
fn every_mutant_has_its_row() {
    let missing: Vec<&Mutant> = ALL.iter().filter(|one| TABLE.iter().all(|(of, _)| of != *one)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn each_of_the_first_third_is_missed_when_it_is_left_out() {
    check(&ALL[..8]);
}

#[test]
fn each_of_the_second_third_is_missed_when_it_is_left_out() {
    check(&ALL[8..16]);
}

#[test]
fn each_of_the_last_third_is_missed_when_it_is_left_out() {
    check(&ALL[16..SESSIONS]);
}

#[test]
fn each_rule_of_sessions_is_missed_when_it_is_left_out() {
    check(&ALL[SESSIONS..]);
}

#[test]
fn scripts_break_nothing_with_every_rule_in_force() {
    for &script in script::ALL {
        for seed in 1..=PLAYED {
            let ending = script::play(script, seed, None, false);
            assert_eq!(ending.violation, None, "{script:?}, seed {seed}");
        }
    }
}
