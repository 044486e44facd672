//! The second table of `slotway-bench memory`: what small collections and one large sorted set take.
//!
//! Each shape is filled into a fresh process, so that no allocator works with what another shape left behind.

use super::commands::fill_with;
use super::failure::Failure;
use super::memory::{PerKey, bytes_per};
use super::peers::{Peers, REDIS, SLOTWAY_NODE};
use super::process::MEASURED;
use super::report::Table;
use super::rounds::{Plan, Spread};
use super::targets::{SHAPES_AT_MOST, Verdict};

/// One shape, and the request that makes one of it.
struct Shape {
    name: &'static str,
    /// What the bytes are counted by.
    unit: &'static str,
    text: &'static str,
    /// Times as many as the plan has keys.
    times: u64,
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "hash of 7 fields",
        unit: "hash",
        text: "HSET h:# name alice city london age 42 mail a@example.org score 1234 state active since 20240131",
        times: 1,
    },
    Shape {
        name: "list of 8 elements",
        unit: "list",
        text: "RPUSH l:# job:1 job:22 job:333 job:4444 17 another-job 123456789 the-last-of-these",
        times: 1,
    },
    Shape {
        name: "set of 8 words",
        unit: "set",
        text: "SADD s:# red green blue yellow magenta cyan black transparent",
        times: 1,
    },
    Shape { name: "set of 8 numbers", unit: "set", text: "SADD i:# 1 22 333 4444 5 66 777 8888", times: 1 },
    Shape {
        name: "sorted set of 8 members",
        unit: "sorted set",
        text: "ZADD z:# 1 ann 2.5 bob 30 carol 1000 dave 5 erin 66 frank 7.25 grace 888 heidi",
        times: 1,
    },
    Shape { name: "one large sorted set", unit: "member", text: "ZADD large # member:=", times: 10 },
];

/// # Errors
/// When a system is missing, does not start or does not answer.
pub(super) fn run(peers: &Peers, plan: &Plan) -> Result<(Table, Vec<Verdict>), Failure> {
    let ours_name = format!("{SLOTWAY_NODE}, resident");
    let theirs_name = format!("{REDIS}, resident");
    let mut table =
        Table::new(["bytes", "how many", SLOTWAY_NODE, REDIS, ours_name.as_str(), theirs_name.as_str()]);
    let mut verdicts = Vec::new();
    for shape in SHAPES {
        let count = plan.keys * shape.times;
        eprintln!("{count} times: {}", shape.name);
        let ours = measure(&peers.node(SLOTWAY_NODE, &[])?, shape, count)?;
        let theirs = measure(&peers.redis(MEASURED)?, shape, count)?;
        table.row([
            format!("{}: per {}", shape.name, shape.unit),
            count.to_string(),
            format!("{:.1}", ours.used),
            format!("{:.1}", theirs.used),
            format!("{:.1}", ours.resident),
            format!("{:.1}", theirs.resident),
        ]);
        verdicts.push(Verdict {
            what: format!("used_memory per {}, {}: {SLOTWAY_NODE} / {REDIS}", shape.unit, shape.name),
            measured: Spread::of([ours.used / theirs.used]),
            at_most: SHAPES_AT_MOST,
            goal: None,
        });
    }
    Ok((table, verdicts))
}

fn measure(process: &super::process::Process, shape: &Shape, count: u64) -> Result<PerKey, Failure> {
    bytes_per(process, count, |process| fill_with(process, shape.text, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_collections_have_five_to_ten_elements() {
        for shape in SHAPES.iter().filter(|shape| shape.times == 1) {
            let words = shape.text.split(' ').count() - 2;
            let paired = shape.text.starts_with("HSET") || shape.text.starts_with("ZADD");
            let elements = if paired { words / 2 } else { words };
            assert!((5..=10).contains(&elements), "{}", shape.name);
        }
    }
}
