//! A real Redis Cluster for a test: Debian's redis-server 7.0, formed and moved by redis-cli as an operator would.
//!
//! Its servers are children of the test on ports of their own, in a directory that goes with them. What happens to a
//! cluster in the years of its life is a method here: a node dies, stops, comes back, its replica takes over, slots
//! move, a master comes and goes. Each method returns when the cluster itself says that it is done; what a proxy in front
//! makes of it is the test's question.

pub mod nodes;
pub mod server;
mod slots;

use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::nodes::NodeLine;
use self::server::RedisServer;
use crate::cluster::wait_until;

/// `cluster-node-timeout`: a dead master is replaced in little more than this.
pub const NODE_TIMEOUT_MS: u32 = 2000;

/// For so long a replica of Redis 7.0 counts the votes that it got once: four node timeouts. If it was elected, is a replica again and
/// is asked to take over before that, it holds no election. It is master at once, by its old votes and with its old epoch,
/// until the others say that this epoch is over; what was written to it is lost.
const VOTES_COUNT: Duration = Duration::from_millis(4 * NODE_TIMEOUT_MS as u64);

/// A cluster. Dropping it kills every server.
#[derive(Debug)]
pub struct RealCluster {
    /// A server's index is its name in the test; it stays when others are removed.
    servers: Vec<RedisServer>,
    dir: TempDir,
}

/// How CLUSTER FAILOVER is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failover {
    /// Master and replica agree: nothing is lost.
    Agreed,
    /// Without the master, with the votes of the others.
    Force,
    /// Without asking anybody.
    Takeover,
}

impl RealCluster {
    /// A cluster of as many masters with a replica each.
    #[must_use]
    pub fn start(masters: usize) -> RealCluster {
        let mut cluster = RealCluster::unformed(2 * masters);
        cluster.form();
        cluster
    }

    /// The servers, not yet a cluster.
    #[must_use]
    pub fn unformed(servers: usize) -> RealCluster {
        let dir = tempfile::tempdir().expect("a directory for the cluster");
        let servers = (0..servers).map(|_| RedisServer::member(dir.path(), NODE_TIMEOUT_MS)).collect();
        RealCluster { servers, dir }
    }

    /// Makes the servers a cluster: half of them masters, the others their replicas.
    pub fn form(&mut self) {
        let addresses: Vec<String> = self.servers.iter().map(RedisServer::address).collect();
        let mut words = vec!["create"];
        words.extend(addresses.iter().map(String::as_str));
        words.extend(["--cluster-replicas", "1"]);
        operate(&words);
        self.wait_until_settled();
    }

    /// The address of a server.
    #[must_use]
    pub fn address(&self, index: usize) -> String {
        self.servers[index].address()
    }

    /// A server by its index: masters that were formed come first.
    #[must_use]
    pub fn server(&self, index: usize) -> &RedisServer {
        &self.servers[index]
    }

    /// What a server that runs says about all of them.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeLine> {
        self.nodes_seen_by(self.any())
    }

    #[must_use]
    pub fn nodes_seen_by(&self, index: usize) -> Vec<NodeLine> {
        NodeLine::all(&self.servers[index].text("CLUSTER NODES"))
    }

    /// Indices of the masters that own slots.
    #[must_use]
    pub fn masters(&self) -> Vec<usize> {
        let nodes = self.nodes();
        let owning = |node: &&NodeLine| node.has("master") && !node.has("fail") && node.slot_count() > 0;
        let mut found: Vec<usize> =
            nodes.iter().filter(owning).filter_map(|node| self.index_of(node.port)).collect();
        found.sort_unstable();
        found
    }

    /// Who owns a slot.
    #[must_use]
    pub fn owner_of(&self, slot: u16) -> usize {
        let nodes = self.nodes();
        let owner = nodes.iter().find(|node| node.owns(slot)).and_then(|node| self.index_of(node.port));
        owner.unwrap_or_else(|| panic!("nobody owns slot {slot}: {nodes:?}"))
    }

    /// A replica of a master.
    #[must_use]
    pub fn replica_of(&self, master: usize) -> usize {
        let id = self.id_of(master);
        let nodes = self.nodes();
        let replica = nodes.iter().find(|node| node.follows.as_ref() == Some(&id) && !node.has("fail"));
        let replica = replica.and_then(|node| self.index_of(node.port));
        replica.unwrap_or_else(|| panic!("server {master} has no replica: {nodes:?}"))
    }

    /// Whether a server is a master in its own eyes.
    #[must_use]
    pub fn is_master(&self, index: usize) -> bool {
        self.servers[index].try_ask("ROLE").is_ok_and(|reply| {
            reply.as_array().is_some_and(|role| role.first().and_then(|word| word.as_str()) == Some("master"))
        })
    }

    /// `kill -9`.
    pub fn kill(&mut self, index: usize) {
        self.servers[index].kill();
    }

    /// Starts a killed server again and waits until all agree about it. (It has lost its data: another must have taken
    /// its place, or its slots come back empty.)
    pub fn restart(&mut self, index: usize) {
        self.servers[index].restart();
        self.wait_until_settled();
    }

    /// SIGSTOP: a node that is cut off, with its memory of how things were.
    pub fn pause(&mut self, index: usize) {
        self.servers[index].pause();
    }

    /// SIGCONT.
    pub fn resume(&mut self, index: usize) {
        self.servers[index].resume();
    }

    /// Waits until a replica is master of its own accord.
    pub fn wait_for_promotion(&self, replica: usize) {
        wait_until("the replica takes over", || self.is_master(replica));
        self.servers[replica].promoted.set(Some(Instant::now()));
    }

    /// CLUSTER FAILOVER on a replica, until it is master and everybody knows. One that was elected a moment ago is asked when its
    /// old votes count no more.
    pub fn failover(&self, replica: usize, how: Failover) {
        let request = match how {
            Failover::Agreed => "CLUSTER FAILOVER",
            Failover::Force => "CLUSTER FAILOVER FORCE",
            Failover::Takeover => "CLUSTER FAILOVER TAKEOVER",
        };
        let promoted = &self.servers[replica].promoted;
        wait_until("the replica's old votes count no more", || {
            promoted.get().is_none_or(|at| at.elapsed() > VOTES_COUNT)
        });
        self.servers[replica].must(request);
        self.wait_for_promotion(replica);
        self.wait_until_settled();
        assert!(self.is_master(replica), "the others have not accepted server {replica}: {:?}", self.nodes());
    }

    /// One more master, without slots and without a replica.
    pub fn add_master(&mut self) -> usize {
        let server = RedisServer::member(self.dir.path(), NODE_TIMEOUT_MS);
        operate(&["add-node", &server.address(), &self.servers[self.any()].address()]);
        self.servers.push(server);
        self.wait_until_settled();
        self.servers.len() - 1
    }

    /// Takes a node that owns nothing out of the cluster; its server ends.
    pub fn remove(&mut self, index: usize) {
        let id = self.id_of(index);
        let other = (0..self.servers.len()).find(|other| *other != index && self.servers[*other].is_up());
        operate(&["del-node", &self.servers[other.expect("others stay")].address(), &id]);
        self.servers[index].kill();
        self.wait_until_settled();
    }

    /// Waits until every server that runs says that all is well, and all say the same about slots and epochs.
    pub fn wait_until_settled(&self) {
        wait_until("the cluster agrees", || self.is_settled());
    }

    fn is_settled(&self) -> bool {
        let running: Vec<&RedisServer> = self.servers.iter().filter(|server| server.is_up()).collect();
        let views: Option<Vec<_>> = running.iter().map(|server| view(server)).collect();
        views.is_some_and(|views| views.windows(2).all(|pair| pair[0] == pair[1]))
    }

    fn any(&self) -> usize {
        self.servers.iter().position(RedisServer::is_up).expect("a server runs")
    }

    fn index_of(&self, port: u16) -> Option<usize> {
        self.servers.iter().position(|server| server.port() == port)
    }

    /// The id that a node of the cluster has.
    #[must_use]
    pub fn id_of(&self, index: usize) -> String {
        let port = self.servers[index].port();
        let nodes = self.nodes();
        let node = nodes.iter().find(|node| node.port == port);
        node.map(|node| node.id.clone()).unwrap_or_else(|| panic!("no server {index} in {nodes:?}"))
    }
}

