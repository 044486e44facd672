//! What INFO and the metrics say of snapshots and of loading. (What they say of the log stands with the log.)
//!
//! The fields are Redis's; of "copy on write" what comes closest is shown: the old values that are kept for a snapshot.

use std::sync::atomic::Ordering::Relaxed;

use super::{loading::Loading, save::Outcome};
use crate::{call::Millis, node::Node};

/// The value of a field of INFO's section "persistence"; None: it is not of this room, or not shown now.
pub(crate) fn field(node: &Node, name: &str, now: Millis) -> Option<String> {
    let persistence = &node.persistence;
    if let Some(text) = of_loading(persistence.loading.as_ref(), name, now) {
        return Some(text);
    }
    let saves = &persistence.saves;
    let present = saves.present();
    let walk = persistence.desk.walk().filter(|_| present.is_some());
    let keys_saved = walk.map_or(0, |walk| node.keyspace.walked_keys(walk));
    let seconds = |seconds: Option<u64>| seconds.map_or("-1".to_owned(), |seconds| seconds.to_string());
    Some(match name {
        "current_cow_size" => walk.map_or(0, |walk| node.keyspace.set_aside_bytes(walk)).to_string(),
        "current_cow_peak" => node.snapshots.set_aside_bytes_max.to_string(),
        "snapshot_longest_piece_cpu_usec" => node.snapshots.longest_piece_cpu.as_micros().to_string(),
        "snapshot_longest_piece_usec" => node.snapshots.longest_piece.as_micros().to_string(),
        "current_cow_size_age" => "0".to_owned(),
        "current_fork_perc" => percent(keys_saved, present.map_or(0, |present| present.keys_total)),
        "current_save_keys_processed" => keys_saved.to_string(),
        "current_save_keys_total" => present.map_or(0, |present| present.keys_total).to_string(),
        "rdb_changes_since_last_save" => node.keyspace.stats.changes.to_string(),
        "rdb_bgsave_in_progress" => u8::from(present.is_some()).to_string(),
        "rdb_last_save_time" => (saves.succeeded().0 / 1000).to_string(),
        "rdb_last_bgsave_status" => status(saves.outcome()).to_owned(),
        "rdb_last_bgsave_time_sec" => seconds(saves.took_seconds()),
        "rdb_current_bgsave_time_sec" => {
            seconds(present.map(|present| now.0.saturating_sub(present.began.0) / 1000))
        }
        "rdb_saves" => saves.count().to_string(),
        "rdb_last_cow_size" => saves.set_aside_bytes_max().to_string(),
        "rdb_last_load_keys_expired" => persistence.loaded.expired.to_string(),
        "rdb_last_load_keys_loaded" => persistence.loaded.keys.to_string(),
        _ => return None,
    })
}

fn of_loading(loading: Option<&Loading>, name: &str, now: Millis) -> Option<String> {
    if name == "loading" {
        return Some(u8::from(loading.is_some()).to_string());
    }
    let Loading { began, meter } = loading?;
    let (loaded, total) = (meter.loaded_bytes.load(Relaxed), meter.total_bytes.load(Relaxed));
    Some(match name {
        "loading_start_time" => (began.0 / 1000).to_string(),
        "loading_total_bytes" => total.to_string(),
        "loading_rdb_used_mem" => meter.used_memory.load(Relaxed).to_string(),
        "loading_loaded_bytes" => loaded.to_string(),
        "loading_loaded_perc" => percent(loaded, total),
        "loading_eta_seconds" => eta_seconds(*began, loaded, total, now).to_string(),
        _ => return None,
    })
}

/// As Redis estimates it: what is left takes as long per byte as what is done; 1 before anything can be said.
fn eta_seconds(began: Millis, loaded: u64, total: u64, now: Millis) -> u64 {
    let elapsed = now.0.saturating_sub(began.0) / 1000;
    let left = total.saturating_sub(loaded);
    if elapsed == 0 || loaded == 0 { 1 } else { elapsed.saturating_mul(left) / loaded }
}

fn percent(part: u64, whole: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let share = if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    format!("{share:.2}")
}

pub(crate) fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Good => "ok",
        Outcome::Failed => "err",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_estimated_by_what_is_done() {
        assert_eq!(eta_seconds(Millis(0), 0, 1000, Millis(9_000)), 1);
        assert_eq!(eta_seconds(Millis(0), 250, 1000, Millis(9_000)), 27);
        assert_eq!(eta_seconds(Millis(0), 1000, 1000, Millis(9_000)), 0);
        assert_eq!(percent(1, 3), "33.33");
        assert_eq!(percent(5, 0), "0.00");
    }
}
