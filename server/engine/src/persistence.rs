//! Glue between turns and the persist room: what the node does about its files, decided here and performed by the shell.
//!
//! The frame calls in at fixed points: `Input::Disk` and `Input::Loaded` arrive in `Core::disk` and `Core::loaded`, the turn's stream in
//! `Core::append` (which may ask for the turn's replies to be held), each tick in `Core::persistence_tick`, and once a turn, right before
//! `append`, `Core::persistence_step`.
//!
//! * `pass.rs`: a walk over the keyspace that feeds RDB files, log bases and replicas;
//! * `log.rs`: the append-only log: when it is on, what is appended, when it is rewritten;
//! * `save.rs`: save points, SAVE and leaving the process;
//! * `info.rs`: INFO's persistence section; `replay.rs`: the engine of a loader.

mod info;
mod log;
mod pass;
mod replay;
mod save;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use quorate_config::AppendFsync;
use quorate_keyspace::{Keyspace, UnixMs};
use quorate_persist::aof::manifest::BaseFormat;
use quorate_persist::rdb::seal::Checksum;
use quorate_replication::Offset;

use crate::core::Core;
use crate::effect::Level;
use crate::{Effect, Found};

use log::Log;
use pass::Pass;
pub use replay::Replayer;
pub(crate) use save::Saved;
use save::Saves;

/// Names a walk over the keyspace; never used twice by one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassId(pub u64);

/// What a pass is for. Several targets share a pass if they are wanted in the same turn; otherwise they queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotTarget {
    /// The RDB file: SAVE, BGSAVE, save points.
    File,
    /// A new base of the append-only log.
    AofBase,
    /// The payload of full resyncs.
    Replicas,
}

/// Work for the disk. Tasks are performed in order.
#[derive(Debug)]
pub enum DiskTask {
    /// Bytes for the log. With a ticket (appendfsync always) they are synced, and [`DiskDone::Confirmed`] says so.
    Append {
        /// A turn's stream.
        bytes: Vec<u8>,
        /// Whose replies wait.
        ticket: Option<u64>,
    },
    /// Write what waits, sync it and close the log (CONFIG SET appendonly no).
    CloseLog,
    /// A pass begins: open its temporary files.
    PassBegins(PassPlan),
    /// The next chunk of a pass, to be sealed and written. Answered by [`DiskDone::Sealed`].
    PassChunk {
        /// Of which pass.
        pass: PassId,
        /// As the RDB writer drained it.
        bytes: Vec<u8>,
    },
    /// The pass is complete: sync its files and put them in place. Answered by [`DiskDone::Finished`] for each target.
    PassEnds(PassId),
    /// Forget the pass and remove its temporary files. Not answered.
    PassAborted(PassId),
}

/// How a pass is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassPlan {
    /// Its name.
    pub pass: PassId,
    /// Write an RDB file of this name.
    pub file: Option<String>,
    /// Write a new base of the log.
    pub log: Option<LogPlan>,
    /// Hand the sealed bytes back, for replicas.
    pub replicas: bool,
    /// `rdbchecksum`
    pub checksum: Checksum,
}

/// What becomes of the log when its base is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlan {
    /// How the base is written.
    pub format: BaseFormat,
    /// What happens to the file that is appended to, when the pass begins.
    pub incr: Incr,
}

/// What happens to the incremental file when a rewrite begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incr {
    /// A new one is opened and belongs to the log at once: the log is on.
    Next,
    /// A new one is opened, and belongs to the log once its base is there: the log is being started.
    First,
    /// There is none: the log is off, and BGREWRITEAOF was said nevertheless.
    None,
}

/// The outcome of work for the disk.
#[derive(Debug)]
pub enum DiskDone {
    /// Everything appended up to this ticket is on the disk.
    Confirmed(u64),
    /// The log cannot be written; the operating system's text. Its bytes are kept and tried again.
    AppendFailed(String),
    /// The log can be written again.
    AppendRecovered,
    /// A chunk has been sealed and written.
    Sealed {
        /// Of which pass.
        pass: PassId,
        /// How long the chunk was.
        raw: usize,
        /// The sealed bytes, if the pass is for replicas.
        payload: Vec<u8>,
    },
    /// A target of a pass is done.
    Finished {
        /// Which pass.
        pass: PassId,
        /// Which target.
        target: SnapshotTarget,
        /// How many bytes it has, or the operating system's text.
        outcome: Result<u64, String>,
    },
}

/// A dataset that was loaded on another thread, at the start.
pub struct Loaded {
    /// The data.
    pub keyspace: Keyspace,
    /// Where the dataset stands in a replication history, if its files say so.
    pub found: Option<Found>,
    /// Keys that were loaded from an RDB.
    pub keys_loaded: u64,
    /// Keys that had expired and were left out.
    pub keys_expired: u64,
    /// The log was loaded and is open: how many bytes its base and all its files have.
    pub log: Option<LogSizes>,
}

/// Bytes of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogSizes {
    /// Its base file, or all that it had when it was loaded.
    pub base: u64,
    /// All its files.
    pub current: u64,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("found", &self.found).field("log", &self.log).finish_non_exhaustive()
    }
}

