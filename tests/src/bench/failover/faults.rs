//! How each case hurts a system, and what it waits for.
//!
//! A function per case, each a few sentences: start, hurt under load, wait for a condition, look. What clients saw meanwhile is [`super::run`]'s.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    apart::{Apart, FEW, Links, MOST},
    api::Api,
    cases::{Case, Under},
    run::{Rates, Run, Underway, hurt, slotway},
    sentinel::{DownAfter, Sentinel},
    slotway::{Shape, Slotway},
    speak::Asker,
    system::{System, WHOLE_MAX, wait},
};
use crate::syscall::Signal;

/// How long a system may take until writes go on; the control's default takes half a minute.
const RECOVERY_MAX: Duration = Duration::from_secs(12);
const CONTROL_RECOVERY_MAX: Duration = Duration::from_secs(60);

/// What the replication link is delayed by where a loss is looked for: on loopback alone hardly anything is ever lost, whatever the protocol.
const SLOW: Duration = Duration::from_millis(20);

/// Clients with most of the system.
const MOST_SIDE: usize = 0;

/// Shorter than what a proxy holds a request for, longer than any lease.
const SLEEP: &str = "3";

const PROBE_KEY: &str = "probe";

/// # Errors
/// When the system does not start or does not recover; here and below.
pub fn kill_primary(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = slotway(Shape::default(), rates)?;
    kill_primary_of(&cluster, case, seed, rate, RECOVERY_MAX)
}

/// # Errors
/// As above.
pub fn kill_primary_slow(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = apart(Links::Slow(SLOW), rates)?;
    kill_primary_of(&cluster, case, seed, rate, RECOVERY_MAX)
}

fn kill_primary_of(
    system: &dyn System,
    case: &Case,
    seed: u64,
    rate: u64,
    within: Duration,
) -> io::Result<Run> {
    let primary = system.primary()?;
    hurt(case.name, system, rate, seed, &mut |underway| {
        system.signal(&primary, Signal::Kill)?;
        another_leads(underway, &primary, within)
    })
}

/// # Errors
/// As above.
pub fn stop_primary(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = slotway(Shape::default(), rates)?;
    stop_primary_of(&cluster, case, seed, rate, RECOVERY_MAX)
}

const WOKEN: &str = "answers with data of the woken primary";

fn stop_primary_of(
    system: &dyn System,
    case: &Case,
    seed: u64,
    rate: u64,
    within: Duration,
) -> io::Result<Run> {
    let primary = system.primary()?;
    hurt(case.name, system, rate, seed, &mut |underway| {
        let mut direct = Asker::connect(&system.own_door(&primary)?)?;
        system.signal(&primary, Signal::Stop)?;
        // It will find these when it wakes, as it finds what other clients sent.
        direct.send(&[&["SET", PROBE_KEY, "1"], &["GET", PROBE_KEY]])?;
        let recovered = another_leads(underway, &primary, within);
        system.signal(&primary, Signal::Continue)?;
        recovered?;
        let mut served = 0.0;
        for _ in 0..2 {
            // Closing the connection is an answer as well: nothing was acknowledged.
            let Ok(reply) = direct.reply() else { break };
            served += if reply.as_error().is_none() { 1.0 } else { 0.0 };
        }
        underway.fact(WOKEN, served);
        if served > 0.0 && case.under == Under::Slotway {
            underway.complain("the woken primary answered with data");
        }
        wait("the woken one is in its place", WHOLE_MAX, || system.is_whole()).map(drop)
    })
}

/// The first primary, a proxy and its clients on one side, everybody else on the other.
///
/// # Errors
/// As above.
pub fn cut_primary(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = apart(Links::Fast, rates)?;
    let mut run = cut_apart(&cluster, case, (seed, rate), RECOVERY_MAX, &[(&FEW, &MOST), (&MOST, &FEW)])?;
    if run.facts.iter().any(|(name, value)| *name == super::run::PARKED && *value > PARKED_MS_MAX) {
        run.complaints.push(format!("the stale side answered for longer than {PARKED_MS_MAX} ms"));
    }
    Ok(run)
}

