//! Three nodes as processes of their own, and a control log that this test keeps: it speaks on their pulse ports as a leading proxy
//! does. Leases, heartbeats, promises and streams are the nodes' own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use slotway_cluster::{
    Cluster, Epoch, Incarnation, Member, NodeId, Position, ProxyId, ShardId,
    control::{Durability, Entry, NodeFact, Outcome, ShardState, entry::How},
    pulse::{
        GRANT,
        wire::{self, FromNode, Orders, Part, Status, ToNode},
    },
};
use slotway_resp::{Frame, Limits, write};
use slotway_tests::{
    cluster::wait_until,
    replicas::{Client, Server},
};

const SHARD: ShardId = ShardId(1);
const SECRET: &str = "s3cret of the members";
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy's link to a pulse port.
struct Pulse {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Pulse {
    fn connect(address: &str) -> Pulse {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut pulse = Pulse { stream, received: Vec::new() };
        pulse.send(&["AUTH", "slotway", SECRET]);
        pulse
    }

    fn send(&mut self, words: &[&str]) {
        let mut bytes = Vec::new();
        write::request(&mut bytes, words);
        // A process that was stopped takes nothing for a while, and one that ended nothing at all.
        let _ = self.stream.write_all(&bytes);
    }

    fn say(&mut self, word: &ToNode) {
        let json = serde_json::to_string(word).unwrap();
        self.send(&["SLOTWAY", "PULSE", "1", &json]);
    }

    /// What has come.
    fn hear(&mut self) -> Vec<FromNode> {
        let mut piece = [0; 64 * 1024];
        while let Ok(len @ 1..) = self.stream.read(&mut piece) {
            self.received.extend_from_slice(&piece[..len]);
        }
        let mut words = Vec::new();
        while let Some((frame, len)) = Frame::parse(&self.received, &Limits::REPLY).unwrap() {
            self.received.drain(..len);
            if let Some(json) = frame.as_str().filter(|text| text.starts_with('{')) {
                words.push(serde_json::from_str(json).unwrap());
            }
        }
        words
    }
}

struct Node {
    server: Server,
    name: NodeId,
    incarnation: Incarnation,
    pulse_addr: String,
    pulse: Pulse,
    status: Option<Status>,
    promised: Option<(Epoch, Position)>,
}

impl Node {
    fn start(number: usize, directory: &std::path::Path) -> Node {
        let secret = directory.join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let server =
            Server::node(&["--pulse-port", "0", "--secret-file", secret.to_str().unwrap(), "--save", ""]);
        let mut client = server.client();
        client.ask_words(&["AUTH", "slotway", SECRET]);
        let mut state = serde_json::Value::Null;
        wait_until("it knows who it is", || {
            let text = client.ask("SLOTWAY STATE");
            state = serde_json::from_str(text.as_str().unwrap()).unwrap();
            state["incarnation"].is_string()
        });
        let text = |name: &str| state[name].as_str().unwrap().to_owned();
        let pulse_addr = text("pulse_addr");
        Node {
            name: NodeId(format!("n{number}")),
            incarnation: Incarnation::try_from(text("incarnation")).unwrap(),
            pulse: Pulse::connect(&pulse_addr),
            pulse_addr,
            server,
            status: None,
            promised: None,
        }
    }

    fn member(&self) -> Member {
        Member::new(&self.name, self.incarnation)
    }

    fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill").args([signal, &self.server.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

/// The control group.
struct Control {
    nodes: Vec<Node>,
    cluster: Cluster,
    last: u64,
    seq: u64,
    /// What nodes proposed, as it was logged.
    proposed: Vec<Entry>,
    _directory: tempfile::TempDir,
}

impl Control {
    fn new(nodes: usize) -> Control {
        let directory = tempfile::tempdir().unwrap();
        let nodes: Vec<Node> = (1..=nodes).map(|number| Node::start(number, directory.path())).collect();
        let mut control = Control {
            nodes,
            cluster: Cluster::default(),
            last: 0,
            seq: 0,
            proposed: Vec::new(),
            _directory: directory,
        };
        let durability = Durability::Quorum;
        let placement = slotway_cluster::Placement::default();
        control.log(&Entry::Create { cluster_id: "c".repeat(40), placement, durability });
        let facts: Vec<(NodeId, NodeFact)> = control.nodes.iter().map(fact).collect();
        for (node, fact) in facts {
            control.log(&Entry::AddNode { node, fact });
        }
        let primary = control.nodes[0].member();
        control.log(&Entry::AddShard { shard: SHARD, primary, slots: vec!["0-16383".parse().unwrap()] });
        control.order_all();
        control.activate(0, Duration::ZERO);
        control.until("the shard is open", |control| {
            control.state().rule.sync.len() + 1 == control.nodes.len() && control.serves(0)
        });
        control
    }

    fn state(&self) -> &ShardState {
        &self.cluster.shards[&SHARD]
    }

    fn log(&mut self, entry: &Entry) {
        self.last += 1;
        let outcome = self.cluster.apply(self.last, entry);
        assert!(!matches!(outcome, Outcome::Refused(_)), "{entry:?}: {outcome:?}");
    }

    fn order_all(&mut self) {
        let addrs = self.nodes.iter().map(|node| (node.name.clone(), node.pulse_addr.clone()));
        let addrs: Vec<(NodeId, String)> = addrs.collect();
        let (topology, state) = (self.cluster.topology(), self.state().clone());
        for node in &mut self.nodes {
            node.pulse.say(&ToNode::Orders(Box::new(Orders {
                topology: topology.clone(),
                me: node.name.clone(),
                shard: SHARD,
                state: state.clone(),
                durability: Durability::Quorum,
                pulse_addrs: addrs.clone(),
                leaving: Vec::new(),
            })));
        }
    }

    /// `wait`: until all that earlier primaries were granted is over.
    fn activate(&mut self, node: usize, wait: Duration) {
        let epoch = self.state().epoch;
        let wait_ms = wire::millis(wait);
        self.nodes[node].pulse.say(&ToNode::Activate { shard: SHARD, epoch, wait_ms });
    }

    fn serves(&self, node: usize) -> bool {
        let part = self.nodes[node].status.as_ref().map(|status| status.part);
        part == Some(Part::Serving { epoch: self.state().epoch })
    }

    /// Pings all, and logs what is proposed.
    fn step(&mut self) {
        self.seq += 1;
        let seq = self.seq;
        let mut proposals = Vec::new();
        for node in &mut self.nodes {
            node.pulse.say(&ToNode::Ping { seq, proxy: ProxyId("p1".into()) });
            for word in node.pulse.hear() {
                match word {
                    FromNode::Pong { status, .. } => {
                        proposals.extend(status.proposal.clone());
                        node.status = Some(*status);
                    }
                    FromNode::Promise { epoch, position, .. } => node.promised = Some((epoch, position)),
                    FromNode::Grant { .. } | FromNode::Refused { .. } => {}
                }
            }
        }
        for proposal in proposals {
            self.last += 1;
            let before = self.cluster.index;
            self.cluster.apply(self.last, &proposal);
            if self.cluster.index != before {
                self.proposed.push(proposal);
                self.order_all();
            }
        }
    }

    fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Control) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            if began.elapsed() > PATIENCE {
                let logs: Vec<String> = self.nodes.iter().map(|node| node.server.log()).collect();
                panic!("not before the deadline: {what}; {:#?} {}", self.state(), logs.join("\n----\n"));
            }
            self.step();
        }
    }

    /// Asks on a thread's connection while the control group goes on.
    fn ask(&mut self, node: usize, request: &str) -> Frame {
        let mut client = self.nodes[node].server.client();
        let mut bytes = Vec::new();
        write::request(&mut bytes, &request.split(' ').collect::<Vec<_>>());
        client.send(&bytes);
        self.until("a reply", |_| !client.is_silent_for(Duration::from_millis(2)));
        client.reply()
    }
}

