//! Performs the engine's disk effects: the append-only log, snapshots, and loading at the start.
//!
//! * `log.rs`: the log's file is written on the loop's thread, as Redis does, so that a killed process loses nothing that it
//!   acknowledged; it is synced on a thread of its own. With `appendfsync always` that thread writes, too, and replies wait for it.
//! * `snapshot.rs`: a thread that seals the chunks of a pass and writes them to temporary files.
//! * `load.rs`: a thread that builds the dataset at the start.
//! * `files.rs`: a file is replaced whole or not at all.
//!
//! The manifest of the log is the loop thread's: whatever changes it happens here, in order. Paths are relative to `dir`, which is the
//! working directory.

mod files;
mod load;
mod log;
mod snapshot;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_config::ServerConfig;
use quorate_engine::{DiskDone, DiskTask, Gauge, Incr, Loaded, LogPlan, PassId, PassPlan, SnapshotTarget};
use quorate_persist::aof::manifest::{BaseFormat, Manifest};

use crate::{Mail, Mailbox, host};
use load::Outcome;
use log::{LogFile, Policy, Waiting};
use snapshot::Snapshots;

/// What a disk thread tells the loop.
#[derive(Debug)]
pub enum Event {
    /// For the engine.
    Done(DiskDone),
    /// A background sync of the log has ended.
    Synced(Result<(), String>),
    /// The base of a new log is written and synced, under its temporary name.
    BaseWritten {
        /// Of which pass.
        pass: PassId,
        /// How many bytes it has, or the operating system's text.
        outcome: Result<u64, String>,
    },
    /// Files of the log's history were removed.
    Removed(Vec<String>),
    /// The dataset is there, or cannot be had.
    Loaded(Box<Result<Outcome, String>>),
}

/// What the loop does about an event.
#[derive(Debug)]
pub(crate) enum Then {
    Nothing,
    Done(DiskDone),
    Loaded(Box<Loaded>),
    /// The dataset cannot be loaded: the node may not start with less than it had.
    Fail(String),
}

/// A base that is being written.
#[derive(Debug)]
struct Base {
    pass: PassId,
    format: BaseFormat,
    /// The manifest that the base will belong to, and the incremental file that begins where the base ends.
    manifest: Manifest,
    incr: Option<String>,
    /// The log was switched off meanwhile.
    cancelled: bool,
}

/// The disk's side of the loop.
#[derive(Debug)]
pub(crate) struct Disk {
    mailbox: Mailbox,
    gauge: Arc<Gauge>,
    names: Names,
    manifest: Manifest,
    log: Option<LogFile>,
    base: Option<Base>,
    snapshots: Snapshots,
    policy: Policy,
    /// `no-appendfsync-on-rewrite` while a pass runs.
    quiet_on_rewrite: bool,
    passes: usize,
}

/// Where the log is.
#[derive(Debug, Clone)]
struct Names {
    dir: PathBuf,
    basename: String,
}

impl Names {
    fn of(config: &ServerConfig) -> Names {
        Names { dir: PathBuf::from(&config.appenddirname), basename: config.appendfilename.clone() }
    }

    fn manifest(&self) -> PathBuf {
        self.dir.join(Manifest::file_name(&self.basename))
    }

    fn temporary_base(&self) -> PathBuf {
        self.dir.join(format!("temp-rewriteaof-bg-{}.aof", std::process::id()))
    }

    /// The manifest as it stands on disk; none if there is no log.
    fn read_manifest(&self) -> Result<Option<Manifest>, String> {
        let path = self.manifest();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(told(&path, &error)),
        };
        Manifest::parse(&text).map(Some).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), String> {
        let path = self.manifest();
        files::replace(&path, manifest.encode().as_bytes()).map_err(|error| told(&path, &error))
    }

    fn create(&self, name: &str) -> Result<File, String> {
        let path = self.dir.join(name);
        // Created empty, then opened for appending: the two do not go together.
        let file = File::create(&path).and_then(|_| File::options().append(true).open(&path));
        file.map_err(|error| told(&path, &error))
    }
}

impl Disk {
    /// Starts the snapshot thread.
    pub fn start(config: &ServerConfig, mailbox: &Mailbox, gauge: Arc<Gauge>) -> std::io::Result<Disk> {
        Ok(Disk {
            mailbox: mailbox.clone(),
            gauge,
            names: Names::of(config),
            manifest: Manifest::default(),
            log: None,
            base: None,
            snapshots: Snapshots::start(mailbox.clone())?,
            policy: policy(config),
            quiet_on_rewrite: config.no_appendfsync_on_rewrite,
            passes: 0,
        })
    }

    /// Starts to load what `dir` holds; false if there is nothing to be loaded and no log to be opened.
    pub fn load(&self, config: &ServerConfig, rng: fastrand::Rng) -> bool {
        load::start(config, self.names.clone(), rng, self.mailbox.clone(), Arc::clone(&self.gauge))
    }

    /// The configuration changed.
    pub fn configure(&mut self, config: &ServerConfig) {
        self.policy = policy(config);
        self.quiet_on_rewrite = config.no_appendfsync_on_rewrite;
        if let Some(log) = &mut self.log {
            log.set_policy(config.appendfsync);
        }
    }

