//! A whole cluster as values, in one thread, from one seed.
//!
//! The problem: what a protocol of failover promises breaks in interleavings that no test of real processes meets often enough, and cannot be
//! made to meet again. The idea: the machines that decide ([`slotway_cluster`]'s pulse, member, health, failover, control log) run here as they
//! are, and everything around them, nodes, disks, clocks, network, proxies, clients, is a model that is driven by one source of chance. What must
//! hold is asserted at every step ([`invariants`]), clients' histories are judged at the end ([`history`]), and then everything heals and must be
//! available again. A seed that fails is printed, and fails again.
//!
//! Read from [`run`]; `docs/simulation.md` says how to use it, what is modelled and what is not.

pub mod run;

pub mod plan;

pub mod weather;

pub mod places;

pub mod script;

pub mod world;

pub mod node;

pub mod stream;

pub mod net;

pub mod group;

pub mod proxy;

pub mod clients;

/// Shared with the runs of real processes.
pub use slotway_history as history;

pub mod invariants;

pub mod chance;
