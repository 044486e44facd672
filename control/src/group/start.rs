//! Starting and stopping: a new group, a seat in one, or going on where the data directory says.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use openraft::{Config, SnapshotPolicy};
use slotway_cluster::{
    Entry, ProxyId,
    control::{Outcome, ProxyFact},
    events::News,
};
use slotway_config::Secret;
use slotway_link::{Acceptor, Listening};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    Group, Leadership, NEWS_MAX, ProposeError, Standing, TOLD_MAX, Told,
    calls::Calls,
    desk::{Desk, follow},
    identity::{self, GroupName, Identity, IdentityError, draw},
    journal::JournalError,
    kind::{Raft, Seat},
    machine::{Machine, Teller},
    network::Network,
    server,
    snapshot::SnapshotError,
    steward,
    storage::{Disk, LogStore},
    wire::{Ask, Message, Sorry, Welcome},
};

/// How often a leader is heard.
const HEARTBEAT_MS: u64 = 90;

/// A follower that has not heard the leader for 340 ms (openraft adds the upper bound to each timeout: as long nobody else gets votes) plus
/// its own timeout stands for election: 520 to 680 ms after the last heartbeat. Five missed ones are more than a loaded machine makes.
const ELECTION_MS: (u64, u64) = (180, 340);

/// A snapshot is sent in one message.
const SNAPSHOT_MS: u64 = 10_000;

/// Entries between two snapshots, and behind the last one, for who missed a few.
const ENTRIES_PER_SNAPSHOT: u64 = 1000;
const ENTRIES_KEPT: u64 = 200;

/// Entries in one message: with the largest allowed it stays below what a message may have.
const ENTRIES_PER_MESSAGE: u64 = 32;

/// How long a proxy tries to join.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// Before another address is tried.
const JOIN_AGAIN: Duration = Duration::from_millis(200);

/// What a group is started with.
#[derive(Debug)]
pub struct Start {
    /// The data directory; what it knows of a group goes before `begin`.
    pub dir: PathBuf,
    pub secret: Option<Secret>,
    /// The control port.
    pub listening: Listening,
    /// Where this proxy is reached.
    pub fact: ProxyFact,
    pub begin: Begin,
}

/// What a directory without a group begins with.
#[derive(Debug)]
pub enum Begin {
    /// A group of this proxy alone, with these first entries: `Create` is the first of them.
    Form { proxy: ProxyId, first: Vec<Entry> },
    /// A seat in the group of whoever listens at one of these addresses.
    Join { addresses: Vec<String>, wish: Option<ProxyId> },
}

/// A group that runs.
#[derive(Debug)]
pub struct Started {
    pub group: Group,
    pub running: Running,
    /// What proxies tell the leader; comes to whoever leads.
    pub told: mpsc::Receiver<Told>,
    /// What entries told as they were applied.
    pub news: mpsc::Receiver<News>,
}

