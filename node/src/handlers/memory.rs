//! MEMORY: what the data and the node take.

use slotway_cluster::Database;
use slotway_cluster::slot::DATABASES;
use slotway_resp::{Version, write};

use super::arguments::{SYNTAX, count, integer, is};
use crate::{
    call::{Call, Done, Refusal},
    keyspace::Overhead,
    memory::Reading,
    node::Node,
    server_call::ServerCall,
};

/// Elements that a value is judged by when MEMORY USAGE is not told how many.
const USUAL_SAMPLES: usize = 5;

/// `MEMORY USAGE key [SAMPLES count]`: about how many bytes the key with its value holds.
pub(crate) fn usage(call: &mut Call<'_>) -> Done {
    let samples = samples(call)?;
    let key = call.nth_key(0, 2);
    match call.keyspace.bytes_of(key, samples) {
        Some(bytes) => write::integer(call.out, count(bytes)),
        None => write::null(call.out, call.version),
    }
    Ok(())
}

fn samples(call: &Call<'_>) -> Result<usize, Refusal> {
    let mut samples = USUAL_SAMPLES;
    let mut words = call.request.words().skip(3);
    while let Some(word) = words.next() {
        let value = words.next().filter(|_| is(word, "SAMPLES")).ok_or(SYNTAX)?;
        samples = usize::try_from(integer(value)?).map_err(|_| SYNTAX)?;
    }
    Ok(samples)
}

/// One line of MEMORY STATS.
enum Figure {
    Count(u64),
    Ratio(u64, u64),
    /// May be below zero.
    Difference(u64, u64),
    Percent(u64, u64),
    /// A map of a database's own.
    Tables(Overhead),
}

use Figure::{Count, Difference, Percent, Ratio, Tables};

/// A line for each database that has keys.
fn databases(node: &Node) -> Vec<(String, Overhead)> {
    let databases = (0..DATABASES).map(Database).filter(|&database| node.keyspace.len(database) > 0);
    databases.map(|database| (format!("db.{}", database.0), node.keyspace.overhead(database))).collect()
}

fn figures(node: &mut Node) -> Vec<(String, Figure)> {
    let Reading { allocated, active, resident } = node.memory.read();
    let clients: usize = node.clients.iter().map(|client| client.memory_bytes()).sum();
    let clients = u64::try_from(clients).unwrap_or(u64::MAX);
    let (startup, peak) = (node.memory.startup, node.memory.peak);
    let databases = databases(node);
    let overhead = startup.saturating_add(clients).saturating_add(node.overhead_bytes());
    let dataset = allocated.saturating_sub(overhead);
    let keys = node.keys();
    let before = [
        ("peak.allocated", Count(peak)),
        ("total.allocated", Count(allocated)),
        ("startup.allocated", Count(startup)),
        ("replication.backlog", Count(0)),
        ("clients.slaves", Count(0)),
        ("clients.normal", Count(clients)),
        ("cluster.links", Count(0)),
        ("aof.buffer", Count(0)),
        ("lua.caches", Count(0)),
        ("functions.caches", Count(0)),
    ];
    let behind = [
        ("overhead.total", Count(overhead)),
        ("keys.count", Count(keys)),
        ("keys.bytes-per-key", Count(allocated.saturating_sub(startup).checked_div(keys).unwrap_or(0))),
        ("dataset.bytes", Count(dataset)),
        ("dataset.percentage", Percent(dataset, allocated.saturating_sub(startup))),
        ("peak.percentage", Percent(allocated, peak)),
        ("allocator.allocated", Count(allocated)),
        ("allocator.active", Count(active)),
        ("allocator.resident", Count(resident)),
        ("allocator-fragmentation.ratio", Ratio(active, allocated)),
        ("allocator-fragmentation.bytes", Difference(active, allocated)),
        ("allocator-rss.ratio", Ratio(resident, active)),
        ("allocator-rss.bytes", Difference(resident, active)),
        ("rss-overhead.ratio", Ratio(resident, resident)),
        ("rss-overhead.bytes", Count(0)),
        ("fragmentation", Ratio(resident, allocated)),
        ("fragmentation.bytes", Difference(resident, allocated)),
    ];
    let named = |(name, figure): (&str, Figure)| (name.to_owned(), figure);
    let databases = databases.into_iter().map(|(name, overhead)| (name, Tables(overhead)));
    before.map(named).into_iter().chain(databases).chain(behind.map(named)).collect()
}

