//! The thread that seals a pass's chunks and writes them: an RDB file, the base of a log, or back to the loop for replicas.
//!
//! A target that fails is given up; the others of the pass go on. A file is written under a temporary name, synced, and only then
//! put in place: the one before stays good until that moment.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use quorate_engine::{DiskDone, PassId, PassPlan, SnapshotTarget};
use quorate_persist::aof::manifest::BaseFormat;
use quorate_persist::rdb::seal::{Checksum, Sealer};

use super::{Event, files, told};
use crate::background::Breath;
use crate::{Mail, Mailbox};

/// Written bytes are pushed to the disk every so many, so that the final sync is short. Source: REDIS_AUTOSYNC_BYTES is 4 MiB; with a
/// thread for each, fewer are better.
const SYNC_EVERY: u64 = 16 << 20;
/// The thread that has so many bytes to seal goes on without breathing: commands that overwrite at full speed are the cause of them.
const BEHIND: usize = 4 << 20;
/// So many bytes may lie unsynced while the disk is behind: then the writer waits.
const UNSYNCED_MAX: u64 = 64 << 20;

#[derive(Debug)]
enum Job {
    Begin(Box<Begun>),
    Chunk(PassId, Vec<u8>),
    End(PassId),
    Abort(PassId),
    Remove(PathBuf, Vec<String>),
}

/// A pass that begins. Its files are created on the thread: the disk may be slow to do it.
#[derive(Debug)]
struct Begun {
    pass: PassId,
    checksum: Checksum,
    commands: bool,
    file: Option<PathBuf>,
    base: Option<PathBuf>,
    replicas: bool,
}

/// A pass on the thread.
struct Work {
    pass: PassId,
    sealer: Option<Sealer>, // none for a base of commands
    file: Option<(Target, PathBuf)>,
    base: Option<Target>,
    replicas: bool,
}

/// A temporary file that is being written.
struct Target {
    path: PathBuf,
    file: io::Result<File>,
    size: u64,
    /// What was written when the last sync began.
    synced: u64,
    /// It, if it is under way.
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Target {
    fn create(path: PathBuf) -> Target {
        let file = File::create(&path);
        Target { path, file, size: 0, synced: 0, syncing: None }
    }

    fn write(&mut self, bytes: &[u8]) {
        let Ok(file) = &mut self.file else { return };
        let mut written = file.write_all(bytes);
        self.size += bytes.len() as u64;
        if self.size - self.synced >= SYNC_EVERY && written.is_ok() {
            written = self.sync_behind();
        }
        if let Err(error) = written {
            self.file = Err(error);
            self.remove();
        }
    }

    /// Pushes what was written to the disk while more is written. The disk being slow, it waits only for a bounded part.
    fn sync_behind(&mut self) -> io::Result<()> {
        let busy = self.syncing.as_ref().is_some_and(|syncing| !syncing.is_finished());
        if busy && self.size - self.synced < UNSYNCED_MAX {
            return Ok(());
        }
        self.settle()?;
        let Ok(file) = &self.file else { return Ok(()) };
        let file = file.try_clone()?;
        self.synced = self.size;
        let sync = move || file.sync_data();
        self.syncing = Some(std::thread::Builder::new().name("snapshot-sync".into()).spawn(sync)?);
        Ok(())
    }

    /// Waits for the sync that is under way.
    fn settle(&mut self) -> io::Result<()> {
        match self.syncing.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(synced)) => synced,
            Some(Err(_)) => Err(io::Error::other("the syncing thread panicked")),
        }
    }

    /// Synced, and its size.
    fn finish(&mut self) -> Result<u64, String> {
        let settled = self.settle();
        let synced = match &self.file {
            Ok(file) => settled.and_then(|()| file.sync_all()),
            Err(error) => return Err(told(&self.path, error)),
        };
        match synced {
            Ok(()) => Ok(self.size),
            Err(error) => {
                self.remove();
                Err(told(&self.path, &error))
            }
        }
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.path); // it may never have come to be
    }
}

