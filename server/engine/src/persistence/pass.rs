//! A pass: one walk over the keyspace that feeds every target that wanted a snapshot in the turn in which it began.
//!
//! ```text
//! wanted ──begin──▶ Walking ──every key written──▶ Writing ──each target has finished──▶ (none)
//!                      │                              │
//!                      └──────── dataset replaced, leaving, no receiver left: aborted ──▶ (none)
//! ```
//! The walk goes on for a bounded time each turn, a third of what the turn itself took, and stands still while the disk
//! or a replica is behind. What is written of keys that are about to change does not: no client waits for a disk. It is handed over like the
//! rest, and all of it is at most what the walk would have written. Source of the bounds: a chunk is walked in a tenth of a millisecond and sealed in two;
//! a few of them keep both threads busy, and neither for so long that a client would notice.

use std::time::Duration;

use quorate_keyspace::{DbIndex, ImageSink, Keyspace, Progress};
use quorate_persist::aof::manifest::BaseFormat;
use quorate_persist::aof::rewrite::CommandWriter;
use quorate_persist::rdb::RdbHeader;
use quorate_persist::rdb::seal::Checksum;
use quorate_persist::rdb::write::{Compression, DbSize, RdbWriter};

use super::{DiskTask, PassId, PassPlan, SnapshotTarget};
use crate::core::Core;
use crate::effect::{Level, Memory};
use crate::replication::Payload;
use crate::{Effect, REDIS_VERSION};

/// Bytes on their way to the disk at which the walk stands still.
const IN_FLIGHT: usize = 1 << 20;
/// A chunk is handed over when it has so many bytes.
const CHUNK: usize = 64 << 10;
/// Keys walked between two looks at the clock at most; fewer while they are large. And steps of one turn at most.
const KEYS_A_STEP: usize = 64;
const STEPS_A_TURN: usize = 256;
/// A turn gives the walk a third of the time that the turn's commands took, so that three quarters of the throughput are left, within
/// these bounds.
const SHARE: u32 = 3;
const TIME_LEAST: Duration = Duration::from_micros(50);
const TIME_MOST: Duration = Duration::from_millis(1);

/// A running pass.
#[derive(Debug)]
pub(super) struct Pass {
    id: PassId,
    pub began: Duration,
    /// `dirty` when it began: so many changes are saved when its file is.
    pub dirty: u64,
    pub keys_total: u64,
    pub keys_done: u64,
    phase: Phase,
    pending: Pending,
    /// What the replicas' payload needs until it is complete.
    payload: Option<Payload>,
    in_flight: usize,
    /// Keys of the next step.
    stride: usize,
    /// Effects that come after the turn's stream: the snapshot holds it already, so it belongs into the old log file.
    deferred: Vec<DiskTask>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Walking,
    Writing,
}

/// Targets that have not finished.
#[derive(Debug, Clone, Copy)]
struct Pending {
    file: bool,
    log: bool,
    replicas: bool,
}

impl Pass {
    pub fn can_walk(&self) -> bool {
        self.phase == Phase::Walking && self.in_flight < IN_FLIGHT
    }

    /// Takes what the sink has, if that is a chunk, or the last one.
    fn collect(&mut self, sink: &mut dyn ImageSink, progress: Progress) {
        if progress != Progress::Complete && sink.pending() < CHUNK {
            return;
        }
        let bytes = sink.drain();
        self.in_flight += bytes.len();
        self.deferred.push(DiskTask::PassChunk { pass: self.id, bytes });
    }

    pub fn serves_replicas(&self) -> bool {
        self.payload.is_some()
    }

    pub fn saves_file(&self) -> bool {
        self.pending.file
    }

    pub fn rewrites_log(&self) -> bool {
        self.pending.log
    }

    fn is_over(&self) -> bool {
        !(self.pending.file || self.pending.log || self.pending.replicas)
    }
}

