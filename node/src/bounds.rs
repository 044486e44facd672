//! What the path of a request needs of the settings, kept ready: looked up once when a setting changes instead of
//! once per request.

use std::time::Duration;

use slotway_config::{BytesOrPercent, Key, OutputLimits, Settings};
use slotway_resp::Limits;

use crate::effects::Removal;
use crate::keyspace;
use crate::keyspace::eviction::Policy;
use crate::keyspace::usage::Usage;

/// Commands may be timed together unless SLOWLOG is to note shorter ones than this: a group of them is never so long.
const TOGETHER_FROM_NANOS: u64 = 1_000_000;

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
    /// `maxmemory`; 0: no limit.
    pub(crate) memory_bytes_max: u64,
    /// `replica-ignore-maxmemory`
    pub(crate) replicas_keep_all: bool,
    /// How long one command may spend on eviction; None: as long as it takes.
    pub(crate) eviction_time_max: Option<Duration>,
    /// What all clients' buffers may hold together; 0: no limit.
    pub(crate) clients_bytes_max: usize,
    /// Nanoseconds from which SLOWLOG notes a command.
    pub(crate) slow_nanos: u64,
    pub(crate) slow_log_len_max: usize,
    /// Nanoseconds from which LATENCY notes an event.
    pub(crate) latency_nanos: u64,
    /// The lesser of the two.
    pub(crate) notable_nanos: u64,
    /// SLOWLOG wants to know of commands so short that they must not be timed together.
    pub(crate) times_one_by_one: bool,
    /// `latency-tracking`
    pub(crate) tracks_latency: bool,
    /// How often housekeeping runs each second.
    pub(crate) hz: u32,
}

impl Bounds {
    pub(crate) fn of(settings: &Settings) -> Bounds {
        let requests = Limits { bulk_bytes_max: bytes(settings, Key::ProtoMaxBulkLen), ..Limits::CLIENT };
        let slow_nanos = match settings.integer(Key::SlowlogLogSlowerThan) {
            micros if micros < 0 => u64::MAX,
            micros => micros.unsigned_abs().saturating_mul(1000),
        };
        let latency_nanos = match number(settings, Key::LatencyMonitorThreshold) {
            0 => u64::MAX,
            millis => millis.saturating_mul(1_000_000),
        };
        let seconds = |key| u64::try_from(settings.integer(key)).ok().filter(|&seconds| seconds > 0);
        Bounds {
            requests,
            clients_max: settings.count(Key::Maxclients),
            idle_ms_max: seconds(Key::Timeout).map(|seconds| seconds.saturating_mul(1000)),
            keepalive: seconds(Key::TcpKeepalive).map(Duration::from_secs),
            input_bytes_max: bytes(settings, Key::ClientQueryBufferLimit),
            output: settings.output_limits(),
            memory_bytes_max: settings.bytes(Key::Maxmemory),
            replicas_keep_all: settings.flag(Key::ReplicaIgnoreMaxmemory),
            eviction_time_max: eviction_time(settings.integer(Key::MaxmemoryEvictionTenacity)),
            clients_bytes_max: clients_bytes(settings),
            slow_nanos,
            slow_log_len_max: settings.count(Key::SlowlogMaxLen),
            latency_nanos,
            notable_nanos: slow_nanos.min(latency_nanos),
            times_one_by_one: slow_nanos < TOGETHER_FROM_NANOS,
            tracks_latency: settings.flag(Key::LatencyTracking),
            password_set: !settings.text(Key::Requirepass).is_empty(),
            hz: u32::try_from(settings.integer(Key::Hz)).unwrap_or(10),
        }
    }

    /// What a client of this standing may send.
    pub(crate) fn requests_of(&self, standing: crate::client::Standing) -> Limits {
        match standing {
            crate::client::Standing::Stranger => self.requests.unauthenticated(),
            crate::client::Standing::User
            | crate::client::Standing::Member
            | crate::client::Standing::Primary => self.requests,
        }
    }
}

/// The settings that the keyspace follows.
pub(crate) fn of_keyspace(settings: &Settings) -> keyspace::Settings {
    let policy = Policy::named(settings.text(Key::MaxmemoryPolicy));
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
        compress: settings.flag(Key::Rdbcompression),
        text_bytes_max: bytes(settings, Key::ProtoMaxBulkLen),
        policy,
        policy_samples: settings.count(Key::MaxmemorySamples),
        usage: match policy.counts_uses() {
            true => Usage::Frequency {
                log_factor: number(settings, Key::LfuLogFactor),
                decay_minutes: number(settings, Key::LfuDecayTime),
            },
            false => Usage::LastUse,
        },
        removal_of_expired: Removal::of(settings.flag(Key::LazyfreeLazyExpire)),
        removal_of_evicted: Removal::of(settings.flag(Key::LazyfreeLazyEviction)),
        removal_by_request: Removal::of(settings.flag(Key::LazyfreeLazyUserDel)),
        prefetch: settings.flag(Key::BatchPrefetch),
    }
}

/// A size as the machine counts: one that memory could never hold is no limit.
fn bytes(settings: &Settings, key: Key) -> usize {
    usize::try_from(settings.bytes(key)).unwrap_or(usize::MAX)
}

fn number(settings: &Settings, key: Key) -> u64 {
    u64::try_from(settings.integer(key)).unwrap_or(0)
}

/// Redis's times for `maxmemory-eviction-tenacity`: half a millisecond at 10, growing by 15 % per step above.
fn eviction_time(tenacity: i64) -> Option<Duration> {
    const STEP: Duration = Duration::from_micros(50);
    const GROWTH: f64 = 1.15;
    let tenacity = u32::try_from(tenacity).unwrap_or(0);
    match tenacity {
        0..=10 => Some(STEP * tenacity),
        11..=99 => Some((STEP * 10).mul_f64(GROWTH.powi(i32::try_from(tenacity - 10).unwrap_or(0)))),
        _ => None,
    }
}

/// A share of `maxmemory` is no limit while there is no `maxmemory`.
fn clients_bytes(settings: &Settings) -> usize {
    let bytes = match settings.maxmemory_clients() {
        BytesOrPercent::Bytes(bytes) => u128::from(bytes),
        BytesOrPercent::Percent(percent) => {
            u128::from(settings.bytes(Key::Maxmemory)) * u128::from(percent) / 100
        }
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenacity_buys_time_as_in_redis() {
        let micros = |tenacity| eviction_time(tenacity).map(|time| time.as_micros());
        assert_eq!([0, 1, 10].map(micros), [Some(0), Some(50), Some(500)]);
        assert_eq!(micros(11), Some(575));
        assert!((120_000_000..130_000_000).contains(&micros(99).unwrap()), "about two minutes");
        assert_eq!(micros(100), None);
    }

    #[test]
    fn a_share_for_clients_is_one_of_maxmemory() {
        let bytes = |pairs: &[(&str, &str)]| {
            let mut settings = Settings::node_defaults();
            settings.set(pairs).unwrap();
            Bounds::of(&settings).clients_bytes_max
        };
        assert_eq!(bytes(&[]), 0);
        assert_eq!(bytes(&[("maxmemory-clients", "5%")]), 0);
        assert_eq!(bytes(&[("maxmemory-clients", "5%"), ("maxmemory", "1000000")]), 50_000);
        assert_eq!(bytes(&[("maxmemory-clients", "100mb")]), 100 << 20);
    }
}
