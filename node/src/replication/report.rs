//! What INFO and the metrics say of the stream and of those who follow it.

use slotway_cluster::replication::{HistoryId, primary::Stage};
use slotway_config::Key;

use crate::{client::Client, node::Node};

/// A field of INFO; None: it is not about this.
pub(crate) fn field(node: &Node, name: &str) -> Option<String> {
    let replication = &node.replication;
    let backlog = replication.backlog.as_ref();
    let syncs = &node.statistics.syncs;
    Some(match name {
        "connected_slaves" => connected(node).to_string(),
        "min_slaves_good_slaves" => {
            let counted = [Key::MinReplicasToWrite, Key::MinReplicasMaxLag];
            counted.iter().all(|key| node.settings.integer(*key) > 0).then_some(())?;
            replication.primary.machine().good(replication.primary.now()).to_string()
        }
        "master_failover_state" => node.handing.state().into(),
        "master_replid" => replication.lineage.present().to_string(),
        "master_replid2" => {
            replication.lineage.previous().map_or(HistoryId::NONE, |(history, _)| history).to_string()
        }
        "master_repl_offset" => replication.offset.to_string(),
        "second_repl_offset" => {
            replication.lineage.previous().map_or("-1".into(), |(_, common)| common.next_byte().to_string())
        }
        "repl_backlog_active" => u8::from(backlog.is_some()).to_string(),
        "repl_backlog_size" => node.settings.show(Key::ReplBacklogSize),
        "repl_backlog_first_byte_offset" => {
            backlog.map_or(0, |backlog| backlog.range().first.next_byte()).to_string()
        }
        "repl_backlog_histlen" => backlog.map_or(0, |backlog| backlog.len()).to_string(),
        "sync_full" => syncs.full.to_string(),
        "sync_partial_ok" => syncs.partial.to_string(),
        "sync_partial_err" => syncs.refused.to_string(),
        "mem_replication_backlog" => memory(node).backlog.to_string(),
        "mem_total_replication_buffers" => memory(node).total.to_string(),
        "mem_clients_slaves" => memory(node).replicas.to_string(),
        "total_net_repl_input_bytes" => node.statistics.replica_input_bytes.to_string(),
        "total_net_repl_output_bytes" => node.statistics.replica_output_bytes.to_string(),
        _ => return None,
    })
}

/// INFO's `slave0`, `slave1` ...
pub(crate) fn replicas(node: &Node) -> Vec<(String, String)> {
    let primary = &node.replication.primary;
    let describe = |(number, (replica, link)): (usize, (&_, &super::primary::Link))| {
        let replica: &slotway_cluster::replication::primary::Replica = replica;
        let state = match replica.stage {
            Stage::Waiting | Stage::Filing => "wait_bgsave",
            Stage::Sending | Stage::Loading => "send_bulk",
            Stage::Online | Stage::Cut => "online",
        };
        let lag = if state == "online" { replica.lag_seconds(primary.now()) } else { 0 };
        let (ip, port) = (link.introduction.ip(&link.client.peer), link.introduction.port);
        let value = format!("ip={ip},port={port},state={state},offset={},lag={lag}", replica.acked);
        (format!("slave{number}"), value)
    };
    primary.replicas().enumerate().map(describe).collect()
}

/// Replicas attached.
pub(crate) fn connected(node: &Node) -> u64 {
    node.replication.primary.replicas().count().try_into().unwrap_or(u64::MAX)
}

/// For each replica its address, and how many bytes of the stream it has not acknowledged.
pub(crate) fn lags(node: &Node) -> impl Iterator<Item = (String, u64)> {
    node.replication.primary.replicas().map(|(replica, link)| {
        let ip = link.introduction.ip(&link.client.peer);
        (format!("{ip}:{}", link.introduction.port), node.replication.offset.since(replica.acked))
    })
}

/// Bytes of memory.
struct Memory {
    total: u64,
    /// What is kept for replicas to come.
    backlog: u64,
    /// What is kept beyond that because a replica is slow, and the replicas' clients.
    replicas: u64,
}

fn memory(node: &Node) -> Memory {
    let bytes = node.replication.backlog.as_ref().map_or(0, |backlog| backlog.memory_bytes());
    let total = u64::try_from(bytes).unwrap_or(u64::MAX);
    let backlog =
        total.min(node.settings.bytes(Key::ReplBacklogSize).saturating_add(super::backlog::SLACK_BYTES));
    let client = u64::try_from(size_of::<Client>()).unwrap_or(0);
    Memory { total, backlog, replicas: total - backlog + connected(node) * client }
}
