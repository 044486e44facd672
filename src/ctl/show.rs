//! The tables of `slotway ctl`: a view becomes text. Narrow enough for a terminal of 100 columns; what has no end (the slots
//! of a shard after many moves) is cut and counted.

use slotway_cluster::{
    SlotRange,
    jobs::{JobState, JobsView},
    topology::Kind,
    view::{
        ClusterState, ClusterView, Health, NodeView, NodesView, ProxiesView, Role, ShardState, ShardsView,
        SlotState, SlotsView,
    },
};

use crate::table::{Cell, Colour, Tone, UNKNOWN, bytes, known, painted, render};

/// Slot ranges shown in one cell.
const RANGES_SHOWN: usize = 3;

pub(super) fn cluster(view: &ClusterView, colour: Colour) -> String {
    let (state, tone) = match view.state {
        ClusterState::Ok => ("ok", Tone::Good),
        ClusterState::Degraded => ("degraded", Tone::Warning),
        ClusterState::Down => ("down", Tone::Bad),
    };
    let rows = [
        ("state", painted(state, tone, colour)),
        ("cluster", view.cluster_id.clone()),
        ("topology", format!("version {}", view.version)),
        ("shards", format!("{}, {} of 16384 slots assigned", view.shards, view.slots_assigned)),
        ("nodes", view.nodes.to_string()),
        ("proxies", view.proxies.to_string()),
        ("keys", known(view.keys, |keys| keys.to_string())),
        ("memory", known(view.memory_bytes, bytes)),
        ("durability", known(view.durability, |durability| format!("{durability:?}").to_lowercase())),
        ("leader", known(view.leader.as_ref(), ToString::to_string)),
        ("software", view.software.clone()),
    ];
    rows.iter().map(|(name, value)| format!("{name:<11} {value}\n")).collect()
}

pub(super) fn shards(view: &ShardsView, colour: Colour) -> String {
    let rows: Vec<Vec<Cell>> = view
        .shards
        .iter()
        .map(|shard| {
            vec![
                Cell::text(&shard.name),
                shard_state(shard.state),
                Cell::text(&shard.primary),
                Cell::text(list(&shard.replicas)),
                Cell::text(ranges(&shard.slots)),
                Cell::number(shard.slot_count),
                Cell::number(known(shard.keys, |keys| keys.to_string())),
                Cell::number(known(shard.memory_bytes, bytes)),
                Cell::text(kind(shard.kind)),
            ]
        })
        .collect();
    let titles = ["SHARD", "STATE", "PRIMARY", "REPLICAS", "SLOTS", "COUNT", "KEYS", "MEMORY", "KIND"];
    render(&titles, &rows, colour)
}

pub(super) fn nodes(view: &NodesView, colour: Colour) -> String {
    let rows: Vec<Vec<Cell>> = view
        .nodes
        .iter()
        .map(|node| {
            vec![
                Cell::text(&node.id),
                Cell::text(role(node)),
                Cell::text(known(node.shard, |shard| shard.to_string())),
                health(node.health),
                Cell::text(&node.addr),
                Cell::number(known(node.keys, |keys| keys.to_string())),
                Cell::number(known(node.memory_bytes, bytes)),
                Cell::number(known(node.lag_bytes, bytes)),
                Cell::text(node.software.as_deref().unwrap_or(UNKNOWN)),
            ]
        })
        .collect();
    let titles = ["NODE", "ROLE", "SHARD", "HEALTH", "ADDRESS", "KEYS", "MEMORY", "LAG", "SOFTWARE"];
    render(&titles, &rows, colour)
}

pub(super) fn slots(view: &SlotsView, colour: Colour) -> String {
    let rows: Vec<Vec<Cell>> = view
        .ranges
        .iter()
        .map(|range| {
            let state = match range.state {
                SlotState::Stable => Cell::text("stable"),
                SlotState::Moving => Cell::text("moving").tone(Tone::Warning),
            };
            vec![
                Cell::text(range.slots),
                Cell::number(range.slots.count()),
                Cell::text(range.shard),
                Cell::text(&range.node),
                Cell::text(range.addr.as_deref().unwrap_or(UNKNOWN)),
                state,
            ]
        })
        .collect();
    render(&["SLOTS", "COUNT", "SHARD", "NODE", "ADDRESS", "STATE"], &rows, colour)
}

pub(super) fn proxies(view: &ProxiesView, colour: Colour) -> String {
    let rows: Vec<Vec<Cell>> = view
        .proxies
        .iter()
        .map(|proxy| {
            vec![
                Cell::text(&proxy.id),
                Cell::text(&proxy.addr),
                Cell::text(proxy.admin_addr.as_deref().unwrap_or(UNKNOWN)),
                Cell::text(proxy.sentinel_addr.as_deref().unwrap_or(UNKNOWN)),
                Cell::text(known(proxy.raft, |raft| format!("{raft:?}").to_lowercase())),
                Cell::number(known(proxy.version, |version| version.to_string())),
                Cell::number(known(proxy.clients, |clients| clients.to_string())),
            ]
        })
        .collect();
    render(&["PROXY", "ADDRESS", "ADMIN", "SENTINEL", "RAFT", "TOPOLOGY", "CLIENTS"], &rows, colour)
}

