//! redis-benchmark with its defaults: it asks for two settings, then sends more than an application does.

use slotway_tests::cluster::UpCluster;

use super::run::{program, run};

/// Of each test; enough that every connection sends many.
const REQUESTS: &str = "20000";

/// Tests that the commands of today cover, in the order in which redis-benchmark prints them.
const TESTS: &str = "ping,set,get,incr,hset,mset";
const PRINTED: &[&str] = &["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "HSET", "MSET (10 keys)"];

fn check(options: &[&str]) {
    let cluster = UpCluster::start(&["--shards", "3", "--replicas", "0"]);
    let mut command = program("redis-benchmark");
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &cluster.port().to_string(),
        "-n",
        REQUESTS,
        "-t",
        TESTS,
        "--csv",
    ]);
    let said = run(command.args(options), b"").success();
    // The first line names the columns. Anything but names and numbers would be a warning or an error.
    let rows: Vec<&str> = said.lines().skip(1).collect();
    let names: Vec<&str> = rows.iter().filter_map(|row| row.split('"').nth(1)).collect();
    assert_eq!(names, PRINTED, "{said}");
    for row in rows {
        let rate = row.split('"').nth(3).and_then(|text| text.parse::<f64>().ok());
        assert!(rate.is_some_and(|rate| rate > 0.0), "{said}");
    }
}

#[test]
fn redis_benchmark_runs_without_an_error() {
    check(&["-P", "1"]);
}

#[test]
fn redis_benchmark_runs_with_pipelines() {
    check(&["-P", "16", "-r", "100000"]);
}

#[test]
fn redis_benchmark_runs_in_the_newer_protocol_with_threads() {
    check(&["-3", "-P", "16", "-r", "100000", "--threads", "2"]);
}
