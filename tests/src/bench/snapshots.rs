//! `slotway-bench snapshot` and `slotway-bench loading`: what a snapshot costs the clients beside it, and how fast a file is
//! loaded.
//!
//! Clients overwrite at 30 % of what the server can take, in an open loop: latencies count from the moment a request was
//! meant to be sent, so a server that pauses pays for each request it kept waiting. First without a snapshot, then while one
//! goes into a file, then while one goes to a replica that takes 100 MB in a second. A probe that pings a thousand times a
//! second shows the longest turn of the loop as others see it; a node says besides how long its longest piece took. Extra memory
//! is what the server says of itself: pages that a fork had to copy, or the old values that a walk kept. It is taken once more
//! with every key overwritten while a save is under way: a forked child is stopped until that is done.

use super::ask::{Asker, ask, info_field};
use super::failure::{Failure, While};
use super::load::closed::ClosedLoop;
use super::load::open::OpenLoop;
use super::load::{Length, Outcome, Settings, micros};
use super::peers::{Peers, REDIS, SLOTWAY_NODE};
use super::process::{MEASURED, Process, free_port};
use super::report::Table;
use super::rounds::{self, Plan, Spread, local};
use super::sink;
use super::workload::Mix;
use crate::syscall::run_before_others;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The part of its capacity at which a server is written to.
const LOAD: f64 = 0.3;
const PROBES_PER_SECOND: u64 = 1000;
/// What the replica takes.
const SINK_BYTES_PER_SECOND: u64 = 100_000_000;
/// How often it is asked whether the snapshot has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Requests of a connection at once while every key is overwritten.
const OVERWRITING_PIPELINE: usize = 16;

const SYSTEMS: [&str; 2] = [SLOTWAY_NODE, REDIS];

/// Where a snapshot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    File,
    Replica,
}

const SINKS: [(Sink, &str); 2] = [(Sink::File, "into a file"), (Sink::Replica, "to a replica at 100 MB/s")];

/// One system in one round beside one sink; latencies in milliseconds.
struct Beside {
    during: [f64; 4],
    longest_turn: f64,
    /// What the node says; none of redis-server.
    longest_piece: f64,
    longest_piece_cpu: f64,
    extra_percent: f64,
    seconds: f64,
}

/// One system in one round.
struct Found {
    before: [f64; 4],
    rate: f64,
    beside: Vec<Beside>,
    overwritten: Overwritten,
}

/// While every key was to be overwritten during a save.
struct Overwritten {
    /// Keys that were, before it had ended.
    keys_percent: f64,
    extra_percent: f64,
}

/// # Errors
/// When a system is missing, does not start or does not answer.
pub fn run(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let mut found: [Vec<Found>; 2] = Default::default();
    for round in 0..plan.rounds {
        for turn in 0..SYSTEMS.len() {
            let system = (round + turn) % SYSTEMS.len();
            eprintln!("round {} of {}: {}", round + 1, plan.rounds, SYSTEMS[system]);
            let process = match system {
                0 => peers.node(SLOTWAY_NODE, &[])?,
                _ => peers.redis(MEASURED)?,
            };
            for (name, value) in SETTINGS {
                ask(process.port(), &["CONFIG", "SET", name, value]).during("setting a server up")?;
            }
            rounds::fill(&process, plan.keys, plan.value_bytes)?;
            found[system].push(measure(&process, plan)?);
        }
    }
    Ok(format!(
        "## A snapshot beside clients that write: {} keys with values of {} B, {} connections, {} rounds\n\n{}",
        plan.keys,
        plan.value_bytes,
        plan.connections,
        plan.rounds,
        table(&found)
    ))
}

/// Neither waits for more replicas before it begins, and what is written meanwhile may wait for the slow one.
const SETTINGS: [(&str, &str); 3] = [
    ("repl-diskless-sync", "yes"),
    ("repl-diskless-sync-delay", "0"),
    ("client-output-buffer-limit", "replica 0 0 0"),
];

