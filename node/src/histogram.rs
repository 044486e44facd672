//! How long a command takes, as a distribution: LATENCY HISTOGRAM and INFO latencystats.
//!
//! Times are counted in buckets of 32 to each doubling, so that a percentile is right to 3 %, and a time is counted with
//! a few instructions. What takes longer than four seconds is counted as four seconds.

/// Buckets per doubling: 2^5.
const FINE_BITS: u32 = 5;
const FINE: usize = 1 << FINE_BITS;
const BUCKETS: usize = (u32::BITS - FINE_BITS + 1) as usize * FINE;

#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, nanos: u64, times: u64) {
        self.counts[bucket_of(nanos)] += times;
        self.total += times;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Nanoseconds that so many percent of the times do not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        #[allow(clippy::cast_precision_loss, reason = "a share of what was counted; past 2^53 it is rounded")]
        let wanted = self.total as f64 * percent / 100.0;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            #[allow(clippy::cast_precision_loss, reason = "as above")]
            let enough = *count > 0 && seen as f64 >= wanted;
            if enough {
                return last_of(bucket);
            }
        }
        0
    }

    /// How many times do not exceed so many nanoseconds, or the end of their bucket.
    pub(crate) fn up_to(&self, nanos: u64) -> u64 {
        self.counts[..=bucket_of(nanos)].iter().sum()
    }
}

fn bucket_of(nanos: u64) -> usize {
    let nanos = u32::try_from(nanos).unwrap_or(u32::MAX);
    let doublings = (nanos | 1).ilog2().saturating_sub(FINE_BITS);
    let fine = usize::try_from(nanos >> doublings).expect("6 bits");
    usize::try_from(doublings).expect("5 bits") * FINE + fine
}

/// The longest time of a bucket.
fn last_of(bucket: usize) -> u64 {
    let doublings = (bucket / FINE).saturating_sub(1);
    let fine = u64::try_from(bucket - doublings * FINE).expect("6 bits");
    ((fine + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_a_bucket_that_is_no_wider_than_its_thirty_second_part() {
        let mut last = 0;
        for nanos in (0..10_000).chain((10_000..4_000_000_000).step_by(997_331)) {
            let bucket = bucket_of(nanos);
            assert!(bucket >= last && bucket < BUCKETS);
            let end = last_of(bucket);
            assert!(end >= nanos && end - nanos <= nanos / 32, "{nanos} ends at {end}");
            last = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(last_of(BUCKETS - 1), u64::from(u32::MAX));
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), 0);
        for micros in 1..=1000 {
            histogram.record(micros * 1000, 1);
        }
        let near = |percent: f64, micros: u64| {
            let found = histogram.percentile(percent);
            assert!(found >= micros * 1000 && found <= micros * 1040, "{percent}: {found}");
        };
        near(50.0, 500);
        near(99.0, 990);
        near(100.0, 1000);
        near(0.0, 1);
        assert_eq!(histogram.total(), 1000);
        assert!((499..=520).contains(&histogram.up_to(500_000)));
    }
}
