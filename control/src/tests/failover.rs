//! A control group of one in front of made-up nodes that speak the pulse: a cluster is formed, its primary dies, another leads.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use slotway_cluster::{
    Entry, Epoch, Incarnation, Member, Position, ShardId,
    events::{EventId, Kind as EventKind},
    jobs::{Job, JobState, Order},
    pulse::{
        FromNode, Orders, Status, ToNode,
        wire::{Part, Upstream, UpstreamState},
    },
    replication::Offset,
    view::{self, ShardState as Shown},
};
use slotway_resp::{Frame, Limits};

use super::{server::bulk, *};

const LIMITS: Limits = Limits {
    bulk_bytes_max: 1 << 20,
    words_max: 1 << 10,
    inline_bytes_max: 1 << 16,
    nesting_max: 4,
    unauthenticated: false,
};

/// A node that does as it is told, and holds what the test says.
struct Node {
    addr: String,
    inner: Arc<Inner>,
}

struct Inner {
    incarnation: Incarnation,
    pulse_addr: String,
    position: Position,
    state: Mutex<Heard>,
    streams: Mutex<Vec<TcpStream>>,
    is_dead: AtomicBool,
}

#[derive(Default)]
struct Heard {
    orders: Option<Box<Orders>>,
    serves: Option<Epoch>,
    waits_ms: Vec<u64>,
    upstream_is_gone: bool,
}

impl Node {
    fn start(life: u64, offset: u64) -> Node {
        let (client, pulse) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = client.local_addr().unwrap().to_string();
        let inner = Arc::new(Inner {
            incarnation: Incarnation(life),
            pulse_addr: pulse.local_addr().unwrap().to_string(),
            position: Position { epoch: Epoch(1), offset: Offset(offset) },
            state: Mutex::default(),
            streams: Mutex::default(),
            is_dead: AtomicBool::new(false),
        });
        for listener in [client, pulse] {
            let inner = Arc::clone(&inner);
            std::thread::spawn(move || inner.listen(&listener));
        }
        Node { addr, inner }
    }

    /// As kill -9: every connection is reset, and nobody listens any more.
    fn die(&self) {
        self.inner.is_dead.store(true, Ordering::SeqCst);
        for stream in self.inner.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Listeners end by a last connection.
        for address in [&self.addr, &self.inner.pulse_addr] {
            let _ = TcpStream::connect(address);
        }
    }

    fn lose_upstream(&self) {
        self.inner.state.lock().unwrap().upstream_is_gone = true;
    }

    fn serves(&self) -> Option<Epoch> {
        self.inner.state.lock().unwrap().serves
    }
}

