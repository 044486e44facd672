//! One run of a case: start, load, hurt, recover, read back, judge.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use super::{
    cases::Under,
    judge::{Judgement, judge},
    load::{Load, Record, Side, nanoseconds},
    place::Door,
    read_back::read_back,
    request::{Became, NEVER, Request},
    slotway::{Shape, Slotway, keep_logs},
    system::{System, WHOLE_MAX, wait},
};
use crate::bench::{
    histogram::Histogram,
    load::{Length, Settings, closed::ClosedLoop},
    workload::Mix,
};

/// The part of what a system can do that the load asks for.
const LOAD_PERCENT: u64 = 30;

/// How long the capacity is measured.
const CAPACITY_FOR: Duration = Duration::from_secs(2);

/// Load before a fault, and after the system has recovered from it.
const WARM_UP: Duration = Duration::from_millis(700);
const AFTERWARDS: Duration = Duration::from_millis(1500);

/// What one run brought.
#[derive(Debug, Default)]
pub struct Run {
    /// The longest time between two acknowledged writes, from the fault on.
    pub gap: Duration,
    pub acknowledged: u64,
    /// Answers that are no data, by their first word, and how many of them.
    pub errors: BTreeMap<String, u64>,
    pub judgement: Judgement,
    /// From when a request was meant to leave.
    pub latency: Histogram,
    /// What else the case looked at, in milliseconds or as a count.
    pub facts: Vec<(&'static str, f64)>,
    /// What must not have been.
    pub complaints: Vec<String>,
    /// From when to when the second side was cut off.
    pub cut: Option<(u64, u64)>,
}

/// How long the side that was cut off was answered with data.
pub const PARKED: &str = "stale side answered for ms";

/// Requests per second, measured once for each system.
#[derive(Debug)]
pub struct Rates {
    fixed: Option<u64>,
    measured: BTreeMap<&'static str, (u64, u64)>,
}

impl Rates {
    #[must_use]
    pub fn new(fixed: Option<u64>) -> Rates {
        Rates { fixed, measured: BTreeMap::new() }
    }

    /// 30 % of what the system can do.
    ///
    /// # Errors
    /// When it does not start or falls silent.
    pub fn of(
        &mut self,
        under: Under,
        start: impl FnOnce() -> io::Result<Box<dyn System>>,
    ) -> io::Result<u64> {
        if let Some(fixed) = self.fixed {
            return Ok(fixed);
        }
        if let Some((_, rate)) = self.measured.get(under.name()) {
            return Ok(*rate);
        }
        let system = start()?;
        let capacity = capacity(&system.sides()[0])?;
        let rate = (capacity * LOAD_PERCENT / 100).max(100);
        eprintln!("{} takes {capacity} requests per second; the load is {rate}", under.name());
        self.measured.insert(under.name(), (capacity, rate));
        Ok(rate)
    }

    /// What the load was, for the head of the table.
    #[must_use]
    pub fn told(&self) -> String {
        if let Some(fixed) = self.fixed {
            return format!("Load: {fixed} requests per second.");
        }
        let each = self.measured.iter();
        let each = each.map(|(name, (capacity, rate))| format!("{name} {rate} of {capacity}"));
        format!(
            "Load, requests per second of what the system takes: {}.",
            each.collect::<Vec<_>>().join(", ")
        )
    }
}

/// SETs, each client waiting for its answer.
fn capacity(side: &Side) -> io::Result<u64> {
    let door = &side.doors[0];
    let mix = Mix::Mixed { get_percent: 20 };
    let settings = closed(door, side.lanes, Length::For(CAPACITY_FOR), mix, 10_000);
    let measure = || ClosedLoop::connect(&settings).and_then(ClosedLoop::run).map_err(io::Error::other);
    let looped = door.place.run(measure)?;
    let micros = looped.elapsed.as_micros().max(1);
    Ok(u64::try_from(u128::from(looped.operations) * 1_000_000 / micros).unwrap_or(0))
}

/// A run under way.
pub struct Underway<'s> {
    pub system: &'s dyn System,
    pub load: &'s Load,
    pub rate: u64,
    pub run: Run,
}

