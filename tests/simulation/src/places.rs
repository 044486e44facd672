//! Nodes that an operator removes, and others that come in their place.
//!
//! Whoever leads proposes it; the log and the shard's primary do the rest. A node that is gone is stopped and its disk is thrown away, as an
//! operator would once the order is done; a while later a new one is added at its address, with a new name and nothing in it.

use std::time::Duration;

use slotway_cluster::{Entry, NodeId, control::NodeFact};

use crate::{
    group::SHARD,
    node::Disk,
    tell,
    world::{Happening, World},
};

/// How often it is seen whether a node is gone.
const LOOK: Duration = Duration::from_millis(100);

/// So often at most; then its place stays as it is.
const LOOKS_MAX: u32 = 50;

impl World {
    /// An operator wants a node to go, of those that do not lead.
    pub fn part_with_one(&mut self) {
        if self.healed_at.is_some() {
            return;
        }
        let primary = self.primary();
        let others: Vec<usize> = (0..self.nodes.len()).filter(|node| Some(*node) != primary).collect();
        if others.is_empty() {
            return;
        }
        let node = *self.chance.pick(&others);
        let id = self.nodes[node].id.clone();
        tell!(self, "an operator removes {id}");
        self.order(&Entry::RemoveNode { node: id });
        self.plan_in(LOOK, Happening::Leaves { node, looks: LOOKS_MAX });
    }

    /// Whoever believes to lead proposes it.
    fn order(&mut self, entry: &Entry) {
        for proxy in 0..self.proxies.len() {
            if self.proxies[proxy].leads {
                self.propose(proxy, entry.clone());
            }
        }
    }

    /// Whether it is gone by now.
    pub fn see_whether_gone(&mut self, node: usize, looks: u32) {
        if self.group.latest().removed.contains(&self.nodes[node].id) {
            return self.replace(node);
        }
        if looks > 0 {
            self.plan_in(LOOK, Happening::Leaves { node, looks: looks - 1 });
        }
    }

    /// The process ends, and another node comes in its place.
    fn replace(&mut self, node: usize) {
        self.crash_node(node);
        let keeps = self.nodes[node].disk.keeps;
        self.nodes[node].disk = Disk { keeps, ..Disk::default() };
        let known: Vec<NodeId> = self.nodes.iter().map(|node| node.id.clone()).collect();
        let id = self.group.latest().next_node_name(&known);
        tell!(self, "n{} comes as {id}", node + 1);
        self.nodes[node].id = id;
        self.start_node(node);
        self.add(node);
    }

    /// Until the log has it.
    pub fn add(&mut self, node: usize) {
        let id = self.nodes[node].id.clone();
        let latest = self.group.latest();
        if latest.nodes.contains_key(&id) || latest.removed.contains(&id) {
            return;
        }
        let incarnation = self.nodes[node].process.as_ref().map(|process| process.incarnation);
        let fact = NodeFact {
            shard: SHARD,
            addr: format!("node:{node}"),
            pulse_addr: Some(format!("pulse:{node}")),
            admin_addr: None,
            incarnation,
        };
        if incarnation.is_some() {
            self.order(&Entry::AddNode { node: id, fact });
        }
        self.plan_in(LOOK * 5, Happening::Joins { node });
    }
}
