//! What a node is told when it is built: its number, its pace and its bounds.

use std::ops::Range;

use crate::RaftId;

/// Everything a [`crate::Node`] is told from outside.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member's number.
    pub id: RaftId,
    /// A number that is different in each life of the process (random, from the shell): an answer that was meant for an earlier
    /// life is recognised by it and dropped.
    pub boot: u64,
    /// The pace, in ticks.
    pub timing: Timing,
    /// The bounds.
    pub limits: Limits,
    /// Can the state machine be restored from these bytes? Asked of every snapshot a peer sends, before it is saved.
    pub snapshot_is_sound: fn(&[u8]) -> bool,
}

/// The pace in ticks; the driver's tick is 50 ms (shorter ones lose leaderships to a slow disk).
#[derive(Clone, Debug)]
pub struct Timing {
    /// Ticks between a leader's heartbeats.
    pub heartbeat: usize,
    /// Ticks of silence during which a follower refuses to depose a leader; a leader without a quorum steps down after as many.
    pub election: usize,
    /// When a follower that hears nothing stands for election.
    pub elections: Elections,
    /// Ticks after which an unconfirmed read is refused.
    pub read: u64,
    /// Ticks after which an unanswered snapshot is taken for lost and sent again.
    pub snapshot: u64,
}

/// How a node chooses its own election timeout.
#[derive(Clone, Debug)]
pub enum Elections {
    /// A random number of ticks in the range, drawn anew at each term.
    Random(Range<usize>),
    /// Always so many ticks: for simulations, which give each node its own number, since `raft`'s generator has no seed.
    Fixed(usize),
}

impl Default for Timing {
    /// With ticks of 50 ms: heartbeats each 50 ms, a dead leader is replaced after 300–500 ms (the first of two followers to
    /// wake decides: 360 ms on average), reads fail after one second.
    fn default() -> Self {
        Self { heartbeat: 1, election: 6, elections: Elections::Random(6..10), read: 20, snapshot: 40 }
    }
}

impl Elections {
    pub(crate) fn range(&self) -> Range<usize> {
        match self {
            Self::Random(range) => range.clone(),
            Self::Fixed(ticks) => *ticks..ticks + 1,
        }
    }
}

/// The bounds. What happens at each is written at each.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A larger command is refused.
    pub command_bytes: usize,
    /// A message carries entries up to about this size; one larger entry still travels alone.
    pub message_bytes: u64,
    /// Appends under way to one follower; more wait for its answers.
    pub inflight: usize,
    /// Bytes proposed and not yet committed; more proposals are refused as busy.
    pub uncommitted_bytes: u64,
    /// Committed bytes handed out in one batch; the rest follows in the next.
    pub batch_bytes: u64,
    /// Reads waiting for a quorum; more are refused as busy.
    pub reads: usize,
    /// Entries applied between two snapshots, and kept behind the newest for slow followers.
    pub snapshot_every: u64,
    /// A message from a peer that is larger is refused.
    pub incoming_bytes: usize,
}

impl Default for Limits {
    /// For a registry of some thousand groups, a few hundred bytes a command: memory and turns stay in the low megabytes.
    fn default() -> Self {
        Self {
            command_bytes: 1 << 20,
            message_bytes: 256 << 10,
            inflight: 64,
            uncommitted_bytes: 8 << 20,
            batch_bytes: 1 << 20,
            reads: 16 << 10,
            snapshot_every: 4096,
            incoming_bytes: 64 << 20,
        }
    }
}
