//! A data node's disk, and the part of its shell that writes it: the state file, the append-only log, snapshots.
//!
//! What was written survives the process; what was synced survives the power. A crash may come at any operation: the one that it comes at is
//! done in part. The shell's decisions are the real ones ([`Flusher`], the engine's tasks); the rest mirrors `server/node/src/disk`.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_config::{AppendFsync, ServerConfig};
use quorate_engine::{DiskDone, DiskTask, Found, Incr, Loaded, LogPlan, LogSizes, PassId, Replayer, SnapshotTarget};
use quorate_keyspace::{DbIndex, ImageSink as _, UnixMs};
use quorate_persist::aof::append::{Flusher, FsyncPolicy, Step};
use quorate_persist::aof::load::{Ending, Point, read_commands};
use quorate_persist::aof::manifest::BaseFormat;
use quorate_persist::rdb::RdbHeader;
use quorate_persist::rdb::read::{ExpiredKeys, LoadOptions, load};
use quorate_persist::rdb::seal::{Checksum, Sealer};
use quorate_persist::rdb::write::{Compression, RdbWriter};
use quorate_replication::fence::Durable;
use quorate_replication::history::Held;
use quorate_replication::{Epoch, Offset, ReplId};

/// Names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(pub u64);

/// A file's bytes, and how many of them are there for good.
#[derive(Debug, Default, Clone)]
struct File {
    bytes: Vec<u8>,
    synced: usize,
}

/// The files of the log, in order.
#[derive(Debug, Default, Clone)]
struct Manifest {
    base: Option<FileId>,
    incrs: Vec<FileId>,
}

/// What the state file says.
#[derive(Debug, Clone)]
pub struct State {
    /// The node's id.
    pub node_id: String,
    /// What it promised and was told.
    pub durable: Durable,
}

/// What outlives the process.
#[derive(Debug, Default)]
pub struct Disk {
    /// The state file.
    pub state: Option<State>,
    files: BTreeMap<FileId, File>,
    manifest: Option<Manifest>,
    next: u64,
}

impl Disk {
    /// The power fails: what was not synced is gone, all of it or some.
    pub fn lose_power(&mut self, rng: &mut fastrand::Rng) {
        for file in self.files.values_mut() {
            let left = rng.usize(file.synced..=file.bytes.len());
            file.bytes.truncate(if rng.bool() { file.synced } else { left });
            file.synced = file.bytes.len();
        }
    }

    /// Syncs a file of the log up to here, and those whose place it took as a whole, before it.
    fn sync(&mut self, id: FileId, up_to: usize) {
        let incrs = self.manifest.iter().flat_map(|manifest| &manifest.incrs).take_while(|incr| **incr < id);
        let older: Vec<FileId> = incrs.copied().collect();
        for (id, up_to) in older.into_iter().map(|older| (older, usize::MAX)).chain([(id, up_to)]) {
            if let Some(file) = self.files.get_mut(&id) {
                file.synced = file.synced.max(up_to.min(file.bytes.len()));
            }
        }
    }

    fn create(&mut self) -> FileId {
        self.next += 1;
        self.files.insert(FileId(self.next), File::default());
        FileId(self.next)
    }

    fn write_whole(&mut self, bytes: Vec<u8>) -> FileId {
        let id = self.create();
        let synced = bytes.len();
        self.files.insert(id, File { bytes, synced });
        id
    }

    /// Files that no manifest names, beside those in use: a new process removes them or never looks.
    fn sweep(&mut self, keep: &[FileId]) {
        let manifest = self.manifest.clone().unwrap_or_default();
        let named = |id: &FileId| manifest.base == Some(*id) || manifest.incrs.contains(id) || keep.contains(id);
        self.files.retain(|id, _| named(id));
    }
}

/// The process dies at this operation.
#[derive(Debug)]
pub struct Crashed;

/// What follows from work at the disk, and when.
#[derive(Debug)]
pub enum Later {
    /// For the engine, soon.
    Done(DiskDone),
    /// The log's thread is syncing up to here.
    Syncing(FileId, usize),
}

/// The log of this process.
#[derive(Debug)]
struct Log {
    file: FileId,
    waiting: Vec<u8>,
    flusher: Flusher,
    failing: bool,
    jobs: Vec<Job>,
    /// The thread is syncing; it will then confirm this ticket, or say that it has synced.
    busy: Option<Option<u64>>,
}