impl Underway<'_> {
    /// Writes acknowledged to clients of a side.
    #[must_use]
    pub fn acknowledged(&self, side: usize) -> u64 {
        self.load.progress[side].acknowledged.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Waits until writes of a side are acknowledged at the pace of the load again.
    ///
    /// # Errors
    /// When they are not in time.
    pub fn wait_for_writes(&self, side: usize, within: Duration) -> io::Result<Duration> {
        let enough = (self.rate / 20).max(5);
        let mut from = (Instant::now(), self.acknowledged(side));
        wait("writes are acknowledged again", within, || {
            // So many in a tenth of a second, about what is asked for by one side at least.
            if from.0.elapsed() > Duration::from_millis(200) {
                from = (Instant::now(), self.acknowledged(side));
            }
            self.acknowledged(side) > from.1 + enough / 4
        })
    }

    pub fn fact(&mut self, name: &'static str, value: f64) {
        self.run.facts.push((name, value));
    }

    pub fn complain(&mut self, text: impl Into<String>) {
        self.run.complaints.push(text.into());
    }
}

/// A fault, and the system's recovery from it. When it returns, the load has gone on for a while and stops.
pub type Fault<'f> = dyn FnMut(&mut Underway<'_>) -> io::Result<()> + 'f;

/// Runs a load against a system that is whole, hurts it, and judges.
///
/// # Errors
/// When the system does not recover; whatever is found otherwise is in the run.
pub fn hurt(name: &str, system: &dyn System, rate: u64, seed: u64, fault: &mut Fault<'_>) -> io::Result<Run> {
    let load = Load::start(system.sides(), rate, seed)?;
    let mut underway = Underway { system, load: &load, rate, run: Run::default() };
    let warmed = pass(&underway, WARM_UP);
    let begun = load.now();
    let hurt = warmed.and_then(|()| fault(&mut underway)).and_then(|()| pass(&underway, AFTERWARDS));
    let mut run = underway.run;
    let ended = load.now();
    let record = load.end()?;
    measure(&record, begun, ended, &mut run);
    let judged = hurt.and_then(|()| {
        system.heal()?;
        wait("all that lives is where it belongs again", WHOLE_MAX, || system.is_whole())?;
        Ok(judge(&record, &read_back(&system.reader()?, &record)?))
    });
    match judged {
        Ok(judgement) => run.judgement = judgement,
        Err(error) => run.complaints.push(error.to_string()),
    }
    keep_what_was_found(name, system, &run)?;
    Ok(run)
}

/// The load goes on for so long. (It is the time itself that is wanted here, no condition.)
fn pass(underway: &Underway<'_>, time: Duration) -> io::Result<()> {
    let until = underway.load.now() + nanoseconds(time);
    wait("the load went on", time * 3, || underway.load.now() >= until).map(drop)
}

/// What can be said of a record without knowing what is there.
fn measure(record: &Record, begun: u64, ended: u64, run: &mut Run) {
    let mut moments: Vec<u64> = Vec::new();
    for request in &record.requests {
        let since_due = |until: u64| Duration::from_nanos(until.saturating_sub(request.due));
        match request.became {
            Became::Done(_) => {
                run.latency.record(since_due(request.answered));
                if request.what.writes() && record.side_of(request) == 0 {
                    moments.push(request.answered);
                }
            }
            Became::Refused(error) | Became::Unknown(error) => {
                *run.errors.entry(kind(&record.errors[error])).or_default() += 1;
            }
            Became::NotSent => *run.errors.entry("not connected".to_owned()).or_default() += 1,
        }
    }
    if let Some((from, to)) = run.cut {
        let few = record.requests.iter().filter(|request| record.side_of(request) == 1);
        let answered = few.filter_map(was_served).filter(|at| (from..to).contains(at));
        let last = answered.max().unwrap_or(from);
        run.facts.push((PARKED, Duration::from_nanos(last - from).as_secs_f64() * 1000.0));
    }
    run.acknowledged = u64::try_from(moments.len()).unwrap_or(0);
    run.gap = Duration::from_nanos(longest_gap(moments, begun, ended));
}

/// The longest time without an acknowledgement that ends after `begun`; to the end, if none came any more.
fn longest_gap(mut moments: Vec<u64>, begun: u64, ended: u64) -> u64 {
    moments.retain(|moment| *moment <= ended);
    moments.sort_unstable();
    let last = moments.last().copied().unwrap_or(0);
    let pairs = moments.windows(2).filter(|pair| pair[1] >= begun).map(|pair| pair[1] - pair[0]);
    pairs.chain([ended.saturating_sub(last)]).max().unwrap_or(0)
}

