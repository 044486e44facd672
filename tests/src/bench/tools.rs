//! `slotway-bench tools`: the tools themselves beside the C programs they were modelled on.
//!
//! A measuring tool that costs more than it must would make every product look better than it is, and a slow limit
//! every proxy near to it. So each tool is measured against its model in C (`lg`, `nullsrv`, `muxfwd`, compiled with
//! `gcc -O2` into one directory) by the same rounds as everything else.

use super::failure::{Failure, While};
use super::peers::Peers;
use super::process::{MEASURED, OTHERS, Process, free_port, on_core};
use super::report;
use super::rounds::{self, Cell, Grid, Plan, Sample};
use super::targets::{self, TOOLS_AT_MOST, Verdict};
use super::workload::Mix;
use std::path::Path;
use std::process::Command;

/// # Errors
/// When one of the programs is missing or fails.
pub fn run(peers: &Peers, plan: &Plan, models: &Path) -> Result<String, Failure> {
    let load = load(peers, plan, models)?;
    let null = rounds::compare(&[peers.limit_null()?, nullsrv(peers, models)?], &[], plan)?;
    let backends = peers.backends()?;
    for backend in &backends {
        rounds::fill(backend, plan.keys, plan.value_bytes)?;
    }
    let mux =
        rounds::compare(&[peers.limit_mux(&backends)?, muxfwd(peers, &backends, models)?], &backends, plan)?;
    let mut text = String::new();
    let mut verdicts = Vec::new();
    for (title, grid) in [("Load generator", load), ("Constant answer", null), ("Multiplexing", mux)] {
        text += &format!("## {title}\n\n{}\n", report::cpu_table(&grid));
        verdicts.extend(against_model(&grid));
    }
    Ok(text + &targets::summary(&verdicts))
}

fn against_model(grid: &Grid) -> Vec<Verdict> {
    let (ours, model) = (&grid.systems[0], &grid.systems[1]);
    let rows = grid.cells.iter().enumerate();
    rows.map(|(row, cell)| Verdict {
        what: format!("{cell}: {ours} / {model}"),
        measured: grid.ratio(row, 0, 1),
        at_most: TOOLS_AT_MOST,
        goal: None,
    })
    .collect()
}

/// What the load generators say they cost themselves, each against the same constant answer.
fn load(peers: &Peers, plan: &Plan, models: &Path) -> Result<Grid, Failure> {
    let server = peers.limit_null()?;
    let names = vec!["slotway-load".to_owned(), "lg".to_owned()];
    rounds::interleave(names, plan, |system, cell, seed| {
        let command = match system {
            0 => slotway_load(peers, plan, &server, cell, seed),
            _ => lg(models, plan, &server, cell, seed),
        };
        Ok(Sample { cpu: own_cost(command)?, behind: 0.0, strangers: None })
    })
}

fn slotway_load(peers: &Peers, plan: &Plan, server: &Process, cell: Cell, seed: u64) -> Command {
    let mut command = Command::new(peers.tools.join("slotway-load"));
    for (flag, value) in [
        ("--port", server.port().to_string()),
        ("--connections", plan.connections.to_string()),
        ("--pipeline", cell.pipeline.to_string()),
        ("--seconds", plan.each.as_secs_f64().to_string()),
        ("--mix", word(cell.mix).to_owned()),
        ("--value-bytes", plan.value_bytes.to_string()),
        ("--keys", plan.keys.to_string()),
        ("--seed", seed.to_string()),
    ] {
        command.args([flag, &value]);
    }
    command
}

fn lg(models: &Path, plan: &Plan, server: &Process, cell: Cell, seed: u64) -> Command {
    let mut command = Command::new(models.join("lg"));
    command.args(["127.0.0.1", &server.port().to_string(), &plan.connections.to_string()]);
    command.args([&cell.pipeline.to_string(), &plan.each.as_secs_f64().to_string(), word(cell.mix)]);
    command.args([plan.value_bytes.to_string(), plan.keys.to_string(), seed.to_string()]);
    command
}

fn word(mix: Mix) -> &'static str {
    match mix {
        Mix::Set => "set",
        Mix::Load => "load",
        Mix::Get | Mix::Mixed { .. } | Mix::Ping | Mix::Template(_) | Mix::InOrder(_) => "get",
    }
}

/// Runs a load generator to its end; `lg_us` of the line it prints.
fn own_cost(mut command: Command) -> Result<f64, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = on_core(OTHERS, || command.output())?.during(&format!("running {name}"))?;
    let line: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
    let cost = line.as_ref().and_then(|line| line.get("lg_us")?.as_f64());
    cost.ok_or_else(|| Failure::Worthless(format!("{name}: {}", String::from_utf8_lossy(&output.stderr))))
}

fn nullsrv(peers: &Peers, models: &Path) -> Result<Process, Failure> {
    let port = free_port()?;
    let mut command = Command::new(models.join("nullsrv"));
    command.args([port.to_string(), peers.value_bytes.to_string()]);
    Process::start("nullsrv", command, port, MEASURED, &peers.scratch)
}

fn muxfwd(peers: &Peers, backends: &[Process], models: &Path) -> Result<Process, Failure> {
    let port = free_port()?;
    let mut command = Command::new(models.join("muxfwd"));
    command.arg(port.to_string()).args(backends.iter().map(|backend| backend.port().to_string()));
    Process::start("muxfwd", command, port, MEASURED, &peers.scratch)
}