/// The owner of the group's tasks. Dropping it ends them; [`Running::stop`] also waits for them.
#[derive(Debug)]
pub struct Running {
    group: Group,
    tasks: JoinSet<()>,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the control port: {0}")]
    Listen(#[from] io::Error),
    #[error("a control group begins with the entry that names the cluster")]
    NoCreate,
    #[error("cannot join the control group: {0}")]
    Join(String),
    #[error("the control group does not start: {0}")]
    Raft(String),
    #[error("the control group does not take its first entries: {0}")]
    First(ProposeError),
    #[error("the first entry {index} of the control group is refused: {why}", index = .0, why = .1)]
    FirstRefused(usize, slotway_cluster::control::Refused),
}

/// Starts the group on the runtime this is called in.
pub async fn start(start: Start) -> Result<Started, StartError> {
    let Start { dir, secret, listening, fact, begin } = start;
    let calls = Arc::new(Calls::new(secret.clone()));
    let is_new = identity::load(&dir)?.is_none();
    let (first, seeds) = match begin {
        Begin::Form { proxy, first } => {
            if is_new {
                found(&dir, &first, proxy)?;
            }
            (first, Vec::new())
        }
        Begin::Join { addresses, wish } => {
            if is_new {
                join(&dir, &calls, &addresses, Ask::Join { fact: fact.clone(), wish }).await?;
            }
            (Vec::new(), addresses)
        }
    };
    let Some(own) = identity::load(&dir)? else { return Err(StartError::NoCreate) };
    let disk = Disk::new();
    let store = LogStore::open(&dir, disk.clone())?;
    let (news_tx, news) = mpsc::channel(NEWS_MAX);
    let teller = Teller { behind: store.last_index(), to: news_tx };
    let (machine, cluster) = Machine::open(dir, disk.clone(), teller)?;
    let (addresses, known) = watch::channel(BTreeMap::new());
    #[cfg(test)]
    let store_for_tests = store.clone();
    let network = Network { calls: Arc::clone(&calls), own: own.clone(), addresses: known };
    let raft = Raft::new(own.seat, Arc::new(config(&own)?), network, store, machine).await.map_err(fatal)?;
    if own.founder && !raft.is_initialized().await.map_err(fatal)? {
        let seat = Seat { proxy: own.proxy.clone(), control_addr: fact.control_addr.clone() };
        raft.initialize(BTreeMap::from([(own.seat, seat)])).await.map_err(fatal)?;
    }
    let (told_tx, told) = mpsc::channel(TOLD_MAX);
    let naming = tokio::sync::Mutex::default();
    let desk = Arc::new(Desk {
        own,
        raft,
        disk,
        calls,
        cluster,
        told: told_tx,
        seeds,
        naming,
        #[cfg(test)]
        store: store_for_tests,
    });
    let (leadership_tx, leadership) = watch::channel(Leadership::default());
    let (standing_tx, standing) = watch::channel(Standing::Entering);
    let group = Group { desk: Arc::clone(&desk), leadership, standing };
    let mut tasks = JoinSet::new();
    tasks.spawn(server::run(Acceptor::new(listening)?, Arc::clone(&desk), secret));
    tasks.spawn(steward::tell(Arc::clone(&desk), leadership_tx, addresses));
    let running = Running { group: group.clone(), tasks };
    let running = open(running, first, &fact).await?;
    Ok(running.keeping(fact, standing_tx, (told, news)))
}

/// A founder alone names the cluster and itself; that is decided before anybody else can be asked.
async fn open(running: Running, first: Vec<Entry>, fact: &ProxyFact) -> Result<Running, StartError> {
    let group = &running.group;
    let mates = group.mates();
    if !group.desk.own.founder || mates.len() > 1 {
        return Ok(running);
    }
    let own = Entry::AddProxy { proxy: group.own().clone(), fact: fact.clone() };
    let mut entries = if group.watch().borrow().proxies.is_empty() { first } else { Vec::new() };
    entries.push(own);
    for (index, entry) in entries.into_iter().enumerate() {
        let outcome = group.propose(entry).await.map_err(StartError::First)?;
        if let Outcome::Refused(why) = outcome {
            return Err(StartError::FirstRefused(index, why));
        }
    }
    Ok(running)
}

impl Running {
    fn keeping(
        mut self,
        fact: ProxyFact,
        standing: watch::Sender<Standing>,
        (told, news): (mpsc::Receiver<Told>, mpsc::Receiver<News>),
    ) -> Started {
        self.tasks.spawn(steward::keep(Arc::clone(&self.group.desk), fact, standing));
        Started { group: self.group.clone(), running: self, told, news }
    }

    /// Ends the tasks, waits for them, and for what is being written.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.group.desk.disk.stop();
        if let Err(error) = self.group.desk.raft.shutdown().await {
            tracing::error!(%error, "the control group did not end in order");
        }
    }
}

fn config(own: &Identity) -> Result<Config, StartError> {
    let config = Config {
        cluster_name: own.group.cluster_id.clone(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        install_snapshot_timeout: SNAPSHOT_MS,
        max_payload_entries: ENTRIES_PER_MESSAGE,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT,
        ..Config::default()
    };
    config.validate().map_err(fatal)
}

/// The identity of a new group's first member. If it is all that is there after a crash, the group begins with it.
fn found(dir: &Path, first: &[Entry], proxy: ProxyId) -> Result<(), StartError> {
    let Some(Entry::Create { cluster_id, .. }) = first.first() else { return Err(StartError::NoCreate) };
    let group = GroupName { cluster_id: cluster_id.clone(), generation: draw() };
    identity::store(dir, &Identity { group, proxy, seat: draw(), founder: true })?;
    Ok(())
}

/// Asks for a name, and keeps it. The seat is taken later, as after any restart.
async fn join(dir: &Path, calls: &Calls, addresses: &[String], ask: Ask) -> Result<(), StartError> {
    let deadline = Instant::now() + JOIN_PATIENCE;
    let message = Message { group: None, to: None, from: ProxyId(String::new()), ask };
    let mut last = "no address was given".to_owned();
    for address in addresses.iter().cycle() {
        match follow(calls, address, &message, deadline).await {
            Ok(welcome) => {
                let Welcome { group, proxy } =
                    serde_json::from_value(welcome).map_err(|error| StartError::Join(error.to_string()))?;
                tracing::info!(%proxy, cluster = %group.cluster_id, "joins the control group");
                identity::store(dir, &Identity { group, proxy, seat: draw(), founder: false })?;
                return Ok(());
            }
            Err(Sorry::Refused { why } | Sorry::Stranger { why }) => return Err(StartError::Join(why)),
            Err(sorry) => last = sorry.to_string(),
        }
        if Instant::now() + JOIN_AGAIN >= deadline {
            break;
        }
        tokio::time::sleep(JOIN_AGAIN).await;
    }
    Err(StartError::Join(last))
}

fn fatal(error: impl std::fmt::Display) -> StartError {
    StartError::Raft(error.to_string())
}
