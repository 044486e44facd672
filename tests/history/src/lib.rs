//! What clients saw, and whether one copy of the data, asked one request after the other, could have answered so.
//!
//! A request takes effect at one moment between its invocation and its answer (linearizability). One of unknown outcome (the answer was
//! `-INDETERMINATE`) may take effect at any later moment, once, or never. Each key is judged by itself, which linearizability allows,
//! and by an argument for its kind: counters in [`counter`], registers in [`register`]. The checkers know nothing of the
//! simulator or of processes, whose histories they judge; tests plant violations in histories, and hold the clever arguments against a plain search.

pub mod counter;
pub mod register;
#[cfg(test)]
mod search;

/// A moment: invocations and answers are numbered in the order in which they happened, so no two are at the same time.
pub type Moment = u64;

/// When an answer never came.
pub const NEVER: Moment = Moment::MAX;
