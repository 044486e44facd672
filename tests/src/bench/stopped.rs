//! `slotway-bench stopped`: what clients of the other shards notice while one server behind a proxy is stopped.
//!
//! Three plain servers, two of them asked for their keys at a fixed rate, the third one as well, on connections of its
//! own. Once all run, and once the third is stopped (SIGSTOP: it takes connections and answers nobody). Latencies count
//! from the moment a request was meant to be sent. The stopped time is longer than a request is held, so that it has
//! both halves: requests that wait, and new ones that are refused at once.

use super::failure::Failure;
use super::load::open::OpenLoop;
use super::load::{Length, Outcome, Settings, micros};
use super::peers::Peers;
use super::process::Process;
use super::report::Table;
use super::rounds::{Plan, Spread, local};
use super::template::Template;
use super::workload::Mix;
use crate::cluster::signal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A key of each server: its tag's slot lies in the first, second and last third (CLUSTER KEYSLOT 3300, 7365, 15495).
const ON_FIRST: Template = Template { name: "first", text: "GET {b}:#" };
const ON_SECOND: Template = Template { name: "second", text: "GET {c}:#" };
const ON_THIRD: Template = Template { name: "third", text: "GET {a}:#" };

/// Requests per second for each of the servers that run, and for the one that is stopped.
const PER_SECOND: u64 = 4000;
const PER_SECOND_ON_THIRD: u64 = 500;

/// Longer than `hold-ms-max`.
const STOPPED: Duration = Duration::from_secs(8);

/// One round, latencies of the first two servers' keys in milliseconds.
struct Round {
    calm: [f64; 3],
    stopped: [f64; 3],
    refused: u64,
    longest_on_third: f64,
}

/// # Errors
/// When a system is missing, does not start or does not answer, or when a client of the other servers sees an error.
pub fn run(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let backends = peers.backends()?;
    let proxy = peers.proxies(&backends)?.swap_remove(0);
    let mut rounds = Vec::new();
    for number in 1..=plan.rounds {
        eprintln!("round {number} of {}", plan.rounds);
        let (calm, _) = measure(&proxy, plan, plan.each.max(Duration::from_secs(4)), &|| {})?;
        let third = &backends[2];
        signal("STOP", third.pid());
        let (stopped, on_third) = measure(&proxy, plan, STOPPED, &|| signal("CONT", third.pid()))?;
        rounds.push(Round {
            calm: quantiles(&calm),
            stopped: quantiles(&stopped),
            refused: on_third.errors,
            longest_on_third: millis(on_third.latency.max()),
        });
    }
    let mut table = Table::new(["keys of the other servers, ms", "all run", "one is stopped", "ratio"]);
    for (at, name) in ["p50", "p99", "p99.9"].into_iter().enumerate() {
        let spread = |number: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(number)).to_string();
        table.row([
            name.to_owned(),
            spread(&|round| round.calm[at]),
            spread(&|round| round.stopped[at]),
            spread(&|round| round.stopped[at] / round.calm[at]),
        ]);
    }
    let refused = Spread::of(rounds.iter().map(|round| round.refused as f64)).median;
    let longest = Spread::of(rounds.iter().map(|round| round.longest_on_third)).median;
    Ok(format!(
        "## One of {} servers stopped for {STOPPED:.0?}: {} connections and {PER_SECOND} requests per second for each of the others, {} rounds\n\n{table}\n\
         Keys of the stopped one were asked for {PER_SECOND_ON_THIRD} times per second on connections of their own: {refused:.0} of \
         these requests were refused, the longest wait was {longest:.0} ms. No client of the others saw an error.\n",
        backends.len(),
        plan.connections,
        plan.rounds,
    ))
}

/// The first two servers' clients together, and the third's. `at_end` runs when the first two are done.
fn measure(
    proxy: &Process,
    plan: &Plan,
    length: Duration,
    at_end: &dyn Fn(),
) -> Result<(Outcome, Outcome), Failure> {
    let settings = |template, connections| Settings {
        address: local(proxy.port()),
        connections,
        pipeline: 1,
        length: Length::For(length),
        mix: Mix::Template(template),
        value_bytes: plan.value_bytes,
        keys: plan.keys,
        seed: 1,
    };
    let first = OpenLoop::connect(&settings(ON_FIRST, plan.connections), PER_SECOND)?;
    let second = OpenLoop::connect(&settings(ON_SECOND, plan.connections), PER_SECOND)?;
    let third = OpenLoop::connect(&settings(ON_THIRD, plan.connections), PER_SECOND_ON_THIRD)?;
    let over = AtomicBool::new(false);
    let never = AtomicBool::new(false);
    let (first, second, third) = thread::scope(|scope| {
        let third = scope.spawn(|| third.run(&over));
        let second = scope.spawn(|| second.run(&never));
        let first = first.run(&never);
        let second = second.join();
        at_end();
        over.store(true, Ordering::Relaxed);
        (first, second, third.join())
    });
    let panicked = |_| Failure::Worthless("a load ended early".to_owned());
    let (mut first, second, third) = (first?, second.map_err(panicked)??, third.map_err(panicked)??);
    for outcome in [&first, &second] {
        if outcome.errors > 0 {
            let (errors, last) = (outcome.errors, &outcome.last_error);
            return Err(Failure::Worthless(format!(
                "clients of the others saw {errors} errors, the last: {last}"
            )));
        }
    }
    first.latency.add(&second.latency);
    Ok((first, third))
}

fn quantiles(outcome: &Outcome) -> [f64; 3] {
    [500, 990, 999].map(|per_mille| millis(outcome.latency.per_mille(per_mille)))
}

fn millis(duration: Duration) -> f64 {
    micros(duration) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotway_cluster::{SlotRange, slot::spread_slot};

    #[test]
    fn each_key_lies_on_its_server() {
        let ranges = SlotRange::equal(3);
        for (at, template) in [ON_FIRST, ON_SECOND, ON_THIRD].into_iter().enumerate() {
            let slot = spread_slot(template.example()[1].as_bytes());
            assert!(ranges[at].slots().any(|of_server| of_server == slot), "{}", template.name);
        }
    }
}
