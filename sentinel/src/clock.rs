//! The process's clocks. Everything that decides uses monotonic time since the start; wall-clock time is shown to people.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quorate_registry::UnixMs;

/// One start for the whole process, so that all of its times can be compared.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock {
    /// Monotonic time since the start.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Wall-clock time.
    pub fn wall(&self) -> UnixMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
