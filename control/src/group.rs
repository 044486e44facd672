//! The control group: the proxies of a cluster, which decide together by one replicated log.
//!
//! The problem: proxies die and are cut off, and two of them must never decide differently. The idea: consensus (openraft) over a log of
//! [`Entry`]s. A proposal goes to the leader, wherever it is made ([`Group::propose`]); once a majority has it on disk it is applied by every
//! proxy, and [`Group::watch`] tells the [`Cluster`] that follows. One proxy is a group of one, by the same code. Up to five vote, further ones
//! learn ([`VOTERS_MAX`]); they come and go at run time.
//!
//! - `kind`: openraft's types for our entries. `journal`, `storage`, `snapshot`, `identity`: the data directory.
//! - `machine`: the log applied. `wire`, `calls`, `network`: talking to other proxies; `server`, `desk`: being asked.
//! - `membership`, `steward`: who has a seat. `recover`: a new group from what is left of one that lost its majority.
//!
//! What is not here: what is proposed, and why. Nothing here is on the data path: with the majority lost, data is served on.

mod kind;

mod journal;

mod storage;

mod snapshot;

mod identity;

mod machine;

mod wire;

mod calls;

mod network;

mod server;

mod desk;

pub mod membership;

mod steward;

mod recover;

mod start;

use std::{sync::Arc, time::Duration};

use slotway_cluster::{Cluster, Entry, ProxyId, control::Outcome};
use tokio::sync::watch;

use desk::Desk;
use wire::{Ask, Sorry};

pub use identity::IdentityError;
pub use journal::JournalError;
pub use membership::VOTERS_MAX;
pub use recover::{RecoverError, Recovered, recover};
pub use snapshot::SnapshotError;
pub use start::{Begin, Running, Start, StartError, Started, start};

/// Whether a directory belongs to a group already.
pub fn is_known_in(dir: &std::path::Path) -> bool {
    dir.join(identity::FILE_NAME).exists()
}

/// Which of the groups that decided about its cluster one after the other a directory belongs to: `ctl recover` begins another one. None:
/// to none, or its file is not readable, of which the proxy itself tells.
pub fn generation_in(dir: &std::path::Path) -> Option<u64> {
    identity::load(dir).ok().flatten().map(|identity| identity.group.generation)
}

/// How long a proposal waits for a leader and a majority.
const PROPOSE_PATIENCE: Duration = Duration::from_secs(3);

/// How long what is told to the leader may take: it is old by then.
const TELL_PATIENCE: Duration = Duration::from_secs(1);

/// Messages to the leader's driver that it has not taken yet.
const TOLD_MAX: usize = 1024;

/// Events of applied entries that the driver has not taken yet; more are lost.
const NEWS_MAX: usize = 1024;

/// A handle to the group; cheap to clone.
#[derive(Debug, Clone)]
pub struct Group {
    desk: Arc<Desk>,
    leadership: watch::Receiver<Leadership>,
    standing: watch::Receiver<Standing>,
}

/// Who leads, as far as this proxy knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leadership {
    pub leader: Option<ProxyId>,
    /// This proxy does. One that was cut off may think so for a while; what it proposes then is never decided.
    pub am_i: bool,
    pub term: u64,
}

/// What this proxy is in the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has a name, and no seat yet.
    Entering,
    Learner,
    Voter,
    /// It was removed; it hears of nothing new.
    Removed,
}

/// Somebody with a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mate {
    pub proxy: ProxyId,
    pub control_addr: String,
    pub is_voter: bool,
}

/// What a proxy told the leader's driver ([`Group::tell_leader`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub from: ProxyId,
    pub text: String,
}

/// Why nothing was decided, as far as the proposer can know: what timed out may be decided still.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error("no proxy leads the control group: a majority of its voters is needed")]
    NotLeader,
    #[error("{0}")]
    Unavailable(String),
    /// Trying again is of no use.
    #[error("{0}")]
    Refused(String),
}

impl Group {
    /// This proxy's name.
    pub fn own(&self) -> &ProxyId {
        &self.desk.own.proxy
    }

    /// Has an entry decided, wherever the leader is. It may be proposed again: applied twice it is as good as once.
    pub async fn propose(&self, entry: Entry) -> Result<Outcome, ProposeError> {
        let outcome = self.desk.lead(Ask::Propose { entry }, PROPOSE_PATIENCE).await?;
        serde_json::from_value(outcome).map_err(|error| ProposeError::Unavailable(error.to_string()))
    }

    /// The newest state, as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Cluster>> {
        self.desk.cluster.clone()
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Everyone with a seat, by name.
    pub fn mates(&self) -> Vec<Mate> {
        let membership = self.desk.raft.server_metrics().borrow().membership_config.clone();
        let membership = membership.membership();
        let is_voter = |seat| membership.voter_ids().any(|voter| voter == seat);
        let mates = membership.nodes().map(|(seat, node)| Mate {
            proxy: node.proxy.clone(),
            control_addr: node.control_addr.clone(),
            is_voter: is_voter(*seat),
        });
        let mut mates: Vec<Mate> = mates.collect();
        mates.sort_by(|one, other| one.proxy.cmp(&other.proxy));
        mates
    }

    /// Those who vote.
    pub fn voters(&self) -> Vec<ProxyId> {
        self.mates().into_iter().filter(|mate| mate.is_voter).map(|mate| mate.proxy).collect()
    }

    /// Something for the leader's driver ([`Started::told`]), whose own it may be. It has it once this returns.
    pub async fn tell_leader(&self, text: String) -> Result<(), ProposeError> {
        self.desk.lead(Ask::Tell { text }, TELL_PATIENCE).await?;
        Ok(())
    }

    /// Takes a proxy out of the group, this one or another, also one that is gone for good.
    pub async fn leave(&self, proxy: &ProxyId) -> Result<(), ProposeError> {
        self.desk.lead(Ask::Leave { proxy: proxy.clone() }, PROPOSE_PATIENCE).await?;
        Ok(())
    }
}

impl From<Sorry> for ProposeError {
    fn from(sorry: Sorry) -> ProposeError {
        match sorry {
            Sorry::NotLeader { .. } => ProposeError::NotLeader,
            Sorry::Unavailable { why } => ProposeError::Unavailable(why),
            Sorry::Stranger { why } | Sorry::Refused { why } => ProposeError::Refused(why),
        }
    }
}

#[cfg(test)]
mod tests;
