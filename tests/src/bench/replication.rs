//! `slotway-bench replication`: what one replica costs its primary, and how long it takes to get everything.
//!
//! A node and a redis-server, each once alone and once with a replica, take turns; what the replica adds to a SET is the
//! difference within a round. The replicas are redis-servers on the other core, alike for both, so that only the sending
//! end differs. Then a fresh replica is sent all keys by each, with nothing to wait for (`repl-diskless-sync-delay 0`).

use super::ask::{Asker, ask, info_field};
use super::failure::{Failure, While};
use super::peers::{Peers, REDIS, SLOTWAY_NODE};
use super::process::{MEASURED, OTHERS, Process};
use super::report::Table;
use super::rounds::{self, Cell, Grid, Plan, Spread};
use super::workload::Mix;
use std::thread;
use std::time::{Duration, Instant};

/// How long a replica may take to hold everything.
const SYNC_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(2);

/// In the order of the grid's systems.
const ALONE: usize = 0;
const FOLLOWED: usize = 1;
const REDIS_ALONE: usize = 2;
const REDIS_FOLLOWED: usize = 3;

/// # Errors
/// When a system is missing, does not start or does not answer, or a replica does not come to hold everything.
pub fn run(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let mut pipelines: Vec<usize> = plan.cells.iter().map(|cell| cell.pipeline).collect();
    pipelines.sort_unstable();
    pipelines.dedup();
    let plan = Plan { cells: Cell::all(&[Mix::Set], &pipelines), ..plan.clone() };
    let systems = [
        peers.node("slotway node, alone", &[])?,
        peers.node("slotway node, followed", &[])?,
        peers.redis(MEASURED)?,
        peers.redis(MEASURED)?,
    ];
    for system in &systems {
        must(system.port(), &["CONFIG", "SET", "repl-diskless-sync-delay", "0"])?;
        rounds::fill(system, plan.keys, plan.value_bytes)?;
    }
    let syncs = full_synchronisations(peers, &systems, &plan)?;
    let followers = [peers.redis(OTHERS)?, peers.redis(OTHERS)?];
    for (follower, primary) in followers.iter().zip([&systems[FOLLOWED], &systems[REDIS_FOLLOWED]]) {
        follow(follower, primary)?;
    }
    let grid = rounds::compare(&systems, &[], &plan)?;
    for (follower, primary) in followers.iter().zip([&systems[FOLLOWED], &systems[REDIS_FOLLOWED]]) {
        must_still_follow(follower, primary)?;
    }
    Ok(format!(
        "## One replica: {} keys, {} B values, {} connections, {} rounds of {:.1?}\n\n{}\n\n{}",
        plan.keys,
        plan.value_bytes,
        plan.connections,
        plan.rounds,
        plan.each,
        added(&grid),
        syncs,
    ))
}

/// Microseconds of CPU that the replica adds to each SET.
fn added(grid: &Grid) -> Table {
    let mut table = Table::new(["", "slotway node adds, us", "redis-server adds, us", "ratio"]);
    for (row, cell) in grid.cells.iter().enumerate() {
        let of = |followed, alone| -> Vec<f64> {
            let (followed, alone) = (grid.rounds(row, followed), grid.rounds(row, alone));
            followed.iter().zip(alone).map(|(followed, alone)| followed.cpu - alone.cpu).collect()
        };
        let (ours, theirs) = (of(FOLLOWED, ALONE), of(REDIS_FOLLOWED, REDIS_ALONE));
        let ratio = Spread::of(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs));
        let cells = [
            cell.to_string(),
            Spread::of(ours).to_string(),
            Spread::of(theirs).to_string(),
            ratio.to_string(),
        ];
        table.row(cells);
    }
    table
}

/// Seconds until a fresh replica holds all keys, round by round in turn.
fn full_synchronisations(peers: &Peers, systems: &[Process], plan: &Plan) -> Result<Table, Failure> {
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..plan.rounds {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let replica = peers.redis(OTHERS)?;
            let took = follow(&replica, &systems[[FOLLOWED, REDIS_FOLLOWED][which]])?;
            seconds[which].push(took.as_secs_f64());
        }
    }
    let ratio = Spread::of(seconds[0].iter().zip(&seconds[1]).map(|(ours, theirs)| ours / theirs));
    let [ours, theirs] = seconds;
    let mut table = Table::new(["", SLOTWAY_NODE, REDIS, "ratio"]);
    table.row([
        format!("a redis-server is sent {} keys, s", plan.keys),
        Spread::of(ours).to_string(),
        Spread::of(theirs).to_string(),
        ratio.to_string(),
    ]);
    Ok(table)
}

/// Has it follow, and waits until it holds everything.
fn follow(replica: &Process, primary: &Process) -> Result<Duration, Failure> {
    let began = Instant::now();
    must(replica.port(), &["REPLICAOF", "127.0.0.1", &primary.port().to_string()])?;
    let mut asker = Asker::connect(replica.port()).during("asking a replica")?;
    loop {
        // While it loads it answers nothing else, but INFO.
        let info = asker.ask(&["INFO", "replication"]).during("asking a replica")?;
        if info.contains("master_link_status:up") {
            return Ok(began.elapsed());
        }
        if began.elapsed() > SYNC_MAX {
            return Err(Failure::Worthless(format!("{} was not followed in time", primary.name())));
        }
        thread::sleep(LOOK);
    }
}

/// A replica that was cut meanwhile has cost nothing.
fn must_still_follow(replica: &Process, primary: &Process) -> Result<(), Failure> {
    let info = ask(replica.port(), &["INFO", "replication"]).during("asking a replica")?;
    let stats = ask(primary.port(), &["INFO", "stats"]).during("asking a primary")?;
    let partial = info_field(&stats, "sync_partial_ok").unwrap_or(0);
    match info.contains("master_link_status:up") && partial == 0 {
        true => Ok(()),
        false => Err(Failure::Worthless(format!("{} lost its replica meanwhile", primary.name()))),
    }
}

fn must(port: u16, words: &[&str]) -> Result<(), Failure> {
    ask(port, words).during(&format!("asking for {}", words[0])).map(|_| ())
}
