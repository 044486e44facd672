//! The wire: bytes to requests and replies and back, RESP2, RESP3 and inline commands.
//!
//! Pure: a caller brings bytes and takes bytes. Nothing here reads a socket, a clock or a global. The hot half
//! ([`request`], [`scan`], [`mod@write`]) allocates nothing per request once warm; the comfortable half ([`frame`])
//! owns its values and serves merging, tests and command lines.
//!
//! Source of the formats: the Redis serialization protocol specification (RESP2 and RESP3) and, for limits and
//! error texts, what a redis-server 7.0 answers (`tests/redis.rs` asks one).

pub mod limits;
pub mod request;
pub mod scan;
pub mod write;

pub mod double;
pub mod frame;
pub mod inline;
pub mod number;

use std::fmt;

pub use frame::Frame;
pub use limits::Limits;
pub use request::{Head, OwnedRequest, Parser, Piece, Request, RequestAt, Tail};
pub use scan::{Scanned, Scanner};
pub use write::Version;

/// The peer broke the protocol. `text` is Redis's own error text without `-ERR ` and line end, e.g.
/// `Protocol error: invalid bulk length`. The connection is to be closed after it has been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolError {
    pub text: String,
}

impl ProtocolError {
    /// `what` is the text behind `Protocol error: `.
    #[cold]
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self { text: format!("Protocol error: {what}") }
    }

    /// A byte that may not stand where it stands. Redis prints it raw, its line ends as spaces; a byte that is not
    /// ASCII is escaped here, because a text is a `String`.
    #[cold]
    pub(crate) fn unexpected(expected: impl fmt::Display, found: u8) -> Self {
        let found = match found {
            b'\r' | b'\n' => " ".to_owned(),
            0x80.. => format!("\\x{found:02x}"),
            ascii => char::from(ascii).to_string(),
        };
        Self::new(format_args!("expected {expected}, got '{found}'"))
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ProtocolError {}
