//! What the node counts: plain numbers, written by the one thread that also reads them.
//!
//! Rates are averages over the last [`SAMPLES`] samples, which housekeeping takes about every 100 ms, as in Redis.

use std::collections::BTreeMap;

use slotway_commands::Id;

use crate::{call::Millis, histogram::Histogram};

/// How many samples a rate is made of.
const SAMPLES: usize = 16;
/// Milliseconds between two samples.
const SAMPLE_MS: u64 = 100;
/// Error codes counted apart; a client that invents more (EVAL will let it) does not grow the map.
const ERROR_CODES_MAX: usize = 128;

/// Uses of one command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) calls: u64,
    /// Refused before it ran.
    pub(crate) rejected: u64,
    /// Ran and answered an error.
    pub(crate) failed: u64,
    /// What those that ran took together.
    pub(crate) nanos: u64,
}

/// How replicas came to follow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Syncs {
    /// Were to be sent everything.
    pub(crate) full: u64,
    /// Went on where they had stopped.
    pub(crate) partial: u64,
    /// Wanted to and could not.
    pub(crate) refused: u64,
}

/// All counters since the start, or since CONFIG RESETSTAT.
#[derive(Debug)]
pub(crate) struct Statistics {
    pub(crate) connections_received: u64,
    pub(crate) connections_rejected: u64,
    pub(crate) commands: u64,
    pub(crate) input_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) errors: u64,
    pub(crate) cut_for_output: u64,
    pub(crate) cut_for_input: u64,
    pub(crate) cut_for_idling: u64,
    /// Closed because of `maxmemory-clients`.
    pub(crate) evicted_clients: u64,
    /// Of `output_bytes` and `input_bytes`: to and from replicas.
    pub(crate) replica_output_bytes: u64,
    pub(crate) replica_input_bytes: u64,
    pub(crate) syncs: Syncs,
    pub(crate) broken_protocols: u64,
    pub(crate) denied_logins: u64,
    /// Greatest number of clients' bytes that waited at once for one client.
    pub(crate) output_bytes_peak: usize,
    uses: Vec<Uses>,
    /// Of commands that were timed while `latency-tracking` was on.
    histograms: Vec<Option<Histogram>>,
    errors_by_code: BTreeMap<String, u64>,
    commands_rate: Rate,
    input_rate: Rate,
    output_rate: Rate,
    sampled: Millis,
}

impl Statistics {
    pub(crate) fn new(now: Millis) -> Statistics {
        Statistics {
            connections_received: 0,
            connections_rejected: 0,
            commands: 0,
            input_bytes: 0,
            output_bytes: 0,
            reads: 0,
            writes: 0,
            errors: 0,
            cut_for_output: 0,
            cut_for_input: 0,
            cut_for_idling: 0,
            evicted_clients: 0,
            replica_output_bytes: 0,
            replica_input_bytes: 0,
            syncs: Syncs::default(),
            broken_protocols: 0,
            denied_logins: 0,
            output_bytes_peak: 0,
            uses: vec![Uses::default(); Id::COUNT],
            histograms: vec![None; Id::COUNT],
            errors_by_code: BTreeMap::new(),
            commands_rate: Rate::default(),
            input_rate: Rate::default(),
            output_rate: Rate::default(),
            sampled: now,
        }
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&mut self, now: Millis) {
        *self = Statistics::new(now);
    }

    /// A command runs.
    #[inline]
    pub(crate) fn called(&mut self, id: Id) {
        self.commands += 1;
        self.uses[id.index()].calls += 1;
    }

    /// It took so long, as many times.
    pub(crate) fn took(&mut self, id: Id, nanos: u64, times: u64) {
        self.uses[id.index()].nanos += nanos * times;
    }

    /// The same, for the distribution of its times.
    pub(crate) fn track(&mut self, id: Id, nanos: u64, times: u64) {
        self.histograms[id.index()].get_or_insert_default().record(nanos, times);
    }

