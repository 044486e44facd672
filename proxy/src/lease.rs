//! Links that belong to one client for a while: a bounded pool for each node.
//!
//! What a node remembers of a connection (watched keys, an open MULTI, later: a blocked pop, tracked keys) must not be
//! seen by anybody else, so a client that needs such memory takes a link for itself. It is an ordinary
//! [`Link`] that no other client is given meanwhile; when its client is done it is brought back into order and kept for
//! the next one. A link of which that is not sure is closed.
//!
//! A lease is good only as long as the connection lives on which it began: [`Lease::is_lost`].
//!
//! Who wants a link to watch keys is refused if there is none: what others watch may be watched for ever. Who wants one
//! for a large request waits for its turn ([`take_in_turn`]).

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use slotway_cluster::{Database, ShardId};
use slotway_commands::{Command, Id};
use slotway_resp::write;
use tokio::task::AbortHandle;

use crate::{
    client::{Client, inquiry::Whereabouts},
    errors,
    lane::Lane,
    link::{Link, LinkKey, Reach, Tenancy, unit::Unit},
    thread::Thread,
};

/// What a client gets that may wait for a link.
pub(crate) enum Turn {
    Taken(Lease),
    /// It is called when it may ask again.
    Wait,
    /// The line for the client: it has waited for as long as requests are held.
    Refused(Vec<u8>),
}

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
    /// The node has half a request: only closing helps.
    OutOfStep,
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

impl Place {
    fn is_ready(&self) -> bool {
        self.state == Use::Free && self.link.is_settled()
    }
}

/// The leased links of a data thread, by the address of the node.
#[derive(Default)]
pub(crate) struct Leases {
    nodes: RefCell<HashMap<Arc<str>, Vec<Place>>>,
    /// Clients that wait for a link, in the order in which they came.
    waiting: RefCell<VecDeque<Waiting>>,
}

struct Waiting {
    client: Rc<Client>,
    address: Arc<str>,
    /// Thread clock, microseconds.
    since_us: u64,
}

/// Takes a link to the primary of a shard for a client, in a database. Err: the error for the client; all links that there
/// may be are in use.
pub(crate) fn take(
    thread: &Rc<Thread>,
    client: &Client,
    shard: usize,
    database: Database,
) -> Result<Lease, Vec<u8>> {
    find(thread, client, &thread.address(shard), thread.shard_id(shard), database).ok_or_else(|| busy(thread))
}

fn busy(thread: &Thread) -> Vec<u8> {
    thread.counters.leases_refused.add(1);
    thread.counters.refused_busy.add(1);
    errors::busy("leased-links-per-node-max")
}

/// As [`take`], to the node at this place, for a client that waits if all links are in use.
pub(crate) fn take_in_turn(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    to: &Whereabouts,
    database: Database,
) -> Turn {
    let address = Arc::clone(&to.address);
    let mut waiting = thread.leases.waiting.borrow_mut();
    let first = waiting.iter().find(|other| other.address == address);
    let is_ahead = first.is_some_and(|first| !Rc::ptr_eq(&first.client, client));
    if !is_ahead && let Some(lease) = find(thread, client, &address, to.shard, database) {
        waiting.retain(|other| !Rc::ptr_eq(&other.client, client));
        drop(waiting);
        // Perhaps there are more.
        thread.leases.call_next(&address);
        return Turn::Taken(lease);
    }
    let now_us = thread.now_us();
    let Some(own) = waiting.iter_mut().find(|other| Rc::ptr_eq(&other.client, client)) else {
        waiting.push_back(Waiting { client: Rc::clone(client), address, since_us: now_us });
        return Turn::Wait;
    };
    // The slot may have moved meanwhile.
    own.address = address;
    if now_us.saturating_sub(own.since_us) <= thread.limits().hold_us_max {
        return Turn::Wait;
    }
    waiting.retain(|other| !Rc::ptr_eq(&other.client, client));
    Turn::Refused(busy(thread))
}

