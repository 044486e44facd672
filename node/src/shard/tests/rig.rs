//! The nodes, the log, and clients that speak RESP as text.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use slotway_cluster::{
    Cluster, Epoch, Incarnation, Member, NodeId, Position, ShardId,
    control::{Durability, Entry, NodeFact, Outcome, ShardState, entry::How},
    pulse::{Order, Orders, wire::Part},
};
use slotway_config::NodeConfig;
use slotway_link::clock::boottime;
use slotway_resp::{Frame, Limits};
use tempfile::TempDir;

use crate::{
    persistence::aof::{
        disk::{Disk, System},
        simulated::Simulated,
    },
    server::{self, Running},
    shutdown::Cause,
    vitals::Vitals,
};

/// Nothing here takes longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Who says nothing for so long is silent.
const SILENCE: Duration = Duration::from_millis(150);

pub(super) const SHARD: ShardId = ShardId(1);

/// A node of this process.
pub(super) struct TestNode {
    pub(super) name: NodeId,
    running: Option<Running>,
    port: u16,
    pub(super) vitals: Arc<Vitals>,
    pub(super) incarnation: Incarnation,
    dir: TempDir,
}

impl TestNode {
    pub(super) fn start(name: &str, flags: &[(&str, &str)]) -> TestNode {
        TestNode::start_in(tempfile::tempdir().unwrap(), name, flags)
    }

    fn start_in(dir: TempDir, name: &str, flags: &[(&str, &str)]) -> TestNode {
        let disk = Arc::new(System::new(dir.path()));
        TestNode::start_with(dir, disk, name, flags)
    }

    /// With its append-only log, which it syncs before it relies on it, on this disk.
    pub(super) fn start_on(disk: &Simulated, name: &str) -> TestNode {
        let flags = [("save", ""), ("appendonly", "yes"), ("appendfsync", "always")];
        TestNode::start_with(tempfile::tempdir().unwrap(), Arc::new(disk.clone()), name, &flags)
    }

    fn start_with(dir: TempDir, disk: Arc<dyn Disk>, name: &str, flags: &[(&str, &str)]) -> TestNode {
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "s3cret\n").unwrap();
        let fixed = [
            ("port", "0"),
            ("dir", dir.path().to_str().unwrap()),
            ("secret-file", secret.to_str().unwrap()),
            ("enable-debug-command", "yes"),
        ];
        let flags = fixed.iter().chain(flags).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut config = NodeConfig::load(None, std::iter::empty(), flags.collect()).unwrap();
        // The test is the pulse.
        config.pulse_port = None;
        let running = server::start_on(config, disk).unwrap();
        let (port, vitals) = (running.port(), Arc::clone(&running.vitals));
        let mut node = TestNode {
            name: NodeId(name.to_owned()),
            running: Some(running),
            port,
            vitals,
            incarnation: Incarnation(0),
            dir,
        };
        node.incarnation = node.ask_incarnation();
        node
    }

    fn ask_incarnation(&self) -> Incarnation {
        let mut member = Client::connect(self.port);
        member.ask("AUTH slotway s3cret");
        let mut found = None;
        until("it knows its incarnation", || {
            let state = member.ask("SLOTWAY STATE");
            let json = state.split_once("\r\n").and_then(|(_, json)| serde_json::from_str(json.trim()).ok());
            found = json.and_then(|json: serde_json::Value| {
                Incarnation::try_from(json["incarnation"].as_str()?.to_owned()).ok()
            });
            found.is_some()
        });
        found.unwrap()
    }

    /// Ends it as SHUTDOWN does, and starts it again with its files. The new one has not been spoken to.
    pub(super) fn shut_down_and_start_again(mut self, how: &str, flags: &[(&str, &str)]) -> TestNode {
        self.client().send(&format!("SHUTDOWN {how}"));
        self.running.take().unwrap().join().unwrap();
        let (name, empty) = (self.name.0.clone(), tempfile::tempdir().unwrap());
        TestNode::start_in(std::mem::replace(&mut self.dir, empty), &name, flags)
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(self.port)
    }

    pub(super) fn member(&self) -> Member {
        Member::new(&self.name, self.incarnation)
    }

    pub(super) fn order(&self, order: Order) {
        self.vitals.order(order);
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Ends it: its links are closed.
    pub(super) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop(Cause::Abandoned);
            running.join().unwrap();
        }
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// A shard and its log.
pub(super) struct Rig {
    pub(super) nodes: Vec<TestNode>,
    pub(super) cluster: Cluster,
    /// Of the log.
    last: u64,
    /// What nodes propose is logged.
    pub(super) log_is_reachable: bool,
    /// The primary has a lease that does not end.
    pub(super) grants: bool,
    /// Heartbeats tell the replicas what is committed.
    pub(super) commits: bool,
}

