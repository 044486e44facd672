//! Latencies, counted in buckets that grow with the value: any quantile within 1.6 %, at the cost of one increment.
//!
//! Values below 128 have a bucket each; above, every doubling is cut into 64 buckets. That covers all of `u64` in
//! 3,776 buckets, so nothing is ever out of range, and two histograms can be added.

use std::time::Duration;

const BUCKETS_PER_DOUBLING: usize = 64;
const EXACT_BITS: u32 = 7;
const BUCKETS: usize = (64 - EXACT_BITS as usize + 2) * BUCKETS_PER_DOUBLING;

#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, value: Duration) {
        self.record_many(value, 1);
    }

    /// Counts `times` requests that all took `value`.
    pub fn record_many(&mut self, value: Duration, times: u64) {
        let nanoseconds = value.as_secs().wrapping_mul(1_000_000_000) + u64::from(value.subsec_nanos());
        self.buckets[bucket_of(nanoseconds)] += times;
        self.count += times;
        self.max = self.max.max(nanoseconds);
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value recorded, exactly; zero when there is none.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The value that `per_mille` of 1,000 recorded values do not exceed, rounded up to its bucket's end: it never
    /// flatters. Zero when nothing was recorded.
    #[must_use]
    pub fn per_mille(&self, per_mille: u64) -> Duration {
        let wanted = (self.count * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, times) in self.buckets.iter().enumerate() {
            seen += times;
            if seen >= wanted {
                return Duration::from_nanos(last_value_of(bucket).min(self.max));
            }
        }
        self.max()
    }

    pub fn add(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }
}

fn bucket_of(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(EXACT_BITS);
    // After the shift 7 bits are left, of which the first is set unless the value was small.
    let within = usize::try_from(value >> shift).unwrap_or(0);
    shift as usize * BUCKETS_PER_DOUBLING + within
}

fn last_value_of(bucket: usize) -> u64 {
    let shift = (bucket / BUCKETS_PER_DOUBLING).saturating_sub(1);
    let within = (bucket - shift * BUCKETS_PER_DOUBLING) as u64;
    u64::try_from(((u128::from(within) + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.record(Duration::from_nanos(value));
        }
        histogram
    }

    #[test]
    fn every_value_lies_in_a_bucket_that_ends_at_most_one_64th_above_it() {
        let mut values: Vec<u64> = (0..2000).collect();
        for shift in 8..64 {
            values.extend([(1 << shift) - 1, 1 << shift, (1 << shift) + (1 << (shift - 3)) + 5]);
        }
        values.push(u64::MAX);
        for value in values {
            let bucket = bucket_of(value);
            assert!(bucket < BUCKETS, "{value}");
            let end = last_value_of(bucket);
            assert!(end >= value && end - value <= value / 64, "{value} ends at {end}");
            assert!(
                bucket == 0 || last_value_of(bucket - 1) < value,
                "{value} is in the first bucket that holds it"
            );
        }
    }

    #[test]
    fn quantiles_of_one_to_a_thousand() {
        let histogram = of(1..=1000);
        for (per_mille, exact) in [(1, 1), (100, 100), (500, 500), (990, 990), (999, 999), (1000, 1000)] {
            let found = histogram.per_mille(per_mille).as_nanos();
            assert!(found >= exact && found <= exact + exact / 64, "{per_mille}: {found}");
        }
        assert_eq!(histogram.max(), Duration::from_nanos(1000));
        assert_eq!(histogram.count(), 1000);
    }

    #[test]
    fn a_quantile_never_exceeds_the_largest_value() {
        assert_eq!(of([1_000_003]).per_mille(999), Duration::from_nanos(1_000_003));
        assert_eq!(Histogram::default().per_mille(500), Duration::ZERO);
    }

    #[test]
    fn adding_is_as_if_all_had_been_recorded_in_one() {
        let mut sum = of(1..=500);
        sum.add(&of(501..=1000));
        let whole = of(1..=1000);
        assert_eq!(sum.buckets, whole.buckets);
        assert_eq!((sum.count, sum.max), (whole.count, whole.max));
    }
}
