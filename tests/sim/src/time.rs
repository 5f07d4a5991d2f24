//! Virtual time: one true time that only the world knows, and each process's own clock, which runs a little fast or slow.

use std::cell::Cell;
use std::time::Duration;

use quorate_engine::{Host, HostFacts};

/// True time since the world began, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// So much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Time {
        Time(self.0 + time.as_micros() as u64)
    }

    /// Microseconds later.
    #[must_use]
    pub fn plus_us(self, micros: u64) -> Time {
        Time(self.0 + micros)
    }
}

/// Rate of a clock that is exact.
pub const EXACT: u64 = 1_000_000;

/// A process's monotonic clock: zero when it started, and never quite right.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Time,
    /// Microseconds that it counts in a true second.
    rate: u64,
}

impl Clock {
    /// A clock that starts now.
    pub fn starting(now: Time, rate: u64) -> Clock {
        Clock { began: now, rate }
    }

    /// What it shows.
    pub fn read(&self, now: Time) -> Duration {
        let elapsed = u128::from(now.0.saturating_sub(self.began.0));
        Duration::from_micros((elapsed * u128::from(self.rate) / 1_000_000) as u64)
    }

    /// When it will show at least this.
    pub fn when(&self, shown: Duration) -> Time {
        let elapsed = (shown.as_micros() * 1_000_000).div_ceil(u128::from(self.rate));
        Time(self.began.0.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX / 2)))
    }
}

thread_local! {
    /// What the clock of the process that runs at the moment shows: [`Host`] takes plain functions.
    static SHOWN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// From now on [`host`]'s clock shows this.
pub fn show(clock: Duration) {
    SHOWN.set(clock);
}

/// The world as an engine sees it.
pub fn host() -> Host {
    Host {
        clock: || SHOWN.get(),
        sleep: |_| (),
        used_memory: || 0,
        facts: HostFacts::default,
        rewrite_config: |_, _| Ok(()),
    }
}
