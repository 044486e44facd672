//! Systems take turns, round by round; only ratios within a round count.
//!
//! A machine is never quite the same for two minutes. Measuring one system for a while and then the other compares
//! two machines; taking turns lets what drifts hit both. Each round begins with another system, so that none is always
//! the one behind the loudest. The result is the median of the rounds' ratios, with the smallest and the largest.

use super::cpu::Meter;
use super::failure::Failure;
use super::load::closed::ClosedLoop;
use super::load::{Length, Settings};
use super::process::Process;
use super::workload::Mix;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How a comparison is made.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rounds: usize,
    /// How long each measurement lasts.
    pub each: Duration,
    pub connections: usize,
    pub keys: u64,
    pub value_bytes: usize,
    pub cells: Vec<Cell>,
}

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub mix: Mix,
    pub pipeline: usize,
}

impl Cell {
    #[must_use]
    pub fn all(mixes: &[Mix], pipelines: &[usize]) -> Vec<Cell> {
        mixes
            .iter()
            .flat_map(|mix| pipelines.iter().map(|pipeline| Cell { mix: *mix, pipeline: *pipeline }))
            .collect()
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.mix {
            Mix::Get => "GET",
            Mix::Set | Mix::Load => "SET",
            Mix::Mixed { .. } => "GET and SET",
            Mix::Ping => "PING",
            Mix::Template(template) | Mix::InOrder(template) => template.name,
        };
        write!(f, "{name}, pipeline {}", self.pipeline)
    }
}

/// One system, one cell, one round. Times are microseconds of CPU per request.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub cpu: f64,
    pub behind: f64,
    /// See [`super::cpu::Spent`]; `None` where nobody looked.
    pub strangers: Option<f64>,
}

/// Median, smallest and largest of the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// # Panics
    /// Without values: there is always a round.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        assert!(!sorted.is_empty(), "a spread of nothing");
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Spread { median: f64::midpoint(low, high), min: sorted[0], max: sorted[sorted.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}-{:.2})", self.median, self.min, self.max)
    }
}

/// All samples of a comparison.
#[derive(Debug)]
pub struct Grid {
    pub systems: Vec<String>,
    pub cells: Vec<Cell>,
    /// `[cell][system][round]`
    samples: Vec<Vec<Vec<Sample>>>,
}

impl Grid {
    /// The rounds of one number.
    ///
    /// # Panics
    /// For a system or cell that was not measured.
    #[must_use]
    pub fn spread(&self, cell: usize, system: usize, number: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples[cell][system].iter().map(number))
    }

    /// One system in one cell, round by round.
    ///
    /// # Panics
    /// As [`Grid::spread`].
    #[must_use]
    pub fn rounds(&self, cell: usize, system: usize) -> &[Sample] {
        &self.samples[cell][system]
    }

    /// CPU time of `system` as a part of that of `peer`, round by round.
    ///
    /// # Panics
    /// As [`Grid::spread`].
    #[must_use]
    pub fn ratio(&self, cell: usize, system: usize, peer: usize) -> Spread {
        let (ours, theirs) = (&self.samples[cell][system], &self.samples[cell][peer]);
        Spread::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours.cpu / theirs.cpu))
    }
}

/// Measures every system in every cell in every round. `measure` gets the system's number, the cell and a seed.
///
/// # Errors
/// The first failure of a measurement: a table with holes is none.
pub fn interleave(
    systems: Vec<String>,
    plan: &Plan,
    mut measure: impl FnMut(usize, Cell, u64) -> Result<Sample, Failure>,
) -> Result<Grid, Failure> {
    let mut samples = vec![vec![Vec::new(); systems.len()]; plan.cells.len()];
    for round in 0..plan.rounds {
        for (row, cell) in plan.cells.iter().enumerate() {
            eprintln!("round {} of {}: {cell}", round + 1, plan.rounds);
            for turn in 0..systems.len() {
                let system = (round + turn) % systems.len();
                samples[row][system].push(measure(system, *cell, round as u64 + 1)?);
            }
        }
    }
    Ok(Grid { systems, cells: plan.cells.clone(), samples })
}