impl Rig {
    /// So many nodes, of which none has orders yet.
    pub(super) fn new(nodes: usize, durability: Durability) -> Rig {
        Rig::with_flags(nodes, durability, &[("save", "")])
    }

    pub(super) fn with_flags(nodes: usize, durability: Durability, flags: &[(&str, &str)]) -> Rig {
        Rig::of((1..=nodes).map(|number| TestNode::start(&format!("n{number}"), flags)).collect(), durability)
    }

    pub(super) fn of(nodes: Vec<TestNode>, durability: Durability) -> Rig {
        let mut rig = Rig {
            nodes,
            cluster: Cluster::default(),
            last: 0,
            log_is_reachable: true,
            grants: true,
            commits: true,
        };
        rig.apply(&Entry::Create { cluster_id: "c".repeat(40), placement: Default::default(), durability });
        let facts: Vec<(NodeId, NodeFact)> = rig.nodes.iter().map(fact).collect();
        for (node, fact) in facts {
            rig.apply(&Entry::AddNode { node, fact });
        }
        let slots = vec!["0-16383".parse().unwrap()];
        let primary = rig.nodes[0].member();
        rig.apply(&Entry::AddShard { shard: SHARD, primary, slots });
        rig
    }

    /// The first epoch, until all are in S and the primary serves.
    pub(super) fn open(&mut self) {
        self.order_all();
        self.activate(0);
        let all = self.nodes.len();
        self.until("the shard is open", |rig| {
            let state = rig.state();
            state.activated && state.rule.sync.len() == all - 1 && rig.serves(0)
        });
        self.until("the log is quiet", |rig| {
            rig.nodes.iter().all(|node| node.vitals.told().index == rig.cluster.index)
        });
    }

    pub(super) fn state(&self) -> &ShardState {
        &self.cluster.shards[&SHARD]
    }

    pub(super) fn serves(&self, node: usize) -> bool {
        self.nodes[node].vitals.told().part == Part::Serving { epoch: self.state().epoch }
    }

    pub(super) fn position(&self, node: usize) -> Position {
        self.nodes[node].vitals.position()
    }

    /// Into the log, if it fits.
    fn apply(&mut self, entry: &Entry) {
        self.last += 1;
        let outcome = self.cluster.apply(self.last, entry);
        assert!(!matches!(outcome, Outcome::Refused(_)), "{entry:?}: {outcome:?}");
    }

    /// Into the log, and to all.
    pub(super) fn decide(&mut self, entry: &Entry) {
        self.apply(entry);
        self.order_all();
    }

