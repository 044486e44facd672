//! Measures Slotway beside its peers and prints the tables of `docs/performance.md`.
//!
//! It starts every server itself, on free ports, and leaves none behind.

use slotway_tests::bench::failure::{Failure, While};
use slotway_tests::bench::flags::{Flag, Flags, describe};
use slotway_tests::bench::peers::Peers;
use slotway_tests::bench::process::{OTHERS, Scratch};
use slotway_tests::bench::rounds::{Cell, Plan};
use slotway_tests::bench::workload::Mix;
use slotway_tests::bench::{
    commands, failover, in_cluster, large, memory, node, proxy, redirects, replication, report, snapshots,
    stopped, tools, turns,
};
use slotway_tests::syscall::{Cores, place_this_thread};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "slotway-bench node|commands|proxy|cluster|memory|loop|replication|redirects|stopped|large|snapshot|loading|failover|tools [flags]
  node      CPU time per request of a node, redis-server and a constant answer
  commands  CPU time per request of a node and redis-server, for commands of every data type
  proxy     CPU time per request of a proxy, nutcracker and bare multiplexing
  cluster   a plain client through a proxy beside a cluster-mode client straight to the nodes of a Redis Cluster
  memory    bytes per key and per small collection of a node and redis-server, bytes per idle client of a proxy
  loop      longest turn of a node's loop while keys are inserted
  replication CPU time that one replica adds per SET to a node and to redis-server; how long a full synchronisation takes
  redirects errors and waits that plain clients see while servers behind a proxy move, die and return
  stopped   what clients of the other servers notice while one behind a proxy is stopped
  large     memory and CPU time of a proxy while large values pass
  snapshot  what clients that write notice of a save, on a node and on redis-server
  loading   how long a node and redis-server take to load what they have on disk
  failover  what clients notice and lose while processes die, stand still and are cut off; beside Redis Sentinel
  tools     these tools beside their models in C";