impl Core {
    /// Begins what is wanted, then walks.
    pub(super) fn pass_step(&mut self, keyspace: &mut Keyspace) {
        if self.persistence.pass.is_none() {
            self.begin_pass(keyspace);
        }
        self.drop_lonely_pass(keyspace);
        self.walk(keyspace);
    }

    fn begin_pass(&mut self, keyspace: &mut Keyspace) {
        let file = self.persistence.saves.wants_file();
        let log = self.persistence.log.wants_base(&self.config);
        let replicas = self.replicas_want_snapshot();
        // A base of commands has another form than an RDB: it gets a pass of its own.
        let alone = log.is_some_and(|plan| plan.format == BaseFormat::Commands);
        let (file, replicas) = (file && !alone, replicas && !alone);
        if !(file || log.is_some() || replicas) {
            return;
        }
        self.persistence.last_pass += 1;
        let id = PassId(self.persistence.last_pass);
        let compression = if self.config.rdbcompression { Compression::Lzf } else { Compression::None };
        let (sink, payload): (Box<dyn ImageSink>, _) = if alone {
            (Box::new(CommandWriter::new(Vec::new())), None)
        } else {
            let (point, epoch, payload) = match replicas.then(|| self.replicas_snapshot_begins()) {
                Some((point, epoch, payload)) => (Some(point), Some(epoch.0), Some(payload)),
                None => {
                    let point = self.point_behind(self.propagation.stream().len());
                    (point.map(|(point, _)| point), point.map(|(_, epoch)| epoch.0), None)
                }
            };
            let header = RdbHeader {
                redis_version: REDIS_VERSION.to_owned(),
                created_s: self.now.wall.as_secs(),
                used_memory: (self.host.used_memory)() as u64,
                replication: point,
                epoch,
                aof_base: log.is_some(),
            };
            (Box::new(RdbWriter::new(&header, sizes(keyspace), compression)), payload)
        };
        keyspace.begin_snapshot(sink);
        let checksum = if self.config.rdbchecksum { Checksum::Crc64 } else { Checksum::None };
        let plan = PassPlan { pass: id, file: file.then(|| self.config.dbfilename.clone()), log, replicas, checksum };
        self.persistence.saves.begun(file, self.now);
        if let Some(plan) = log {
            self.persistence.log.base_begun(plan, self.now);
            // A new file begins: its first command names its database.
            self.propagation.forget_selected();
        }
        self.persistence.pass = Some(Pass {
            id,
            began: self.now.mono,
            dirty: self.persistence.dirty,
            keys_total: keyspace.len() as u64,
            keys_done: 0,
            phase: Phase::Walking,
            pending: Pending { file, log: log.is_some(), replicas },
            payload,
            in_flight: 0,
            stride: KEYS_A_STEP,
            deferred: vec![DiskTask::PassBegins(plan)],
        });
        self.note(Level::Notice, &format!("Background saving started by pass {}", id.0));
    }

    /// A pass only for replicas ends when none is left to receive it.
    fn drop_lonely_pass(&mut self, keyspace: &mut Keyspace) {
        let Some(pass) = &self.persistence.pass else { return };
        let only_replicas = pass.pending.replicas && !pass.pending.file && !pass.pending.log;
        if only_replicas && pass.phase == Phase::Walking && !self.replicas_receive() {
            self.pass_aborted(keyspace);
        }
    }

    /// Ends the running pass without an outcome.
    pub(super) fn pass_aborted(&mut self, keyspace: &mut Keyspace) {
        if let Some((_, discarded)) = keyspace.end_snapshot() {
            self.effects.push(Effect::Free(Memory(discarded)));
        }
        self.pass_lost();
    }

    /// The running pass lost its keyspace.
    pub(super) fn pass_lost(&mut self) {
        let Some(mut pass) = self.persistence.pass.take() else { return };
        self.flush_deferred(&mut pass);
        self.effects.push(Effect::Disk(DiskTask::PassAborted(pass.id)));
        if pass.pending.file {
            self.persistence.saves.abandoned();
        }
        if pass.pending.log {
            self.persistence.log.abandoned();
        }
        if pass.pending.replicas {
            self.replicas_snapshot_failed();
        }
    }

