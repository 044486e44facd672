//! `DIR/up.json`: who runs, with which process id, on which ports. Replaced as a whole with every change, so that a test or a
//! script that reads it never sees half of it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use slotway_cluster::{NodeId, ProxyId, ShardId, Topology};
use slotway_control::topology_file;

use super::plan::Plan;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UpFile {
    /// Every slot is served.
    pub(super) ready: bool,
    /// Of `slotway up` itself.
    pub(super) pid: u32,
    pub(super) dir: PathBuf,
    pub(super) cluster_id: String,
    pub(super) proxies: Vec<ProxyRow>,
    pub(super) nodes: Vec<NodeRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProxyRow {
    pub(super) id: ProxyId,
    /// null while it does not run.
    pub(super) pid: Option<u32>,
    pub(super) port: u16,
    pub(super) admin_port: Option<u16>,
    pub(super) sentinel_port: Option<u16>,
    pub(super) control_port: u16,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeRow {
    pub(super) id: NodeId,
    pub(super) pid: Option<u32>,
    pub(super) port: u16,
    pub(super) admin_port: u16,
    /// 0 in the file of a version that did not note it.
    #[serde(default)]
    pub(super) pulse_port: u16,
    pub(super) shard: ShardId,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Up,
    Starting,
    Exited,
}

/// Where the file of a directory lies.
pub(super) fn path_in(dir: &Path) -> PathBuf {
    dir.join("up.json")
}

/// The file and what it holds.
#[derive(Debug)]
pub(super) struct Board {
    path: PathBuf,
    content: Mutex<UpFile>,
}

impl Board {
    pub(super) fn new(dir: &Path, cluster_id: &str, plan: &Plan) -> Board {
        let proxies = plan.proxies.iter().map(|proxy| ProxyRow {
            id: proxy.id.clone(),
            pid: None,
            port: proxy.port,
            admin_port: proxy.admin_port,
            sentinel_port: proxy.sentinel_port,
            control_port: proxy.control_port,
            state: State::Starting,
        });
        let nodes = plan.nodes.iter().map(|node| NodeRow {
            id: node.id.clone(),
            pid: None,
            port: node.port,
            admin_port: node.admin_port,
            pulse_port: node.pulse_port,
            shard: node.shard,
            state: State::Starting,
        });
        let content = UpFile {
            ready: false,
            pid: std::process::id(),
            dir: dir.to_owned(),
            cluster_id: cluster_id.to_owned(),
            proxies: proxies.collect(),
            nodes: nodes.collect(),
        };
        Board { path: path_in(dir), content: Mutex::new(content) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn snapshot(&self) -> UpFile {
        self.lock().clone()
    }

    pub(super) fn write(&self) -> io::Result<()> {
        self.store(&self.lock())
    }

    /// A child started, came up or ended. A cluster with a child on its way is not called ready until it was asked again.
    pub(super) fn set(&self, id: &str, pid: Option<u32>, state: State) {
        self.change(|content| {
            let nodes = content.nodes.iter_mut().map(|row| (row.id.0.as_str(), &mut row.pid, &mut row.state));
            let proxies =
                content.proxies.iter_mut().map(|row| (row.id.0.as_str(), &mut row.pid, &mut row.state));
            if let Some((_, row_pid, row_state)) = nodes.chain(proxies).find(|(row_id, ..)| *row_id == id) {
                (*row_pid, *row_state) = (pid, state);
            }
            content.ready &= state == State::Up;
        });
    }

    pub(super) fn set_ready(&self, ready: bool) {
        self.change(|content| content.ready = ready);
    }

    /// Whether all proxies answer, and a node of every shard; which of them leads is the control group's to say.
    pub(super) fn all_needed_are_up(&self, topology: &Topology) -> bool {
        let content = self.lock();
        let has_a_node =
            |shard: ShardId| content.nodes.iter().any(|row| row.shard == shard && row.state == State::Up);
        content.proxies.iter().all(|row| row.state == State::Up)
            && topology.shards.iter().all(|shard| has_a_node(shard.id))
    }

    /// Who does not answer, for people.
    pub(super) fn missing(&self) -> String {
        let content = self.lock();
        let nodes = content.nodes.iter().map(|row| (&row.id.0, row.state));
        let rows = nodes.chain(content.proxies.iter().map(|row| (&row.id.0, row.state)));
        let missing: Vec<String> = rows
            .filter(|(_, state)| *state != State::Up)
            .map(|(id, state)| {
                format!("{id} ({})", if state == State::Exited { "exited" } else { "starting" })
            })
            .collect();
        if missing.is_empty() { "nobody: all processes answer".into() } else { missing.join(", ") }
    }

    fn change(&self, change: impl FnOnce(&mut UpFile)) {
        let mut content = self.lock();
        let before = content.clone();
        change(&mut content);
        // Written under the lock: the newest content is always the last written.
        if before != *content
            && let Err(error) = self.store(&content)
        {
            tracing::error!(file = %self.path.display(), %error, "cannot write");
        }
    }

    fn store(&self, content: &UpFile) -> io::Result<()> {
        topology_file::replace(&self.path, &serde_json::to_vec_pretty(content)?)
    }

    fn lock(&self) -> MutexGuard<'_, UpFile> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::plan::tests::plan, *};

    fn board(dir: &Path) -> Board {
        Board::new(dir, "abc", &plan(&[("shards", "1"), ("replicas", "1")]))
    }

    fn file(board: &Board) -> Value {
        serde_json::from_slice(&std::fs::read(board.path()).unwrap()).unwrap()
    }

    #[test]
    fn the_file_has_the_shape_of_the_interface() {
        let dir = tempfile::tempdir().unwrap();
        let board = board(dir.path());
        board.write().unwrap();
        board.set("n1", Some(11), State::Up);
        board.set("n2", None, State::Exited);
        board.set("p1", Some(12), State::Starting);
        assert_eq!(
            file(&board),
            json!({"ready": false, "pid": std::process::id(), "dir": dir.path(), "cluster_id": "abc",
                "proxies": [{"id": "p1", "pid": 12, "port": 6379, "admin_port": 8080, "sentinel_port": 26379,
                    "control_port": 16379, "state": "starting"}],
                "nodes": [{"id": "n1", "pid": 11, "port": 7001, "admin_port": 8001, "pulse_port": 17001, "shard": 1, "state": "up"},
                    {"id": "n2", "pid": null, "port": 7002, "admin_port": 8002, "pulse_port": 17002, "shard": 1, "state": "exited"}]})
        );
    }

    #[test]
    fn an_end_takes_ready_back_and_a_missing_replica_does_not_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let board = board(dir.path());
        let topology = super::super::identity::form(
            None,
            "a".repeat(40),
            &plan(&[("shards", "1"), ("replicas", "1")]),
            "127.0.0.1",
        );
        let topology = topology.unwrap();
        for id in ["n1", "p1"] {
            assert!(!board.all_needed_are_up(&topology));
            board.set(id, Some(1), State::Up);
        }
        assert!(board.all_needed_are_up(&topology));
        board.set_ready(true);
        assert_eq!(file(&board)["ready"], true);
        board.set("n1", None, State::Exited);
        assert_eq!(file(&board)["ready"], false);
        assert_eq!(board.missing(), "n1 (exited), n2 (starting)");
    }
}
