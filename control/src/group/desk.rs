//! Where questions of other proxies, and of this one, are answered.
//!
//! openraft's own messages go to openraft. What only the leader can do ([`Desk::act`]) it does, whoever asks; [`Desk::lead`] finds it, also
//! while it changes, within a deadline. What is asked of the leader may be done twice: entries of the log are as good twice as once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use openraft::{
    ChangeMembers, ServerState, Snapshot,
    error::{ClientWriteError, RaftError},
};
use serde::Serialize;
use serde_json::Value;
use slotway_cluster::{
    Cluster, Entry, ProxyId,
    control::{Outcome, ProxyFact},
};
use slotway_link::LinkError;
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Told,
    calls::{CallError, Calls},
    identity::Identity,
    kind::{Raft, Seat, SeatId},
    storage::Disk,
    wire::{Ask, Message, Sorry, Welcome},
};

/// One attempt at asking the leader; a leader that hangs must not use up the whole deadline.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Before the leader is looked for again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long openraft may take to answer another proxy; that one has given up long before.
const RAFT_PATIENCE: Duration = Duration::from_secs(2);

/// What another proxy's question of the leader may take.
const LEADER_PATIENCE: Duration = Duration::from_secs(5);

/// An entry of the log is a few hundred bytes.
pub(super) const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Proxies of a cluster.
pub(super) const PROXIES_MAX: usize = 256;

pub(super) struct Desk {
    pub(super) own: Identity,
    pub(super) raft: Raft,
    pub(super) disk: Disk,
    pub(super) calls: Arc<Calls>,
    pub(super) cluster: watch::Receiver<Arc<Cluster>>,
    pub(super) told: mpsc::Sender<Told>,
    /// Whom to ask, too, as long as openraft does not know who leads.
    pub(super) seeds: Vec<String>,
    /// Names are given to one proxy after the other.
    pub(super) naming: Mutex<()>,
    #[cfg(test)]
    pub(super) store: super::storage::LogStore,
}

impl Desk {
    /// The JSON of what is answered to another proxy.
    pub(super) async fn answer(&self, json: &str) -> Vec<u8> {
        let message: Message = match serde_json::from_str(json) {
            Ok(message) => message,
            Err(error) => return refused(format!("this is no message: {error}")),
        };
        if let Err(why) = self.check_address(&message) {
            return encode(&Err::<(), _>(Sorry::Stranger { why }));
        }
        match message.ask {
            Ask::Append { request } => soon(self.raft.append_entries(request)).await,
            Ask::Vote { request } => soon(self.raft.vote(request)).await,
            Ask::Snapshot { vote, meta, cluster } => {
                if let Err(error) = cluster.validate() {
                    return refused(format!("a snapshot that contradicts itself: {error}"));
                }
                let snapshot = Snapshot { meta, snapshot: cluster };
                encode(&Ok::<_, Sorry>(self.raft.install_full_snapshot(vote, snapshot).await))
            }
            ask @ (Ask::Propose { .. }
            | Ask::Tell { .. }
            | Ask::Join { .. }
            | Ask::Enter { .. }
            | Ask::Leave { .. }) => {
                encode(&self.act(&message.from, &ask, Instant::now() + LEADER_PATIENCE).await)
            }
        }
    }

    fn check_address(&self, message: &Message) -> Result<(), String> {
        let own = &self.own.group;
        match &message.group {
            None if matches!(message.ask, Ask::Join { .. }) => {}
            None => return Err("a message to no group".into()),
            Some(group) if group.cluster_id != own.cluster_id => {
                return Err(format!("this is cluster {}, not {}", own.cluster_id, group.cluster_id));
            }
            Some(group) if group.generation != own.generation => {
                return Err("the control group was made anew since: join it with an empty directory".into());
            }
            Some(_) => {}
        }
        match message.to {
            Some(seat) if seat != self.own.seat => {
                Err(format!("here is proxy {} in another life, or another proxy", self.own.proxy))
            }
            _ => Ok(()),
        }
    }