/// What one server says of the cluster.
#[derive(Debug, PartialEq, Eq)]
struct View {
    /// The cluster's clock. Whoever takes slots over claims them with a later one: if it knows only an earlier one it may
    /// claim them with the number that their last owner claimed them with. Then nobody believes it, and it stays so.
    epoch: String,
    /// Port, epoch of its claims, slots, whom it follows.
    nodes: Vec<(u16, u64, String, Option<String>)>,
}

/// Who owns what and who follows whom, in the eyes of one server; None while it is not well.
fn view(server: &RedisServer) -> Option<View> {
    let text = |request| server.try_ask(request).ok().and_then(|reply| reply.as_str().map(str::to_owned));
    let info = text("CLUSTER INFO")?;
    let well = info.contains("cluster_state:ok");
    let epoch = info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"))?.trim().to_owned();
    let replication = text("INFO replication")?;
    let follows_well = replication.contains("role:master") || replication.contains("master_link_status:up");
    let nodes = NodeLine::all(&text("CLUSTER NODES")?);
    let calm = nodes.iter().all(|node| !node.has("handshake") && !node.has("fail?"));
    let alive: Vec<&NodeLine> = nodes.iter().filter(|node| !node.has("fail")).collect();
    let mut nodes: Vec<_> = alive
        .iter()
        .map(|node| (node.port, node.epoch, format!("{:?}", node.slots), node.follows.clone()))
        .collect();
    nodes.sort();
    let mut claims: Vec<u64> = alive
        .iter()
        .filter(|node| node.has("master") && node.slot_count() > 0)
        .map(|node| node.epoch)
        .collect();
    let owners = claims.len();
    claims.sort_unstable();
    claims.dedup();
    // Two with one number are about to settle which of them takes a later one.
    let agreed = claims.len() == owners;
    (well && follows_well && calm && agreed).then_some(View { epoch, nodes })
}

/// `redis-cli --cluster WORDS --cluster-yes`, which may not fail.
fn operate(words: &[&str]) {
    let output = Command::new("redis-cli")
        .arg("--cluster")
        .args(words)
        .arg("--cluster-yes")
        .output()
        .expect("redis-cli is installed; ./test --tools installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "redis-cli --cluster {words:?}: {said}{complained}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever gets slots back before it has heard under which epoch they were taken claims them with the same one.
    #[test]
    fn slots_that_go_there_and_back_at_once_are_not_quarrelled_about() {
        let cluster = RealCluster::start(3);
        let [one, two] = [cluster.masters()[0], cluster.masters()[1]];
        for _ in 0..3 {
            cluster.reshard(one, two, 20);
            cluster.reshard(two, one, 20);
        }
        let claims: Vec<u64> =
            cluster.nodes().iter().filter(|node| node.has("master")).map(|node| node.epoch).collect();
        assert_eq!(claims.len(), 3);
        assert!(claims.iter().any(|epoch| *epoch >= 12), "each way was claimed anew: {claims:?}");
    }
}
