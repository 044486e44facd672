//! What waiting for replicas costs: the same load with `durability quorum` and `durability async`, one after the other.

use std::{io, time::Duration};

use super::{
    cases::Case,
    place::Door,
    run::{Rates, Run, closed},
    slotway::{Shape, Slotway},
};
use crate::bench::{
    load::{Length, Outcome, Settings, closed::ClosedLoop},
    workload::Mix,
};

const MEASURE_FOR: Duration = Duration::from_secs(2);

/// Part of async's throughput that quorum must reach.
const AT_LEAST: f64 = 0.9;

/// Depth of pipelining, connections.
const LOADS: [(usize, usize); 2] = [(16, 50), (1, 200)];

const RATIOS: [&str; 2] = ["quorum / async at pipeline 16", "quorum / async at 200 connections"];

/// # Errors
/// When a cluster does not start.
pub fn compare(_: &Case, seed: u64, _: &mut Rates) -> io::Result<Run> {
    let mut order = ["quorum", "async"];
    // Whoever comes second finds a warmer machine, or a more tired one.
    if seed.is_multiple_of(2) {
        order.reverse();
    }
    let mut found = Vec::new();
    for durability in order {
        let cluster = Slotway::start(Shape { durability, ..Shape::default() })?;
        found.push((durability, LOADS.map(|load| measure(&cluster.client_doors()[0], load))));
    }
    found.sort_by_key(|(durability, _)| *durability != "quorum");
    let [(_, quorum), (_, open)] =
        <[_; 2]>::try_from(found).map_err(|_| io::Error::other("two were measured"))?;
    let mut run = Run::default();
    for ((name, quorum), open) in RATIOS.into_iter().zip(quorum).zip(open) {
        let (quorum, open) = (quorum?, open?);
        let ratio = per_second(&quorum) / per_second(&open);
        run.facts.push((name, ratio));
        run.latency = quorum.latency;
        if ratio < AT_LEAST {
            run.complaints.push(format!("{name}: {ratio:.2}, below {AT_LEAST}"));
        }
        if name == RATIOS[1] {
            let millis = |quantile: Duration| quantile.as_secs_f64() * 1000.0;
            run.facts.push(("p50 quorum ms", millis(run.latency.per_mille(500))));
            run.facts.push(("p50 async ms", millis(open.latency.per_mille(500))));
        }
    }
    Ok(run)
}

fn measure(door: &Door, (pipeline, connections): (usize, usize)) -> io::Result<Outcome> {
    let settings = closed(door, connections, Length::For(MEASURE_FOR), Mix::Set, 100_000);
    let settings = Settings { pipeline, ..settings };
    ClosedLoop::connect(&settings).and_then(ClosedLoop::run).map_err(io::Error::other)
}

fn per_second(outcome: &Outcome) -> f64 {
    outcome.operations as f64 / outcome.elapsed.as_secs_f64()
}
