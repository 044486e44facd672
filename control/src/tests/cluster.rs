//! The control group in front of made-up nodes of a Redis Cluster, each of which says what its test wants.

use std::{collections::BTreeMap, sync::Mutex};

use slotway_cluster::Topology;

use super::{
    server::{Server, bulk},
    *,
};

const INFO: &str = "redis_version:7.0.15\r\ncluster_enabled:1\r\nrole:master\r\n";

/// What a node says: for each node named its epoch, whom it follows and its slots.
type Said = BTreeMap<usize, (u64, Option<usize>, &'static str)>;

/// What a node does when it is asked.
#[derive(Clone)]
enum Mood {
    Says(Said),
    Silent,
    NoCluster,
    Garbage,
    /// Believes its cluster to be broken.
    Fails(Said),
}

struct Nodes {
    servers: Vec<Server>,
    moods: Arc<Mutex<Vec<Mood>>>,
}

impl Nodes {
    fn start(moods: Vec<Mood>) -> Nodes {
        let listeners: Vec<TcpListener> =
            moods.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let moods = Arc::new(Mutex::new(moods));
        let server = |(me, listener): (usize, TcpListener)| {
            let (moods, ports): (Arc<Mutex<Vec<Mood>>>, _) = (Arc::clone(&moods), ports.clone());
            Server::answering(listener, move |request| {
                let mood = moods.lock().unwrap()[me].clone();
                answer(request, me, &ports, &mood)
            })
        };
        let servers = listeners.into_iter().enumerate().map(server).collect();
        Nodes { servers, moods }
    }

    fn set(&self, node: usize, mood: Mood) {
        self.moods.lock().unwrap()[node] = mood;
    }

    fn all_say(&self, said: &Said) {
        self.moods.lock().unwrap().iter_mut().for_each(|mood| *mood = Mood::Says(said.clone()));
    }

    fn control(&self, seeds: &[usize]) -> Control {
        let addresses: Vec<&str> = seeds.iter().map(|&seed| self.servers[seed].address.as_str()).collect();
        Control::start(&config(&[("cluster", &addresses.join(","))]), &Registry::new()).unwrap()
    }

    fn asked(&self, node: usize) -> usize {
        self.servers[node].told("CLUSTER NODES").len()
    }

    /// `primary slots` of each shard; a node by its index.
    fn shards(&self, topology: &Topology) -> Vec<String> {
        let index = |id| {
            let address = &topology.node(id).unwrap().addr;
            self.servers.iter().position(|server| &server.address == address).unwrap()
        };
        let shards = topology.shards.iter().map(|shard| {
            let slots: Vec<String> = shard.slots.iter().map(ToString::to_string).collect();
            format!("{} {}", index(&shard.primary), slots.join(","))
        });
        shards.collect()
    }

    async fn wait_for_shards(&self, control: &Control, expected: &[&str]) -> Arc<Topology> {
        wait_for(&format!("the shards are {expected:?}"), || {
            let topology = control.view().topology();
            (self.shards(&topology) == expected).then_some(topology)
        })
        .await
    }
}

fn answer(request: &str, me: usize, ports: &[u16], mood: &Mood) -> Option<String> {
    let (said, state) = match mood {
        Mood::Says(said) => (said, "ok"),
        Mood::Fails(said) => (said, "fail"),
        Mood::Silent => return None,
        Mood::NoCluster => return Some("-ERR This instance has cluster support disabled\r\n".into()),
        Mood::Garbage => return Some("+what\r\n".into()),
    };
    Some(match request {
        "INFO" => bulk(INFO),
        "CLUSTER INFO" => bulk(&format!("cluster_state:{state}\r\ncluster_current_epoch:9\r\n")),
        // As before 7.0.
        "CLUSTER SHARDS" => "-ERR Unknown subcommand\r\n".into(),
        "CLUSTER SLOTS" => "*0\r\n".into(),
        "CLUSTER NODES" => {
            let line = |(&node, (epoch, follows, slots)): (&usize, &(u64, Option<usize>, &str))| {
                let myself = if node == me { "myself," } else { "" };
                let role = follows.map_or("master -".to_owned(), |primary| format!("slave id{primary}"));
                format!("id{node} 127.0.0.1:{}@1 {myself}{role} 0 0 {epoch} connected {slots}\n", ports[node])
            };
            bulk(&said.iter().map(line).collect::<String>())
        }
        _ => "+OK\r\n".into(),
    })
}

fn three() -> Said {
    [
        (0, (1, None, "0-5460")),
        (1, (2, None, "5461-10921")),
        (2, (3, None, "10922-16383")),
        (3, (1, Some(0), "")),
    ]
    .into()
}

/// Node 3 took over from node 0.
fn promoted() -> Said {
    let mut said = three();
    said.extend([(0, (1, Some(3), "")), (3, (7, None, "0-5460"))]);
    said
}

const THREE: [&str; 3] = ["0 0-5460", "1 5461-10921", "2 10922-16383"];
const PROMOTED: [&str; 3] = ["3 0-5460", "1 5461-10921", "2 10922-16383"];

fn four_say(said: &Said) -> Nodes {
    Nodes::start(vec![Mood::Says(said.clone()); 4])
}

#[tokio::test]
async fn a_cluster_is_learned_from_one_seed_that_answers() {
    let nodes = four_say(&three());
    nodes.set(3, Mood::Silent);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let seeds = format!("{free},{},{}", nodes.servers[3].address, nodes.servers[1].address);
    let control = Control::start(&config(&[("cluster", &seeds)]), &Registry::new()).unwrap();
    let topology = nodes.wait_for_shards(&control, &THREE).await;
    assert_eq!(topology.shards[0].replicas, [NodeId("n4".into())]);
    assert!(topology.shards.iter().all(|shard| shard.kind == Kind::Cluster));
    wait_for("the nodes are seen", || {
        let ups = ["n1", "n2", "n3"].map(|node| health(&control, node) == Some(Health::Up));
        (ups == [true; 3]).then_some(())
    })
    .await;
    control.stop().await;
}

#[tokio::test]
async fn until_somebody_answers_there_are_no_shards_and_it_asks_again() {
    let nodes = Nodes::start(vec![Mood::NoCluster, Mood::Garbage, Mood::Fails(three()), Mood::Silent]);
    let control = nodes.control(&[0, 1, 2, 3]);
    wait_for("all were asked", || (0..4).all(|node| nodes.asked(node) > 1).then_some(())).await;
    let topology = control.view().topology();
    assert_eq!((topology.version, topology.shards.len(), topology.cluster_id.len()), (1, 0, 40));
    nodes.set(1, Mood::Says(three()));
    nodes.wait_for_shards(&control, &THREE).await;
    control.stop().await;
}

#[tokio::test]
async fn a_promotion_is_noticed_while_the_former_primary_keeps_its_connections_and_is_silent() {
    let nodes = four_say(&three());
    let control = nodes.control(&[0, 1]);
    let before = nodes.wait_for_shards(&control, &THREE).await;
    nodes.all_say(&promoted());
    nodes.set(0, Mood::Silent);
    let after = nodes.wait_for_shards(&control, &PROMOTED).await;
    assert!(after.version > before.version);
    assert_eq!(after.shards[0].id, before.shards[0].id);
    assert_eq!(after.cluster_id, before.cluster_id);
    control.stop().await;
}

#[tokio::test]
async fn one_node_that_says_something_else_turns_nothing() {
    let nodes = four_say(&three());
    let control = nodes.control(&[0]);
    nodes.wait_for_shards(&control, &THREE).await;
    nodes.set(1, Mood::Says([(1, (99, None, "0-16383"))].into()));
    nodes.set(2, Mood::Garbage);
    let asked = nodes.asked(1);
    wait_for("it was asked again", || (nodes.asked(1) > asked + 2).then_some(())).await;
    assert_eq!(nodes.shards(&control.view().topology()), THREE);
    control.stop().await;
}

#[tokio::test]
async fn whoever_says_that_the_topology_is_stale_need_not_wait_for_the_timer() {
    let nodes = four_say(&three());
    let control = nodes.control(&[0, 1, 2]);
    nodes.wait_for_shards(&control, &THREE).await;
    // While all is well nodes are asked once a second: five changes that wait for it take five seconds.
    let started = Instant::now();
    for turn in 1..=5 {
        let said: Said = match turn % 2 {
            0 => [(0, (10 + turn, None, "0-5460")), (3, (1, Some(0), ""))].into(),
            _ => [(3, (10 + turn, None, "0-5460")), (0, (1, Some(3), ""))].into(),
        };
        nodes.all_say(&three().into_iter().chain(said).collect());
        control.stale_topology().notify_one();
        nodes.wait_for_shards(&control, if turn % 2 == 0 { &THREE } else { &PROMOTED }).await;
    }
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    control.stop().await;
}

#[tokio::test]
async fn nodes_are_asked_with_the_password_that_was_given() {
    let nodes = four_say(&three());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "pass\n").unwrap();
    let flags = [
        ("cluster", nodes.servers[0].address.as_str()),
        ("node-user", "reader"),
        ("node-password-file", file.to_str().unwrap()),
    ];
    let control = Control::start(&config(&flags), &Registry::new()).unwrap();
    nodes.wait_for_shards(&control, &THREE).await;
    assert!(nodes.servers[0].told("AUTH").iter().all(|words| words == "AUTH reader pass"));
    assert!(!nodes.servers[0].told("AUTH").is_empty());
    control.stop().await;
}

#[tokio::test]
async fn a_proxy_stays_listed_when_the_topology_changes() {
    let nodes = four_say(&three());
    let mut control = nodes.control(&[0]);
    let own = OwnAddresses { addr: "127.0.0.1:6379".into(), admin_addr: None, sentinel_addr: None };
    control.introduce(own, Arc::new(|| 0));
    nodes.wait_for_shards(&control, &THREE).await;
    nodes.all_say(&promoted());
    let topology = nodes.wait_for_shards(&control, &PROMOTED).await;
    assert_eq!(topology.proxies.len(), 1);
    assert_eq!(*control.versions().borrow(), topology.version);
    control.stop().await;
}
