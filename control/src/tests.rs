//! The control group in front of made-up servers that answer INFO and note what they are told.

mod cluster;
mod failover;
mod server;

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::Registry;
use slotway_cluster::{NodeId, Topology, topology::Kind, view::Health};
use slotway_config::ProxyConfig;

use self::server::Server;
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `found` gives something.
async fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn config(flags: &[(&str, &str)]) -> ProxyConfig {
    let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ProxyConfig::load(None, std::iter::empty(), flags).unwrap()
}

fn health(control: &Control, node: &str) -> Option<Health> {
    control.view().observations().nodes.get(&NodeId(node.into())).map(|node| node.health)
}

fn kinds(control: &Control) -> Vec<Kind> {
    control.view().topology().shards.iter().map(|shard| shard.kind).collect()
}

#[tokio::test]
async fn backends_are_found_out_by_asking_and_need_not_be_there_first() {
    let slotway = Server::start("redis_version:7.2.0\r\nslotway_version:0.1.0\r\nrole:master\r\n");
    let replica = Server::start("redis_version:7.0.15\r\nrole:slave\r\nmaster_link_status:up\r\n");
    let replica_port = replica.address.rsplit(':').next().unwrap();
    // Bound but not yet served: connections wait, as for a server that is just starting.
    let late = TcpListener::bind("127.0.0.1:0").unwrap();
    let backends = format!("{},{}", slotway.address, late.local_addr().unwrap());
    let control = Control::start(&config(&[("backends", &backends)]), &Registry::new()).unwrap();
    assert_eq!(control.topology().load().slots_assigned(), 16384, "routed before anybody answered");

    wait_for("the Slotway node is recognised", || (kinds(&control)[0] == Kind::Slotway).then_some(())).await;
    assert_eq!(kinds(&control)[1], Kind::Redis);
    let info = format!(
        "redis_version:7.0.15\r\nrole:master\r\nslave0:ip=127.0.0.1,port={replica_port},state=online\r\n"
    );
    let _late = Server::listen(late, &info);
    wait_for("the replica is found and up", || (health(&control, "n3") == Some(Health::Up)).then_some(()))
        .await;
    let topology = control.view().topology();
    assert_eq!(topology.shards[1].replicas, [NodeId("n3".into())]);
    assert_eq!(*control.versions().borrow(), topology.version);
    assert!(slotway.told("SLOTWAY").is_empty(), "a lone node is left as it is");
    control.stop().await;
}

/// A data directory with the topology of one managed node, and the secret.
fn managed_dir(address: &str) -> (tempfile::TempDir, Topology, ProxyConfig) {
    let dir = tempfile::tempdir().unwrap();
    let topology = discover::from_backends(&[address.to_owned()], Some(Kind::Slotway));
    topology_file::store(dir.path(), &topology).unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let config = config(&[("dir", dir.path().to_str().unwrap()), ("secret-file", secret.to_str().unwrap())]);
    (dir, topology, config)
}

#[tokio::test]
async fn a_managed_node_is_handed_every_version_by_a_member() {
    let node = Server::start("slotway_version:0.1.0\r\nrole:master\r\n");
    let (_dir, topology, config) = managed_dir(&node.address);
    let control = Control::start(&config, &Registry::new()).unwrap();
    let json = serde_json::to_string(&topology).unwrap();
    let first = format!("SLOTWAY TOPOLOGY 1 {json} n1");
    wait_for("the topology arrives", || (node.told("TOPOLOGY") == [first.clone()]).then_some(())).await;
    assert_eq!(node.told("AUTH"), ["AUTH slotway s3cret"]);

    control.shared.change(|topology| Some(Topology { version: 2, ..topology.clone() }));
    wait_for("the next version arrives", || node.told("TOPOLOGY 2 ").pop()).await;
    control.stop().await;
}

#[tokio::test]
async fn a_proxy_lists_itself_once_and_only_for_itself() {
    let node = Server::start("slotway_version:0.1.0\r\nrole:master\r\n");
    let (_dir, topology, config) = managed_dir(&node.address);
    let mut control = Control::start(&config, &Registry::new()).unwrap();
    let own = OwnAddresses { addr: "127.0.0.1:6379".into(), admin_addr: None, sentinel_addr: None };
    control.introduce(own.clone(), Arc::new(|| 3));
    control.introduce(own, Arc::new(|| 4));
    let view = control.view();
    assert_eq!((view.topology().version, view.topology().proxies.len()), (topology.version, 1));
    let clients: Vec<_> = view.observations().proxies.into_values().map(|proxy| proxy.clients).collect();
    assert_eq!(clients, [Some(4)]);
    control.stop().await;
}

#[tokio::test]
async fn a_node_that_closes_connections_is_down_and_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Takes connections only to close them, until told to serve.
    let (serve, told_to_serve) = std::sync::mpsc::sync_channel::<()>(1);
    std::thread::spawn(move || {
        while told_to_serve.try_recv().is_err() {
            drop(listener.accept().unwrap());
        }
        Server::listen(listener, "redis_version:7.0.15\r\n")
    });
    let registry = Registry::new();
    let control = Control::start(&config(&[("backends", &address)]), &registry).unwrap();
    wait_for("it is down", || (health(&control, "n1") == Some(Health::Down)).then_some(())).await;
    let gauge = |registry: &Registry| {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == "slotway_control_node_up").unwrap();
        family.get_metric()[0].get_gauge().get_value()
    };
    assert!(gauge(&registry).abs() < f64::EPSILON);
    serve.send(()).unwrap();
    wait_for("it is up", || (health(&control, "n1") == Some(Health::Up)).then_some(())).await;
    assert!((gauge(&registry) - 1.0).abs() < f64::EPSILON);
    control.stop().await;
}

#[tokio::test]
async fn a_server_of_a_redis_cluster_is_not_served() {
    let server = Server::start("redis_version:7.0.15\r\ncluster_enabled:1\r\nrole:master\r\n");
    let control = Control::start(&config(&[("backends", &server.address)]), &Registry::new()).unwrap();
    wait_for("it was asked", || health(&control, "n1")).await;
    assert_eq!(health(&control, "n1"), Some(Health::Down));
    assert_eq!(kinds(&control), [Kind::Redis]);
    control.stop().await;
}

#[tokio::test]
async fn what_cannot_be_started_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let refused =
        |flags: &[(&str, &str)]| Control::start(&config(flags), &Registry::new()).unwrap_err().to_string();
    let missing = refused(&[("dir", dir.path().to_str().unwrap())]);
    assert!(missing.contains("holds no topology.json: give --backends"), "{missing}");
}
