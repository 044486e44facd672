//! A Slotway cluster whose processes each have a network address of their own, so that they can be cut apart and their links be slow.
//!
//! `slotway up` keeps all nodes on the loopback interface; this is the same cluster by the same command lines, started one by one.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use slotway_cluster::{
    Epoch, NodeId, ProxyId, ShardId, SlotRange, Topology,
    slot::Placement,
    topology::{Kind, Node, Proxy, Shard},
};
use tempfile::TempDir;

use super::{
    api::Api,
    load::Side,
    network::Network,
    place::Door,
    slotway::LANES,
    system::{System, WHOLE_MAX, send, wait},
};
use crate::{
    cluster::{is_running, slotway},
    syscall::{Signal, die_with_parent},
};

const NODES: [&str; 3] = ["n1", "n2", "n3"];
const PROXIES: [&str; 3] = ["p1", "p2", "p3"];

/// Clients with most of the cluster, and clients that stay with the first primary when it is cut off. A relay stands between nodes
/// whose links are slow.
const WITH_MOST: &str = "clients";
const WITH_FEW: &str = "few";
const RELAY: &str = "relay";

/// What is cut off in these cases: the first primary, a proxy, and that proxy's clients.
pub const FEW: [&str; 3] = ["n1", "p3", WITH_FEW];
pub const MOST: [&str; 5] = ["n2", "n3", "p1", "p2", WITH_MOST];

const NODE_PORT: u16 = 7001;
const NODE_ADMIN: u16 = 8001;
const PULSE_PORT: u16 = 17001;
const CLIENT_PORT: u16 = 6379;
const ADMIN_PORT: u16 = 8080;
const CONTROL_PORT: u16 = 16379;

/// How links between nodes are.
#[derive(Clone, Copy, Debug)]
pub enum Links {
    Fast,
    /// Each piece arrives so much later.
    Slow(Duration),
}

