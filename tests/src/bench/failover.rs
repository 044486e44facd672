//! `slotway-bench failover`: what clients notice while processes die, stand still or are cut off, and whether anything they were promised is gone.
//!
//! A case hurts a running system in one way under an open loop of requests at 30 % of what it can do, waits until it has recovered, reads everything
//! back and judges it ([`judge`]). Each run has a system of its own, started and killed by the campaign. The same cases against
//! redis-server with Redis Sentinel are the control: a harness that finds no loss there finds none anywhere.
//!
//! Cases are rows ([`cases::CASES`]); the table they print is that of `docs/failover.md`. A run that cannot be made is told in its row, and the
//! next one goes on.

pub mod cases;

pub mod run;

pub mod faults;

pub mod durability;

pub mod load;

pub mod request;

pub mod read_back;

pub mod judge;

pub mod slotway;

pub mod apart;

pub mod api;

pub mod sentinel;

pub mod system;

pub mod place;

pub mod network;

pub mod speak;

pub mod table;

use std::{io, panic};

use cases::{CASES, Case, Under};
use table::Row;

use super::failure::{Failure, While};

/// What of the campaign is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub runs: usize,
    /// Names of cases; none: all.
    pub cases: Vec<String>,
    pub under: Option<Under>,
    /// Requests per second; none: 30 % of what is measured first.
    pub rate: Option<u64>,
    /// Where the rows go as JSON.
    pub json: Option<String>,
}

/// Runs what is wanted and returns the table.
///
/// # Errors
/// [`Failure::Usage`] for a name that is none; otherwise only when the results cannot be written.
pub fn run(wanted: &Wanted) -> Result<String, Failure> {
    if let Some(stranger) = wanted.cases.iter().find(|name| !CASES.iter().any(|case| case.name == **name)) {
        let known: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        return Err(Failure::Usage(format!("no case {stranger}; there are {}", known.join(", "))));
    }
    let is_wanted = |case: &&Case| {
        (wanted.cases.is_empty() || wanted.cases.iter().any(|name| name == case.name))
            && wanted.under.is_none_or(|under| under == case.under)
    };
    let mut rates = run::Rates::new(wanted.rate);
    let mut rows: Vec<Row> = Vec::new();
    for case in CASES.iter().filter(is_wanted) {
        let mut row = Row::new(case);
        for number in 1..=wanted.runs.min(case.runs_max) {
            let ran = attempt(case, number, &mut rates);
            eprintln!(
                "{} {} of {}: {}",
                case.name,
                number,
                wanted.runs.min(case.runs_max),
                table::tell(&ran)
            );
            row.add(ran);
        }
        rows.push(row);
        // After each case, so that a campaign that is broken off has told what it found.
        if let Some(path) = &wanted.json {
            let text = serde_json::to_string_pretty(&table::json(&rows)).map_err(io::Error::other);
            text.and_then(|text| std::fs::write(path, text)).during(&format!("writing {path}"))?;
        }
    }
    Ok(format!("{}\n\n{}", rates.told(), table::markdown(&rows)))
}

/// One run; a panic of it is a run that could not be made.
fn attempt(case: &Case, number: usize, rates: &mut run::Rates) -> io::Result<run::Run> {
    let seed = u64::try_from(number).unwrap_or(0);
    let ran = panic::catch_unwind(panic::AssertUnwindSafe(|| (case.make)(case, seed, rates)));
    ran.unwrap_or_else(|_| Err(io::Error::other("the run panicked")))
}
