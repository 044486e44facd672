//! `slotway-bench redirects`: what a crowd of plain clients notices while servers behind a proxy move, die and return.
//!
//! No CPU time is measured here: the scenarios are those of the tests, run longer, and each is one row of counts.

use super::failure::Failure;
use crate::crowd::Outcome;
use crate::in_front::{SCENARIOS, Scenario};
use std::fmt::Write as _;
use std::time::Duration;

/// Runs every scenario (or those named) and returns their table.
///
/// # Errors
/// [`Failure::Usage`] for a name that is none.
pub fn run(wanted: &[String], each: Duration) -> Result<String, Failure> {
    if let Some(stranger) =
        wanted.iter().find(|name| !SCENARIOS.iter().any(|scenario| scenario.name == **name))
    {
        let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        return Err(Failure::Usage(format!("no scenario {stranger}; there are {}", known.join(", "))));
    }
    let chosen =
        SCENARIOS.iter().filter(|row| wanted.is_empty() || wanted.iter().any(|name| name == row.name));
    let mut table = HEADER.to_owned();
    for scenario in chosen {
        let outcome = scenario.run(each);
        eprintln!("{}: {outcome}", scenario.name);
        table += &row(scenario, &outcome);
    }
    Ok(table)
}

const HEADER: &str = "| scenario | what happens | requests | errors | of unknown outcome | acknowledged and lost | \
                      longest wait, ms |\n|---|---|---:|---:|---:|---:|---:|\n";

fn row(scenario: &Scenario, outcome: &Outcome) -> String {
    let mut row = String::new();
    let (requests, errors, unknown) = (outcome.requests, outcome.other_errors(), outcome.indeterminate());
    let (lost, longest) = (outcome.lost.len(), outcome.longest.as_millis());
    let (name, what) = (scenario.name, scenario.what);
    writeln!(row, "| {name} | {what} | {requests} | {errors} | {unknown} | {lost} | {longest} |")
        .expect("a String takes all");
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_what_is_excused_apart_from_what_is_not() {
        let mut outcome = Outcome { requests: 100, longest: Duration::from_millis(7), ..Outcome::default() };
        outcome.errors.insert("INDETERMINATE the write may or may not have been applied".into(), 3);
        outcome.errors.insert("MOVED # #.#.#.#:#".into(), 2);
        let row = row(&SCENARIOS[0], &outcome);
        assert!(row.ends_with("| 100 | 2 | 3 | 0 | 7 |\n"), "{row}");
    }

    #[test]
    fn a_name_that_is_no_scenario_is_refused() {
        let failure = run(&["rehsard".to_owned()], Duration::ZERO).unwrap_err().to_string();
        assert!(failure.contains("no scenario rehsard; there are"), "{failure}");
    }
}
