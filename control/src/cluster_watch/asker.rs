//! Asks one node of a cluster, round by round, over a connection that stays open.
//!
//! Three questions make a view: CLUSTER NODES, CLUSTER INFO, and for the addresses that clients are to use CLUSTER SHARDS, or
//! CLUSTER SLOTS where the server is too old for it. A node that has not answered all of them within [`PATIENCE`] is silent this
//! time. One that is still being waited for when the next round starts joins in the one after.

use std::{fmt, sync::Arc, time::Duration};

use slotway_cluster::discovery::{BadReply, Member, Value, View, host_of, layout, nodes, state};
use slotway_link::{Connection, LinkError};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::reply;
use crate::shared::{Managed, Shared};

/// How long the answers of one round may take, connecting included. Short: a node that is silent for so long has no say
/// while the others decide, and is heard again as soon as it answers.
const PATIENCE: Duration = Duration::from_millis(500);

/// What asking one node in one round has led to.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) address: String,
    pub(super) said: Result<View, Silence>,
}

/// Why a node has no view.
#[derive(Debug)]
pub(super) enum Silence {
    Unreachable(LinkError),
    /// It is a server, but not one of a cluster.
    NoCluster,
    BadReply(BadReply),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::Unreachable(error) => error.fmt(f),
            Silence::NoCluster => f.write_str("cluster mode is off"),
            Silence::BadReply(error) => error.fmt(f),
        }
    }
}

impl From<LinkError> for Silence {
    fn from(error: LinkError) -> Silence {
        Silence::Unreachable(error)
    }
}

impl From<BadReply> for Silence {
    fn from(error: BadReply) -> Silence {
        Silence::BadReply(error)
    }
}

/// Which of the two commands tells this server's addresses.
#[derive(Debug, Clone, Copy)]
enum Layout {
    Shards,
    Slots,
}

/// Reports once for each round that it notices. Ends when nobody counts rounds any more.
pub(super) async fn run(
    shared: Arc<Shared>,
    address: String,
    mut rounds: watch::Receiver<u64>,
    reports: mpsc::Sender<Report>,
) {
    let mut asker = Asker { shared, address, connection: None, layout: Layout::Shards };
    loop {
        rounds.mark_unchanged();
        let said = asker.ask(Instant::now() + PATIENCE).await;
        if said.is_err() {
            asker.connection = None;
        }
        let report = Report { address: asker.address.clone(), said };
        if reports.send(report).await.is_err() || rounds.changed().await.is_err() {
            return;
        }
    }
}

struct Asker {
    shared: Arc<Shared>,
    address: String,
    connection: Option<Connection>,
    layout: Layout,
}

impl Asker {
    async fn ask(&mut self, until: Instant) -> Result<View, Silence> {
        if self.connection.is_none() {
            let target = self.shared.access.target(&self.address, Managed::No);
            self.connection =
                Some(Connection::open(&target, until.saturating_duration_since(Instant::now())).await?);
            // Whoever listens here now may be another server than before.
            self.layout = Layout::Shards;
        }
        let host = host_of(&self.address).to_owned();
        let text = self.request("NODES", until).await?;
        if let Err(refused) = &text
            && reply::is_no_cluster(refused)
        {
            return Err(Silence::NoCluster);
        }
        let nodes = text.and_then(|text| nodes::parse(reply::text(&text)?, &host));
        let state = self.request("INFO", until).await?.and_then(|text| state::parse(reply::text(&text)?))?;
        let layout = self.layout(&host, until).await?;
        Ok(View::new(&self.address, nodes, layout, state)?)
    }

    async fn layout(&mut self, host: &str, until: Instant) -> Result<Result<Vec<Member>, BadReply>, Silence> {
        if let Layout::Shards = self.layout {
            match self.request("SHARDS", until).await? {
                Ok(shards) => return Ok(layout::shards(&shards, host)),
                Err(_) => self.layout = Layout::Slots,
            }
        }
        Ok(self.request("SLOTS", until).await?.and_then(|slots| layout::slots(&slots, host)))
    }

    /// The inner error: the server refused.
    async fn request(&mut self, what: &str, until: Instant) -> Result<Result<Value, BadReply>, Silence> {
        let connection = self.connection.as_mut().ok_or(LinkError::Closed)?;
        let patience = until.saturating_duration_since(Instant::now());
        Ok(reply::value(connection.request(&["CLUSTER", what], patience).await?))
    }
}
