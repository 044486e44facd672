//! One function per command, in the groups of Redis's documentation.

pub(crate) mod hashes;
pub(crate) mod keys;
pub(crate) mod strings;