/// A free link, or a new one. None: all that there may be are in use.
fn find(
    thread: &Rc<Thread>,
    client: &Client,
    address: &Arc<str>,
    shard: ShardId,
    database: Database,
) -> Option<Lease> {
    let mut nodes = thread.leases.nodes.borrow_mut();
    let places = nodes.entry(Arc::clone(address)).or_default();
    let (version, trace) = (client.version.get(), client.trace());
    let key = LinkKey {
        address: Arc::clone(address),
        epoch: thread.epoch_at(address),
        version,
        database,
        trace,
        reach: Reach::Primary,
        lane: Lane::Usual,
    };
    // The one that came back last is the likeliest to be warm, the first the likeliest to be closed as idle.
    if let Some(place) = places.iter_mut().rev().find(|place| place.is_ready() && place.link.key == key) {
        place.state = Use::Leased;
        return Some(lease(&place.link));
    }
    if places.len() >= thread.limits().leased_links_max {
        let at = places.iter().position(Place::is_ready)?;
        places.remove(at).task.abort();
    }
    let (link, task) = thread.start_link(key, shard, Tenancy::Leased);
    places.push(Place { link: Rc::clone(&link), task, state: Use::Leased });
    Some(lease(&link))
}

fn lease(link: &Rc<Link>) -> Lease {
    Lease { link: Rc::clone(link), losses: link.losses() }
}

/// The client is done with it. Requests that are under way on it are answered still.
pub(crate) fn give_back(thread: &Thread, lease: Lease, condition: Condition) {
    let in_order = !lease.is_lost()
        && match condition {
            Condition::Clean => true,
            Condition::OutOfStep => false,
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
    thread.leases.call_next(&lease.link.key.address);
}

impl Leases {
    /// All links of the pool.
    pub(crate) fn links(&self) -> Vec<Rc<Link>> {
        let nodes = self.nodes.borrow();
        nodes.values().flatten().map(|place| Rc::clone(&place.link)).collect()
    }

    /// Whether somebody could take a link to this node.
    pub(crate) fn has_room(&self, thread: &Thread, address: &str) -> bool {
        let nodes = self.nodes.borrow();
        let Some(places) = nodes.get(address) else { return true };
        places.len() < thread.limits().leased_links_max || places.iter().any(Place::is_ready)
    }

    /// Lets the client that has waited for longest for a link to this node ask again.
    fn call_next(&self, address: &Arc<str>) {
        if let Some(next) = self.waiting.borrow().iter().find(|waiting| waiting.address == *address) {
            next.client.call();
        }
    }

    /// The client is gone, or wants no link any more.
    pub(crate) fn stop_waiting(&self, client: &Client) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(at) = waiting.iter().position(|other| std::ptr::eq(&*other.client, client)) else { return };
        let left = waiting.remove(at);
        drop(waiting);
        if let Some(left) = left {
            // Perhaps it was called for a link that somebody else can have now.
            self.call_next(&left.address);
        }
    }

    /// Calls who has waited too long, and the first in each line: links may have become free unseen.
    fn sweep_waiting(&self, thread: &Thread) {
        let waiting = self.waiting.borrow();
        let hold_us_max = thread.limits().hold_us_max;
        for (number, own) in waiting.iter().enumerate() {
            let is_first = waiting.iter().take(number).all(|other| other.address != own.address);
            if is_first || thread.now_us().saturating_sub(own.since_us) > hold_us_max {
                own.client.call();
            }
        }
    }

    /// Closes what nobody needs: links that are leaving, that broke while they were free, or that have been idle.
    pub(crate) fn sweep(&self, thread: &Thread, idle_us: u64) {
        let mut nodes = self.nodes.borrow_mut();
        for places in nodes.values_mut() {
            places.retain(|place| {
                let broken = !place.link.is_up() || thread.has_outlived(&place.link);
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
        drop(nodes);
        self.sweep_waiting(thread);
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
