//! The wire: bytes to requests and replies and back, RESP2, RESP3 and inline commands.
//!
//! Pure: a caller brings bytes and takes bytes. Nothing here reads a socket, a clock or a global. The hot half
//! ([`request`], [`scan`], [`write`]) allocates nothing per request once warm; the comfortable half ([`frame`])
//! owns its values and serves merging, tests and command lines.
//!
//! Source of the formats: the Redis serialization protocol specification (RESP2 and RESP3) and, for limits and
//! error texts, what a redis-server 7.0 answers.

pub mod frame;
pub mod limits;
pub mod request;
pub mod scan;
pub mod write;

pub use frame::Frame;
pub use limits::Limits;
pub use request::{Parser, Request, RequestAt};
pub use scan::Scanner;
pub use write::Version;

/// The peer broke the protocol. `text` is Redis's own error text without `-ERR ` and line end, e.g.
/// `Protocol error: invalid bulk length`. The connection is to be closed after it has been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolError {
    pub text: String,
}
