//! INFO: the primaries' texts merged field by field, with what only the proxy can say in place of theirs.

use std::{rc::Rc, sync::atomic::Ordering};

use slotway_commands::info;
use slotway_resp::{Frame, Limits, Version, write};

use crate::{
    dispatch::Case,
    errors::MALFORMED,
    every_shard,
    gather::{self, Merge},
    metrics::Counters,
    thread::Thread,
};

pub(crate) fn run(case: &mut Case<'_>) {
    let (thread, version) = (Rc::clone(case.thread), case.client.version.get());
    let merge = move |parts: Vec<Vec<u8>>, out: &mut Vec<u8>| {
        let texts: Vec<String> = parts.iter().filter_map(|part| text_of(part)).collect();
        // A shard that is down must not blind whoever watches the others; many clients ask INFO before anything else.
        if texts.is_empty() {
            return out.extend_from_slice(gather::first_error(&parts).unwrap_or(MALFORMED));
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let own = |field: &str| own(&thread, field);
        write_text(out, version, &info::merge(&texts, &own));
    };
    let shards: Vec<usize> = (0..case.thread.shard_count()).collect();
    every_shard::fan_out(case, &shards, Merge::Custom(Box::new(merge)));
}

fn write_text(out: &mut Vec<u8>, version: Version, text: &str) {
    write::verbatim(out, version, "txt", text.as_bytes());
}

pub(super) fn text_of(part: &[u8]) -> Option<String> {
    match Frame::parse(part, &Limits::REPLY) {
        Ok(Some((Frame::Bulk(text) | Frame::Verbatim { text, .. }, _))) => {
            Some(String::from_utf8_lossy(&text).into_owned())
        }
        _ => None,
    }
}

/// What this proxy says of itself in place of what its nodes say.
fn own(thread: &Thread, field: &str) -> Option<String> {
    let shared = &thread.shared;
    let sum = |read: fn(&Counters) -> u64| shared.counters.iter().map(|counters| read(counters)).sum::<u64>();
    let uptime = shared.started.elapsed().as_secs();
    Some(match field {
        "redis_version" => info::REDIS_VERSION.to_owned(),
        "slotway_version" => env!("CARGO_PKG_VERSION").to_owned(),
        "redis_mode" => "standalone".to_owned(),
        "role" => "master".to_owned(),
        "loading" => "0".to_owned(),
        "process_id" => std::process::id().to_string(),
        "run_id" => shared.run_id.clone(),
        "tcp_port" => shared.port.to_string(),
        "uptime_in_seconds" => uptime.to_string(),
        "uptime_in_days" => (uptime / 86_400).to_string(),
        "connected_clients" => shared.connected().to_string(),
        "maxclients" => shared.settings.load().count(slotway_config::Key::Maxclients).to_string(),
        "total_connections_received" => (shared.next_client_id.load(Ordering::Relaxed) - 1).to_string(),
        "total_commands_processed" => sum(Counters::total_requests).to_string(),
        "total_net_input_bytes" => sum(|counters| counters.bytes_from_clients.get()).to_string(),
        "total_net_output_bytes" => sum(|counters| counters.bytes_to_clients.get()).to_string(),
        "rejected_connections" => shared.clients_refused.load(Ordering::Relaxed).to_string(),
        "connected_slaves" => "0".to_owned(),
        "cluster_enabled" => "0".to_owned(),
        "slotway_topology_version" => thread.topology().version.to_string(),
        "slotway_held_requests" => {
            shared.counters.iter().map(|counters| counters.held_requests()).sum::<u64>().to_string()
        }
        _ => return None,
    })
}
