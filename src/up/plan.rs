//! Who is started and on which ports. Pure: free ports come from a function, which is told for whom and for what.
//!
//! Node i listens on node-port + i, node-port + 1000 + i and node-port + 10000 + i, proxy i on port + i, admin-port + i, sentinel-port + i and
//! port + 10000 + i, i from 0. Where the first port is 0 every derived one is a free port of its own. That no port lies
//! past 65535 and no two are the same was checked with the settings.

use slotway_cluster::{NodeId, ProxyId, ShardId};
use slotway_config::UpConfig;

/// What an admin port of a node lies above its port.
const NODE_ADMIN: u16 = 1000;

/// What the pulse port of a node lies above its port.
const PULSE: u16 = 10_000;

/// What the control port of a proxy lies above its port.
const CONTROL: u16 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// n1, n2, ... : first a primary per shard, then a replica per shard, and so on.
    pub(super) nodes: Vec<NodePlan>,
    /// p1, p2, ...
    pub(super) proxies: Vec<ProxyPlan>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodePlan {
    pub(super) id: NodeId,
    pub(super) shard: ShardId,
    pub(super) port: u16,
    pub(super) admin_port: u16,
    pub(super) pulse_port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProxyPlan {
    pub(super) id: ProxyId,
    pub(super) port: u16,
    pub(super) admin_port: Option<u16>,
    pub(super) sentinel_port: Option<u16>,
    pub(super) control_port: u16,
}

/// One port that somebody will listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) port: u16,
    pub(super) whose: Whose,
    /// Where the number comes from: `--port`, or `--port + 10000, the control port of p1`.
    pub(super) origin: String,
}

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Clients,
    Admin,
    Sentinel,
    Control,
    Pulse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Node,
    Proxy,
}

impl Plan {
    /// `free`: a port for the use of the child of this name, where the first port is 0.
    pub(super) fn new<E>(
        config: &UpConfig,
        mut free: impl FnMut(&str, Use) -> Result<u16, E>,
    ) -> Result<Plan, E> {
        let mut port = |id: &str, what: Use, first: u16, above: u16, number: usize| match first {
            0 => free(id, what),
            first => Ok(first + above + u16::try_from(number).expect("the settings were checked to fit")),
        };
        let mut plan = Plan { nodes: Vec::new(), proxies: Vec::new() };
        for number in 0..config.nodes() {
            let (id, first) = (format!("n{}", number + 1), config.node_port);
            plan.nodes.push(NodePlan {
                shard: ShardId(u32::try_from(number % config.shards + 1).expect("at most 1000 shards")),
                port: port(&id, Use::Clients, first, 0, number)?,
                admin_port: port(&id, Use::Admin, first, NODE_ADMIN, number)?,
                pulse_port: port(&id, Use::Pulse, first, PULSE, number)?,
                id: NodeId(id),
            });
        }
        for number in 0..config.proxies {
            let id = format!("p{}", number + 1);
            let mut other =
                |what, first: Option<u16>| first.map(|first| port(&id, what, first, 0, number)).transpose();
            plan.proxies.push(ProxyPlan {
                admin_port: other(Use::Admin, config.admin_port)?,
                sentinel_port: other(Use::Sentinel, config.sentinel_port)?,
                port: port(&id, Use::Clients, config.port, 0, number)?,
                control_port: port(&id, Use::Control, config.port, CONTROL, number)?,
                id: ProxyId(id),
            });
        }
        Ok(plan)
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| node.shard)
            .max()
            .map_or(0, |shard| usize::try_from(shard.0).unwrap_or(usize::MAX))
    }

    /// Every port, those that people chose first.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (number, proxy) in self.proxies.iter().enumerate() {
            let mut claim = |port: Option<u16>, flag: &str, role: &str| {
                let Some(port) = port else { return };
                let origin = origin(flag, number, &format!("the {role} of {}", proxy.id));
                claims.push(Claim { port, whose: Whose::Proxy, origin });
            };
            claim(Some(proxy.port), "--port", "client port");
            claim(proxy.admin_port, "--admin-port", "admin port");
            claim(proxy.sentinel_port, "--sentinel-port", "Sentinel port");
            let origin =
                origin("--port", number + usize::from(CONTROL), &format!("the control port of {}", proxy.id));
            claims.push(Claim { port: proxy.control_port, whose: Whose::Proxy, origin });
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let port = origin("--node-port", number, &format!("the port of {}", node.id));
            claims.push(Claim { port: node.port, whose: Whose::Node, origin: port });
            let derived =
                [(node.admin_port, NODE_ADMIN, "the admin port"), (node.pulse_port, PULSE, "the pulse port")];
            for (port, above, what) in derived {
                let above = number + usize::from(above);
                let origin = origin("--node-port", above, &format!("{what} of {}", node.id));
                claims.push(Claim { port, whose: Whose::Node, origin });
            }
        }
        claims
    }
}

