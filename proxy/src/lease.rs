//! Links that belong to one client for a while: a bounded pool for each node.
//!
//! What a node remembers of a connection (watched keys, an open MULTI, later: a blocked pop, tracked keys) must not be
//! seen by anybody else, so a client that needs such memory takes a link for itself. It is an ordinary
//! [`Link`] that no other client is given meanwhile; when its client is done it is brought back into order and kept for
//! the next one. A link of which that is not sure is closed.
//!
//! A lease is good only as long as the connection lives on which it began: [`Lease::is_lost`].

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use slotway_cluster::Database;
use slotway_commands::{Command, Id};
use slotway_resp::write;
use tokio::task::AbortHandle;

use crate::{
    client::Client,
    errors,
    link::{Link, LinkKey, Reach, State, Tenancy, unit::Unit},
    thread::Thread,
};

/// A client's own link, until [`give_back`].
pub(crate) struct Lease {
    pub(crate) link: Rc<Link>,
    /// Losses of the link when the lease began.
    losses: u32,
}

/// How a link comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// As it was given: what was asked on it leaves nothing behind.
    Clean,
    /// In order once it has been told this: UNWATCH or DISCARD.
    Needs(Id),
}

impl Lease {
    /// What the node's connection knew is gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.link.losses() != self.losses
    }
}

/// What the pool knows of one of its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Leased,
    Free,
    /// Closed as soon as nobody waits for a reply on it.
    Leaving,
}

struct Place {
    link: Rc<Link>,
    task: AbortHandle,
    state: Use,
}

/// The leased links of a data thread, by the address of the node.
#[derive(Default)]
pub(crate) struct Leases {
    nodes: RefCell<HashMap<Arc<str>, Vec<Place>>>,
}

/// Takes a link to the primary of a shard for a client, in a database. Err: the error for the client; all links that there may be are in use.
pub(crate) fn take(
    thread: &Rc<Thread>,
    client: &Client,
    shard: usize,
    database: Database,
) -> Result<Lease, Vec<u8>> {
    let address = thread.address(shard);
    let mut nodes = thread.leases.nodes.borrow_mut();
    let places = nodes.entry(Arc::clone(&address)).or_default();
    let (version, trace) = (client.version.get(), client.trace());
    let key = LinkKey { address, version, database, trace, reach: Reach::Primary };
    let is_ready = |place: &Place| place.state == Use::Free && place.link.is_settled();
    // The one that came back last is the likeliest to be warm, the first the likeliest to be closed as idle.
    if let Some(place) = places.iter_mut().rev().find(|place| is_ready(place) && place.link.key == key) {
        place.state = Use::Leased;
        return Ok(lease(&place.link));
    }
    if places.len() >= thread.limits().leased_links_max {
        let Some(at) = places.iter().position(is_ready) else {
            thread.counters.leases_refused.add(1);
            thread.counters.refused_busy.add(1);
            return Err(errors::busy("leased-links-per-node-max"));
        };
        places.remove(at).task.abort();
    }
    let (link, task) = thread.open_link(key, shard, Tenancy::Leased);
    places.push(Place { link: Rc::clone(&link), task, state: Use::Leased });
    Ok(lease(&link))
}

fn lease(link: &Rc<Link>) -> Lease {
    Lease { link: Rc::clone(link), losses: link.losses() }
}

/// The client is done with it. Requests that are under way on it are answered still.
pub(crate) fn give_back(thread: &Thread, lease: Lease, condition: Condition) {
    let in_order = !lease.is_lost()
        && match condition {
            Condition::Clean => true,
            Condition::Needs(id) => {
                let command = Command::row(id);
                let write = |out: &mut Vec<u8>| write::request(out, &[command.name]);
                lease.link.send_unheard(thread, command, Unit::Cleaning, write).is_ok()
            }
        };
    let mut nodes = thread.leases.nodes.borrow_mut();
    let places = nodes.get_mut(&lease.link.key.address);
    let Some(places) = places else { return };
    let Some(at) = places.iter().position(|place| Rc::ptr_eq(&place.link, &lease.link)) else { return };
    let mut place = places.remove(at);
    place.state = if in_order { Use::Free } else { Use::Leaving };
    places.push(place);
}

impl Leases {
    /// All links of the pool.
    pub(crate) fn links(&self) -> Vec<Rc<Link>> {
        let nodes = self.nodes.borrow();
        nodes.values().flatten().map(|place| Rc::clone(&place.link)).collect()
    }

    /// Closes what nobody needs: links that are leaving, that broke while they were free, or that have been idle.
    pub(crate) fn sweep(&self, thread: &Thread, idle_us: u64) {
        let mut nodes = self.nodes.borrow_mut();
        for places in nodes.values_mut() {
            places.retain(|place| {
                let broken = !matches!(place.link.state(), State::Up { .. });
                let over = match place.state {
                    Use::Leased => false,
                    Use::Free => place.link.is_settled() && (broken || place.link.is_idle(thread, idle_us)),
                    Use::Leaving => place.link.is_settled(),
                };
                if over {
                    place.task.abort();
                }
                !over
            });
        }
        nodes.retain(|_, places| !places.is_empty());
    }

    /// How many links of which node are in which use.
    pub(crate) fn count(&self, mut add: impl FnMut(&Arc<str>, &'static str)) {
        for (address, places) in self.nodes.borrow().iter() {
            for place in places {
                let label = match place.state {
                    Use::Leased => "leased",
                    Use::Free => "free",
                    Use::Leaving => "leaving",
                };
                add(address, label);
            }
        }
    }
}
