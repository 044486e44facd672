//! The cases of the campaign, as rows.

use std::io;

use super::{
    durability, faults,
    run::{Rates, Run},
};

/// Which system a case hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    Slotway,
    Sentinel,
}

impl Under {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Under::Slotway => "slotway",
            Under::Sentinel => "sentinel",
        }
    }
}

impl std::str::FromStr for Under {
    type Err = ();

    fn from_str(text: &str) -> Result<Under, ()> {
        [Under::Slotway, Under::Sentinel].into_iter().find(|under| under.name() == text).ok_or(())
    }
}

/// What is promised of the gap between acknowledged writes, milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    pub median_ms: f64,
    /// Kept by nine runs of ten.
    pub most_ms: f64,
}

/// One case.
pub struct Case {
    pub name: &'static str,
    pub under: Under,
    /// For people: what happens.
    pub what: &'static str,
    pub goal: Option<Goal>,
    /// Errors that clients may see.
    pub excused: &'static [&'static str],
    /// What takes long is not repeated as often.
    pub runs_max: usize,
    pub make: fn(&Case, u64, &mut Rates) -> io::Result<Run>,
}

const EVERY: usize = usize::MAX;

/// Writes in flight, until sessions make them exactly-once.
const IN_FLIGHT: &[&str] = &["INDETERMINATE"];

/// What clients of a killed proxy see besides.
const WITH_PROXY: &[&str] = &["INDETERMINATE", "connection lost", "not connected"];

const fn within(median_ms: f64, most_ms: f64) -> Option<Goal> {
    Some(Goal { median_ms, most_ms })
}

const fn slotway(
    name: &'static str,
    what: &'static str,
    goal: Option<Goal>,
    excused: &'static [&'static str],
    make: fn(&Case, u64, &mut Rates) -> io::Result<Run>,
) -> Case {
    Case { name, under: Under::Slotway, what, goal, excused, runs_max: EVERY, make }
}

const fn control(
    name: &'static str,
    what: &'static str,
    runs_max: usize,
    make: fn(&Case, u64, &mut Rates) -> io::Result<Run>,
) -> Case {
    Case { name, under: Under::Sentinel, what, goal: None, excused: &[], runs_max, make }
}

pub const CASES: &[Case] = &[
    slotway(
        "kill-primary",
        "`kill -9` of the primary",
        within(500.0, 750.0),
        IN_FLIGHT,
        faults::kill_primary,
    ),
    slotway(
        "kill-primary-slow",
        "the same, links between nodes delayed by 20 ms",
        within(500.0, 750.0),
        IN_FLIGHT,
        faults::kill_primary_slow,
    ),
    slotway(
        "stop-primary",
        "SIGSTOP of the primary, SIGCONT once another leads",
        within(900.0, 1200.0),
        IN_FLIGHT,
        faults::stop_primary,
    ),
    slotway(
        "cut-primary",
        "primary, a proxy and a third of the clients cut off silently, healed once another leads",
        within(900.0, 1200.0),
        IN_FLIGHT,
        faults::cut_primary,
    ),
    slotway(
        "mute-primary",
        "nothing that the primary sends arrives",
        within(900.0, 1200.0),
        IN_FLIGHT,
        faults::mute_primary,
    ),
    slotway(
        "deafen-primary",
        "nothing that is sent to the primary arrives",
        within(900.0, 1200.0),
        IN_FLIGHT,
        faults::deafen_primary,
    ),
    slotway("kill-replica", "`kill -9` of the only replica", within(100.0, 100.0), &[], faults::kill_replica),
    slotway("stop-replica", "SIGSTOP of the only replica", within(350.0, 350.0), &[], faults::stop_replica),
    slotway("switchover", "a planned switchover", within(20.0, 40.0), &[], faults::switchover),
    slotway(
        "kill-leader-and-primary",
        "`kill -9` of the leading proxy and the primary together",
        within(2000.0, 2000.0),
        WITH_PROXY,
        faults::kill_leader_and_primary,
    ),
    slotway(
        "kill-every-process",
        "`kill -9` of every process, the next when all is well; `up` starts them again",
        None,
        WITH_PROXY,
        faults::kill_every_process,
    ),
    slotway("debug-sleep", "DEBUG SLEEP 3 on the primary: no failover", None, &[], faults::debug_sleep),
    Case {
        runs_max: 1,
        ..slotway("keys", "KEYS over 5 M keys, three times: no failover", None, &[], faults::walk_keys)
    },
    slotway(
        "lose-majority",
        "`kill -9` of two of three proxies: data are served, a switchover is refused",
        within(500.0, 750.0),
        WITH_PROXY,
        faults::lose_majority,
    ),
    slotway("restart-all", "`up` is stopped and started again", None, &[], faults::restart_all),
    slotway(
        "lose-power",
        "`kill -9` of everything at once under `appendfsync always`, started again",
        None,
        WITH_PROXY,
        faults::lose_power,
    ),
    slotway("durability", "quorum against async", None, &[], durability::compare),
    control(
        "sentinel-kill-default",
        "`kill -9` of the primary, links delayed by 20 ms, sentinels as they come (down after 30 s)",
        1,
        faults::sentinel_kill_default,
    ),
    control("sentinel-kill", "the same, down after 1 s", EVERY, faults::sentinel_kill),
    control("sentinel-stop", "SIGSTOP of the primary, down after 1 s", EVERY, faults::sentinel_stop),
    control(
        "sentinel-cut",
        "primary, a sentinel and a third of the clients cut off",
        EVERY,
        faults::sentinel_cut,
    ),
    control("sentinel-sleep", "DEBUG SLEEP 3 on the primary, down after 1 s", EVERY, faults::sentinel_sleep),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_told_apart_by_their_system() {
        for (at, case) in CASES.iter().enumerate() {
            assert!(CASES[..at].iter().all(|other| other.name != case.name), "{}", case.name);
            assert_eq!(case.name.starts_with("sentinel-"), case.under == Under::Sentinel, "{}", case.name);
        }
    }
}
