//! Raft without I/O: inputs in, Persist/Send/Apply out.
//!
//! A [`Node`] is one member of the sentinels' Raft group. It knows no disk, socket, clock or thread: its driver (in
//! `sentinel/`) tells it what happened and does what it says. The algorithm is the `raft` crate's `RawNode`; this room
//! closes that crate's traps and turns its calling convention, which is easy to break, into types.
//!
//! # One turn of the driver
//! ```text
//! tick · step · propose · read_index · change · transfer · link_down     (any number of inputs)
//!   └─ node.ready() ─> Batch ─ take_messages() ─> send now: nothing in them waits for this node's disk
//!                        └─ save(write) ─> Saved       one transaction, one fsync; an error stops the process
//!                                            └─ finish() ─> Outcome: messages, then apply, in order
//! node.checkpoint_due()? ─ checkpoint(state) ─> Checkpoint ─ save(write)
//! ```
//! # Invariants
//! - **Nothing leaves before the disk has it.** Votes, acknowledgements and committed entries are only reachable through
//!   [`Saved::finish`], and a `Saved` only comes out of a successful [`Batch::save`]. Both borrow the node, so that no input
//!   can slip in between. A save that fails leaves the node unusable: the process must stop, because nobody knows what the disk holds.
//! - **Authority is not answered from memory.** A read's ticket comes back only after a quorum confirmed the leader at or after the
//!   request, and behind the commands that it must see.
//! - **A ticket is answered once**: applied, or refused, or [`Refused::Lost`] (its fate is unknown: ask again).
//! - **No message from a peer can panic the node**: [`Node::step`] checks every field that `raft` asserts on.
//! - **Members change by `ConfChangeV2` only, one change at a time, learner first**; every change retakes the snapshot, which alone
//!   carries the member list (a snapshot that lacks its receiver would be dropped in silence).
//!
//! # What this room does not do
//! It does not know what a command means, where a peer lives, or how long a tick is; it never retries a proposal.

mod batch;
mod config;
pub mod faults;
mod message;
mod mirror;
mod node;
mod reads;
mod recovered;
mod trace;

pub use batch::{Apply, Batch, Checkpoint, Compaction, Kind, Outcome, Outgoing, Saved, Write};
pub use config::{Config, Elections, Limits, Timing};
pub use message::BadMessage;
pub use node::{Change, Members, Node, Role, Status};
pub use recovered::{Damaged, Recovered};

/// A member's number in the Raft group, never 0 and never used twice: see the sentinel's membership rules.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct RaftId(pub u64);

/// Position in the replicated log, from 1; 0 is before everything.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct Index(pub u64);

/// Raft's term. Not a group's epoch.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(pub u64);

/// The caller's name for a request, chosen by the caller and given back with the answer.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

impl std::fmt::Display for RaftId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Only the leader takes this request.
    #[error("not the leader{}", .leader.map(|id| format!("; sentinel {id} is")).unwrap_or_default())]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<RaftId>,
    },
    /// The leader changed while the request was under way: it may or may not have been carried out.
    #[error("the leader changed; the outcome is unknown")]
    Lost,
    /// No quorum confirmed a read in time.
    #[error("no quorum answered in time")]
    TimedOut,
    /// Too much is under way (uncommitted bytes, waiting reads, a transfer of leadership): try again.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// A command above [`Limits::command_bytes`].
    #[error("a command of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The command's size.
        bytes: usize,
        /// The limit that it breaks.
        limit: usize,
    },
    /// A change of members that would be unsafe or makes no sense.
    #[error("members cannot change so: {0}")]
    Members(&'static str),
}
