//! What a handler is given: one request, and everything it may touch.

use slotway_cluster::Database;
use slotway_resp::{Request, Version};

use crate::{
    keyspace::{Key, Keyspace, Place},
    splices::Splices,
};

/// Unix time in milliseconds, as deadlines are kept. Read once per batch, after its bytes were
/// read, and again behind a command that took long.
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
    /// For long strings: see [`crate::splices`]. None: the reply may be dropped again.
    pub(crate) splices: Option<&'a mut Splices>,
    /// Where the request's keys lie, in the order of its key positions, as [`Keyspace::prefetch`] found for this
    /// database and exactly these keys; may hold fewer than there are keys, or none: then it is found out here.
    pub(crate) places: &'a [Place],
}

/// A request that was refused: the error's text without `-` and line end, e.g. `WRONGTYPE Operation against ...`.
pub(crate) type Refusal = std::borrow::Cow<'static, str>;

/// What a handler of data returns.
pub(crate) type Done = Result<(), Refusal>;

impl<'a> Call<'a> {
    /// The key of a command whose first key is its first argument.
    pub(crate) fn key(&self) -> Key<'a> {
        self.nth_key(0, 1)
    }

    /// The key that is word `word` of the request and its key number `nth`, from 0.
    pub(crate) fn nth_key(&self, nth: usize, word: usize) -> Key<'a> {
        let bytes = self.request.word(word);
        match self.places.get(nth) {
            Some(&place) => {
                debug_assert_eq!(
                    place,
                    self.keyspace.place(self.database, bytes),
                    "the place of another key"
                );
                Key { bytes, place }
            }
            None => self.keyspace.key(self.database, bytes),
        }
    }
}