    fn order_all(&self) {
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            node.order(Order::Follow(Box::new(self.orders(node))));
        }
    }

    /// What the log says to this node.
    pub(super) fn orders(&self, node: &TestNode) -> Orders {
        Orders {
            topology: self.cluster.topology(),
            me: node.name.clone(),
            shard: SHARD,
            state: self.state().clone(),
            durability: self.cluster.durability,
            pulse_addrs: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// S without anybody, by the log's word: who was in it learns.
    pub(super) fn empty_sync(&mut self) {
        let ShardState { epoch, version, .. } = *self.state();
        self.decide(&Entry::ChangeSync { shard: SHARD, epoch, version, sync: Vec::new() });
    }

    pub(super) fn activate(&self, node: usize) {
        self.nodes[node].order(Order::Activate { epoch: self.state().epoch, not_before: Duration::ZERO });
    }

    pub(super) fn lease(&self, node: usize, until: Duration) {
        self.nodes[node].vitals.set_lease(self.state().epoch, until, boottime());
    }

    /// What control group and pulse do meanwhile.
    pub(super) fn step(&mut self) {
        let epoch = self.state().epoch;
        let primary = self.state().rule.primary.node.clone();
        let primary = self.nodes.iter().position(|node| node.name == primary).unwrap();
        if self.grants && self.nodes[primary].vitals.lease() != (epoch, Duration::MAX) {
            self.lease(primary, Duration::MAX);
        }
        if self.commits {
            let committed = self.nodes[primary].vitals.committed();
            for node in self.nodes.iter().filter(|node| node.name != self.nodes[primary].name) {
                node.vitals.heard_committed(epoch, committed);
            }
        }
        if !self.log_is_reachable {
            return;
        }
        let proposals: Vec<Entry> =
            self.nodes.iter().filter_map(|node| node.vitals.told().proposal).collect();
        for proposal in proposals {
            self.last += 1;
            let before = self.cluster.index;
            self.cluster.apply(self.last, &proposal);
            if self.cluster.index != before {
                self.order_all();
            }
        }
    }

    pub(super) fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Rig) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            self.step();
            if began.elapsed() > PATIENCE {
                let parts: Vec<_> =
                    self.nodes.iter().map(|node| (node.vitals.told(), node.vitals.position())).collect();
                panic!("not before the deadline: {what}; {parts:#?} {:#?}", self.state());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// `winner` leads the next epoch: these have promised it.
    pub(super) fn fail_over(&mut self, old: usize, winner: usize, promised: &[usize]) {
        let (epoch, version) = (self.state().epoch, self.state().version);
        self.apply(&Entry::BeginFailover { shard: SHARD, epoch, why: "a test".to_owned() });
        let old_sync = self.state().rule.sync.clone();
        let winner_member = self.nodes[winner].member();
        let mut sync: Vec<Member> = old_sync.into_iter().filter(|member| *member != winner_member).collect();
        if promised.contains(&old) {
            sync.push(self.nodes[old].member());
        }
        let (epoch, version) = (Epoch(epoch.0 + 1), version.max(self.state().version));
        let how = How::Failover;
        self.decide(&Entry::Promote { shard: SHARD, epoch, version, winner: winner_member, sync, how });
        self.activate(winner);
        self.until("the promoted one serves", |rig| rig.serves(winner));
    }

    /// Asks while control group and pulse go on.
    pub(super) fn ask(&mut self, client: &mut Client, request: &str) -> String {
        client.send(request);
        let mut reply = None;
        self.until("a reply", |_| {
            reply = client.receive(Duration::from_millis(5)).flatten();
            reply.is_some()
        });
        reply.unwrap_or_default()
    }

    /// Until this node is in S.
    pub(super) fn take_back(&mut self, node: usize) {
        let member = self.nodes[node].member();
        self.until("it is in S", |rig| rig.state().rule.sync.contains(&member));
    }

    pub(super) fn client(&self, node: usize) -> Client {
        self.nodes[node].client()
    }

    /// A connection that proved itself a member.
    pub(super) fn member(&self, node: usize) -> Client {
        let mut client = self.client(node);
        assert_eq!(client.ask("AUTH slotway s3cret"), "+OK\r\n");
        client
    }

    /// A number of INFO.
    pub(super) fn info(&self, node: usize, name: &str) -> u64 {
        let text = self.client(node).ask("INFO everything");
        let value = text.split(name).nth(1).and_then(|rest| rest.split("\r\n").next());
        value.unwrap().parse().unwrap()
    }
}

fn fact(node: &TestNode) -> (NodeId, NodeFact) {
    let fact = NodeFact {
        shard: SHARD,
        addr: format!("127.0.0.1:{}", node.port),
        pulse_addr: None,
        admin_addr: None,
        incarnation: Some(node.incarnation),
    };
    (node.name.clone(), fact)
}

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
}

impl Client {
    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream }
    }

    pub(super) fn send(&mut self, request: &str) {
        self.stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    }

    pub(super) fn ask(&mut self, request: &str) -> String {
        self.send(request);
        self.read()
    }

    pub(super) fn read(&mut self) -> String {
        self.read_within(PATIENCE)
    }

    pub(super) fn read_within(&mut self, patience: Duration) -> String {
        self.receive(patience).unwrap_or_else(|| panic!("no reply in time")).expect("still open")
    }

    /// None: the connection was closed without a word.
    pub(super) fn read_or_end(&mut self) -> Option<String> {
        self.receive(PATIENCE).unwrap_or_else(|| panic!("no reply in time"))
    }

    /// Nothing comes for a while.
    pub(super) fn is_silent(&mut self) -> bool {
        self.receive(SILENCE).is_none()
    }

    /// One reply, which is short. None: nothing came in time; Some(None): closed.
    fn receive(&mut self, patience: Duration) -> Option<Option<String>> {
        let mut text = Vec::new();
        let mut piece = [0; 64 * 1024];
        let began = Instant::now();
        loop {
            let left = patience.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut piece) {
                Ok(0) => return Some(None),
                Ok(len) => text.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(_) => return Some(None),
            }
            if is_whole(&text) {
                return Some(Some(String::from_utf8_lossy(&text).into_owned()));
            }
        }
    }
}

fn is_whole(text: &[u8]) -> bool {
    matches!(Frame::parse(text, &Limits::REPLY), Ok(Some(_)))
}

pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "not before the deadline: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