    /// Does what only the leader can, here or by asking it, until `patience` is over.
    pub(super) async fn lead(&self, ask: Ask, patience: Duration) -> Result<Value, Sorry> {
        let deadline = Instant::now() + patience;
        let (group, from) = (Some(self.own.group.clone()), self.own.proxy.clone());
        let message = Message { group, to: None, from, ask };
        loop {
            let outcome = match self.act(&message.from, &message.ask, deadline).await {
                Err(Sorry::NotLeader { leader }) => self.ask_leader(&message, leader, deadline).await,
                here => here,
            };
            match outcome {
                Err(Sorry::NotLeader { .. } | Sorry::Unavailable { .. })
                    if Instant::now() + PAUSE < deadline =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(sorry @ Sorry::NotLeader { .. }) => {
                    return Err(self.disk.trouble().map_or(sorry, |why| disk_refuses(&why)));
                }
                settled => return settled,
            }
        }
    }

    async fn ask_leader(
        &self,
        message: &Message,
        leader: Option<Seat>,
        deadline: Instant,
    ) -> Result<Value, Sorry> {
        let known = leader.map(|seat| vec![seat.control_addr]);
        let mut outcome = Err(Sorry::NotLeader { leader: None });
        for address in known.unwrap_or_else(|| self.others()) {
            outcome = follow(&self.calls, &address, message, deadline).await;
            if !matches!(outcome, Err(Sorry::NotLeader { .. } | Sorry::Unavailable { .. })) {
                break;
            }
        }
        outcome
    }

    /// Whom to ask who leads.
    fn others(&self) -> Vec<String> {
        let membership = self.raft.server_metrics().borrow().membership_config.clone();
        let seats = membership.membership().nodes().filter(|(seat, _)| **seat != self.own.seat);
        let mut addresses: Vec<String> = seats.map(|(_, seat)| seat.control_addr.clone()).collect();
        addresses
            .extend(self.seeds.iter().filter(|seed| !addresses.contains(seed)).cloned().collect::<Vec<_>>());
        addresses
    }

    /// Does it, if this proxy leads.
    async fn act(&self, from: &ProxyId, ask: &Ask, deadline: Instant) -> Result<Value, Sorry> {
        let deed = async {
            match ask {
                Ask::Propose { entry } => {
                    self.expect_mate(from)?;
                    as_value(&self.write(entry.clone()).await?)
                }
                Ask::Tell { text } => self.tell(from, text),
                Ask::Join { fact, wish } => as_value(&self.join(fact, wish.as_ref()).await?),
                Ask::Enter { proxy, seat, fact } => self.enter(proxy, *seat, fact).await,
                Ask::Leave { proxy } => {
                    self.expect_mate(from)?;
                    self.leave(proxy).await
                }
                Ask::Append { .. } | Ask::Vote { .. } | Ask::Snapshot { .. } => {
                    Err(Sorry::Refused { why: "nothing that a leader does".into() })
                }
            }
        };
        timeout_at(deadline, deed).await.unwrap_or_else(|_| {
            let no_majority = || Sorry::unavailable("no majority of the control group answers");
            Err(self.disk.trouble().map_or_else(no_majority, |why| disk_refuses(&why)))
        })
    }

    async fn write(&self, entry: Entry) -> Result<Outcome, Sorry> {
        let bytes = serde_json::to_vec(&entry).map_or(usize::MAX, |json| json.len());
        if bytes > ENTRY_BYTES_MAX {
            let why = format!("an entry of {bytes} bytes; at most {ENTRY_BYTES_MAX} are allowed");
            return Err(Sorry::Refused { why });
        }
        let written = self.raft.client_write(entry).await.map_err(sorry)?;
        written.data.ok_or_else(|| Sorry::unavailable("the log gave no outcome"))
    }

