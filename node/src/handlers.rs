//! One function per command, in the groups of Redis's documentation.

pub(crate) mod bits;
pub(crate) mod geo;
pub(crate) mod hashes;
pub(crate) mod hyperloglog;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod sets;
pub(crate) mod sort;
pub(crate) mod sorted_sets;
pub(crate) mod strings;

pub(crate) mod append_only;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod command;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod debug;
pub(crate) mod info;
pub(crate) mod internal;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod migrate;
pub(crate) mod persistence;
pub(crate) mod replication;
pub(crate) mod server;
pub(crate) mod slowlog;
pub(crate) mod transactions;

mod arguments;
mod double;
mod help;
mod long_double;
mod random;
pub(crate) mod replicaof;
