//! When to write and when to fsync the log: a pure state machine for whoever owns the file.
//!
//! ```text
//!              bytes wait                    one second since the last sync, none running
//!   Idle ───────────────────▶ Write ─▶ Idle ─────────────────────────────────────────────▶ Sync (in the background)
//!                │ everysec, a sync runs
//!                └──────────▶ Wait (two seconds at most, then Write though it may block)
//!   a write fails ─▶ Failed: retried once a second; writes of clients are refused meanwhile
//! ```
//! With `always` every write is followed by its sync before the replies that depend on it leave.

use std::time::Duration;

use crate::rdb::ReplicationPoint;

/// A sync is due when the last one is this old. Source: `appendfsync everysec`.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long a write waits for a running sync. Source: Redis's flushAppendOnlyFile.
const POSTPONE: Duration = Duration::from_secs(2);
/// How often a failed write is tried again. Source: Redis retries from its cron, once a second.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// `appendfsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Replies wait until their bytes are synced.
    Always,
    /// Synced in the background once a second.
    Everysec,
    /// Left to the operating system.
    No,
}

/// What to do with the file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Write all that waits; then report [`Flusher::wrote`] or [`Flusher::write_failed`].
    Write,
    /// The same, and sync it before saying that it is written.
    WriteAndSync,
    /// Start a sync in the background; report [`Flusher::synced`] or [`Flusher::sync_failed`] when it has ended.
    Sync,
}

/// Decides when the log is written and synced. Times are since the process started.
#[derive(Debug)]
pub struct Flusher {
    policy: FsyncPolicy,
    sync: SyncState,
    unsynced: bool, // written since the start of the last sync
    synced_at: Duration,
    postponed_at: Option<Duration>,
    failed_at: Option<Duration>,
    delayed_syncs: u64,
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SyncState {
    Idle,
    Running,
}

impl Flusher {
    /// For a log opened at `now`.
    pub fn new(policy: FsyncPolicy, now: Duration) -> Self {
        Flusher {
            policy,
            sync: SyncState::Idle,
            unsynced: false,
            synced_at: now,
            postponed_at: None,
            failed_at: None,
            delayed_syncs: 0,
            patience: POSTPONE,
        }
    }

    /// No write waits for a running sync any more: what is acknowledged has to be in the file (a node of a group, I10).
    pub fn never_postpone(&mut self) {
        self.patience = Duration::ZERO;
    }

    /// The policy in force.
    pub fn policy(&self) -> FsyncPolicy {
        self.policy
    }

    /// `CONFIG SET appendfsync`.
    pub fn set_policy(&mut self, policy: FsyncPolicy) {
        self.policy = policy;
    }

    /// `aof_delayed_fsync`: how often a write went ahead of a sync that took longer than two seconds.
    pub fn delayed_syncs(&self) -> u64 {
        self.delayed_syncs
    }

    /// Is a background sync running? (`aof_pending_bio_fsync`)
    pub fn syncing(&self) -> bool {
        self.sync == SyncState::Running
    }

    /// What to do at `now` with `waiting` bytes not yet written. The answer is taken as begun.
    pub fn step(&mut self, now: Duration, waiting: usize) -> Step {
        if waiting > 0 {
            return self.step_write(now);
        }
        let due = now.saturating_sub(self.synced_at) >= SYNC_EVERY;
        if self.policy == FsyncPolicy::Everysec && self.unsynced && due && self.sync == SyncState::Idle {
            (self.sync, self.unsynced, self.synced_at) = (SyncState::Running, false, now);
            return Step::Sync;
        }
        Step::Rest
    }

    fn step_write(&mut self, now: Duration) -> Step {
        if self.failed_at.is_some_and(|at| now.saturating_sub(at) < RETRY_EVERY) {
            return Step::Rest;
        }
        match (self.policy, self.sync) {
            (FsyncPolicy::Always, _) => Step::WriteAndSync,
            (FsyncPolicy::Everysec, SyncState::Running) => {
                let since = *self.postponed_at.get_or_insert(now);
                if now.saturating_sub(since) < self.patience {
                    return Step::Rest;
                }
                self.delayed_syncs += 1;
                Step::Write
            }
            _ => Step::Write,
        }
    }

    /// All that waited is in the file (and, after [`Step::WriteAndSync`], on the disk).
    pub fn wrote(&mut self, now: Duration) {
        self.failed_at = None;
        self.postponed_at = None;
        match self.policy {
            FsyncPolicy::Always => self.synced_at = now,
            FsyncPolicy::Everysec | FsyncPolicy::No => self.unsynced = true,
        }
    }

    /// The write failed; what was half written is cut off again. It is tried again after a second.
    pub fn write_failed(&mut self, now: Duration) {
        self.failed_at = Some(now);
    }

    /// The background sync has ended well.
    pub fn synced(&mut self) {
        self.sync = SyncState::Idle;
    }