/// Compares running servers by CPU time per request; `behind` are the backends they all share.
///
/// # Errors
/// As [`interleave`]; also when a server answers an error or misses a key.
pub fn compare(systems: &[Process], behind: &[Process], plan: &Plan) -> Result<Grid, Failure> {
    let names = systems.iter().map(|system| system.name().to_owned()).collect();
    interleave(names, plan, |system, cell, seed| {
        let process = &systems[system];
        let settings = Settings {
            address: local(process.port()),
            connections: plan.connections,
            pipeline: cell.pipeline,
            length: Length::For(plan.each),
            mix: cell.mix,
            value_bytes: plan.value_bytes,
            keys: plan.keys,
            seed,
        };
        measure(process, behind, &settings)
    })
}

/// One load on one server.
///
/// # Errors
/// When the server answers an error or misses a key.
pub fn measure(process: &Process, behind: &[Process], settings: &Settings) -> Result<Sample, Failure> {
    let load = ClosedLoop::connect(settings)?;
    let meter = Meter::start(process, behind)?;
    let outcome = load.run()?;
    let spent = meter.stop()?;
    outcome.must_be_clean(process.name())?;
    Ok(Sample {
        cpu: outcome.per_request(spent.measured),
        behind: outcome.per_request(spent.behind),
        strangers: Some(spent.strangers),
    })
}

/// Writes every key once.
///
/// # Errors
/// When the server refuses.
pub fn fill(process: &Process, keys: u64, value_bytes: usize) -> Result<(), Failure> {
    eprintln!("filling {} with {keys} keys", process.name());
    let load = ClosedLoop::connect(&Settings {
        address: local(process.port()),
        connections: 8,
        pipeline: 64,
        length: Length::Requests(keys),
        mix: Mix::Load,
        value_bytes,
        keys,
        seed: 1,
    })?;
    load.run()?.must_be_clean(process.name())
}

#[must_use]
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rounds: usize) -> Plan {
        let cells = Cell::all(&[Mix::Get, Mix::Set], &[1, 64]);
        Plan { rounds, each: Duration::ZERO, connections: 1, keys: 1, value_bytes: 1, cells }
    }

    #[test]
    fn systems_take_turns_and_each_round_begins_with_another() {
        let mut order = Vec::new();
        let systems = vec!["a".to_owned(), "b".to_owned()];
        interleave(systems, &plan(2), |system, cell, seed| {
            order.push((seed, cell.pipeline, system));
            Ok(Sample { cpu: 1.0, behind: 0.0, strangers: None })
        })
        .unwrap();
        let one_mix: Vec<_> = order[..4].iter().chain(&order[8..12]).copied().collect();
        assert_eq!(
            one_mix,
            [(1, 1, 0), (1, 1, 1), (1, 64, 0), (1, 64, 1), (2, 1, 1), (2, 1, 0), (2, 64, 1), (2, 64, 0)]
        );
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine gets ten times slower from round to round; the ratio does not notice.
        let mut slower = 1.0;
        let systems = vec!["ours".to_owned(), "theirs".to_owned()];
        let mut plan = plan(3);
        plan.cells.truncate(1);
        let grid = interleave(systems, &plan, |system, _, round| {
            if system == usize::try_from(round - 1).unwrap() % 2 {
                slower *= 10.0;
            }
            let cpu = slower * if system == 0 { 1.0 } else { 2.0 };
            Ok(Sample { cpu, behind: 0.0, strangers: None })
        })
        .unwrap();
        assert_eq!(grid.ratio(0, 0, 1), Spread { median: 0.5, min: 0.5, max: 0.5 });
    }

    #[test]
    fn a_spread_is_median_least_and_most() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of([0.5]).to_string(), "0.50 (0.50-0.50)");
    }

    #[test]
    fn the_first_failure_ends_the_comparison() {
        let failed =
            interleave(vec!["a".to_owned()], &plan(5), |_, _, _| Err(Failure::Worthless("x".to_owned())));
        assert!(failed.is_err());
    }
}
