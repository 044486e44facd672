//! The storage node: a Redis server for the slots it owns.
//!
//! One thread runs the keyspace and its clients on a tokio runtime of its own. The way of a request, in reading order:
//! [`server`] accepts, [`connection`] reads a batch and writes its replies, [`execute`] finds the handler of each
//! request, [`handlers`] act on the [`keyspace`].

pub(crate) mod call;
pub(crate) mod handlers;
pub(crate) mod keyspace;
