//! How other threads reach the engine's thread: a queue and a waker.
//!
//! Bound: what each sender has in flight at a time (the disk threads one task each, the agent its calls, signals a handful),
//! so the queue itself needs none. The loop takes at most [`BATCH`] a turn.

use std::{
    io,
    sync::{Arc, mpsc},
};

use mio::{Registry, Token, Waker};
use quorate_engine::{Control, DiskDone, Loaded};

/// Mail taken in one turn.
pub const BATCH: usize = 256;

/// What another thread tells the engine's.
#[derive(Debug)]
pub enum Mail {
    /// The outcome of a disk task.
    Disk(DiskDone),
    /// A dataset was loaded.
    Loaded(Loaded),
    /// The agent asks.
    Control(Control),
    /// SIGTERM or SIGINT.
    Terminate,
}

/// The sending end; cheap to clone.
#[derive(Debug, Clone)]
pub struct Mailbox {
    queue: mpsc::Sender<Mail>,
    waker: Arc<Waker>,
}

/// The engine's thread's end.
pub(crate) struct Letters(mpsc::Receiver<Mail>);

/// Makes a mailbox whose waker is known to the loop as `token`.
pub(crate) fn mailbox(registry: &Registry, token: Token) -> io::Result<(Mailbox, Letters)> {
    let (queue, letters) = mpsc::channel();
    Ok((Mailbox { queue, waker: Arc::new(Waker::new(registry, token)?) }, Letters(letters)))
}

impl Mailbox {
    /// Sends and wakes. Returns whether the engine's thread is still there.
    pub fn send(&self, mail: Mail) -> bool {
        self.queue.send(mail).is_ok() && self.waker.wake().is_ok()
    }
}

impl Letters {
    /// The next letter, if there is one.
    pub fn next(&self) -> Option<Mail> {
        self.0.try_recv().ok()
    }
}
