//! The keyspace.
pub(crate) struct Keyspace {}
