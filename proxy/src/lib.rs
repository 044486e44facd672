//! The data path: clients in, routing, split and merge, links to the nodes, holding what cannot be sent yet.
//!
//! The way of a request, in reading order: `accept` hands a connection to a data `thread`; `client` reads its
//! requests; `dispatch` looks each up and routes it, `split`, `every_shard` and `wait` cut it where it concerns several
//! shards, `local` answers what needs no node, `transaction` collects what stands between MULTI and EXEC; a
//! `link` (shared, or a client's own by `lease`) carries it to a node; `follow` sends it on when a node says that it
//! belongs elsewhere, or not yet, and when its shard gets another primary; `replies` brings the answers back
//! into the client's order, `gather` makes one of several; at the end of a `turn` everything is written.

mod accept;
mod thread;

mod client;
mod inbox;

mod dispatch;
mod every_shard;
mod local;
mod split;
mod transaction;
mod wait;

mod follow;
mod lane;
mod lease;
mod link;
mod read_from;
mod routes;

mod gather;
mod replies;
mod turn;

mod errors;
mod files;
mod limits;
mod message;
mod metrics;
mod pause;
mod shared;
mod start;

#[cfg(test)]
mod model;

pub use start::{Proxy, StartError, Topologies};
