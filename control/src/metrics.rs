//! What the control group counts: `slotway_control_*`.

use prometheus::{IntGaugeVec, Opts, Registry};
use slotway_cluster::{NodeId, view::Health};

pub(crate) struct Metrics {
    node_up: IntGaugeVec,
}

impl Metrics {
    /// Registers the metrics; those that `registry` has already are counted but not shown twice.
    pub(crate) fn register(registry: &Registry) -> Metrics {
        let help = "1 while the node answers and serves, 0 while it is loading, suspected or down.";
        let node_up = IntGaugeVec::new(Opts::new("slotway_control_node_up", help), &["node"]);
        let node_up = node_up.expect("the name and the label are valid");
        if let Err(error) = registry.register(Box::new(node_up.clone())) {
            tracing::debug!(%error, "the control metrics are registered already");
        }
        Metrics { node_up }
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