    fn tell(&self, from: &ProxyId, text: &str) -> Result<Value, Sorry> {
        self.expect_mate(from)?;
        let told = Told { from: from.clone(), text: text.to_owned() };
        self.told.try_send(told).map_err(|_| Sorry::unavailable("the leader has too much to hear"))?;
        Ok(Value::Null)
    }

    fn expect_to_lead(&self) -> Result<(), Sorry> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        if metrics.state == ServerState::Leader {
            return Ok(());
        }
        let seat =
            metrics.current_leader.and_then(|seat| metrics.membership_config.membership().get_node(&seat));
        Err(Sorry::NotLeader { leader: seat.cloned() })
    }

    /// This proxy leads, and `from` was not removed. (Without any proxy in the log, its founder is about to name itself.)
    fn expect_mate(&self, from: &ProxyId) -> Result<(), Sorry> {
        self.expect_to_lead()?;
        let cluster = self.cluster.borrow();
        match cluster.proxies.is_empty() || cluster.proxies.contains_key(from) {
            true => Ok(()),
            false => Err(Sorry::Refused { why: format!("{REMOVED} {from} was removed from it") }),
        }
    }

    /// This proxy leads, and knows all that was decided before.
    async fn expect_to_know(&self) -> Result<Arc<Cluster>, Sorry> {
        self.expect_to_lead()?;
        self.raft.ensure_linearizable().await.map_err(Sorry::unavailable)?;
        Ok(self.cluster.borrow().clone())
    }

    /// A name for a proxy with an empty directory. Whoever had its address before is gone: two cannot listen there.
    async fn join(&self, fact: &ProxyFact, wish: Option<&ProxyId>) -> Result<Welcome, Sorry> {
        let _alone = self.naming.lock().await;
        let cluster = self.expect_to_know().await?;
        expect_begun(&cluster)?;
        for (proxy, known) in &cluster.proxies {
            if known.control_addr == fact.control_addr {
                tracing::warn!(%proxy, address = %known.control_addr, "another proxy joins from this address: the \
                    one that was there is taken to be gone for good");
                expect_done(self.write(Entry::RemoveProxy { proxy: proxy.clone() }).await?)?;
            }
        }
        if cluster.proxies.len() >= PROXIES_MAX {
            return Err(Sorry::Refused { why: format!("a cluster has at most {PROXIES_MAX} proxies") });
        }
        // A seat whose proxy was just removed keeps its name until the steward has taken it away: whoever got that name would keep it there.
        let membership = self.raft.server_metrics().borrow().membership_config.clone();
        let seated = membership.membership().nodes().map(|(_, seat)| seat.proxy.clone());
        let taken: BTreeSet<ProxyId> = self.cluster.borrow().proxies.keys().cloned().chain(seated).collect();
        let numbers = taken.iter().filter_map(|id| id.0.strip_prefix('p')?.parse::<u64>().ok());
        let next = ProxyId(format!("p{}", numbers.max().unwrap_or(0).saturating_add(1)));
        let proxy = wish.filter(|wish| !taken.contains(*wish)).cloned().unwrap_or(next);
        expect_done(self.write(Entry::AddProxy { proxy: proxy.clone(), fact: fact.clone() }).await?)?;
        Ok(Welcome { group: self.own.group.clone(), proxy })
    }

    /// A seat for a proxy that the log names; or where it is reached now.
    async fn enter(&self, proxy: &ProxyId, seat: SeatId, fact: &ProxyFact) -> Result<Value, Sorry> {
        let cluster = self.expect_to_know().await?;
        let Some(known) = cluster.proxies.get(proxy) else {
            return Err(Sorry::Refused { why: format!("{REMOVED} {proxy} was removed from it") });
        };
        if known != fact {
            expect_done(self.write(Entry::AddProxy { proxy: proxy.clone(), fact: fact.clone() }).await?)?;
        }
        let wanted = Seat { proxy: proxy.clone(), control_addr: fact.control_addr.clone() };
        let membership = self.raft.server_metrics().borrow().membership_config.clone();
        match membership.membership().get_node(&seat) {
            Some(present) if *present == wanted => {}
            Some(_) => {
                let moved = ChangeMembers::SetNodes(BTreeMap::from([(seat, wanted)]));
                self.raft.change_membership(moved, true).await.map_err(sorry)?;
            }
            None => drop(self.raft.add_learner(seat, wanted, false).await.map_err(sorry)?),
        }
        Ok(Value::Null)
    }

    async fn leave(&self, proxy: &ProxyId) -> Result<Value, Sorry> {
        let cluster = self.expect_to_know().await?;
        if cluster.proxies.len() == 1 && cluster.proxies.contains_key(proxy) {
            return Err(Sorry::Refused { why: format!("{proxy} is the only proxy") });
        }
        expect_done(self.write(Entry::RemoveProxy { proxy: proxy.clone() }).await?)?;
        Ok(Value::Null)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("own", &self.own).finish_non_exhaustive()
    }
}

