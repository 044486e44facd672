//! What has to be done from time to time, whoever is connected: expired keys, memory above its limit, idle clients, limits that time
//! decides, rates, save points, published numbers.
//!
//! A round runs `hz` times a second. Active expiry works in short pieces with other tasks in between, and stops after
//! a quarter of the round's time however much is left.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    call::Millis,
    client::{Class, Client, ClientId, Fate},
    eviction::{self, Outcome},
    latency::Event,
    metrics::Published,
    node::{self, Node},
    output::is_over_limit,
    persistence::save,
    thread::Thread,
    timing,
};

/// Entries looked at in one piece of active expiry: well below a millisecond.
const EXPIRY_ENTRIES: usize = 1000;
/// Clients looked at in one round, at least.
const CLIENTS_PER_ROUND_MIN: usize = 32;

/// Runs until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>, published: Arc<Published>) {
    let mut next_client = ClientId(0);
    loop {
        let hz = thread.node.borrow().bounds.hz.max(1);
        let period = Duration::from_secs(1) / hz;
        let until = thread.node.borrow().pauses.next_end();
        let rest = until.map(|until| Duration::from_millis(until.0.saturating_sub(node::now().0)));
        tokio::time::sleep(rest.map_or(period, |rest| rest.min(period))).await;
        let is_paused = {
            let node = &mut *thread.node.borrow_mut();
            if !node.pauses.is_none() {
                node.end_old_pauses(node::now());
            }
            node.look_at_lease();
            // While data are loaded nothing is deleted either: what is there is not all there is. Nor by who may not serve.
            !node.pauses.is_none() || node.persistence.loading.is_some() || node.is_parked
        };
        if !is_paused && thread.node.borrow().active_expiry {
            expire(&thread, period / 4).await;
        }
        make_room(&thread, period / 4).await;
        let node = &mut *thread.node.borrow_mut();
        node.vitals.progress.goes_on();
        let now = node::now();
        next_client = look_after_clients(node, next_client, hz, now);
        node.evict_clients();
        node.statistics.sample(now);
        node.memory.read();
        save::run::look(node);
        published.publish(node, now);
    }
}

/// Deletes what has expired, for at most `budget`.
async fn expire(thread: &Thread, budget: Duration) {
    #[allow(clippy::disallowed_methods, reason = "a shell: bounds its own work by the clock")]
    let started = Instant::now();
    loop {
        let more = {
            let node = &mut *thread.node.borrow_mut();
            let (began, now) = (started.elapsed(), node::now());
            let cycle = node.keyspace.expire_cycle(now, EXPIRY_ENTRIES);
            timing::note_event(node, Event::Expiry, started.elapsed() - began, now);
            thread.end_turn(node);
            cycle.more
        };
        if !more || started.elapsed() >= budget {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Goes on with eviction where commands have left it, for at most `budget`.
async fn make_room(thread: &Thread, budget: Duration) {
    #[allow(clippy::disallowed_methods, reason = "a shell: bounds its own work by the clock")]
    let started = Instant::now();
    loop {
        let outcome = {
            let node = &mut *thread.node.borrow_mut();
            let outcome = eviction::make_room(node, node::now());
            thread.end_turn(node);
            outcome
        };
        if outcome != Outcome::Unfinished || started.elapsed() >= budget {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Looks at some clients, so that all have been looked at after about a second. Returns where to go on.
fn look_after_clients(node: &mut Node, from: ClientId, hz: u32, now: Millis) -> ClientId {
    let share = node.clients.len() / usize::try_from(hz).unwrap_or(1) + 1;
    let mut looked_at = 0;
    let (mut cut_for_output, mut cut_for_idling) = (0, 0);
    let mut last = None;
    for client in node.clients.from(from).take(share.max(CLIENTS_PER_ROUND_MIN)) {
        looked_at += 1;
        last = Some(client.id);
        if client.class.get() != Class::Normal {
            continue;
        }
        let mut since = client.over_soft_limit.get();
        let over = is_over_limit(node.bounds.output.normal, client.output_bytes.get(), &mut since, now);
        client.over_soft_limit.set(since);
        if over && client.fate.get() != Fate::CloseNow {
            tracing::warn!(
                peer = %client.peer, id = client.id.0, waiting_bytes = client.output_bytes.get(),
                "closing a client that reached client-output-buffer-limit"
            );
            cut_for_output += 1;
            client.decide(Fate::CloseNow);
        } else if node.bounds.idle_ms_max.is_some_and(|max| is_idle(client, max, now)) {
            tracing::debug!(peer = %client.peer, id = client.id.0, "closing an idle client (timeout)");
            cut_for_idling += 1;
            client.decide(Fate::CloseNow);
        }
    }
    node.statistics.cut_for_output += cut_for_output;
    node.statistics.cut_for_idling += cut_for_idling;
    match last {
        Some(ClientId(id)) if looked_at >= share => ClientId(id + 1),
        _ => ClientId(0),
    }
}

/// Members' links rest between requests and stay.
fn is_idle(client: &Client, idle_ms_max: u64, now: Millis) -> bool {
    !client.is_spared() && now.0.saturating_sub(client.active.get().0) > idle_ms_max
}
