//! What an operator is told, for clusters in every condition.

use serde_json::{Value, json};

use super::*;
use crate::{
    ids::{Epoch, ProxyId},
    ranges::SlotRange,
    slot::Placement,
    topology::Kind,
    view::{ErrorBody, ErrorCode, ErrorView, NodeObservation, ProxyObservation, Service, ShardObservation},
};

/// Two shards (n1 with replica n3, n2 with replica n4) behind p1.
fn topology() -> Topology {
    let ranges = SlotRange::equal(2);
    let shard = |id: u32, range: SlotRange| Shard {
        id: ShardId(id),
        kind: Kind::Slotway,
        epoch: Epoch(1),
        primary: NodeId(format!("n{id}")),
        replicas: vec![NodeId(format!("n{}", id + 2))],
        slots: vec![range],
    };
    Topology {
        version: 5,
        cluster_id: "c".repeat(40),
        placement: Placement::default(),
        shards: vec![shard(1, ranges[0]), shard(2, ranges[1])],
        nodes: (1..=4)
            .map(|i| Node {
                id: NodeId(format!("n{i}")),
                addr: format!("127.0.0.1:700{i}"),
                admin_addr: None,
            })
            .collect(),
        proxies: vec![Proxy {
            id: ProxyId("p1".into()),
            addr: "127.0.0.1:6379".into(),
            admin_addr: Some("127.0.0.1:8080".into()),
            sentinel_addr: None,
        }],
    }
}

fn seen(healths: [Option<Health>; 4]) -> Observations {
    let mut seen = Observations { software: "slotway 0.1.0".into(), ..Observations::default() };
    for (i, health) in healths.into_iter().enumerate() {
        let Some(health) = health else { continue };
        let mut node = NodeObservation::only(health);
        node.keys = Some(10);
        node.memory_bytes = Some(1000);
        seen.nodes.insert(NodeId(format!("n{}", i + 1)), node);
    }
    seen
}

const UP: Option<Health> = Some(Health::Up);

fn check_states(healths: [Option<Health>; 4], cluster_is: ClusterState, shards_are: [ShardState; 2]) {
    let seen = seen(healths);
    assert_eq!(cluster(&topology(), &seen).state, cluster_is, "{healths:?}");
    let states: Vec<ShardState> = shards(&topology(), &seen).shards.iter().map(|shard| shard.state).collect();
    assert_eq!(states, shards_are, "{healths:?}");
}

#[test]
fn states_follow_from_what_was_seen() {
    use ClusterState as C;
    use ShardState as S;
    check_states([UP, UP, UP, UP], C::Ok, [S::Ok, S::Ok]);
    check_states([UP, UP, None, UP], C::Degraded, [S::Degraded, S::Ok]);
    check_states([UP, UP, Some(Health::Down), UP], C::Degraded, [S::Degraded, S::Ok]);
    check_states([UP, Some(Health::Suspected), UP, UP], C::Degraded, [S::Ok, S::Degraded]);
    check_states([UP, Some(Health::Busy), UP, UP], C::Degraded, [S::Ok, S::Degraded]);
    check_states([UP, Some(Health::Loading), UP, UP], C::Down, [S::Ok, S::Down]);
    check_states([Some(Health::Down), UP, UP, UP], C::Down, [S::Down, S::Ok]);
    check_states([None, None, None, None], C::Down, [S::Down, S::Down]);
}

#[test]
fn a_cluster_with_a_slot_nobody_owns_is_down() {
    let mut topology = topology();
    topology.shards[1].slots = vec!["8192-16382".parse().unwrap()];
    let seen = seen([UP; 4]);
    assert_eq!(cluster(&topology, &seen).state, ClusterState::Down);
    assert_eq!(slots_served(&topology, &seen), 16383);
    assert!(!is_ready(&topology, &seen));
    let last = slot(&topology, Slot::new(16383).unwrap(), None);
    assert_eq!((last.shard, last.node), (None, None));
}

#[test]
fn a_shard_without_slots_never_takes_a_cluster_down() {
    let mut topology = topology();
    topology.shards[0].slots = vec![SlotRange::full()];
    topology.shards[1].slots = vec![];
    assert_eq!(cluster(&topology, &seen([UP, None, UP, UP])).state, ClusterState::Degraded);
}