/// Dropping it kills all of it.
#[derive(Debug)]
pub struct Apart {
    network: Network,
    children: Vec<(&'static str, Child)>,
    api: Api,
    dir: TempDir,
}

impl Apart {
    /// Starts it and waits until all of it serves.
    ///
    /// # Errors
    /// When networks cannot be made here, or it does not serve.
    pub fn start(links: Links) -> io::Result<Apart> {
        let hosts = [&NODES[..], &PROXIES, &[WITH_MOST, WITH_FEW, RELAY]].concat();
        let network = Network::new(&hosts)?;
        if let Links::Slow(by) = links {
            for from in NODES {
                for to in NODES.into_iter().filter(|to| *to != from) {
                    network.delay(from, to, NODE_PORT, by)?;
                    network.delay(from, to, PULSE_PORT, by)?;
                }
            }
        }
        let dir = tempfile::Builder::new().prefix("slotway-failover-").tempdir()?;
        let admin = PROXIES.map(|proxy| network.door(WITH_MOST, proxy, ADMIN_PORT));
        let api = Api(admin.into_iter().collect::<io::Result<_>>()?);
        let mut cluster = Apart { network, children: Vec::new(), api, dir };
        cluster.write_plan()?;
        for node in NODES {
            cluster.start_node(node)?;
        }
        for proxy in PROXIES {
            cluster.start_proxy(proxy)?;
        }
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    fn wait_until_whole(&self) -> io::Result<()> {
        let voters = || {
            let view = self.api.get("/v1/proxies").unwrap_or_default();
            let rows = view["proxies"].as_array().cloned().unwrap_or_default();
            rows.iter().filter(|row| row["raft"] == "voter" || row["raft"] == "leader").count()
        };
        let waited = wait("all of the cluster serves", WHOLE_MAX, || {
            self.api.is_whole(NODES.len() - 1) && voters() == PROXIES.len()
        });
        waited.map(drop).map_err(|error| {
            let view = self.api.get("/v1/shards").unwrap_or_default();
            io::Error::other(format!("{error}: {view}"))
        })
    }

    /// What `slotway up` writes before it starts anybody.
    fn write_plan(&self) -> io::Result<()> {
        let dir = self.dir.path();
        let ids = |names: &[&str]| names.iter().map(|name| NodeId((*name).to_owned())).collect::<Vec<_>>();
        let at =
            |host: &str, port: u16| self.network.address(host).map(|address| format!("{address}:{port}"));
        let node = |name: &&str| {
            Ok(Node {
                id: NodeId((*name).to_owned()),
                addr: at(name, NODE_PORT)?,
                admin_addr: Some(at(name, NODE_ADMIN)?),
            })
        };
        let proxy = |name: &&str| {
            Ok(Proxy {
                id: ProxyId((*name).to_owned()),
                addr: at(name, CLIENT_PORT)?,
                admin_addr: Some(at(name, ADMIN_PORT)?),
                sentinel_addr: None,
            })
        };
        let topology = Topology {
            version: 1,
            cluster_id: "5107".repeat(10),
            placement: Placement::default(),
            shards: vec![Shard {
                id: ShardId(1),
                kind: Kind::Slotway,
                epoch: Epoch(1),
                primary: NodeId(NODES[0].to_owned()),
                replicas: ids(&NODES[1..]),
                slots: SlotRange::equal(1),
            }],
            nodes: NODES.iter().map(node).collect::<io::Result<_>>()?,
            proxies: PROXIES.iter().map(proxy).collect::<io::Result<_>>()?,
        };
        fs::create_dir(dir.join("logs"))?;
        fs::write(dir.join("secret"), "5ec2e7".repeat(10))?;
        for name in NODES.into_iter().chain(PROXIES) {
            fs::create_dir(dir.join(name))?;
        }
        let text = serde_json::to_string(&topology).map_err(io::Error::other)?;
        PROXIES.iter().try_for_each(|proxy| fs::write(dir.join(proxy).join("topology.json"), &text))
    }

    fn start_node(&mut self, name: &'static str) -> io::Result<()> {
        let mut command = slotway();
        command.arg("node");
        let ports = [("--port", NODE_PORT), ("--admin-port", NODE_ADMIN), ("--pulse-port", PULSE_PORT)];
        for (flag, port) in ports {
            command.args([flag, &port.to_string()]);
        }
        command.args(["--appendonly", "yes"]);
        self.spawn(name, command)
    }

    fn start_proxy(&mut self, name: &'static str) -> io::Result<()> {
        let mut command = slotway();
        command.args(["proxy", "--sentinel-port", "off", "--durability", "quorum"]);
        let ports = [("--port", CLIENT_PORT), ("--admin-port", ADMIN_PORT), ("--control-port", CONTROL_PORT)];
        for (flag, port) in ports {
            command.args([flag, &port.to_string()]);
        }
        if name != PROXIES[0] {
            let first = self.network.address(PROXIES[0])?;
            command.args(["--join", &format!("{first}:{CONTROL_PORT}")]);
        }
        self.spawn(name, command)
    }

    fn spawn(&mut self, name: &'static str, mut command: Command) -> io::Result<()> {
        let dir = self.dir.path();
        let log = File::create(dir.join("logs").join(format!("{name}.log")))?;
        command.args(["--bind", &self.network.address(name)?.to_string(), "--protected-mode", "no"]);
        command.arg("--dir").arg(dir.join(name)).arg("--secret-file").arg(dir.join("secret"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.network.place(name)?.house(&mut command);
        die_with_parent(&mut command);
        self.children.push((name, command.spawn()?));
        Ok(())
    }

    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    fn doors(&self, from: &str, proxies: &[&str]) -> Vec<Door> {
        let doors = proxies.iter().map(|proxy| self.network.door(from, proxy, CLIENT_PORT));
        doors.filter_map(Result::ok).collect()
    }
}

impl System for Apart {
    fn sides(&self) -> Vec<Side> {
        let most = Side {
            name: "most",
            doors: self.doors(WITH_MOST, &PROXIES[..2]),
            lanes: LANES * 2 / 3,
            leads: None,
        };
        let few =
            Side { name: "few", doors: self.doors(WITH_FEW, &PROXIES[2..]), lanes: LANES / 3, leads: None };
        vec![most, few]
    }

    fn primary(&self) -> io::Result<String> {
        self.api.primary()
    }

    fn signal(&self, id: &str, signal: Signal) -> io::Result<()> {
        let child = self.children.iter().find(|(name, _)| *name == id).map(|(_, child)| child.id());
        send(child.ok_or_else(|| io::Error::other(format!("no process {id}")))?, signal)
    }

    fn cut(&self, from: &[&str], to: &[&str]) -> io::Result<()> {
        self.network.cut(from, to)
    }

    fn heal(&self) -> io::Result<()> {
        self.network.heal()
    }

    fn own_door(&self, id: &str) -> io::Result<Door> {
        self.network.door(WITH_MOST, id, NODE_PORT)
    }

    fn is_whole(&self) -> bool {
        let nodes = self.children.iter().filter(|(name, _)| name.starts_with('n'));
        let living = nodes.filter(|(_, child)| is_running(child.id())).count();
        self.api.is_whole(living.saturating_sub(1))
    }

    fn reader(&self) -> io::Result<Door> {
        Api::open_door(&self.doors(WITH_MOST, &PROXIES))
    }

    fn directory(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            // Both only fail when it has ended already.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}
