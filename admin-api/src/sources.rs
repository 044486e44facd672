//! Where the answers come from: handles that the program fills in.
//!
//! Plain closures, so that this crate depends on nothing that owns sockets or state, and a test serves a made-up cluster.

use std::{fmt, pin::Pin, sync::Arc};

use prometheus::Registry;
use slotway_cluster::{
    Slot, Topology,
    view::{Observations, SlotCount},
};

/// Asks the node that holds a slot how many keys it has there; None: it did not answer, or cannot count.
pub type SlotCounter =
    Arc<dyn Fn(Slot) -> Pin<Box<dyn Future<Output = Option<SlotCount>> + Send>> + Send + Sync>;

/// What a proxy answers from.
#[derive(Clone)]
pub struct Sources {
    pub topology: Arc<dyn Fn() -> Arc<Topology> + Send + Sync>,
    pub observations: Arc<dyn Fn() -> Observations + Send + Sync>,
    pub count_slot: SlotCounter,
    pub registry: Registry,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// What a node answers from.
#[derive(Clone)]
pub struct NodeSources {
    /// Whether it serves: false while it loads its data.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    pub registry: Registry,
}

impl fmt::Debug for NodeSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSources").finish_non_exhaustive()
    }
}
