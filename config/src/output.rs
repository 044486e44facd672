//! `client-output-buffer-limit`: how many bytes of replies may wait for a client, by class of client.

use std::fmt;

/// The limits of one class. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimit {
    /// More than this, and the client is cut at once.
    pub hard_bytes: u64,
    /// More than this for `soft_seconds` without a break, and the client is cut.
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    /// Replicas; Redis prints `slave`.
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    pub(crate) const NONE: Self = Self {
        normal: OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 },
        replica: OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 },
        pubsub: OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 },
    };

    /// The class of this name, if clients of it have a limit.
    pub(crate) fn class(&mut self, name: &str) -> Option<&mut OutputLimit> {
        match name.to_ascii_lowercase().as_str() {
            "normal" => Some(&mut self.normal),
            "slave" | "replica" => Some(&mut self.replica),
            "pubsub" => Some(&mut self.pubsub),
            _ => None,
        }
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "normal {} slave {} pubsub {}", self.normal, self.replica, self.pubsub)
    }
}

impl fmt::Display for OutputLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.hard_bytes, self.soft_bytes, self.soft_seconds)
    }
}
