//! What the keyspace is told by settings, each named here as CONFIG names it.

use super::eviction::Policy;
use super::usage::Usage;
use crate::effects::Removal;

/// What CONFIG SET may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `hash-max-listpack-entries`
    pub(crate) hash_packed_fields_max: usize,
    /// `hash-max-listpack-value`
    pub(crate) hash_packed_value_bytes_max: usize,
    /// `list-max-listpack-size`: elements, or with -1 to -5 a size of 4 to 64 KiB.
    pub(crate) list_packed_max: i64,
    /// `set-max-intset-entries`
    pub(crate) set_integers_max: usize,
    /// `set-max-listpack-entries`
    pub(crate) set_packed_members_max: usize,
    /// `set-max-listpack-value`
    pub(crate) set_packed_value_bytes_max: usize,
    /// `zset-max-listpack-entries`
    pub(crate) sorted_set_packed_members_max: usize,
    /// `zset-max-listpack-value`
    pub(crate) sorted_set_packed_value_bytes_max: usize,
    /// `hll-sparse-max-bytes`
    pub(crate) hyperloglog_sparse_bytes_max: usize,
    /// `rdbcompression`: whether strings are compressed in snapshots and in DUMP.
    pub(crate) compress: bool,
    /// `proto-max-bulk-len`: the longest string APPEND and SETRANGE may make.
    pub(crate) text_bytes_max: usize,
    /// `maxmemory-policy`: see [`eviction`].
    pub(crate) policy: Policy,
    /// `maxmemory-samples`
    pub(crate) policy_samples: usize,
    /// What the policy wants to know of a key's use: see [`usage`].
    pub(crate) usage: Usage,
    /// `lazyfree-lazy-expire`: how the deletion of an expired key is told.
    pub(crate) removal_of_expired: Removal,
    /// `lazyfree-lazy-eviction`
    pub(crate) removal_of_evicted: Removal,
    /// `lazyfree-lazy-user-del`: how GETDEL is told.
    pub(crate) removal_by_request: Removal,
    /// Whether [`Keyspace::prefetch`] fetches, or only finds places: a switch for measurements.
    pub(crate) prefetch: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            hash_packed_fields_max: 512,
            hash_packed_value_bytes_max: 64,
            list_packed_max: -2,
            set_integers_max: 512,
            set_packed_members_max: 128,
            set_packed_value_bytes_max: 64,
            sorted_set_packed_members_max: 128,
            sorted_set_packed_value_bytes_max: 64,
            hyperloglog_sparse_bytes_max: 3000,
            compress: true,
            text_bytes_max: 512 << 20,
            policy: Policy::Never,
            policy_samples: 5,
            usage: Usage::LastUse,
            removal_of_expired: Removal::Eager,
            removal_of_evicted: Removal::Eager,
            removal_by_request: Removal::Eager,
            prefetch: true,
        }
    }
}
