//! `slotway-bench node`: what a request costs on one node, beside redis-server and beside storing nothing.

use super::failure::Failure;
use super::peers::{LIMIT_NULL, Peers};
use super::process::MEASURED;
use super::rounds::{self, Plan};
use super::{report, targets};

/// # Errors
/// When a system is missing, does not start or does not answer.
pub fn run(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let mut systems = peers.nodes()?;
    systems.push(peers.redis(MEASURED)?);
    systems.push(peers.limit_null()?);
    for system in systems.iter().filter(|system| system.name() != LIMIT_NULL) {
        rounds::fill(system, plan.keys, plan.value_bytes)?;
    }
    let grid = rounds::compare(&systems, &[], plan)?;
    let verdicts = targets::verdicts(&grid, targets::NODE);
    Ok(format!(
        "## Node: {} keys, {} B values, {} connections, {} rounds of {:.1?}\n\n{}\n{}",
        plan.keys,
        plan.value_bytes,
        plan.connections,
        plan.rounds,
        plan.each,
        report::cpu_table(&grid),
        targets::summary(&verdicts),
    ))
}
