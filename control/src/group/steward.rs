//! Keeping the group in order: who leads is told on, the membership follows the list of proxies, and this proxy takes its seat.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use openraft::{ChangeMembers, ServerState};
use slotway_cluster::{ProxyId, control::ProxyFact};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    Leadership, Standing,
    desk::{Desk, REMOVED},
    kind::{Seat, SeatId},
    membership::{Seen, Step, next_step},
    wire::{Ask, Sorry},
};

/// How often the membership is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// A change of the membership is two entries of the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// Without a leader for so long, a proxy asks whether it still belongs here.
const LOST: Duration = Duration::from_secs(3);

/// Tells on who leads and where everybody is, as openraft sees it.
pub(super) async fn tell(
    desk: Arc<Desk>,
    leadership: watch::Sender<Leadership>,
    addresses: watch::Sender<BTreeMap<SeatId, Seat>>,
) {
    let mut metrics = desk.raft.server_metrics();
    loop {
        let (seen, seats) = {
            let metrics = metrics.borrow_and_update();
            let membership = metrics.membership_config.membership();
            let leader = metrics.current_leader.and_then(|seat| membership.get_node(&seat));
            let seen = Leadership {
                leader: leader.map(|seat| seat.proxy.clone()),
                am_i: metrics.state == ServerState::Leader,
                term: metrics.vote.leader_id().term,
            };
            (seen, membership.nodes().map(|(seat, node)| (*seat, node.clone())).collect())
        };
        addresses.send_replace(seats);
        let is_news = leadership.send_if_modified(|present| {
            let differs = *present != seen;
            *present = seen.clone();
            differs
        });
        if is_news {
            let leader = seen.leader.as_ref().map_or("nobody", |leader| &leader.0);
            tracing::info!(leader, term = seen.term, own = seen.am_i, "who leads the control group");
        }
        if metrics.changed().await.is_err() {
            tracing::error!(state = ?desk.raft.metrics().borrow().running_state, "the control group has ended in this proxy");
            return;
        }
    }
}

/// Takes this proxy's seat, and as the leader gives and takes those of others.
pub(super) async fn keep(desk: Arc<Desk>, fact: ProxyFact, standing: watch::Sender<Standing>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut led = Instant::now();
    loop {
        ticks.tick().await;
        let seats = seats(&desk);
        let (leads, has_leader) = {
            let metrics = desk.raft.server_metrics();
            let metrics = metrics.borrow();
            (metrics.state == ServerState::Leader, metrics.current_leader.is_some())
        };
        if has_leader {
            led = Instant::now();
        }
        let own = seats.iter().find(|one| one.seat == desk.own.seat);
        let seated = match own {
            Some(own) if own.is_voter => Standing::Voter,
            Some(_) => Standing::Learner,
            None => Standing::Entering,
        };
        standing.send_if_modified(|present| std::mem::replace(present, seated) != seated);
        if leads {
            step(&desk, &seats).await;
        }
        if seated == Standing::Entering || led.elapsed() > LOST || has_moved(&desk, &fact) {
            led = Instant::now();
            if let Err(Gone) = enter(&desk, &fact).await {
                desk.raft.runtime_config().elect(false);
                standing.send_replace(Standing::Removed);
                return;
            }
        }
    }
}

/// Whether the log says something else of this proxy than is true.
fn has_moved(desk: &Desk, fact: &ProxyFact) -> bool {
    let cluster = desk.cluster.borrow();
    cluster.proxies.get(&desk.own.proxy).is_some_and(|known| known != fact)
}

/// This proxy was removed from the group.
struct Gone;

async fn enter(desk: &Desk, fact: &ProxyFact) -> Result<(), Gone> {
    let (proxy, seat) = (desk.own.proxy.clone(), desk.own.seat);
    match desk.lead(Ask::Enter { proxy, seat, fact: fact.clone() }, PATIENCE).await {
        Ok(_) => Ok(()),
        Err(Sorry::Refused { why }) if why.starts_with(REMOVED) => {
            tracing::error!(%why, "this proxy goes on with what it knows, and hears of nothing new");
            Err(Gone)
        }
        Err(why) => {
            tracing::warn!(%why, "cannot take the seat in the control group yet");
            Ok(())
        }
    }
}

async fn step(desk: &Desk, seats: &[Seen]) {
    let proxies: BTreeSet<ProxyId> = desk.cluster.borrow().proxies.keys().cloned().collect();
    let Some(step) = next_step(seats, &proxies, desk.own.seat) else { return };
    let is_voter = |seat| seats.iter().any(|one| one.seat == seat && one.is_voter);
    let change = match step {
        Step::Promote(seat) => ChangeMembers::AddVoterIds(BTreeSet::from([seat])),
        Step::Remove(seat) if is_voter(seat) => ChangeMembers::RemoveVoters(BTreeSet::from([seat])),
        Step::Remove(seat) => ChangeMembers::RemoveNodes(BTreeSet::from([seat])),
    };
    match timeout(PATIENCE, desk.raft.change_membership(change, false)).await {
        Ok(Ok(_)) => tracing::info!(?step, "the membership of the control group follows its list of proxies"),
        Ok(Err(error)) => {
            tracing::warn!(?step, %error, "cannot change the membership of the control group yet")
        }
        Err(_) => tracing::warn!(?step, "no majority to change the membership of the control group"),
    }
}

/// Everyone with a seat; what a follower sees of others' progress is nothing.
fn seats(desk: &Desk) -> Vec<Seen> {
    let (server, data) = (desk.raft.server_metrics(), desk.raft.data_metrics());
    let (server, data) = (server.borrow(), data.borrow());
    let membership = server.membership_config.membership();
    let voters: BTreeSet<SeatId> = membership.voter_ids().collect();
    let last = data.last_log.map_or(0, |last| last.index);
    let held = |seat: &SeatId| data.replication.as_ref()?.get(seat)?.map(|held| held.index);
    let seen = membership.nodes().map(|(seat, node)| Seen {
        seat: *seat,
        proxy: node.proxy.clone(),
        is_voter: voters.contains(seat),
        missing: held(seat).map_or(u64::MAX, |held| last.saturating_sub(held)),
    });
    seen.collect()
}
