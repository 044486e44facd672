//! What a node keeps on disk, and how it comes back from there.
//!
//! Two forms, as in Redis: a snapshot of everything at one moment ([`save`]), and a log of every change ([`aof`]). At a start
//! one of them is read.

use crate::call::Millis;

pub(crate) mod aof;
pub(crate) mod save;

/// The state of all of it.
pub(crate) struct Persistence {
    pub(crate) saves: save::Saves,
    pub(crate) log: aof::Log,
}

impl Persistence {
    pub(crate) fn new(now: Millis) -> Persistence {
        Persistence { saves: save::Saves::new(now), log: aof::Log::default() }
    }
}
