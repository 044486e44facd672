//! The limits of the data path as numbers: copied from the settings when they change, read at every request.

use std::{sync::Arc, time::Duration};

use slotway_config::{Key, OutputLimit, Settings};

use crate::read_from::ReadFrom;

/// Every limit has the name of its setting.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// The settings these are of.
    pub(crate) of: Arc<Settings>,
    pub(crate) of_requests: slotway_resp::Limits,
    /// Requests of one client that may wait for replies, on all links together: stricter than for each, and one number.
    pub(crate) in_flight_max: usize,
    pub(crate) link_requests_max: usize,
    pub(crate) link_bytes_max: usize,
    /// This thread's part of what a shard's requests may take.
    pub(crate) hold_bytes_max: usize,
    pub(crate) hold_us_max: u64,
    pub(crate) request_us_max: u64,
    pub(crate) query_bytes_max: usize,
    pub(crate) output: OutputLimit,
    /// A larger reply is passed on as it arrives.
    pub(crate) reply_bytes_max: usize,
    /// 0: never.
    pub(crate) client_timeout_us: u64,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) link_idle_us: u64,
    pub(crate) leased_links_max: usize,
    pub(crate) shared_request_bytes_max: usize,
    pub(crate) transaction_bytes_max: usize,
    pub(crate) transaction_commands_max: usize,
    pub(crate) read_from: ReadFrom,
    pub(crate) connect_us_max: u64,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
}

impl Limits {
    /// `threads`: data threads that share what is limited per shard.
    pub(crate) fn of(settings: &Arc<Settings>, threads: usize) -> Limits {
        let number = |key| u64::try_from(settings.integer(key)).unwrap_or(0);
        let bytes = |key| usize::try_from(settings.bytes(key)).unwrap_or(usize::MAX);
        let bulk_bytes_max = bytes(Key::ProtoMaxBulkLen);
        let keepalive = number(Key::TcpKeepalive);
        Limits {
            of: Arc::clone(settings),
            of_requests: slotway_resp::Limits { bulk_bytes_max, ..slotway_resp::Limits::CLIENT },
            in_flight_max: settings.count(Key::RequestsInFlightPerClientAndLink),
            link_requests_max: settings.count(Key::RequestsInFlightPerLink),
            link_bytes_max: bytes(Key::BytesInFlightMax),
            hold_bytes_max: bytes(Key::HoldBytesMax) / threads,
            hold_us_max: number(Key::HoldMsMax) * 1000,
            request_us_max: number(Key::RequestTimeoutMs) * 1000,
            query_bytes_max: bytes(Key::ClientQueryBufferLimit),
            output: settings.output_limits().normal,
            reply_bytes_max: bytes(Key::SharedReplyBytesMax),
            client_timeout_us: number(Key::Timeout) * 1_000_000,
            keepalive: (keepalive > 0).then(|| Duration::from_secs(keepalive)),
            link_idle_us: number(Key::LinkIdleCloseS) * 1_000_000,
            leased_links_max: settings.count(Key::LeasedLinksPerNodeMax),
            shared_request_bytes_max: bytes(Key::SharedRequestBytesMax),
            transaction_bytes_max: bytes(Key::TransactionBytesMax),
            transaction_commands_max: settings.count(Key::TransactionCommandsMax),
            read_from: ReadFrom::of(settings),
            connect_us_max: number(Key::ConnectTimeoutMs) * 1000,
            backoff_min: Duration::from_millis(number(Key::ReconnectBackoffMsMin)),
            backoff_max: Duration::from_millis(number(Key::ReconnectBackoffMsMax)),
        }
    }
}
