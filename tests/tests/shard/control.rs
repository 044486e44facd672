//! The nodes as processes, and the log that the test keeps for them.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use slotway_cluster::{
    Cluster, Epoch, Incarnation, Member, NodeId, Position, ProxyId, ShardId,
    control::{Durability, Entry, NodeFact, Outcome, ShardState, entry::How},
    pulse::wire::{self, FromNode, Orders, Part, Status, ToNode},
};
use slotway_resp::{Frame, Limits, write};
use slotway_tests::{
    cluster::wait_until,
    replicas::{Client, Server},
};

pub(super) const SHARD: ShardId = ShardId(1);
const SECRET: &str = "s3cret of the members";
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy's link to a pulse port.
pub(super) struct Pulse {
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

    pub(super) fn say(&mut self, word: &ToNode) {
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

pub(super) struct Node {
    pub(super) server: Server,
    name: NodeId,
    pub(super) incarnation: Incarnation,
    pulse_addr: String,
    pub(super) pulse: Pulse,
    pub(super) status: Option<Status>,
    pub(super) promised: Option<(Epoch, Position)>,
}

impl Node {
    fn start(number: usize, directory: &Path) -> Node {
        let secret = directory.join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let server =
            Server::node(&["--pulse-port", "0", "--secret-file", secret.to_str().unwrap(), "--save", ""]);
        let (incarnation, pulse_addr) = introduction(&server);
        Node {
            name: NodeId(format!("n{number}")),
            incarnation,
            pulse: Pulse::connect(&pulse_addr),
            pulse_addr,
            server,
            status: None,
            promised: None,
        }
    }

    /// Killed, and at once started again.
    pub(super) fn crash(&mut self) {
        self.server.kill_and_start_again();
        (self.incarnation, self.pulse_addr) = introduction(&self.server);
        self.pulse = Pulse::connect(&self.pulse_addr);
        (self.status, self.promised) = (None, None);
    }

    pub(super) fn member(&self) -> Member {
        Member::new(&self.name, self.incarnation)
    }

    pub(super) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.server.pid().to_string()]).status();
        assert!(sent.unwrap().success());
        if signal == "-STOP" {
            // It is told at once and comes true thread by thread.
            wait_until("all of its threads stand still", || self.stands_still());
        }
    }

    fn stands_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.server.pid())).unwrap();
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap()).all(|stat| {
            let state = stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]);
            state == Some("T")
        })
    }
}

/// What a node says of itself: its incarnation and its pulse port.
fn introduction(server: &Server) -> (Incarnation, String) {
    let mut client = server.client();
    client.ask_words(&["AUTH", "slotway", SECRET]);
    let mut state = serde_json::Value::Null;
    wait_until("it knows who it is", || {
        let text = client.ask("SLOTWAY STATE");
        state = serde_json::from_str(text.as_str().unwrap()).unwrap();
        state["incarnation"].is_string()
    });
    let text = |name: &str| state[name].as_str().unwrap().to_owned();
    (Incarnation::try_from(text("incarnation")).unwrap(), text("pulse_addr"))
}

/// The control group.
pub(super) struct Control {
    pub(super) nodes: Vec<Node>,
    cluster: Cluster,
    last: u64,
    seq: u64,
    /// What nodes proposed, as it was logged.
    pub(super) proposed: Vec<Entry>,
    /// What nodes propose is logged.
    pub(super) log_is_reachable: bool,
    _directory: tempfile::TempDir,
}

impl Control {
    pub(super) fn new(nodes: usize) -> Control {
        let directory = tempfile::tempdir().unwrap();
        let nodes: Vec<Node> = (1..=nodes).map(|number| Node::start(number, directory.path())).collect();
        let mut control = Control {
            nodes,
            cluster: Cluster::default(),
            last: 0,
            seq: 0,
            proposed: Vec::new(),
            log_is_reachable: true,
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

    pub(super) fn state(&self) -> &ShardState {
        &self.cluster.shards[&SHARD]
    }

    pub(super) fn log(&mut self, entry: &Entry) {
        self.last += 1;
        let outcome = self.cluster.apply(self.last, entry);
        assert!(!matches!(outcome, Outcome::Refused(_)), "{entry:?}: {outcome:?}");
    }

    pub(super) fn order_all(&mut self) {
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
    pub(super) fn activate(&mut self, node: usize, wait: Duration) {
        let epoch = self.state().epoch;
        let wait_ms = wire::millis(wait);
        self.nodes[node].pulse.say(&ToNode::Activate { shard: SHARD, epoch, wait_ms });
    }

    pub(super) fn serves(&self, node: usize) -> bool {
        let part = self.nodes[node].status.as_ref().map(|status| status.part);
        part == Some(Part::Serving { epoch: self.state().epoch })
    }

    /// Pings all, and logs what is proposed.
    pub(super) fn step(&mut self) {
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
        let is_reachable = self.log_is_reachable;
        for proposal in proposals.into_iter().filter(|_| is_reachable) {
            self.last += 1;
            let before = self.cluster.index;
            self.cluster.apply(self.last, &proposal);
            if self.cluster.index != before {
                self.proposed.push(proposal);
                self.order_all();
            }
        }
    }

    pub(super) fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Control) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            if began.elapsed() > PATIENCE {
                let logs: Vec<String> = self.nodes.iter().map(|node| node.server.log()).collect();
                panic!("not before the deadline: {what}; {:#?} {}", self.state(), logs.join("\n----\n"));
            }
            self.step();
        }
    }

    /// These promise the next epoch, and the one of them that holds the most leads it. Returns which.
    pub(super) fn fail_over(&mut self, promising: &[usize], wait: Duration) -> usize {
        let (epoch, version) = (self.state().epoch, self.state().version);
        let next = Epoch(epoch.0 + 1);
        self.log(&Entry::BeginFailover { shard: SHARD, epoch, why: "a test".into() });
        for &node in promising {
            self.nodes[node].pulse.say(&ToNode::Fence { shard: SHARD, epoch: next });
        }
        self.until("all have promised", |control| {
            let promised = |node: &usize| control.nodes[*node].promised.map(|(epoch, _)| epoch);
            promising.iter().all(|node| promised(node) == Some(next))
        });
        let winner = promising.iter().copied().max_by_key(|node| self.nodes[*node].promised).unwrap();
        let winner_member = self.nodes[winner].member();
        let sync =
            self.state().rule.sync.iter().filter(|member| **member != winner_member).cloned().collect();
        let (winner_is, how) = (winner_member, How::Failover);
        self.log(&Entry::Promote { shard: SHARD, epoch: next, version, winner: winner_is, sync, how });
        self.order_all();
        self.activate(winner, wait);
        self.until("the promoted one serves", |control| control.serves(winner));
        winner
    }

    /// Asks on a thread's connection while the control group goes on.
    pub(super) fn ask(&mut self, node: usize, request: &str) -> Frame {
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

/// Sends and does not wait.
pub(super) fn send(client: &mut Client, request: &str) {
    let mut bytes = Vec::new();
    write::request(&mut bytes, &request.split(' ').collect::<Vec<_>>());
    client.send(&bytes);
}
