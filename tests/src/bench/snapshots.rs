//! `slotway-bench snapshot` and `slotway-bench loading`: what a save costs the clients beside it, and how fast a file is
//! loaded.
//!
//! Clients overwrite at 30 % of what the server can take, in an open loop: latencies count from the moment a request was
//! meant to be sent, so a server that pauses pays for each request it kept waiting. First without a save, then while one
//! runs. A probe that pings a thousand times a second shows the longest turn of the loop. Extra memory is what the server
//! says of itself: pages that a fork had to copy, or the old values that a walk kept.

use super::ask::{Asker, ask, info_field};
use super::failure::{Failure, While};
use super::load::closed::ClosedLoop;
use super::load::open::OpenLoop;
use super::load::{Length, Outcome, Settings, micros};
use super::peers::{Peers, REDIS, SLOTWAY_NODE};
use super::process::{MEASURED, Process, free_port};
use super::report::Table;
use super::rounds::{self, Plan, Spread, local};
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
/// How often it is asked whether the save has ended.
const LOOK: Duration = Duration::from_millis(20);

const SYSTEMS: [&str; 2] = [SLOTWAY_NODE, REDIS];

/// One system in one round; latencies in milliseconds.
struct Saved {
    before: [f64; 4],
    during: [f64; 4],
    longest_turn: f64,
    extra_percent: f64,
    seconds: f64,
    rate: f64,
}

/// # Errors
/// When a system is missing, does not start or does not answer.
pub fn run(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let mut found: [Vec<Saved>; 2] = Default::default();
    for round in 0..plan.rounds {
        for turn in 0..SYSTEMS.len() {
            let system = (round + turn) % SYSTEMS.len();
            eprintln!("round {} of {}: {}", round + 1, plan.rounds, SYSTEMS[system]);
            let process = match system {
                0 => peers.node(SLOTWAY_NODE, &[])?,
                _ => peers.redis(MEASURED)?,
            };
            rounds::fill(&process, plan.keys, plan.value_bytes)?;
            found[system].push(measure(&process, plan)?);
        }
    }
    let mut table = Table::new(["beside a save", SYSTEMS[0], SYSTEMS[1]]);
    let mut row = |what: &str, number: &dyn Fn(&Saved) -> f64| {
        let [ours, theirs] = &found;
        let spread = |rounds: &[Saved]| Spread::of(rounds.iter().map(number)).to_string();
        table.row([what.to_owned(), spread(ours), spread(theirs)]);
    };
    for (at, name) in ["p50", "p99", "p99.9", "longest"].into_iter().enumerate() {
        row(&format!("SET {name} before, ms"), &|saved| saved.before[at]);
        row(&format!("SET {name} during, ms"), &|saved| saved.during[at]);
    }
    row("longest answer to PING during, ms", &|saved| saved.longest_turn);
    row("extra memory, % of used_memory", &|saved| saved.extra_percent);
    row("duration of the save, s", &|saved| saved.seconds);
    row("SETs per second, thousands", &|saved| saved.rate / 1000.0);
    Ok(format!(
        "## A save beside clients that write: {} keys with values of {} B, {} connections, {} rounds\n\n{table}",
        plan.keys, plan.value_bytes, plan.connections, plan.rounds
    ))
}

fn measure(process: &Process, plan: &Plan) -> Result<Saved, Failure> {
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
    let used = number(process, "memory", "used_memory")?;
    let writing = Settings { length: Length::Requests(u64::MAX), ..writing };
    let probing = Settings { connections: 1, mix: Mix::Ping, ..writing.clone() };
    let (writing, probing) =
        (OpenLoop::connect(&writing, per_second)?, OpenLoop::connect(&probing, PROBES_PER_SECOND)?);
    let over = AtomicBool::new(false);
    let (during, probed, saved) = thread::scope(|scope| {
        let probe = scope.spawn(|| {
            // Without the right to it the probe is late itself now and then.
            let _refused = run_before_others();
            probing.run(&over)
        });
        let load = scope.spawn(|| writing.run(&over));
        let saved = save(process);
        over.store(true, Ordering::Relaxed);
        (load.join(), probe.join(), saved)
    });
    let early = |_| Failure::Worthless("a load ended early".to_owned());
    let (during, probed) = (during.map_err(early)??, probed.map_err(early)??);
    during.must_be_clean(process.name())?;
    let extra = number(process, "persistence", "rdb_last_cow_size")?;
    Ok(Saved {
        before: quantiles(&before),
        during: quantiles(&during),
        longest_turn: micros(probed.latency.max()) / 1000.0,
        extra_percent: extra as f64 * 100.0 / used as f64,
        seconds: saved?.as_secs_f64(),
        rate: per_second as f64,
    })
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
