//! `slotway-bench cluster`: a plain client through the proxy beside a cluster-mode client straight to the nodes.
//!
//! Both are redis-benchmark, once with `--cluster`, in front of the same real Redis Cluster of three masters. A
//! cluster-mode client spends nothing on a proxy; what the comparison shows is what that saving is worth, and what it
//! costs the client and the servers: a connection of every client to every node carries a third of its requests each.

use super::failure::{Failure, While};
use super::peers::Peers;
use super::process::{MEASURED, OTHERS, on_core};
use super::report::Table;
use super::rounds::{Plan, Spread};
use crate::real_cluster::RealCluster;
use crate::syscall::process_cpu_time;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

const MASTERS: usize = 3;
const TESTS: [&str; 2] = ["GET", "SET"];
const PIPELINES: [usize; 2] = [1, 16];

/// Requests of one measurement at pipeline 1; deeper ones have more, so that all take about as long.
const REQUESTS: u64 = 100_000;

/// One way, one test, one round.
struct Sample {
    per_second: f64,
    /// Microseconds of CPU per request.
    client: f64,
    servers: f64,
    proxy: f64,
}

/// # Errors
/// When a system is missing or does not start, or when redis-benchmark fails.
pub fn run(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let cluster = on_core(OTHERS, || RealCluster::start(MASTERS))?;
    let proxy = peers.proxy_of_cluster(&cluster.address(0))?;
    let servers: Vec<u32> = cluster.masters().into_iter().map(|index| cluster.server(index).pid()).collect();
    let measure = |way: usize, test: &str, pipeline: usize| -> Result<Sample, Failure> {
        let (port, straight) =
            if way == 0 { (proxy.port(), false) } else { (cluster.server(0).port(), true) };
        let requests = REQUESTS * pipeline.min(8) as u64;
        let before = (used(&servers)?, used(&[proxy.pid()])?);
        // The client has the core that the proxy leaves free when nobody goes through it, so that neither way is crowded.
        let core = if straight { MEASURED } else { OTHERS };
        let (per_second, client) =
            on_core(core, || benchmark(port, straight, test, pipeline, requests, plan))??;
        let per_request = |spent: Duration| super::load::micros(spent) / requests as f64;
        Ok(Sample {
            per_second,
            client: per_request(client),
            servers: per_request(used(&servers)?.saturating_sub(before.0)),
            proxy: per_request(used(&[proxy.pid()])?.saturating_sub(before.1)),
        })
    };
    let mut table = Table::new([
        "redis-benchmark, us of CPU per request",
        "through the proxy: client + proxy + servers",
        "straight, --cluster: client + servers",
        "servers, through / straight",
        "all, through / straight",
    ]);
    for pipeline in PIPELINES {
        for test in TESTS {
            let mut rounds: Vec<[Sample; 2]> = Vec::new();
            for round in 0..plan.rounds {
                eprintln!("round {} of {}: {test}, pipeline {pipeline}", round + 1, plan.rounds);
                let first = round % 2;
                let mut pair = [measure(first, test, pipeline)?, measure(1 - first, test, pipeline)?];
                pair.rotate_left(first);
                rounds.push(pair);
            }
            table.row(row(&format!("{test}, pipeline {pipeline}"), &rounds));
        }
    }
    Ok(format!(
        "## In front of a Redis Cluster of {MASTERS} masters: {} connections, {} B values, {} rounds\n\n{table}",
        plan.connections, plan.value_bytes, plan.rounds,
    ))
}

fn row(name: &str, rounds: &[[Sample; 2]]) -> [String; 5] {
    let median = |number: &dyn Fn(&[Sample; 2]) -> f64| Spread::of(rounds.iter().map(number)).median;
    let sum = |sample: &Sample| sample.client + sample.proxy + sample.servers;
    let through = format!(
        "{:.2} + {:.2} + {:.2} ({:.0} per second)",
        median(&|pair| pair[0].client),
        median(&|pair| pair[0].proxy),
        median(&|pair| pair[0].servers),
        median(&|pair| pair[0].per_second),
    );
    let straight = format!(
        "{:.2} + {:.2} ({:.0} per second)",
        median(&|pair| pair[1].client),
        median(&|pair| pair[1].servers),
        median(&|pair| pair[1].per_second),
    );
    let servers = Spread::of(rounds.iter().map(|pair| pair[0].servers / pair[1].servers));
    let all = Spread::of(rounds.iter().map(|pair| sum(&pair[0]) / sum(&pair[1])));
    [name.to_owned(), through, straight, servers.to_string(), all.to_string()]
}

fn used(pids: &[u32]) -> Result<Duration, Failure> {
    pids.iter().map(|pid| process_cpu_time(*pid).during("reading the CPU time of a server")).sum()
}

/// Requests per second, and the CPU time of the client.
fn benchmark(
    port: u16,
    in_cluster: bool,
    test: &str,
    pipeline: usize,
    requests: u64,
    plan: &Plan,
) -> Result<(f64, Duration), Failure> {
    let mut command = Command::new("redis-benchmark");
    for (flag, value) in [
        ("-p", u64::from(port)),
        ("-n", requests),
        ("-c", plan.connections as u64),
        ("-P", pipeline as u64),
        ("-r", plan.keys),
        ("-d", plan.value_bytes as u64),
    ] {
        command.args([flag, &value.to_string()]);
    }
    command.args(["-t", &test.to_ascii_lowercase(), "--csv"]);
    if in_cluster {
        command.arg("--cluster");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().during("starting redis-benchmark")?;
    let mut text = String::new();
    if let Some(output) = &mut child.stdout {
        output.read_to_string(&mut text).during("reading what redis-benchmark says")?;
    }
    // Its account is kept until somebody asks how it ended.
    let client = process_cpu_time(child.id()).during("reading the CPU time of redis-benchmark")?;
    let status = child.wait().during("waiting for redis-benchmark")?;
    match rate(&text, test) {
        Some(rate) if status.success() => Ok((rate, client)),
        _ => Err(Failure::Worthless(format!("redis-benchmark ended with {status}: {text}"))),
    }
}

/// Of lines like `"GET","101010.10","0.250",...`.
fn rate(csv: &str, test: &str) -> Option<f64> {
    let line = csv.lines().rev().find(|line| line.starts_with(&format!("\"{test}\"")))?;
    line.split(',').nth(1)?.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_stands_behind_the_name_of_the_test() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\nCluster has 3 master nodes:\n\"GET\",\"101010.10\",\"0.2\"\n";
        assert_eq!(rate(csv, "GET"), Some(101_010.10));
        assert_eq!(rate(csv, "SET"), None);
    }
}