impl Inner {
    fn listen(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_dead.load(Ordering::SeqCst) {
                return;
            }
            let stream = stream.unwrap();
            self.streams.lock().unwrap().push(stream.try_clone().unwrap());
            let inner = Arc::clone(&self);
            std::thread::spawn(move || inner.serve(stream));
        }
    }

    fn serve(&self, mut stream: TcpStream) {
        let (mut input, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            while let Some((Frame::Array(words), len)) = Frame::parse(&input, &LIMITS).unwrap() {
                input.drain(..len);
                let word = |at: usize| match words.get(at) {
                    Some(Frame::Bulk(word)) => String::from_utf8(word.clone()).unwrap(),
                    _ => String::new(),
                };
                let answer = match (word(0).as_str(), word(1).as_str()) {
                    ("AUTH", "slotway") => "+OK\r\n".to_owned(),
                    ("SLOTWAY", "STATE") => bulk(&self.state()),
                    ("SLOTWAY", "PULSE") => self.hear(&serde_json::from_str(&word(3)).unwrap()),
                    other => panic!("{other:?}"),
                };
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(len) => input.extend_from_slice(&chunk[..len]),
            }
        }
    }

    fn state(&self) -> String {
        format!(r#"{{"incarnation":"{}","pulse_addr":"{}"}}"#, self.incarnation, self.pulse_addr)
    }

    fn hear(&self, word: &ToNode) -> String {
        let mut heard = self.state.lock().unwrap();
        let answer = match word {
            ToNode::Ping { seq, .. } => {
                FromNode::Pong { seq: Some(*seq), status: Box::new(self.status(&heard)) }
            }
            ToNode::Fence { shard, epoch } => FromNode::Promise {
                shard: *shard,
                epoch: *epoch,
                member: self.member(&heard),
                position: self.position,
                grant_left_ms: 120,
            },
            ToNode::Orders(orders) => {
                heard.orders = Some(orders.clone());
                return String::new();
            }
            ToNode::Activate { epoch, wait_ms, .. } => {
                heard.serves = Some(*epoch);
                heard.waits_ms.push(*wait_ms);
                return String::new();
            }
            ToNode::Stop { .. } | ToNode::Heartbeat(_) => return String::new(),
        };
        bulk(&serde_json::to_string(&answer).unwrap())
    }

    fn member(&self, heard: &Heard) -> Member {
        Member { node: heard.orders.as_ref().unwrap().me.clone(), incarnation: self.incarnation }
    }

    fn status(&self, heard: &Heard) -> Status {
        let state = heard.orders.as_ref().map(|orders| &orders.state);
        let leads = state.is_some_and(|state| state.rule.primary == self.member(heard));
        let epoch = state.map_or(Epoch(0), |state| state.epoch);
        let part = match (leads, heard.serves) {
            (true, Some(serves)) if serves == epoch => Part::Serving { epoch },
            (true, _) => Part::Opening { epoch },
            (false, _) => Part::Replica { epoch },
        };
        let upstream = state.filter(|_| !leads).map(|state| Upstream {
            node: state.rule.primary.node.clone(),
            state: if heard.upstream_is_gone { UpstreamState::Refused } else { UpstreamState::Up },
            for_ms: 0,
        });
        Status {
            cluster_id: heard.orders.as_ref().map(|orders| orders.topology.cluster_id.clone()),
            node: heard.orders.as_ref().map(|orders| orders.me.clone()),
            incarnation: self.incarnation,
            index: heard.orders.as_ref().map_or(0, |orders| orders.topology.version),
            seen: epoch,
            position: self.position,
            part,
            proposal: state.filter(|_| leads).and_then(|state| self.proposal(state, heard)),
            busy: None,
            upstream,
            keys: Some(7),
            memory_bytes: Some(1000),
            software: "slotway 0.1.0".into(),
        }
    }

    /// A primary activates its epoch, then takes all living nodes into S.
    fn proposal(&self, state: &slotway_cluster::control::ShardState, heard: &Heard) -> Option<Entry> {
        let (shard, epoch, version) = (ShardId(1), state.epoch, state.version);
        if !state.activated {
            return Some(Entry::Activated { shard, epoch });
        }
        let wanted = if epoch == Epoch(1) { vec![(2, 2), (3, 3)] } else { return None };
        let member =
            |(node, life)| Member { node: NodeId(format!("n{node}")), incarnation: Incarnation(life) };
        let sync: Vec<Member> = wanted.into_iter().map(member).collect();
        let known = heard.orders.as_ref()?.topology.nodes.len() == 3;
        (known && state.rule.sync != sync).then_some(Entry::ChangeSync { shard, epoch, version, sync })
    }
}

/// A topology of one shard: the first node leads, the others replicate.
fn plan(nodes: &[Node]) -> Topology {
    let addresses: Vec<String> = nodes.iter().map(|node| node.addr.clone()).collect();
    let mut topology = discover::from_backends(&addresses, Some(Kind::Slotway));
    topology.shards.truncate(1);
    topology.shards[0].slots = vec![slotway_cluster::SlotRange::full()];
    topology.shards[0].replicas = topology.nodes[1..].iter().map(|node| node.id.clone()).collect();
    topology.cluster_id = "c".repeat(40);
    topology
}

fn start(dir: &std::path::Path) -> Control {
    let secret = dir.join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    let flags =
        [("dir", dir.to_str().unwrap()), ("secret-file", secret.to_str().unwrap()), ("control-port", "0")];
    let mut control = Control::start(&config(&flags), &Registry::new()).unwrap();
    let own = OwnAddresses { addr: "127.0.0.1:6379".into(), admin_addr: None, sentinel_addr: None };
    control.introduce(own, Arc::new(|| 3));
    control
}

