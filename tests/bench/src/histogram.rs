//! Latencies in buckets whose width grows with the value: 128 to a power of two, so that a percentile is off by less than 1 %. The greatest is kept
//! exactly. Recording touches one counter: the generator does it once a batch.

use std::time::Duration;

/// Buckets to a power of two, as a power of two.
const FINE: u32 = 7;

/// How often each latency occurred.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    greatest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; bucket(u64::MAX) + 1], total: 0, greatest: 0 }
    }
}

/// Values below two powers of `FINE` have a bucket each; above, the leading `FINE + 1` bits choose it.
fn bucket(ns: u64) -> usize {
    let bits = 64 - ns.leading_zeros();
    let shift = bits.saturating_sub(FINE + 1);
    ((u64::from(shift) << FINE) + (ns >> shift)) as usize
}

/// The greatest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> FINE).saturating_sub(1);
    let lead = bucket - (shift << FINE);
    ((lead + 1) << shift) - 1
}

impl Histogram {
    /// One more of this length.
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX >> 1);
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.greatest = self.greatest.max(ns);
    }

    /// All of another's.
    pub fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, more)| *own += more);
        self.total += other.total;
        self.greatest = self.greatest.max(other.greatest);
    }

    /// The latency that a share (0 to 1) of all do not exceed, in microseconds; 0 without any.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> f64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(index).min(self.greatest) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// The longest, in microseconds.
    #[must_use]
    pub fn max_us(&self) -> f64 {
        self.greatest as f64 / 1000.0
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.total
    }

    /// None yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_falls_into_them() {
        for ns in (0..100_000).chain([1 << 40, (1 << 40) + 12345, u64::MAX >> 1]) {
            let upper = upper(bucket(ns));
            assert!(upper >= ns && upper - ns <= ns >> FINE, "{ns} in the bucket up to {upper}");
        }
    }

    #[test]
    fn quantiles_of_known_values() {
        let mut histogram = Histogram::default();
        for us in 1..=1000 {
            histogram.record(Duration::from_micros(us));
        }
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let seen = histogram.quantile_us(share);
            assert!((seen / expected - 1.0).abs() < 0.01, "{share}: {seen}");
        }
        assert_eq!(histogram.max_us(), 1000.0);
        let mut both = Histogram::default();
        both.record(Duration::from_micros(5000));
        both.add(&histogram);
        assert_eq!((both.len(), both.max_us()), (1001, 5000.0));
        assert_eq!(Histogram::default().quantile_us(0.5), 0.0);
    }
}
