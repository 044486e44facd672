//! Where the answers come from: handles that the program fills in.
//!
//! Plain closures, so that this crate depends on nothing that owns sockets or state, and a test serves a made-up cluster.

use std::{fmt, pin::Pin, sync::Arc};

use prometheus::Registry;
use slotway_cluster::{
    Slot, Topology,
    events::{EventId, EventsView},
    jobs::{Job, JobsView, Order, Refusal},
    view::{Observations, SlotCount},
};
use tokio::sync::watch;

/// Asks the node that holds a slot how many keys it has there; None: it did not answer, or cannot count.
pub type SlotCounter =
    Arc<dyn Fn(Slot) -> Pin<Box<dyn Future<Output = Option<SlotCount>> + Send>> + Send + Sync>;

/// What a proxy answers from.
#[derive(Clone)]
pub struct Sources {
    pub topology: Arc<dyn Fn() -> Arc<Topology> + Send + Sync>,
    pub observations: Arc<dyn Fn() -> Observations + Send + Sync>,
    pub count_slot: SlotCounter,
    pub operations: Operations,
    pub registry: Registry,
}

/// Makes a job of an order, which may have an `Idempotency-Key`.
pub type TakeOrder = Arc<dyn Fn(Order, Option<String>) -> Result<Job, Refusal> + Send + Sync>;

/// A job by its name.
pub type FindJob = Arc<dyn Fn(&str) -> Result<Job, Refusal> + Send + Sync>;

/// Events behind the one that is named, or the last ones; so many at most.
pub type ReadEvents = Arc<dyn Fn(Option<EventId>, usize) -> EventsView + Send + Sync>;

/// What operators see and order. Only the leader has jobs; others say where it is.
#[derive(Clone)]
pub struct Operations {
    pub order: TakeOrder,
    pub jobs: Arc<dyn Fn() -> Result<JobsView, Refusal> + Send + Sync>,
    pub job: FindJob,
    pub cancel: FindJob,
    /// Changes whenever a job does.
    pub job_changes: watch::Receiver<u64>,
    pub events: ReadEvents,
    pub last_event: watch::Receiver<EventId>,
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations").finish_non_exhaustive()
    }
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
