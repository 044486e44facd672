//! Commands of the group "hashes".
