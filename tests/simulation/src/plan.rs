//! What kind of a run a seed makes: how large, how fast, how unlucky.
//!
//! Choosing every fault with the same likelihood all the time finds shallow mistakes only. So each seed draws a *swarm*: some faults
//! often, some never, long gaps between the steps of threads or none, and so on; many seeds together cover what one cannot.

use std::time::Duration;

use crate::{chance::Chance, weather::FAULTS};

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub nodes: usize,
    pub proxies: usize,
    /// Each with its proxy and how many requests it keeps open.
    pub clients: Vec<(usize, usize)>,
    pub think: Duration,
    /// How many of a thousand nodes keep their life over a restart.
    pub keeps_per_mille: u64,
    pub drift_ppm_max: u64,
    /// Of most words, least and most; ...
    pub delay: (Duration, Duration),
    /// ... so many of a thousand take up to twenty times as long.
    pub slow_per_mille: u64,
    pub loss_per_mille: u64,
    /// After so many of a thousand steps a thread stands still for up to `gap_max`.
    pub gap_per_mille: u64,
    pub gap_max: Duration,
    pub tick: Duration,
    pub sync_max: Duration,
    pub transfer_max: Duration,
    pub learn_max: Duration,
    /// How long a proposal may take to arrive in the log.
    pub commit_max: Duration,
    pub backlog_bytes: u64,
    /// Whether proxies say SESSION; else in-flight writes of a broken link are of unknown outcome.
    pub has_sessions: bool,
    /// Before so many of a thousand requests the lock expires.
    pub expires_per_mille: u64,
    /// How long a proxy holds a request.
    pub hold: Duration,
    /// A fault about so often, each kind with its weight; ...
    pub fault_every: Duration,
    pub weights: Vec<u64>,
    /// ... and each lasts about so long.
    pub fault_lasts: Duration,
    /// Whether nothing more is of interest once somebody accepted a loss.
    pub ends_with_loss: bool,
    /// So often an operator removes a node, and another comes in its place.
    pub removals: u64,
    /// After this all heals.
    pub storm: Duration,
    /// And after this at the latest all must be available: longer than the longest patience of a back-off.
    pub heals_within: Duration,
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

impl Plan {
    pub fn of_seed(seed: u64) -> Plan {
        let chance = &mut Chance::from_seed(seed ^ 0xC10C);
        let nodes = *chance.pick(&[2, 3, 3, 3, 4]);
        let proxies = *chance.pick(&[1, 2, 3, 3, 3]);
        let clients = 2 + chance.index(3);
        let clients = (0..clients).map(|at| (at % proxies, *chance.pick(&[1, 1, 2, 6]))).collect();
        let quick = ms(*chance.pick(&[1, 1, 2, 5]));
        let mut plan = Plan {
            seed,
            nodes,
            proxies,
            clients,
            think: ms(*chance.pick(&[5, 20, 50])),
            keeps_per_mille: *chance.pick(&[0, 0, 500, 1000]),
            drift_ppm_max: *chance.pick(&[0, 1000, 40_000]),
            delay: (Duration::from_micros(30), quick),
            slow_per_mille: *chance.pick(&[0, 0, 10, 50]),
            loss_per_mille: *chance.pick(&[0, 0, 10, 100]),
            gap_per_mille: *chance.pick(&[0, 0, 20, 200]),
            gap_max: ms(*chance.pick(&[1, 1, 5, 20])),
            tick: ms(25),
            sync_max: ms(*chance.pick(&[1, 5, 30])),
            transfer_max: ms(*chance.pick(&[1, 20, 300])),
            learn_max: ms(*chance.pick(&[2, 10, 100, 500])),
            commit_max: ms(*chance.pick(&[2, 2, 20, 1500])),
            backlog_bytes: *chance.pick(&[1, 500, 5_000, 1_000_000]),
            has_sessions: !seed.is_multiple_of(5),
            expires_per_mille: 20 * (seed % 3),
            hold: ms(*chance.pick(&[500, 5000])),
            fault_every: ms(*chance.pick(&[100, 300, 700])),
            weights: Vec::new(),
            fault_lasts: ms(*chance.pick(&[100, 500, 1200, 2500])),
            ends_with_loss: !seed.is_multiple_of(4),
            // Not drawn: the other seeds are the runs that they would be without.
            removals: if seed % 4 == 2 { 3 } else { 0 },
            storm: ms(8000),
            heals_within: Duration::from_secs(70),
        };
        plan.weights = FAULTS.iter().map(|_| *chance.pick(&[0, 0, 1, 1, 4, 12])).collect();
        plan
    }

    /// Nothing goes wrong, and everything is quick: for scripts.
    pub fn calm(seed: u64, nodes: usize, proxies: usize) -> Plan {
        Plan {
            nodes,
            proxies,
            clients: Vec::new(),
            think: ms(10),
            keeps_per_mille: 0,
            drift_ppm_max: 0,
            delay: (Duration::from_micros(50), Duration::from_micros(300)),
            slow_per_mille: 0,
            loss_per_mille: 0,
            gap_per_mille: 0,
            gap_max: ms(1),
            sync_max: ms(1),
            transfer_max: ms(5),
            learn_max: ms(2),
            commit_max: ms(2),
            backlog_bytes: 1_000_000,
            has_sessions: true,
            expires_per_mille: 0,
            hold: ms(5000),
            weights: vec![0; FAULTS.len()],
            removals: 0,
            ..Plan::of_seed(seed)
        }
    }
}