#[test]
fn a_sum_is_unknown_while_one_part_is() {
    let all = cluster(&topology(), &seen([UP, UP, None, None]));
    assert_eq!((all.keys, all.memory_bytes), (Some(20), Some(2000)));
    let half = cluster(&topology(), &seen([UP, None, UP, UP]));
    assert_eq!((half.keys, half.memory_bytes), (None, None));
}

#[test]
fn a_replica_lags_only_when_it_follows() {
    let mut seen = seen([UP; 4]);
    let set = |seen: &mut Observations, node: &str, role, offset| {
        let node = seen.nodes.get_mut(&NodeId(node.into())).unwrap();
        node.role = Some(role);
        node.offset = Some(offset);
    };
    set(&mut seen, "n1", ReportedRole::Primary, 100);
    set(&mut seen, "n3", ReportedRole::Following, 40);
    let lags = |seen: &Observations| -> Vec<Option<u64>> {
        nodes(&topology(), seen).nodes.iter().map(|node| node.lag_bytes).collect()
    };
    assert_eq!(lags(&seen), [None, None, Some(60), None]);
    set(&mut seen, "n3", ReportedRole::Following, 110);
    assert_eq!(lags(&seen)[2], Some(0));
    set(&mut seen, "n3", ReportedRole::Detached, 40);
    assert_eq!(lags(&seen)[2], None);
}

#[test]
fn slots_come_in_order_whichever_shard_holds_them() {
    let mut topology = topology();
    topology.shards[0].slots = vec!["0-99".parse().unwrap(), "200".parse().unwrap()];
    topology.shards[1].slots = vec!["100-199".parse().unwrap()];
    let view = slots(&topology);
    let ranges: Vec<String> =
        view.ranges.iter().map(|range| format!("{} {}", range.slots, range.shard)).collect();
    assert_eq!(ranges, ["0-99 1", "100-199 2", "200 1"]);
}

/// Every field of the interface is there, with nulls for what nobody knows, and no other.
fn check_json(value: impl serde::Serialize, expected: Value) {
    assert_eq!(serde_json::to_value(value).unwrap(), expected);
}

#[test]
fn the_shapes_are_those_of_the_interface_and_unknown_is_null() {
    let (topology, nobody) = (topology(), Observations::default());
    check_json(
        cluster(&topology, &nobody),
        json!({"cluster_id": "c".repeat(40), "version": 5, "state": "down", "durability": null, "min_copies": null,
            "on_total_loss": null, "busy_down_after_ms": null, "slots_assigned": 16384,
            "shards": 2, "nodes": 4, "proxies": 1, "keys": null, "memory_bytes": null, "leader": null, "software": ""}),
    );
    check_json(
        &shards(&topology, &nobody).shards[0],
        json!({"id": 1, "name": "shard-1", "kind": "slotway", "state": "down", "epoch": 1, "primary": "n1",
            "replicas": ["n3"], "sync_set": [], "acks_needed": 0, "slots": ["0-8191"], "slot_count": 8192,
            "keys": null, "memory_bytes": null}),
    );
    check_json(
        &nodes(&topology, &nobody).nodes[2],
        json!({"id": "n3", "addr": "127.0.0.1:7003", "admin_addr": null, "shard": 1, "role": "replica", "health": null,
            "epoch": null, "incarnation": null, "offset": null, "lag_bytes": null, "lag_ms": null, "keys": null,
            "memory_bytes": null, "kind": "slotway", "software": null}),
    );
    check_json(
        &slots(&topology).ranges[1],
        json!({"slots": "8192-16383", "shard": 2, "node": "n2", "addr": "127.0.0.1:7002", "state": "stable",
            "to": null, "migration": null}),
    );
    check_json(
        slot(&topology, Slot::new(7).unwrap(), None),
        json!({"slot": 7, "shard": 1, "node": "n1", "state": "stable", "to": null, "migration": null, "keys": null,
            "bytes": null, "databases": null}),
    );
    check_json(
        proxies(&topology, &nobody),
        json!({"proxies": [{"id": "p1", "addr": "127.0.0.1:6379", "admin_addr": "127.0.0.1:8080",
            "sentinel_addr": null, "raft": null, "version": null, "clients": null}]}),
    );
    check_json(
        ErrorBody { error: ErrorView::new(ErrorCode::NotFound, "no such page").hint("try /v1/cluster") },
        json!({"error": {"code": "not_found", "message": "no such page", "hint": "try /v1/cluster", "field": null,
            "job": null}}),
    );
}

