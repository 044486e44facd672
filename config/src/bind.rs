//! Where a program listens, and whether that is safe.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::rows::Key;
use crate::settings::Settings;

/// One word of `bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// An IP address or a host name; `*` is already 0.0.0.0 and `::*` is already `::`.
    pub host: String,
    /// Written with `-`: this machine may lack the address.
    pub optional: bool,
}

impl Bind {
    pub(crate) fn all(words: &str) -> Vec<Self> {
        words.split(' ').filter(|word| !word.is_empty()).map(Self::one).collect()
    }

    fn one(word: &str) -> Self {
        let (optional, host) = match word.strip_prefix('-') {
            Some(host) => (true, host),
            None => (false, word),
        };
        let host = match host {
            "*" => Ipv4Addr::UNSPECIFIED.to_string(),
            "::*" => Ipv6Addr::UNSPECIFIED.to_string(),
            host => host.to_owned(),
        };
        Self { host, optional }
    }

    /// Whether only this machine can reach it. A host name other than localhost might be anything.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// The refusal to listen to other machines without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    pub host: String,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        write!(
            f,
            "other machines can reach {host} and no password is set: set one (--requirepass), \
             listen only on this machine (--bind 127.0.0.1), or allow it (--protected-mode no)"
        )
    }
}

impl std::error::Error for Exposed {}

/// Refuses a bind wider than loopback that nothing protects: no password, and protected mode not switched off.
///
/// # Errors
/// The first address that other machines can reach.
pub fn check_exposure(settings: &Settings) -> Result<(), Exposed> {
    if !settings.flag(Key::ProtectedMode) || !settings.text(Key::Requirepass).is_empty() {
        return Ok(());
    }
    match settings.bind().into_iter().find(|bind| !bind.is_loopback()) {
        Some(wide) => Err(Exposed { host: wide.host }),
        None => Ok(()),
    }
}
