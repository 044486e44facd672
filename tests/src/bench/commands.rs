//! `slotway-bench commands`: what a request of every kind costs on a node, beside redis-server.
//!
//! The commands and values are those of redis-benchmark, and a few whose cost lies in a large sorted set or in two sets
//! together. What a command needs is there before it is measured; a list that grows or shrinks is made anew each time, so
//! that the faster system does not work on another list than the slower one.

use super::ask::ask;
use super::failure::{Failure, While};
use super::load::closed::ClosedLoop;
use super::load::{Length, Settings};
use super::peers::Peers;
use super::process::{MEASURED, Process};
use super::rounds::{self, Cell, Grid, Plan, local};
use super::template::Template;
use super::workload::Mix;
use super::{report, targets};

/// One command, measured.
#[derive(Debug)]
struct Row {
    template: Template,
    /// Its numbers are as many as this; as the plan has keys where it is 0.
    numbers: u64,
    /// What must be there: once, for all measurements.
    kept: &'static [Fill],
    /// Made anew before each measurement: this key is deleted, and filled so.
    anew: Option<(&'static str, &'static [Fill])>,
    /// After so many requests there would be nothing left.
    requests_max: u64,
    /// Elements of its reply. 0: it is no array.
    elements: usize,
}

/// Requests with their numbers in order, so many. 0: as many as the plan has keys.
#[derive(Debug)]
struct Fill {
    text: &'static str,
    requests: u64,
}

const fn row(name: &'static str, text: &'static str) -> Row {
    Row {
        template: Template { name, text },
        numbers: 0,
        kept: &[],
        anew: None,
        requests_max: u64::MAX,
        elements: 0,
    }
}

const fn fill(text: &'static str, requests: u64) -> Fill {
    Fill { text, requests }
}

/// Members of the sorted set that ZRANGEBYSCORE looks into.
const MILLION: u64 = 1_000_000;

/// Elements that a measurement of LPOP finds; each fill brings 500.
const POPPED: u64 = 2_000_000;

const RANGED: &[Fill] = &[fill("RPUSH ranged xxx**500", 20)];
const RANKS: &[Fill] = &[fill("ZADD ranks # member:=", 0)];

const ROWS: &[Row] = &[
    row("INCR", "INCR counter:#"),
    Row { anew: Some(("pushed", &[])), ..row("LPUSH", "LPUSH pushed xxx") },
    Row { anew: Some(("pushed", &[])), ..row("RPUSH", "RPUSH pushed xxx") },
    Row {
        anew: Some(("popped", &[fill("RPUSH popped xxx**500", POPPED / 500)])),
        requests_max: POPPED,
        ..row("LPOP", "LPOP popped")
    },
    Row { kept: &[fill("SADD members member:#", 0)], ..row("SADD", "SADD members member:#") },
    Row { kept: &[fill("HSET fields field:# xxx", 0)], ..row("HSET", "HSET fields field:# xxx") },
    Row { kept: RANKS, ..row("ZADD", "ZADD ranks # member:#") },
    Row { kept: RANKS, elements: 10, ..row("ZRANGE", "ZRANGE ranks 0 9") },
    Row { kept: RANGED, elements: 100, ..row("LRANGE_100", "LRANGE ranged 0 99") },
    Row { kept: RANGED, elements: 300, ..row("LRANGE_300", "LRANGE ranged 0 299") },
    Row { kept: RANGED, elements: 600, ..row("LRANGE_600", "LRANGE ranged 0 599") },
    row(
        "MSET (10)",
        "MSET key:# xxx key:# xxx key:# xxx key:# xxx key:# xxx key:# xxx key:# xxx key:# xxx key:# xxx key:# xxx",
    ),
    Row {
        // So that ten are always found.
        numbers: MILLION - 9,
        kept: &[fill("ZADD million # member:=", MILLION)],
        elements: 10,
        ..row("ZRANGEBYSCORE", "ZRANGEBYSCORE million # +inf LIMIT 0 10")
    },
    Row {
        // A tenth of each set is in both.
        kept: &[fill("SADD one a:#", 10_000), fill("SADD other a:#", 1000), fill("SADD other b:#", 9000)],
        elements: 1000,
        ..row("SINTER", "SINTER one other")
    },
];

/// The names of all measured commands.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.template.name).collect()
}