#[test]
fn a_counted_slot_lists_its_databases() {
    let count = SlotCount { databases: [(Database(0), 61), (Database(2), 4)].into(), bytes: Some(9000) };
    check_json(
        slot(&topology(), Slot::new(3868).unwrap(), Some(count)),
        json!({"slot": 3868, "shard": 1, "node": "n1", "state": "stable", "to": null, "migration": null, "keys": 65,
            "bytes": 9000, "databases": {"0": 61, "2": 4}}),
    );
}

#[test]
fn a_key_is_found_in_its_database_and_a_binary_one_stays_readable() {
    check_json(
        key_slot(&topology(), Database(0), b"foo"),
        json!({"key": "foo", "db": 0, "slot": 12182, "shard": 2, "node": "n2"}),
    );
    check_json(
        key_slot(&topology(), Database(1), b"a\xff/"),
        json!({"key": "a%FF%2F", "db": 1, "slot": 10126, "shard": 2, "node": "n2"}),
    );
}

#[test]
fn what_the_server_writes_the_client_reads() {
    let mut seen = seen([UP; 4]);
    seen.proxies
        .insert(ProxyId("p1".into()), ProxyObservation { version: Some(5), clients: Some(3), raft: None });
    let view = proxies(&topology(), &seen);
    let text = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<ProxiesView>(&text).unwrap(), view);
}

#[test]
fn every_error_code_has_a_status_of_its_own() {
    let statuses: std::collections::BTreeSet<u16> =
        ErrorCode::ALL.iter().map(|code| code.http_status()).collect();
    assert_eq!(statuses.len(), ErrorCode::ALL.len());
}

/// Shard 1 as its control group knows it: these of n3 in S.
fn told(service: Service, sync_set: &[&str]) -> ShardObservation {
    let sync_set: Vec<NodeId> = sync_set.iter().map(|id| NodeId((*id).into())).collect();
    ShardObservation { acks_needed: sync_set.len(), sync_set, service }
}

#[test]
fn a_shard_whose_primary_is_being_replaced_is_in_failover_and_one_that_nobody_leads_is_down() {
    let check = |service, sync_set: &[&str], shard, cluster_is| {
        let mut seen = seen([UP, UP, UP, UP]);
        seen.shards.insert(ShardId(1), told(service, sync_set));
        assert_eq!(shards(&topology(), &seen).shards[0].state, shard, "{service:?}");
        assert_eq!(cluster(&topology(), &seen).state, cluster_is, "{service:?}");
    };
    check(Service::Serving, &["n3"], ShardState::Ok, ClusterState::Ok);
    check(Service::Serving, &[], ShardState::Degraded, ClusterState::Degraded);
    check(Service::Changing, &["n3"], ShardState::Failover, ClusterState::Degraded);
    check(Service::Absent, &["n3"], ShardState::Down, ClusterState::Down);
}

#[test]
fn the_sync_set_is_shown_and_who_is_not_in_it_is_a_learner() {
    let mut seen = seen([UP, UP, UP, UP]);
    seen.shards.insert(ShardId(1), told(Service::Serving, &["n3"]));
    seen.shards.insert(ShardId(2), told(Service::Serving, &[]));
    let shown = shards(&topology(), &seen).shards;
    assert_eq!((shown[0].sync_set.len(), shown[0].acks_needed), (1, 1));
    let roles: Vec<Role> = nodes(&topology(), &seen).nodes.iter().map(|node| node.role).collect();
    assert_eq!(roles, [Role::Primary, Role::Primary, Role::Replica, Role::Learner]);
}
