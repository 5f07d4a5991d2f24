//! What the engine's thread leaves for the agent's: written after each turn, read at any time, never waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorate_engine::Facts;
use quorate_replication::Offset;
use tokio::sync::watch;

/// See the module. The offset and the times are written each turn, the facts only when they change.
#[derive(Debug)]
pub struct Vitals {
    /// Monotonic time since the process started.
    clock: fn() -> Duration,
    /// Microseconds since the start at which the turn began; 0: the engine waits for work.
    turn_began_us: AtomicU64,
    offset: AtomicU64,
    committed: AtomicU64,
    facts: Mutex<Arc<Facts>>,
    changes: watch::Sender<()>,
}

/// What the engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// For so long it has been in its present turn; zero: it waits for work.
    pub since: Duration,
}

impl Vitals {
    /// `clock` is the one that the engine's times come from.
    pub fn new(clock: fn() -> Duration, facts: Facts) -> Vitals {
        let offset = AtomicU64::new(facts.held.offset.0);
        let committed = AtomicU64::new(facts.committed.0);
        let (changes, _) = watch::channel(());
        let facts = Mutex::new(Arc::new(facts));
        Vitals { clock, turn_began_us: AtomicU64::new(0), offset, committed, facts, changes }
    }

    /// A turn begins at `now`.
    pub fn turn_begins(&self, now: Duration) {
        self.turn_began_us.store((now.as_micros() as u64).max(1), Ordering::Relaxed);
    }

    /// A turn has ended with the dataset at `offset`, of which so much is committed.
    pub fn turn_ends(&self, offset: Offset, committed: Offset) {
        self.offset.store(offset.0, Ordering::Relaxed);
        self.committed.store(committed.0, Ordering::Relaxed);
        self.turn_began_us.store(0, Ordering::Relaxed);
    }

    /// Something beside the offset has changed: whoever listens to heartbeats is told at once.
    pub fn publish(&self, facts: Facts) {
        self.refresh(facts);
        self.changes.send_replace(());
    }

    /// The facts as they are now; not worth a heartbeat of its own.
    pub fn refresh(&self, facts: Facts) {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(facts);
    }

    /// The newest facts, and what the engine is doing.
    pub fn look(&self) -> (Facts, Busy) {
        let facts = Arc::clone(&self.facts.lock().unwrap_or_else(PoisonError::into_inner));
        let mut facts = Facts::clone(&facts);
        facts.held.offset = facts.held.offset.max(Offset(self.offset.load(Ordering::Relaxed)));
        facts.committed = Offset(self.committed.load(Ordering::Relaxed));
        let since = match self.turn_began_us.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            began => self.now().saturating_sub(Duration::from_micros(began)),
        };
        (facts, Busy { since })
    }

    /// Monotonic time since the process started.
    pub fn now(&self) -> Duration {
        (self.clock)()
    }

    /// Becomes ready at each change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}