fn table(found: &[Vec<Found>; 2]) -> Table {
    let mut table = Table::new(["", SYSTEMS[0], SYSTEMS[1]]);
    let mut row = |what: String, number: &dyn Fn(&Found) -> f64| {
        let [ours, theirs] = found;
        let spread = |rounds: &[Found]| {
            let spread = Spread::of(rounds.iter().map(number));
            // What a server does not say.
            if spread.median.is_nan() { "-".to_owned() } else { spread.to_string() }
        };
        table.row([what, spread(ours), spread(theirs)]);
    };
    row("SETs per second, thousands".to_owned(), &|found| found.rate / 1000.0);
    let quantiles = ["p50", "p99", "p99.9", "longest"];
    for (at, name) in quantiles.into_iter().enumerate() {
        row(format!("SET {name} before, ms"), &|found| found.before[at]);
    }
    for (sink, (_, whither)) in SINKS.into_iter().enumerate() {
        for (at, name) in quantiles.into_iter().enumerate() {
            row(format!("{whither}: SET {name}, ms"), &|found| found.beside[sink].during[at]);
        }
        let of = |what: &str| format!("{whither}: {what}");
        row(of("longest answer to PING, ms"), &|found| found.beside[sink].longest_turn);
        row(of("longest piece as the node measures it, ms"), &|found| found.beside[sink].longest_piece);
        row(of("the most of the processor that a piece took, ms"), &|found| {
            found.beside[sink].longest_piece_cpu
        });
        row(of("extra memory, % of used_memory"), &|found| found.beside[sink].extra_percent);
        row(of("duration, s"), &|found| found.beside[sink].seconds);
    }
    let at_once = "every key overwritten as fast as can be during a save";
    row(format!("{at_once}: how many before it ended, %"), &|found| found.overwritten.keys_percent);
    row(format!("{at_once}: extra memory, %"), &|found| found.overwritten.extra_percent);
    table
}

fn measure(process: &Process, plan: &Plan) -> Result<Found, Failure> {
    let writing = Settings {
        address: local(process.port()),
        connections: plan.connections,
        pipeline: 1,
        length: Length::For(plan.each),
        mix: Mix::Set,
        value_bytes: plan.value_bytes,
        keys: plan.keys,
        seed: 1,
    };
    let capacity = ClosedLoop::connect(&writing)?.run()?.rate();
    // Of the rate, its whole number.
    let per_second = Duration::from_secs_f64(capacity * LOAD).as_secs();
    let before = OpenLoop::connect(&writing, per_second)?.run(&AtomicBool::new(false))?;
    let writing = Settings { length: Length::Requests(u64::MAX), ..writing };
    let mut all = Vec::new();
    for (sink, _) in SINKS {
        all.push(beside(process, &writing, per_second, sink)?);
    }
    let rate = Duration::from_secs(per_second).as_secs_f64();
    let overwritten = overwritten(process, &writing)?;
    Ok(Found { before: quantiles(&before), rate, beside: all, overwritten })
}

/// A snapshot beside clients that write.
fn beside(process: &Process, writing: &Settings, per_second: u64, sink: Sink) -> Result<Beside, Failure> {
    let used = number(process, "memory", "used_memory")?;
    let probing = Settings { connections: 1, mix: Mix::Ping, ..writing.clone() };
    let (writing, probing) =
        (OpenLoop::connect(writing, per_second)?, OpenLoop::connect(&probing, PROBES_PER_SECOND)?);
    let over = AtomicBool::new(false);
    let (during, probed, taken) = thread::scope(|scope| {
        let probe = scope.spawn(|| {
            // Without the right to it the probe is late itself now and then.
            let _refused = run_before_others();
            probing.run(&over)
        });
        let load = scope.spawn(|| writing.run(&over));
        let taken = take(process, sink);
        over.store(true, Ordering::Relaxed);
        (load.join(), probe.join(), taken)
    });
    let early = |_| Failure::Worthless("a load ended early".to_owned());
    let (during, probed) = (during.map_err(early)??, probed.map_err(early)??);
    during.must_be_clean(process.name())?;
    let Taken { elapsed, extra_bytes } = taken?;
    // Redis has no such field.
    let info = ask(process.port(), &["INFO", "persistence"]).during("asking for INFO")?;
    let piece = |field: &str| info_field(&info, field).map_or(f64::NAN, |us| us as f64 / 1000.0);
    Ok(Beside {
        during: quantiles(&during),
        longest_turn: micros(probed.latency.max()) / 1000.0,
        longest_piece: piece("snapshot_longest_piece_usec"),
        longest_piece_cpu: piece("snapshot_longest_piece_cpu_usec"),
        extra_percent: extra_bytes as f64 * 100.0 / used as f64,
        seconds: elapsed.as_secs_f64(),
    })
}