/// An error by what users know it by: its first word, or all of it where it is none of the server's.
fn kind(error: &str) -> String {
    let first = error.split(' ').next().unwrap_or_default();
    let is_code = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_code && first != "EXEC" { first.to_owned() } else { error.to_owned() }
}

/// When a request was answered with data.
fn was_served(request: &Request) -> Option<u64> {
    matches!(request.became, Became::Done(_)).then_some(request.answered).filter(|at| *at != NEVER)
}

/// A load that ends with the whole system, which is started again.
///
/// # Errors
/// When it does not come back.
pub fn restart(
    name: &str,
    cluster: &mut Slotway,
    (rate, seed): (u64, u64),
    end: impl FnOnce(&mut Slotway, Load) -> io::Result<Record>,
) -> io::Result<Run> {
    let load = Load::start(cluster.sides(), rate, seed)?;
    let enough = Duration::from_secs(2);
    wait("the load went on", enough * 3, || load.clock.elapsed() >= enough)?;
    let ended = load.now();
    let record = end(cluster, load)?;
    let began = Instant::now();
    cluster.start_again()?;
    let mut run = Run::default();
    run.facts.push(("whole again after ms", began.elapsed().as_secs_f64() * 1000.0));
    measure(&record, ended, ended, &mut run);
    run.gap = Duration::ZERO;
    run.judgement = judge(&record, &read_back(&cluster.reader()?, &record)?);
    keep_what_was_found(name, cluster, &run)?;
    Ok(run)
}

fn keep_what_was_found(name: &str, system: &dyn System, run: &Run) -> io::Result<()> {
    if run.judgement.is_clean() && run.complaints.is_empty() {
        return Ok(());
    }
    let kept = keep_logs(system.directory(), name)?;
    eprintln!("{name}: logs are kept in {}", kept.display());
    for words in &run.judgement.words {
        eprintln!("  {words}");
    }
    Ok(())
}

/// So many keys, each once.
///
/// # Errors
/// When somebody refuses one.
pub fn fill(door: &Door, keys: u64) -> io::Result<()> {
    let settings = Settings { pipeline: 100, ..closed(door, 8, Length::Requests(keys), Mix::Load, keys) };
    let filled = ClosedLoop::connect(&settings).and_then(ClosedLoop::run).map_err(io::Error::other)?;
    match filled.errors {
        0 => Ok(()),
        errors => Err(io::Error::other(format!("{errors} errors while filling: {}", filled.last_error))),
    }
}

/// A closed loop of small requests.
#[must_use]
pub fn closed(door: &Door, connections: usize, length: Length, mix: Mix, keys: u64) -> Settings {
    Settings { address: door.address, connections, pipeline: 1, length, mix, value_bytes: 8, keys, seed: 1 }
}

/// The rate of Slotway's load.
///
/// # Errors
/// When it does not start.
pub fn slotway_rate(rates: &mut Rates) -> io::Result<u64> {
    let plain = || Slotway::start(Shape::default()).map(|system| Box::new(system) as Box<dyn System>);
    rates.of(Under::Slotway, plain)
}

/// A cluster in the shape that a case wants, and the rate for it.
///
/// # Errors
/// When it does not start.
pub fn slotway(shape: Shape, rates: &mut Rates) -> io::Result<(Slotway, u64)> {
    let rate = slotway_rate(rates)?;
    Ok((Slotway::start(shape)?, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_looked_for_from_the_fault_on_and_to_the_end() {
        let check = |moments: &[u64], expected| assert_eq!(longest_gap(moments.to_vec(), 100, 200), expected);
        check(&[10, 90, 110, 150, 195], 45);
        check(&[95, 165, 160, 199], 65);
        check(&[95, 99], 101);
        check(&[], 200);
    }

    #[test]
    fn an_error_is_known_by_its_code() {
        assert_eq!(kind("TRYAGAIN shard # has no primary, held # ms"), "TRYAGAIN");
        assert_eq!(kind("connection lost"), "connection lost");
        assert_eq!(kind("EXEC answered null"), "EXEC answered null");
    }
}