const FLAGS: &[Flag] = &[
    Flag { name: "rounds", takes: "N", meaning: "rounds in which the systems take turns (5)" },
    Flag { name: "seconds", takes: "S", meaning: "length of each measurement (2)" },
    Flag { name: "keys", takes: "N", meaning: "number of keys (1000000; loop: 10000000; commands: 100000)" },
    Flag { name: "value-bytes", takes: "N", meaning: "bytes of a value (64)" },
    Flag { name: "connections", takes: "N", meaning: "connections (50)" },
    Flag { name: "mixes", takes: "MIX,...", meaning: "get, set, mixed:PERCENT of gets (get,set)" },
    Flag { name: "pipelines", takes: "N,...", meaning: "depths of pipelining (1,16,64; commands: 1,16)" },
    Flag { name: "commands", takes: "NAME,...", meaning: "commands: which of them (all)" },
    Flag { name: "scenarios", takes: "NAME,...", meaning: "redirects: which of them (all)" },
    Flag { name: "runs", takes: "N", meaning: "failover: how often each case is run (3)" },
    Flag { name: "case", takes: "NAME,...", meaning: "failover: which cases (all)" },
    Flag { name: "system", takes: "slotway|sentinel", meaning: "failover: which system (both)" },
    Flag {
        name: "rate",
        takes: "R",
        meaning: "failover: requests per second (30 % of what is measured first)",
    },
    Flag { name: "json", takes: "FILE", meaning: "failover: where the results go as JSON, too" },
    Flag { name: "clients", takes: "N", meaning: "idle clients of the proxy (10000)" },
    Flag { name: "slotway", takes: "PATH", meaning: "the binary to measure (the one beside this one)" },
    Flag { name: "slotway-args", takes: "ARGS", meaning: "further arguments for it, separated by spaces" },
    Flag {
        name: "variant",
        takes: "ARGS",
        meaning: "measure it with these arguments too, as one more system",
    },
    Flag { name: "models", takes: "DIR", meaning: "tools: where lg, nullsrv and muxfwd are, compiled" },
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("slotway-bench: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn run() -> Result<(), Failure> {
    let flags = Flags::parse(USAGE, FLAGS, std::env::args().skip(1))?;
    let [subcommand] = flags.words() else {
        return Err(Failure::Usage(describe(USAGE, FLAGS)));
    };
    let default_keys = match subcommand.as_str() {
        "loop" => 10_000_000,
        "commands" => 100_000,
        _ => 1_000_000,
    };
    let plan = plan(&flags, default_keys)?;
    if subcommand == "redirects" {
        return redirects(&flags, plan.each);
    }
    if subcommand == "failover" {
        return failover(&flags);
    }
    let peers = peers(&flags, plan.value_bytes)?;
    place_this_thread(Cores::from(OTHERS)).during("moving the load to core 1 (two cores are needed)")?;
    let machine = report::machine();
    let tables = match subcommand.as_str() {
        "node" => node::run(&peers, &plan)?,
        "commands" => {
            let pipelines = list::<usize>(&flags, "pipelines", "1,16")?;
            commands::run(&peers, &plan, &pipelines, &names(&flags, "commands")?)?
        }
        "proxy" => proxy::run(&peers, &plan)?,
        "cluster" => in_cluster::run(&peers, &plan)?,
        "memory" => memory::run(&peers, &plan, flags.get_or("clients", 10_000)?)?,
        "loop" => turns::run(&peers, &plan)?,
        "replication" => replication::run(&peers, &plan)?,
        "large" => large::run(&peers, &plan)?,
        "snapshot" => snapshots::run(&peers, &plan)?,
        "loading" => snapshots::loading(&peers, &plan)?,
        "stopped" => stopped::run(&peers, &plan)?,
        "tools" => tools::run(&peers, &plan, &flags.need::<PathBuf>("models")?)?,
        _ => return Err(Failure::Usage(describe(USAGE, FLAGS))),
    };
    println!("`slotway-bench {}`\n\n{machine}\n\n{tables}", arguments());
    Ok(())
}

/// On all cores: nothing is measured here that another process on the core would spoil.
fn redirects(flags: &Flags, each: Duration) -> Result<(), Failure> {
    let table = redirects::run(&names(flags, "scenarios")?, each)?;
    println!("`slotway-bench {}`\n\n{}\n\n{table}", arguments(), report::machine());
    Ok(())
}

/// On all cores, as above.
fn failover(flags: &Flags) -> Result<(), Failure> {
    if let Some(path) = flags.get::<PathBuf>("slotway")? {
        slotway_tests::cluster::use_binary(path);
    }
    let system = flags.get::<String>("system")?;
    let under =
        system.map(|name| name.parse().map_err(|()| Failure::Usage(format!("--system cannot be {name:?}"))));
    let wanted = failover::Wanted {
        runs: flags.get_or("runs", 3)?,
        cases: names(flags, "case")?,
        under: under.transpose()?,
        rate: flags.get("rate")?,
        json: flags.get("json")?,
    };
    let machine = report::machine();
    let table = failover::run(&wanted)?;
    println!("`slotway-bench {}`\n\n{machine}\n\n{table}", arguments());
    Ok(())
}

/// A list of names, empty when the flag is not there.
fn names(flags: &Flags, flag: &str) -> Result<Vec<String>, Failure> {
    let text = flags.get::<String>(flag)?.unwrap_or_default();
    Ok(text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn plan(flags: &Flags, default_keys: u64) -> Result<Plan, Failure> {
    let seconds: f64 = flags.get_or("seconds", 2.0)?;
    let mixes = list::<Mix>(flags, "mixes", "get,set")?;
    let pipelines = list::<usize>(flags, "pipelines", "1,16,64")?;
    let plan = Plan {
        rounds: flags.get_or("rounds", 5)?,
        each: Duration::try_from_secs_f64(seconds)
            .map_err(|_| Failure::Usage(format!("--seconds cannot be {seconds}")))?,
        connections: flags.get_or("connections", 50)?,
        keys: flags.get_or("keys", default_keys)?,
        value_bytes: flags.get_or("value-bytes", 64)?,
        cells: Cell::all(&mixes, &pipelines),
    };
    if plan.rounds == 0 || plan.connections == 0 || plan.keys == 0 {
        return Err(Failure::Usage("rounds, connections and keys are at least 1".to_owned()));
    }
    Ok(plan)
}

fn peers(flags: &Flags, value_bytes: usize) -> Result<Peers, Failure> {
    let own = std::env::current_exe().during("finding this program")?;
    let tools = own.parent().unwrap_or(Path::new(".")).to_path_buf();
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    Ok(Peers {
        slotway: flags.get("slotway")?.unwrap_or_else(|| tools.join("slotway")),
        tools,
        arguments: flags.get::<String>("slotway-args")?.map(words).unwrap_or_default(),
        variants: flags.all("variant").map(|text| words(text.to_owned())).collect(),
        value_bytes,
        scratch: Scratch::new()?,
    })
}

fn list<T: std::str::FromStr>(flags: &Flags, name: &str, default: &str) -> Result<Vec<T>, Failure> {
    let text = flags.get_or(name, default.to_owned())?;
    let parsed: Result<Vec<T>, _> = text.split(',').map(str::parse).collect();
    parsed.map_err(|_| Failure::Usage(format!("--{name} cannot be {text:?}")))
}

/// The command line as it was given: a table names the command that prints it.
fn arguments() -> String {
    std::env::args().skip(1).collect::<Vec<_>>().join(" ")
}
