//! What a connection says of itself with REPLCONF before it asks for the stream, and what it asks for.

use slotway_cluster::replication::primary::{Acks, Name, Wanted};
use slotway_link::End;

use crate::shard::MemberSaid;

/// Said so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Introduction {
    /// Where the replica's clients reach it; 0: it did not say.
    pub(crate) port: u16,
    /// The address it wants to be called by; empty: the one we see.
    pub(crate) address: String,
    /// It finds the end of a snapshot by a mark.
    pub(crate) takes_marked: bool,
    /// It understands +CONTINUE with a history's name.
    pub(crate) takes_names: bool,
    /// It acknowledges after every read.
    pub(crate) acks_every_read: bool,
    /// It wants a snapshot and no stream.
    pub(crate) only_snapshot: bool,
    /// It is a member of this node's shard.
    pub(crate) member: Option<MemberSaid>,
    /// What it has asked for with SYNC or PSYNC.
    pub(crate) asked: Option<Asked>,
}

/// SYNC or PSYNC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The snapshot is the whole answer, and no acknowledgement comes.
    Sync,
    Psync(Wanted),
}

impl Introduction {
    /// INFO's `ip`.
    pub(crate) fn ip(&self, peer: &End) -> String {
        match peer {
            _ if !self.address.is_empty() => self.address.clone(),
            End::Tcp(address) => address.ip().to_string(),
            End::Unix(_) => String::new(),
        }
    }

    /// What it is recognised by on another link. Without a port of its own it may be anybody.
    pub(crate) fn name(&self, peer: &End) -> Option<Name> {
        let ip = self.ip(peer).parse().ok()?;
        (self.port != 0).then_some(Name { ip, port: self.port })
    }

    pub(crate) fn acks(&self) -> Acks {
        match (self.asked, self.acks_every_read) {
            (Some(Asked::Sync), _) => Acks::Never,
            (_, true) => Acks::EveryRead,
            (_, false) => Acks::EverySecond,
        }
    }
}
