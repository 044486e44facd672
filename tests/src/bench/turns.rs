//! `slotway-bench loop`: the longest turn of a server's loop while many keys are inserted.
//!
//! A table that grows at once makes every client wait. From outside a long turn shows as a late answer: a probe sends
//! PING a thousand times a second on a connection of its own, on schedule whatever happens, while another thread
//! inserts. The inserting load is kept shallow, so that a turn's ordinary work stays far below a millisecond.
//!
//! The probe shares a core with the load, so it runs before it (real-time priority) where that is allowed; how late it
//! was itself is in the table, and `limit-null` under the same load shows what belongs to the machine.

use super::failure::Failure;
use super::load::closed::ClosedLoop;
use super::load::open::OpenLoop;
use super::load::{Length, Outcome, Settings, micros};
use super::peers::{Peers, SLOTWAY_NODE};
use super::process::{MEASURED, Process};
use super::report::Table;
use super::rounds::{Plan, Spread, local};
use super::workload::Mix;
use crate::syscall::run_before_others;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const PROBES_PER_SECOND: u64 = 1000;
const INSERTING_CONNECTIONS: usize = 8;
const INSERTING_PIPELINE: usize = 16;

/// One system, one round, in milliseconds.
struct Turns {
    p50: f64,
    p999: f64,
    max: f64,
    late_max: f64,
    inserts_per_second: f64,
}

/// # Errors
/// When a system is missing, does not start or does not answer.
pub fn run(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let names = [SLOTWAY_NODE, super::peers::REDIS, super::peers::LIMIT_NULL];
    let mut found: [Vec<Turns>; 3] = Default::default();
    for round in 0..plan.rounds {
        for turn in 0..names.len() {
            let system = (round + turn) % names.len();
            eprintln!("round {} of {}: {}", round + 1, plan.rounds, names[system]);
            // Fresh each time: only an empty table grows through all its sizes.
            let process = match system {
                0 => peers.node(SLOTWAY_NODE, &[])?,
                1 => peers.redis(MEASURED)?,
                _ => peers.limit_null()?,
            };
            found[system].push(measure(&process, plan)?);
        }
    }
    let mut table = Table::new([
        "answer to PING, ms",
        "p50",
        "p99.9",
        "longest",
        "the probe itself late by at most",
        "inserts per second",
    ]);
    for (name, rounds) in names.iter().zip(&found) {
        let spread = |number: fn(&Turns) -> f64| Spread::of(rounds.iter().map(number)).to_string();
        let rate = Spread::of(rounds.iter().map(|turns| turns.inserts_per_second)).median;
        table.row([
            (*name).to_owned(),
            spread(|turns| turns.p50),
            spread(|turns| turns.p999),
            spread(|turns| turns.max),
            spread(|turns| turns.late_max),
            format!("{rate:.0}"),
        ]);
    }
    Ok(format!(
        "## Longest turn of the loop: {} keys inserted, {INSERTING_CONNECTIONS} connections, pipeline \
         {INSERTING_PIPELINE}, {} rounds\n\n{table}",
        plan.keys, plan.rounds
    ))
}

fn measure(process: &Process, plan: &Plan) -> Result<Turns, Failure> {
    let inserting = Settings {
        address: local(process.port()),
        connections: INSERTING_CONNECTIONS,
        pipeline: INSERTING_PIPELINE,
        length: Length::Requests(plan.keys),
        mix: Mix::Load,
        value_bytes: plan.value_bytes,
        keys: plan.keys,
        seed: 1,
    };
    let probing =
        Settings { connections: 1, length: Length::Requests(u64::MAX), mix: Mix::Ping, ..inserting.clone() };
    let inserting = ClosedLoop::connect(&inserting)?;
    let probing = OpenLoop::connect(&probing, PROBES_PER_SECOND)?;
    let over = AtomicBool::new(false);
    let (probed, inserted) = thread::scope(|scope| {
        let probe = scope.spawn(|| {
            // Without the right to it the probe's own lateness says so in the table.
            let _refused = run_before_others();
            probing.run(&over)
        });
        let inserted = inserting.run();
        over.store(true, Ordering::Relaxed);
        (probe.join(), inserted)
    });
    let probed = probed.map_err(|_| Failure::Worthless("the probe ended early".to_owned()))??;
    let inserted = inserted?;
    inserted.must_be_clean(process.name())?;
    probed.must_be_clean(process.name())?;
    Ok(turns(&probed, &inserted))
}

fn turns(probed: &Outcome, inserted: &Outcome) -> Turns {
    let millis = |duration: Duration| micros(duration) / 1000.0;
    Turns {
        p50: millis(probed.latency.per_mille(500)),
        p999: millis(probed.latency.per_mille(999)),
        max: millis(probed.latency.max()),
        late_max: probed.lateness.as_ref().map_or(0.0, |lateness| millis(lateness.max())),
        inserts_per_second: inserted.rate(),
    }
}
