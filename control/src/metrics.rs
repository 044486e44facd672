//! What the control group counts: `slotway_control_*`.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};
use slotway_cluster::{NodeId, failover::Note, view::Health};

pub(crate) struct Metrics {
    node_up: IntGaugeVec,
    leader: IntGauge,
    failovers: IntCounterVec,
    failover_seconds: Histogram,
}

/// From what a failover should take to what it takes when somebody has to come back first.
const FAILOVER_SECONDS: &[f64] = &[0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 15.0, 60.0];

impl Metrics {
    /// Registers the metrics; those that `registry` has already are counted but not shown twice.
    pub(crate) fn register(registry: &Registry) -> Metrics {
        let help = "1 while the node answers and serves, 0 while it is loading, suspected or down.";
        let node_up = IntGaugeVec::new(Opts::new("slotway_control_node_up", help), &["node"]);
        let node_up = node_up.expect("the name and the label are valid");
        let help = "1 while this proxy leads the control group.";
        let leader = IntGauge::new("slotway_control_leader", help).expect("the name is valid");
        let help = "Primaries replaced: ended, refused, loss_accepted, switch_aborted.";
        let failovers = Opts::new("slotway_control_failovers_total", help);
        let failovers = IntCounterVec::new(failovers, &["shard", "outcome"]).expect("the labels are valid");
        let help = "From the begin of a failover or switchover until the new primary serves.";
        let options = HistogramOpts::new("slotway_control_failover_seconds", help);
        let options = options.buckets(FAILOVER_SECONDS.to_vec());
        let failover_seconds = Histogram::with_opts(options).expect("the buckets rise");
        let all: [Box<dyn Collector>; 4] = [
            Box::new(node_up.clone()),
            Box::new(leader.clone()),
            Box::new(failovers.clone()),
            Box::new(failover_seconds.clone()),
        ];
        for metric in all {
            if let Err(error) = registry.register(metric) {
                tracing::debug!(%error, "the control metrics are registered already");
            }
        }
        Metrics { node_up, leader, failovers, failover_seconds }
    }

    pub(crate) fn set_leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// A step of a failover or switchover.
    pub(crate) fn note(&self, note: &Note) {
        let (shard, outcome, after) = match note {
            Note::Ended { shard, after, .. } => (shard, "ended", Some(*after)),
            Note::Refused { shard, .. } => (shard, "refused", None),
            Note::LossAccepted { shard, .. } => (shard, "loss_accepted", None),
            Note::SwitchAborted { shard, .. } => (shard, "switch_aborted", None),
            Note::Started { .. }
            | Note::Promised { .. }
            | Note::Fenced { .. }
            | Note::Promoted { .. }
            | Note::SwitchStarted { .. }
            | Note::SwitchStopped { .. } => return,
        };
        self.failovers.with_label_values(&[shard.to_string().as_str(), outcome]).inc();
        if let Some(seconds) = after.as_ref().map(Duration::as_secs_f64) {
            self.failover_seconds.observe(seconds);
        }
    }

    pub(crate) fn observe(&self, node: &NodeId, health: Health) {
        let up = matches!(health, Health::Up | Health::Busy);
        self.node_up.with_label_values(&[&node.0]).set(i64::from(up));
    }

    pub(crate) fn forget(&self, node: &NodeId) {
        // An error means that the node was never observed.
        let _ = self.node_up.remove_label_values(&[&node.0]);
    }
}
