//! Reads from replicas, for those who asked for it with `read-from`: they may be answered from a state that is a little older
//! than the client's own last write.
//!
//! A request that only reads, of a client that is in no transaction, watches nothing and has no link of its own, then goes to
//! one of the shard's replicas whose link is up, a random one each time. `prefer-replica` goes to the primary when no replica
//! is up; `replica` waits for one as for a primary that is away, and is given back with the same error. Cursors stay with
//! the primary: one server's cursor means nothing to another. Nodes of a Redis Cluster are told READONLY on these links
//! (`link/drive.rs`), or they would redirect every read to their primary.
//!
//! A write waits until its client's earlier reads from replicas are answered (`dispatch.rs`): on the link to the primary it would
//! overtake them, and a read that had to go to the primary in the end would see what its client wrote behind it.

use std::{rc::Rc, sync::Arc};

use slotway_cluster::Database;
use slotway_commands::{Command, Id};
use slotway_config::{Key, Settings};
use slotway_resp::Version;

use crate::{
    lane::Lane,
    link::{Link, LinkKey, Reach, Trace},
    thread::Thread,
};

/// `read-from`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReadFrom {
    #[default]
    Primary,
    PreferReplica,
    Replica,
}

impl ReadFrom {
    pub(crate) fn of(settings: &Settings) -> ReadFrom {
        match settings.text(Key::ReadFrom) {
            "prefer-replica" => ReadFrom::PreferReplica,
            "replica" => ReadFrom::Replica,
            _ => ReadFrom::Primary,
        }
    }
}

/// Whether any copy can answer it.
pub(crate) fn is_for_replicas(command: &Command) -> bool {
    // PFCOUNT may write what it counted into its key.
    let reads = command.is_readonly() && !command.may_write();
    reads && !matches!(command.id, Id::Scan | Id::Hscan | Id::Sscan | Id::Zscan)
}

impl Thread {
    /// The link to a replica of the shard on which this command is to travel. None: it goes to the primary.
    #[inline(never)]
    pub(crate) fn reading_link(
        self: &Rc<Self>,
        command: &Command,
        shard: usize,
        version: Version,
        database: Database,
    ) -> Option<Rc<Link>> {
        if !is_for_replicas(command) {
            return None;
        }
        let epoch = self.epoch(shard);
        let link = self.some_replica(shard, |address| LinkKey {
            address,
            epoch,
            version,
            database,
            trace: Trace::Left,
            reach: Reach::Replica,
            lane: Lane::Usual,
        });
        match self.read_from.get() {
            ReadFrom::Replica => Some(link),
            ReadFrom::PreferReplica | ReadFrom::Primary => link.is_up().then_some(link),
        }
    }

    /// Where a request that was on a link with this key belongs now: with `replica` reads stay with the replicas.
    pub(crate) fn key_to_owner(self: &Rc<Self>, former: &LinkKey, shard: usize) -> LinkKey {
        let epoch = self.epoch(shard);
        if former.reach == Reach::Replica && self.read_from.get() == ReadFrom::Replica {
            return self
                .some_replica(shard, |address| LinkKey { address, epoch, ..former.clone() })
                .key
                .clone();
        }
        LinkKey { address: self.address(shard), epoch, reach: Reach::Primary, ..former.clone() }
    }

    /// Whether reads that are on this link to a replica may stay there.
    pub(crate) fn reads_from(&self, link: &Link, shard: usize) -> bool {
        let is_listed = match &*self.replicas(shard) {
            [] => link.key.address.is_empty(),
            replicas => replicas.contains(&link.key.address),
        };
        let is_listed = is_listed && link.key.epoch == self.epoch(shard);
        match self.read_from.get() {
            ReadFrom::Replica => is_listed,
            ReadFrom::PreferReplica => is_listed && link.is_up(),
            ReadFrom::Primary => false,
        }
    }

    /// A random one of the replicas whose links are up, or else of all. A shard without replicas has one at no address, to
    /// which nobody connects: what is sent there is held and given back as when a primary is away.
    fn some_replica(self: &Rc<Self>, shard: usize, key: impl Fn(Arc<str>) -> LinkKey) -> Rc<Link> {
        let replicas = self.replicas(shard);
        let id = self.shard_id(shard);
        let link = |address: &Arc<str>| self.open(key(Arc::clone(address)), id);
        let mut up = replicas.iter().map(link).filter(|link| link.is_up());
        // Looked at twice instead of collected: nothing is allocated for a request.
        let count = replicas.iter().map(link).filter(|link| link.is_up()).count();
        let random = usize::try_from(self.random() >> 33).unwrap_or(0);
        let any = || replicas.get(random % replicas.len().max(1)).map(link);
        let chosen = if count > 0 { up.nth(random % count) } else { any() };
        chosen.unwrap_or_else(|| link(&Arc::from("")))
    }
}