fn shown(control: &Control) -> view::ShardView {
    let (topology, seen) = (control.view().topology(), control.view().observations());
    view::build::shards(&topology, &seen).shards.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_begins_from_its_plan_replaces_a_dead_primary_and_goes_on_after_a_restart() {
    let nodes = [Node::start(1, 100), Node::start(2, 50), Node::start(3, 80)];
    let dir = tempfile::tempdir().unwrap();
    topology_file::store(dir.path(), &plan(&nodes)).unwrap();
    let control = start(dir.path());
    assert_eq!(control.topology().load().slots_assigned(), 16384, "routed by the plan at once");

    wait_for("the shard is whole", || (shown(&control).state == Shown::Ok).then_some(())).await;
    let shard = shown(&control);
    assert_eq!((shard.sync_set.len(), shard.acks_needed, shard.epoch), (2, 1, Epoch(1)));
    let observations = control.view().observations();
    let leader = observations.leader.clone().unwrap();
    assert_eq!(observations.proxies[&leader].raft, Some(view::RaftRole::Leader));
    assert_eq!(observations.durability, Some(view::Durability::Quorum));
    assert_eq!(nodes[0].inner.state.lock().unwrap().waits_ms, [0], "no epoch was before it");

    nodes[0].die();
    for node in &nodes[1..] {
        node.lose_upstream();
    }
    wait_for("n3, which holds more, leads", || (nodes[2].serves() == Some(Epoch(2))).then_some(())).await;
    let wait = nodes[2].inner.state.lock().unwrap().waits_ms[0];
    assert!((100..=120).contains(&wait), "the grant that is left: {wait}");
    wait_for("all see it", || (shown(&control).state == Shown::Degraded).then_some(())).await;
    let topology = control.view().topology();
    assert_eq!((topology.shards[0].primary.0.as_str(), topology.shards[0].epoch), ("n3", Epoch(2)));
    the_story_is_told(&control).await;
    control.stop().await;

    let control = start(dir.path());
    wait_for("the log is read again", || (shown(&control).epoch == Epoch(2)).then_some(())).await;
    wait_for("it serves", || (shown(&control).state == Shown::Degraded).then_some(())).await;
    // n3 is asked to stop and does not.
    let order = Order::Switchover { shard: ShardId(1), to: Some(NodeId("n2".into())) };
    let view = control.view();
    let job = view.order(order.clone(), Some("key".into())).unwrap();
    assert_eq!(view.order(order, Some("key".into())).unwrap().id, job.id);
    let ended = || view.job(&job.id).ok().filter(Job::has_ended);
    let job = wait_for("the switchover is given up", ended).await;
    assert_eq!((job.state, job.error.is_some()), (JobState::Failed, true), "{job:?}");
    assert!(
        view.events(Some(EventId(0)), 1000).events.iter().all(|event| event.kind != EventKind::NodeAdded)
    );
    control.stop().await;
}

/// In the order in which it went, and nothing twice.
async fn the_story_is_told(control: &Control) {
    let kinds = || -> Vec<&'static str> {
        control.view().events(Some(EventId(0)), 1000).events.iter().map(|event| event.kind.name()).collect()
    };
    let expected = [
        "node.added",
        "shard.added",
        "replica.joined",
        "failover.started",
        "failover.fenced",
        "failover.promoted",
    ];
    let in_order = || {
        let kinds = kinds();
        let mut rest = kinds.iter();
        expected.iter().all(|kind| rest.any(|told| told == kind)).then_some(())
    };
    wait_for("the story of the failover is told", in_order).await;
    assert_eq!(kinds().iter().filter(|kind| **kind == "failover.promoted").count(), 1);
}

#[tokio::test]
async fn without_a_plan_a_group_or_anybody_to_join_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&[("dir", dir.path().to_str().unwrap()), ("control-port", "0")]);
    let error = Control::start(&config, &Registry::new()).unwrap_err();
    assert!(error.to_string().contains("holds no topology.json"), "{error}");
}
