//! What the engine asks of the shell.

use quorate_config::Apply;
use quorate_keyspace::Discarded;

use crate::{DiskTask, Keep, LinkTask, Report, SessionId, Ticket};

/// One thing to do. The shell performs a turn's effects in order, before it writes any output.
#[derive(Debug)]
pub enum Effect {
    /// End a connection. An `Input::Closed` follows when it has ended.
    Close {
        /// Whose.
        id: SessionId,
        /// When.
        how: Closing,
    },
    /// Work for the disk thread.
    Disk(DiskTask),
    /// Work on the connection to our master.
    Link(LinkTask),
    /// An answer to the agent.
    Answer {
        /// To which question.
        ticket: Ticket,
        /// The answer.
        report: Box<Report>,
    },
    /// What the node has to remember has changed beside any order: to be made durable, and [`crate::Input::Kept`] to say so.
    Keep(Keep),
    /// Memory to be freed on another thread (UNLINK, FLUSHALL ASYNC).
    Free(Memory),
    /// A directive of this kind changed at run time (CONFIG SET): `Engine::config` holds the new value.
    Apply(Apply),
    /// Leave the process.
    Shutdown(Shutdown),
    /// A line for the log.
    Log(Level, String),
}

/// When a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Once its output has been sent.
    AfterFlush,
    /// At once; what was not sent is lost.
    Now,
}

/// How the process leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// The exit code.
    pub code: i32,
}

/// How much a line in the log matters, in Redis's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For developers.
    Debug,
    /// Rarely useful.
    Verbose,
    /// What an operator wants to know in production.
    Notice,
    /// What an operator must know.
    Warning,
}

/// Memory to be freed: dropping it frees it.
pub struct Memory(pub Discarded);

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}

/// What a turn brought forth. Perform in this order: `effects` (AOF bytes among them), then write each session in `ready`
/// (replicas first, as they stand first).
#[derive(Debug, Default)]
pub struct Outputs {
    /// Things to do.
    pub effects: Vec<Effect>,
    /// Sessions whose `Engine::output` has something to be sent.
    pub ready: Vec<SessionId>,
}