pub(super) fn jobs(view: &JobsView, colour: Colour) -> String {
    let rows: Vec<Vec<Cell>> = view
        .jobs
        .iter()
        .map(|job| {
            let state = match job.state {
                JobState::Running => Cell::text("running").tone(Tone::Warning),
                JobState::Done => Cell::text("done").tone(Tone::Good),
                JobState::Failed => Cell::text("failed").tone(Tone::Bad),
            };
            vec![
                Cell::text(&job.id),
                Cell::text(job.kind.name()),
                Cell::text(known(job.shard, |shard| shard.to_string())),
                state,
                Cell::text(known(job.from.as_ref(), ToString::to_string)),
                Cell::text(known(job.to.as_ref(), ToString::to_string)),
                Cell::number(known(job.epoch, |epoch| epoch.to_string())),
                Cell::number(known(job.pause_ms, |pause| format!("{pause} ms"))),
                Cell::text(job.error.as_deref().unwrap_or(UNKNOWN)),
            ]
        })
        .collect();
    render(&["JOB", "KIND", "SHARD", "STATE", "FROM", "TO", "EPOCH", "PAUSE", "ERROR"], &rows, colour)
}

fn shard_state(state: ShardState) -> Cell {
    match state {
        ShardState::Ok => Cell::text("ok").tone(Tone::Good),
        ShardState::Degraded => Cell::text("degraded").tone(Tone::Warning),
        ShardState::Failover => Cell::text("failover").tone(Tone::Warning),
        ShardState::Down => Cell::text("down").tone(Tone::Bad),
    }
}

fn health(health: Option<Health>) -> Cell {
    match health {
        None => Cell::text(UNKNOWN),
        Some(Health::Up) => Cell::text("up").tone(Tone::Good),
        Some(Health::Busy) => Cell::text("busy").tone(Tone::Warning),
        Some(Health::Suspected) => Cell::text("suspected").tone(Tone::Warning),
        Some(Health::Loading) => Cell::text("loading").tone(Tone::Warning),
        Some(Health::Down) => Cell::text("down").tone(Tone::Bad),
    }
}

/// What a replica holds that has no link to its primary grows older, and people should know.
fn role(node: &NodeView) -> &'static str {
    match node.role {
        Role::Primary => "primary",
        Role::Replica if node.kind == Some(Kind::Slotway) && node.lag_bytes.is_none() => "replica (detached)",
        Role::Replica => "replica",
        Role::Learner => "learner",
        Role::None => "none",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Slotway => "slotway",
        Kind::Redis => "redis",
        Kind::Cluster => "cluster",
    }
}

fn list(items: &[impl ToString]) -> String {
    match items {
        [] => UNKNOWN.to_owned(),
        items => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn ranges(ranges: &[SlotRange]) -> String {
    match ranges.split_at_checked(RANGES_SHOWN) {
        Some((shown, rest)) if !rest.is_empty() => format!("{} +{} more", list(shown), rest.len()),
        _ => list(ranges),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_status_reads_from_the_top() {
        let view = serde_json::from_value(
            json!({"cluster_id": "abc", "version": 3, "state": "degraded", "durability": null,
            "slots_assigned": 16384, "shards": 3, "nodes": 6, "proxies": 1, "keys": 12, "memory_bytes": 3145728,
            "leader": null, "software": "slotway 0.1.0"}),
        );
        let text = cluster(&view.unwrap(), Colour::Off);
        let expected = "state       degraded\ncluster     abc\ntopology    version 3\n\
            shards      3, 16384 of 16384 slots assigned\nnodes       6\nproxies     1\nkeys        12\n\
            memory      3.0 MiB\ndurability  -\nleader      -\nsoftware    slotway 0.1.0\n";
        assert_eq!(text, expected);
    }

    fn node(id: &str, role: &str, lag_bytes: Option<u64>, kind: &str) -> serde_json::Value {
        json!({"id": id, "addr": "127.0.0.1:7001", "admin_addr": null, "shard": 1, "role": role, "health": "up",
            "epoch": null, "incarnation": null, "offset": null, "lag_bytes": lag_bytes, "lag_ms": null, "keys": 5,
            "memory_bytes": null, "kind": kind, "software": null})
    }

    #[test]
    fn a_replica_without_a_link_to_its_primary_is_called_detached() {
        let view = json!({"nodes": [node("n1", "primary", None, "slotway"), node("n2", "replica", None, "slotway"),
            node("n3", "replica", Some(2048), "slotway"), node("n4", "replica", None, "redis")]});
        let text = nodes(&serde_json::from_value(view).unwrap(), Colour::Off);
        let expected = "\
NODE  ROLE                SHARD  HEALTH  ADDRESS         KEYS  MEMORY      LAG  SOFTWARE
n1    primary             1      up      127.0.0.1:7001     5       -        -  -
n2    replica (detached)  1      up      127.0.0.1:7001     5       -        -  -
n3    replica             1      up      127.0.0.1:7001     5       -  2.0 KiB  -
n4    replica             1      up      127.0.0.1:7001     5       -        -  -
";
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.len() <= 100));
    }

    #[test]
    fn many_ranges_are_cut_and_counted() {
        let parsed =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SlotRange>>();
        assert_eq!(ranges(&parsed(&[])), "-");
        assert_eq!(ranges(&parsed(&["0-9", "11", "13"])), "0-9 11 13");
        assert_eq!(ranges(&parsed(&["0-9", "11", "13", "15", "17"])), "0-9 11 13 +2 more");
    }
}