/// The loop's handle.
#[derive(Debug)]
pub(super) struct Snapshots {
    jobs: Sender<Job>,
    /// Bytes handed over and not yet sealed.
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Snapshots {
    pub fn start(mailbox: Mailbox) -> io::Result<Snapshots> {
        let (jobs, work) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let for_thread = Arc::clone(&waiting);
        // Of the loop's own priority: it has to keep up with commands that overwrite at full speed, or what they replace piles up.
        let sealing = move || run(&work, &for_thread, &mailbox);
        let thread = std::thread::Builder::new().name("snapshot".into()).spawn(sealing)?;
        Ok(Snapshots { jobs, waiting, thread })
    }

    /// A pass begins; `base` is where the log's base is to be written.
    pub fn begin(&self, plan: &PassPlan, base: Option<PathBuf>) {
        self.hand_over(Job::Begin(Box::new(Begun {
            pass: plan.pass,
            checksum: plan.checksum,
            commands: plan.log.is_some_and(|log| log.format == BaseFormat::Commands),
            file: plan.file.as_ref().map(PathBuf::from),
            base,
            replicas: plan.replicas,
        })));
    }

    pub fn chunk(&self, pass: PassId, bytes: Vec<u8>) {
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        self.hand_over(Job::Chunk(pass, bytes));
    }

    pub fn end(&self, pass: PassId) {
        self.hand_over(Job::End(pass));
    }

    pub fn abort(&self, pass: PassId) {
        self.hand_over(Job::Abort(pass));
    }

    /// Removes files of the log's history; [`Event::Removed`] tells which are gone.
    pub fn remove(&self, dir: PathBuf, names: Vec<String>) {
        self.hand_over(Job::Remove(dir, names));
    }

    /// Ends the thread; what it was writing is removed.
    pub fn finish(self) {
        drop(self.jobs);
        let _ = self.thread.join(); // a panic there has been printed
    }

    fn hand_over(&self, job: Job) {
        self.jobs.send(job).expect("the thread ends only when this end is dropped");
    }
}

fn run(jobs: &Receiver<Job>, waiting: &AtomicUsize, mailbox: &Mailbox) {
    let (mut work, mut breath): (Option<Box<Work>>, _) = (None, Breath::default());
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Begin(begun) => work = Some(Box::new(Work::begin(*begun))),
            Job::Chunk(pass, bytes) => {
                if let Some(work) = work.as_mut().filter(|work| work.pass == pass) {
                    work.chunk(&bytes, mailbox);
                }
                if waiting.fetch_sub(bytes.len(), Ordering::Relaxed) < BEHIND {
                    breath.take();
                }
            }
            Job::End(pass) => {
                if let Some(work) = work.take_if(|work| work.pass == pass) {
                    work.end(mailbox);
                }
            }
            Job::Abort(pass) => {
                if let Some(work) = work.take_if(|work| work.pass == pass) {
                    work.abandon();
                }
            }
            Job::Remove(dir, names) => {
                let gone = |name: &String| match std::fs::remove_file(dir.join(name)) {
                    Ok(()) => true,
                    Err(error) => error.kind() == io::ErrorKind::NotFound,
                };
                let names = names.into_iter().filter(gone).collect();
                mailbox.send(Mail::Disk(Event::Removed(names)));
            }
        }
    }
    if let Some(work) = work {
        work.abandon();
    }
}

impl Work {
    fn begin(begun: Begun) -> Work {
        let temporary = PathBuf::from(format!("temp-{}.rdb", std::process::id()));
        Work {
            pass: begun.pass,
            sealer: (!begun.commands).then(|| Sealer::new(begun.checksum)),
            file: begun.file.map(|name| (Target::create(temporary), name)),
            base: begun.base.map(Target::create),
            replicas: begun.replicas,
        }
    }

    fn chunk(&mut self, bytes: &[u8], mailbox: &Mailbox) {
        let mut sealed = Vec::new();
        match &mut self.sealer {
            Some(sealer) => sealer.seal(bytes, &mut sealed),
            None => sealed.extend_from_slice(bytes),
        }
        self.write(sealed, bytes.len(), mailbox);
    }

    fn write(&mut self, sealed: Vec<u8>, raw: usize, mailbox: &Mailbox) {
        for target in self.file.iter_mut().map(|(target, _)| target).chain(&mut self.base) {
            target.write(&sealed);
        }
        let payload = if self.replicas { sealed } else { Vec::new() };
        mailbox.send(Mail::Disk(Event::Done(DiskDone::Sealed { pass: self.pass, raw, payload })));
    }

    fn end(mut self, mailbox: &Mailbox) {
        let pass = self.pass;
        if let Some(sealer) = self.sealer.take() {
            let mut sum = Vec::new();
            sealer.finish(&mut sum);
            self.write(sum, 0, mailbox);
        }
        let tell = |target, outcome| {
            mailbox.send(Mail::Disk(Event::Done(DiskDone::Finished { pass, target, outcome })));
        };
        if self.replicas {
            tell(SnapshotTarget::Replicas, Ok(0));
        }
        if let Some((mut target, path)) = self.file.take() {
            let outcome = target.finish().and_then(|size| put_in_place(&target, &path).map(|()| size));
            tell(SnapshotTarget::File, outcome);
        }
        if let Some(mut target) = self.base.take() {
            mailbox.send(Mail::Disk(Event::BaseWritten { pass, outcome: target.finish() }));
        }
    }

    fn abandon(self) {
        for target in self.file.iter().map(|(target, _)| target).chain(&self.base) {
            target.remove();
        }
    }
}

fn put_in_place(target: &Target, path: &Path) -> Result<(), String> {
    files::rename(&target.path, path).map_err(|error| {
        target.remove();
        told(path, &error)
    })
}