/// What the side of a primary that was cut off may still be answered.
const PARKED_MS_MAX: f64 = 400.0;

/// What the primary sends is lost, what is sent to it arrives.
///
/// # Errors
/// As above.
pub fn mute_primary(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = apart(Links::Fast, rates)?;
    cut_apart(&cluster, case, (seed, rate), RECOVERY_MAX, &[(&FEW[..1], &others())])
}

/// What is sent to the primary is lost, what it sends arrives.
///
/// # Errors
/// As above.
pub fn deafen_primary(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = apart(Links::Fast, rates)?;
    cut_apart(&cluster, case, (seed, rate), RECOVERY_MAX, &[(&others(), &FEW[..1])])
}

/// Everybody but the first primary.
fn others() -> Vec<&'static str> {
    [&MOST[..], &FEW[1..]].concat()
}

fn cut_apart(
    system: &dyn System,
    case: &Case,
    (seed, rate): (u64, u64),
    within: Duration,
    cuts: &[(&[&str], &[&str])],
) -> io::Result<Run> {
    let primary = system.primary()?;
    hurt(case.name, system, rate, seed, &mut |underway| {
        let from = underway.load.now();
        for (senders, receivers) in cuts {
            system.cut(senders, receivers)?;
        }
        let recovered = another_leads(underway, &primary, within);
        underway.run.cut =
            cuts.iter().any(|(senders, _)| *senders == FEW).then(|| (from, underway.load.now()));
        system.heal()?;
        recovered?;
        wait("the one that was cut off is in its place", WHOLE_MAX, || system.is_whole()).map(drop)
    })
}

/// # Errors
/// As above.
pub fn kill_replica(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = slotway(Shape { replicas: 1, ..Shape::default() }, rates)?;
    let replica = only_replica(&cluster)?;
    hurt(case.name, &cluster, rate, seed, &mut |underway| {
        cluster.signal(&replica, Signal::Kill)?;
        underway.wait_for_writes(MOST_SIDE, RECOVERY_MAX).map(drop)
    })
}

/// # Errors
/// As above.
pub fn stop_replica(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = slotway(Shape { replicas: 1, ..Shape::default() }, rates)?;
    let replica = only_replica(&cluster)?;
    hurt(case.name, &cluster, rate, seed, &mut |underway| {
        cluster.signal(&replica, Signal::Stop)?;
        let dropped = wait("the primary goes on alone", RECOVERY_MAX, || {
            cluster.api().shard().is_ok_and(|shard| shard["sync_set"].as_array().is_some_and(Vec::is_empty))
        });
        let recovered = dropped.and_then(|_| underway.wait_for_writes(MOST_SIDE, RECOVERY_MAX));
        cluster.signal(&replica, Signal::Continue)?;
        recovered?;
        wait("the woken one is in its place", WHOLE_MAX, || cluster.is_whole()).map(drop)
    })
}

fn only_replica(cluster: &Slotway) -> io::Result<String> {
    let shard = cluster.api().shard()?;
    let replica = shard["replicas"][0].as_str().map(str::to_owned);
    replica.ok_or_else(|| io::Error::other(format!("no replica: {shard}")))
}

/// # Errors
/// As above.
pub fn switchover(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = slotway(Shape::default(), rates)?;
    let primary = cluster.primary()?;
    hurt(case.name, &cluster, rate, seed, &mut |underway| {
        let (status, job) = cluster.api().call("POST", "/v1/shards/1/switchover?wait=10")?;
        if status != 200 || job["state"] != "done" {
            underway.complain(format!("the switchover was answered {status} {job}"));
            return Ok(());
        }
        another_leads(underway, &primary, RECOVERY_MAX)
    })
}

