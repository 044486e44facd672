//! A run from beginning to end: a cluster is founded, storms come and go, everything heals and is judged.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use slotway_cluster::{NodeId, mutants};

use crate::{
    clients::{Answer, Call, Client},
    invariants::Violation,
    node::{Disk, Node},
    plan::Plan,
    proxy::Proxy,
    world::{Happening, World},
};

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Ending {
    pub violation: Option<Violation>,
    pub happened: u64,
    pub requests: usize,
    /// Of these, what nobody could tell the client of.
    pub unknown_writes: usize,
    pub unknown_reads: usize,
    /// And what did not run, and will not.
    pub refused: usize,
    pub promotions: u64,
    pub blocked: bool,
    pub loss_accepted: bool,
    /// How long it took until all were served again.
    pub healed_after: Duration,
    pub trace: Vec<String>,
}

/// Every process has started, the log has begun; nobody has learned it yet.
pub fn found(plan: Plan, trace: bool) -> World {
    let mut world = World::new(plan, trace);
    for number in 0..world.plan.nodes {
        let keeps = world.chance.per_mille(world.plan.keeps_per_mille);
        let drift_ppm = drift(&mut world);
        world.nodes.push(Node {
            id: NodeId(format!("n{}", number + 1)),
            disk: Disk { keeps, ..Disk::default() },
            drift_ppm,
            life: 0,
            process: None,
            paused_until: None,
        });
    }
    for number in 0..world.plan.proxies {
        let mut proxy = Proxy::new(number, 1, Arc::default(), Duration::ZERO);
        proxy.drift_ppm = drift(&mut world);
        if world.plan.has_sessions {
            proxy.begin_session(number);
        }
        world.proxies.push(proxy);
    }
    for node in 0..world.nodes.len() {
        world.start_node(node);
    }
    let primary = world.nodes[0].member().expect("it was started");
    world.found(primary);
    for proxy in 0..world.proxies.len() {
        let life = world.proxies[proxy].life;
        world.plan_in(Duration::from_millis(1), Happening::ProxyTick { proxy, life });
    }
    world.set_leads(0, true);
    for (proxy, depth) in world.plan.clients.clone() {
        let client = world.clients.len();
        world.clients.push(Client { proxy, think: world.plan.think });
        for _ in 0..depth {
            world.plan_in(Duration::from_millis(300), Happening::Ask { client });
        }
    }
    world
}

fn drift(world: &mut World) -> i64 {
    let most = world.plan.drift_ppm_max;
    let drift = i64::try_from(world.chance.below(2 * most + 1)).unwrap_or(0);
    drift - i64::try_from(most).unwrap_or(0)
}

/// The run of a seed. With `mutant` a rule is left out. A machine that panics has broken a rule, too.
pub fn run(plan: Plan, mutant: Option<mutants::Mutant>, trace: bool) -> Ending {
    mutants::leave_out(mutant);
    let mut world = found(plan, trace);
    world.plan_in(Duration::from_secs(1), Happening::Weather);
    for _ in 0..world.plan.removals {
        let at = Duration::from_secs(1) + world.chance.between(Duration::ZERO, world.plan.storm);
        world.plan_in(at, Happening::Removal);
    }
    world.plan_in(Duration::from_secs(1) + world.plan.storm, Happening::Heal);
    let ending = finish(world);
    mutants::leave_out(None);
    ending
}

/// Lets a world come to its end.
pub fn finish(mut world: World) -> Ending {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| world.run()));
    if outcome.is_err() {
        world.break_rule("panic", "a machine panicked".into());
    }
    let told = |answer: &Answer, of: fn(Call) -> bool| world.book.told(answer, of);
    Ending {
        violation: world.violation.clone(),
        happened: world.happened,
        requests: world.book.ops.len(),
        unknown_writes: told(&Answer::Indeterminate, Call::is_write),
        unknown_reads: told(&Answer::Indeterminate, |call| !call.is_write()),
        refused: told(&Answer::TryAgain, |_| true),
        promotions: world.witness.promotions,
        blocked: world.witness.blocked,
        loss_accepted: world.witness.loss_accepted,
        healed_after: world.healed_at.map_or(Duration::ZERO, |at| world.now.saturating_sub(at)),
        trace: world.trace.clone().unwrap_or_default(),
    }
}