#[derive(Debug)]
enum Job {
    Sync,
    Write { bytes: Vec<u8>, ticket: u64 },
}

#[derive(Debug)]
struct Base {
    pass: PassId,
    manifest: Manifest,
    incr: Option<FileId>,
    cancelled: bool,
}

struct Work {
    pass: PassId,
    sealer: Option<Sealer>,
    base: Option<Vec<u8>>,
    replicas: bool,
}

/// The disk and what this process is doing with it.
pub struct Storage {
    /// What outlives the process.
    pub disk: Disk,
    log: Option<Log>,
    base: Option<Base>,
    work: Option<Work>,
    policy: AppendFsync,
    /// Nothing more can be written.
    pub is_full: bool,
    /// The process dies at the operation after so many more.
    pub crash_after: Option<u32>,
}

impl Storage {
    /// An empty disk.
    pub fn new() -> Storage {
        Storage {
            disk: Disk::default(),
            log: None,
            base: None,
            work: None,
            policy: AppendFsync::Everysec,
            is_full: false,
            crash_after: None,
        }
    }

    /// The process is gone.
    pub fn process_died(&mut self) {
        (self.log, self.base, self.work, self.crash_after) = (None, None, None, None);
        self.disk.sweep(&[]);
    }

    /// One operation at the disk: does the process die at it?
    pub fn operation(&mut self) -> Result<(), Crashed> {
        match &mut self.crash_after {
            Some(0) => Err(Crashed),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Does what the engine asks.
    pub fn perform(
        &mut self,
        now: Duration,
        task: DiskTask,
        rng: &mut fastrand::Rng,
        later: &mut Vec<Later>,
    ) -> Result<(), Crashed> {
        match task {
            DiskTask::Append { bytes, ticket } => self.append(now, bytes, ticket, rng, later)?,
            DiskTask::CloseLog => {
                if let Some(log) = self.log.take()
                    && let Some(file) = self.disk.files.get_mut(&log.file)
                {
                    file.bytes.extend_from_slice(&log.waiting);
                    file.synced = file.bytes.len();
                }
                if let Some(base) = &mut self.base {
                    base.cancelled = true;
                }
            }
            DiskTask::PassBegins(plan) => {
                let mut base = None;
                if let Some(log) = plan.log {
                    self.operation()?;
                    match self.begin_base(now, plan.pass, log, later) {
                        Ok(()) => base = Some(Vec::new()),
                        Err(error) => {
                            let (pass, target) = (plan.pass, SnapshotTarget::AofBase);
                            later.push(Later::Done(DiskDone::Finished { pass, target, outcome: Err(error) }));
                        }
                    }
                }
                let commands = plan.log.is_some_and(|log| log.format == BaseFormat::Commands);
                let sealer = (!commands).then(|| Sealer::new(plan.checksum));
                self.work = Some(Work { pass: plan.pass, sealer, base, replicas: plan.replicas });
            }
            DiskTask::PassChunk { pass, bytes } => {
                if let Some(work) = self.work.as_mut().filter(|work| work.pass == pass) {
                    later.push(Later::Done(work.chunk(&bytes)));
                }
            }
            DiskTask::PassEnds(pass) => {
                if let Some(work) = self.work.take_if(|work| work.pass == pass) {
                    self.end_pass(work, later);
                }
            }
            DiskTask::PassAborted(pass) => {
                self.base = None;
                self.work.take_if(|work| work.pass == pass);
            }
        }
        Ok(())
    }

    fn end_pass(&mut self, mut work: Work, later: &mut Vec<Later>) {
        let pass = work.pass;
        if let Some(sealer) = work.sealer.take() {
            let mut sum = Vec::new();
            sealer.finish(&mut sum);
            later.push(Later::Done(work.written(sum, 0)));
        }
        if work.replicas {
            let target = SnapshotTarget::Replicas;
            later.push(Later::Done(DiskDone::Finished { pass, target, outcome: Ok(0) }));
        }
        if let Some(bytes) = work.base {
            let outcome = if self.is_full { Err("no space left on device".to_owned()) } else { Ok(bytes.len() as u64) };
            // The bytes wait under the pass's name until the loop's thread installs them.
            let id = self.disk.write_whole(bytes);
            if let Some(base) = self.base.as_mut().filter(|base| base.pass == pass) {
                base.manifest.base = Some(id);
            }
            later.push(Later::Done(DiskDone::Finished { pass, target: SnapshotTarget::AofBase, outcome }));
        }
    }

    fn begin_base(&mut self, now: Duration, pass: PassId, plan: LogPlan, later: &mut Vec<Later>) -> Result<(), String> {
        let mut manifest = self.disk.manifest.clone().unwrap_or_default();
        let mut incr = None;
        if plan.incr != Incr::None {
            if self.is_full && self.log.as_ref().is_some_and(|log| !log.waiting.is_empty()) {
                return Err("no space left on device".to_owned());
            }
            let id = self.disk.create();
            manifest.incrs.push(id);
            if plan.incr == Incr::Next {
                self.disk.manifest = Some(manifest.clone());
            }
            if let Some(old) = self.log.take() {
                self.settle(old, later);
            }
            self.log = Some(Log::open(id, self.policy, now));
            incr = Some(id);
        }
        self.base = Some(Base { pass, manifest, incr, cancelled: false });
        Ok(())
    }

    /// The loop waits until the thread has done all that it was given; then the old file is written to its end, and synced a little later.
    fn settle(&mut self, old: Log, later: &mut Vec<Later>) {
        let Log { file, waiting, failing, jobs, busy, .. } = old;
        let mut ticket = busy.flatten();
        let is_behind = busy.is_some() || !jobs.is_empty();
        for job in jobs {
            if let Job::Write { bytes, ticket: newer } = job {
                self.write_to(file, &bytes);
                ticket = Some(newer);
            }
        }
        if is_behind {
            self.disk.sync(file, usize::MAX);
        }
        later.extend(ticket.map(|ticket| Later::Done(DiskDone::Confirmed(ticket))));
        self.write_to(file, &waiting);
        if failing {
            later.push(Later::Done(DiskDone::AppendRecovered));
        }
        let length = self.disk.files.get(&file).map_or(0, |file| file.bytes.len());
        later.push(Later::Syncing(file, length));
    }

    /// A new base is written: it gets its name, and the manifest names it. Returns what the engine is told.
    pub fn install_base(&mut self, done: DiskDone) -> Result<DiskDone, Crashed> {
        let DiskDone::Finished { pass, target: SnapshotTarget::AofBase, outcome: Ok(bytes) } = done else {
            return Ok(done);
        };
        self.operation()?;
        let Some(base) = self.base.take_if(|base| base.pass == pass) else { return Ok(done) };
        let target = SnapshotTarget::AofBase;
        if base.cancelled {
            return Ok(DiskDone::Finished { pass, target, outcome: Err("the log was switched off".to_owned()) });
        }
        let mut manifest = base.manifest;
        if let Some(first) = base.incr {
            manifest.incrs.retain(|incr| *incr >= first);
        } else {
            manifest.incrs.clear();
        }
        self.disk.manifest = Some(manifest);
        let open: Vec<FileId> = self.log.iter().map(|log| log.file).collect();
        self.disk.sweep(&open);
        Ok(DiskDone::Finished { pass, target, outcome: Ok(bytes) })
    }

    fn append(
        &mut self,
        now: Duration,
        bytes: Vec<u8>,
        ticket: Option<u64>,
        rng: &mut fastrand::Rng,
        later: &mut Vec<Later>,
    ) -> Result<(), Crashed> {
        if self.operation().is_err() {
            if let Some(log) =
                self.log.as_ref().filter(|log| log.busy.is_none() && log.jobs.is_empty() && !self.is_full)
            {
                let all = [log.waiting.as_slice(), &bytes].concat();
                let (file, part) = (log.file, rng.usize(..=all.len()));
                self.write_to(file, &all[..part]);
            }
            return Err(Crashed);
        }
        let Some(log) = &mut self.log else {
            later.extend(ticket.map(|ticket| Later::Done(DiskDone::Confirmed(ticket))));
            return Ok(());
        };
        match ticket {
            Some(ticket) => {
                // What was said before tickets were asked for comes first.
                if !log.waiting.is_empty() {
                    if self.is_full {
                        later.push(Later::Done(DiskDone::AppendFailed("no space left on device".to_owned())));
                        return Ok(());
                    }
                    log.flusher.wrote(now);
                    if std::mem::take(&mut log.failing) {
                        later.push(Later::Done(DiskDone::AppendRecovered));
                    }
                    let (file, waiting) = (log.file, std::mem::take(&mut log.waiting));
                    self.write_to(file, &waiting);
                }
                self.log.as_mut().expect("still").jobs.push(Job::Write { bytes, ticket });
                self.work_on(later);
            }
            None => {
                self.hand_over_first();
                self.log.as_mut().expect("still").waiting.extend_from_slice(&bytes);
                self.tick(now, later);
            }
        }
        Ok(())
    }

    /// What the thread was given gets into the file before anything that it is not given; it is synced when the thread gets to it.
    fn hand_over_first(&mut self) {
        let Some(log) = self.log.as_mut().filter(|_| !self.is_full) else { return };
        let mut written = Vec::new();
        for job in &mut log.jobs {
            if let Job::Write { bytes, .. } = job {
                written.append(bytes);
            }
        }
        let file = log.file;
        self.write_to(file, &written);
    }

    /// Writes and syncs what is due.
    pub fn tick(&mut self, now: Duration, later: &mut Vec<Later>) {
        let Some(log) = &mut self.log else { return };
        match log.flusher.step(now, log.waiting.len()) {
            Step::Rest => {}
            Step::Sync => {
                log.jobs.push(Job::Sync);
                self.work_on(later);
            }
            Step::Write | Step::WriteAndSync if self.is_full => {
                log.flusher.write_failed(now);
                log.failing = true;
                later.push(Later::Done(DiskDone::AppendFailed("no space left on device".to_owned())));
            }
            step @ (Step::Write | Step::WriteAndSync) => {
                log.flusher.wrote(now);
                let (file, bytes) = (log.file, std::mem::take(&mut log.waiting));
                if std::mem::take(&mut log.failing) {
                    later.push(Later::Done(DiskDone::AppendRecovered));
                }
                self.write_to(file, &bytes);
                if step == Step::WriteAndSync {
                    self.disk.sync(file, usize::MAX);
                }
            }
        }
    }

    fn write_to(&mut self, file: FileId, bytes: &[u8]) {
        if let Some(file) = self.disk.files.get_mut(&file) {
            file.bytes.extend_from_slice(bytes);
        }
    }

    /// The log's thread takes what waits for it, unless it is at work.
    fn work_on(&mut self, later: &mut Vec<Later>) {
        let Some(log) = &mut self.log else { return };
        if log.busy.is_some() || log.jobs.is_empty() {
            return;
        }
        let (mut ticket, mut written) = (None, Vec::new());
        for job in std::mem::take(&mut log.jobs) {
            if let Job::Write { bytes, ticket: newer } = job {
                written.extend_from_slice(&bytes);
                ticket = Some(newer);
            }
        }
        let file = log.file;
        if ticket.is_some() && self.is_full {
            later.push(Later::Done(DiskDone::AppendFailed("no space left on device".to_owned())));
            return;
        }
        log.busy = Some(ticket);
        self.write_to(file, &written);
        let length = self.disk.files.get(&file).map_or(0, |file| file.bytes.len());
        later.push(Later::Syncing(file, length));
    }

    /// The thread has synced a file up to here.
    pub fn synced(&mut self, file: FileId, up_to: usize, later: &mut Vec<Later>) {
        self.disk.sync(file, up_to);
        // Another file may have taken its place meanwhile.
        let Some(log) = self.log.as_mut().filter(|log| log.file == file) else { return };
        match log.busy.take() {
            Some(Some(ticket)) => later.push(Later::Done(DiskDone::Confirmed(ticket))),
            Some(None) => log.flusher.synced(),
            None => {}
        }
        self.work_on(later);
    }

    /// Is there a dataset to be loaded, or a log to be opened?
    pub fn has_something(&self, config: &ServerConfig) -> bool {
        config.appendonly
    }

    /// Builds the dataset of the log, and opens the log behind it.
    pub fn load(
        &mut self,
        now: Duration,
        wall: UnixMs,
        config: &ServerConfig,
        rng: fastrand::Rng,
    ) -> Result<Loaded, String> {
        self.policy = config.appendfsync;
        let mut replayer = Replayer::new(config.clone(), rng, wall);
        let (mut point, mut keys) = (None, 0);
        if self.disk.manifest.is_none() {
            let base = self.disk.write_whole(empty_base(wall));
            self.disk.manifest = Some(Manifest { base: Some(base), incrs: Vec::new() });
        }
        let mut manifest = self.disk.manifest.clone().unwrap_or_default();
        let mut order: Vec<FileId> = manifest.base.into_iter().chain(manifest.incrs.iter().copied()).collect();
        let mut torn = None;
        for (nth, id) in order.iter().enumerate() {
            let file = self.disk.files.get_mut(id).ok_or("a file of the log is missing")?;
            let (found, ending) = load_file(file, wall, &mut replayer, &mut point)?;
            keys += found;
            match (ending, torn) {
                (Ending::Gap { .. }, _) => {
                    manifest.incrs.retain(|incr| incr < id);
                    self.disk.manifest = Some(manifest.clone());
                    order.truncate(nth);
                    break;
                }
                (_, Some(_)) => return Err("unexpected end of a file of the log".to_owned()),
                (Ending::Truncated { valid }, None) => torn = Some((*id, valid)),
                (Ending::Clean { .. }, None) => file.synced = file.bytes.len(),
            }
        }
        if let Some((id, valid)) = torn
            && let Some(file) = self.disk.files.get_mut(&id)
        {
            file.bytes.truncate(valid as usize);
            file.synced = file.bytes.len();
        }
        let current = order.iter().map(|id| self.disk.files[id].bytes.len() as u64).sum();
        let file = match manifest.incrs.last() {
            Some(incr) => *incr,
            None => {
                let incr = self.disk.create();
                manifest.incrs.push(incr);
                self.disk.manifest = Some(manifest);
                incr
            }
        };
        self.log = Some(Log::open(file, self.policy, now));
        let found = point.and_then(|(point, epoch)| {
            let held = Held { replid: ReplId::parse(&point.replid)?, offset: Offset(point.offset) };
            let db = DbIndex(u16::try_from(point.db).unwrap_or(0));
            Some(Found { held, epoch: Epoch(epoch), db })
        });
        let log = Some(LogSizes { base: current, current });
        Ok(Loaded { keyspace: replayer.into_keyspace(), found, keys_loaded: keys, keys_expired: 0, log })
    }
}

impl Log {
    fn open(file: FileId, policy: AppendFsync, now: Duration) -> Log {
        let policy = match policy {
            AppendFsync::Always => FsyncPolicy::Always,
            AppendFsync::Everysec => FsyncPolicy::Everysec,
            AppendFsync::No => FsyncPolicy::No,
        };
        let mut flusher = Flusher::new(policy, now);
        flusher.never_postpone(); // a node of a group
        Log { file, waiting: Vec::new(), flusher, failing: false, jobs: Vec::new(), busy: None }
    }
}

impl Work {
    fn chunk(&mut self, bytes: &[u8]) -> DiskDone {
        let mut sealed = Vec::new();
        match &mut self.sealer {
            Some(sealer) => sealer.seal(bytes, &mut sealed),
            None => sealed.extend_from_slice(bytes),
        }
        self.written(sealed, bytes.len())
    }

    fn written(&mut self, sealed: Vec<u8>, raw: usize) -> DiskDone {
        if let Some(base) = &mut self.base {
            base.extend_from_slice(&sealed);
        }
        let payload = if self.replicas { sealed } else { Vec::new() };
        DiskDone::Sealed { pass: self.pass, raw, payload }
    }
}

/// One file of the log: how many keys an RDB in it had, and how it ended.
fn load_file(file: &File, wall: UnixMs, replayer: &mut Replayer, point: &mut Point) -> Result<(u64, Ending), String> {
    let mut source = &file.bytes[..];
    let (mut start, mut keys) = (0, 0);
    if source.starts_with(b"REDIS") {
        let options = LoadOptions { now: wall, expired: ExpiredKeys::Keep, checksum: Checksum::Crc64 };
        let info = load(&mut source, replayer.keyspace(), &options).map_err(|error| error.to_string())?;
        *point = info.header.replication.map(|point| (point, info.header.epoch.unwrap_or(0)));
        (start, keys) = (info.bytes, info.keys_loaded);
    }
    replayer.next_file();
    let ending = read_commands(&mut source, start, point, &mut |argv| replayer.apply(argv));
    Ok((keys, ending.map_err(|error| error.to_string())?))
}

fn empty_base(wall: UnixMs) -> Vec<u8> {
    let header = RdbHeader {
        redis_version: quorate_engine::REDIS_VERSION.to_owned(),
        created_s: wall.as_secs(),
        aof_base: true,
        ..RdbHeader::default()
    };
    let mut writer = RdbWriter::new(&header, Vec::new(), Compression::None);
    writer.finish();
    let (mut sealer, mut base) = (Sealer::new(Checksum::Crc64), Vec::new());
    sealer.seal(&writer.drain(), &mut base);
    sealer.finish(&mut base);
    base
}