    /// How long a command takes; None: not known.
    pub(crate) fn histogram(&self, id: Id) -> Option<&Histogram> {
        self.histograms[id.index()].as_ref()
    }

    /// It ran and answered an error.
    pub(crate) fn failed(&mut self, id: Id) {
        self.uses[id.index()].failed += 1;
    }

    /// It was refused before it ran.
    pub(crate) fn rejected(&mut self, id: Id) {
        self.uses[id.index()].rejected += 1;
    }

    /// An error reply left; `text` begins with its code.
    pub(crate) fn error(&mut self, text: &[u8]) {
        self.errors += 1;
        let code = text.split(|&byte| byte == b' ').next().unwrap_or_default();
        let code = String::from_utf8_lossy(code);
        if let Some(count) = self.errors_by_code.get_mut(code.as_ref()) {
            *count += 1;
        } else if self.errors_by_code.len() < ERROR_CODES_MAX {
            self.errors_by_code.insert(code.into_owned(), 1);
        }
    }

    /// Commands that were used, in the order of their names.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (&'static slotway_commands::Command, Uses)> {
        let rows = slotway_commands::table::COMMANDS.iter();
        rows.zip(&self.uses).filter(|(_, uses)| **uses != Uses::default()).map(|(row, uses)| (row, *uses))
    }

    pub(crate) fn errors_by_code(&self) -> impl Iterator<Item = (&str, u64)> {
        self.errors_by_code.iter().map(|(code, count)| (code.as_str(), *count))
    }

    /// Takes a sample of each rate, if it is time.
    pub(crate) fn sample(&mut self, now: Millis) {
        let elapsed_ms = now.0.saturating_sub(self.sampled.0);
        if elapsed_ms < SAMPLE_MS {
            return;
        }
        self.sampled = now;
        self.commands_rate.sample(self.commands, elapsed_ms);
        self.input_rate.sample(self.input_bytes, elapsed_ms);
        self.output_rate.sample(self.output_bytes, elapsed_ms);
    }

    pub(crate) fn commands_per_second(&self) -> u64 {
        self.commands_rate.per_second()
    }

    pub(crate) fn input_bytes_per_second(&self) -> u64 {
        self.input_rate.per_second()
    }

    pub(crate) fn output_bytes_per_second(&self) -> u64 {
        self.output_rate.per_second()
    }
}

/// A counter's growth, averaged over the last samples.
#[derive(Debug, Default)]
struct Rate {
    per_second: [u64; SAMPLES],
    next: usize,
    last: u64,
}

impl Rate {
    fn sample(&mut self, counter: u64, elapsed_ms: u64) {
        let growth = counter.saturating_sub(self.last);
        self.last = counter;
        self.per_second[self.next] = growth.saturating_mul(1000) / elapsed_ms.max(1);
        self.next = (self.next + 1) % SAMPLES;
    }

    fn per_second(&self) -> u64 {
        self.per_second.iter().sum::<u64>() / SAMPLES as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_average_of_the_last_samples() {
        let mut statistics = Statistics::new(Millis(0));
        for tick in 1..=32 {
            statistics.commands += 50;
            statistics.sample(Millis(tick * 100));
        }
        assert_eq!(statistics.commands_per_second(), 500);
        statistics.sample(Millis(3_250));
        assert_eq!(statistics.commands_per_second(), 500, "too early for another sample");
    }

    #[test]
    fn errors_are_counted_by_their_code_and_the_codes_are_bounded() {
        let mut statistics = Statistics::new(Millis(0));
        for n in 0..1000 {
            statistics.error(format!("CODE{n} something").as_bytes());
            statistics.error(b"ERR unknown command");
        }
        assert_eq!(statistics.errors, 2000);
        assert_eq!(statistics.errors_by_code().count(), ERROR_CODES_MAX);
        assert!(statistics.errors_by_code().any(|(code, count)| code == "ERR" && count == 1000));
    }
}