/// `wanted`: names of commands, in any case; all when there is none.
///
/// # Errors
/// When a system is missing, does not start or does not answer, and for a name that is none.
pub fn run(peers: &Peers, plan: &Plan, pipelines: &[usize], wanted: &[String]) -> Result<String, Failure> {
    if let Some(unknown) = wanted.iter().find(|name| !ROWS.iter().any(|row| is_called(row, name))) {
        return Err(Failure::Usage(format!("no such command: {unknown} ({})", names().join(", "))));
    }
    let chosen: Vec<&Row> = ROWS
        .iter()
        .filter(|row| wanted.is_empty() || wanted.iter().any(|name| is_called(row, name)))
        .collect();
    let mixes: Vec<Mix> = chosen.iter().map(|row| Mix::Template(row.template)).collect();
    let plan = Plan { cells: Cell::all(&mixes, pipelines), ..plan.clone() };
    let mut systems = peers.nodes()?;
    systems.push(peers.redis(MEASURED)?);
    for system in &systems {
        prepare(system, &chosen, &plan)?;
    }
    let grid = measure(&systems, &plan)?;
    let verdicts = targets::verdicts(&grid, targets::COMMANDS);
    Ok(format!(
        "## Commands: {} keys or members, values of 3 B, {} connections, {} rounds of {:.1?}\n\n{}\n{}",
        plan.keys,
        plan.connections,
        plan.rounds,
        plan.each,
        report::cpu_table(&grid),
        targets::summary(&verdicts),
    ))
}

fn is_called(row: &Row, name: &str) -> bool {
    row.template.name.eq_ignore_ascii_case(name)
}

fn measure(systems: &[Process], plan: &Plan) -> Result<Grid, Failure> {
    let names = systems.iter().map(|system| system.name().to_owned()).collect();
    rounds::interleave(names, plan, |system, cell, seed| {
        let process = &systems[system];
        let row = ROWS
            .iter()
            .find(|row| Mix::Template(row.template) == cell.mix)
            .expect("every cell of this plan is a row");
        if let Some((key, fills)) = row.anew {
            say(process, &["DEL", key])?;
            fill_all(process, fills, plan.keys)?;
        }
        let keys = if row.numbers == 0 { plan.keys } else { row.numbers };
        rounds::measure(
            process,
            &[],
            &Settings {
                address: local(process.port()),
                connections: plan.connections,
                pipeline: cell.pipeline,
                length: Length::AtMost { requests: row.requests_max, duration: plan.each },
                mix: cell.mix,
                value_bytes: plan.value_bytes,
                keys,
                seed,
            },
        )
    })
}

/// Fills what is kept, and looks whether the answers are of the size that is to be measured.
fn prepare(process: &Process, rows: &[&Row], plan: &Plan) -> Result<(), Failure> {
    eprintln!("filling {}", process.name());
    for row in rows {
        fill_all(process, row.kept, plan.keys)?;
        if row.elements > 0 {
            let words = row.template.example();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let answer = say(process, &words)?;
            let found = answer.lines().next().unwrap_or_default();
            if found != row.elements.to_string() {
                let (name, wanted) = (row.template.name, row.elements);
                return Err(Failure::Worthless(format!(
                    "{}: {name} found {found} elements, not {wanted}",
                    process.name()
                )));
            }
        }
    }
    Ok(())
}

fn fill_all(process: &Process, fills: &[Fill], keys: u64) -> Result<(), Failure> {
    fills.iter().try_for_each(|fill| {
        let requests = if fill.requests == 0 { keys } else { fill.requests };
        fill_with(process, fill.text, requests)
    })
}

/// Sends a request so often, its numbers in order from the first.
///
/// # Errors
/// When the server refuses.
pub fn fill_with(process: &Process, text: &'static str, requests: u64) -> Result<(), Failure> {
    let load = ClosedLoop::connect(&Settings {
        address: local(process.port()),
        connections: 4,
        pipeline: 16,
        length: Length::Requests(requests),
        mix: Mix::InOrder(Template { name: "filling", text }),
        value_bytes: 0,
        keys: u64::MAX,
        seed: 1,
    })?;
    load.run()?.must_be_clean(process.name())
}

fn say(process: &Process, words: &[&str]) -> Result<String, Failure> {
    ask(process.port(), words).during(&format!("asking {} for {}", process.name(), words[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_name_of_its_own_and_a_cell() {
        let names = names();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[index + 1..].contains(name), "{name} twice");
        }
        for row in ROWS {
            let cell = Cell { mix: Mix::Template(row.template), pipeline: 16 };
            assert_eq!(cell.to_string(), format!("{}, pipeline 16", row.template.name));
        }
    }

    #[test]
    fn a_fill_leaves_elements_for_every_request_that_takes_one() {
        let row = ROWS.iter().find(|row| is_called(row, "lpop")).unwrap();
        let (_, fills) = row.anew.unwrap();
        let elements: u64 = fills.iter().map(|fill| fill.requests * 500).sum();
        assert_eq!(elements, row.requests_max);
    }
}
