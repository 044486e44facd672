//! What `slotway up` prints once every slot is served: who is where, and what to point a client, a browser and Prometheus at.

use slotway_cluster::{NodeId, ShardId, SlotRange, Topology};
use slotway_config::{Address, UpConfig};

use super::{board::UpFile, child::NODE_HOST, plan::Plan};
use crate::table::{Cell, Colour, UNKNOWN, render};

/// Nodes whose metrics address is spelt out.
const METRICS_SHOWN: usize = 3;

pub(super) fn table(
    config: &UpConfig,
    plan: &Plan,
    topology: &Topology,
    file: &UpFile,
    colour: Colour,
) -> String {
    let host = super::host(config);
    let mut rows = Vec::new();
    for proxy in &file.proxies {
        rows.push(row("proxy", &proxy.id.0, proxy.pid, &address(&host, proxy.port), "all"));
    }
    for node in &file.nodes {
        let (role, slots) = role_and_slots(topology, &node.id, node.shard);
        rows.push(row(role, &node.id.0, node.pid, &address(NODE_HOST, node.port), &slots));
    }
    let mut text = format!(
        "\nEvery slot is served by {}, {} and {} ({}).\n\n",
        counted(topology.shards.len(), "shard", "shards"),
        counted(plan.nodes.len(), "node", "nodes"),
        counted(plan.proxies.len(), "proxy", "proxies"),
        config.dir.display()
    );
    text.push_str(&render(&["ROLE", "ID", "PID", "ADDRESS", "SLOTS"], &rows, colour));
    text.push('\n');
    for proxy in &plan.proxies {
        text.push_str(&format!("{}  redis://{}\n", proxy.id, address(&host, proxy.port)));
        if let Some(port) = proxy.admin_port {
            let admin = address(&host, port);
            text.push_str(&format!("    http://{admin}/         the cluster in a browser\n"));
            text.push_str(&format!("    http://{admin}/metrics  for Prometheus\n"));
        }
    }
    text.push_str(&node_metrics(plan));
    text.push_str("\nCtrl-C stops everything.\n");
    text
}

/// `host:port`, an IPv6 host in brackets.
pub(super) fn address(host: &str, port: u16) -> String {
    Address { host: host.to_owned(), port }.to_string()
}

fn row(role: &str, id: &str, pid: Option<u32>, addr: &str, slots: &str) -> Vec<Cell> {
    let pid = pid.map_or(UNKNOWN.to_owned(), |pid| pid.to_string());
    vec![Cell::text(role), Cell::text(id), Cell::number(pid), Cell::text(addr), Cell::text(slots)]
}

fn role_and_slots(topology: &Topology, node: &NodeId, shard: ShardId) -> (&'static str, String) {
    match topology.shards.iter().find(|shard| &shard.primary == node) {
        Some(shard) => {
            ("primary", shard.slots.iter().map(SlotRange::to_string).collect::<Vec<_>>().join(" "))
        }
        None => ("replica", format!("copies of shard {shard}")),
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn node_metrics(plan: &Plan) -> String {
    let urls: Vec<String> = plan
        .nodes
        .iter()
        .take(METRICS_SHOWN)
        .map(|node| format!("{}/metrics", address(NODE_HOST, node.admin_port)))
        .collect();
    let more = if plan.nodes.len() > METRICS_SHOWN { " ..." } else { "" };
    format!("nodes: http://{}{more}\n", urls.join(" http://"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            board::{Board, State},
            identity,
            plan::tests,
        },
        *,
    };

    #[test]
    fn everybody_is_listed_with_role_address_and_slots() {
        let flags = [("shards", "2"), ("dir", "/d")];
        let (config, plan) = (tests::config(&flags), tests::plan(&flags));
        let topology = identity::form(None, "a".repeat(40), &plan, "127.0.0.1").unwrap();
        let board = Board::new(std::path::Path::new("/d"), "a", &plan);
        let mut file = board.snapshot();
        file.nodes[0].pid = Some(4711);
        file.nodes[0].state = State::Up;
        let expected = "
Every slot is served by 2 shards, 4 nodes and 1 proxy (/d).

ROLE     ID   PID  ADDRESS         SLOTS
proxy    p1     -  127.0.0.1:6379  all
primary  n1  4711  127.0.0.1:7001  0-8191
primary  n2     -  127.0.0.1:7002  8192-16383
replica  n3     -  127.0.0.1:7003  copies of shard 1
replica  n4     -  127.0.0.1:7004  copies of shard 2

p1  redis://127.0.0.1:6379
    http://127.0.0.1:8080/         the cluster in a browser
    http://127.0.0.1:8080/metrics  for Prometheus
nodes: http://127.0.0.1:8001/metrics http://127.0.0.1:8002/metrics http://127.0.0.1:8003/metrics ...

Ctrl-C stops everything.
";
        assert_eq!(table(&config, &plan, &topology, &file, Colour::Off), expected);
    }
}
