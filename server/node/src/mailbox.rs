//! How other threads reach the loop: a bounded-by-their-own-work queue and a waker. Disk threads send outcomes, the agent sends questions; each has
//! few in flight, so the queue needs no bound of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use mio::Waker;
use quorate_engine::{Control, LinkInput};

use crate::disk::Event;
use crate::link::Resolved;

/// What another thread tells the engine.
#[derive(Debug)]
pub enum Mail {
    /// A disk thread has done something.
    Disk(Event),
    /// The agent asks.
    Control(Control),
    /// What the node has to remember is on disk, up to this revision.
    Kept(u64),
    /// The loader of a full resync is done.
    Link(LinkInput<'static>),
    /// The loader of a full resync may be given more.
    LoaderCaughtUp,
    /// Our master's name was looked up.
    Resolved(Resolved),
}

/// The sending end; cheap to clone.
#[derive(Debug, Clone)]
pub struct Mailbox {
    sender: Sender<Mail>,
    waker: Arc<Waker>,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> (Mailbox, Receiver<Mail>) {
        let (sender, receiver) = channel();
        (Mailbox { sender, waker: Arc::new(waker) }, receiver)
    }

    /// Hands something to the loop; a loop that has ended takes nothing, and nobody waits for it then.
    pub fn send(&self, mail: Mail) {
        if self.sender.send(mail).is_ok() {
            // A failed wake-up means that one is already due.
            let _ = self.waker.wake();
        }
    }
}
