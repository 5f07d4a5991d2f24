//! The 24 bits an entry has for eviction: when it was last read, or how often. Source: Redis's documentation, "Key eviction".

use crate::UnixMs;
use std::{cell::RefCell, time::Duration};

const BITS: u64 = (1 << 24) - 1;
/// A new key's count, so that it is not the first one evicted. Source: Redis, LFU_INIT_VAL.
const INITIAL_COUNT: u8 = 5;

/// What eviction wants to know of a key; follows `maxmemory-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessMeter {
    /// Seconds since the last access; wraps after 194 days.
    #[default]
    Recency,
    /// A logarithmic count of accesses that decays.
    Frequency {
        /// `lfu-log-factor`: the higher, the more accesses a step of the count takes.
        log_factor: u32,
        /// `lfu-decay-time`: minutes of silence that take one off the count; 0 never does.
        decay_minutes: u32,
    },
}

/// The meter and the randomness of its counters.
pub struct Access {
    pub meter: AccessMeter,
    rng: RefCell<fastrand::Rng>,
}

impl Access {
    pub fn new(rng: fastrand::Rng) -> Self {
        Self { meter: AccessMeter::default(), rng: RefCell::new(rng) }
    }

    /// The bits of a key that is born.
    pub fn born(&self, now: UnixMs) -> u32 {
        match self.meter {
            AccessMeter::Recency => seconds(now),
            AccessMeter::Frequency { .. } => count_bits(now, INITIAL_COUNT),
        }
    }

    /// The bits after an access.
    #[inline]
    pub fn touched(&self, bits: u32, now: UnixMs) -> u32 {
        match self.meter {
            AccessMeter::Recency => seconds(now),
            AccessMeter::Frequency { log_factor, .. } => self.counted(bits, now, log_factor),
        }
    }

    fn counted(&self, bits: u32, now: UnixMs, log_factor: u32) -> u32 {
        let count = self.count(bits, now);
        let above = f64::from(count.saturating_sub(INITIAL_COUNT));
        let chance = 1.0 / (above * f64::from(log_factor) + 1.0);
        let lucky = count < u8::MAX && self.rng.borrow_mut().f64() < chance;
        count_bits(now, count + u8::from(lucky))
    }

    /// The decayed count; 0 when recency is measured.
    pub fn count(&self, bits: u32, now: UnixMs) -> u8 {
        let AccessMeter::Frequency { decay_minutes, .. } = self.meter else { return 0 };
        let [count, low, high, _] = bits.to_le_bytes();
        let silent = minutes(now).wrapping_sub(u16::from_le_bytes([low, high]));
        let periods = u32::from(silent).checked_div(decay_minutes).unwrap_or(0);
        count.saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
    }

    /// Time since the last access, in whole seconds; zero when frequency is measured.
    pub fn idle(&self, bits: u32, now: UnixMs) -> Duration {
        match self.meter {
            AccessMeter::Recency => Duration::from_secs((u64::from(seconds(now)).wrapping_sub(u64::from(bits))) & BITS),
            AccessMeter::Frequency { .. } => Duration::ZERO,
        }
    }

    /// The bits of a key that has been idle for so long.
    pub fn idle_bits(idle: Duration, now: UnixMs) -> u32 {
        seconds(UnixMs(now.0.saturating_sub(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX))))
    }
}

/// The bits of a key with this count, seen now.
pub fn count_bits(now: UnixMs, count: u8) -> u32 {
    let [low, high] = minutes(now).to_le_bytes();
    u32::from_le_bytes([count, low, high, 0])
}

#[allow(clippy::cast_possible_truncation, reason = "masked to 24 bits")]
fn seconds(now: UnixMs) -> u32 {
    (now.as_secs() & BITS) as u32
}

#[allow(clippy::cast_possible_truncation, reason = "the clock is meant to wrap at 16 bits")]
fn minutes(now: UnixMs) -> u16 {
    (now.as_secs() / 60) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recency_counts_seconds_and_wraps() {
        let access = Access::new(fastrand::Rng::with_seed(1));
        let at = |secs| UnixMs::from_secs(secs);
        let bits = access.born(at(100));
        assert_eq!(access.idle(bits, at(100)), Duration::ZERO);
        assert_eq!(access.idle(bits, at(107)), Duration::from_secs(7));
        assert_eq!(access.idle(access.touched(bits, at(107)), at(108)), Duration::from_secs(1));
        assert_eq!(access.idle(access.born(at(BITS)), at(BITS + 3)), Duration::from_secs(3), "over the wrap");
        assert_eq!(access.idle(Access::idle_bits(Duration::from_secs(9), at(100)), at(100)), Duration::from_secs(9));
    }

    #[test]
    fn frequency_grows_logarithmically_and_decays() {
        let mut access = Access::new(fastrand::Rng::with_seed(1));
        access.meter = AccessMeter::Frequency { log_factor: 10, decay_minutes: 1 };
        let mut bits = access.born(UnixMs(0));
        assert_eq!(access.count(bits, UnixMs(0)), INITIAL_COUNT);
        for _ in 0..1000 {
            bits = access.touched(bits, UnixMs(0));
        }
        let count = access.count(bits, UnixMs(0));
        assert!((12..40).contains(&count), "a thousand accesses make about 18 (Redis's table for factor 10): {count}");
        assert_eq!(access.count(bits, UnixMs::from_secs(4 * 60)), count - 4);
        assert_eq!(access.count(bits, UnixMs::from_secs(400 * 60)), 0);
    }
}
