//! What the path of a request needs of the settings, kept ready: looked up once when a setting changes instead of
//! once per request.

use std::time::Duration;

use slotway_config::{Key, OutputLimits, Settings};
use slotway_resp::Limits;

use crate::keyspace;

/// Limits of clients, as numbers.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// What a client that has authenticated may send.
    pub(crate) requests: Limits,
    pub(crate) clients_max: usize,
    /// None: an idle client stays.
    pub(crate) idle_ms_max: Option<u64>,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) input_bytes_max: usize,
    pub(crate) output: OutputLimits,
    /// A password is set: a new client is a stranger.
    pub(crate) password_set: bool,
    /// How often housekeeping runs each second.
    pub(crate) hz: u32,
}

impl Bounds {
    pub(crate) fn of(settings: &Settings) -> Bounds {
        let requests = Limits { bulk_bytes_max: bytes(settings, Key::ProtoMaxBulkLen), ..Limits::CLIENT };
        let seconds = |key| u64::try_from(settings.integer(key)).ok().filter(|&seconds| seconds > 0);
        Bounds {
            requests,
            clients_max: settings.count(Key::Maxclients),
            idle_ms_max: seconds(Key::Timeout).map(|seconds| seconds.saturating_mul(1000)),
            keepalive: seconds(Key::TcpKeepalive).map(Duration::from_secs),
            input_bytes_max: bytes(settings, Key::ClientQueryBufferLimit),
            output: settings.output_limits(),
            password_set: !settings.text(Key::Requirepass).is_empty(),
            hz: u32::try_from(settings.integer(Key::Hz)).unwrap_or(10),
        }
    }

    /// What a client of this standing may send.
    pub(crate) fn requests_of(&self, standing: crate::client::Standing) -> Limits {
        match standing {
            crate::client::Standing::Stranger => self.requests.unauthenticated(),
            crate::client::Standing::User | crate::client::Standing::Member => self.requests,
        }
    }
}

/// The settings that the keyspace follows.
pub(crate) fn of_keyspace(settings: &Settings) -> keyspace::Settings {
    keyspace::Settings {
        hash_packed_fields_max: settings.count(Key::HashMaxListpackEntries),
        hash_packed_value_bytes_max: bytes(settings, Key::HashMaxListpackValue),
        list_packed_max: settings.integer(Key::ListMaxListpackSize),
        set_integers_max: settings.count(Key::SetMaxIntsetEntries),
        set_packed_members_max: settings.count(Key::SetMaxListpackEntries),
        set_packed_value_bytes_max: bytes(settings, Key::SetMaxListpackValue),
        sorted_set_packed_members_max: settings.count(Key::ZsetMaxListpackEntries),
        sorted_set_packed_value_bytes_max: bytes(settings, Key::ZsetMaxListpackValue),
        hyperloglog_sparse_bytes_max: bytes(settings, Key::HllSparseMaxBytes),
        text_bytes_max: bytes(settings, Key::ProtoMaxBulkLen),
        prefetch: settings.flag(Key::BatchPrefetch),
    }
}

/// A size as the machine counts: one that memory could never hold is no limit.
fn bytes(settings: &Settings, key: Key) -> usize {
    usize::try_from(settings.bytes(key)).unwrap_or(usize::MAX)
}
