//! LATENCY: when the node was slow, by kind of event.
//!
//! An event that took at least `latency-monitor-threshold` milliseconds leaves a sample, one per second and the worst
//! of it; the last [`SAMPLES_MAX`] are kept.

use std::collections::{BTreeMap, VecDeque};

/// Samples kept of an event.
pub(crate) const SAMPLES_MAX: usize = 160;

/// What can take long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A sync of the log that replies wait for.
    LogSync,
    /// Handing bytes of the log to the system.
    LogWrite,
    /// The same while a snapshot or another log is written beside it.
    LogWriteBesideSnapshot,
    /// The same while nothing else is.
    LogWriteAlone,
    /// A command whose time grows with its arguments or the data.
    Command,
    /// Deleting what to evict, before a command or in housekeeping.
    Eviction,
    /// Deleting what has expired.
    Expiry,
    /// A command that is always short.
    FastCommand,
}

impl Event {
    const ALL: [Event; 8] = [
        Event::LogSync,
        Event::LogWrite,
        Event::LogWriteBesideSnapshot,
        Event::LogWriteAlone,
        Event::Command,
        Event::Eviction,
        Event::Expiry,
        Event::FastCommand,
    ];

    /// Redis's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Event::LogSync => "aof-fsync-always",
            Event::LogWrite => "aof-write",
            Event::LogWriteBesideSnapshot => "aof-write-active-child",
            Event::LogWriteAlone => "aof-write-alone",
            Event::Command => "command",
            Event::Eviction => "eviction-cycle",
            Event::Expiry => "expire-cycle",
            Event::FastCommand => "fast-command",
        }
    }

    pub(crate) fn named(name: &[u8]) -> Option<Event> {
        Event::ALL.into_iter().find(|event| event.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Unix time in seconds.
    pub(crate) at_s: u64,
    pub(crate) millis: u64,
}

/// What is known of an event.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// The oldest first, never empty.
    samples: VecDeque<Sample>,
    /// The worst ever.
    pub(crate) max_ms: u64,
}

impl Series {
    pub(crate) fn samples(&self) -> impl ExactSizeIterator<Item = &Sample> {
        self.samples.iter()
    }

    pub(crate) fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Latency {
    series: BTreeMap<Event, Series>,
}

impl Latency {
    pub(crate) fn note(&mut self, event: Event, millis: u64, at_s: u64) {
        let series = self.series.entry(event).or_default();
        series.max_ms = series.max_ms.max(millis);
        match series.samples.back_mut() {
            Some(last) if last.at_s == at_s => last.millis = last.millis.max(millis),
            _ => series.samples.push_back(Sample { at_s, millis }),
        }
        if series.samples.len() > SAMPLES_MAX {
            series.samples.pop_front();
        }
    }

    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = (Event, &Series)> {
        self.series.iter().map(|(event, series)| (*event, series))
    }

    pub(crate) fn of(&self, event: Event) -> Option<&Series> {
        self.series.get(&event)
    }

    /// Whether there was something to forget.
    pub(crate) fn forget(&mut self, event: Event) -> bool {
        self.series.remove(&event).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_sample_and_the_last_160_seconds_are_kept() {
        let mut latency = Latency::default();
        for (millis, at_s) in [(5, 1), (9, 1), (7, 1)] {
            latency.note(Event::Command, millis, at_s);
        }
        let series = latency.of(Event::Command).unwrap();
        assert_eq!(series.samples().collect::<Vec<_>>(), [&Sample { at_s: 1, millis: 9 }]);
        for at_s in 2..200 {
            latency.note(Event::Command, 3, at_s);
        }
        let series = latency.of(Event::Command).unwrap();
        assert_eq!((series.samples().len(), series.max_ms), (SAMPLES_MAX, 9));
        assert_eq!(series.samples().next(), Some(&Sample { at_s: 40, millis: 3 }));
        assert!(latency.forget(Event::Command) && !latency.forget(Event::Command));
        assert_eq!(latency.all().len(), 0);
    }

    #[test]
    fn events_have_the_names_of_redis() {
        for event in Event::ALL {
            assert_eq!(Event::named(event.name().to_uppercase().as_bytes()), Some(event));
        }
        assert_eq!(Event::named(b"x"), None);
    }
}
