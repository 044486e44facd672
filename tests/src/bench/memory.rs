//! `slotway-bench memory`: bytes per key and per small collection on a node, bytes per idle client on a proxy.
//!
//! Keys are counted twice over: by `used_memory`, which is what the server says it holds, and by resident memory, which
//! is what the machine gave. Idle clients are counted as connected, and again after each has said one PING, because
//! buffers are often made with the first request.

use super::ask::{Asker, ask, info_field};
use super::cpu::resident_bytes;
use super::failure::{Failure, While};
use super::peers::{Peers, SLOTWAY_NODE};
use super::process::{MEASURED, Process};
use super::report::Table;
use super::rounds::{self, Plan, Spread};
use super::shapes;
use super::targets::{self, MEMORY_AT_MOST, Verdict};
use super::workload::KEY_BYTES;
use crate::syscall::raise_open_files;
use std::thread;
use std::time::Duration;

/// How long a server has to finish what it does in the background before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);
/// Connections opened before one of them is asked something: fewer than any server's backlog.
const CONNECT_AT_ONCE: usize = 100;

/// # Errors
/// When a system is missing, does not start or does not answer.
pub fn run(peers: &Peers, plan: &Plan, clients: usize) -> Result<String, Failure> {
    let (keys, verdict) = per_key(peers, plan)?;
    let (shapes, mut verdicts) = shapes::run(peers, plan)?;
    let idle = per_client(peers, clients)?;
    verdicts.insert(0, verdict);
    Ok(format!(
        "## Memory per key: {} keys of {KEY_BYTES} B with values of {} B\n\n{keys}\n## Memory by shape\n\n{shapes}\n\
         ## Memory per idle client of a proxy: {clients} clients\n\n{idle}\n{}",
        plan.keys,
        plan.value_bytes,
        targets::summary(&verdicts),
    ))
}

/// Bytes of each of many.
pub(super) struct PerKey {
    pub(super) used: f64,
    pub(super) resident: f64,
}

fn per_key(peers: &Peers, plan: &Plan) -> Result<(Table, Verdict), Failure> {
    let mut table = Table::new(["bytes per key", "used_memory", "resident"]);
    let mut measure = |process: Process| {
        let found = bytes_per_key(&process, plan)?;
        table.row([
            process.name().to_owned(),
            format!("{:.1}", found.used),
            format!("{:.1}", found.resident),
        ]);
        Ok::<PerKey, Failure>(found)
    };
    let ours = measure(peers.node(SLOTWAY_NODE, &[])?)?;
    let theirs = measure(peers.redis(MEASURED)?)?;
    let verdict = Verdict {
        what: format!("used_memory per key: {SLOTWAY_NODE} / {}", super::peers::REDIS),
        measured: Spread::of([ours.used / theirs.used]),
        at_most: MEMORY_AT_MOST,
        goal: None,
    };
    Ok((table, verdict))
}

fn bytes_per_key(process: &Process, plan: &Plan) -> Result<PerKey, Failure> {
    bytes_per(process, plan.keys, |process| rounds::fill(process, plan.keys, plan.value_bytes))
}

/// By how much the memory grows while it is filled, divided by what it is filled with.
pub(super) fn bytes_per(
    process: &Process,
    count: u64,
    fill: impl Fn(&Process) -> Result<(), Failure>,
) -> Result<PerKey, Failure> {
    let before = (used_memory(process)?, resident_bytes(process)?);
    fill(process)?;
    thread::sleep(SETTLE);
    let after = (used_memory(process)?, resident_bytes(process)?);
    Ok(PerKey { used: growth(before.0, after.0, count), resident: growth(before.1, after.1, count) })
}

fn used_memory(process: &Process) -> Result<u64, Failure> {
    let info =
        ask(process.port(), &["INFO", "memory"]).during(&format!("asking {} for INFO", process.name()))?;
    let found = info_field(&info, "used_memory");
    found.ok_or_else(|| Failure::Worthless(format!("{} has no used_memory in INFO", process.name())))
}

fn per_client(peers: &Peers, clients: usize) -> Result<Table, Failure> {
    // The children inherit the limit, so it is raised before they start.
    let wanted = clients as u64 + 1000;
    let granted = raise_open_files(wanted).during("raising the limit of open files")?;
    if granted < wanted {
        return Err(Failure::Worthless(format!(
            "{clients} clients need {wanted} open files, allowed are {granted}"
        )));
    }
    let backends = peers.backends()?;
    let mut table = Table::new(["bytes per idle client", "connected", "after one PING"]);
    let mut systems = peers.proxies(&backends)?;
    systems.push(peers.nutcracker(&backends, None)?);
    for system in &systems {
        let (connected, asked) = bytes_per_client(system, clients)?;
        table.row([system.name().to_owned(), format!("{connected:.0}"), format!("{asked:.0}")]);
    }
    Ok(table)
}

fn bytes_per_client(process: &Process, clients: usize) -> Result<(f64, f64), Failure> {
    eprintln!("connecting {clients} clients to {}", process.name());
    let refused = |number: usize| format!("client {number} of {}", process.name());
    let before = resident_bytes(process)?;
    let mut all = Vec::with_capacity(clients);
    for number in 1..=clients {
        let mut client = Asker::connect(process.port()).during(&refused(number))?;
        if number % CONNECT_AT_ONCE == 0 || number == clients {
            // Its answer says that those before it were accepted too.
            client.ask(&["PING"]).during(&refused(number))?;
        }
        all.push(client);
    }
    let connected = resident_bytes(process)?;
    for (index, client) in all.iter_mut().enumerate() {
        client.ask(&["PING"]).during(&refused(index + 1))?;
    }
    let asked = resident_bytes(process)?;
    Ok((growth(before, connected, clients as u64), growth(before, asked, clients as u64)))
}

fn growth(before: u64, after: u64, by: u64) -> f64 {
    (after as f64 - before as f64) / by as f64
}
