//! The file that is appended to, and the thread that syncs it.
//!
//! `quorate_persist::aof::append::Flusher` decides; here it is done. Bytes of a turn with a ticket go to the thread, which writes all that it
//! finds, syncs once and confirms the last ticket: turns that come while it syncs share the next one.
//! What was half written when a write failed is cut off again, so that the file always ends behind a command.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use quorate_config::AppendFsync;
use quorate_engine::{DiskDone, Gauge};
use quorate_persist::aof::append::{Flusher, FsyncPolicy, Step};

use super::Event;
use crate::{Mail, Mailbox, host};

/// Work for the sync thread.
#[derive(Debug)]
enum Job {
    Sync,
    /// Another file has taken this one's place; nobody waits for the outcome.
    LastSync,
    Write {
        bytes: Vec<u8>,
        ticket: u64,
    },
    /// Say so when everything before is done.
    Barrier(Sender<()>),
}

/// How the log is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// `appendfsync`.
    pub fsync: AppendFsync,
    /// May bytes wait in memory while a sync runs?
    pub waiting: Waiting,
}

/// May bytes of the log wait in memory?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// For a running sync, as in Redis.
    Briefly,
    /// Never: a node of a group acknowledges what it has written (I10).
    Never,
}

/// A file of the log, and the one whose place it took until that is synced: nothing may be for good behind a gap.
#[derive(Debug)]
struct Kept {
    file: File,
    older: Mutex<Option<Arc<Kept>>>,
}

impl Kept {
    fn sync(&self) -> io::Result<()> {
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = &*older {
            older.sync()?;
        }
        *older = None;
        self.file.sync_data()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct LogFile {
    kept: Arc<Kept>,
    /// Up to where the file is good.
    size: u64,
    waiting: Vec<u8>,
    flusher: Flusher,
    failing: bool,
    /// The thread has been given bytes since the last barrier.
    handed_over: bool,
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
    mailbox: Mailbox,
    gauge: Arc<Gauge>,
}

impl LogFile {
    /// Goes on at the end of `file`, which has `size` bytes.
    pub fn open(file: File, size: u64, policy: Policy, mailbox: Mailbox, gauge: Arc<Gauge>) -> io::Result<LogFile> {
        let kept = Arc::new(Kept { file, older: Mutex::new(None) });
        let (jobs, work) = channel();
        let (for_thread, mail) = (Arc::clone(&kept), mailbox.clone());
        let thread =
            std::thread::Builder::new().name("aof".into()).spawn(move || run(&work, &for_thread, size, &mail))?;
        let mut flusher = Flusher::new(of(policy.fsync), host::clock());
        if policy.waiting == Waiting::Never {
            flusher.never_postpone();
        }
        let waiting = Vec::new();
        Ok(LogFile { kept, size, waiting, flusher, failing: false, handed_over: false, jobs, thread, mailbox, gauge })
    }

    pub fn set_policy(&mut self, policy: AppendFsync) {
        self.flusher.set_policy(of(policy));
    }

    /// A turn's bytes.
    pub fn append(&mut self, bytes: Vec<u8>, ticket: Option<u64>) {
        match ticket {
            Some(ticket) => {
                // Bytes from before `always` was said come first.
                if !self.waiting.is_empty() {
                    if let Err(error) = self.write() {
                        return self.tell(DiskDone::AppendFailed(error.to_string()));
                    }
                    // Nothing waits any more that a tick could write, and say so.
                    self.flusher.wrote(host::clock());
                    if std::mem::take(&mut self.failing) {
                        self.tell(DiskDone::AppendRecovered);
                    }
                }
                self.size += bytes.len() as u64;
                self.handed_over = true;
                self.hand_over(Job::Write { bytes, ticket });
            }
            None => {
                self.barrier();
                self.waiting.extend_from_slice(&bytes);
            }
        }
    }

    /// Writes and syncs what is due. `quiet`: nothing is synced for now.
    pub fn tick(&mut self, now: Duration, quiet: bool) {
        if quiet && self.waiting.is_empty() {
            return;
        }
        match self.flusher.step(now, self.waiting.len()) {
            Step::Rest => {}
            Step::Sync => self.hand_over(Job::Sync),
            step @ (Step::Write | Step::WriteAndSync) => {
                let written = self.write().and_then(|()| match step {
                    Step::WriteAndSync => self.kept.sync(),
                    _ => Ok(()),
                });
                match written {
                    Ok(()) => {
                        self.flusher.wrote(now);
                        if std::mem::take(&mut self.failing) {
                            self.tell(DiskDone::AppendRecovered);
                        }
                    }
                    Err(error) => {
                        self.flusher.write_failed(now);
                        self.failing = true;
                        self.tell(DiskDone::AppendFailed(error.to_string()));
                    }
                }
            }
        }
        self.gauge.log_waiting.store(self.waiting.len() as u64, Ordering::Relaxed);
        self.gauge.log_syncing.store(self.flusher.syncing(), Ordering::Relaxed);
        self.gauge.log_delayed.store(self.flusher.delayed_syncs(), Ordering::Relaxed);
    }

    /// The thread has synced.
    pub fn synced(&mut self, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.flusher.synced(),
            Err(error) => {
                self.flusher.sync_failed();
                tracing::warn!("Fail to fsync the AOF file: {error}");
            }
        }
        self.gauge.log_syncing.store(false, Ordering::Relaxed);
    }

    /// Everything that waits is in the file.
    pub fn settle(&mut self) -> Result<(), String> {
        self.barrier();
        self.write().map_err(|error| error.to_string())?;
        // Nobody asks this file again: whoever was told that it fails would hear of nothing better.
        if std::mem::take(&mut self.failing) {
            self.tell(DiskDone::AppendRecovered);
        }
        Ok(())
    }

    /// This file takes the place of `older`, of which everything is in its file. That is synced without anybody waiting, but before this one is.
    pub fn succeed(&mut self, older: LogFile) {
        *self.kept.older.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&older.kept));
        older.hand_over(Job::LastSync);
    }

    /// Writes and syncs everything, then ends the thread.
    pub fn close(mut self) {
        let written = self.settle().and_then(|()| self.kept.sync().map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::warn!("Closing the AOF file: {error}");
        }
        drop(self.jobs);
        let _ = self.thread.join(); // a panic there has been printed
    }

    fn write(&mut self) -> io::Result<()> {
        write_whole(&self.kept.file, &mut self.size, &self.waiting)?;
        self.waiting.clear();
        self.waiting.shrink_to(1 << 20);
        Ok(())
    }

    fn barrier(&mut self) {
        if std::mem::take(&mut self.handed_over) {
            let (done, wait) = channel();
            self.hand_over(Job::Barrier(done));
            let _ = wait.recv(); // an ended thread has nothing left to do
        }
    }

    fn hand_over(&self, job: Job) {
        self.jobs.send(job).expect("the thread ends only when this end is dropped");
    }

    fn tell(&self, done: DiskDone) {
        self.mailbox.send(Mail::Disk(Event::Done(done)));
    }
}

