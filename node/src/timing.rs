//! How long commands take: what INFO, SLOWLOG and LATENCY know.
//!
//! Reading the clock costs as much as a fifth of a GET, so it is read where there is something to learn. The end of a
//! command is the start of the next. Commands that are always short and stand among others, of the same client or of
//! several, are timed together: what they took is shared among them in equal parts, which is exact to a fraction of a
//! microsecond, because a group is some 32 short requests. A command whose time depends on its arguments or the data, a request that
//! came alone, and all of them while SLOWLOG is to note commands of less than a millisecond, are timed one by one.
//!
//! What is lost: when a group of short commands took long, because the process had to wait, LATENCY knows, but SLOWLOG
//! cannot say which of them it was and notes none.

use std::time::{Duration, Instant};

use slotway_commands::{Command, Id, row::Flag};
use slotway_resp::Request;

use crate::{
    bounds::Bounds,
    call::Millis,
    client::Client,
    desk::GROUP,
    latency::Event,
    node::{self, Node},
    statistics::Statistics,
};

/// Behind a command that took longer than this the wall clock is read anew.
const STALE_AFTER: Duration = Duration::from_millis(1);
/// Requests of more words than this may be long, whatever they are.
const SHORT_WORDS_MAX: usize = 16;

/// The state of the stopwatch.
#[derive(Debug)]
pub(crate) struct Timing {
    /// When the clock was last read.
    mark: Instant,
    /// From when on the wall clock that the present group knows is old.
    stale_at: Instant,
    /// The commands since then, with how many there were of each in a row.
    short: Vec<(Id, u64)>,
    grouping: Grouping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grouping {
    OneByOne,
    Together,
}

/// How a command that has begun is timed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Span {
    Shared,
    Since(Instant),
}

impl Timing {
    pub(crate) fn new() -> Timing {
        let mark = node::instant();
        Timing { mark, stale_at: mark, short: Vec::with_capacity(GROUP), grouping: Grouping::OneByOne }
    }
}

/// A group of so many requests begins.
#[inline]
pub(crate) fn begin_group(node: &mut Node, requests: usize) {
    let together = requests > 1 && !node.bounds.times_one_by_one;
    node.timing.grouping = if together { Grouping::Together } else { Grouping::OneByOne };
    node.timing.mark = node::instant();
    node.timing.stale_at = node.timing.mark + STALE_AFTER;
}

/// Whether a command of the group has just taken so long that those behind it must not be told the time that was
/// read before it.
#[inline]
pub(crate) fn is_stale(node: &mut Node) -> bool {
    let is_stale = node.timing.mark >= node.timing.stale_at;
    if is_stale {
        node.timing.stale_at = node.timing.mark + STALE_AFTER;
    }
    is_stale
}

/// The group has ended.
#[inline]
pub(crate) fn end_group(node: &mut Node, now: Millis) {
    settle(node, now);
}

/// A command begins to run.
#[inline]
pub(crate) fn begin(node: &mut Node, row: &Command, request: Request<'_>, now: Millis) -> Span {
    if node.timing.grouping == Grouping::Together && is_short(row, request) {
        return Span::Shared;
    }
    settle(node, now);
    node.vitals.progress.runs(row.id);
    Span::Since(node.timing.mark)
}

/// It has ended.
#[inline]
pub(crate) fn end(
    node: &mut Node,
    client: &Client,
    row: &Command,
    request: Request<'_>,
    span: Span,
    now: Millis,
) {
    let started = match span {
        Span::Since(started) => started,
        Span::Shared => {
            match node.timing.short.last_mut() {
                Some((last, times)) if *last == row.id => *times += 1,
                _ => node.timing.short.push((row.id, 1)),
            }
            return;
        }
    };
    // An EXEC may have left some.
    if !settle(node, now) {
        node.timing.mark = node::instant();
    }
    let nanos = nanos(node.timing.mark - started);
    record(&mut node.statistics, &node.bounds, row.id, nanos, 1);
    if nanos >= node.bounds.notable_nanos {
        note(node, client, row, request, nanos, now);
    }
}

/// Housekeeping has done something that commands had to wait for.
pub(crate) fn note_event(node: &mut Node, event: Event, took: Duration, now: Millis) {
    let nanos = nanos(took);
    if nanos >= node.bounds.latency_nanos {
        node.latency.note(event, nanos / 1_000_000, now.0 / 1000);
    }
}

/// Whether a command takes about the same time whatever the data are.
fn is_short(row: &Command, request: Request<'_>) -> bool {
    let is_short = row.flags.has(Flag::Fast) || matches!(row.id, Id::Set | Id::Setex | Id::Psetex);
    is_short && request.len() <= SHORT_WORDS_MAX
}

/// Shares the time since the last mark among the short commands that ran. False: there were none, and the clock was
/// not read.
fn settle(node: &mut Node, now: Millis) -> bool {
    if node.timing.short.is_empty() {
        return false;
    }
    let mark = std::mem::replace(&mut node.timing.mark, node::instant());
    let took = nanos(node.timing.mark - mark);
    let count: u64 = node.timing.short.iter().map(|(_, times)| times).sum();
    for (id, times) in node.timing.short.drain(..) {
        record(&mut node.statistics, &node.bounds, id, took / count, times);
    }
    if took >= node.bounds.latency_nanos {
        node.latency.note(Event::FastCommand, took / 1_000_000, now.0 / 1000);
    }
    true
}

fn record(statistics: &mut Statistics, bounds: &Bounds, id: Id, nanos: u64, times: u64) {
    statistics.took(id, nanos, times);
    if bounds.tracks_latency {
        statistics.track(id, nanos, times);
    }
}

/// A command took long enough for SLOWLOG or LATENCY.
#[cold]
fn note(node: &mut Node, client: &Client, row: &Command, request: Request<'_>, nanos: u64, now: Millis) {
    // What an EXEC runs is noted by itself.
    if nanos >= node.bounds.slow_nanos && row.id != Id::Exec {
        let len_max = node.bounds.slow_log_len_max;
        node.slow_log.push(row.id, request, client, nanos / 1000, now, len_max);
    }
    if nanos >= node.bounds.latency_nanos {
        let event = if row.flags.has(Flag::Fast) { Event::FastCommand } else { Event::Command };
        node.latency.note(event, nanos / 1_000_000, now.0 / 1000);
    }
}

fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}