pub(crate) fn stats(call: &mut ServerCall<'_>) -> Done {
    let version = call.version();
    let figures = figures(call.node);
    write::map(call.out, version, figures.len());
    for (name, figure) in figures {
        write::bulk(call.out, name.as_bytes());
        write_figure(call.out, version, &figure);
    }
    Ok(())
}

fn write_figure(out: &mut Vec<u8>, version: Version, figure: &Figure) {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    match *figure {
        Count(number) => write::integer(out, signed(number)),
        Difference(more, less) => write::integer(out, signed(more) - signed(less)),
        Ratio(of, through) => write::double(out, version, share(of, through)),
        Percent(of, whole) => write::double(out, version, share(of, whole) * 100.0),
        Tables(overhead) => {
            // Keys lie in a table of their slot's: nothing leads from slots to keys beside it.
            let lines = [
                ("overhead.hashtable.main", overhead.tables),
                ("overhead.hashtable.expires", overhead.deadlines),
                ("overhead.hashtable.slot-to-keys", 0),
            ];
            write::map(out, version, lines.len());
            for (name, bytes) in lines {
                write::bulk(out, name.as_bytes());
                write::integer(out, count(bytes));
            }
        }
    }
}

fn share(of: u64, whole: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    let share = if whole == 0 { 0.0 } else { of as f64 / whole as f64 };
    share
}

/// A node with less than this has nothing worth a diagnosis.
const SMALL_BYTES: u64 = 5 << 20;

/// `MEMORY DOCTOR`: what is unusual, in words.
pub(crate) fn doctor(call: &mut ServerCall<'_>) -> Done {
    let Reading { allocated, active, resident } = call.node.memory.read();
    let peak = call.node.memory.peak;
    let limit = call.node.bounds.memory_bytes_max;
    let mut findings = Vec::new();
    if allocated < SMALL_BYTES {
        findings.push("There is hardly any data here, so nothing can be said of its memory.");
    } else {
        if share(peak, allocated) > 1.5 {
            findings
                .push("Memory was used half as much again as now; the system may not have it all back yet.");
        }
        if share(active, allocated) > 1.4 {
            findings.push(
                "The allocator's pages have many holes: values of other sizes will fill them, or a restart.",
            );
        }
        if share(resident, active) > 1.4 {
            findings
                .push("The allocator holds pages that it does not use; it gives them back within seconds.");
        }
        if limit != 0 && allocated > limit {
            findings.push("Memory is above maxmemory: see maxmemory-policy, and current_eviction_exceeded_time in INFO.");
        }
        if findings.is_empty() {
            findings.push("Nothing unusual.");
        }
    }
    write::verbatim(call.out, call.version(), "txt", (findings.join("\n") + "\n").as_bytes());
    Ok(())
}

/// `MEMORY MALLOC-STATS`: the allocator's sums.
pub(crate) fn malloc_stats(call: &mut ServerCall<'_>) -> Done {
    let mut text = String::from("jemalloc, bytes:\n");
    for (name, bytes) in call.node.memory.allocator() {
        text.push_str(&format!("{name}: {bytes}\n"));
    }
    write::verbatim(call.out, call.version(), "txt", text.as_bytes());
    Ok(())
}

/// `MEMORY PURGE`: gives up the room that is kept for later. Pages that are free then go back to the system within
/// seconds, as the allocator always does it.
pub(crate) fn purge(call: &mut ServerCall<'_>) -> Done {
    call.node.transaction_room = Default::default();
    write::simple(call.out, "OK");
    Ok(())
}