/// # Errors
/// As above.
pub fn kill_leader_and_primary(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = slotway(Shape::default(), rates)?;
    let (leader, primary) = (cluster.api().leader()?, cluster.primary()?);
    hurt(case.name, &cluster, rate, seed, &mut |underway| {
        cluster.signal(&leader, Signal::Kill)?;
        cluster.signal(&primary, Signal::Kill)?;
        another_leads(underway, &primary, RECOVERY_MAX)
    })
}

/// One after the other, the next when the cluster says that it is well.
///
/// # Errors
/// As above.
pub fn kill_every_process(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = slotway(Shape { restart: true, ..Shape::default() }, rates)?;
    let everybody = cluster.children();
    hurt(case.name, &cluster, rate, seed, &mut |_| {
        for (id, pid) in &everybody {
            cluster.signal(id, Signal::Kill)?;
            wait(&format!("{id} runs again and the cluster is well"), WHOLE_MAX, || {
                cluster.pid(id).is_ok_and(|now| now != *pid)
                    && cluster.api().get("/v1/cluster").is_ok_and(|view| view["state"] == "ok")
                    && cluster.is_whole()
            })?;
        }
        Ok(())
    })
}

/// # Errors
/// As above.
pub fn debug_sleep(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let shape =
        Shape { environment: vec![("SLOTWAY__REDIS__ENABLE_DEBUG_COMMAND", "yes")], ..Shape::default() };
    let (cluster, rate) = slotway(shape, rates)?;
    let (primary, epoch) = (cluster.primary()?, cluster.api().epoch()?);
    hurt(case.name, &cluster, rate, seed, &mut |underway| {
        Asker::connect(&cluster.own_door(&primary)?)?.must(&["DEBUG", "SLEEP", SLEEP])?;
        no_failover(underway, &cluster.api(), epoch)
    })
}

/// How many keys are walked by KEYS, and how often.
const MANY_KEYS: u64 = 5_000_000;
const WALKS: usize = 3;

/// # Errors
/// As above.
pub fn walk_keys(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    // No files: it is the length of one command that is looked at, not the disk.
    let (cluster, rate) = slotway(Shape { appendonly: false, replicas: 1, ..Shape::default() }, rates)?;
    super::run::fill(&cluster.client_doors()[0], MANY_KEYS)?;
    let (primary, epoch) = (cluster.primary()?, cluster.api().epoch()?);
    hurt(case.name, &cluster, rate, seed, &mut |underway| {
        let mut asker = Asker::connect(&cluster.own_door(&primary)?)?;
        let mut longest = Duration::ZERO;
        for _ in 0..WALKS {
            let began = Instant::now();
            // A pattern that nothing matches: all keys are looked at, none is sent.
            asker.must(&["KEYS", "no-such-key-*"])?;
            longest = longest.max(began.elapsed());
        }
        underway.fact("longest walk ms", longest.as_secs_f64() * 1000.0);
        no_failover(underway, &cluster.api(), epoch)
    })
}

fn no_failover(underway: &mut Underway<'_>, api: &Api, before: u64) -> io::Result<()> {
    let after = api.epoch()?;
    if after != before {
        underway.complain(format!("a failover: epoch {before} became {after}"));
    }
    underway.wait_for_writes(MOST_SIDE, RECOVERY_MAX).map(drop)
}

/// # Errors
/// As above.
pub fn lose_majority(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (cluster, rate) = slotway(Shape::default(), rates)?;
    let leader = cluster.api().leader()?;
    let other = if leader == "p3" { "p2" } else { "p3" };
    hurt(case.name, &cluster, rate, seed, &mut |underway| {
        cluster.signal(&leader, Signal::Kill)?;
        cluster.signal(other, Signal::Kill)?;
        underway.wait_for_writes(MOST_SIDE, RECOVERY_MAX)?;
        let (status, body) = cluster.api().call("POST", "/v1/shards/1/switchover?wait=10")?;
        let says_why = body["error"]["message"].as_str().or(body["error"].as_str()).is_some();
        if status == 200 && body["state"] == "done" || !says_why {
            underway.complain(format!("a switchover without a majority was answered {status} {body}"));
        }
        underway.wait_for_writes(MOST_SIDE, RECOVERY_MAX).map(drop)
    })
}

