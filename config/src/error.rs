//! Why a configuration was refused. `Display` is the final text.

/// A fault in a configuration file or on the command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: '{directive}': {reason}", at(*line))]
pub struct ConfigError {
    /// The file's name, or `command line`.
    pub file: String,
    /// The line, from 1; on the command line the argument's position; 0 where no single line is at fault.
    pub line: usize,
    /// The directive, or the whole line where none could be told.
    pub directive: String,
    /// What is wrong with it: Redis's words where Redis has them.
    pub reason: String,
}

fn at(line: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}") }
}

/// Why CONFIG SET was refused: Redis's texts, without the leading `-ERR `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No such directive.
    #[error("Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// The directive refused the value, may not change now, or stands twice.
    #[error("CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Refused {
        /// The directive as the client wrote it.
        name: String,
        /// Redis's words.
        reason: String,
    },
}
