//! `slotway-bench proxy`: what passing a request on costs, beside nutcracker and beside doing nothing else.
//!
//! All proxies stand in front of the same three redis-servers. Each of these holds every key, so that it does not
//! matter which of them a proxy's way of spreading keys names.

use super::failure::Failure;
use super::peers::Peers;
use super::rounds::{self, Plan};
use super::{report, targets};

/// # Errors
/// When a system is missing, does not start or does not answer.
pub fn run(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let backends = peers.backends()?;
    for backend in &backends {
        rounds::fill(backend, plan.keys, plan.value_bytes)?;
    }
    let mut systems = peers.proxies(&backends)?;
    systems.push(peers.nutcracker(&backends, None)?);
    systems.push(peers.nutcracker(&backends, Some(512))?);
    systems.push(peers.limit_mux(&backends)?);
    let grid = rounds::compare(&systems, &backends, plan)?;
    let verdicts = targets::verdicts(&grid, targets::PROXY);
    Ok(format!(
        "## Proxy: in front of {} redis-servers, {} keys, {} B values, {} connections, {} rounds of {:.1?}\n\n{}\n{}\n{}",
        backends.len(),
        plan.keys,
        plan.value_bytes,
        plan.connections,
        plan.rounds,
        plan.each,
        report::cpu_table(&grid),
        report::sum_table(&grid),
        targets::summary(&verdicts),
    ))
}
