//! The links on which a primary asks its sync members for a lease.
//!
//! One task for each member: connect, ask, hear, again. Of the beats that come while one is under way only the newest counts. A
//! member that cannot be reached is tried again soon, because the lease hangs on it; one that is not asked any more is forgotten.

use std::{collections::BTreeMap, rc::Weak, time::Duration};

use slotway_cluster::{
    Member, NodeId,
    pulse::{FromNode, LEASE, ToNode, wire::Heartbeat},
};
use slotway_link::{Backoff, Connection, Credentials, Target};
use slotway_resp::{Frame, Version};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::core::Core;
use crate::identity;

/// Between two attempts to reach a member.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(200);

/// A link on which nothing was asked for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// What a link is to say next.
#[derive(Debug, Clone)]
struct Beat {
    address: String,
    beat: Heartbeat,
}

#[derive(Debug, Default)]
pub(super) struct Beats {
    links: BTreeMap<Member, watch::Sender<Beat>>,
    addresses: BTreeMap<NodeId, String>,
    tasks: JoinSet<()>,
}

impl Beats {
    /// Where the nodes of the shard have their pulse ports.
    pub(super) fn reach(&mut self, addresses: &[(NodeId, String)]) {
        self.addresses = addresses.iter().cloned().collect();
    }

    /// Says it to `to`, on the link that leads there. Without an address nobody is asked; orders bring it.
    pub(super) fn send(&mut self, to: &Member, beat: Heartbeat, core: &Weak<Core>) {
        let Some(address) = self.addresses.get(&to.node) else { return };
        let beat = Beat { address: address.clone(), beat };
        self.links.retain(|_, link| !link.is_closed());
        while self.tasks.try_join_next().is_some() {}
        match self.links.get(to) {
            Some(link) => {
                link.send_replace(beat);
            }
            None => {
                let (link, mut beats) = watch::channel(beat);
                beats.mark_changed();
                self.links.insert(to.clone(), link);
                self.tasks.spawn_local(run(to.clone(), beats, Weak::clone(core)));
            }
        }
    }
}

/// One member's link, until nobody asks on it.
async fn run(to: Member, mut beats: watch::Receiver<Beat>, core: Weak<Core>) {
    let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    let mut connection: Option<(String, Connection)> = None;
    while let Ok(Ok(())) = timeout(IDLE_MAX, beats.changed()).await {
        let Beat { address, beat } = beats.borrow_and_update().clone();
        let Some(strong) = core.upgrade() else { return };
        let open = connection.take().filter(|(known, open)| *known == address && !open.is_broken());
        let open = match open {
            Some((_, open)) => Ok(open),
            None => {
                let target = Target {
                    address: address.clone(),
                    credentials: Some(Credentials::member(strong.secret_text())),
                    version: Version::Resp2,
                };
                Connection::open(&target, LEASE).await
            }
        };
        let asked = match open {
            Ok(mut open) => ask(&mut open, beat).await.map(|word| (word, open)),
            Err(error) => Err(error.to_string()),
        };
        match asked {
            Ok((word, open)) => {
                if backoff.failures() > 0 {
                    tracing::info!(%to, "the pulse of a sync member is reached again");
                }
                backoff.succeeded();
                strong.answered(&word);
                connection = Some((address, open));
            }
            Err(why) => {
                if backoff.failures() == 0 {
                    tracing::warn!(%to, %address, %why, "the pulse of a sync member is not reached");
                }
                drop(strong);
                sleep(backoff.failed(random())).await;
            }
        }
    }
}

async fn ask(connection: &mut Connection, beat: Heartbeat) -> Result<FromNode, String> {
    let word = serde_json::to_string(&ToNode::Heartbeat(beat)).map_err(|error| error.to_string())?;
    let words = ["SLOTWAY", "PULSE", "1", &word];
    match connection.request(&words, LEASE).await.map_err(|error| error.to_string())? {
        Frame::Bulk(text) => serde_json::from_slice(&text).map_err(|error| error.to_string()),
        Frame::Error(text) => Err(String::from_utf8_lossy(&text).into_owned()),
        other => Err(format!("an answer that is none: {other:?}")),
    }
}

fn random() -> u64 {
    u64::from_le_bytes(identity::random())
}
