//! What operators see and order, beside the state itself: the last events, and the leader's jobs.
//!
//! What an event or a job is, is decided in [`slotway_cluster::events`] and [`slotway_cluster::jobs`]; here are the clock, the locks, and the
//! way of an order from an admin call to the leader's machines. A proxy that does not lead says where the leader is.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use slotway_cluster::{
    Cluster, NodeId,
    events::{EventId, Events, EventsView, News, of_note},
    failover::{Loss, Note},
    jobs::{Job, Jobs, JobsView, Order, Refusal, Taken},
    view::{ErrorCode, ErrorView},
};
use tokio::sync::watch;

use crate::{conduct::Wish, control::WishError, shared::View};

/// Who answers for a loss that an operator accepted.
const OPERATOR: &str = "an operator";

#[derive(Debug, Default)]
pub(crate) struct Operations {
    events: Mutex<Events>,
    last_event: watch::Sender<EventId>,
    jobs: Mutex<Jobs>,
    /// How often a job changed.
    changes: watch::Sender<u64>,
}

impl Operations {
    pub(crate) fn tell(&self, news: News) {
        let id = lock(&self.events).tell(news, now_ms());
        self.last_event.send_replace(id);
    }

    /// The leader's machines took a step.
    pub(crate) fn heard(&self, note: &Note) {
        if let Some(news) = of_note(note) {
            self.tell(news);
        }
        self.change(|jobs, now_ms| jobs.heard(note, now_ms));
    }

    pub(crate) fn applied(&self, cluster: &Cluster) {
        self.change(|jobs, now_ms| jobs.applied(cluster, now_ms));
    }

    /// `cluster`: also one that was told before, for jobs that came since.
    pub(crate) fn tick(&self, cluster: &Cluster) {
        self.change(|jobs, now_ms| jobs.applied(cluster, now_ms) | jobs.tick(now_ms));
    }

    /// The log has taken on what a job wants of this node.
    pub(crate) fn begun(&self, job: &str, node: &NodeId) {
        self.change(|jobs, _| {
            jobs.begun(job, node);
            true
        });
    }

    /// A job cannot be done.
    pub(crate) fn failed(&self, job: &str, why: String) {
        self.change(|jobs, now_ms| {
            jobs.failed(job, why, now_ms);
            true
        });
    }

    pub(crate) fn rest(&self) {
        self.change(Jobs::rest);
    }

    fn change(&self, of: impl FnOnce(&mut Jobs, u64) -> bool) {
        if of(&mut lock(&self.jobs), now_ms()) {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }
}

impl View {
    /// The first `limit` events behind `since`, or the last `limit`.
    pub fn events(&self, since: Option<EventId>, limit: usize) -> EventsView {
        lock(&self.0.operations().events).view(since, limit)
    }

    /// The number of the last event, as it changes.
    pub fn last_event(&self) -> watch::Receiver<EventId> {
        self.0.operations().last_event.subscribe()
    }

    /// Changes whenever a job does.
    pub fn job_changes(&self) -> watch::Receiver<u64> {
        self.0.operations().changes.subscribe()
    }

    /// An operator's order becomes a job, at the leader.
    pub fn order(&self, order: Order, key: Option<String>) -> Result<Job, Refusal> {
        self.expect_to_lead()?;
        let operations = self.0.operations();
        let taken = lock(&operations.jobs).take(order.clone(), key, &self.topology(), now_ms())?;
        let job = match taken {
            Taken::Known(job) => return Ok(job),
            Taken::New(job) => job,
        };
        if let Err(error) = self.0.wish(wish_of(order, &job.id)) {
            operations.failed(&job.id, error.to_string());
            return Err(self.refusal(&error));
        }
        Ok(job)
    }

    pub fn jobs(&self) -> Result<JobsView, Refusal> {
        self.expect_to_lead()?;
        Ok(lock(&self.0.operations().jobs).view())
    }

    pub fn job(&self, id: &str) -> Result<Job, Refusal> {
        self.expect_to_lead()?;
        Ok(lock(&self.0.operations().jobs).get(id)?)
    }

    pub fn cancel(&self, id: &str) -> Result<Job, Refusal> {
        self.expect_to_lead()?;
        Ok(lock(&self.0.operations().jobs).cancel(id)?)
    }

    fn expect_to_lead(&self) -> Result<(), Refusal> {
        self.0.may_wish().map_err(|error| self.refusal(&error))
    }

    fn refusal(&self, error: &WishError) -> Refusal {
        let code = match error {
            WishError::NoGroup => ErrorCode::Conflict,
            WishError::NotLeader(_) | WishError::TooMany => ErrorCode::Unavailable,
        };
        if let WishError::NotLeader(Some(leader)) = error {
            let topology = self.topology();
            let proxy = topology.proxies.iter().find(|proxy| proxy.id.0 == *leader);
            if let Some(admin_addr) = proxy.and_then(|proxy| proxy.admin_addr.clone()) {
                return Refusal::Elsewhere { admin_addr };
            }
        }
        let (message, hint) = match error {
            WishError::NotLeader(None) => (
                "no proxy leads the control group".to_owned(),
                "a majority of the voting proxies is needed; data is served all the same",
            ),
            WishError::NoGroup => {
                (error.to_string(), "ask the nodes themselves, or let slotway up form a cluster")
            }
            WishError::NotLeader(Some(_)) | WishError::TooMany => (error.to_string(), "try again"),
        };
        ErrorView::new(code, message).hint(hint).into()
    }
}

/// What the leader's driver is asked to do.
fn wish_of(order: Order, job: &str) -> Wish {
    let job = job.to_owned();
    match order {
        Order::Switchover { shard, to } => Wish::Switchover { shard, to },
        Order::Failover { shard, accept_data_loss } => {
            let loss = if accept_data_loss { Loss::AcceptedBy(OPERATOR.into()) } else { Loss::Never };
            Wish::Failover { shard, loss }
        }
        Order::AddNode { addr, shard } => Wish::AddNode { job, addr, shard },
        Order::RemoveNode { node } => Wish::RemoveNode { job, node },
    }
}

/// Unix time: what people compare events with. A clock before 1970 counts as 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A panic while a lock was held leaves lists that are whole: each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
