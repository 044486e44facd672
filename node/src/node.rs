//! Everything that lives on the keyspace thread, as one value: no locks, because nobody else can reach it.

use std::rc::Rc;

use slotway_cluster::Placement;
use slotway_config::{Secret, Settings};
use tokio::sync::Notify;

use crate::{
    bounds::{self, Bounds},
    call::Millis,
    client::{Clients, Standing},
    identity::Identity,
    keyspace::Keyspace,
    membership::Membership,
    memory::Memory,
    statistics::Statistics,
};

/// The state of one node.
pub(crate) struct Node {
    pub(crate) keyspace: Keyspace,
    pub(crate) clients: Clients,
    pub(crate) statistics: Statistics,
    pub(crate) settings: Settings,
    /// Follows `settings`: see [`Node::settings_changed`].
    pub(crate) bounds: Bounds,
    pub(crate) membership: Membership,
    pub(crate) memory: Memory,
    pub(crate) identity: Identity,
    /// What members prove themselves with; without one there are no members.
    pub(crate) secret: Option<Secret>,
    /// The client port.
    pub(crate) port: u16,
    pub(crate) started_at: Millis,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub(crate) active_expiry: bool,
    /// SHUTDOWN rings it.
    pub(crate) stop: Rc<Notify>,
}

impl Node {
    pub(crate) fn new(settings: Settings, secret: Option<Secret>, membership: Membership, port: u16) -> Node {
        let now = now();
        let seed = crate::identity::scan_seed(secret.as_ref());
        let mut node = Node {
            keyspace: Keyspace::new(Placement::default(), seed, bounds::of_keyspace(&settings)),
            clients: Clients::default(),
            statistics: Statistics::new(now),
            bounds: Bounds::of(&settings),
            settings,
            membership,
            memory: Memory::default(),
            identity: Identity::new(),
            secret,
            port,
            started_at: now,
            active_expiry: true,
            stop: Rc::new(Notify::new()),
        };
        node.serve_owned_slots();
        node
    }

    /// The keyspace follows the topology: which slots this node answers for.
    pub(crate) fn serve_owned_slots(&mut self) {
        if let Some(adopted) = self.membership.adopted() {
            self.keyspace.serve(|slot| adopted.owns(slot));
        }
    }

    /// Puts changed settings into effect.
    pub(crate) fn settings_changed(&mut self) {
        self.bounds = Bounds::of(&self.settings);
        self.keyspace.settings = bounds::of_keyspace(&self.settings);
    }

    /// What a client that has just connected, or said RESET, is.
    pub(crate) fn fresh_standing(&self) -> Standing {
        match self.bounds.password_set {
            true => Standing::Stranger,
            false => Standing::User,
        }
    }
}

/// The present time: read once per batch of requests and once per round of housekeeping.
#[allow(clippy::disallowed_methods, reason = "the one place where this crate's shell reads the wall clock")]
pub(crate) fn now() -> Millis {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}