/// Appends `bytes` to a file of `size` bytes, or nothing.
fn write_whole(mut file: &File, size: &mut u64, bytes: &[u8]) -> io::Result<()> {
    match file.write_all(bytes) {
        Ok(()) => {
            *size += bytes.len() as u64;
            Ok(())
        }
        Err(error) => {
            // The file is open for appending, so that the next write begins at its new end.
            match file.set_len(*size) {
                Ok(()) => Err(error),
                Err(more) => Err(io::Error::other(format!("{error}; and the rest of it could not be cut off: {more}"))),
            }
        }
    }
}

fn of(policy: AppendFsync) -> FsyncPolicy {
    match policy {
        AppendFsync::Always => FsyncPolicy::Always,
        AppendFsync::Everysec => FsyncPolicy::Everysec,
        AppendFsync::No => FsyncPolicy::No,
    }
}

fn run(work: &Receiver<Job>, kept: &Kept, mut size: u64, mailbox: &Mailbox) {
    let mut bytes = Vec::new();
    while let Ok(first) = work.recv() {
        let mut ticket_of_batch = None;
        let mut barriers = Vec::new();
        let (mut sync, mut last) = (false, false);
        bytes.clear();
        for job in std::iter::once(first).chain(work.try_iter()) {
            match job {
                Job::Sync => sync = true,
                Job::LastSync => last = true,
                Job::Barrier(done) => barriers.push(done),
                Job::Write { bytes: more, ticket } => {
                    bytes.extend_from_slice(&more);
                    ticket_of_batch = Some(ticket);
                }
            }
        }
        if let Some(ticket) = ticket_of_batch {
            // The loop may have written meanwhile.
            size = kept.file.metadata().map_or(size, |metadata| metadata.len());
            let done = match write_whole(&kept.file, &mut size, &bytes).and_then(|()| kept.sync()) {
                Ok(()) => DiskDone::Confirmed(ticket),
                Err(error) => DiskDone::AppendFailed(error.to_string()),
            };
            mailbox.send(Mail::Disk(Event::Done(done)));
        }
        if sync {
            let outcome = kept.sync().map_err(|error| error.to_string());
            mailbox.send(Mail::Disk(Event::Synced(outcome)));
        }
        if last && let Err(error) = kept.sync() {
            tracing::warn!("Fail to fsync the AOF file that a newer one follows: {error}"); // whoever syncs that one tries again
        }
        for barrier in barriers {
            let _ = barrier.send(()); // whoever waited is gone with the process
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver as Mails;

    use super::*;

    fn policy(fsync: AppendFsync) -> Policy {
        Policy { fsync, waiting: Waiting::Briefly }
    }

    fn mailbox() -> (Mailbox, Mails<Mail>, mio::Poll) {
        let poll = mio::Poll::new().expect("a poll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        let (mailbox, mails) = Mailbox::new(waker);
        (mailbox, mails, poll)
    }

    fn next(mails: &Mails<Mail>) -> DiskDone {
        match mails.recv_timeout(Duration::from_secs(30)).expect("an answer") {
            Mail::Disk(Event::Done(done)) => done,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tickets_are_confirmed_in_order_and_the_file_holds_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let file = File::options().create(true).append(true).open(&path).expect("a file");
        let (mailbox, mails, _poll) = mailbox();
        let mut log = LogFile::open(file, 0, policy(AppendFsync::No), mailbox, Arc::default()).expect("a thread");
        let mut expected = Vec::new();
        for ticket in 1..=200_u64 {
            // The policy changes back and forth: the order of bytes is that of the calls.
            let bytes = format!("{ticket},").into_bytes();
            expected.extend_from_slice(&bytes);
            log.append(bytes, (ticket % 3 > 0).then_some(ticket));
            log.tick(host::clock(), false);
        }
        log.close();
        assert_eq!(std::fs::read(&path).expect("the file"), expected);
        let mut confirmed = 0;
        while let Ok(Mail::Disk(Event::Done(DiskDone::Confirmed(ticket)))) = mails.try_recv() {
            assert!(ticket > confirmed, "{ticket} after {confirmed}");
            confirmed = ticket;
        }
        assert_eq!(confirmed, 200);
    }

    #[test]
    fn a_full_disk_is_told_and_the_bytes_are_kept() {
        let full = || File::options().append(true).open("/dev/full").expect("Linux has /dev/full");
        let (mailbox, mails, _poll) = mailbox();
        let gauge: Arc<Gauge> = Arc::default();
        let mut log =
            LogFile::open(full(), 0, policy(AppendFsync::Everysec), mailbox, Arc::clone(&gauge)).expect("a thread");
        log.append(b"set k v".to_vec(), None);
        log.tick(host::clock(), false);
        let told = next(&mails);
        assert!(matches!(&told, DiskDone::AppendFailed(error) if error.contains("No space left")), "{told:?}");
        assert_eq!(gauge.log_waiting.load(Ordering::Relaxed), 7);
        log.append(b"set k w".to_vec(), Some(1));
        assert!(matches!(next(&mails), DiskDone::AppendFailed(_)));
    }

    /// Nothing is confirmed in a file before the one that it follows is synced, which a device that takes no sync never is.
    #[test]
    fn a_file_is_not_synced_before_the_one_that_it_follows() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let unsyncable = File::options().append(true).open("/dev/null").expect("Linux has /dev/null");
        assert!(unsyncable.sync_data().is_err());
        let (mailbox, mails, _poll) = mailbox();
        let open = |file| LogFile::open(file, 0, policy(AppendFsync::Always), mailbox.clone(), Arc::default());
        let older = open(unsyncable).expect("a thread");
        let mut log = open(File::options().create(true).append(true).open(&path).expect("a file")).expect("a thread");
        log.append(b"set k v".to_vec(), Some(1));
        assert!(matches!(next(&mails), DiskDone::Confirmed(1)));
        log.succeed(older);
        log.append(b"set k w".to_vec(), Some(2));
        assert!(matches!(next(&mails), DiskDone::AppendFailed(_)));
        log.append(b"set k x".to_vec(), Some(3));
        assert!(matches!(next(&mails), DiskDone::AppendFailed(_)), "the older one is tried again");
        assert_eq!(std::fs::read(&path).expect("the file"), b"set k vset k wset k x");
    }

    /// A log on a full disk that has told of it, then given a file in a folder of its own, in which there is space: what `goes_on` does with it says
    /// that the failure is over, and the bytes are there.
    fn check_recovery(goes_on: impl FnOnce(&mut LogFile)) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let full = File::options().append(true).open("/dev/full").expect("Linux has /dev/full");
        let (mailbox, mails, _poll) = mailbox();
        let mut log = LogFile::open(full, 0, policy(AppendFsync::Everysec), mailbox, Arc::default()).expect("a thread");
        log.append(b"set k v".to_vec(), None);
        log.tick(host::clock(), false);
        assert!(matches!(next(&mails), DiskDone::AppendFailed(_)));
        assert!(log.settle().is_err());
        let file = File::options().create(true).append(true).open(&path).expect("a file");
        log.kept = Arc::new(Kept { file, older: Mutex::default() });
        goes_on(&mut log);
        assert!(matches!(next(&mails), DiskDone::AppendRecovered));
        assert_eq!(std::fs::read(&path).expect("the file"), b"set k v");
    }

    /// Whoever is asked to confirm what it writes while an earlier write still fails says when that is over.
    #[test]
    fn a_confirmed_turn_says_that_a_failure_is_over() {
        check_recovery(|log| log.append(b"set k w".to_vec(), Some(1)));
    }

    /// A rewrite gives the log another file: a failure that is over must not outlive the old one.
    #[test]
    fn settling_says_that_a_failure_is_over() {
        check_recovery(|log| log.settle().expect("there is space again"));
    }
}