/// What only the shell knows, for INFO: it writes, the engine reads.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Bytes of the log that wait to be written.
    pub log_waiting: AtomicU64,
    /// A sync of the log is running in the background.
    pub log_syncing: AtomicBool,
    /// Writes that went ahead of a sync that took too long.
    pub log_delayed: AtomicU64,
    /// Bytes of the files that are being loaded.
    pub load_total: AtomicU64,
    /// Those that have been.
    pub load_done: AtomicU64,
}

/// What is known about files, and what is being done about them.
#[derive(Debug, Default)]
pub struct Persistence {
    /// Changes since the last successful save: INFO's rdb_changes_since_last_save.
    pub dirty: u64,
    /// What the shell tells.
    pub gauge: Arc<Gauge>,
    loading_since: Option<UnixMs>,
    keys_loaded: u64,
    keys_expired: u64,
    pass: Option<Pass>,
    last_pass: u64,
    saves: Saves,
    log: Log,
}

impl Core {
    /// A loader has started: clients are told so until `Input::Loaded`.
    pub fn loading_begins(&mut self, now: UnixMs) {
        self.standing.loading = true;
        self.persistence.loading_since = Some(now);
    }

    /// A disk effect has an outcome.
    pub(crate) fn disk(&mut self, _keyspace: &mut Keyspace, done: DiskDone) {
        match done {
            DiskDone::Confirmed(ticket) => {
                self.persistence.log.confirmed(ticket);
            }
            DiskDone::AppendFailed(error) => self.append_failed(error),
            DiskDone::AppendRecovered => {
                self.standing.aof_failing = None;
                self.persistence.log.writable_again();
                self.note(Level::Warning, "AOF write error looks solved, Redis can write again.");
            }
            DiskDone::Sealed { pass, raw, payload } => self.pass_sealed(pass, raw, &payload),
            DiskDone::Finished { pass, target, outcome } => self.pass_finished(pass, target, outcome),
        }
    }

    /// A dataset was loaded at the start: it becomes ours.
    pub(crate) fn loaded(&mut self, keyspace: &mut Keyspace, loaded: Loaded) {
        let mode = keyspace.expiry_mode();
        *keyspace = loaded.keyspace;
        keyspace.set_expiry_mode(mode);
        keyspace.set_now(self.now.wall);
        self.standing.loading = false;
        self.persistence.loading_since = None;
        self.persistence.keys_loaded = loaded.keys_loaded;
        self.persistence.keys_expired = loaded.keys_expired;
        self.persistence.dirty = 0;
        if let Some(sizes) = loaded.log {
            self.persistence.log.opened(sizes);
        }
        self.restored(keyspace, loaded.found);
    }

    /// Periodic work: save points, AOF rewrite.
    pub(crate) fn persistence_tick(&mut self, _keyspace: &mut Keyspace) {
        if self.standing.loading {
            return;
        }
        self.save_point_tick();
        self.log_tick();
    }

    /// Begins and advances a snapshot within its budget, once a turn, right before the turn's stream is appended.
    pub(crate) fn persistence_step(&mut self, keyspace: &mut Keyspace) {
        if self.standing.loading {
            return;
        }
        self.log_step();
        self.pass_step(keyspace);
    }

    /// When the next turn is due for the sake of a running snapshot.
    pub(crate) fn persistence_deadline(&self) -> Option<Duration> {
        let pass = self.persistence.pass.as_ref()?;
        (pass.can_walk() && !(pass.serves_replicas() && self.replicas_are_behind())).then_some(Duration::ZERO)
    }

    /// The keyspace was replaced by another (a full resync): what was being written of the old one is of no use.
    pub(crate) fn dataset_replaced(&mut self, _keyspace: &mut Keyspace) {
        self.pass_lost();
        self.persistence.log.dataset_replaced();
        self.persistence.dirty = 0;
    }

    /// How much of the stream is on the disk for certain, by a log that syncs before anything is acknowledged (I3).
    pub(crate) fn synced(&self) -> Offset {
        if self.log_is_whole() { self.persistence.log.synced() } else { Offset(0) }
    }

    /// Does the log hold the whole dataset, as far as it was written?
    pub(crate) fn log_is_whole(&self) -> bool {
        self.persistence.log.is_whole() && self.standing.aof_failing.is_none()
    }

    /// Is the log synced before anything is acknowledged? By directive, or because the group's acknowledgements have to mean it.
    pub(crate) fn log_syncs_first(&self) -> bool {
        self.config.appendfsync == AppendFsync::Always || self.acknowledges_by_fsync()
    }

    fn note(&mut self, level: Level, line: &str) {
        self.effects.push(Effect::Log(level, line.to_owned()));
    }
}

impl Persistence {
    /// Whether commands are appended to a log.
    #[inline]
    pub(crate) fn writes_log(&self) -> bool {
        self.log.writes()
    }

    /// Everything that was appended up to this ticket is on the disk.
    pub(crate) fn confirmed_ticket(&self) -> u64 {
        self.log.confirmed_ticket()
    }

    /// Is there a log that goes on from what was loaded?
    pub(crate) fn has_log(&self) -> bool {
        self.log.is_on()
    }

    fn load_progress(&self) -> (u64, u64) {
        (self.gauge.load_done.load(Ordering::Relaxed), self.gauge.load_total.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