/// How a refusal begins that is final for a proxy that wants its seat.
pub(super) const REMOVED: &str = "not in the group:";

/// Asks the proxy at `address`, and whoever it names as the leader.
pub(super) async fn follow(
    calls: &Calls,
    address: &str,
    message: &Message,
    deadline: Instant,
) -> Result<Value, Sorry> {
    let patience = || deadline.saturating_duration_since(Instant::now()).min(ATTEMPT);
    let first = calls.ask(address, message, patience()).await;
    let answer = match first {
        Err(CallError::Sorry(Sorry::NotLeader { leader: Some(leader) })) => {
            calls.ask(&leader.control_addr, message, patience()).await
        }
        settled => settled,
    };
    answer.map_err(|error| match error {
        CallError::Sorry(sorry) => sorry,
        CallError::Refused { .. } | CallError::Link { source: LinkError::Refused(_), .. } => {
            Sorry::Refused { why: error.to_string() }
        }
        CallError::Link { .. } => Sorry::unavailable(error),
    })
}

fn expect_done(outcome: Outcome) -> Result<(), Sorry> {
    match outcome {
        Outcome::Done | Outcome::Again => Ok(()),
        Outcome::Refused(why) => Err(Sorry::Refused { why: why.to_string() }),
    }
}

fn sorry(error: RaftError<SeatId, ClientWriteError<SeatId, Seat>>) -> Sorry {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            Sorry::NotLeader { leader: to.leader_node }
        }
        other => Sorry::unavailable(other),
    }
}

/// Who comes before the log's first entry is there asks again a moment later.
fn expect_begun(cluster: &Cluster) -> Result<(), Sorry> {
    match cluster.cluster_id.is_empty() {
        true => Err(Sorry::unavailable("the group is just beginning")),
        false => Ok(()),
    }
}

fn disk_refuses(why: &str) -> Sorry {
    Sorry::unavailable(format!("the disk refuses what the control group writes: {why}"))
}

/// Later than this nobody waits for openraft's answer; a full disk may keep it for ever.
async fn soon<T: Serialize>(answer: impl Future<Output = T>) -> Vec<u8> {
    let late = |_| Sorry::unavailable("no answer in time");
    encode(&timeout(RAFT_PATIENCE, answer).await.map_err(late))
}

fn as_value(value: &impl Serialize) -> Result<Value, Sorry> {
    serde_json::to_value(value).map_err(Sorry::unavailable)
}

fn refused(why: String) -> Vec<u8> {
    encode(&Err::<(), _>(Sorry::Refused { why }))
}

fn encode<T: Serialize>(answer: &Result<T, Sorry>) -> Vec<u8> {
    serde_json::to_vec(answer)
        .unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_joins_before_the_first_entry_is_asked_to_come_again() {
        assert!(matches!(expect_begun(&Cluster::default()), Err(Sorry::Unavailable { .. })));
        let begun = Cluster { cluster_id: "a".repeat(40), ..Cluster::default() };
        assert!(expect_begun(&begun).is_ok());
    }
}
