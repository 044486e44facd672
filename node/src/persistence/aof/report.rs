//! What INFO says of the log: Redis's fields, in its words.

use crate::{call::Millis, node::Node};

/// The value of a field of INFO's section "persistence", or of what the log takes of memory; None: it is not of the log,
/// or not shown while there is none.
pub(crate) fn field(node: &Node, name: &str, now: Millis) -> Option<String> {
    let log = &node.persistence.log;
    let (facts, rewrites) = (log.facts(), &log.rewrites);
    let seconds = |seconds: Option<u64>| seconds.map_or("-1".to_owned(), |seconds| seconds.to_string());
    let flag = |is: bool| u8::from(is).to_string();
    let status = |has_failed: bool| if has_failed { "err" } else { "ok" }.to_owned();
    let of_enabled = |value: u64| facts.is_enabled.then(|| value.to_string());
    match name {
        "aof_enabled" => Some(flag(facts.is_enabled)),
        "aof_rewrite_in_progress" => Some(flag(rewrites.is_running())),
        "aof_rewrite_scheduled" => Some(flag(rewrites.is_scheduled())),
        "aof_last_rewrite_time_sec" => Some(seconds(rewrites.took_seconds())),
        "aof_current_rewrite_time_sec" => Some(seconds(rewrites.running_seconds(now))),
        "aof_last_bgrewrite_status" => Some(status(rewrites.has_failed())),
        "aof_rewrites" => Some(rewrites.count.to_string()),
        "aof_rewrites_consecutive_failures" => Some(rewrites.failures_in_a_row.to_string()),
        "aof_last_write_status" => Some(status(facts.has_failed)),
        "aof_last_cow_size" => Some(rewrites.set_aside_bytes_max.to_string()),
        "mem_aof_buffer" => Some(facts.buffer_bytes.to_string()),
        "aof_current_size" => of_enabled(facts.current_bytes),
        "aof_base_size" => of_enabled(rewrites.base_bytes),
        "aof_pending_rewrite" => of_enabled(u64::from(rewrites.is_scheduled())),
        "aof_buffer_length" => of_enabled(facts.buffer_bytes),
        "aof_pending_bio_fsync" => of_enabled(facts.pending_syncs),
        "aof_delayed_fsync" => of_enabled(facts.delayed_syncs),
        _ => None,
    }
}
