//! HTTP and JSON: what an operator, a monitoring system and `slotway ctl` ask.
//!
//! A proxy answers for the whole cluster ([`Api::of_proxy`]), a node for itself ([`Api::of_node`]: health and metrics
//! only). Nothing is decided or looked up here: the program brings [`Sources`], the shapes of all answers are
//! `slotway_cluster::view`, and this crate is the only one that knows HTTP. It therefore also holds `ctl`'s small
//! [`client`].
//!
//! Routes are the rows of one table ([`routes::ROUTES`]): the router is made from it, the "no such page" answer lists
//! it, a test walks it.

mod sources;

mod routes;

mod answers;

mod orders;

mod events;

mod path;

mod metrics;

mod access;

mod server;

pub mod client;

pub use access::{Access, Token};
pub use routes::{ACTIONS, Action, Api, ROUTES, Route};
pub use server::Server;
pub use sources::{FindJob, NodeSources, Operations, ReadEvents, SlotCounter, Sources, TakeOrder};

#[cfg(test)]
mod tests;
