//! Measuring from outside: what a request costs, in a way that can be compared and repeated.
//!
//! A number of microseconds says little by itself: it belongs to a machine, a kernel and an afternoon. So the tools
//! here compare. The systems of a comparison take turns, round by round, and only ratios within one round count.
//! What is compared is the CPU time of the measured process, alone on one core, because throughput on loopback is
//! decided by whichever side is slower, and because CPU time is what a user pays for.
//!
//! Three programs use this module. `slotway-load` is the load generator. `slotway-limit-null` and
//! `slotway-limit-mux` are the two physical limits: a node that stores nothing and a proxy that only finds frame ends
//! and slots. `slotway-bench` starts everything, measures, and prints the tables of `docs/performance.md`.

pub mod flags;

pub mod connection;
pub mod histogram;
pub mod load;
pub mod template;
pub mod wire;
pub mod workload;

pub mod ask;
pub mod cpu;
pub mod failure;
pub mod peers;
pub mod process;

pub mod report;
pub mod rounds;
pub mod targets;

pub mod commands;
pub mod failover;
pub mod in_cluster;
pub mod large;
pub mod memory;
pub mod node;
pub mod proxy;
pub mod redirects;
pub mod replication;
pub mod shapes;
pub mod sink;
pub mod snapshots;
pub mod stopped;
pub mod tools;
pub mod turns;
