//! What the whole-system tests and the benchmarks of Slotway share: the measuring tools, whole clusters to test against
//! (Slotway's own, and a real Redis Cluster with a proxy in front), and a crowd of clients that keeps books.
//!
//! Nothing of the product depends on this crate, and the measuring tools depend on nothing of the product: they speak to
//! whatever listens on a port, so that a peer and Slotway are measured by exactly the same code. The differential run reads
//! the command table, to know which keys a request names.

pub mod bench;
pub mod cluster;
pub mod crowd;
pub mod differential;
pub mod front;
pub mod in_front;
pub mod real_cluster;
pub mod replicas;
pub mod syscall;