/// What is known of a snapshot that has ended.
struct Taken {
    elapsed: Duration,
    extra_bytes: u64,
}

fn take(process: &Process, sink: Sink) -> Result<Taken, Failure> {
    match sink {
        Sink::File => {
            let elapsed = save(process)?;
            Ok(Taken { elapsed, extra_bytes: number(process, "persistence", "rdb_last_cow_size")? })
        }
        Sink::Replica => thread::scope(|scope| {
            let draining = scope.spawn(|| sink::drain(process.port(), SINK_BYTES_PER_SECOND));
            let mut extra_bytes = 0;
            while !draining.is_finished() {
                extra_bytes = extra_bytes.max(number(process, "persistence", "current_cow_peak")?);
                thread::sleep(LOOK);
            }
            let drained =
                draining.join().map_err(|_| Failure::Worthless("the sink has panicked".to_owned()))?;
            // A forked child tells its last number when it ends.
            if process.name() == REDIS {
                wait_for_child(process)?;
                extra_bytes = extra_bytes.max(number(process, "persistence", "rdb_last_cow_size")?);
            }
            Ok(Taken { elapsed: drained?.elapsed, extra_bytes })
        }),
    }
}

fn wait_for_child(process: &Process) -> Result<(), Failure> {
    while number(process, "persistence", "rdb_bgsave_in_progress")? == 1 {
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Overwrites every key while a save is under way. A server that has its writers wait may have saved before they are through.
fn overwritten(process: &Process, writing: &Settings) -> Result<Overwritten, Failure> {
    let used = number(process, "memory", "used_memory")?;
    let load = Settings {
        mix: Mix::Load,
        pipeline: OVERWRITING_PIPELINE,
        length: Length::Requests(writing.keys),
        ..writing.clone()
    };
    let load = ClosedLoop::connect(&load)?;
    let commands = || number(process, "stats", "total_commands_processed");
    let before = commands()?;
    let (outcome, saved) = thread::scope(|scope| {
        let saving = scope.spawn(|| save(process).and_then(|_| commands()));
        (while_stopped(process, || load.run()), saving.join())
    });
    outcome?.must_be_clean(process.name())?;
    let after = saved.map_err(|_| Failure::Worthless("a save has panicked".to_owned()))??;
    let percent = (after - before) as f64 * 100.0 / writing.keys as f64;
    let extra = number(process, "persistence", "rdb_last_cow_size")?;
    Ok(Overwritten { keys_percent: percent.min(100.0), extra_percent: extra as f64 * 100.0 / used as f64 })
}

/// Once the save has begun: its process, if it has one, does nothing until `run` is through.
fn while_stopped<T>(process: &Process, run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    while number(process, "persistence", "rdb_bgsave_in_progress")? == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let children = format!("/proc/{0}/task/{0}/children", process.pid());
    let children = fs::read_to_string(children).during("looking for a forked child")?;
    let signal = |signal: &str| {
        for child in children.split_whitespace() {
            Command::new("kill").args([signal, child]).status().during("stopping a forked child")?;
        }
        Ok(())
    };
    signal("-STOP")?;
    let outcome = run();
    signal("-CONT")?;
    outcome
}

/// Has it save in the background, and waits for the end.
fn save(process: &Process) -> Result<Duration, Failure> {
    let asking = format!("asking {} to save", process.name());
    let began = Instant::now();
    let mut asker = Asker::connect(process.port()).during(&asking)?;
    asker.ask(&["BGSAVE"]).during(&asking)?;
    loop {
        thread::sleep(LOOK);
        let info = asker.ask(&["INFO", "persistence"]).during(&asking)?;
        if info_field(&info, "rdb_bgsave_in_progress") == Some(0) {
            let elapsed = began.elapsed();
            return match info.contains("rdb_last_bgsave_status:ok") {
                true => Ok(elapsed),
                false => Err(Failure::Worthless(format!("{} could not save", process.name()))),
            };
        }
    }
}

fn number(process: &Process, section: &str, name: &str) -> Result<u64, Failure> {
    let info =
        ask(process.port(), &["INFO", section]).during(&format!("asking {} for INFO", process.name()))?;
    info_field(&info, name)
        .ok_or_else(|| Failure::Worthless(format!("{} has no {name} in INFO", process.name())))
}

fn quantiles(outcome: &Outcome) -> [f64; 4] {
    let millis = |duration| micros(duration) / 1000.0;
    let latency = &outcome.latency;
    [
        millis(latency.per_mille(500)),
        millis(latency.per_mille(990)),
        millis(latency.per_mille(999)),
        millis(latency.max()),
    ]
}

/// The two forms of data on disk.
const FORMS: [(&str, &[&str]); 2] = [
    ("RDB", &["--save", "", "--appendonly", "no"]),
    (
        "AOF of commands",
        &["--save", "", "--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"],
    ),
];

/// # Errors
/// When a system is missing, does not start or does not answer.
pub fn loading(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let mut table = Table::new(["seconds until it serves", SYSTEMS[0], SYSTEMS[1], "ratio"]);
    for (form, flags) in FORMS {
        let mut dirs = Vec::new();
        for system in 0..SYSTEMS.len() {
            let dir = peers.scratch.path().join(format!("loading-{system}-{}", flags.len()));
            fs::create_dir_all(&dir).during("creating a directory")?;
            let process = start(peers, system, &dir, flags)?;
            rounds::fill(&process, plan.keys, plan.value_bytes)?;
            if form == "RDB" {
                ask(process.port(), &["SAVE"]).during("saving")?;
            } else {
                // Ends orderly, so that all of the log is written.
                let _closed = ask(process.port(), &["SHUTDOWN", "NOSAVE"]);
                process.wait_for_end()?;
            }
            dirs.push(dir);
        }
        let mut seconds: [Vec<f64>; 2] = Default::default();
        for round in 0..plan.rounds {
            for turn in 0..SYSTEMS.len() {
                let system = (round + turn) % SYSTEMS.len();
                let began = Instant::now();
                let process = start(peers, system, &dirs[system], flags)?;
                seconds[system].push(began.elapsed().as_secs_f64());
                let info = ask(process.port(), &["DBSIZE"]).during("counting keys")?;
                if info != plan.keys.to_string() {
                    return Err(Failure::Worthless(format!("{} loaded {info} keys", process.name())));
                }
            }
        }
        let [ours, theirs] = &seconds;
        let ratios = ours.iter().zip(theirs).map(|(one, other)| one / other);
        let spread = |numbers: &[f64]| Spread::of(numbers.iter().copied()).to_string();
        table.row([form.to_owned(), spread(ours), spread(theirs), Spread::of(ratios).to_string()]);
    }
    Ok(format!(
        "## Loading {} keys with values of {} B, {} rounds\n\n{table}",
        plan.keys, plan.value_bytes, plan.rounds
    ))
}

/// Started on files that are there, it answers PING once they are loaded.
fn start(peers: &Peers, system: usize, dir: &Path, flags: &[&str]) -> Result<Process, Failure> {
    let port = free_port()?;
    let mut command = match system {
        0 => Command::new(&peers.slotway),
        _ => Command::new(REDIS),
    };
    if system == 0 {
        command.args(["node", "--admin-port", "off"]).args(&peers.arguments);
    } else {
        command.args(["--daemonize", "no"]);
    }
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(dir).args(flags);
    Process::start(SYSTEMS[system], command, port, MEASURED, &peers.scratch)
}