fn fact(node: &Node) -> (NodeId, NodeFact) {
    let fact = NodeFact {
        shard: SHARD,
        addr: format!("127.0.0.1:{}", node.server.port()),
        pulse_addr: Some(node.pulse_addr.clone()),
        admin_addr: None,
        incarnation: Some(node.incarnation),
    };
    (node.name.clone(), fact)
}

fn send(client: &mut Client, request: &str) {
    let mut bytes = Vec::new();
    write::request(&mut bytes, &request.split(' ').collect::<Vec<_>>());
    client.send(&bytes);
}

#[test]
fn a_replica_that_is_stopped_is_dropped_by_a_proposal_and_writes_go_on_without_it() {
    let mut control = Control::new(2);
    assert_eq!(control.ask(0, "SET k 1").as_str(), Some("OK"));
    assert_eq!(control.ask(0, "WAIT 1 0").as_integer(), Some(1));
    let replica = control.nodes[1].member();
    control.nodes[1].signal("-STOP");
    let mut held = control.nodes[0].server.client();
    send(&mut held, "SET k 2");
    assert!(held.is_silent_for(Duration::from_millis(50)), "nobody but the primary holds it");
    control.until("the write is answered", |_| !held.is_silent_for(Duration::from_millis(2)));
    assert_eq!(held.reply().as_str(), Some("OK"));
    assert!(!control.state().rule.sync.contains(&replica));
    let is_change = |entry: &Entry| matches!(entry, Entry::ChangeSync { sync, .. } if sync.is_empty());
    assert!(control.proposed.iter().any(is_change), "{:?}", control.proposed);
    control.nodes[1].signal("-CONT");
    control.until("it is taken back", |control| control.state().rule.sync.contains(&replica));
    assert_eq!(control.ask(0, "SET k 3").as_str(), Some("OK"));
}

#[test]
fn a_primary_that_stood_still_and_was_replaced_tells_nothing_and_comes_back_as_a_replica() {
    let mut control = Control::new(3);
    let (old, epoch) = (control.nodes[0].member(), control.state().epoch);
    let next = Epoch(epoch.0 + 1);
    let mut client = control.nodes[0].server.client();
    assert_eq!(control.ask(0, "SET before 1").as_str(), Some("OK"));
    control.nodes[0].signal("-STOP");
    send(&mut client, "GET before");
    control.log(&Entry::BeginFailover { shard: SHARD, epoch, why: "it stands still".into() });
    for node in [1, 2] {
        control.nodes[node].pulse.say(&ToNode::Fence { shard: SHARD, epoch: next });
    }
    control.until("both have promised", |control| {
        [1, 2].iter().all(|node| control.nodes[*node].promised.is_some_and(|(epoch, _)| epoch == next))
    });
    let winner = if control.nodes[1].promised >= control.nodes[2].promised { 1 } else { 2 };
    let winner_member = control.nodes[winner].member();
    let sync = control.state().rule.sync.iter().filter(|member| **member != winner_member).cloned().collect();
    let version = control.state().version;
    let how = How::Failover;
    control.log(&Entry::Promote { shard: SHARD, epoch: next, version, winner: winner_member, sync, how });
    control.order_all();
    control.activate(winner, GRANT);
    control.until("the promoted one serves", |control| control.serves(winner));
    assert_eq!(control.ask(winner, "GET before").as_str(), Some("1"));
    assert_eq!(control.ask(winner, "SET after 1").as_str(), Some("OK"));

    // It wakes, and tells nothing that it knew.
    control.nodes[0].signal("-CONT");
    let mut told = None;
    control.until("it is referred, or closed", |_| {
        if client.is_silent_for(Duration::from_millis(2)) {
            return false;
        }
        told = Some(client.reply());
        true
    });
    let told = format!("{:?}", told.unwrap());
    assert!(told.contains("MOVED"), "{told}");
    control.until("it is a replica of S again", |control| control.state().rule.sync.contains(&old));
    control.until("it holds what came after", |control| {
        let mut reader = control.nodes[0].server.client();
        reader.ask("READONLY");
        send(&mut reader, "GET after");
        control.step();
        !reader.is_silent_for(Duration::from_millis(100)) && reader.reply().as_str() == Some("1")
    });
}
