//! Where a large request belongs, asked before its first byte leaves.
//!
//! What streams is not kept and cannot follow a redirection. Slots of a Redis Cluster move at any time, so a small read of the
//! same keys goes first. It travels like any request of its client: redirections are followed, a slot without an owner is
//! waited for, a broken link is asked again ([`crate::follow`]), and all of it ends with the hold. The node that answers it
//! in the end would run the request, too: it streams there, behind ASKING if the question needed that.
//!
//! This costs a round trip, in front of a Redis Cluster, and while the primary of a control group's shard is not known to
//! serve: the question is then held until one does. Other nodes redirect nobody. What is left is a slot that moves, or a primary
//! that is replaced, after the answer: the node refuses the request at its end, and its client is told to try again.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use slotway_cluster::{ShardId, topology::Kind};
use slotway_commands::{Command, Id, keys};
use slotway_resp::{Head, write};

use crate::{
    client::{Client, Stall},
    thread::Thread,
};

/// An answer that is older than this, because of a pause or of other clients' links, is asked for again.
const FRESH_US: u64 = 10_000;

/// The question of one client.
#[derive(Debug, Default)]
pub(crate) struct Inquiry {
    answer: RefCell<Option<Answer>>,
}

#[derive(Debug)]
enum Answer {
    Found {
        place: Whereabouts,
        at_us: u64,
    },
    /// The line for the client: no node would run the request.
    Refused(Vec<u8>),
}

/// The node that would run a request.
#[derive(Debug, Clone)]
pub(crate) struct Whereabouts {
    pub(crate) address: Arc<str>,
    pub(crate) shard: ShardId,
    /// It would do so only for being asked.
    pub(crate) asking: bool,
}

/// What is known of where a request belongs.
pub(super) enum Sought {
    Known(Whereabouts),
    /// The client is called when there is an answer.
    Wait,
    /// The line for the client.
    Refused(Vec<u8>),
}

impl Inquiry {
    pub(crate) fn found(&self, client: &Client, place: Whereabouts, at_us: u64) {
        *self.answer.borrow_mut() = Some(Answer::Found { place, at_us });
        client.end_inquiry();
    }

    pub(crate) fn refused(&self, client: &Client, line: &[u8]) {
        *self.answer.borrow_mut() = Some(Answer::Refused(line.to_vec()));
        client.end_inquiry();
    }
}

/// Where the request of which `head` has come belongs; its keys lie in one slot of the shard with this index.
pub(super) fn seek(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    head: &Head<'_>,
    command: &'static Command,
    shard: usize,
) -> Sought {
    let link = thread.link(shard, client.version.get(), client.database.get());
    let is_known = thread.kind() != Kind::Cluster && (link.is_up() || !link.is_to_member());
    if is_known && client.inquiry.borrow().is_none() {
        let (address, shard) = (Arc::clone(&link.key.address), link.shard.get());
        return match link.is_worth_waiting_for(thread) {
            Ok(()) => Sought::Known(Whereabouts { address, shard, asking: false }),
            Err(line) => Sought::Refused(line),
        };
    }
    if let Some(inquiry) = &*client.inquiry.borrow() {
        match &*inquiry.answer.borrow() {
            None => return wait(client),
            Some(Answer::Refused(line)) => return Sought::Refused(line.clone()),
            Some(Answer::Found { place, at_us }) if thread.now_us().saturating_sub(*at_us) <= FRESH_US => {
                return Sought::Known(place.clone());
            }
            Some(Answer::Found { place, .. }) if !thread.leases.has_room(thread, &place.address) => {
                // It has to wait for a link all the same.
                return Sought::Known(place.clone());
            }
            Some(Answer::Found { .. }) => {}
        }
    }
    let inquiry = Rc::new(Inquiry::default());
    *client.inquiry.borrow_mut() = Some(Rc::clone(&inquiry));
    let keys = keys::positions_in_head(command, head.request, head.words);
    let keys: Vec<&[u8]> = keys.into_iter().flatten().map(|index| head.request.word(index)).collect();
    let asked = link.inquire(thread, client, inquiry, |out| {
        write::array(out, 1 + keys.len());
        write::bulk(out, Command::row(Id::Exists).name.as_bytes());
        keys.iter().for_each(|key| write::bulk(out, key));
    });
    match asked {
        Ok(()) => wait(client),
        Err(line) => Sought::Refused(line),
    }
}

fn wait(client: &Client) -> Sought {
    client.stall.set(Some(Stall::Inquiry));
    client.stopped_early.set(true);
    Sought::Wait
}