    /// Does what the engine asks.
    pub fn perform(&mut self, task: DiskTask) {
        match task {
            DiskTask::Append { bytes, ticket } => {
                if let Some(log) = &mut self.log {
                    log.append(bytes, ticket);
                    self.tick();
                } else if let Some(ticket) = ticket {
                    self.mailbox.send(Mail::Disk(Event::Done(DiskDone::Confirmed(ticket))));
                }
            }
            DiskTask::CloseLog => {
                if let Some(log) = self.log.take() {
                    log.close();
                }
                if let Some(base) = &mut self.base {
                    base.cancelled = true;
                }
            }
            DiskTask::PassBegins(plan) => self.begin_pass(plan),
            DiskTask::PassChunk { pass, bytes } => self.snapshots.chunk(pass, bytes),
            DiskTask::PassEnds(pass) => {
                self.passes = self.passes.saturating_sub(1);
                self.snapshots.end(pass);
            }
            DiskTask::PassAborted(pass) => {
                self.passes = self.passes.saturating_sub(1);
                self.base = None;
                self.snapshots.abort(pass);
            }
        }
    }

    /// Writes and syncs what is due. Called after each append and with each tick.
    pub fn tick(&mut self) {
        if let Some(log) = &mut self.log {
            let quiet = self.quiet_on_rewrite && self.passes > 0;
            log.tick(host::clock(), quiet);
        }
    }

    fn begin_pass(&mut self, plan: PassPlan) {
        self.passes += 1;
        let mut base = None;
        if let Some(log) = plan.log {
            match self.begin_base(plan.pass, log) {
                Ok(()) => base = Some(self.names.temporary_base()),
                Err(error) => self.finished(plan.pass, SnapshotTarget::AofBase, Err(error)),
            }
        }
        self.snapshots.begin(&plan, base);
    }

    /// Opens the incremental file that follows the new base.
    fn begin_base(&mut self, pass: PassId, plan: LogPlan) -> Result<(), String> {
        files::create_dir(&self.names.dir).map_err(|error| told(&self.names.dir, &error))?;
        let mut manifest = match plan.incr {
            Incr::Next => self.manifest.clone(),
            Incr::First | Incr::None => self.names.read_manifest()?.unwrap_or_default(),
        };
        let mut incr = None;
        if plan.incr != Incr::None {
            let name = manifest.open_incr(&self.names.basename);
            if let Some(log) = &mut self.log {
                log.settle()?;
            }
            let file = self.names.create(&name)?;
            if plan.incr == Incr::Next {
                self.names.write_manifest(&manifest)?;
                self.manifest = manifest.clone();
            }
            let log = LogFile::open(file, 0, self.policy, self.mailbox.clone(), Arc::clone(&self.gauge));
            let mut log = log.map_err(|error| error.to_string())?;
            if let Some(older) = self.log.take() {
                log.succeed(older);
            }
            self.log = Some(log);
            incr = Some(name);
        }
        self.base = Some(Base { pass, format: plan.format, manifest, incr, cancelled: false });
        Ok(())
    }

    /// Something happened on a disk thread.
    pub fn event(&mut self, event: Event) -> Then {
        match event {
            Event::Done(done) => return Then::Done(done),
            Event::Synced(outcome) => {
                if let Some(log) = &mut self.log {
                    log.synced(outcome);
                }
            }
            Event::BaseWritten { pass, outcome } => {
                let Some(base) = self.base.take_if(|base| base.pass == pass) else { return Then::Nothing };
                let outcome = outcome.and_then(|bytes| self.install_base(base).map(|()| bytes));
                return Then::Done(DiskDone::Finished { pass, target: SnapshotTarget::AofBase, outcome });
            }
            Event::Removed(names) => {
                self.manifest.history.retain(|file| !names.contains(&file.name));
                if let Err(error) = self.names.write_manifest(&self.manifest) {
                    // The next rewrite writes it again; a load does not mind missing history.
                    tracing::warn!("Writing the AOF manifest: {error}");
                }
            }
            Event::Loaded(outcome) => match *outcome {
                Ok(outcome) => return self.loaded(outcome),
                Err(error) => return Then::Fail(error),
            },
        }
        Then::Nothing
    }

    fn loaded(&mut self, outcome: Outcome) -> Then {
        if let Some((manifest, file, size)) = outcome.log {
            self.manifest = manifest;
            match LogFile::open(file, size, self.policy, self.mailbox.clone(), Arc::clone(&self.gauge)) {
                Ok(log) => self.log = Some(log),
                Err(error) => return Then::Fail(error.to_string()),
            }
        }
        Then::Loaded(Box::new(outcome.loaded))
    }

    /// The base gets its name, and the manifest names it: from now on a load begins with it.
    fn install_base(&mut self, base: Base) -> Result<(), String> {
        if base.cancelled {
            let _ = std::fs::remove_file(self.names.temporary_base()); // overwritten by the next one otherwise
            return Err("the log was switched off".to_owned());
        }
        let mut manifest = base.manifest;
        let name = manifest.replace_base(&self.names.basename, base.incr.as_deref(), base.format);
        let path = self.names.dir.join(&name);
        files::rename(&self.names.temporary_base(), &path).map_err(|error| told(&path, &error))?;
        self.names.write_manifest(&manifest)?;
        let history = manifest.history.iter().map(|file| file.name.clone()).collect();
        self.snapshots.remove(self.names.dir.clone(), history);
        self.manifest = manifest;
        Ok(())
    }

    fn finished(&self, pass: PassId, target: SnapshotTarget, outcome: Result<u64, String>) {
        self.mailbox.send(Mail::Disk(Event::Done(DiskDone::Finished { pass, target, outcome })));
    }

    /// The process leaves: what was appended is written and synced, what is half written is removed.
    pub fn finish(self) {
        if let Some(log) = self.log {
            log.close();
        }
        self.snapshots.finish();
    }
}

fn policy(config: &ServerConfig) -> Policy {
    let waiting = if config.group.is_empty() { Waiting::Briefly } else { Waiting::Never };
    Policy { fsync: config.appendfsync, waiting }
}

/// Text of an error with its file.
fn told(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
