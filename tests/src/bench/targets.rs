//! What is promised: rows that the summary of each table compares with what was measured.

use super::peers::{LIMIT_MUX, NUTCRACKER, NUTCRACKER_512, REDIS};
use super::report::Table;
use super::rounds::{Grid, Spread};

/// At most this part of a peer's CPU time per request, at this pipeline depth, for GET and for SET.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub peer: &'static str,
    pub pipeline: usize,
    pub at_most: f64,
    /// What is aimed at beyond the promise.
    pub goal: Option<f64>,
}

const fn target(peer: &'static str, pipeline: usize, at_most: f64) -> Target {
    Target { peer, pipeline, at_most, goal: None }
}

pub const NODE: &[Target] = &[
    Target { peer: REDIS, pipeline: 1, at_most: 0.95, goal: Some(0.90) },
    target(REDIS, 16, 0.55),
    target(REDIS, 64, 0.40),
];

/// Of every command that is measured.
pub const COMMANDS: &[Target] =
    &[target(REDIS, 1, 0.90), Target { peer: REDIS, pipeline: 16, at_most: 0.90, goal: Some(0.60) }];

pub const PROXY: &[Target] = &[
    target(NUTCRACKER, 1, 1.00),
    target(NUTCRACKER, 16, 0.30),
    target(NUTCRACKER, 64, 0.15),
    target(NUTCRACKER_512, 16, 0.45),
    target(NUTCRACKER_512, 64, 0.25),
    target(LIMIT_MUX, 1, 1.25),
    target(LIMIT_MUX, 16, 1.50),
    target(LIMIT_MUX, 64, 1.50),
];

/// A tool written again may cost at most this part of its model: what cannot be told apart on a quiet machine.
pub const TOOLS_AT_MOST: f64 = 1.05;

/// `used_memory` per key, as a part of redis-server's.
pub const MEMORY_AT_MOST: f64 = 0.75;

/// `used_memory` per small collection, and per member of a large sorted set, as a part of redis-server's.
pub const SHAPES_AT_MOST: f64 = 0.90;

/// A promise and what was measured.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub what: String,
    pub measured: Spread,
    pub at_most: f64,
    pub goal: Option<f64>,
}

/// The verdicts of `targets` over the first system of the grid.
#[must_use]
pub fn verdicts(grid: &Grid, targets: &[Target]) -> Vec<Verdict> {
    let mut all = Vec::new();
    for target in targets {
        let Some(peer) = grid.systems.iter().position(|name| name == target.peer) else { continue };
        for (row, cell) in grid.cells.iter().enumerate().filter(|(_, cell)| cell.pipeline == target.pipeline)
        {
            all.push(Verdict {
                what: format!("{cell}: {} / {}", grid.systems[0], target.peer),
                measured: grid.ratio(row, 0, peer),
                at_most: target.at_most,
                goal: target.goal,
            });
        }
    }
    all
}

/// The table every measurement ends with. What counts is the median.
#[must_use]
pub fn summary(verdicts: &[Verdict]) -> String {
    let mut table = Table::new(["measured", "ratio", "at most", "met"]);
    for verdict in verdicts {
        let median = verdict.measured.median;
        let met = if median <= verdict.at_most { "yes" } else { "no" };
        let at_most = match verdict.goal {
            Some(goal) => format!("{:.2} (goal {goal:.2})", verdict.at_most),
            None => format!("{:.2}", verdict.at_most),
        };
        table.row([verdict.what.clone(), verdict.measured.to_string(), at_most, met.to_owned()]);
    }
    format!("{table}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_by_the_median() {
        let verdict = |median| Verdict {
            what: "x".to_owned(),
            measured: Spread { median, min: 0.1, max: 9.0 },
            at_most: 0.95,
            goal: Some(0.9),
        };
        let text = summary(&[verdict(0.95), verdict(0.96)]);
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert!(rows[0].contains("| yes |") && rows[0].contains("0.95 (goal 0.90)"), "{text}");
        assert!(rows[1].contains("| no |"), "{text}");
    }

    #[test]
    fn targets_are_stated_once() {
        for targets in [NODE, COMMANDS, PROXY] {
            for (index, one) in targets.iter().enumerate() {
                assert!(one.at_most > 0.0 && one.goal.is_none_or(|goal| goal < one.at_most));
                let twice = |other: &Target| (other.peer, other.pipeline) == (one.peer, one.pipeline);
                assert!(!targets[index + 1..].iter().any(twice), "{one:?}");
            }
        }
    }
}
