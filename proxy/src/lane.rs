//! Which of two shared links to a node a client's requests take.
//!
//! Behind a large reply everything on its link waits until that has passed. So while replies are large a second link lies
//! beside the usual one. Who has lately read a long reply goes beside, and leaves the usual link to the others; so does
//! whoever has nothing in flight while a long reply is arriving on the usual one. The second link is opened by the first long reply
//! and used once it is up; it is closed like any link that nobody uses.
//!
//! A client has one lane for all nodes and changes it only when nothing of it is in flight: its requests to one node never
//! travel on two links at a time.

use std::rc::Rc;

use crate::{
    client::Client,
    dispatch::Case,
    link::{Link, LinkKey, Reach, Tenancy},
    thread::Thread,
};

/// A reply of which so much has arrived is long: what waits for the rest of it would notice.
pub(crate) const LONG_BYTES_MIN: usize = 1024 * 1024;

/// So many times a client that has read a long reply is expected to read another one.
const EXPECTED: u8 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Lane {
    #[default]
    Usual,
    Beside,
}

impl Client {
    /// A long reply is for it.
    pub(crate) fn reads_long(&self) {
        self.long_replies.set(EXPECTED);
    }

    /// Whether its next request may go beside the usual link whatever arrives there.
    pub(crate) fn may_go_beside(&self) -> bool {
        self.lane.get() == Lane::Beside || self.long_replies.get() > 0
    }
}

impl Case<'_> {
    /// The link of the client's lane, which is chosen anew if nothing of the client is in flight.
    #[cold]
    pub(crate) fn link_by_lane(&self, usual: Rc<Link>) -> Rc<Link> {
        if self.replies.outstanding() == 0 {
            self.client.lane.set(self.choose(&usual));
        }
        match self.client.lane.get() {
            Lane::Usual => usual,
            Lane::Beside => self.thread.open(usual.key_beside(), usual.shard.get()),
        }
    }

    /// The lane of what is in flight; of what is more than one request, or has a link of its own, otherwise the usual one.
    pub(crate) fn present_lane(&self) -> Lane {
        if self.replies.outstanding() == 0 {
            self.client.lane.set(Lane::Usual);
        }
        self.client.lane.get()
    }

    fn choose(&self, usual: &Link) -> Lane {
        let expected = self.client.long_replies.get();
        self.client.long_replies.set(expected.saturating_sub(1));
        let beside = self.thread.shared_link(&usual.key_beside());
        let Some(beside) = beside.filter(|link| link.is_up()) else {
            return Lane::Usual;
        };
        let is_freer = usual.is_long() && !beside.is_long();
        if expected > 0 || is_freer { Lane::Beside } else { Lane::Usual }
    }
}

impl Link {
    fn key_beside(&self) -> LinkKey {
        LinkKey { lane: Lane::Beside, ..self.key.clone() }
    }
}

impl Thread {
    /// A long reply is arriving on this link: who comes next will want another.
    pub(crate) fn open_beside(self: &Rc<Self>, link: &Link) {
        let is_usual = link.key.lane == Lane::Usual && link.key.reach == Reach::Primary;
        if is_usual && link.tenancy == Tenancy::Shared {
            self.open(link.key_beside(), link.shard.get());
        }
    }
}