    /// The background sync has failed: it is due again a second after it began.
    pub fn sync_failed(&mut self) {
        self.sync = SyncState::Idle;
        self.unsynced = true;
    }
}

/// An annotation line, skipped by Redis: the dataset at this byte of the log is `point` in `epoch`.
/// Shape: `#Q:<replid>:<offset>:<epoch>:<db>\r\n`.
pub fn annotation(point: &ReplicationPoint, epoch: u64) -> Vec<u8> {
    let mut line = b"#Q:".to_vec();
    line.extend_from_slice(&point.replid);
    line.extend_from_slice(format!(":{}:{}:{}\r\n", point.offset, epoch, point.db).as_bytes());
    line
}

/// Reads what follows `#Q:`. What does not fit is somebody else's annotation.
pub(super) fn parse_point(text: &[u8]) -> Option<(ReplicationPoint, u64)> {
    let (replid, rest) = text.split_first_chunk::<40>()?;
    let mut numbers = std::str::from_utf8(rest.strip_prefix(b":")?).ok()?.split(':');
    let offset = numbers.next()?.parse().ok()?;
    let epoch = numbers.next()?.parse().ok()?;
    let db = numbers.next()?.parse().ok()?;
    let whole = numbers.next().is_none() && replid.iter().all(u8::is_ascii_alphanumeric);
    whole.then_some((ReplicationPoint { replid: *replid, offset, db }, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn everysec_syncs_once_a_second_and_only_what_is_new() {
        let mut flusher = Flusher::new(FsyncPolicy::Everysec, at(0));
        assert_eq!(flusher.step(at(5000), 0), Step::Rest);
        assert_eq!(flusher.step(at(5000), 9), Step::Write);
        flusher.wrote(at(5000));
        assert_eq!(flusher.step(at(5001), 0), Step::Sync);
        assert!(flusher.syncing());
        flusher.synced();
        assert_eq!(flusher.step(at(5002), 9), Step::Write);
        flusher.wrote(at(5002));
        assert_eq!(flusher.step(at(6000), 0), Step::Rest);
        assert_eq!(flusher.step(at(6001), 0), Step::Sync);
    }

    /// I10: a node of a group writes what it is about to acknowledge, whatever the disk is doing.
    #[test]
    fn a_write_may_be_told_never_to_wait() {
        let mut flusher = Flusher::new(FsyncPolicy::Everysec, at(0));
        flusher.never_postpone();
        flusher.step(at(0), 9);
        flusher.wrote(at(0));
        assert_eq!(flusher.step(at(1000), 0), Step::Sync);
        assert_eq!(flusher.step(at(1001), 9), Step::Write);
    }

    #[test]
    fn everysec_postpones_a_write_for_two_seconds_at_most() {
        let mut flusher = Flusher::new(FsyncPolicy::Everysec, at(0));
        assert_eq!(flusher.step(at(1000), 9), Step::Write);
        flusher.wrote(at(1000));
        assert_eq!(flusher.step(at(1000), 0), Step::Sync);
        assert_eq!(flusher.step(at(1100), 9), Step::Rest);
        assert_eq!(flusher.step(at(3099), 9), Step::Rest);
        assert_eq!((flusher.step(at(3100), 9), flusher.delayed_syncs()), (Step::Write, 1));
    }

    #[test]
    fn always_syncs_with_every_write_and_no_never_does() {
        let mut flusher = Flusher::new(FsyncPolicy::Always, at(0));
        assert_eq!(flusher.step(at(1), 1), Step::WriteAndSync);
        flusher.wrote(at(2));
        assert_eq!(flusher.step(at(9000), 0), Step::Rest);
        flusher.set_policy(FsyncPolicy::No);
        assert_eq!(flusher.step(at(9000), 1), Step::Write);
        flusher.wrote(at(9000));
        assert_eq!(flusher.step(at(99_000), 0), Step::Rest);
    }

    #[test]
    fn failures_are_retried_after_a_second() {
        let mut flusher = Flusher::new(FsyncPolicy::Everysec, at(0));
        assert_eq!(flusher.step(at(0), 1), Step::Write);
        flusher.write_failed(at(0));
        assert_eq!(flusher.step(at(999), 1), Step::Rest);
        assert_eq!(flusher.step(at(1000), 1), Step::Write);
        flusher.wrote(at(1000));
        assert_eq!(flusher.step(at(1000), 0), Step::Sync);
        flusher.sync_failed();
        assert_eq!(flusher.step(at(1999), 0), Step::Rest);
        assert_eq!(flusher.step(at(2000), 0), Step::Sync);
    }

    #[test]
    fn an_annotation_is_read_back() {
        let point = ReplicationPoint { replid: *b"0123456789abcdef0123456789abcdef01234567", offset: u64::MAX, db: 15 };
        let line = annotation(&point, 7);
        assert_eq!(parse_point(&line[3..line.len() - 2]), Some((point, 7)));
        assert_eq!(parse_point(&line[3..line.len() - 3]), Some((ReplicationPoint { db: 1, ..point }, 7)));
        assert_eq!(parse_point(b"short:1:2:3"), None);
    }
}
