//! Reading a log back: commands and annotations, in order, with the byte where a broken tail begins.

use std::io;

use crate::rdb::ReplicationPoint;

/// One thing found in a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A command to run.
    Command(&'a [&'a [u8]]),
    /// Our own annotation: the dataset before the next command is this point, in this epoch.
    Point(ReplicationPoint, u64),
}

/// How a file of commands ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// At the end of a command, outside MULTI.
    Clean {
        /// Bytes read.
        bytes: u64,
    },
    /// In the middle of a command or a transaction: the bytes before `valid` are good.
    Truncated {
        /// Where the broken tail begins.
        valid: u64,
    },
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AofError {
    /// The reader failed.
    #[error("read error at byte {offset}: {source}")]
    Io {
        /// Where.
        offset: u64,
        /// What the reader said.
        source: io::Error,
    },
    /// Not RESP.
    #[error("bad file format at byte {offset}: {what}")]
    Format {
        /// Where.
        offset: u64,
        /// What was wrong.
        what: &'static str,
    },
    /// A command in the log was refused.
    #[error("command at byte {offset} was refused: {reason}")]
    Refused {
        /// Where.
        offset: u64,
        /// Why.
        reason: String,
    },
}

/// Reads the commands of one file (without an RDB preamble) and hands each to `run`, whose error ends the load.
pub fn read_commands(
    input: &mut dyn io::Read,
    run: &mut dyn FnMut(Entry<'_>) -> Result<(), String>,
) -> Result<Ending, AofError> {
    let _ = (input, run);
    todo!()
}
