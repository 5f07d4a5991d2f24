//! Why the bench cannot go on. A measurement that is not what it says is worse than none: every doubt ends the run.

use std::io;
use std::path::PathBuf;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The system said no.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What it said.
        error: io::Error,
    },
    /// A program could not be started, or does not answer.
    #[error("{program} does not answer; its log is {log}")]
    Silent {
        /// Which one.
        program: PathBuf,
        /// Where it says why.
        log: PathBuf,
    },
    /// A server refused a command that the measurement rests on.
    #[error("{server} refused '{command}': {reply}")]
    Refused {
        /// Which one.
        server: &'static str,
        /// The command, or the workload.
        command: String,
        /// What it said.
        reply: String,
    },
    /// Nothing came for so long that the run would never end.
    #[error("{server} has not answered for {seconds} s in '{command}'")]
    Stalled {
        /// Which one.
        server: &'static str,
        /// The workload.
        command: String,
        /// The patience.
        seconds: u64,
    },
    /// The command line.
    #[error("{0}")]
    Usage(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Names what was tried when the system said no.
pub trait Tried<T> {
    /// The error with `what` before it.
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, BenchError>;
}

impl<T, E: Into<io::Error>> Tried<T> for Result<T, E> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, BenchError> {
        self.map_err(|error| BenchError::Io { what: what(), error: error.into() })
    }
}
