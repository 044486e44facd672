//! A data thread's shared links: which there are, and which one leads where.

use std::{collections::HashSet, rc::Rc, sync::Arc};

use slotway_cluster::{Database, ShardId};
use slotway_resp::Version;
use tokio::task::AbortHandle;

use crate::{
    client::Client,
    lane::Lane,
    link::{self, Link, LinkKey, Reach, Tenancy, Trace},
    routes::Route,
    thread::Thread,
};

/// Nodes that are not in the topology to which a data thread has links because redirections named them. Nodes of a cluster name
/// each other, and the topology follows within a second; what names more is not to be believed.
const STRANGERS_MAX: usize = 32;

impl Thread {
    /// Whether `link` leads to the primary of the shard, or to a replica if that will do.
    pub(crate) fn leads_to(&self, link: &Link, shard: usize) -> bool {
        if link.key.reach == Reach::Replica {
            return self.reads_from(link, shard);
        }
        let routes = self.routes.borrow();
        let fits = |route: &Route| route.address == link.key.address && route.epoch == link.key.epoch;
        routes.shards.get(shard).is_some_and(fits)
    }

    /// The link was made for an epoch of its shard that is over: nothing may be sent on it any more.
    pub(crate) fn has_outlived(&self, link: &Link) -> bool {
        if !link.is_to_member() {
            return false;
        }
        let routes = self.routes.borrow();
        let Some(route) = routes.route(link.shard.get()) else { return true };
        let leads_there = match link.key.reach {
            Reach::Primary => route.address == link.key.address,
            Reach::Replica => route.replicas.is_empty() || route.replicas.contains(&link.key.address),
        };
        route.epoch != link.key.epoch || !leads_there
    }

    /// The link to which all that waits on this one belongs: that of the next reign, if the shard's slots are the same as ever
    /// since this one was made.
    pub(crate) fn successor(self: &Rc<Self>, link: &Link) -> Option<Rc<Link>> {
        let is_over = link.key.reach == Reach::Primary && self.has_outlived(link) && !link.is_settled();
        if !is_over || self.routes.borrow().slots_since > link.made_at {
            return None;
        }
        let shard = self.shard_with(link.shard.get())?;
        Some(self.open(self.key_to_owner(&link.key, shard), link.shard.get()))
    }

    /// The shared link to a shard's primary, opened on first use.
    pub(crate) fn link(self: &Rc<Self>, shard: usize, version: Version, database: Database) -> Rc<Link> {
        let mut routes = self.routes.borrow_mut();
        let route = &mut routes.shards[shard];
        let place = &mut route.links[crate::routes::link_index(version, database)];
        if let Some(link) = place {
            return Rc::clone(link);
        }
        let (address, epoch) = (Arc::clone(&route.address), route.epoch);
        let (trace, reach, lane) = (Trace::Left, Reach::Primary, Lane::Usual);
        let key = LinkKey { address, epoch, version, database, trace, reach, lane };
        let link = self.open(key, route.id);
        *place = Some(Rc::clone(&link));
        link
    }

    /// The shared link on which a client's requests in this database travel to a shard's primary. Links on which nothing
    /// counts as a use of a key are too few to have places of their own.
    pub(crate) fn link_of(
        self: &Rc<Self>,
        client: &Client,
        shard: usize,
        database: Database,
        lane: Lane,
    ) -> Rc<Link> {
        let (version, trace) = (client.version.get(), client.trace());
        if trace == Trace::Left && lane == Lane::Usual {
            return self.link(shard, version, database);
        }
        let (address, epoch, id) = (self.address(shard), self.epoch(shard), self.shard_id(shard));
        self.open(LinkKey { address, epoch, version, database, trace, reach: Reach::Primary, lane }, id)
    }

    /// Whether there may be a link for this key. Redirections may name any number of nodes of which the topology knows nothing.
    pub(crate) fn may_open(&self, key: &LinkKey) -> bool {
        let (links, routes) = (self.links.borrow(), self.routes.borrow());
        if links.contains_key(key) || routes.shard_of(&key.address).is_some() {
            return true;
        }
        let addresses = links.keys().map(|key| &key.address);
        let strangers: HashSet<_> = addresses.filter(|address| routes.shard_of(address).is_none()).collect();
        strangers.contains(&key.address) || strangers.len() < STRANGERS_MAX
    }

    /// The shared link to a node that a redirection named, or the topology; opened on first use. `shard` is only what it is
    /// called as long as the topology does not know the node.
    pub(crate) fn open_named(self: &Rc<Self>, key: LinkKey, shard: ShardId) -> Rc<Link> {
        let known = self.routes.borrow().shard_of(&key.address);
        if let Some(id) = known {
            return self.open(key, id);
        }
        self.shared_link(&key).unwrap_or_else(|| self.open(key, shard))
    }

    /// The shared link with this key, if there is one.
    pub(crate) fn shared_link(&self, key: &LinkKey) -> Option<Rc<Link>> {
        self.links.borrow().get(key).map(|(link, _)| Rc::clone(link))
    }

    /// The shared link to a node of this shard, opened on first use.
    pub(crate) fn open(self: &Rc<Self>, key: LinkKey, shard: ShardId) -> Rc<Link> {
        let mut links = self.links.borrow_mut();
        if let Some((link, _)) = links.get(&key) {
            link.shard.set(shard);
            return Rc::clone(link);
        }
        let (link, task) = self.start_link(key.clone(), shard, Tenancy::Shared);
        links.insert(key, (Rc::clone(&link), task));
        link
    }

    /// A new link; aborting the task closes it.
    pub(crate) fn start_link(
        self: &Rc<Self>,
        key: LinkKey,
        shard: ShardId,
        tenancy: Tenancy,
    ) -> (Rc<Link>, AbortHandle) {
        let link = Rc::new(Link::new(key, shard, tenancy, self.version.get(), self.now_us()));
        let task = link::drive::run(Rc::clone(self), Rc::clone(&link));
        let handle = self.tasks.borrow_mut().spawn_local(task);
        (link, handle)
    }

    /// Bytes that the other links of the same shard hold because they have no connection.
    pub(crate) fn held_beside(&self, link: &Link) -> usize {
        let links = self.all_links();
        let shard = link.shard.get();
        let others =
            links.iter().filter(|other| other.shard.get() == shard && !std::ptr::eq(&***other, link));
        let on_links: usize =
            others.map(|other| usize::try_from(other.held().bytes).unwrap_or(usize::MAX)).sum();
        on_links.saturating_add(self.follow.bytes_held(shard))
    }

    pub(crate) fn shared_links(&self) -> Vec<Rc<Link>> {
        self.links.borrow().values().map(|(link, _)| Rc::clone(link)).collect()
    }

    /// Shared and leased ones.
    pub(super) fn all_links(&self) -> Vec<Rc<Link>> {
        let shared = self.links.borrow();
        shared.values().map(|(link, _)| Rc::clone(link)).chain(self.leases.links()).collect()
    }
}