/// # Errors
/// As above.
pub fn restart_all(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (mut cluster, rate) = slotway(Shape::default(), rates)?;
    super::run::restart(case.name, &mut cluster, (rate, seed), |cluster, load| {
        let record = load.end()?;
        cluster.stop()?;
        Ok(record)
    })
}

/// # Errors
/// As above.
pub fn lose_power(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let environment = vec![("SLOTWAY__REDIS__APPENDFSYNC", "always")];
    let (mut cluster, rate) = slotway(Shape { environment, ..Shape::default() }, rates)?;
    super::run::restart(case.name, &mut cluster, (rate, seed), |cluster, load| {
        // In the middle of the load.
        cluster.kill_all();
        load.end()
    })
}

/// # Errors
/// As above.
pub fn sentinel_kill_default(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (group, rate) = sentinel(DownAfter::Default, rates)?;
    kill_primary_of(&group, case, seed, rate, CONTROL_RECOVERY_MAX)
}

/// # Errors
/// As above.
pub fn sentinel_kill(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (group, rate) = sentinel(TUNED, rates)?;
    kill_primary_of(&group, case, seed, rate, CONTROL_RECOVERY_MAX)
}

/// # Errors
/// As above.
pub fn sentinel_stop(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (group, rate) = sentinel(TUNED, rates)?;
    stop_primary_of(&group, case, seed, rate, CONTROL_RECOVERY_MAX)
}

/// # Errors
/// As above.
pub fn sentinel_cut(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (group, rate) = sentinel(TUNED, rates)?;
    let both: [(&[&str], &[&str]); 2] = [(&FEW, &MOST), (&MOST, &FEW)];
    cut_apart(&group, case, (seed, rate), CONTROL_RECOVERY_MAX, &both)
}

/// # Errors
/// As above.
pub fn sentinel_sleep(case: &Case, seed: u64, rates: &mut Rates) -> io::Result<Run> {
    let (group, rate) = sentinel(TUNED, rates)?;
    let primary = group.primary()?;
    hurt(case.name, &group, rate, seed, &mut |underway| {
        Asker::connect(&group.own_door(&primary)?)?.must(&["DEBUG", "SLEEP", SLEEP])?;
        underway.wait_for_writes(MOST_SIDE, CONTROL_RECOVERY_MAX)?;
        let failed_over = group.primary()? != primary;
        underway.fact("failovers", if failed_over { 1.0 } else { 0.0 });
        Ok(())
    })
}

const TUNED: DownAfter = DownAfter::Millis(1000);

fn sentinel(down_after: DownAfter, rates: &mut Rates) -> io::Result<(Sentinel, u64)> {
    let plain = || {
        let group = Sentinel::start(Links::Fast, TUNED)?;
        Ok(Box::new(group) as Box<dyn System>)
    };
    let rate = rates.of(Under::Sentinel, plain)?;
    Ok((Sentinel::start(Links::Slow(SLOW), down_after)?, rate))
}

fn apart(links: Links, rates: &mut Rates) -> io::Result<(Apart, u64)> {
    let rate = super::run::slotway_rate(rates)?;
    Ok((Apart::start(links)?, rate))
}

/// Waits until another leads and writes go on.
fn another_leads(underway: &mut Underway<'_>, before: &str, within: Duration) -> io::Result<()> {
    wait("another leads", within, || underway.system.primary().is_ok_and(|now| now != before))?;
    underway.wait_for_writes(MOST_SIDE, within).map(drop)
}
