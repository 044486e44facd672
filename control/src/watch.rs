//! Watching the nodes: one task per node asks how it is, and hands it the topology where it takes one from us.
//!
//! A node is asked once a second over a connection of our own, never over the clients' links. A node that refuses
//! connections is down at once; one that is silent is suspected first. A managed node (a Slotway node of a cluster whose
//! secret we have) is handed the topology at the start of each connection, because a restarted node has forgotten it,
//! and whenever the version moves on. A lone node behind `--backends` is left as it is.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use slotway_cluster::{
    NodeId, Topology,
    topology::Kind,
    view::{Health, NodeObservation},
};
use slotway_link::{Backoff, Connection, LinkError};
use slotway_resp::Frame;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use crate::{
    discover,
    info::Answer,
    shared::{Managed, Shared},
};

/// Between two questions to a node that answers.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a node may be silent, connections open but nothing answered, before it is called down.
const DOWN_AFTER: Duration = Duration::from_secs(5);

/// The waits between attempts to reach a node that is down: short, since a restarted node serves again only once it was
/// reached.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Whether what nodes say may change the topology.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Learning {
    /// From a file, or told by a Redis Cluster: nodes are what these say.
    Off,
    /// From `--backends`: the kind, if it was not configured, and replicas.
    On { kind: Option<Kind> },
}

/// Whether nodes of this kind take their topology from us.
pub(crate) fn managed(shared: &Shared, kind: Kind) -> Managed {
    match (kind, &shared.access.secret) {
        (Kind::Slotway, Some(_)) => Managed::Yes,
        (Kind::Slotway, None) | (Kind::Redis | Kind::Cluster, _) => Managed::No,
    }
}

/// Keeps one watcher per node of the topology, as it changes. Ends only by being dropped, and its watchers with it.
pub(crate) async fn run(shared: Arc<Shared>, learning: Learning) {
    let mut versions = shared.versions();
    let mut watchers = JoinSet::new();
    let mut running: HashMap<NodeId, (String, AbortHandle)> = HashMap::new();
    loop {
        versions.mark_unchanged();
        let topology = shared.topology();
        running.retain(|id, (address, watcher)| {
            let stays = topology.node(id).is_some_and(|node| &node.addr == address);
            if !stays {
                watcher.abort();
                shared.forget(id);
            }
            stays
        });
        for node in &topology.nodes {
            running.entry(node.id.clone()).or_insert_with(|| {
                let watcher = Watcher::new(&shared, node.id.clone(), node.addr.clone(), learning);
                (node.addr.clone(), watchers.spawn(watcher.run()))
            });
        }
        while watchers.try_join_next().is_some() {}
        if versions.changed().await.is_err() {
            return;
        }
    }
}

struct Watcher {
    shared: Arc<Shared>,
    id: NodeId,
    address: String,
    learning: Learning,
    answered: Instant,
    backoff: Backoff,
}

impl Watcher {
    fn new(shared: &Arc<Shared>, id: NodeId, address: String, learning: Learning) -> Watcher {
        let backoff = Backoff::new(RETRY.0, RETRY.1);
        Watcher { shared: Arc::clone(shared), id, address, learning, answered: Instant::now(), backoff }
    }

    async fn run(mut self) {
        loop {
            let Err(error) = self.session().await;
            self.note_failure(&error);
            let random = RandomState::new().build_hasher().finish();
            tokio::time::sleep(self.backoff.failed(random)).await;
        }
    }

