//! What a handler is given: one request, and everything it may touch.

use slotway_cluster::Database;
use slotway_resp::{Request, Version};

use crate::keyspace::Keyspace;

/// Unix time in milliseconds, as deadlines are kept. Read once per batch, after its bytes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Millis(pub(crate) u64);

/// One request on its way through a handler.
///
/// A handler writes exactly one reply to `out`, or returns a [`Refusal`] having written nothing.
pub(crate) struct Call<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) database: Database,
    pub(crate) version: Version,
    pub(crate) keyspace: &'a mut Keyspace,
    pub(crate) now: Millis,
    pub(crate) out: &'a mut Vec<u8>,
}

/// A request that was refused: the error's text without `-` and line end, e.g. `WRONGTYPE Operation against ...`.
pub(crate) type Refusal = std::borrow::Cow<'static, str>;

/// What a handler of data returns.
pub(crate) type Done = Result<(), Refusal>;
