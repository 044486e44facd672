//! A new group from what one proxy still has of a group that lost its majority for good.
//!
//! Only an operator knows that the others will never come back; no proxy does this by itself. What the log holds is applied to its end: an
//! entry that was decided may be among the last, and one that was not does no harm beside the loss of the others. The new group has another
//! generation, so members of the old one are strangers to it, and its index leaps ahead of whatever the others decided last.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use openraft::{CommittedLeaderId, EntryPayload, Membership};
use slotway_cluster::{Cluster, ProxyId};

use super::{
    identity::{self, Identity, IdentityError, draw},
    journal::{Journal, JournalError, Record},
    kind::{LogId, Membership as StoredMembership, Seat, SnapshotMeta, Vote},
    snapshot::{self, SnapshotError, Stored},
};

/// Further than any group decides between the last that this proxy heard and its end.
const LEAP: u64 = 1 << 32;

/// What is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub proxy: ProxyId,
    pub cluster: Cluster,
}

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("{} belongs to no control group", .0.display())]
    NoGroup(PathBuf),
    #[error("the log in {} knows no proxy {proxy}", dir.display())]
    Unnamed { dir: PathBuf, proxy: ProxyId },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("cannot write the new group: {0}")]
    Write(#[from] io::Error),
}

/// Makes the group of `dir` one of this proxy alone. Its proxy must not run. May be repeated if it broke off.
pub fn recover(dir: &Path) -> Result<Recovered, RecoverError> {
    let own = identity::load(dir)?.ok_or_else(|| RecoverError::NoGroup(dir.to_owned()))?;
    let (mut journal, mut log) = Journal::open(dir)?;
    let stored = snapshot::load(dir)?;
    let mut index = stored.as_ref().and_then(|stored| stored.meta.last_log_id).map_or(0, |last| last.index);
    let mut cluster = stored.map(|stored| stored.cluster).unwrap_or_default();
    for (at, entry) in log.entries.range(index.saturating_add(1)..) {
        if let EntryPayload::Normal(decided) = &entry.payload {
            cluster.apply(*at, decided);
        }
        index = *at;
    }
    let unnamed = || RecoverError::Unnamed { dir: dir.to_owned(), proxy: own.proxy.clone() };
    let fact = cluster.proxies.get(&own.proxy).cloned().ok_or_else(unnamed)?;
    cluster.proxies.retain(|proxy, _| *proxy == own.proxy);
    index = index.saturating_add(LEAP);
    cluster.index = index;

    let group = identity::GroupName { generation: draw(), ..own.group };
    let next = Identity { group, proxy: own.proxy, seat: draw(), founder: true };
    let term = log
        .vote
        .map_or(1, |vote| vote.leader_id().term)
        .max(log.last().map_or(1, |last| last.leader_id.term));
    let last = LogId::new(CommittedLeaderId::new(term, next.seat), index);
    let seat = Seat { proxy: next.proxy.clone(), control_addr: fact.control_addr };
    let voters = Membership::new(vec![[next.seat].into()], BTreeMap::from([(next.seat, seat)]));
    let meta = SnapshotMeta {
        last_log_id: Some(last),
        last_membership: StoredMembership::new(Some(last), voters),
        snapshot_id: format!("recovered-{index}"),
    };
    // In this order a crash in between leaves something that can be recovered again.
    snapshot::store(dir, &Stored { meta, cluster: cluster.clone() })?;
    log.apply(Record::Purge(last));
    log.apply(Record::Vote(Vote::new(term, next.seat)));
    journal.rewrite(&log)?;
    identity::store(dir, &next)?;
    Ok(Recovered { proxy: next.proxy, cluster })
}