    /// One connection, until it breaks.
    async fn session(&mut self) -> Result<std::convert::Infallible, LinkError> {
        let mut versions = self.shared.versions();
        let kind = self.kind();
        let managed = managed(&self.shared, kind);
        let target = self.shared.access.target(&self.address, managed);
        let mut connection = Connection::open(&target, PATIENCE).await?;
        let mut handed = None;
        loop {
            versions.mark_unchanged();
            if self.kind() != kind {
                // Another kind of node is spoken to as somebody else.
                return Err(LinkError::Closed);
            }
            if managed == Managed::Yes {
                self.hand_over(&mut connection, &mut handed).await?;
            }
            self.ask(&mut connection).await?;
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = versions.changed() => {}
            }
        }
    }

    /// The kind of this node's shard at present.
    fn kind(&self) -> Kind {
        self.shared.topology().shard_of(&self.id).map_or(Kind::Slotway, |shard| shard.kind)
    }

    /// Gives the node the topology if this connection has not carried this version yet.
    async fn hand_over(
        &self,
        connection: &mut Connection,
        handed: &mut Option<u64>,
    ) -> Result<(), LinkError> {
        let topology = self.shared.topology();
        if *handed == Some(topology.version) {
            return Ok(());
        }
        let json = serde_json::to_string(&*topology).expect("a topology is always JSON");
        let words = ["SLOTWAY", "TOPOLOGY", &topology.version.to_string(), &json, &self.id.0];
        if let Frame::Error(text) = connection.request(&words, PATIENCE).await? {
            // A node of another cluster, or a topology it does not believe: it does not serve its slots for us.
            return Err(LinkError::Refused(String::from_utf8_lossy(&text).into_owned()));
        }
        tracing::info!(node = %self.id, version = topology.version, "the node has the topology");
        *handed = Some(topology.version);
        Ok(())
    }

    async fn ask(&mut self, connection: &mut Connection) -> Result<(), LinkError> {
        let text = match connection.request(&["INFO"], PATIENCE).await? {
            Frame::Bulk(text) | Frame::Verbatim { text, .. } => text,
            Frame::Error(text) => {
                return Err(LinkError::Refused(String::from_utf8_lossy(&text).into_owned()));
            }
            _ => return Err(LinkError::Protocol("INFO is answered by something else than text".into())),
        };
        let mut answer = Answer::parse(&String::from_utf8_lossy(&text));
        self.answered = Instant::now();
        self.backoff.succeeded();
        if let Learning::On { kind } = self.learning {
            self.warn_about(&answer);
            if answer.kind == Kind::Cluster {
                answer.observation.health = Health::Down;
            }
            self.shared.change(|topology: &Topology| discover::learn(topology, &self.id, &answer, kind));
        }
        self.note(answer.observation);
        Ok(())
    }

    /// What an operator has probably not meant, said once per start of the node.
    fn warn_about(&self, answer: &Answer) {
        let known = self.shared.seen(&self.id).and_then(|seen| seen.incarnation);
        if known.is_some() && known == answer.observation.incarnation {
            return;
        }
        let is_backend = self.shared.topology().shards.iter().any(|shard| shard.primary == self.id);
        if answer.kind == Kind::Cluster {
            tracing::error!(address = %self.address, "this backend is a server of a Redis Cluster, whose slots it decides \
                itself: --backends takes servers outside a cluster");
        } else if let (true, Some(primary)) = (is_backend, &answer.follows) {
            tracing::error!(address = %self.address, %primary, "this backend is a replica and refuses writes: name its \
                primary in --backends, replicas are found by asking");
        }
    }

    /// A broken connection or no answer.
    fn note_failure(&self, error: &LinkError) {
        let silent_for = self.answered.elapsed();
        let health = health_after(error, silent_for);
        let seen = self.shared.seen(&self.id);
        if health == Health::Down && seen.as_ref().is_none_or(|seen| seen.health != Health::Down) {
            tracing::warn!(node = %self.id, address = %self.address, %error, "the node is down");
        }
        // What a node was before it went silent is still the best that is known of it.
        let last = seen.unwrap_or_else(|| NodeObservation::only(health));
        let seen = match health {
            Health::Suspected => NodeObservation { health, ..last },
            _ => NodeObservation { software: last.software, ..NodeObservation::only(health) },
        };
        self.shared.observe(&self.id, seen);
    }

    fn note(&self, seen: NodeObservation) {
        let (health, software) = (seen.health, seen.software.clone());
        let before = self.shared.observe(&self.id, seen);
        if before.is_none_or(|before| before.health != health) {
            let software = software.unwrap_or_default();
            tracing::info!(node = %self.id, address = %self.address, ?health, %software, "the node answers");
        }
    }
}

/// How a node is whose last question failed with `error`.
fn health_after(error: &LinkError, silent_for: Duration) -> Health {
    match error {
        LinkError::Timeout if silent_for < DOWN_AFTER => Health::Suspected,
        LinkError::Timeout
        | LinkError::Connect(_)
        | LinkError::Closed
        | LinkError::Refused(_)
        | LinkError::Protocol(_) => Health::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_suspected_first_and_a_refusal_is_down_at_once() {
        let health = |error: LinkError, seconds| health_after(&error, Duration::from_secs(seconds));
        assert_eq!(health(LinkError::Timeout, 2), Health::Suspected);
        assert_eq!(health(LinkError::Timeout, 5), Health::Down);
        assert_eq!(health(LinkError::Closed, 0), Health::Down);
        assert_eq!(health(LinkError::Refused("NOAUTH".into()), 0), Health::Down);
        assert_eq!(health(LinkError::Connect(std::io::ErrorKind::ConnectionRefused.into()), 0), Health::Down);
    }
}
