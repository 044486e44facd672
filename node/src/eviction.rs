//! `maxmemory`: before a command runs, keys go until memory is below the limit, or the command is refused.
//!
//! Which key goes is the keyspace's decision ([`crate::keyspace::eviction`]); here stand when, how many and for how long.
//! Without a limit a command pays one comparison; below the limit, three loads. Above it a command spends no more
//! than `maxmemory-eviction-tenacity` allows on eviction and then runs, though memory is still above the limit:
//! the next commands, and housekeeping, go on. Only where there is nothing to evict are commands refused.

use std::time::{Duration, Instant};

use crate::{call::Millis, latency::Event, node::Node, timing};

/// Keys after which the clock is looked at.
const KEYS_PER_LOOK: u32 = 16;

/// Since when, and how long in all, memory was above the limit.
#[derive(Debug, Default)]
pub(crate) struct Exceeded {
    since: Option<Instant>,
    before: Duration,
}

impl Exceeded {
    #[allow(clippy::disallowed_methods, reason = "a shell: how long memory was above its limit, for INFO")]
    fn begin(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    fn end(&mut self) {
        self.before += self.now();
        self.since = None;
    }

    /// For how long it has been above the limit; zero when it is not.
    pub(crate) fn now(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(crate) fn total(&self) -> Duration {
        self.before + self.now()
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&mut self) {
        self.before = Duration::ZERO;
    }
}

/// How an attempt to get below the limit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Below the limit, or there is none.
    Enough,
    /// Still above, and there is more to evict.
    Unfinished,
    /// Still above, and nothing may go.
    Full,
}

/// Evicts until memory is below the limit, for as long as one command may.
#[inline]
pub(crate) fn make_room(node: &mut Node, now: Millis) -> Outcome {
    if !is_above(node, now) {
        if node.exceeded.since.is_some() {
            node.exceeded.end();
        }
        return Outcome::Enough;
    }
    evict(node, now)
}

fn is_above(node: &Node, now: Millis) -> bool {
    let limit = node.bounds.memory_bytes_max;
    limit != 0
        && node.pauses.present().is_over(now)
        && node.persistence.loading.is_none()
        && !(node.keyspace.is_led() && node.bounds.replicas_keep_all)
        // A member's keys go by its shard's stream, which the primary makes while it serves.
        && node.seat.as_ref().is_none_or(|seat| seat.expires())
        && counted(node) > limit
}

/// Memory in use, without what is about to be freed anyway, and what walks have set aside: an eviction adds to that, and
/// would lead to the next.
fn counted(node: &Node) -> u64 {
    let uncounted = node.keyspace.garbage_bytes().saturating_add(node.keyspace.walk_bytes());
    node.memory.used().saturating_sub(uncounted)
}

#[cold]
fn evict(node: &mut Node, now: Millis) -> Outcome {
    node.exceeded.begin();
    #[allow(clippy::disallowed_methods, reason = "a shell: bounds its own work by the clock")]
    let started = Instant::now();
    let outcome = evict_until(node, now, started);
    timing::note_event(node, Event::Eviction, started.elapsed(), now);
    outcome
}

fn evict_until(node: &mut Node, now: Millis, started: Instant) -> Outcome {
    let mut evicted: u32 = 0;
    while is_above(node, now) {
        if !node.keyspace.evict(now) {
            return Outcome::Full;
        }
        evicted += 1;
        let may_look = evicted.is_multiple_of(KEYS_PER_LOOK);
        if may_look && node.bounds.eviction_time_max.is_some_and(|max| started.elapsed() > max) {
            return Outcome::Unfinished;
        }
    }
    node.exceeded.end();
    Outcome::Enough
}