fn origin(flag: &str, above: usize, whose: &str) -> String {
    match above {
        0 => flag.to_owned(),
        above => format!("{flag} + {above}, {whose}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::convert::Infallible;

    use super::*;

    pub(in crate::up) fn config(flags: &[(&str, &str)]) -> UpConfig {
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        UpConfig::load(None, std::iter::empty(), flags).unwrap()
    }

    pub(in crate::up) fn plan(flags: &[(&str, &str)]) -> Plan {
        let mut next = 40_000;
        let free = |_: &str, _: Use| -> Result<u16, Infallible> {
            next += 1;
            Ok(next)
        };
        let Ok(plan) = Plan::new(&config(flags), free);
        plan
    }

    #[test]
    fn the_default_cluster_has_three_shards_of_two_nodes_and_a_proxy() {
        let plan = plan(&[]);
        let nodes: Vec<String> = plan
            .nodes
            .iter()
            .map(|node| format!("{} {} {} {}", node.id, node.shard, node.port, node.admin_port))
            .collect();
        assert_eq!(
            nodes,
            [
                "n1 1 7001 8001",
                "n2 2 7002 8002",
                "n3 3 7003 8003",
                "n4 1 7004 8004",
                "n5 2 7005 8005",
                "n6 3 7006 8006"
            ]
        );
        let proxy = &plan.proxies[0];
        assert_eq!((proxy.port, proxy.admin_port, proxy.sentinel_port), (6379, Some(8080), Some(26379)));
        assert_eq!(proxy.control_port, 16379);
        assert_eq!(plan.shards(), 3);
    }

    #[test]
    fn the_second_proxy_listens_one_above_the_first() {
        let plan =
            plan(&[("proxies", "2"), ("port", "7100"), ("admin-port", "9000"), ("sentinel-port", "off")]);
        let second = &plan.proxies[1];
        assert_eq!((second.port, second.admin_port), (7101, Some(9001)));
        assert_eq!((second.sentinel_port, second.control_port), (None, 17101));
    }

    #[test]
    fn port_0_takes_a_free_port_for_each() {
        let flags = [
            ("port", "0"),
            ("admin-port", "0"),
            ("sentinel-port", "0"),
            ("node-port", "0"),
            ("proxies", "2"),
        ];
        let claims = plan(&flags).claims();
        let mut ports: Vec<u16> = claims.iter().map(|claim| claim.port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 6 * 3 + 2 * 4);
        assert!(ports.iter().all(|&port| port > 40_000));
    }

    #[test]
    fn a_claim_names_the_flag_its_port_comes_from() {
        let origins: Vec<String> = plan(&[("shards", "1")])
            .claims()
            .iter()
            .map(|claim| format!("{} {}", claim.port, claim.origin))
            .collect();
        assert_eq!(
            origins,
            [
                "6379 --port",
                "8080 --admin-port",
                "26379 --sentinel-port",
                "16379 --port + 10000, the control port of p1",
                "7001 --node-port",
                "8001 --node-port + 1000, the admin port of n1",
                "17001 --node-port + 10000, the pulse port of n1",
                "7002 --node-port + 1, the port of n2",
                "8002 --node-port + 1001, the admin port of n2",
                "17002 --node-port + 10001, the pulse port of n2",
            ]
        );
    }
}
