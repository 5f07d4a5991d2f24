//! What a node wants done, in the only order in which it may be done.
//!
//! ```text
//! Batch ──save(ok)──> Saved ──finish──> Outcome        Batch ──save(error)──> (the process stops)
//! Checkpoint ──save(ok)──> (the log is shorter)        Checkpoint ──save(error)──> (the process stops)
//! ```

use prost011::Message as _;
use raft::{
    Ready,
    eraftpb::{Entry, HardState, Message, MessageType, Snapshot},
};

use crate::{Index, Members, Node, RaftId, Refused, Ticket};

/// Work that a node has ready. Dropping it unsaved leaves the node unusable: its next [`Node::ready`] panics.
#[must_use = "a batch must be saved and finished before the node goes on"]
pub struct Batch<'n> {
    node: &'n mut Node,
    ready: Ready,
}

/// A batch that the disk holds.
#[must_use = "a saved batch must be finished before the node goes on"]
pub struct Saved<'n> {
    node: &'n mut Node,
    ready: Ready,
}

/// What one save must make durable, all of it or nothing, in this order: the snapshot (replaces the whole log), then the entries
/// (the first one's index and all above it are replaced), then the hard state.
pub struct Write<'a> {
    snapshot: Option<&'a Snapshot>,
    entries: &'a [Entry],
    hard_state: Option<&'a HardState>,
}

/// A message for another member.
#[derive(Debug)]
pub struct Outgoing {
    /// The receiver.
    pub to: RaftId,
    /// What the transport should know of it.
    pub kind: Kind,
    /// An eraftpb.Message, as [`Node::step`] takes it.
    pub bytes: Vec<u8>,
}

/// What the transport should know of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// May be dropped at will: Raft sends it again.
    Plain,
    /// Large, and its loss must be reported with [`Node::link_down`].
    Snapshot,
}

/// What may happen once a batch is saved: first the messages, then the applications in order.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Votes, acknowledgements and news of commits.
    pub messages: Vec<Outgoing>,
    /// For the state machine, and answers to tickets.
    pub apply: Vec<Apply>,
}

/// One step of the state machine, or one answer; to be carried out in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Apply {
    /// Forget everything and restore this state.
    Restore {
        /// The state stands for everything up to here.
        index: Index,
        /// As it was given to [`Node::checkpoint`] or [`crate::Recovered::founding`].
        state: Vec<u8>,
    },
    /// A committed command.
    Command {
        /// Its place in the log.
        index: Index,
        /// As it was proposed.
        data: Vec<u8>,
        /// Whose proposal it was, if it was proposed here.
        ticket: Option<Ticket>,
    },
    /// The members changed.
    Members {
        /// The place of the change in the log.
        index: Index,
        /// The new list.
        members: Members,
        /// Whose proposal it was, if it was proposed here.
        ticket: Option<Ticket>,
    },
    /// A read may be answered from the state machine as it is now.
    Read {
        /// The read's name.
        ticket: Ticket,
    },
    /// A request was not carried out, or its fate is unknown.
    Refused {
        /// The request's name.
        ticket: Ticket,
        /// Why.
        why: Refused,
    },
}

/// A snapshot of our own state machine, to be saved so that the log before it can go.
#[must_use = "a checkpoint does nothing until it is saved"]
pub struct Checkpoint<'n> {
    node: &'n mut Node,
    snapshot: Snapshot,
    keep: u64,
}

/// What saving a checkpoint must make durable, all of it or nothing.
pub struct Compaction<'a> {
    snapshot: &'a Snapshot,
    keep: u64,
}

impl<'n> Batch<'n> {
    pub(crate) fn new(node: &'n mut Node, ready: Ready) -> Self {
        Self { node, ready }
    }

    /// Messages that need not wait for this node's disk: a leader's appends, heartbeats and questions. Empty the second time.
    pub fn take_messages(&mut self) -> Vec<Outgoing> {
        outgoing(self.ready.take_messages(), self.node.id())
    }

    /// Makes the batch durable with `write`, which is called only when there is something that must not be lost: a moved
    /// commit index alone is found again by Raft and costs no write. An error means that the process must stop.
    pub fn save<E>(self, write: impl FnOnce(&Write<'_>) -> Result<(), E>) -> Result<Saved<'n>, E> {
        let Self { node, ready } = self;
        let snapshot = Some(ready.snapshot()).filter(|snapshot| !snapshot.is_empty());
        if ready.must_sync() {
            write(&Write { snapshot, entries: ready.entries(), hard_state: ready.hs() })?;
        }
        node.mirror(snapshot, ready.entries(), ready.hs());
        Ok(Saved { node, ready })
    }
}

impl Saved<'_> {
    /// Goes on: what may be sent and applied now.
    pub fn finish(self) -> Outcome {
        self.node.finish(self.ready)
    }
}

impl Write<'_> {
    /// The snapshot that replaces the log, as bytes for [`crate::Recovered::from_bytes`].
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        self.snapshot.map(Snapshot::encode_to_vec)
    }

    /// The index at and above which stored entries are void, when entries or a snapshot are written.
    pub fn replace_from(&self) -> Option<Index> {
        match self.snapshot {
            Some(_) => Some(Index(0)),
            None => self.entries.first().map(|entry| Index(entry.index)),
        }
    }

    /// The entries to store, ascending.
    pub fn entries(&self) -> impl Iterator<Item = (Index, Vec<u8>)> {
        self.entries.iter().map(|entry| (Index(entry.index), entry.encode_to_vec()))
    }

    /// Term and vote, when they or the log moved.
    pub fn hard_state(&self) -> Option<Vec<u8>> {
        self.hard_state.map(HardState::encode_to_vec)
    }
}

impl<'n> Checkpoint<'n> {
    pub(crate) fn new(node: &'n mut Node, snapshot: Snapshot, keep: u64) -> Self {
        Self { node, snapshot, keep }
    }

    /// Makes the checkpoint durable with `write`, then lets the log before it go. An error means that the process must stop.
    pub fn save<E>(self, write: impl FnOnce(&Compaction<'_>) -> Result<(), E>) -> Result<(), E> {
        write(&Compaction { snapshot: &self.snapshot, keep: self.keep })?;
        self.node.checkpointed(self.snapshot, self.keep);
        Ok(())
    }
}

impl Compaction<'_> {
    /// The snapshot as bytes for [`crate::Recovered::from_bytes`].
    pub fn snapshot(&self) -> Vec<u8> {
        self.snapshot.encode_to_vec()
    }

    /// Stored entries up to here may go.
    pub fn drop_up_to(&self) -> Index {
        Index(self.snapshot.get_metadata().index.saturating_sub(self.keep))
    }
}

/// For the transport. A read that `raft` would relay for another member is left out: members speak for themselves only, and
/// whoever asked asks again on its next tick.
pub(crate) fn outgoing(messages: Vec<Message>, me: RaftId) -> Vec<Outgoing> {
    let one = |message: Message| Outgoing {
        to: RaftId(message.to),
        kind: match message.get_msg_type() {
            MessageType::MsgSnapshot => Kind::Snapshot,
            _ => Kind::Plain,
        },
        bytes: message.encode_to_vec(),
    };
    messages.into_iter().filter(|message| message.from == me.0).map(one).collect()
}