    fn walk(&mut self, keyspace: &mut Keyspace) {
        let behind = self.replicas_are_behind();
        let Some(pass) = &mut self.persistence.pass else { return };
        if pass.phase == Phase::Walking
            && let Some(sink) = keyspace.snapshot_sink()
        {
            // What this turn's commands were about to change.
            pass.collect(sink, Progress::Walking(0));
        }
        if !pass.can_walk() || (pass.payload.is_some() && behind) {
            return;
        }
        let clock = self.host.clock;
        let started = clock();
        let budget = (started.saturating_sub(self.now.mono) / SHARE).clamp(TIME_LEAST, TIME_MOST);
        for _ in 0..STEPS_A_TURN {
            let progress = keyspace.step_snapshot(pass.stride);
            if let Progress::Walking(keys) = progress {
                pass.keys_done += keys as u64;
            }
            let complete = progress == Progress::Complete;
            let sink = keyspace.snapshot_sink().expect("a pass that walks has its snapshot");
            let large = sink.pending() > 2 * CHUNK;
            pass.stride = if large { (pass.stride / 4).max(1) } else { (2 * pass.stride).min(KEYS_A_STEP) };
            pass.collect(sink, progress);
            if complete {
                pass.keys_done = pass.keys_total;
                pass.phase = Phase::Writing;
                pass.deferred.push(DiskTask::PassEnds(pass.id));
                if let Some((_, discarded)) = keyspace.end_snapshot() {
                    self.effects.push(Effect::Free(Memory(discarded)));
                }
                return;
            }
            if pass.in_flight >= IN_FLIGHT || clock().saturating_sub(started) >= budget {
                return;
            }
        }
    }

    /// The turn's stream has been appended: what the pass asks of the disk comes behind it.
    pub(super) fn pass_tasks(&mut self) {
        if let Some(mut pass) = self.persistence.pass.take() {
            self.flush_deferred(&mut pass);
            self.persistence.pass = Some(pass);
        }
    }

    fn flush_deferred(&mut self, pass: &mut Pass) {
        self.effects.extend(pass.deferred.drain(..).map(Effect::Disk));
    }

    pub(super) fn pass_sealed(&mut self, id: PassId, raw: usize, bytes: &[u8]) {
        let Some(mut pass) = self.persistence.pass.take_if(|pass| pass.id == id) else { return };
        pass.in_flight = pass.in_flight.saturating_sub(raw);
        if let Some(payload) = &mut pass.payload
            && !bytes.is_empty()
        {
            self.replicas_payload(payload, bytes);
        }
        self.persistence.pass = Some(pass);
    }

    pub(super) fn pass_finished(&mut self, id: PassId, target: SnapshotTarget, outcome: Result<u64, String>) {
        let Some(mut pass) = self.persistence.pass.take_if(|pass| pass.id == id) else { return };
        match target {
            SnapshotTarget::File => {
                pass.pending.file = false;
                self.file_finished(&pass, outcome);
            }
            SnapshotTarget::AofBase => {
                pass.pending.log = false;
                self.log_finished(&pass, outcome);
            }
            SnapshotTarget::Replicas => {
                pass.pending.replicas = false;
                match (outcome, pass.payload.take()) {
                    (Ok(_), Some(payload)) => self.replicas_snapshot_ends(payload),
                    _ => self.replicas_snapshot_failed(),
                }
            }
        }
        if !pass.is_over() {
            self.persistence.pass = Some(pass);
        }
    }
}

/// How large the databases are, so that a load can make its tables ahead.
fn sizes(keyspace: &Keyspace) -> Vec<DbSize> {
    let size = |index| {
        let db = DbIndex(index);
        let (keys, expiring) = keyspace.sizes(db);
        DbSize { db, keys: keys as u64, expiring: expiring as u64 }
    };
    (0..keyspace.databases()).map(size).filter(|size| size.keys > 0).collect()
}
