//! The client libraries of Python and Node.js, two major versions each, in plain and in cluster mode.

use slotway_tests::cluster::UpCluster;

use super::run::{installed, program, run, script};

/// Starts a cluster, runs the script against its first proxy, and expects it to have checked something. (Clients in
/// cluster mode are told of the second one.)
fn check(interpreter: Interpreter, name: &str) {
    let cluster = UpCluster::start(&["--shards", "3", "--replicas", "0", "--proxies", "2"]);
    let mut command = match interpreter {
        Interpreter::Python { major } => {
            let mut command = program(installed(&format!("redis-py-{major}")).join("bin/python"));
            // What a library deprecates is still used by applications, and so is still checked.
            command.args(["-W", "ignore", "-B"]).arg(script(name)).arg(cluster.port().to_string()).arg(major);
            command
        }
        Interpreter::Node { major } => {
            let mut command = program(node());
            command.env("NODE_PATH", installed("node/node_modules"));
            command.arg(script(name)).arg(cluster.port().to_string()).arg(major);
            command
        }
    };
    let said = run(&mut command, b"").success();
    assert!(said.lines().filter(|line| line.starts_with("ok  ")).count() > 3, "{said}");
}

#[derive(Clone, Copy)]
enum Interpreter {
    Python { major: &'static str },
    Node { major: &'static str },
}

/// The one that was installed for the tests, where the machine's own was too old.
fn node() -> std::path::PathBuf {
    let own = installed("node").with_file_name("node-runtime").join("bin/node");
    if own.exists() { own } else { "node".into() }
}

#[test]
fn redis_py_8_works() {
    check(Interpreter::Python { major: "8" }, "redis_py.py");
}

#[test]
fn redis_py_5_works() {
    check(Interpreter::Python { major: "5" }, "redis_py.py");
}

#[test]
fn redis_py_8_works_in_cluster_mode() {
    check(Interpreter::Python { major: "8" }, "redis_py_cluster.py");
}

#[test]
fn redis_py_5_works_in_cluster_mode() {
    check(Interpreter::Python { major: "5" }, "redis_py_cluster.py");
}

#[test]
fn ioredis_6_works() {
    check(Interpreter::Node { major: "6" }, "ioredis.mjs");
}

#[test]
fn ioredis_5_works() {
    check(Interpreter::Node { major: "5" }, "ioredis.mjs");
}

#[test]
fn ioredis_6_works_in_cluster_mode() {
    check(Interpreter::Node { major: "6" }, "ioredis_cluster.mjs");
}

#[test]
fn ioredis_5_works_in_cluster_mode() {
    check(Interpreter::Node { major: "5" }, "ioredis_cluster.mjs");
}

#[test]
fn node_redis_6_works() {
    check(Interpreter::Node { major: "6" }, "node_redis.mjs");
}

#[test]
fn node_redis_5_works() {
    check(Interpreter::Node { major: "5" }, "node_redis.mjs");
}

#[test]
fn node_redis_6_works_in_cluster_mode() {
    check(Interpreter::Node { major: "6" }, "node_redis_cluster.mjs");
}

#[test]
fn node_redis_5_works_in_cluster_mode() {
    check(Interpreter::Node { major: "5" }, "node_redis_cluster.mjs");
}
